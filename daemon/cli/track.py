"""`wrapd track`: put jobs under watch."""

from collections.abc import Sequence

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, job_ids, opened, project_of
from daemon.cli.text import clean, label
from daemon.domain.jobs import JobId, ProjectName
from daemon.errors import UsageFault
from daemon.metastudio.kinds import AVATAR, KINDS

MAX_WORD = 64
"""Characters of a tag or batch."""
MAX_TAGS = 20
"""Tags of a job."""


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
    wanted = job_ids(ids)
    name = None if label_text is None else label(label_text)
    with opened(config) as store:
        from daemon.store import TrackRequest, TrackResult, Transaction  # noqa: PLC0415 - SQLAlchemy

        def work(transaction: Transaction) -> list[tuple[JobId, TrackResult, str | None]]:
            at = CLOCK.now()
            told = []
            for job_id in wanted:
                known = transaction.jobs.find(job_id, ProjectName(chosen))
                request = TrackRequest(
                    project=chosen,
                    kind=kind or (known[0].kind if known else AVATAR.name),
                    job_id=job_id,
                    label=name,
                    tags=words,
                    batch=group,
                )
                told.append((job_id, transaction.jobs.track(request, at=at), known[0].state if known else None))
            return told

        results = store.write_now(work)
    sentences = {
        TrackResult.ADDED: "tracked",
        TrackResult.TAKEN_UP: "tracked again",
        TrackResult.ALREADY: "already tracked",
        TrackResult.FINISHED: "not tracked: it has ended",
    }
    for job_id, result, state in results:
        ended = f" ({state})" if result is TrackResult.FINISHED and state else ""
        output.line(f"{job_id}: {sentences[result]}{ended}")


def _words(option: str, given: Sequence[str]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(clean(word).strip() for word in given))
    for word in words:
        if not word or len(word) > MAX_WORD:
            raise UsageFault(f"{option} takes 1 to {MAX_WORD} characters, not {len(word)}")
    return words
