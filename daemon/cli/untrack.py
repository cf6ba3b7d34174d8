"""`wrapd untrack`: stop watching jobs."""

import click

from daemon.cli import output
from daemon.cli.session import CLOCK, config_of, job_ids, one_job, opened


@click.command("untrack")
@click.argument("ids", nargs=-1, required=True, metavar="JOB_ID... | -")
@click.option("--project", metavar="NAME", help="The project of the jobs; needed where several have the id.")
@click.pass_context
def command(ctx: click.Context, ids: tuple[str, ...], project: str | None) -> None:
    """Stop watching jobs, and close wrapd's own links to their videos. What was recorded stays, and `wrapd track`
    takes them up again.

    `-` reads ids from standard input, one a line. If one of them is not known nothing is changed.
    """
    config = config_of(ctx)
    wanted = job_ids(ids)
    from daemon.commands import Stopped, untrack  # noqa: PLC0415 - SQLAlchemy
    from daemon.store import Transaction  # noqa: PLC0415

    def work(transaction: Transaction) -> list[Stopped]:
        jobs = {job.id: job for job in (one_job(transaction, job_id, project) for job_id in wanted)}
        return untrack(transaction, list(jobs.values()), at=CLOCK.now(), routing=config.routing())

    with opened(config) as store:
        done = store.write_now(work)
    for each in done:
        said = "no longer tracked" if each.stopped else f"was not tracked ({each.tracking})"
        output.line(f"{each.job_id}: {said}")
