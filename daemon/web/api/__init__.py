"""The API below /api/v1, one module for each resource. daemon/web/scopes.py has all routes, and their scopes."""
