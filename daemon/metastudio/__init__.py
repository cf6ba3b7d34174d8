"""The client of the MetaStudio API: requests, signatures, rate limits, and the parsing of answers.

Owns the wire format, the credentials and the request budget of each project. `domain` decides what an answer means
for a job, and `store` persists it.
"""
