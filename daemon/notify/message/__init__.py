"""What a message says: built purely from its rows, in the language and the time zone of its channel."""
