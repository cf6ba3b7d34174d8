"""`wrapd jobs --csv`: the same jobs as the list, in UTF-8 whatever the locale, page by page, without links."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from daemon.cli import output, pages
from daemon.clock import ManualClock
from daemon.domain.jobs import Asset
from daemon.store import Store, Transaction
from daemon.views.sheets import COLUMNS
from tests.contract.test_web_canaries import LINKS, url
from tests.support.cli_runner import Runner
from tests.support.hostile import names, whole
from tests.support.process import COMMAND
from tests.support.store import NOW, record, track


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(tmp_path, capsys)


def made(runner: Runner) -> None:
    """A job of each hostile name, one with links and one of another kind."""

    def work(tx: Transaction) -> None:
        for number, name in enumerate(names()):
            text = whole(name)[:200]
            job = track(tx, f"job-{number:03}", label=f"x{text}", batch="b")
            record(tx, job, "SUCCEED", asset=Asset(asset_name=text or None))
        links = Asset(**{f"{kind}_url": url(LINKS[kind]) for kind in LINKS}, asset_name="=1+1")  # type: ignore[arg-type]
        record(tx, track(tx, "linked", batch="c"), "SUCCEED", asset=links)
        track(tx, "photo", kind="photo")

    store = Store.open(f"sqlite:///{runner.database}", clock=ManualClock(NOW))
    try:
        store.write_now(work)
    finally:
        store.close()


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_it_has_the_jobs_of_the_list(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    made(wrapd)
    monkeypatch.setattr(pages, "AT_ONCE", 7)
    for args in (
        (),
        ("--batch", "c"),
        ("--kind", "photo"),
        ("--sort", "oldest", "--limit", "9"),
        ("--search", "x"),
    ):
        done = wrapd("jobs", "--csv", *args)
        assert (done.status, done.err) == (0, ""), args
        listed = json.loads(wrapd("jobs", "--json", *args).out)
        assert [row["job_id"] for row in parsed(done.out)] == [job["job_id"] for job in listed], args
        assert done.out.startswith(",".join(COLUMNS) + "\r\n")
        assert not [secret for secret in LINKS.values() if secret in done.out]
    [row] = parsed(wrapd("jobs", "--csv", "--batch", "c").out)
    assert row["name"] == "'=1+1"
    assert parsed(wrapd("jobs", "--csv", "--batch", "none").out) == []


def test_what_is_mistyped_is_an_error(wrapd: Runner) -> None:
    made(wrapd)
    for args in (("--csv", "--json"), ("--csv", "--kind", "film")):
        assert wrapd("jobs", *args).status == 2


def test_a_terminal_gets_no_control_characters(wrapd: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    made(wrapd)
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    out = wrapd("jobs", "--csv", "--all").out
    assert len(out.splitlines()) >= len(names())
    assert not any(char in out for char in ("\x1b", "\r", "\x07", "\u202e", "\x9b"))


def test_a_pipe_gets_utf_8_whatever_the_locale(wrapd: Runner) -> None:
    made(wrapd)
    done = subprocess.run(
        [*COMMAND, "--config", wrapd.config, "jobs", "--csv"],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert done.stderr == b""
    found = parsed(done.stdout.decode())
    assert len(found) == len(names()) + 2
    assert any("春" in cell or ord(max(cell, default="a")) > 0x2000 for row in found for cell in row.values())
