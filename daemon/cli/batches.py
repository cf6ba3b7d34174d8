"""`wrapd batches`: list all batches."""

from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.filters import Word
from daemon.cli.outlook import Outlooks
from daemon.cli.output import Column
from daemon.cli.pages import Pages, most_of, note_rest
from daemon.cli.session import CLOCK, config_of, json_option, list_options, opened
from daemon.cli.standings import batch_standing
from daemon.cli.zone import zone_option
from daemon.domain.jobs import ProjectName
from daemon.views.outlooks import BatchOutlook

if TYPE_CHECKING:
    from daemon.store import BatchRow, Page, Place, Store, Transaction


@click.command("batches")
@click.option("--project", type=Word(), metavar="NAME", help="Only batches of this project.")
@list_options
@zone_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, project: str | None, limit: int | None, everything: bool, as_json: bool
) -> None:
    """List batches, ended ones included, newest first: by when a job was last added. Needs no running daemon.

    JOBS shows how many jobs of the batch have ended, how many of those did not succeed, and by when all should
    have ended: with 80% probability between the two times. While a job still waits for production there is no
    estimate; the last end then comes after the time shown.
    """
    config = config_of(ctx)
    most = most_of(limit, everything=everything, as_json=as_json)
    only = None if project is None else ProjectName(project)
    with opened(config) as store:
        found = _found(store, only, most=most)
        if project is not None and found.is_empty:
            config.project(project)  # a mistyped name is an error, a project without batches is not
        if as_json:
            output.documents(views.document(views.batch(*pair)) for page in found for pair in page)
        else:
            one_project = project is not None or len(config.projects) < 2
            columns = [
                Column(title="BATCH", gives=True, least=16),
                Column(title="PROJECT", gives=True, least=12, alike=one_project),
                Column(title="JOBS"),
            ]
            empty = "No job belongs to a batch yet; `wrapd track --batch NAME JOB_ID...` creates one."
            output.tables(columns, ([_cells(*pair) for pair in page] for page in found), empty=empty)
        note_rest(found, lambda tx, upto: tx.batches.count(most=upto, project=only), newest=True, as_json=as_json)


def _found(
    store: "Store", project: ProjectName | None, *, most: int | None
) -> "Pages[tuple[BatchRow, BatchOutlook]]":
    expected = Outlooks(CLOCK.now())

    def read(
        transaction: "Transaction", /, *, after: "Place | None", size: int
    ) -> "Page[tuple[BatchRow, BatchOutlook]]":
        page = transaction.batches.page(project=project, after=after, limit=size)
        return page.of([(row, expected.of_batch(transaction, row)) for row in page.rows])

    return Pages(store, read, most=most)


def _cells(row: "BatchRow", expected: BatchOutlook) -> list[str]:
    return [row.batch, row.project, batch_standing(row, expected)]
