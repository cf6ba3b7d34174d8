"""Draws the timelines of jobs, their states and how long each lasts, from a seeded workload.

Owns the workload's shape. Seconds here are those of a service at speed 1. Reads no clock.

    WAITING      at least 5 s, bursty: the queue is calm or congested, and stays so for a while
    PROCESSING   30 s + 2.9 x the spoken seconds, times a lognormal factor (sigma 0.25);
                 3 % take 3 to 12 times as long
    5 %          fail early, some seconds into PROCESSING
    1.5 %        are canceled while they wait
    1.5 %        are frozen (BLOCK) half-way, thaw after 1 to 15 minutes, and go on

Kinds without scripts have their usual time instead. Only kinds that freeze are frozen. Where success can be
partial, a tenth of it is.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from daemon.sim.kinds import AVATAR, Kind

Step = tuple[str, float | None]
"""A state and its length in seconds; None for the last one, which does not end."""

SHORTEST_WAIT: Final = 5.0
_BURST_TURNS: Final = {False: 0.04, True: 0.12}
"""Probability at each new job that a calm queue becomes congested (False) or a congested one calm (True)."""
_MEAN_WAIT: Final = {False: 12.0, True: 90.0}
_BASE: Final = 30.0
_PER_SPOKEN_SECOND: Final = 2.9
_SIGMA: Final = 0.25
_TAIL, _EARLY_FAILURE, _CANCELED, _BLOCKED, _PARTIAL = 0.03, 0.05, 0.015, 0.015, 0.1

_TAG = re.compile(r"<[^>]*>")
CHARS_PER_SECOND = 14.0
"""About 150 English words a minute (API document, Table 8)."""
_HAN_PER_SECOND = 250 / 60
"""About 250 Chinese characters a minute (the same table of the Chinese document)."""


def spoken_seconds(text: str, *, speed: int = 100) -> float:
    """Return the seconds that a voice at `speed` (100 is normal, 200 twice as fast) takes to speak `text`, without
    SSML tags."""
    plain = _TAG.sub("", text)
    han = sum(1 for char in plain if "\u3040" <= char <= "\u9fff")
    return (han / _HAN_PER_SECOND + (len(plain) - han) / CHARS_PER_SECOND) * 100 / speed


class Timelines:
    """Draws timelines; the same random source gives the same timelines in the same order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._congested = False

    def script_chars(self) -> int:
        """Draw a script's length in characters: most have some hundred, few have thousands."""
        return min(9_000, max(40, round(self._rng.lognormvariate(6.3, 0.7))))

    def plan(self, spoken: float, kind: Kind = AVATAR) -> list[Step]:
        """Draw the timeline of a job of `kind`, whose script, if any, takes `spoken` seconds to speak."""
        rng = self._rng
        if rng.random() < _BURST_TURNS[self._congested]:
            self._congested = not self._congested
        waiting = SHORTEST_WAIT + rng.expovariate(1 / _MEAN_WAIT[self._congested])
        usual = _BASE + _PER_SPOKEN_SECOND * spoken if kind.scripted else kind.seconds
        production = usual * rng.lognormvariate(0, _SIGMA)
        if rng.random() < _TAIL:
            production *= rng.uniform(3, 12)
        fate = rng.random()
        if fate < _EARLY_FAILURE:
            early = min(production, 2 + rng.expovariate(1 / 15))
            return [("WAITING", waiting), ("PROCESSING", early), ("FAILED", None)]
        fate -= _EARLY_FAILURE
        if fate < _CANCELED:
            return [("WAITING", waiting), ("CANCELED", None)]
        fate -= _CANCELED
        if fate < _BLOCKED and kind.freezes:
            share = rng.uniform(0.2, 0.8)
            return [
                ("WAITING", waiting),
                ("PROCESSING", production * share),
                ("BLOCK", rng.uniform(60, 900)),
                ("PROCESSING", production * (1 - share)),
                ("SUCCEED", None),
            ]
        partial = kind.may_half_succeed and rng.random() < _PARTIAL
        return [
            ("WAITING", waiting),
            ("PROCESSING", production),
            ("PARTIAL_SUCCEED" if partial else "SUCCEED", None),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure:
    """The service's error code and message for a failed job."""

    code: str
    message: str


FAILURES: Final[Sequence[JobFailure]] = (
    JobFailure(
        code="MSS.10002003", message="Failed to synthesize speech: the text contains unsupported characters"
    ),
    JobFailure(code="MSS.10003007", message="Video rendering failed, please try again later"),
    JobFailure(code="MSS.10005001", message="The content did not pass the automatic review"),
    JobFailure(code="MSS.10004012", message="Failed to download the background file"),
    JobFailure(code="MSS.10001009", message="The virtual avatar model is not available"),
)
"""Invented in the service's format: the document lists no production errors."""
