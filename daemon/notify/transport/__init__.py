"""Transport to chat services: one Apprise object with exactly one service for each channel. Apprise and requests
are imported only here and in `services`.

`addresses` reads a URL as text and compares it with what its plugin read, `opening` checks it, `channel` renders
and sends, `bounded` limits and records HTTP exchanges, `smtp` does so for mail, `verdicts` judges attempts.
"""

import warnings

from daemon.late import without

# requests needs a detector of encodings only for answers that name none. Without one it warns, and takes UTF-8,
# which is what services send. The detector takes 3.4 MiB. Nor does it need a second JSON library (0.4 MiB).
with without("chardet", "charset_normalizer", "simplejson"), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import requests as _requests  # noqa: F401 - before the modules below import it

from daemon.notify.transport.channel import Channel, SendReport, Written, test_message
from daemon.notify.transport.opening import ChannelSettings, open_channel, proxy_doubts, proxy_passwords

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
