"""The complete answer about a task, typed on demand: tables 5 to 11 and 26 to 28 of the API document.

Owns the types around the script (`wire_script`) and the lenient decoder for all of them: a value of a wrong type
becomes None (an array: empty), a number in a string becomes the number, a single object in place of an array is
wrapped. Polling uses `wire` instead, which reads what it needs several times faster.
"""

from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from daemon.metastudio.wire import inner, is_number, read_number, read_object
from daemon.metastudio.wire_script import Number, ShootScript


class OutputAssetInfo(msgspec.Struct, kw_only=True):
    """Table 6: the produced video.

    - asset_id: asset of the output video.
    - asset_name: its name.
    - cover_url: its thumbnail; the URL may carry its end as `Expires=` (epoch seconds).
    - preview_video_url: a preview, valid for 24 hours; avatar videos have none.
    """

    asset_id: str | None = None
    asset_name: str | None = None
    cover_url: str | None = None
    preview_video_url: str | None = None


class ErrorResponse(msgspec.Struct, kw_only=True):
    """Table 7: why a task failed.

    - error_code: a code such as MSS.00000004.
    - error_msg: its description.
    """

    error_code: str | None = None
    error_msg: str | None = None


class VoiceConfig(msgspec.Struct, kw_only=True):
    """Table 8: the voice.

    - voice_asset_id: asset of the timbre, 1 to 256 characters.
    - speed: percent of an adult's normal speed (about 150 words a minute), 50 to 200, 100 by default.
    - pitch: percent, 50 to 200, 100 by default.
    - volume: 90 to 240, 140 by default.
    """

    voice_asset_id: str | None = None
    speed: Number = None
    pitch: Number = None
    volume: Number = None


class SubtitleConfig(msgspec.Struct, kw_only=True):
    """Table 10: how subtitles look.

    - dx: pixels of the box's left edge, 0 to 1920.
    - dy: pixels of the box's lower edge, 0 to 1920.
    - font_name: 0 to 64 characters, HarmonyOS_Sans_SC_Black by default.
    - font_size: 0 to 120 (really 4 to 120), 54 by default.
    - h: pixels, height of the box, 0 to 1920; only for reckoning its upper edge.
    - w: pixels, width of the box, 0 to 1920; fixed at 80 % of the screen.
    """

    dx: Number = None
    dy: Number = None
    font_name: str | None = None
    font_size: Number = None
    h: Number = None
    w: Number = None


class VideoConfig(msgspec.Struct, kw_only=True):
    """Table 9: the output video.

    - clip_mode: RESIZE (default) or CROP.
    - codec: H264 (MP4 file) or VP8 (WebM file; avatar videos only).
    - bitrate: kbit/s on average, 40 to 30000 (avatar videos: 1000 to 8000, and quality comes first).
    - width: pixels, 0 to 3840.
    - height: pixels, 0 to 3840.
    - frame_rate: frames a second; a text by the document, a number in its example. Avatar videos have 25.
    - is_subtitle_enable: whether there are subtitles, false by default.
    - subtitle_config: table 10.
    - disable_system_watermark: false by default; for listed tenants only.
    - dx: pixels of the cropped area's left edge, -1920 to 3840 (CROP).
    - dy: pixels of the cropped area's upper edge, -1920 to 3840 (CROP).
    - is_enable_super_resolution: false by default; avatar videos only.
    """

    clip_mode: str | None = None
    codec: str | None = None
    bitrate: Number = None
    width: Number = None
    height: Number = None
    frame_rate: str | int | float | None = None
    is_subtitle_enable: bool | None = None
    subtitle_config: SubtitleConfig | None = None
    disable_system_watermark: bool | None = None
    dx: Number = None
    dy: Number = None
    is_enable_super_resolution: bool | None = None


class SubtitleFileInfo(msgspec.Struct, kw_only=True):
    """Table 27: a subtitle file.

    - subtitle_file_download_url: where to fetch it.
    - subtitle_file_upload_url: where to put it.
    - subtitle_file_state: GENERATING, GENERATE_SUCCEED or GENERATE_FAILED.
    - job_id: the task that makes the file.
    """

    subtitle_file_download_url: str | None = None
    subtitle_file_upload_url: str | None = None
    subtitle_file_state: str | None = None
    job_id: str | None = None


class SubtitleFiles(msgspec.Struct, kw_only=True):
    """Table 26: the subtitle files of a scene.

    - text_subtitle_file: table 27, made from a text.
    - audio_subtitle_file: table 27, made from audio.
    """

    text_subtitle_file: SubtitleFileInfo | None = None
    audio_subtitle_file: SubtitleFileInfo | None = None


