"""The pages for people: made on the server, without JavaScript but for live updates, in English and Chinese.

They show the views of daemon/views, read as the API reads them, and change things by forms through
daemon/commands.
"""
