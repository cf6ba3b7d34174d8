"""`wrapd share`: what it prints, what opens at the address, which batch is meant, and how shares end."""

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import fields

from daemon import views
from daemon.cli.layout import cells
from daemon.clock import ManualClock
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.sessions import is_secret, secret_digest
from daemon.domain.shares import MOST_OPEN, BatchShare
from daemon.domain.text import is_visible, word
from daemon.errors import Exit
from daemon.store import Store, TrackRequest
from tests.support.cli_runner import CONFIG, Runner
from tests.support.hostile import names, whole
from tests.support.scene import NAMES, fill
from tests.support.screens import screen
from tests.support.store import url_of
from tests.support.web import MAIN, NOW, OTHER, desk

PUBLIC = "https://wrapd.example.com/films"
WEB = f'[web]\npublic_url = "{PUBLIC}"\n'
TWO = """
[projects.other]
region = "cn-north-4"
auth = { method = "aksk", access_key = { env = "NOT_SET_AK" }, secret_key = { env = "NOT_SET_SK" } }
"""
SPRING = ("--batch", "Spring campaign")
HINT = "Only this machine can open the address; web.public_url in the config makes it one for others.\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    made = ManualClock(NOW)
    for name in ("share", "session"):
        monkeypatch.setattr(f"daemon.cli.{name}.CLOCK", made)
    return made


@pytest.fixture
def wrapd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> Runner:
    """The commands on the database of the desk, at its time."""
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("WRAPD_TZ", "UTC")
    run = Runner(tmp_path, capsys)
    run.config.write_text(f'{CONFIG}{TWO}[database]\nurl = "sqlite:///{tmp_path}/web.db"\n{WEB}')
    run.database = tmp_path / "web.db"
    return run


@pytest.fixture
def store(wrapd: Runner) -> Iterator[Store]:
    store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))
    add(store, "b1")
    yield store
    store.close()


def add(store: Store, batch: str, *, project: ProjectName = MAIN) -> None:
    """Track a job of the batch."""
    job = JobId(f"{project}-{secret_digest(batch)[:24]}")
    request = TrackRequest(project=project, kind="avatar", job_id=job, batch=batch)
    store.write_now(lambda tx: tx.jobs.track(request, at=NOW))


def is_plain(text: str) -> bool:
    """Whether a text stays on its line and turns nothing around."""
    turning = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    return not any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in turning
        for char in text
    )


def shares(store: Store) -> list[BatchShare]:
    return list(store.read(lambda tx: tx.shares.page(limit=99)).rows)


async def test_what_is_shared_opens_at_the_printed_address_until_it_is_revoked(
    tmp_path: Path, wrapd: Runner
) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        printed = wrapd("share", *SPRING, "--for", "2d")
        assert printed.status == 0
        until = "is shared until 2026-03-03 12:00:00 UTC"
        assert printed.err == f"#1: batch Spring campaign of main {until}; `wrapd share revoke 1` ends it\n"
        url = printed.out.removesuffix("\n")
        assert url.startswith(f"{PUBLIC}/share/"), "a share is also served under a path"
        secret = url.rpartition("/")[2]
        assert is_secret(secret)
        opened = await it.ask("GET", f"/share/{secret}")
        assert opened.status == 200
        assert all(name in opened.body.decode() for name in NAMES)
        [share] = shares(it.store)
        assert (share.project, share.batch, share.created_by, share.digest) == (
            *("main", "Spring campaign", "cli:ann"),
            secret_digest(secret),
        )
        listed = wrapd("share", "list", "--json").out
        assert secret not in listed
        assert json.loads(listed)[0]["used_at"] == "2026-03-01T12:00:00.000Z"
        assert wrapd("share", "revoke", "1").out == "#1: batch Spring campaign of main: revoked\n"
        assert (await it.ask("GET", f"/share/{secret}")).status == 404
        acts = it.store.read(lambda tx: tx.actions.page(limit=2)).rows
        assert [(each.what, each.who, each.subject) for each in acts] == [
            ("unshare", "cli:ann", "Spring campaign"),
            ("share", "cli:ann", "Spring campaign"),
        ]


