"""needs: every kind of thing that needs a person, what takes it off the list, and the order, bounds and status."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.clock import ManualClock, SystemClock
from daemon.domain.actions import actor
from daemon.domain.events import Event, OperatorAlert
from daemon.domain.jobs import Asset, ChannelName, Observation, ProjectName
from daemon.domain.mutes import MuteEnd, MuteScope
from daemon.errors import Exit
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, Store, Transaction, to_stamp
from daemon.views.needs import KINDS, is_muted
from tests.support.cli_runner import CONFIG, Runner
from tests.support.store import NOW, PROJECT, SILENT, move, track, url_of

EDITORS = ChannelName("editors")
WHO = actor("cli", "ann")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LINK = "https://h.example.com/a.mp4?Expires={}&Signature=x"


def ended(tx: Transaction, name: str, state: str, at: datetime, **seen: object) -> int:
    row = track(tx, name)
    observation = Observation(state=state, **seen)  # type: ignore[arg-type]
    tx.jobs.record_move(row, move(None, observation, at=at), observation, routing=SILENT, due_at=at)
    return row


def given_up(tx: Transaction, name: str, event: Event, *, polled: datetime) -> None:
    row = track(tx, name)
    tx.jobs.checkpoint(
        [
            Bookkeeping(
                job=row,
                last_polled_at=to_stamp(polled),
                next_poll_at=to_stamp(polled),
                polls=1,
                last_error=None,
                next_reason="price",
            )
        ]
    )
    tx.jobs.record_end(row, event, at=polled, routing=SILENT, reason="x")


def alert(tx: Transaction, outcome: AttemptOutcome, key: str = "k") -> None:
    down = OperatorAlert(event=Event.PROJECT_DOWN, key=key, project=PROJECT, facts={})
    tx.outbox.add_operator(down, channels=[EDITORS], at=NOW - HOUR)
    claimed = tx.outbox.claim(EDITORS, now=NOW - HOUR)
    assert claimed is not None
    due = NOW + HOUR if outcome is AttemptOutcome.HELD else None
    tx.outbox.finish(claimed, Outcome(kind=outcome, reason="HTTP 400: no", due_at=due), at=NOW - HOUR)


def report(tx: Transaction, **facts: str) -> None:
    tx.statuses.set(PROJECT, {"up": True, **facts}, NOW - timedelta(seconds=40))


def law(tx: Transaction) -> None:
    """Forty jobs that took a minute each, and one that has run for two hours."""
    for number in range(40):
        at = NOW - 2 * DAY + number * timedelta(minutes=2)
        ended(tx, f"past-{number}", "SUCCEED", at, started_at=at - timedelta(seconds=60 + number), ended_at=at)
    ended(tx, "late", "PROCESSING", NOW - 2 * HOUR, started_at=NOW - 2 * HOUR)


def video(tx: Transaction, *, opened: bool = False) -> None:
    url = LINK.format(int((NOW + 5 * HOUR).timestamp()))
    row = ended(tx, "film", "SUCCEED", NOW - HOUR, asset=Asset(preview_url=url))
    tx.jobs.record_link_expiring(row, at=NOW, routing=SILENT)  # a reminder does not take it off the list
    if opened:
        link = tx.links.of_job(row, token="t" * 32, at=NOW, life=86400.0)
        assert link is not None
        tx.links.clicked(link.id, NOW)


FAILED = {"error_code": "MSS.1", "error_msg": "no\x1b voice"}
SCENES: Mapping[str, Callable[[Transaction], object]] = {
    "auth_failed": lambda tx: report(tx, refused_since=(NOW - HOUR).isoformat()),
    "project_down": lambda tx: report(tx, down_since=(NOW - HOUR).isoformat()),
    "channel_refused": lambda tx: alert(tx, AttemptOutcome.HELD),
    "dead_alerts": lambda tx: alert(tx, AttemptOutcome.DEAD),
    "failed": lambda tx: ended(tx, "bad", "FAILED", NOW - HOUR, **FAILED),
    "frozen": lambda tx: ended(tx, "ice", "BLOCK", NOW - 3 * DAY),
    "lost": lambda tx: given_up(tx, "gone", Event.LOST, polled=NOW + HOUR),
    "expired": lambda tx: given_up(tx, "old", Event.EXPIRED, polled=NOW),
    "overdue": law,
    "link_dying": video,
    "paused": lambda tx: tx.pauses.begin(PROJECT, at=NOW - 25 * HOUR, who=WHO, comment="maintenance"),
}
"""For each kind what brings it about; `no_daemon` has a test of its own."""
ACTIONS = {
    "auth_failed": "wrapd doctor",
    "project_down": "wrapd doctor",
    "channel_refused": "wrapd channels test editors",
    "dead_alerts": "wrapd deliveries retry --dead --channel editors",
    "failed": "wrapd note bad seen",
    "frozen": "wrapd ask ice",
    "lost": "wrapd note gone seen",
    "expired": "wrapd track old",
    "overdue": "wrapd ask late",
    "link_dying": "wrapd deliveries resend --job film",
    "paused": "wrapd resume main",
}


@pytest.fixture
def wrapd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """A database that a daemon holds."""
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    runner = Runner(tmp_path, capsys)
    runner.config.write_text(
        CONFIG + '[web]\npublic_url = "https://wrapd.example.com"\ntoken = "0123456789abcdef"\n'
    )
    store = Store.open(url_of(runner.database), clock=ManualClock(NOW), daemon=True)
    runner.store = store  # type: ignore[attr-defined]
    yield runner
    store.close()


def write(runner: Runner, *works: Callable[[Transaction], object]) -> None:
    store: Store = runner.store  # type: ignore[attr-defined]
    for work in works:
        store.write_now(work)


def kinds(runner: Runner, *args: str) -> list[str]:
    ended = runner("needs", "--json", *args)
    found = json.loads(ended.out)
    assert ended.status == (Exit.FAILED if found["count"] else Exit.OK)
    return [each["kind"] for each in found["items"]]


def test_nothing_needs_anybody(wrapd: Runner) -> None:
    write(wrapd, lambda tx: track(tx, "one"), report)
    ended = wrapd("needs")
    assert (ended.status, ended.out.splitlines()[1:]) == (0, [])
    assert json.loads(wrapd("needs", "--json").out)["count"] == 0


@pytest.mark.parametrize(
    ("service", "own", "revoked", "until"),
    [
        (5, None, False, 5),
        (5, 48, False, None),
        (5, 48, True, 5),
        (5, 4, False, 5),
        (-5, 7, False, 7),
        (-5, 48, False, None),
        (-5, 7, True, None),
        (-5, -1, False, None),
        (48, 7, False, None),
    ],
)
def test_a_link_dies_when_the_last_of_all_does(
    wrapd: Runner, service: int, own: int | None, revoked: bool, until: int | None
) -> None:
    """Hours until the service's link, and wrapd's own, expire."""

    def work(tx: Transaction) -> None:
        at = NOW - 2 * DAY
        url = LINK.format(int((NOW + service * HOUR).timestamp()))
        row = ended(tx, "film", "SUCCEED", at, asset=Asset(preview_url=url))
        if own is not None:
            assert tx.links.of_job(row, token="t" * 32, at=at, life=(48 + own) * 3600.0) is not None
        if revoked:
            tx.links.revoke(row, NOW)

    write(wrapd, work)
    found = [each["until"][:16] for each in json.loads(wrapd("needs", "--json").out)["items"]]
    assert found == ([] if until is None else [f"2026-03-01T{12 + until}:00"])


@pytest.mark.parametrize("kind", SCENES)
def test_each_kind_is_listed_with_its_action(wrapd: Runner, kind: str) -> None:
    write(wrapd, SCENES[kind])
    [need] = json.loads(wrapd("needs", "--json").out)["items"]
    assert (need["kind"], need["action"]) == (kind, ACTIONS[kind])
    assert need["since"] is not None
    assert wrapd("needs").status == 1
    assert ACTIONS[kind] in wrapd("needs").out


def test_every_kind_has_a_test() -> None:
    assert {*SCENES, "no_daemon"} == set(KINDS)


def test_the_worst_comes_first_and_only_so_many_are_shown(wrapd: Runner) -> None:
    wanted = ["dead_alerts", "failed", "frozen", "lost", "expired", "link_dying", "paused"]
    write(wrapd, *(SCENES[kind] for kind in reversed(wanted)))
    assert kinds(wrapd) == wanted
    found = json.loads(wrapd("needs", "--json", "--limit", "2").out)
    assert (len(found["items"]), found["count"], found["complete"]) == (2, 7, True)


def test_without_a_daemon_that_comes_first(wrapd: Runner) -> None:
    write(wrapd, SCENES["failed"], lambda tx: report(tx, down_since=NOW.isoformat()))
    wrapd.store.close()  # type: ignore[attr-defined]
    assert kinds(wrapd) == ["failed"], "nothing is tracked"
    store = Store.open(url_of(wrapd.database), clock=ManualClock(NOW))
    store.write_now(lambda tx: track(tx, "one"))
    store.close()
    assert kinds(wrapd) == ["no_daemon", "failed"]


def test_a_failure_leaves_the_list_with_time_or_with_a_note(wrapd: Runner) -> None:
    write(wrapd, lambda tx: ended(tx, "older", "FAILED", NOW - 2 * DAY), SCENES["failed"])
    write(wrapd, lambda tx: ended(tx, "noted-before", "FAILED", NOW + HOUR))
    assert wrapd("note", "noted-before", "retake").status == 0
    assert sorted(each["job_id"] for each in json.loads(wrapd("needs", "--json").out)["items"]) == [
        "bad",
        "noted-before",
    ], "that note was written before it failed"
    assert kinds(wrapd, "--since", "3d") == ["failed"] * 3
    assert wrapd("note", "bad", "made again").status == 0
    assert [each["job_id"] for each in json.loads(wrapd("needs", "--json").out)["items"]] == ["noted-before"]
    assert wrapd("note", "bad", "--remove").status == 0
    assert kinds(wrapd) == ["failed"] * 2


def test_what_a_paused_project_does_not_do_is_not_counted(wrapd: Runner) -> None:
    write(wrapd, SCENES["overdue"], lambda tx: report(tx, down_since=NOW.isoformat()))
    assert kinds(wrapd) == ["project_down", "overdue"]
    write(wrapd, lambda tx: tx.pauses.begin(PROJECT, at=NOW - HOUR, who=WHO))
    assert kinds(wrapd) == []


def test_an_old_report_and_a_former_project_do_not_count(wrapd: Runner) -> None:
    since = {"down_since": (NOW - HOUR).isoformat()}
    write(
        wrapd,
        lambda tx: tx.statuses.set(PROJECT, since, NOW - timedelta(minutes=5)),
        lambda tx: tx.statuses.set(ProjectName("former"), since, NOW),
        lambda tx: tx.pauses.begin(ProjectName("former"), at=NOW - 3 * DAY, who=WHO),
    )
    assert kinds(wrapd) == []


def test_an_opened_video_is_not_listed(wrapd: Runner) -> None:
    write(wrapd, lambda tx: video(tx, opened=True))
    assert kinds(wrapd) == []


def test_where_clicks_are_not_seen_no_video_is_listed(wrapd: Runner) -> None:
    write(wrapd, video)
    wrapd.config.write_text(CONFIG)
    assert kinds(wrapd) == []


def test_a_hostile_reason_stays_text(wrapd: Runner) -> None:
    long = "\x1b]0;x\x07<b>" + "长" * 5000
    write(wrapd, lambda tx: ended(tx, "bad", "FAILED", NOW - HOUR, error_msg=long))
    [need] = json.loads(wrapd("needs", "--json").out)["items"]
    assert len(need["text"]) < 400
    assert "\x1b" not in wrapd("needs").out


MUTED = {
    "channel_refused": ("--channel", "editors"),
    "dead_alerts": ("--channel", "editors"),
    "failed": ("--job", "bad"),
    "frozen": ("--tag", "night"),
    "lost": ("--tag", "night"),
    "expired": ("--job", "old"),
    "overdue": ("--batch", "b-1"),
    "link_dying": ("--tag", "night"),
}


@pytest.mark.parametrize("kind", MUTED)
def test_of_what_is_muted_somebody_takes_care_until_then(
    wrapd: Runner, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(wrapd, SCENES[kind])
    option, name = MUTED[kind]
    if option == "--tag":
        wrapd("tag", ACTIONS[kind].split()[-2 if kind == "lost" else -1], "--add", "night")
    elif option == "--batch":
        wrapd("track", "late", "--batch", "b-1")
    muting = ("--for", "2h", "--comment", "retake tonight")
    assert wrapd("mute", option, f"{name}x" if option in ("--tag", "--batch") else name, *muting).status == 0
    expected = [kind] if option in ("--tag", "--batch") else []
    assert kinds(wrapd) == expected, "another tag or batch"
    assert wrapd("mute", option, name, *muting).status == 0
    monkeypatch.setattr("daemon.cli.output.is_terminal", lambda: True)
    shown = wrapd("needs")
    muted = int(kind != "channel_refused")  # what is not sent is not refused
    more = "1 more is muted: `wrapd mute list` shows until when.\n" * muted
    assert (shown.status, shown.out) == (0, f"Nothing needs you.\n{more}")
    assert json.loads(wrapd("needs", "--json").out)["muted"] == muted
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW + 3 * HOUR)
    assert muted == 0 or kind in kinds(wrapd), "its time is over, even if no daemon has ended it"


def test_the_list_and_the_outbox_agree_on_what_is_muted(wrapd: Runner) -> None:
    write(wrapd, SCENES["failed"], lambda tx: ended(tx, "other", "FAILED", NOW - HOUR))
    wrapd("tag", "bad", "--add", "night")
    wrapd("track", "bad", "--batch", "b-1", "--retrack")
    for scope, subject in (("job", "bad"), ("batch", "b-1"), ("tag", "night"), ("job", "none"), ("channel", "a")):
        for project in (None, PROJECT, ProjectName("former")):
            row = wrapd.store.write_now(  # type: ignore[attr-defined]
                lambda tx, scope=scope, subject=subject, project=project: tx.mutes.start(
                    MuteScope(scope),
                    subject,
                    project=project,
                    at=NOW,
                    until=NOW + HOUR,
                    who=WHO,
                    comment="x",
                    then=MuteEnd.SEND,
                )
            )
            jobs, kept = wrapd.store.read(  # type: ignore[attr-defined]
                lambda tx: (tx.jobs.list(), {each.id: tx.mutes.of_job(each.id) for each in tx.jobs.list()})
            )
            for job in jobs:
                assert is_muted(job, [row]) == (row in kept[job.id]), (scope, project, job.job_id)
