"""An answer about a task, read as far as a poll needs it; the rest stays raw until somebody asks.

Owns the tolerance: a field that is not needed never fails a poll, and a needed one that is unusable becomes
None. Only two things are errors: a body that is not a JSON object, and a state that is missing, blank or no text.
It must never judge a state. Source: the API document, tables 5 to 7; the whole of table 5 is `wire_task.Task`.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any, TypeGuard

import msgspec

from daemon.domain.jobs import Asset, Observation
from daemon.domain.states import read_state
from daemon.masks import MASKS

_MILLIS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds this is the year 5138."""
_TOO_LARGE = 2**63
"""Integers from here on are none of the API's: its ranges end at 2147483647."""
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Times before this mean "not set" (0, 0001-01-01): the service is younger."""
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Times from here on mean "never" (9999-12-31), or nothing."""
_LONGEST = 2_147_483_647
"""Seconds of video at most (table 5)."""

MOST_CODE, MOST_NAME, MOST_WORDS = 128, 1000, 4000
"""Characters that are kept of a code or an id, of a name, and of the words about a failure."""
MOST_URL = 8192
"""Characters of a URL at most: a longer one opens nowhere, and a cut one opens nothing."""


class UnusableAnswer(ValueError):
    """The answer does not tell a state; `str()` says why."""


class PolledAsset(msgspec.Struct, gc=False):
    """Table 6, what a poll needs of it: ids and links, as text."""

    asset_id: str | None = None
    asset_name: str | None = None
    cover_url: str | None = None
    preview_video_url: str | None = None


class PolledError(msgspec.Struct, gc=False):
    """Table 7: why the task failed."""

    error_code: str | None = None
    error_msg: str | None = None


class PolledTask(msgspec.Struct, gc=False):
    """Table 5, what a poll needs of it. Times are ISO 8601 text; `duration` is seconds, 0 to 2147483647.

    `name` and `model_cover_url` are how picture modelling tells what it made (the official SDK's
    `ShowPictureModelingJobResponse`).
    """

    state: str
    job_id: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    duration: float | None = None
    output_asset_config: PolledAsset | None = None
    error_info: PolledError | None = None
    create_time: str | None = None
    lastupdate_time: str | None = None
    name: str | None = None
    model_cover_url: str | None = None


_EXACT = msgspec.json.Decoder(PolledTask)
_ANY = msgspec.json.Decoder()
_NO_ASSET = Asset()
_NO_ERROR = PolledError()


def read_task(body: bytes, *, at: tuple[str, ...] = (), job_id: str | None = None) -> Observation:
    """What an answer says of a task. `at` leads to the object that holds it; `job_id` is the one that was asked.

    Raises UnusableAnswer where it tells no state, or speaks of another job.
    """
    if at:
        return observation_of(lenient_task(inner(read_object(body), at)), job_id)
    try:
        task = _EXACT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        task = lenient_task(read_object(body))
    return observation_of(task, job_id)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that `body` is; odd texts in it (bytes that are no UTF-8, lone surrogates) are mended.

    Raises UnusableAnswer.
    """
    if not body.strip():
        raise UnusableAnswer("the answer is empty")
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        value = _mended(body)
    if not isinstance(value, dict):
        raise UnusableAnswer("the answer is not a JSON object")
    return value


def looks_like_object(body: bytes) -> bool:
    """Whether `body` begins as a JSON object: enough to tell an answer of the API from a page."""
    return body[:1] == b"{" or body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"


def read_main_file(body: bytes) -> str | None:
    """The download URL of an asset's MAIN file, as it came; None where there is none. Raises UnusableAnswer.

    Source: the official SDK's `ShowAssetResponse` (`files[]` with `asset_file_category` and `download_url`).
    """
    files = read_object(body).get("files")
    for file in files if isinstance(files, list) else [files]:
        if isinstance(file, dict) and str(file.get("asset_file_category")).strip().upper() == "MAIN":
            url = _whole(read_text(file.get("download_url")), MOST_URL)
            if url is not None:
                return url
    return None


def read_time(value: object) -> datetime | None:
    """A time as the API may write it: ISO 8601 with Z, an offset or no zone (UTC), or epoch milliseconds. None for
    anything else, and for what means "not set"."""
    try:
        if isinstance(value, str):
            moment = _time_of_text(value.strip())
        elif is_number(value):
            moment = _time_of_number(value)
        else:
            moment = None
    except (ValueError, OverflowError, OSError):
        moment = None
    return moment if moment is not None and _EARLIEST <= moment < _LATEST else None


def read_text(value: object) -> str | None:
    """A text that says something: None for blank ones and for other types, but a number is taken as its digits.
    NUL, which no database and no terminal takes well, is left out."""
    if is_number(value):
        return str(value)
    if isinstance(value, str) and "\0" in value:
        value = value.replace("\0", "")
    return value if isinstance(value, str) and value and not value.isspace() else None


def read_number(value: object) -> int | float | None:
    """A finite number: as it is, or from a text as the document's own example has it (`"656,"`). Else None."""
    if isinstance(value, str):
        text = value.strip().rstrip(",").strip()
        try:
            value = int(text)
        except ValueError:
            value = _float(text)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if is_number(value) and abs(value) < _TOO_LARGE else None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number of JSON (a bool is none)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mended(body: bytes) -> object:
    """Parse what msgspec refuses: bytes that are no UTF-8, a byte order mark, lone surrogates."""
    text = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, object_hook=_mended_texts, parse_constant=_none, parse_int=_integer)
    except (ValueError, RecursionError):
        raise UnusableAnswer("the answer is not JSON") from None


