"""Cards: one pure module for each service that shows more than text.

`card(message, form)` is the payload of a message as the service takes it, without what the channel adds (where it
goes, under which name). Each keeps within its service's documented limits, cuts no link, and lets no foreign value
call, link or break anything. Must never send, and never read a clock.
"""
