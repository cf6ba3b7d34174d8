"""Rules about jobs, states, events and time, as pure functions of plain values.

Standard library only. No I/O or logging; time and randomness are arguments.
"""
