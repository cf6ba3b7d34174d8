"""The expected duration of a script's speech, on which production time depends most.

Owns the estimate, which never fails: an unreadable script, or one without text, has no length. Source of the pace:
the API document, table 8 (`speed` 100 is about 150 words a minute; in its Chinese version, 250 characters).
"""

import re

import msgspec

from daemon.metastudio.wire import UnusableAnswer, read_number
from daemon.metastudio.wire_script import Number
from daemon.metastudio.wire_task import read_details

CHARS_PER_SECOND = 14.0
"""About 150 English words a minute, including spaces."""
HAN_PER_SECOND = 250 / 60
"""Chinese characters and similar ones (kana, Hangul)."""
_NORMAL_SPEED, _SLOWEST, _FASTEST = 100.0, 50, 200

_TAG = re.compile(r"<[/!?A-Za-z][^>]*>")
_SPACE = re.compile(r"\s+")
_HAN = re.compile("[\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


class _Text(msgspec.Struct, gc=False):
    text: str | None = None


class _Script(msgspec.Struct, gc=False):
    script_type: str | None = None
    text_config: _Text | None = None


class _Scene(msgspec.Struct, gc=False):
    shoot_script: _Script | None = None


class _Voice(msgspec.Struct, gc=False):
    speed: Number = None


class _Scripted(msgspec.Struct, gc=False):
    shoot_scripts: list[_Scene] = []
    voice_config: _Voice | None = None


_EXACT = msgspec.json.Decoder(_Scripted)


def expected_length(body: bytes, *, at: tuple[str, ...] = ()) -> float | None:
    """Seconds of speech in all scenes of an answer's task; `at` is the path of fields to the task.

    None without a script, without text, or with a scene driven by audio, whose length is unknown.
    """
    task = _read(body, at)
    if task is None:
        return None
    scripts = [scene.shoot_script for scene in task.shoot_scripts if scene.shoot_script is not None]
    if any((script.script_type or "").strip().upper() == "AUDIO" for script in scripts):
        return None
    texts = [script.text_config.text for script in scripts if script.text_config is not None]
    seconds = sum(spoken_seconds(text) for text in texts if text)
    return seconds * _NORMAL_SPEED / _speed(task.voice_config) if seconds > 0 else None


def spoken_seconds(text: str) -> float:
    """Seconds in which a voice at normal speed speaks `text`, without SSML tags; runs of white space count once.

    >>> round(spoken_seconds('<speak>Hello, everyone. <break time="2s"/>I am Yunling.</speak>'), 2)
    2.21
    """
    plain = _SPACE.sub(" ", _TAG.sub("", text)).strip()
    others = len(_HAN.sub("", plain))
    return (len(plain) - others) / HAN_PER_SECOND + others / CHARS_PER_SECOND


def _read(body: bytes, at: tuple[str, ...]) -> _Scripted | None:
    if not at:
        try:
            return _EXACT.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            pass  # something deviates from the document: decode leniently
    try:
        return msgspec.convert(read_details(body, at=at), _Scripted, from_attributes=True)
    except UnusableAnswer:
        return None


def _speed(voice: _Voice | None) -> float:
    speed = None if voice is None else read_number(voice.speed)
    return speed if speed is not None and _SLOWEST <= speed <= _FASTEST else _NORMAL_SPEED