async def test_an_expired_share_opens_no_longer(tmp_path: Path, wrapd: Runner, clock: ManualClock) -> None:
    async with desk(tmp_path) as it:
        fill(it)
        path = f"/share/{wrapd('share', *SPRING, '--for', '1m').out.strip().rpartition('/')[2]}"
        assert (await it.ask("GET", path)).status == 200
        for each in (it.clock, clock):
            each.advance(60)
        told = await it.ask("GET", path)
        assert told.status != 200
        assert NAMES[0] not in told.body.decode()
        assert wrapd("share", "list", "--json").out == "[]\n"
        [share] = json.loads(wrapd("share", "list", "--all", "--json").out)
        assert share["status"] == "expired"
        assert "expired 0s ago" in wrapd("share", "list", "--all").out


def test_json_is_the_share_with_its_address(wrapd: Runner, store: Store) -> None:
    told = wrapd("share", "--batch", "b1", "--json")
    assert (told.status, told.err) == (0, "")
    made = json.loads(told.out)
    assert list(made) == [*(each.name for each in fields(views.Share)), "url"]
    assert is_secret(made.pop("url").removeprefix(f"{PUBLIC}/share/"))
    assert made == {
        "id": 1,
        "project": "main",
        "batch": "b1",
        "status": "open",
        "created_at": "2026-03-01T12:00:00.000Z",
        "created_by": "cli:ann",
        "expires_at": "2026-03-08T12:00:00.000Z",
        "revoked_at": None,
        "used_at": None,
    }
    assert json.loads(wrapd("share", "list", "--json").out) == [made]


