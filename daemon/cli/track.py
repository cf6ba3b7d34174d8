"""`wrapd track`: put jobs under watch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, job_ids, opened, project_of
from daemon.cli.text import clean, label
from daemon.config import Config
from daemon.domain.jobs import JobId, ProjectName
from daemon.errors import UsageFault
from daemon.metastudio.kinds import AVATAR, KINDS

if TYPE_CHECKING:
    from daemon.store import Store

MAX_WORD = 64
"""Characters of a tag or batch."""
MAX_TAGS = 20
"""Tags of a job."""
AT_ONCE = 2000
"""Jobs of one transaction: some hundredths of a second, in which a running daemon cannot write."""


@click.command("track")
@click.argument("ids", nargs=-1, required=True, metavar="JOB_ID... | -")
@click.option("--project", metavar="NAME", help="The project of the jobs; needed where there are several.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    help=f"What is produced. [default: {AVATAR.name}, for a job that is known the kind it has]",
)
@click.option("--label", "label_text", metavar="TEXT", help="What people call it; stands in the alerts.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To find it by; may be repeated.")
@click.option("--batch", metavar="WORD", help="The batch that it belongs to.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    ids: tuple[str, ...],
    project: str | None,
    kind: str | None,
    label_text: str | None,
    tags: tuple[str, ...],
    batch: str | None,
) -> None:
    """Watch jobs from now on, and tell the channels of what becomes of them.

    JOB_ID is the job_id that MetaStudio gave; `-` reads ids from standard input, one a line (blank lines and
    lines that begin with # are skipped). Tracking a job twice does no harm; one that was lost, expired or stopped
    is taken up again. If one id is wrong nothing is changed. More than 2000 jobs are stored in parts: where one of
    them cannot be, those before it stay, and are named.
    """
    config = config_of(ctx)
    chosen = project_of(config, project)
    words = _words("--tag", tags)
    if len(words) > MAX_TAGS:
        raise UsageFault(f"--tag was given {len(words)} times; at most {MAX_TAGS} fit a job")
    group = None if batch is None else _words("--batch", [batch])[0]
    request = Request(
        project=chosen,
        kind=kind,
        label=None if label_text is None else label(label_text),
        tags=words,
        batch=group,
    )
    told: list[str] = []
    try:
        for part in _track(config, request, job_ids(ids)):
            told += part  # nothing is printed yet: a reader that goes away must not end it half-way
    finally:
        for sentence in told:
            output.line(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one command line says of all its jobs; None where it says nothing."""

    project: ProjectName
    kind: str | None
    label: str | None
    tags: tuple[str, ...]
    batch: str | None


def _track(config: Config, request: Request, ids: Sequence[JobId]) -> Iterator[list[str]]:
    """Track the jobs in parts, each of them whole, and say what became of each job."""
    at = CLOCK.now()
    with opened(config) as store:
        for start in range(0, len(ids), AT_ONCE):
            yield _track_part(store, request, ids[start : start + AT_ONCE], at=at)


def _track_part(store: "Store", request: Request, ids: Sequence[JobId], *, at: datetime) -> list[str]:
    from daemon.store import TrackRequest, TrackResult  # noqa: PLC0415 - SQLAlchemy

    # Looked up before the write: a daemon cannot write meanwhile.
    known = store.read(lambda transaction: transaction.jobs.known(request.project, ids))
    requests = [
        TrackRequest(
            project=request.project,
            kind=request.kind or (known[job_id].kind if job_id in known else AVATAR.name),
            job_id=job_id,
            label=request.label,
            tags=request.tags,
            batch=request.batch,
        )
        for job_id in ids
    ]
    results = store.write_now(lambda transaction: transaction.jobs.track_many(requests, at=at))
    sentences = {
        TrackResult.ADDED: "tracked",
        TrackResult.TAKEN_UP: "tracked again",
        TrackResult.ALREADY: "already tracked",
        TrackResult.FINISHED: "not tracked: it has ended",
    }
    told = []
    for job_id, result in zip(ids, results, strict=True):
        state = known[job_id].state if job_id in known else None
        ended = f" ({state})" if result is TrackResult.FINISHED and state else ""
        told.append(f"{job_id}: {sentences[result]}{ended}")
    return told


def _words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(clean(word).strip() for word in given))
    for word in words:
        if not word or len(word) > MAX_WORD:
            raise UsageFault(f"{option} takes 1 to {MAX_WORD} characters, not {len(word)}")
    return words
