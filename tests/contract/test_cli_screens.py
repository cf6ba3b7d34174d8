"""The commands' screens on terminals of 80 and 120 columns: names in Chinese and Arabic, emoji, names of maximum
length, several projects, ids with common prefixes; with and without a daemon."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.cli.layout import cells
from daemon.cli.text import clean
from daemon.clock import ManualClock, SystemClock
from daemon.domain.actions import actor
from daemon.domain.events import Event, Json, OperatorAlert
from daemon.domain.jobs import Asset, ChannelName, Observation, ProjectName
from daemon.domain.planning import Reason
from daemon.domain.routing import Routing, Target, routing
from daemon.store import AttemptOutcome, Bookkeeping, Outcome, Store, Transaction, to_stamp
from tests.support import store as tools
from tests.support.screens import kept, printed, screen

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ZONE = "Asia/Shanghai"
EDITORS, PRODUCERS, OPERATORS = map(ChannelName, ("editors", "shanghai-producers", "operators"))
ROUTES = routing([], operators=[OPERATORS], channels=[EDITORS])
SILENT = Routing(routes=(), operators=())
CONFIG = """
operators = ["operators"]
[projects.main]
region = "cn-north-4"
auth = { method = "aksk", access_key = { env = "AK" }, secret_key = { env = "SK" } }
[projects.spring-festival]
region = "cn-east-3"
auth = { method = "aksk", access_key = { env = "AK" }, secret_key = { env = "SK" } }
[channels.editors]
url = { env = "URL" }
[channels.shanghai-producers]
url = { env = "NOT_SET_URL" }
timezone = "Asia/Shanghai"
language = "zh"
max_per_minute = 20
quiet = { from = "22:00", to = "07:00" }
fallback = "editors"
[channels.operators]
url = { env = "URL" }
[[routes]]
events = ["succeeded", "failed", "canceled", "blocked", "unblocked", "stuck", "lost", "expired", "link_expiring"]
channels = ["editors", "shanghai-producers"]
"""
STATUS: dict[str, Json] = {
    "feed": "trusted",
    "batch": "auto",
    "batch_size": 100,
    "price": 1.0,
    "pressure": 1.0,
    "rate": 10.0,
    "usage": 0.25,
    "jobs": 12,
    "up": True,
    "feed_carries_news": True,
}
FESTIVAL = "spring-festival"
FILM, GALA = "秋季发布会全部短片", "春节联欢晚会·第三场彩排·全部素材与字幕校对(含英文版)"
EPISODE = "春节宣传片《龙腾盛世》第十二集(终版修订稿)"
REHEARSAL = "🎬 上海发布会 👩\u200d💻 彩排"
LONG = "The launch film of the autumn collection, as told by its makers, " * 4
REVIEW = "文本内容审核不通过：第 3 段包含敏感词，请修改后重新提交"  # noqa: RUF001
REFUSED = (
    "HTTP 400: the service refuses the message: keyword not found in content (DingTalk 310000); add the keyword "
    "to the message or to the robot's settings, then `wrapd deliveries retry`"
)
REMOVED = "HTTP 401: 机器人已被移除，请重新添加机器人并更新 webhook 地址"  # noqa: RUF001
NOTE = "重拍:片头标志用错了 retake the opening, the logo is last year's; the presenter wears the old jacket"
LINK = "https://mss-cn-east-3.obs.example.com/out/{}?AccessKeyId=HPUA&Expires=1772452800&Signature=a%2Fb%3D"


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def uuid(number: int) -> str:
    return f"{number:04x}f0c9-3d1e-4b7a-9c55-00000000{number:04x}"


def job(
    tx: Transaction,
    job_id: str,
    label: str | None,
    *states: tuple[str, float],
    project: str = "main",
    batch: str | None = None,
    **seen: object,
) -> int:
    """Write a job with its states, each entered that many seconds ago."""
    wanted = tools.request(job_id, project=project, label=label, batch=batch)
    began = states[0][1] if states else 195
    tx.jobs.track(wanted, at=ago(began + 10))
    row = tx.jobs.find(wanted.job_id, wanted.project)[0]
    before = None
    for state, since in states:
        last = state == states[-1][0]
        ended = ago(since) if state in ("SUCCEED", "FAILED") else None
        answer = Observation(
            state=state,
            started_at=ago(began),
            ended_at=ended,
            **(seen if last else {}),  # type: ignore[arg-type]
        )
        move = tools.move(before, answer, at=ago(since))
        tx.jobs.record_move(row.id, move, answer, routing=ROUTES if label else SILENT, due_at=ago(since))
        before = state
    return row.id


def looked(tx: Transaction, row: int, *, next_in: float, reason: Reason, error: str | None = None) -> None:
    look = Bookkeeping(
        job=row,
        last_polled_at=to_stamp(ago(20)),
        next_poll_at=to_stamp(NOW + timedelta(seconds=next_in)),
        polls=14,
        last_error=error,
        asked_by="single",
        next_reason=reason,
    )
    tx.jobs.checkpoint([look])


def fill(tx: Transaction) -> None:
    """Write jobs of two projects and of every state, as a daemon would."""
    for number in range(12):
        job(tx, uuid(number), None, ("PROCESSING", 9000 + 20.0 * number), ("SUCCEED", 8800), batch=FILM)
    video = Asset(
        asset_id="d2f1",
        asset_name="rehearsal.mp4",
        cover_url=LINK.format("cover.png"),
        preview_url=LINK.format("preview.mp4"),
    )
    job(
        tx,
        uuid(0xA1),
        REHEARSAL,
        ("PROCESSING", 5000),
        ("SUCCEED", 4000),
        project=FESTIVAL,
        batch=GALA,
        asset=video,
    )
    failure = {"error_code": "MSS.00010012", "error_msg": REVIEW}
    row = job(tx, uuid(0xA2), "مرحبا بالعالم — النسخة النهائية", ("PROCESSING", 4000), ("FAILED", 3600), **failure)
    tx.labels.set_note([row], NOTE)
    job(tx, uuid(0xA3), LONG[:200], ("PROCESSING", 3000), ("BLOCK", 2500), project=FESTIVAL, batch=GALA)
    row = job(tx, uuid(0xB1), EPISODE, ("WAITING", 200), ("PROCESSING", 130), batch=FILM)
    looked(tx, row, next_in=12, reason=Reason.PRICE)
    job(tx, "00b1f0c9-a0b1-4b7a-9c55-0000000000ff", "同一前缀", ("PROCESSING", 40), project=FESTIVAL)
    job(tx, "short-id", None, ("WAITING", 30))
    row = job(tx, uuid(0xC1), "还没有登记的任务", project=FESTIVAL)
    error = "the service does not know the job; HTTP 404; MSS.00010003 task not found"
    looked(tx, row, next_in=9, reason=Reason.UNKNOWN, error=error)
    for project in ("main", FESTIVAL):
        tx.statuses.set(ProjectName(project), STATUS, ago(4))


def alerts(tx: Transaction) -> None:
    """Write alerts of every status."""
    for kind, code, reason in (
        (AttemptOutcome.SENT, 200, None),
        (AttemptOutcome.DEAD, 400, REFUSED),
        (AttemptOutcome.HELD, 401, REMOVED),
    ):
        claimed = tx.outbox.claim(EDITORS, now=NOW)
        assert claimed is not None
        due_at = NOW + timedelta(hours=1) if kind is AttemptOutcome.HELD else None
        tx.outbox.finish(claimed, Outcome(kind=kind, reason=reason, status_code=code, due_at=due_at), at=ago(900))
    down = OperatorAlert(
        event=Event.PROJECT_DOWN, key="down", project=ProjectName(FESTIVAL), facts={"reason": "x"}
    )
    kept_back = Target(channel=OPERATORS, held_until=NOW + timedelta(hours=11))
    tx.outbox.add_operator(down, channels=[kept_back], at=ago(60))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(SystemClock, "now", lambda _: NOW)
    monkeypatch.setenv("WRAPD_TZ", ZONE)
    monkeypatch.setenv("AK", "access-key")
    monkeypatch.setenv("SK", "secret-key")
    monkeypatch.setenv("URL", "json://chat.example.com/hook")
    monkeypatch.chdir(tmp_path)
    path = Path("wrapd.toml")
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(params=[True])
def filled(config: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return the config with a full database; `request.param`: whether a daemon holds it."""
    store = Store.open("sqlite:///wrapd.db", clock=ManualClock(NOW), daemon=request.param)
    store.write_now(fill)
    store.write_now(alerts)
    yield config
    store.close()


