"""The way to a chat service: one Apprise object with exactly one service for each channel. Apprise and requests
are imported here and in `services` only.

`addresses` reads a URL as text, `opening` checks it, `understanding` compares what its plugin read, `channel`
writes and sends, `bounded` keeps every exchange within its time and records it, `smtp` does so for mail; `proxies`
knows what of the environment is on the way; `verdicts` says what an attempt came to.
"""

from daemon.notify.transport.channel import Channel, SendReport, Written, test_message
from daemon.notify.transport.opening import ChannelSettings, open_channel
from daemon.notify.transport.proxies import doubts_of as proxy_doubts
from daemon.notify.transport.proxies import proxy_passwords

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
