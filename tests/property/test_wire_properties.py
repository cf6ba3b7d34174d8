"""Any answer is either parsed or unusable; no other result is possible."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.jobs import Observation
from daemon.metastudio.wire import UnusableAnswer, looks_like_object, read_main_file, read_task
from daemon.metastudio.wire_task import read_details

FIELDS = [
    "job_id",
    "state",
    "start_time",
    "end_time",
    "duration",
    "output_asset_config",
    "error_info",
    "create_time",
    "lastupdate_time",
    "shoot_scripts",
    "video_config",
    "cover_url",
    "error_code",
    "asset_id",
    "frame_rate",
    "layer_config",
    "shoot_script",
    "files",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8)


@given(OBJECTS, st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_no_field_but_the_state_decides(fields: dict[str, Any], state: str) -> None:
    seen = read_task(json.dumps(fields | {"state": state}).encode())
    assert isinstance(seen, Observation)
    for moment in (seen.reported_at, seen.created_at, seen.started_at, seen.ended_at):
        assert moment is None or moment.utcoffset() is not None
    assert seen.duration is None or 0 <= seen.duration < float("inf")
    for text in (
        seen.asset.cover_url,
        seen.asset.preview_url,
        seen.error_code,
        seen.error_msg,
        seen.asset.asset_id,
    ):
        assert text is None or text.strip()


@given(OBJECTS)
def test_details_are_always_readable(fields: dict[str, Any]) -> None:
    read_details(json.dumps(fields).encode())


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_unusable(body: bytes) -> None:
    for read in (read_task, read_details, read_main_file):
        try:
            read(body)
        except UnusableAnswer:
            pass
        else:
            assert looks_like_object(body)