widths = pytest.mark.parametrize("columns", [80, 120])
alone = pytest.mark.parametrize("filled", [False], indirect=True)


@widths
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("jobs", ("jobs", "--limit", "9")),
        ("batches", ("batches",)),
        ("deliveries", ("deliveries",)),
        ("delivery", ("deliveries", "show", "3")),
        ("channels", ("channels",)),
        ("routes", ("routes",)),
        ("show", ("show", uuid(0xA1)[:8])),
        ("show-failed", ("show", uuid(0xA2)[:8])),
        ("show-unknown", ("show", uuid(0xC1)[:8])),
        ("explain", ("explain", uuid(0xB1))),
        ("stats", ("stats", "--project", "main")),
        ("needs", ("needs",)),
    ],
)
def test_a_screen_is_as_it_is_kept(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str, args: tuple[str, ...], columns: int
) -> None:
    kept(f"{name}-{columns}", screen(monkeypatch, filled, *args, columns=columns))


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize(
    "args",
    [
        *(
            ("jobs",),
            ("batches",),
            ("deliveries",),
            ("channels",),
            ("routes",),
            ("needs",),
            ("stats",),
            ("doctor",),
        ),
        *(("show", uuid(number)) for number in (0xA1, 0xA2, 0xC1, 0xB1)),
        *(("deliveries", "show", str(number)) for number in (1, 2, 3)),
        ("explain", uuid(0xB1)),
    ],
    ids=" ".join,
)
def test_nothing_is_wider_than_the_terminal_but_a_word_that_is_longer_than_a_line(
    filled: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], columns: int
) -> None:
    """Such a word is an address or a path, which could not be copied if it were broken."""
    found, lines = [], printed(monkeypatch, filled, *args, columns=columns)
    assert "internal error" not in lines[0]
    for line in lines:
        long = [each for each in line.split() if cells(each) > columns - 4]
        if cells(line) > columns and not long:
            found.append(line)
    assert found == []


