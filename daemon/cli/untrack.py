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
    with opened(config) as store:
        from daemon.store import Transaction  # noqa: PLC0415 - SQLAlchemy

        def work(transaction: Transaction) -> list[str]:
            at = CLOCK.now()
            told = []
            for row in [one_job(transaction, job_id, project) for job_id in wanted]:
                stopped = transaction.jobs.untrack(row.project, row.job_id, at=at, routing=config.routing())
                told.append(
                    f"{row.job_id}: " + ("no longer tracked" if stopped else f"was not tracked ({row.tracking})")
                )
            return told

        told = store.write_now(work)
    for sentence in told:
        output.line(sentence)
