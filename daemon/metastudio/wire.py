"""Parsing of answers about a task, as far as a poll needs them.

Owns the tolerance: an unneeded field never fails a poll, and an unusable needed one becomes None. Only two things
are errors: a body that is not a JSON object, and a state that is missing, blank or not a string. What a state
means is left to `domain`. Source: the API document, tables 5 to 7; `wire_task.Task` is the complete table 5.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any, TypeGuard

import msgspec

from daemon.domain.jobs import Asset, JobId, Observation
from daemon.domain.states import read_state
from daemon.domain.text import is_visible
from daemon.masks import MASKS

_MILLIS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: in seconds this would be the year 5138."""
_TOO_LARGE = 2**63
"""Integers from here on are invalid: the API's ranges end at 2147483647."""
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)
"""Earlier times mean "not set" (0, 0001-01-01): the service is younger."""
_LATEST = datetime(2100, 1, 1, tzinfo=UTC)
"""Times from here on mean "never" (9999-12-31) or are invalid."""
_LONGEST = 2_147_483_647
"""Maximum duration of a video in seconds (table 5)."""

MOST_CODE, MOST_NAME, MOST_WORDS = 128, 1000, 4000
"""Maximum lengths, in characters, of a code or id, a name, and an error message."""
MOST_URL = 8192
"""Maximum length of a URL in characters. Longer ones are dropped, as neither they nor a part of them would
work."""


class UnusableAnswer(ValueError):
    """The answer is unusable; `str()` says why."""


class PolledAsset(msgspec.Struct, gc=False):
    """The part of table 6 that a poll needs: ids and links, as strings."""

    asset_id: str | None = None
    asset_name: str | None = None
    cover_url: str | None = None
    preview_video_url: str | None = None


class PolledError(msgspec.Struct, gc=False):
    """Table 7: why the task failed."""

    error_code: str | None = None
    error_msg: str | None = None


class PolledTask(msgspec.Struct, gc=False):
    """The part of table 5 for polls. Times are ISO 8601 strings; `duration` is in seconds, 0 to 2147483647.

    `name` and `model_cover_url` describe the result of picture modelling (the official SDK's
    `ShowPictureModelingJobResponse`).
    """

    state: str
    job_id: JobId | None = None
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
    """Read the observation of the job `job_id` from an answer; `at` is the path of fields to the task.

    Raises UnusableAnswer if it has no state or is about another job.
    """
    if at:
        return observation_of(lenient_task(inner(read_object(body), at)), job_id)
    try:
        task = _EXACT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        task = lenient_task(read_object(body))
    return observation_of(task, job_id)


def read_object(body: bytes) -> dict[str, Any]:
    """Parse `body` as a JSON object, repairing malformed strings (invalid UTF-8, lone surrogates).

    Raises UnusableAnswer.
    """
    if not body.strip():
        raise UnusableAnswer("the answer is empty")
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        value = _repaired(body)
    if not isinstance(value, dict):
        raise UnusableAnswer("the answer is not a JSON object")
    return value


_KEPT_WORDS = """
job_id state job_type start_time end_time duration output_asset_config error_info create_time lastupdate_time
script_id model_asset_id voice_config video_config background_music_config asset_id asset_name cover_url
preview_video_url
error_code error_msg voice_asset_id speed pitch volume clip_mode codec bitrate width height frame_rate
is_subtitle_enable music_asset_id name model_cover_url
"""
_KEPT = frozenset(_KEPT_WORDS.split())
"""Fields of tables 5 to 9 and 28."""
_CUTS = (1000, 50)
"""Characters of each text in a kept answer: as many as let the whole be short enough."""
MOST_KEPT = 16 * 1024
"""Most characters of a kept answer."""


def kept_answer(body: bytes, *, at: tuple[str, ...] = ()) -> str:
    """Return an answer as it may be kept and shown: JSON of the documented fields, without the script, the photo,
    secrets, and the queries of URLs, which sign them. Raises UnusableAnswer if `body` is not a JSON object."""
    found = inner(read_object(body), at)
    texts = (msgspec.json.encode(_kept(found, most)).decode() for most in _CUTS)
    return next((text for text in texts if len(text) <= MOST_KEPT), "{}")


def _kept(found: dict[str, Any], most: int, *, inside: bool = False) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name in _KEPT & found.keys():
        value = found[name]
        if isinstance(value, str):
            kept[name] = MASKS.cut(value, most)
        elif isinstance(value, bool) or (is_number(value) and abs(value) < _TOO_LARGE):
            kept[name] = value
        elif isinstance(value, dict | list) and not inside:
            kept[name] = _kept(_object(value), most, inside=True)
    return kept