@widths
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("jobs-paused", ("jobs", "--limit", "4")),
        ("stats-paused", ("stats", "--project", "main")),
        ("needs-paused", ("needs",)),
    ],
)
def test_a_screen_says_that_a_project_is_paused(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str, args: tuple[str, ...], columns: int
) -> None:
    comment = "配额迁移中 — the quota moves to the new account, ask 张伟"
    with closing(Store.open("sqlite:///wrapd.db", clock=ManualClock(NOW))) as store:
        store.write_now(
            lambda tx: tx.pauses.begin(
                ProjectName("main"), at=ago(100_000), who=actor("cli", "ann"), comment=comment
            )
        )
    kept(f"{name}-{columns}", screen(monkeypatch, filled, *args, columns=columns))


@widths
@alone
@pytest.mark.parametrize("name", ["jobs", "deliveries"])
def test_a_screen_says_that_no_daemon_runs(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str, columns: int
) -> None:
    kept(f"{name}-no-daemon-{columns}", screen(monkeypatch, filled, name, "--limit", "3", columns=columns))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("jobs",), "`wrapd track JOB_ID` adds one"),
        (("jobs", "--state", "FAILED"), "`wrapd jobs` without options lists all"),
        (("deliveries",), "`wrapd routes` says which channels get them"),
        (("deliveries", "--dead"), "`wrapd deliveries` without options lists all"),
        (("links", "list"), "set web.public_url in the config"),
        (("templates",), "add them in [channels.NAME.templates]"),
        (("stats", "--project", "main"), "no job has ended yet"),
    ],
)
def test_an_empty_list_says_what_to_do(
    config: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], says: str
) -> None:
    Store.open("sqlite:///wrapd.db", clock=ManualClock(NOW)).close()
    assert says in " ".join(screen(monkeypatch, config, *args, columns=80).split())


@widths
def test_the_screen_of_doctor_is_as_it_is_kept(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Values of this machine are masked; those of the installation are not."""
    monkeypatch.setattr("daemon.cli.doctor.program", list)
    monkeypatch.setattr("daemon.cli.checks._touched", lambda _: NOW)
    monkeypatch.setattr("daemon.store.health.holder", lambda _: None)

    def moved(text: str) -> str:
        return clean(text).replace(str(tmp_path), "/var/lib/wrapd")

    monkeypatch.setattr("daemon.cli.output.clean", moved)
    kept(f"doctor-{columns}", screen(monkeypatch, filled, "doctor", columns=columns))
