"""How long a script takes to speak, for the document's example, the simulator's scripts and odd shapes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.metastudio.wire_speech import expected_length, spoken_seconds
from daemon.sim.plans import spoken_seconds as simulated_seconds
from daemon.sim.scripts import made_up_request

EXAMPLE = (Path(__file__).parent.parent / "data" / "document_example.json").read_bytes()
WORDS = "x" * 140
"""Ten seconds."""


def scene(text: object = WORDS, **fields: Any) -> dict[str, Any]:
    return {"shoot_script": {"script_type": "TEXT", "text_config": {"text": text}} | fields}


def body(*scenes: object, **fields: Any) -> bytes:
    return json.dumps({"job_id": "j", "state": "WAITING", "shoot_scripts": scenes} | fields).encode()


def test_the_documents_example() -> None:
    assert expected_length(EXAMPLE) == pytest.approx(len("Hello, everyone. I'm Yunling.") / 14)


@pytest.mark.parametrize(("number", "chars"), [(0, 40), (3, 600), (4, 9000)])
@pytest.mark.parametrize("avatar", [True, False])
def test_as_the_simulator_reckons(number: int, chars: int, avatar: bool) -> None:
    request = made_up_request(number, chars, avatar=avatar)
    text = request["shoot_scripts"][0]["shoot_script"]["text_config"]["text"]
    ours = expected_length(json.dumps(request).encode())
    assert ours == pytest.approx(simulated_seconds(text), abs=0.1)  # spaces at the ends are silent here


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("x" * 140, 10),
        ("大家好欢迎收看" * 10, 70 * 60 / 250),
        ("汉" * 25 + "x" * 14, 7),
        ("カタカナ한글", 6 * 60 / 250),
        ('<speak>xxxxxxx<break time="2s"/>xxxxxxx</speak>', 1),
        ("  x x\n\n\t  x" + "x" * 9, 1),
        ("a < b", 5 / 14),
        ("", 0),
    ],
)
def test_the_pace(text: str, seconds: float) -> None:
    assert spoken_seconds(text) == pytest.approx(seconds)


def test_all_scenes_count() -> None:
    assert expected_length(body(scene(), scene("x" * 14), scene(None), {})) == pytest.approx(11)


@pytest.mark.parametrize(
    ("speed", "seconds"),
    [
        (100, 10),
        (200, 5),
        (50, 20),
        ("200,", 5),
        (None, 10),
        (0, 10),
        (-5, 10),
        (1000, 10),
        ("fast", 10),
        ({}, 10),
    ],
)
def test_the_voices_speed(speed: object, seconds: float) -> None:
    assert expected_length(body(scene(), voice_config={"speed": speed})) == pytest.approx(seconds)


@pytest.mark.parametrize("voice", [None, {}, [], "voice", [{"speed": 200}]])
def test_odd_voices(voice: object) -> None:
    found = expected_length(body(scene(), voice_config=voice))
    assert found == pytest.approx(5 if voice and isinstance(voice, list) else 10)


@pytest.mark.parametrize(
    "scenes",
    [
        (),
        (scene(None),),
        (scene("   "),),
        (scene('<break time="2s"/>'),),
        (scene(script_type="AUDIO"),),
        (scene(), scene(script_type=" audio ")),
        ({"shoot_script": None},),
    ],
)
def test_nothing_that_tells(scenes: tuple[object, ...]) -> None:
    assert expected_length(body(*scenes)) is None


def test_shapes_that_are_not_documented() -> None:
    one = {"text_config": [{"text": WORDS}], "script_type": None, "layer_config": 5}
    raw = json.dumps({"shoot_scripts": {"sequence_no": "0,", "shoot_script": [one]}}).encode()
    assert expected_length(raw) == pytest.approx(10)
    assert expected_length(body(5, None, scene(), "scene")) == pytest.approx(10)
    assert expected_length(b"\xef\xbb\xbf" + body(scene())) == pytest.approx(10)
    for nothing in (b"", b"{}", b"[]", b"<html>", b'{"shoot_scripts":null}', b'{"shoot_scripts":"x"}'):
        assert expected_length(nothing) is None


def test_a_task_that_sits_deeper() -> None:
    raw = b'{"job_info":' + body(scene()) + b"}"
    assert expected_length(raw, at=("job_info",)) == pytest.approx(10)
    assert expected_length(raw) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["shoot_scripts", "shoot_script", "text_config", "text", "voice_config", "speed", "script_type"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_whatever_comes_is_a_length_or_none(raw: bytes) -> None:
    found = expected_length(raw)
    assert found is None or 0 < found < float("inf")
