"""The way to a chat service: one Apprise object with exactly one service for each channel. Apprise and requests
are imported here and in `services` only.

`addresses` reads a URL as text and compares what its plugin read, `opening` checks it, `channel` writes and sends,
`bounded` keeps every exchange within its time and records it, `smtp` does so for mail; `verdicts` says what an
attempt came to.
"""

from daemon.notify.transport.bounded import doubts_of as proxy_doubts
from daemon.notify.transport.bounded import proxy_passwords
from daemon.notify.transport.channel import Channel, SendReport, Written, test_message
from daemon.notify.transport.opening import ChannelSettings, open_channel

__all__ = [
    "Channel",
    "ChannelSettings",
    "SendReport",
    "Written",
    "open_channel",
    "proxy_doubts",
    "proxy_passwords",
    "test_message",
]