def _none(_name: str) -> None:
    """NaN and the infinities, which are no JSON."""


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 400 else None  # Python refuses very long ones


def _mended_texts(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in found.items()
    }


def inner(found: dict[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    """The object that the fields `at` lead to; an empty one where there is none."""
    for name in at:
        found = _object(found.get(name))
    return found


def _object(value: object) -> dict[str, Any]:
    """An object where one belongs: itself, the first of an array, else an empty one."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}


def lenient_task(found: dict[str, Any]) -> PolledTask:
    """A task of which something is not as documented. Raises UnusableAnswer where it has no state."""
    state = found.get("state")
    if not isinstance(state, str):
        raise UnusableAnswer("the answer has no state" if state is None else "the state is not a text")
    output = found.get("output_asset_config")
    asset, error = _object(output), _object(found.get("error_info"))
    duration = read_number(found.get("duration"))
    task = PolledTask(state, duration=None if duration is None else float(duration))
    for name in ("job_id", "name", "model_cover_url"):
        setattr(task, name, read_text(found.get(name)))
    for name in ("start_time", "end_time", "create_time", "lastupdate_time"):
        moment = read_time(found.get(name))
        setattr(task, name, None if moment is None else moment.isoformat())
    if output is not None:
        task.output_asset_config = PolledAsset(**{name: read_text(asset.get(name)) for name in _ASSET_FIELDS})
    task.error_info = PolledError(read_text(error.get("error_code")), read_text(error.get("error_msg")))
    return task


_ASSET_FIELDS = PolledAsset.__struct_fields__


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def observation_of(task: PolledTask, job_id: str | None = None) -> Observation:
    """What the task says. Raises UnusableAnswer for a blank state, or where it is not the job `job_id`."""
    if job_id is not None and task.job_id is not None and task.job_id != job_id:
        raise UnusableAnswer("the answer is about another job")
    try:
        state = read_state(task.state)
    except ValueError:
        raise UnusableAnswer("the state is empty") from None
    asset = task.output_asset_config
    error = task.error_info or _NO_ERROR
    duration = task.duration
    if duration is not None and not 0 <= duration <= _LONGEST:
        duration = None
    return Observation(
        state=state,
        reported_at=read_time(task.lastupdate_time),
        created_at=read_time(task.create_time),
        started_at=read_time(task.start_time),
        ended_at=read_time(task.end_time),
        duration=duration,
        asset=_model(task) if asset is None else _asset(asset),
        error_code=_short(read_text(error.error_code), MOST_CODE),
        error_msg=_masked(read_text(error.error_msg)),
    )


def _masked(text: str | None) -> str | None:
    """The service's words about a failure go into chats and the database; they may repeat what was sent."""
    return MASKS.apply(text) if text is not None and len(text) <= MOST_WORDS else _short(text, MOST_WORDS)


def _short(text: str | None, most: int) -> str | None:
    """A text that is too long for what it should be is cut, and no secret in it."""
    return text if text is None or len(text) <= most else MASKS.cut(text, most) or None


def _whole(text: str | None, most: int) -> str | None:
    """A text that is of no use in part: none where it is too long."""
    return text if text is not None and len(text) <= most else None


def _model(task: PolledTask) -> Asset:
    if task.name is None and task.model_cover_url is None:
        return _NO_ASSET
    return Asset(
        asset_name=_short(read_text(task.name), MOST_NAME),
        cover_url=_whole(read_text(task.model_cover_url), MOST_URL),
    )


def _asset(asset: PolledAsset) -> Asset:
    return Asset(
        asset_id=_whole(read_text(asset.asset_id), MOST_CODE),
        asset_name=_short(read_text(asset.asset_name), MOST_NAME),
        cover_url=_whole(read_text(asset.cover_url), MOST_URL),
        preview_url=_whole(read_text(asset.preview_video_url), MOST_URL),
    )


def _time_of_text(text: str) -> datetime | None:
    if text.isascii() and text.isdigit() and len(text) >= 9:
        return _time_of_number(int(text))
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _time_of_number(number: int | float) -> datetime | None:
    return datetime.fromtimestamp(number / 1000 if number >= _MILLIS_FROM else number, UTC)
