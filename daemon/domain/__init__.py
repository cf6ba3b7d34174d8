"""What wrapd knows of jobs, states, events and time: pure decisions on plain values.

Standard library only. No I/O, no clock, no logging, no randomness of its own: these come as arguments.
"""
