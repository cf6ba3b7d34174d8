"""The daemon's last report on a project, read tolerantly and put into words."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from daemon.cli.text import about, ago, clean, figure, percent

if TYPE_CHECKING:
    from daemon.store import Status

STALE = 120.0
"""Seconds after which the daemon's report is out of date."""

_FEED = {
    "off": "not used",
    "trial": "on trial: compared with the results of other queries",
    "trusted": "trusted: it reports all ends",
    "distrusted": "distrusted",
}


def number(facts: "Mapping[str, object]", name: str) -> float | None:
    """A reported number, or None."""
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(facts: "Mapping[str, object]", name: str) -> str | None:
    """A reported text, or None."""
    value = facts.get(name)
    return value if isinstance(value, str) and value else None


def time(facts: "Mapping[str, object]", name: str) -> datetime | None:
    """A reported time, or None."""
    try:
        at = datetime.fromisoformat(text(facts, name) or "")
    except ValueError:
        return None
    return at if at.tzinfo else None


def lines(status: "Status | None", *, running: bool, now: datetime) -> Iterator[tuple[str, str]]:
    """The report in lines of name and value."""
    if status is None:
        yield "daemon", "runs, but has not reported yet" if running else "has never run on this project"
        return
    facts = status.facts
    yield from _project(facts)
    yield "feed", _feed(facts, now)
    yield "lists", _lists(facts)
    yield "price", _price(facts)
    yield "requests", _requests(facts)
    old = (now - status.at).total_seconds() > STALE
    if not running:
        yield "daemon", f"does not run; it reported this {ago(status.at, now)}"
    elif old:
        yield (
            "daemon",
            f"runs, but reported this {ago(status.at, now)}: the project may no longer be in its config",
        )


def _project(facts: "Mapping[str, object]") -> Iterator[tuple[str, str]]:
    if facts.get("up") is False:
        yield "service", "does not answer; retrying"
    late = number(facts, "late_seconds")
    if late is not None and late >= 1:
        yield "late", f"the most overdue job has waited for {about(late)}"


def _feed(facts: "Mapping[str, object]", now: datetime) -> str:
    standing = text(facts, "feed") or "not known"
    reason, again = text(facts, "feed_reason"), time(facts, "feed_again_at")
    said = clean(_FEED.get(standing, standing))
    if reason is not None:
        said += f": {clean(reason)}" if ":" not in said else f"; {clean(reason)}"
    return said if again is None or standing == "trusted" else f"{said}; tried again {ago(again, now)}"


def _lists(facts: "Mapping[str, object]") -> str:
    size, reason = number(facts, "batch_size") or 1, text(facts, "batch_reason")
    if text(facts, "batch") == "off":
        return "not used: each job is queried individually"
    said = f"up to {size:.0f} jobs per request" if size > 1 else "each job is queried individually"
    return f"{said}: {clean(reason)}" if reason else said


def _price(facts: "Mapping[str, object]") -> str:
    price, pressure = number(facts, "price"), number(facts, "pressure") or 1.0
    if price is None:
        return "not known"
    raised = f", raised {figure(pressure)} times because the budget is short" if pressure > 1 else ""
    return f"{figure(price)} s of delay for a request{raised}"


def _requests(facts: "Mapping[str, object]") -> str:
    rate, usage = number(facts, "rate"), number(facts, "usage")
    if rate is None:
        return "not known"
    used = "" if usage is None else f"; {percent(usage)} of the budget used recently"
    return f"at most {figure(rate)} per second{used}"