def looks_like_object(body: bytes) -> bool:
    """Whether `body` begins like a JSON object: enough to tell the API's answers from web pages."""
    return body[:1] == b"{" or body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"


def read_main_file(body: bytes) -> str | None:
    """The verbatim download URL of an asset's MAIN file; None if there is none. Raises UnusableAnswer.

    Source: the official SDK's `ShowAssetResponse` (`files[]` with `asset_file_category` and `download_url`).
    """
    files = read_object(body).get("files")
    for file in files if isinstance(files, list) else [files]:
        if isinstance(file, dict) and str(file.get("asset_file_category")).strip().upper() == "MAIN":
            url = _dropped(read_text(file.get("download_url")), MOST_URL)
            if url is not None:
                return url
    return None


def read_time(value: object) -> datetime | None:
    """Read a time: ISO 8601 with Z, an offset or no zone (UTC), or epoch seconds or milliseconds. None for
    anything else, and for values that mean "not set"."""
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
    """Read a non-blank string, or a number as its digits; None for anything else. Removes NUL characters, which
    databases and terminals handle badly."""
    if is_number(value):
        return str(value)
    if isinstance(value, str) and "\0" in value:
        value = value.replace("\0", "")
    return value if isinstance(value, str) and value and not value.isspace() else None


def read_number(value: object) -> int | float | None:
    """Read a finite number, also from a string like the document's own example (`"656,"`); otherwise None."""
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
    """Whether `value` is a JSON number (not a bool)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _repaired(body: bytes) -> object:
    """Parse JSON that msgspec refuses: invalid UTF-8, a byte order mark, lone surrogates, NaN and infinities."""
    text = body.decode("utf-8-sig", "replace")
    try:
        return json.loads(text, object_hook=_repaired_texts, parse_constant=lambda _: None, parse_int=_integer)
    except (ValueError, RecursionError):
        raise UnusableAnswer("the answer is not JSON") from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= 400 else None  # Python refuses very long ones


def _repaired_texts(found: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in found.items()
    }


def inner(found: dict[str, Any], at: tuple[str, ...]) -> dict[str, Any]:
    """The object at the path of fields `at`; an empty one if there is none."""
    for name in at:
        found = _object(found.get(name))
    return found


def _object(value: object) -> dict[str, Any]:
    """`value` if it is an object, the first item of an array, or else an empty object."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}


def lenient_task(found: dict[str, Any]) -> PolledTask:
    """Read a task that deviates from the document. Raises UnusableAnswer if it has no state."""
    state = found.get("state")
    if not isinstance(state, str):
        raise UnusableAnswer("the answer has no state" if state is None else "the state is not a string")
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
    """The observation in `task`. Raises UnusableAnswer for a blank state, or for another job than `job_id`."""
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
        error_code=_truncated(read_text(error.error_code), MOST_CODE),
        error_msg=_masked(read_text(error.error_msg)),
    )


def _masked(text: str | None) -> str | None:
    """Mask secrets in an error message: it goes to chats and the database, and may repeat parts of the request."""
    return MASKS.apply(text) if text is not None and len(text) <= MOST_WORDS else _truncated(text, MOST_WORDS)


def _truncated(text: str | None, most: int) -> str | None:
    """Truncate an overlong text without leaving part of a secret."""
    return text if text is None or len(text) <= most else MASKS.cut(text, most) or None


def _name(text: str | None) -> str | None:
    """Truncate an overlong name, and drop one of which nothing can be seen."""
    return _truncated(text, MOST_NAME) if text is not None and is_visible(text) else None


def _dropped(text: str | None, most: int) -> str | None:
    """Drop an overlong text that would be useless if truncated."""
    return text if text is not None and len(text) <= most else None


def _model(task: PolledTask) -> Asset:
    if task.name is None and task.model_cover_url is None:
        return _NO_ASSET
    return Asset(
        asset_name=_name(read_text(task.name)),
        cover_url=_dropped(read_text(task.model_cover_url), MOST_URL),
    )


def _asset(asset: PolledAsset) -> Asset:
    return Asset(
        asset_id=_dropped(read_text(asset.asset_id), MOST_CODE),
        asset_name=_name(read_text(asset.asset_name)),
        cover_url=_dropped(read_text(asset.cover_url), MOST_URL),
        preview_url=_dropped(read_text(asset.preview_video_url), MOST_URL),
    )


def _time_of_text(text: str) -> datetime | None:
    if text.isascii() and text.isdigit() and len(text) >= 9:
        return _time_of_number(int(text))
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _time_of_number(number: int | float) -> datetime | None:
    return datetime.fromtimestamp(number / 1000 if number >= _MILLIS_FROM else number, UTC)
