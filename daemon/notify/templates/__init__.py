"""The operators' own templates: what they may use, and the sandbox in which they run."""