def test_shares_are_listed_latest_first_and_ended_ones_on_request(
    wrapd: Runner, store: Store, clock: ManualClock
) -> None:
    add(store, "b2", project=OTHER)
    for batch, lasts in (("b1", "1h"), ("b2", "3h"), ("b1", "2d")):
        assert wrapd("share", "--batch", batch, "--for", lasts).status == 0
    wrapd("share", "revoke", "2")
    clock.advance(7200)
    head, only = wrapd("share", "list").out.splitlines()
    assert re.split(r" {2,}", head) == ["ID", "BATCH", "PROJECT", "UNTIL", "LAST OPENED", "CREATED BY"]
    assert re.split(r" {2,}", only) == ["3", "b1", "main", "2026-03-03 12:00 UTC", "never", "cli:ann"]
    rows = [re.split(r" {2,}", row)[:4] for row in wrapd("share", "list", "--all").out.splitlines()[1:]]
    assert rows == [
        ["3", "b1", "main", "2026-03-03 12:00 UTC"],
        ["2", "b2", "other", "revoked 2h ago"],
        ["1", "b1", "main", "expired 1h ago"],
    ]
    assert "2026-03-03 20:00" in wrapd("share", "list", "--tz", "Asia/Shanghai").out


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ((), Exit.USAGE, "Add --batch"),
        (("--batch", "b1", "--for", "59s"), Exit.USAGE, "too short"),
        (("--batch", "b1", "--for", "91d"), Exit.USAGE, "at most 90 days"),
        (("--batch", "b1", "--for", "soon"), Exit.USAGE, "soon"),
        (("--batch", "b2"), Exit.UNKNOWN, "no job belongs to a batch 'b2'; `wrapd batches` lists all"),
        (("--batch", "b1", "--project", "other"), Exit.UNKNOWN, "no job of the project belongs to such a batch"),
        (("--batch", "b1", "--project", "mian"), Exit.UNKNOWN, "mian"),
        (("b1",), Exit.USAGE, "b1"),
        (("revoke", "7"), Exit.UNKNOWN, "no share 7 is in use; `wrapd share list`"),
        (("revoke", "0"), Exit.USAGE, "0"),
        (("revoke",), Exit.USAGE, "ID"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_shared(
    wrapd: Runner, store: Store, options: tuple[str, ...], status: Exit, said: str
) -> None:
    told = wrapd("share", *options)
    assert (told.status, told.out) == (status, "")
    assert said in told.err
    assert shares(store) == []
    assert store.read(lambda tx: tx.actions.page(limit=9)).rows == []


def test_a_batch_of_several_projects_needs_its_project(wrapd: Runner, store: Store) -> None:
    add(store, "b1", project=OTHER)
    told = wrapd("share", "--batch", "b1")
    assert (told.status, told.out) == (Exit.USAGE, "")
    assert "several projects have a batch 'b1'; add --project with one of main, other" in told.err
    assert shares(store) == []
    assert wrapd("share", "--batch", "b1", "--project", "other").status == 0
    assert shares(store)[0].project == "other"


def test_a_share_is_revoked_once_and_only_so_many_are_open(wrapd: Runner, store: Store) -> None:
    for _ in range(MOST_OPEN):
        assert wrapd("share", "--batch", "b1").status == 0
    told = wrapd("share", "--batch", "b1")
    assert (told.status, told.out) == (Exit.USAGE, "")
    assert f"{MOST_OPEN} shares of the batch are open; revoke one" in told.err
    assert wrapd("share", "revoke", "1").status == 0
    assert wrapd("share", "revoke", "1").status == Exit.UNKNOWN
    assert wrapd("share", "--batch", "b1").status == 0


@pytest.mark.parametrize("batch", ["list", "revoke", "--json"])
def test_a_batch_may_be_called_like_a_word_of_the_command(wrapd: Runner, store: Store, batch: str) -> None:
    add(store, batch)
    assert wrapd("share", f"--batch={batch}").status == 0
    assert shares(store)[0].batch == batch


@pytest.mark.parametrize(
    ("web", "begins", "hint"),
    [
        ("", "http://127.0.0.1:8787/share/", HINT),
        ('[web]\nlisten = "[::1]:80"\n', "http://[::1]:80/share/", HINT),
        (
            '[web]\nlisten = "192.0.2.7:80"\ntoken = "a-token-of-24-characters"\n',
            "http://192.0.2.7:80/share/",
            "",
        ),
        ('[web]\npublic_url = "https://w.example/"\n', "https://w.example/share/", ""),
    ],
)
def test_the_address_is_that_of_the_pages(wrapd: Runner, store: Store, web: str, begins: str, hint: str) -> None:
    wrapd.config.write_text(wrapd.config.read_text().replace(WEB, web))
    wrapd.config.chmod(0o600)
    told = wrapd("share", "--batch", "b1")
    assert told.status == 0, told.err
    assert told.out.startswith(begins)
    assert is_secret(urlsplit(told.out.strip()).path.removeprefix("/share/"))
    assert told.err.split("\n", 1)[1] == hint


@pytest.mark.parametrize(
    ("web", "said"),
    [
        ("pages = false", "there are no pages: web.pages is false; set it to true"),
        ("enabled = false", "there are no pages: web.enabled is false; set it to true"),
        ('listen = "127.0.0.1:0"', "web.listen has port 0, so the address is not known; give it a port"),
    ],
)
def test_without_pages_nothing_is_shared(wrapd: Runner, store: Store, web: str, said: str) -> None:
    wrapd.config.write_text(wrapd.config.read_text().replace(WEB, f"[web]\n{web}\n"))
    told = wrapd("share", "--batch", "b1")
    assert (told.status, told.out) == (Exit.USAGE, "")
    assert said in told.err
    assert shares(store) == []


def test_without_a_database_there_is_one_message(wrapd: Runner) -> None:
    for command in (("--batch", "b1"), ("list",), ("revoke", "1")):
        told = wrapd("share", *command)
        assert (told.status, told.out, told.err.count("\n")) == (Exit.DATABASE, "", 1)


def test_hostile_names_stay_names(wrapd: Runner, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text in map(whole, names()) if len(text.strip()) <= 64 and is_visible(text)]
    batches = list(dict.fromkeys(map(word, texts)))
    assert len(batches) >= 10
    for batch in batches:
        add(store, batch)
        told = wrapd("share", f"--batch={batch}")
        assert told.status == 0, (batch, told.err)
        assert is_plain(told.err.removesuffix("\n")), batch
    assert [each.batch for each in reversed(shares(store))] == batches
    for columns in (80, 40):
        lines = screen(monkeypatch, wrapd.config, "share", "list", columns=columns).splitlines()
        assert len(lines) == len(batches) + 1
        assert all(cells(line) <= columns and is_plain(line) for line in lines)
    hostile = wrapd("share", "--batch", "\x1b[31mred\u202e\nb1")
    assert hostile.status == Exit.UNKNOWN
    assert is_plain(hostile.err.removesuffix("\n"))


def test_a_long_list_is_complete(wrapd: Runner, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.cli.pages.AT_ONCE", 3)
    for number in range(8):
        until = NOW + timedelta(hours=0 if number % 2 else 1)
        store.write_now(
            lambda tx, n=number, until=until: tx.shares.add(
                MAIN, "b1", f"{n:064d}", by="cli:ann", at=datetime(2026, 3, 1, tzinfo=UTC), expires_at=until
            )
        )
    assert [each["id"] for each in json.loads(wrapd("share", "list", "--json").out)] == [7, 5, 3, 1]
    assert [each["id"] for each in json.loads(wrapd("share", "list", "--all", "--json").out)] == [*range(8, 0, -1)]
