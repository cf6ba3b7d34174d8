"""Orders for new jobs from the control interface, parsed and checked before any job is created.

Owns the keys of the control interface's jobs, and those of `callback_config`. Leaves the creation to `book`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from daemon.domain.jobs import parse_job_id
from daemon.sim.kinds import KINDS, Kind
from daemon.sim.plans import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackConfig:
    """Where to send a job's callback, and how to authenticate the sender."""

    url: str
    auth_type: Literal["NONE", "MSS_A"] = "NONE"
    key: str = ""


_KEYS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "kind": ((str,), "a string"),
    "count": ((int,), "an integer"),
    "job_id": ((str,), "a string"),
    "name": ((str,), "a string"),
    "script_chars": ((int,), "an integer"),
    "timeline": ((list, tuple), "a list"),
    "created_ago": ((int, float), "a number of seconds"),
    "callback_config": ((dict, CallbackConfig), "an object with callback_url, auth_type and key"),
}
"""Key to the types of its value and their description in errors."""
_MAX_JOBS: Final = 1_000_000
_MAX_AGE: Final = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """Identical jobs to create; values that are None are made up from the seed. `timeline` is in seconds before
    division by the speed; it starts at the creation, `created_ago` seconds of the wall clock ago."""

    kind: Kind
    count: int = 1
    job_id: str | None = None
    name: str | None = None
    script_chars: int | None = None
    timeline: Sequence[Step] | None = None
    created_ago: float = 0.0
    callback_config: CallbackConfig | None = None


def read_order(given: Mapping[str, Any]) -> JobOrder:
    """Parse an order, whose values may be None. Raises ValueError."""
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in _KEYS:
            raise ValueError(f"unknown key {name!r}; the keys are {', '.join(_KEYS)}")
    for name, value in chosen.items():
        types, description = _KEYS[name]
        if not isinstance(value, types) or isinstance(value, bool):
            raise ValueError(f"{name} must be {description}")  # noqa: TRY004 - one error for every bad order
    kind = KINDS.get(chosen.pop("kind", "avatar"))
    if kind is None:
        raise ValueError(f"unknown kind {given['kind']!r}; the kinds are {', '.join(KINDS)}")
    if "timeline" in chosen:
        chosen["timeline"] = check_timeline(chosen["timeline"])
    if "callback_config" in chosen:
        chosen["callback_config"] = _callback(chosen["callback_config"])
    order = JobOrder(kind=kind, **chosen)
    _check_ranges(order)
    return order


def read_callback_config(given: Mapping[str, Any]) -> CallbackConfig:
    """Parse the `callback_config` of a request. Raises ValueError with the name of a bad key."""
    url, auth_type, key = given.get("callback_url"), given.get("auth_type"), given.get("key")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise ValueError("callback_config.callback_url")
    if auth_type not in (None, "NONE", "MSS_A"):
        raise ValueError("callback_config.auth_type")
    if key is not None and not isinstance(key, str):
        raise ValueError("callback_config.key")
    return CallbackConfig(url=url, auth_type=auth_type or "NONE", key=key or "")


def _callback(given: Mapping[str, Any] | CallbackConfig) -> CallbackConfig:
    if isinstance(given, CallbackConfig):
        return given
    try:
        return read_callback_config(given)
    except ValueError as error:
        raise ValueError(f"{error} is missing or wrong") from None


def _check_ranges(order: JobOrder) -> None:
    if not 1 <= order.count <= _MAX_JOBS:
        raise ValueError(f"count must be 1 to {_MAX_JOBS}")
    if order.job_id is not None:
        if order.count != 1:
            raise ValueError("a job_id names one job: count must be 1")
        parse_job_id(order.job_id)
    if order.script_chars is not None and not 0 <= order.script_chars <= 131_072:
        raise ValueError("script_chars must be 0 to 131072")
    if not 0 <= order.created_ago <= _MAX_AGE:
        raise ValueError("created_ago must be 0 to ten years")


def check_timeline(timeline: Sequence[Step]) -> list[Step]:
    """Check a timeline of `[state, seconds]` pairs and let its last state last forever. Raises ValueError."""
    checked: list[Step] = []
    for step in timeline:
        if not isinstance(step, list | tuple) or len(step) != 2:
            raise ValueError(f"{step!r} is not a pair of a state and seconds")
        state, seconds = step
        if not isinstance(state, str) or not state:
            raise ValueError(f"{state!r} is not a state")
        if seconds is not None and (
            isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0
        ):
            raise ValueError(f"{seconds!r} is not a number of seconds")
        checked.append((state, seconds))
    if not checked:
        raise ValueError("the timeline is empty")
    if any(seconds is None for _, seconds in checked[:-1]):
        raise ValueError("only the last state of a timeline may have null seconds")
    checked[-1] = (checked[-1][0], None)
    return checked
