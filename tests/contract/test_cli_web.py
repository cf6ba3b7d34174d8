"""`wrapd callback-url` and `wrapd links` as run from a shell."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.clock import SystemClock
from daemon.domain.jobs import JobId, ProjectName
from daemon.errors import Exit
from daemon.store import Store, TrackRequest
from daemon.web import CallbackAuth, CallbackSettings, callback_url
from tests.support.cli_runner import Runner

KEY = "a-key-of-24-characters-!"
CONFIG = f"""
[web]
public_url = "https://wrapd.example.com/hooks"
[projects.main]
region = "cn-north-4"
project_id = "p1"
auth = {{ method = "token", token = {{ env = "NOT_SET" }} }}
callback = {{ auth = "none", key = "{KEY}" }}
[projects.signed]
region = "cn-north-4"
project_id = "p2"
auth = {{ method = "token", token = {{ env = "NOT_SET" }} }}
callback = {{ auth = "mss_a", key = "{KEY}" }}
[projects.deaf]
region = "cn-north-4"
project_id = "p3"
auth = {{ method = "token", token = {{ env = "NOT_SET" }} }}
"""
TOKEN = "token-of-the-link-_32-characters"


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(CONFIG)
    runner.config.chmod(0o600)
    return runner


def test_the_address_stands_alone_on_standard_output(wrapd: Runner) -> None:
    settings = CallbackSettings(auth=CallbackAuth.NONE, key=KEY)
    url = callback_url("https://wrapd.example.com/hooks", ProjectName("main"), settings)
    told = wrapd("callback-url", "main")
    assert (told.status, told.out) == (0, f"{url}\n")
    assert told.err == "in the job's callback_config: this URL, auth_type = NONE and no key\n"
    assert KEY not in told.out + told.err
    told = wrapd("callback-url", "signed")
    assert told.out == "https://wrapd.example.com/hooks/callbacks/signed\n"
    assert "auth_type = MSS_A, key = the key of projects.signed.callback" in told.err
    told = wrapd("callback-url", "signed", "--json")
    assert json.loads(told.out) == {
        "project": "signed",
        "callback_url": "https://wrapd.example.com/hooks/callbacks/signed",
        "auth_type": "MSS_A",
    }


def test_what_is_missing_is_named_with_its_place(wrapd: Runner) -> None:
    told = wrapd("callback-url", "deaf")
    assert told.status == Exit.CONFIG
    assert "projects.deaf.callback" in told.err
    told = wrapd("callback-url", "mian")
    assert told.status == Exit.UNKNOWN
    assert "main" in told.err
    assert wrapd("callback-url").status == Exit.USAGE, "there are several"
    wrapd.config.write_text(CONFIG.replace('public_url = "https://wrapd.example.com/hooks"', ""))
    told = wrapd("callback-url", "main")
    assert told.status == Exit.CONFIG
    assert "public_url" in told.err


def linked(wrapd: Runner, job_id: str, *, life: float = 3600.0, ago: float = 0.0, clicks: int = 0) -> int:
    """Return the row id of a job with a link, in the config's database."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    store = Store.open(f"sqlite:///{wrapd.database}", clock=SystemClock())
    request = TrackRequest(
        project=ProjectName("main"), kind="avatar", job_id=JobId(job_id), label=f"Film {job_id}"
    )
    store.write_now(lambda tx: tx.jobs.track(request, at=at))
    [job] = store.read(lambda tx: tx.jobs.find(JobId(job_id)))
    row = store.write_now(lambda tx: tx.links.of_job(job.id, token=f"{TOKEN}{job_id}", at=at, life=life))
    assert row is not None
    for _ in range(clicks):
        store.write_now(lambda tx: tx.links.clicked(row.id, at))
    store.close()
    return job.id


def test_links_are_listed_without_their_addresses(wrapd: Runner) -> None:
    linked(wrapd, "j-1", clicks=3, ago=60)
    linked(wrapd, "j-2", ago=7200)
    told = wrapd("links", "list")
    head, second, first = told.out.splitlines()
    assert head.split() == ["STATUS", "ENDS", "CLICKS", "LAST", "CLICK", "PROJECT", "JOB", "NAME"]
    assert first.split()[0] == "open"
    assert "Film j-1" in first
    assert second.split()[0] == "expired"
    found = json.loads(wrapd("links", "list", "--json").out)
    assert [(each["job_id"], each["status"], each["clicks"]) for each in found] == [
        ("j-2", "expired", 0),
        ("j-1", "open", 3),
    ]
    assert TOKEN not in told.out + json.dumps(found)
    assert [each["job_id"] for each in json.loads(wrapd("links", "list", "--limit", "1", "--json").out)] == ["j-2"]


def test_a_link_is_taken_back_once(wrapd: Runner) -> None:
    linked(wrapd, "j-1")
    assert wrapd("links", "revoke", "j-1").out == "j-1: revoked\n"
    assert wrapd("links", "revoke", "j-1").out == "j-1: already revoked\n"
    assert json.loads(wrapd("links", "list", "--json").out)[0]["status"] == "revoked"
    assert wrapd("links", "revoke", "j-2").status == Exit.UNKNOWN
    assert wrapd("links", "revoke", "-").status == Exit.USAGE
    wrapd("track", "j-3", "--project", "main")
    assert wrapd("links", "revoke", "j-3").out == "j-3: it has no link\n"


def test_untrack_closes_the_link_of_a_finished_job(wrapd: Runner) -> None:
    linked(wrapd, "j-1")
    assert wrapd("untrack", "j-1").status == 0
    assert json.loads(wrapd("links", "list", "--json").out)[0]["status"] == "revoked"
