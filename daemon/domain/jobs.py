"""A job, what one answer says of it, and how long its links live."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType
from urllib.parse import parse_qs, urlsplit

ProjectName = NewType("ProjectName", str)
ChannelName = NewType("ChannelName", str)
JobId = NewType("JobId", str)

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_EPOCH = re.compile(r"[0-9]{1,32}", re.ASCII)  # more digits are no time, and thousands no int for Python
_MAX_EPOCH = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that a datetime holds
DAY = timedelta(hours=24)
"""Life of a preview URL (API document, Table 6) and of an asset's download URL."""


class Tracking(StrEnum):
    """Whether wrapd still asks about a job, and if not, why."""

    ACTIVE = "active"
    FINISHED = "finished"  # the service ended it: SUCCEED, FAILED or CANCELED
    LOST = "lost"  # the service does not know it, for longer than the grace
    EXPIRED = "expired"  # it did not end within give_up_after
    STOPPED = "stopped"  # a person said so


class KindSource(StrEnum):
    """How wrapd knows of what kind a job is."""

    GIVEN = "given"  # a person or a tool said so
    FOUND = "found"  # the service said so
    GUESSED = "guessed"  # nobody did yet


class NamedBy(StrEnum):
    """Who named a job, the one to be believed most."""

    PERSON = "person"  # a person or a tool
    SERVICE = "service"  # the service's list
    CALLBACK = "callback"  # a callback alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """The produced video. URLs are kept exactly as they came; None where the answer had none."""

    asset_id: str | None = None
    asset_name: str | None = None
    cover_url: str | None = None
    preview_url: str | None = None
    download_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one answer of the API says about a job. Times are aware UTC; durations are seconds.

    `state` is a `State` value or an unknown state as it came (`states.read_state`). `reported_at` is the
    service's own time of the job's last update. No order of times may be assumed (the document's own example
    starts ten months before it was created).
    """

    state: str
    reported_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: float | None = None
    asset: Asset = field(default_factory=Asset)
    error_code: str | None = None
    error_msg: str | None = None


def parse_job_id(text: str) -> JobId:
    """`text` as a job id. Raises ValueError unless it is 1 to 128 of letters, digits, `_` and `-`."""
    if _JOB_ID.fullmatch(text) is None:
        shown = text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)"
        raise ValueError(f"{shown!r} is not a job id: 1 to 128 letters, digits, '_' and '-'")
    return JobId(text)


def link_expiry(url: str, *, fetched_at: datetime, unsigned_life: timedelta | None = DAY) -> datetime | None:
    """When `url` stops working: its `Expires=` (epoch seconds, as object storage signs) or its X-Amz/X-Obs date
    and life; without either `fetched_at` + `unsigned_life`, or None where that is None.

    >>> link_expiry("https://h/c.png?Expires=1671241457", fetched_at=datetime(2022, 1, 1, tzinfo=UTC))
    datetime.datetime(2022, 12, 17, 1, 44, 17, tzinfo=datetime.timezone.utc)
    """
    signed = _signed_expiry(url)
    if signed is not None:
        return signed
    return None if unsigned_life is None else fetched_at + unsigned_life


def _signed_expiry(url: str) -> datetime | None:
    try:
        query = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    except ValueError:
        return None
    expires = query.get("expires", "")
    if _EPOCH.fullmatch(expires) is not None and 0 < int(expires) <= _MAX_EPOCH:
        return datetime.fromtimestamp(int(expires), UTC)
    for vendor in ("x-amz-", "x-obs-"):
        begun, life = query.get(f"{vendor}date", ""), query.get(f"{vendor}expires", "")
        try:
            start = datetime.strptime(begun, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return start + timedelta(seconds=int(life))
        except (ValueError, OverflowError):
            continue
    return None
