"""The way of an alert from the outbox to its channel: claim, prepare, send, record, wait."""