class ShootScriptItem(msgspec.Struct, kw_only=True):
    """Table 11: one scene.

    - sequence_no: unique number of the scene, 0 to 2147483647.
    - start_time: seconds from the start of the content, 0 to 2592000; reserved.
    - end_time: seconds from the start of the content, 0 to 2592000; reserved.
    - shoot_script: table 12.
    - subtitle_file_info: table 26.
    """

    sequence_no: Number = None
    start_time: Number = None
    end_time: Number = None
    shoot_script: ShootScript | None = None
    subtitle_file_info: SubtitleFiles | None = None


class BackgroundMusicConfig(msgspec.Struct, kw_only=True):
    """Table 28: the music.

    - music_asset_id: 0 to 64 characters.
    - volume: percent, 0 to 100, 100 by default.
    """

    music_asset_id: str | None = None
    volume: Number = None


class Task(msgspec.Struct, kw_only=True):
    """Table 5: a complete answer about a task. Times are ISO 8601 strings in no guaranteed order.

    - job_id: the task.
    - state: WAITING, PROCESSING, SUCCEED (its own example: SUCCESS), FAILED, CANCELED or BLOCK.
    - job_type: 2D_DIGITAL_HUMAN_VIDEO or PHOTO_DIGITAL_HUMAN_VIDEO.
    - start_time, end_time: when production began and ended.
    - duration: seconds of video, 0 to 2147483647.
    - output_asset_config: table 6.
    - error_info: table 7.
    - create_time, lastupdate_time: when the task was made and last changed.
    - script_id: the script.
    - video_making_type: MODEL or PICTURE; discarded.
    - human_image: a photo in Base64; discarded.
    - model_asset_id: asset of the avatar model.
    - voice_config: table 8.
    - video_config: table 9.
    - shoot_scripts: table 11; may come even where show_script was not asked.
    - background_music_config: table 28.
    """

    job_id: str | None = None
    state: str | None = None
    job_type: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    duration: Number = None
    output_asset_config: OutputAssetInfo | None = None
    error_info: ErrorResponse | None = None
    create_time: str | None = None
    lastupdate_time: str | None = None
    script_id: str | None = None
    video_making_type: str | None = None
    human_image: str | None = None
    model_asset_id: str | None = None
    voice_config: VoiceConfig | None = None
    video_config: VideoConfig | None = None
    shoot_scripts: list[ShootScriptItem] = []
    background_music_config: BackgroundMusicConfig | None = None


_S = TypeVar("_S", bound=msgspec.Struct)


def read_details(body: bytes, *, at: tuple[str, ...] = ()) -> Task:
    """Decode the complete answer; `at` is the path of fields to the task. Raises `wire.UnusableAnswer` only if
    `body` is not a JSON object."""
    return read_struct(inner(read_object(body), at), Task)


def read_struct(found: dict[str, Any], shape: type[_S]) -> _S:
    """Convert `found` to `shape` leniently, ignoring unknown fields."""
    values = {}
    for name, kind, inside in _plan(shape):
        if name in found:
            value = _read(found[name], kind, inside)
            if value is not None:
                values[name] = value
    return shape(**values)


@cache
def _plan(shape: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """For each field: its name, how to read it, and the struct in it."""
    return tuple((field.name, *_reading(field.type)) for field in msgspec.structs.fields(shape))


def _reading(annotation: Any) -> tuple[str, Any]:
    if get_origin(annotation) is list:
        return "array", get_args(annotation)[0]
    members = {member for member in get_args(annotation) if member is not NoneType}
    assert isinstance(annotation, UnionType), annotation
    if members == {int, float}:
        return "number", None
    if members == {str, int, float}:
        return "scalar", None
    (only,) = members
    return {str: "text", bool: "flag"}.get(only, "object"), only


def _read(value: object, kind: str, shape: Any) -> object:
    if kind == "number":
        return read_number(value)
    if kind == "text":
        return str(value) if is_number(value) else value if isinstance(value, str) else None
    if kind == "scalar":
        return value if is_number(value) or isinstance(value, str) else None
    if kind == "flag":
        return _flag(value)
    if kind == "array":
        items = value if isinstance(value, list) else [value]
        return [read_struct(item, shape) for item in items if isinstance(item, dict)]
    first = value[0] if isinstance(value, list) and value else value
    return read_struct(first, shape) if isinstance(first, dict) else None


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None
