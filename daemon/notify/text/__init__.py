"""Texts as chats take them: cleaned, escaped, and cut to a limit. Pure."""
