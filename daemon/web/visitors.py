"""Who opens a link: a person in a browser, a tool, or a program that looks at links before people do. Pure.

Owns what counts as evidence of a person. A click that is taken for a person's keeps the reminder of a dying link
from being sent; so where there is doubt, there was no person.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

TOGETHER = 3.0
"""Seconds within which different clients that open the same link are taken for scanners."""
_REMEMBERED = 4096


class Visitor(Enum):
    """Who it is."""

    PERSON = auto()
    TOOL = auto()  # it wants the video, but nobody can say that somebody saw it: curl, a player
    ROBOT = auto()


_ROBOT = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|unfurl|prefetch|facebookexternalhit|whatsapp|embedly|slack-imgproxy"
    r"|dingtalk-robot|compatible;(?! MSIE)|headless|phantomjs|puppeteer|playwright|selenium|lighthouse"
    r"|\bscan|scanner|\bcheck|validator|monitor|uptime|pingdom|linkfinder|ms-?office|microsoft office|existence"
    r"|proofpoint|mimecast|barracuda|symantec|trendmicro|forcepoint|fireeye|zscaler|sophos|safelinks|safe links"
    r"|urldefense|virustotal|googleimageproxy|google-safety|google-read-aloud|googleother",
    re.IGNORECASE,
)
"""Programs that open the links of a message before anybody reads it, by what they call themselves."""
_BROWSER = re.compile(r"(?:mozilla|opera)/\d\S* .*\b[a-z]+/\d", re.IGNORECASE)
"""Every browser names itself so, with an engine or a program; scripts often copy the first word only."""
_AHEAD = re.compile(r"prefetch|prerender|preview|unfurl", re.IGNORECASE)
_SAYS_AHEAD = ("purpose", "x-purpose", "sec-purpose", "x-moz")
_OPENED_AS = frozenset({"document", "video"})
"""`Sec-Fetch-Dest` of a link that somebody follows, and of a page that shows the video."""


def is_robot(agent: str) -> bool:
    """Whether a user agent is a program that looks at links, not a person.

    >>> [is_robot(each) for each in ("Slackbot-LinkExpanding 1.0", "Mozilla/5.0 (X11) Firefox/140.0")]
    [True, False]
    """
    return _ROBOT.search(agent) is not None


def visitor(method: str, headers: Mapping[str, str]) -> Visitor:
    """Who sends such a request. `headers` are found by their lower-case names."""
    agent = headers.get("user-agent", "")
    if method != "GET" or not agent.strip() or is_robot(agent):
        return Visitor.ROBOT
    if "from" in headers or any(_AHEAD.search(headers.get(name, "")) for name in _SAYS_AHEAD):
        return Visitor.ROBOT
    opened_as, mode = headers.get("sec-fetch-dest", "document"), headers.get("sec-fetch-mode", "navigate")
    if opened_as not in _OPENED_AS or (opened_as == "document" and mode != "navigate"):
        return Visitor.ROBOT
    return Visitor.PERSON if _BROWSER.match(agent) else Visitor.TOOL


@dataclass(slots=True)
class _Opened:
    at: float
    client: str
    clicks: int = 0
    several: bool = field(default=False)


class Opened:
    """Who opened which link a moment ago. Scanners of mail call themselves browsers, and come in numbers, from
    several machines, within seconds: people do not."""

    def __init__(self) -> None:
        self._links: OrderedDict[int, _Opened] = OrderedDict()

    def note(self, link: int, client: str, *, now: float) -> int:
        """A browser opens a link (a row id) at `now` (monotonic seconds): by how many its clicks change. Less than
        1 where this shows that those before were no people's either."""
        last = self._links.get(link)
        if last is None or now - last.at > TOGETHER:
            last = self._links[link] = _Opened(now, client)
        self._links.move_to_end(link)
        while len(self._links) > _REMEMBERED:
            self._links.popitem(last=False)
        if last.several or client != last.client:
            taken_back, last.clicks, last.several, last.at = last.clicks, 0, True, now
            return -taken_back
        last.clicks += 1
        return 1
