"""Polling: sends due queries within each project's budget, and judges and stores what the answers show.

Imports nothing here: commands need parts of it, and should not pay for importing the API client.
"""
