"""Checks the body that creates a video, against the ranges of the API document.

Owns what is refused with 400 MSS.00000003. Checks the types and ranges of given fields and requires few fields to
be present: which ones the service really requires is not documented.
"""

import json
from typing import Any, Final

from daemon.sim.orders import CallbackConfig, read_callback_config
from daemon.sim.plans import spoken_seconds
from daemon.sim.refusals import invalid

MAX_NAME: Final = 256
MAX_TEXT: Final = 131_072
MAX_SPOKEN_TEXT: Final = 10_000

_RANGES: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "voice_config": {"speed": (50, 200), "pitch": (50, 200), "volume": (90, 240)},
    "video_config": {
        "bitrate": (40, 30_000),
        "width": (0, 3840),
        "height": (0, 3840),
        "dx": (-1920, 3840),
        "dy": (-1920, 3840),
    },
    "background_music_config": {"volume": (0, 100)},
}
"""The ranges of integers (API document, Tables 8, 9 and 28)."""

_CHOICES: Final[dict[str, dict[str, frozenset[str]]]] = {
    "video_config": {
        "clip_mode": frozenset({"RESIZE", "CROP"}),
        "codec": frozenset({"H264", "VP8", "QTRLE"}),
    },
}


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a request's body. Raises `ErrorAnswer`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("the body is not JSON") from None
    if not isinstance(value, dict):
        raise invalid("the body is not an object")
    return value


def check_creation(body: dict[str, Any]) -> tuple[str | None, float]:
    """Check a body; return its asset name (None if not given) and spoken seconds. Raises `ErrorAnswer`."""
    scripts = body.get("shoot_scripts")
    if not body.get("script_id") and not scripts:
        raise invalid("script_id or shoot_scripts is required")
    if body.get("script_id") is not None and not isinstance(body["script_id"], str):
        raise invalid("script_id")
    for section in (*_RANGES, *_CHOICES, "output_asset_config"):
        _check_section(body, section)
    speed = _object(body, "voice_config").get("speed", 100)
    spoken = sum(_spoken(item, speed) for item in _list(scripts, "shoot_scripts"))
    return _asset_name(body), spoken or 30.0


def callback_of(body: dict[str, Any]) -> CallbackConfig | None:
    """Return where to send the job's callback; None if the body does not ask for one. Raises `ErrorAnswer`."""
    given = _object(body, "callback_config")
    try:
        return read_callback_config(given) if given else None
    except ValueError as error:
        raise invalid(str(error)) from None


def _check_section(body: dict[str, Any], section: str) -> None:
    values = _object(body, section)
    for name, (low, high) in _RANGES.get(section, {}).items():
        value = values.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high
        ):
            raise invalid(f"{section}.{name}")
    for name, choices in _CHOICES.get(section, {}).items():
        value = values.get(name)
        if value is not None and (not isinstance(value, str) or value not in choices):
            raise invalid(f"{section}.{name}")


def _asset_name(body: dict[str, Any]) -> str | None:
    name = _object(body, "output_asset_config").get("asset_name")
    if name is None:
        return None
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise invalid("output_asset_config.asset_name")
    return name


def _spoken(item: object, speed: int) -> float:
    if not isinstance(item, dict):
        raise invalid("shoot_scripts")
    script = _object(item, "shoot_script")
    if script.get("script_type") not in (None, "TEXT", "AUDIO"):
        raise invalid("shoot_script.script_type")
    audio = script.get("audio_duration")
    if isinstance(audio, int | float) and not isinstance(audio, bool) and audio > 0:
        return float(audio)
    text = _object(script, "text_config").get("text", "")
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise invalid("text_config.text")
    spoken = spoken_seconds(text, speed=speed)
    if spoken * speed / 100 > spoken_seconds("字" * MAX_SPOKEN_TEXT):
        raise invalid("text_config.text: more than 10,000 characters")
    return spoken


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(name)
    return value


def _list(value: object, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(name)
    return value
