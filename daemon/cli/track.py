"""`wrapd track`: put jobs under watch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, job_ids, opened, project_of
from daemon.cli.text import clean, label
from daemon.config import Config
from daemon.domain.jobs import JobId, ProjectName
from daemon.errors import UsageFault
from daemon.metastudio.kinds import AVATAR, KINDS

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
    is taken up again. If one id is wrong nothing is changed.
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
            told += part  # nothing is written yet: a reader that goes away must not end it half-way
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
    """Track the jobs, some at a time, and say what became of each."""
    with opened(config) as store:
        from daemon.store import TrackRequest, TrackResult  # noqa: PLC0415 - SQLAlchemy

        sentences = {
            TrackResult.ADDED: "tracked",
            TrackResult.TAKEN_UP: "tracked again",
            TrackResult.ALREADY: "already tracked",
            TrackResult.FINISHED: "not tracked: it has ended",
        }
        at = CLOCK.now()
        for part in (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)):
            known = store.read(lambda tx, part=part: tx.jobs.known(request.project, part))
            requests = [
                TrackRequest(
                    project=request.project,
                    kind=request.kind or (known[job_id].kind if job_id in known else AVATAR.name),
                    job_id=job_id,
                    label=request.label,
                    tags=request.tags,
                    batch=request.batch,
                )
                for job_id in part
            ]
            results = store.write_now(lambda tx, requests=requests: tx.jobs.track_many(requests, at=at))
            states = {job_id: job.state for job_id, job in known.items()}
            yield [
                f"{job_id}: {sentences[result]}{_end(result, states.get(job_id))}"
            ]


def _words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(clean(word).strip() for word in given))
    for word in words:
        if not word or len(word) > MAX_WORD:
            raise UsageFault(f"{option} takes 1 to {MAX_WORD} characters, not {len(word)}")
    return words
