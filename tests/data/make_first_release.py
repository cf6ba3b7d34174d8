"""Makes `first_release.db.xz`: a database as the first release (schema 0003) left it, killed amid its work.

    git archive fd5fc13 | tar x -C DIR
    .venv/bin/python tests/data/make_first_release.py DIR tests/data/first_release.db.xz

Every row is written by that release's own store, with a clock that is moved and a seed: the same command makes the
same rows. `tests/e2e/test_upgrade_first_release.py` says what must come of them.
"""

import lzma
import random
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

START = datetime(2026, 3, 1, 20, 0, tzinfo=UTC)
COUNT = 10_000
FINISHED, TO_SEND, PUT_OFF, AT_NIGHT, REFUSED, DEAD, CANCELED = 8_950, 150, 60, 60, 80, 40, 30
GONE = 20
"""Jobs that were lost, and as many that expired, and that a person stopped."""


def main(checkout: Path, target: Path) -> None:
    sys.path.insert(0, str(checkout))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wrapd.db"
        Maker(path).make()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
        connection.close()
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
        target.write_bytes(lzma.compress(path.read_bytes(), filters=filters))
    print(f"{target}: {target.stat().st_size:,} bytes")


class Maker:
    """Fills one database."""

    def __init__(self, path: Path) -> None:
        from daemon.clock import ManualClock
        from daemon.domain.events import Event
        from daemon.domain.quiet import QuietHours
        from daemon.domain.routing import Route, Routing
        from daemon.store import Store

        self.rng = random.Random(20260301)
        self.clock = ManualClock(START)
        self.store = Store.open(f"sqlite:///{path}", clock=self.clock)
        night = QuietHours(start=time(22), end=time(8), zone=ZoneInfo("UTC"), urgent=frozenset())
        ends = frozenset(
            {Event.SUCCEEDED, Event.FAILED, Event.CANCELED, Event.LOST, Event.EXPIRED, Event.BATCH_FINISHED}
        )

        def to(*names: str) -> Routing:
            route = Route(events=ends, channels=tuple(names))  # type: ignore[arg-type]
            return Routing(routes=(route,), operators=("team",), quiet={"night": night})  # type: ignore[dict-item,arg-type]

        self.team, self.to_refused, self.to_night = to("team"), to("refused"), to("night")
        self.silent = Routing(routes=(), operators=())

    def make(self) -> None:
        """Write everything in order of time; what was unsent at the end comes last."""
        self._finished()
        self._gone()
        self._pictures_and_links()
        self._watched()
        self._batches_of_old()
        self._refused()
        self._dead_and_canceled()
        self._at_night()
        self._put_off()
        self._to_send()
        self._batches_under_way()
        self._sending()
        self._rest()
        self.store.close()

    # Parts

    def _finished(self) -> None:
        """Jobs that ended long ago, alerted on the team's channel."""
        for begin in range(0, FINISHED, 50):
            count = min(50, FINISHED - begin)
            jobs = self._track(count, "main" if begin % 250 else "other")
            self.clock.advance(self.rng.uniform(1, 4))
            self._do(lambda tx, jobs=jobs: [self._move(tx, job, "PROCESSING", self.silent) for job in jobs])
            self.clock.advance(self.rng.uniform(1, 4))
            self._do(lambda tx, jobs=jobs: [self._move(tx, job, self._end(), self.team) for job in jobs])
            self._do(lambda tx, count=count: self._send(tx, "team", count))

    def _gone(self) -> None:
        from daemon.domain.events import Event

        for event in (Event.LOST, Event.EXPIRED):
            jobs = self._track(GONE, "main")
            at = self.clock.now()
            self._do(
                lambda tx, jobs=jobs, event=event, at=at: [
                    tx.jobs.record_end(job, event, at=at, routing=self.team, reason="it is not there")
                    for job in jobs
                ]
            )
            self._do(lambda tx: self._send(tx, "team", GONE))
        jobs = self._track(GONE, "other")
        self._do(lambda tx: [self._stop(tx, job) for job in jobs])

    def _watched(self) -> None:
        """Running jobs: 300 in production, 100 waiting, 30 frozen, 50 never polled."""
        from daemon.store import Look

        for count, state, project in (
            (300, "PROCESSING", "main"),
            (100, "WAITING", "other"),
            (30, "BLOCK", "main"),
        ):
            jobs = self._track(count, project)
            self._do(lambda tx, jobs=jobs, state=state: [self._move(tx, job, state, self.silent) for job in jobs])
            now = self.clock.now()
            looks = [
                Look(
                    job=job,
                    last_polled_at=now,
                    next_poll_at=now,
                    polls=3,
                    last_error=None,
                    asked_by="ids",
                    next_reason="price",
                )
                for job in jobs
            ]
            self._do(lambda tx, looks=looks: tx.jobs.checkpoint(looks))
        self._track(50, "main")

    def _batches_of_old(self) -> None:
        """A batch that was alerted, and one of jobs that had ended before they joined it."""
        jobs = self._track(5, "main", batch="told")
        self._do(lambda tx: [self._move(tx, job, "SUCCEED", self.team) for job in jobs])
        self.clock.advance(15)
        self._do(lambda tx: self._send(tx, "team", 6))
        before = self._track(3, "main")
        self._do(lambda tx: [self._move(tx, job, "SUCCEED", self.team) for job in before])
        self._do(lambda tx: self._send(tx, "team", 3))
        self._do(lambda tx: [self._give(tx, job, batch="handed over late") for job in before])

    def _refused(self) -> None:
        jobs = self._track(REFUSED, "main")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.to_refused) for job in jobs])
        self._do(lambda tx: self._send(tx, "refused", 1, outcome="held", wait=300.0))
        later = self._track(20, "other")
        self._do(lambda tx: [self._move(tx, job, "FAILED", self.to_refused) for job in later])

    def _dead_and_canceled(self) -> None:
        jobs = self._track(DEAD, "main")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.team) for job in jobs])
        self._do(lambda tx: self._send(tx, "team", DEAD, outcome="dead"))
        jobs = self._track(CANCELED, "other")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.team) for job in jobs])
        self._do(
            lambda tx: tx.outbox.cancel([row.id for row in tx.outbox.list(limit=CANCELED)], at=self.clock.now())
        )

    def _at_night(self) -> None:
        self.clock.advance(max(0.0, (datetime(2026, 3, 2, 1, tzinfo=UTC) - self.clock.now()).total_seconds()))
        jobs = self._track(AT_NIGHT, "main")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.to_night) for job in jobs])

    def _put_off(self) -> None:
        """Deliveries that failed; due again in 5 to 15 minutes."""
        jobs = self._track(PUT_OFF, "main")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.team) for job in jobs])
        self._do(lambda tx: self._send(tx, "team", PUT_OFF // 2, outcome="retry", wait=300.0))
        self._do(lambda tx: self._send(tx, "team", PUT_OFF // 2, outcome="unknown", wait=900.0))

    def _to_send(self) -> None:
        jobs = self._track(TO_SEND, "other")
        self._do(lambda tx: [self._move(tx, job, self._end(), self.team) for job in jobs])

    def _batches_under_way(self) -> None:
        """A batch that has just ended, and one with two running jobs."""
        jobs = self._track(4, "main", batch="settling")
        self._do(lambda tx: [self._move(tx, job, "SUCCEED", self.team) for job in jobs])
        jobs = self._track(5, "main", batch="under way")
        self._do(lambda tx: [self._move(tx, job, "SUCCEED", self.team) for job in jobs[:3]])

    def _sending(self) -> None:
        """The daemon was killed while it sent a message about seven jobs."""
        self._do(lambda tx: tx.outbox.claim_together("team", now=self.clock.now(), most=7))

    def _pictures_and_links(self) -> None:
        from daemon.store import PictureRow

        at = self.clock.now()
        for job in range(1, 301):
            token = f"{self.rng.getrandbits(192):048x}"
            self._do(lambda tx, job=job, token=token: tx.links.of_job(job, token=token, at=at, life=30 * 86400.0))
        for job in range(1, 21):
            picture = PictureRow(
                job=job,
                url=f"https://files.example.com/{job}.png",
                content_type="image/png",
                data=b"\x89PNG\r\n\x1a\n" + self.rng.randbytes(200),
                fetched_at=at,
                error=None,
            )
            self._do(lambda tx, picture=picture: tx.pictures.put(picture))
        self._do(lambda tx: [tx.links.clicked(link, at) for link in range(1, 50)])
        self._do(lambda tx: [tx.links.revoke(job, at) for job in range(250, 260)])

    def _rest(self) -> None:
        at = self.clock.now()
        for _ in range(3):
            row = self._do(lambda tx: tx.discoveries.ask("other", {"until": at.isoformat()}, at))
            self._do(lambda tx, row=row: tx.discoveries.finish(row, at=at, found=3, added=1))
        for project in ("main", "other"):
            facts = {"down": False, "late": 0.0, "usage": 0.25, "jobs": 200}
            self._do(lambda tx, project=project, facts=facts: tx.statuses.set(project, facts, at))
        with_count = self._do(lambda tx: sum(tx.jobs.counts().values()))
        self._track(COUNT - with_count, "main")

    # Steps

    def _do(self, work: Any) -> Any:
        return self.store.write_now(work)

    def _track(self, count: int, project: str, *, batch: str | None = None) -> list[int]:
        from daemon.store import TrackRequest

        requests = [
            TrackRequest(
                project=project,  # type: ignore[arg-type]
                kind="photo" if project == "other" and number % 3 == 0 else "avatar",
                job_id=f"{self.rng.getrandbits(64):016x}",  # type: ignore[arg-type]
                label=f"Episode {number}" if number % 4 == 0 else None,
                tags=("promo",) if number % 10 == 0 else (),
                batch=batch,
            )
            for number in range(count)
        ]

        def work(tx: Any) -> list[int]:
            tx.jobs.track_many(requests, at=self.clock.now())
            return [tx.jobs.find(each.job_id, each.project)[0].id for each in requests]

        jobs: list[int] = self._do(work)
        self._do(lambda tx: tx.jobs.take_changes(limit=10_000))
        return jobs

    def _give(self, tx: Any, job: int, *, batch: str) -> None:
        from daemon.store import TrackRequest

        row = tx.jobs.get(job)
        tx.jobs.track(
            TrackRequest(project=row.project, kind=row.kind, job_id=row.job_id, batch=batch), at=self.clock.now()
        )

    def _stop(self, tx: Any, job: int) -> None:
        row = tx.jobs.get(job)
        tx.jobs.untrack(row.project, row.job_id, at=self.clock.now())

    def _end(self) -> str:
        return self.rng.choices(("SUCCEED", "FAILED", "CANCELED"), (90, 8, 2))[0]

    def _move(self, tx: Any, job: int, state: str, routes: Any) -> None:
        from daemon.domain.jobs import Asset, Observation
        from daemon.domain.transitions import judge

        at = self.clock.now()
        done = state == "SUCCEED"
        asset = (
            Asset(asset_id=f"asset-{job}", preview_url=f"https://files.example.com/{job}.mp4") if done else Asset()
        )
        seen = Observation(
            state=state,
            asset=asset,
            error_code="MSS.10019999" if state == "FAILED" else None,
            error_msg="synthesis failed" if state == "FAILED" else None,
        )
        move = judge(tx.jobs.get(job).state, seen, at=at)
        assert tx.jobs.record_move(job, move, seen, routing=routes, due_at=at) is not None

    def _send(
        self, tx: Any, channel: str, count: int, *, outcome: str = "sent", wait: float | None = None
    ) -> None:
        from datetime import timedelta

        from daemon.store import AttemptOutcome, Outcome

        for _ in range(count):
            at = self.clock.now()
            claimed = tx.outbox.claim(channel, now=at)
            assert claimed is not None
            due = None if not wait else at + timedelta(seconds=wait)
            reason = {"sent": "200", "dead": "HTTP 400", "held": "HTTP 401"}.get(outcome, "HTTP 502")
            status = {"sent": 200, "dead": 400, "held": 401, "retry": 502}.get(outcome)
            ended = Outcome(kind=AttemptOutcome(outcome), reason=reason, status_code=status, due_at=due)
            tx.outbox.finish(claimed, ended, at=at)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
