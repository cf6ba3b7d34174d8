"""Classifies who opens a link: a person in a browser, a tool, or a program that opens links ahead of them. Pure.

A click counted as a person's suppresses the reminder of an expiring link, so in doubt it was not a person.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

TOGETHER = 3.0
"""Seconds within which different clients opening the same link are taken for scanners."""
_REMEMBERED = 4096


class Visitor(Enum):
    """Who opened a link."""

    PERSON = auto()
    TOOL = auto()  # it wants the video, but no one may have seen it: curl, a player
    ROBOT = auto()


_ROBOT = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|unfurl|prefetch|facebookexternalhit|whatsapp|embedly|slack-imgproxy"
    r"|dingtalk-robot|compatible;(?! MSIE)|headless|phantomjs|puppeteer|playwright|selenium|lighthouse"
    r"|\bscan|scanner|\bcheck|validator|monitor|uptime|pingdom|linkfinder|ms-?office|microsoft office|existence"
    r"|proofpoint|mimecast|barracuda|symantec|trendmicro|forcepoint|fireeye|zscaler|sophos|safelinks|safe links"
    r"|urldefense|virustotal|googleimageproxy|google-safety|google-read-aloud|googleother",
    re.IGNORECASE,
)
"""User agents of programs that open the links of a message before anyone reads it."""
_BROWSER = re.compile(r"(?:mozilla|opera)/\d\S* .*\b[a-z]+/\d", re.IGNORECASE)
"""The form of every browser's name, with an engine or program; scripts often copy the first word only."""
_PREFETCH = re.compile(r"prefetch|prerender|preview|unfurl", re.IGNORECASE)
_PREFETCH_HEADERS = ("purpose", "x-purpose", "sec-purpose", "x-moz")
_OPENED_AS = frozenset({"document", "video"})
"""`Sec-Fetch-Dest` when a person follows a link, and when a page embeds the video."""


def is_robot(agent: str) -> bool:
    """Whether a user agent is a program that fetches links, not a person.

    >>> [is_robot(each) for each in ("Slackbot-LinkExpanding 1.0", "Mozilla/5.0 (X11) Firefox/140.0")]
    [True, False]
    """
    return _ROBOT.search(agent) is not None


def visitor(method: str, headers: Mapping[str, str]) -> Visitor:
    """Classify the sender of a request. `headers` are looked up by lower-case name."""
    agent = headers.get("user-agent", "")
    if method != "GET" or not agent.strip() or is_robot(agent):
        return Visitor.ROBOT
    if "from" in headers or any(_PREFETCH.search(headers.get(name, "")) for name in _PREFETCH_HEADERS):
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
    """Recent openings by link. Mail scanners pose as browsers, but unlike people they come in numbers, from
    several machines, within seconds."""

    def __init__(self) -> None:
        self._links: OrderedDict[int, _Opened] = OrderedDict()

    def note(self, link: int, client: str, *, now: float) -> int:
        """Record that a browser opened a link (a row id) at `now` (monotonic seconds). Returns the change of its
        clicks: 1, or 0 or less if this shows that the earlier ones were not a person's either."""
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
