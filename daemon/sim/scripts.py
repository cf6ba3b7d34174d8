"""Names, scripts and request bodies of made-up jobs.

Owns the texts. Everything derives from a job's number and the length of its script; nothing is stored.
"""

import random
from itertools import count
from typing import Any, Final

_SUBJECTS: Final = (
    "Spring launch",
    "Course intro",
    "Weekly news",
    "Safety briefing",
    "Product tour",
    "城市宣传片",
)
_SENTENCES: Final = (
    "Hello, everyone, and welcome back to the studio.",
    "Today we look at three things that changed this week.",
    "Let us begin with the one that most of you asked about.",
    "The new line is quieter, lighter and easier to repair.",
    "大家好，欢迎收看本期节目。",  # noqa: RUF001 - Chinese punctuation
    "Every part can be replaced by hand, without a tool.",
    "If you have a question, write it below and we will answer.",
    "Thank you for watching, and see you next time.",
)


def job_name(number: int) -> str:
    """Return a title for the job with this number."""
    return f"{_SUBJECTS[number % len(_SUBJECTS)]} {number + 1}"


def script_text(number: int, chars: int) -> str:
    """Return a script of exactly `chars` characters."""
    text = ""
    for at in count(number):
        text += _SENTENCES[at % len(_SENTENCES)] + " "
        if len(text) >= chars:
            return text[:chars]
    raise AssertionError("unreachable: count() does not end")


def made_up_request(number: int, chars: int, *, avatar: bool) -> dict[str, Any]:
    """Return a body that could have created the job: scripts, voice and video in the document's types."""
    rng = random.Random(f"look/{number}")  # noqa: S311 - repeatable, not a secret
    portrait = rng.random() < 0.5
    width, height = (1080, 1920) if portrait else (1920, 1080)
    script: dict[str, Any] = {"script_type": "TEXT", "text_config": {"text": script_text(number, chars)}}
    body: dict[str, Any] = {
        "voice_config": {"voice_asset_id": rng.randbytes(16).hex(), "speed": 100, "pitch": 100, "volume": 140},
        "shoot_scripts": [{"sequence_no": 0, "shoot_script": script}],
    }
    if not avatar:
        return body | {"video_config": {"codec": "H264", "bitrate": 3000, "frame_rate": "25"}}
    script["background_config"] = [{"background_type": "COLOR", "background_color_config": "#F2F2F2"}]
    script["layer_config"] = [
        {
            "layer_type": "HUMAN",
            "position": {"dx": 656 if not portrait else 0, "dy": 0, "layer_index": 1},
            "size": {"width": 608, "height": 1080},
        }
    ]
    return body | {
        "model_asset_id": rng.randbytes(16).hex(),
        "video_config": {
            "clip_mode": "RESIZE",
            "codec": "H264",
            "bitrate": 5000,
            "width": width,
            "height": height,
            "frame_rate": "25",
            "is_subtitle_enable": False,
        },
        "background_music_config": {"music_asset_id": rng.randbytes(16).hex(), "volume": 20},
    }
