"""Jobs, the observations that answers make of them, and the lifetime of their links."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NewType
from urllib.parse import parse_qs, urlsplit

ProjectName = NewType("ProjectName", str)
ChannelName = NewType("ChannelName", str)
JobId = NewType("JobId", str)

PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
"""Ids of jobs, projects and assets: none of their characters needs quoting in a URL."""
_EPOCH = re.compile(r"[0-9]{1,32}", re.ASCII)  # bounded: Python refuses to parse thousands of digits
_MAX_EPOCH = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second that a datetime can hold
DAY = timedelta(hours=24)
"""Lifetime of a preview URL (API document, table 6) and of an asset's download URL."""


class Tracking(StrEnum):
    """Whether wrapd polls a job, and why not if it does not."""

    ACTIVE = "active"
    FINISHED = "finished"  # the job ended: SUCCEED, PARTIAL_SUCCEED, FAILED or CANCELED
    LOST = "lost"  # the service has not known the job for longer than the grace period
    EXPIRED = "expired"  # the job did not end within give_up_after
    STOPPED = "stopped"  # a person stopped it


class KindSource(StrEnum):
    """Where a job's kind comes from."""

    GIVEN = "given"  # a person or a tool
    FOUND = "found"  # the service
    GUESSED = "guessed"  # not confirmed yet


class NamedBy(StrEnum):
    """The most trusted source that has named a job."""

    PERSON = "person"  # a person or a tool
    SERVICE = "service"  # the service's list
    CALLBACK = "callback"  # only a callback


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """The produced video. URLs are verbatim; None if the answer had none."""

    asset_id: str | None = None
    asset_name: str | None = None
    cover_url: str | None = None
    preview_url: str | None = None
    download_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A job as one answer of the API describes it. Times are aware UTC; durations are seconds.

    `state` is a `State` value or a verbatim unknown state (`states.read_state`). `reported_at` is the service's
    time of the last update. Times have no guaranteed order: the document's own example starts ten months before
    creation.
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
    """Return `text` as a job id. Raises ValueError unless it is 1 to 128 letters, digits, `_` and `-`."""
    if PLAIN_ID.fullmatch(text) is None:
        shown = text if len(text) <= 40 else f"{text[:40]}… ({len(text)} characters)"
        raise ValueError(f"{shown!r} is not a job id: 1 to 128 letters, digits, '_' and '-'")
    return JobId(text)


def link_expiry(url: str, *, fetched_at: datetime, unsigned_life: timedelta | None = DAY) -> datetime | None:
    """When `url` expires, by its `Expires=` (epoch seconds, as object storage signs) or its X-Amz/X-Obs date and
    lifetime. Without either: `fetched_at` + `unsigned_life`, or None if that is None.

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
