"""The MetaStudio API: what is asked, how it is signed, how often, and what its answers mean.

Owns the wire, the credentials and the request budget of each project. It must never decide what an answer means to
a job: that is `domain`; nor keep anything: that is `store`.
"""
