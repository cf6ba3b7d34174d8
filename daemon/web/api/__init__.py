"""The API below /api/v1, one module for each resource.

A new one has its handlers in `HANDLERS`, which daemon/web/app.py lists, and rows in daemon/web/scopes.py.
"""
