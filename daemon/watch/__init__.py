"""Asking about jobs: what is due is asked within the project's budget, what is seen is judged and stored.

Imports nothing here: commands need a part of it, and must not pay for the API client.
"""
