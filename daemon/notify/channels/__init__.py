"""The channels: one Apprise object with exactly one service for each. The only place that imports Apprise and
requests.

`opening` checks a URL, `plugins` finds who serves it, `channel` writes and sends, `carded` is what the plugins of
ours share, `bounded` keeps every exchange within its time and records it.
"""

from daemon.notify.channels.channel import Channel, SendReport, Written, test_message
from daemon.notify.channels.opening import ChannelSettings, open_channel

__all__ = ["Channel", "ChannelSettings", "SendReport", "Written", "open_channel", "test_message"]
