"""A secret is masked before a text is cut, wherever a text comes from outside."""

import json

import pytest

from daemon import transport
from daemon.config import forms
from daemon.logs import MASKS
from daemon.masks import MASK
from daemon.metastudio.errors import _text
from daemon.metastudio.wire import read_task

SECRET = "SKcanary0000000000000000000000000000000A"


@pytest.mark.parametrize("before", range(150, 310))
def test_a_secret_that_the_cut_would_go_through_does_not_show(before: int) -> None:
    MASKS.add([SECRET])
    text = f"{'x' * before} {SECRET} {'y' * 500}"
    for shown in (_text(text), str(transport._named(OSError(text)))):
        assert shown is not None
        assert SECRET[:8] not in shown


def test_the_words_of_a_failed_job_are_masked() -> None:
    MASKS.add([SECRET])
    body = json.dumps(
        {"job_id": "a", "state": "FAILED", "error_info": {"error_code": "1", "error_msg": f"key {SECRET}"}}
    )
    assert read_task(body.encode()).error_msg == f"key {MASK}"


def test_a_text_that_is_cut_stays_as_long_as_it_may_be() -> None:
    MASKS.add([SECRET])
    assert MASKS.cut(f"a  {SECRET}\n{'b' * 400}", 300) == f"a {MASK} {'b' * 294}"
    assert MASKS.cut("short", 300) == "short"
    assert MASKS.cut("z" * 5_000_000, 10) == "z" * 10


def test_passwords_in_addresses_are_not_repeated() -> None:
    for read in (forms.endpoint, forms.public_url):
        with pytest.raises(ValueError, match=r"HOST") as caught:
            read("https://admin:hunter2hunter2@no host")
        assert "hunter2" not in str(caught.value)
