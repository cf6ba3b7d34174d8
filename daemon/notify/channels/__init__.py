"""The channels: one Apprise object with exactly one service for each. The only place that imports Apprise and
requests.

`addresses` reads a URL as text, `opening` checks it, `plugins` finds who serves it, `understanding` compares what
that one read, `channel` writes and sends, `carded` is what the plugins of ours share, `bounded` keeps every
exchange within its time and records it, with mail's `conversation`; `surroundings` knows proxies.
"""

from daemon.notify.channels.channel import Channel, SendReport, Written, test_message
from daemon.notify.channels.opening import ChannelSettings, open_channel
from daemon.notify.channels.surroundings import doubts_of as surroundings
from daemon.notify.channels.surroundings import proxy_passwords

__all__ = [
    "Channel",
    "ChannelSettings",
    "SendReport",
    "Written",
    "open_channel",
    "proxy_passwords",
    "surroundings",
    "test_message",
]
