"""`wrapd track`: put jobs under watch, by their ids or as the service lists them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.numbers import Duration
from daemon.cli.session import CLOCK, config_of, job_ids, opened, project_of
from daemon.cli.text import clean, label
from daemon.config import Config, forms
from daemon.config.forms import MAX_TAGS, MAX_WORD
from daemon.domain.jobs import JobId, ProjectName
from daemon.domain.routing import Routing
from daemon.domain.states import State
from daemon.errors import Exit, UsageFault
from daemon.metastudio.kinds import AVATAR, KINDS

if TYPE_CHECKING:
    from daemon.store import Store
    from daemon.watch.discovery import Wish

AT_ONCE = 2000
"""Jobs of one transaction: some hundredths of a second, in which a running daemon cannot write."""


@click.command("track")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.option("--from-api", is_flag=True, help="Take the jobs from the service's list instead of naming ids.")
@click.option("--project", metavar="NAME", help="The project of the jobs; needed where there are several.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    help=f"What is produced. [default: {AVATAR.name}, for a job that is known the kind it has; with --from-api "
    "all that are listed]",
)
@click.option("--label", "label_text", metavar="TEXT", help="What people call it; stands in the alerts.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To find it by; may be repeated.")
@click.option("--batch", metavar="WORD", help="The batch that it belongs to.")
@click.option(
    "--since", type=Duration(), help="With --from-api: how old a job may be, such as 2h.  [default: 24h]"
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="With --from-api: only jobs in this state; may be repeated.  [default: those that have not ended]",
)
@click.option("--name", metavar="GLOB", help="With --from-api: only videos with such a name, as in 'promo *'.")
@click.option("--dry-run", is_flag=True, help="With --from-api: only show what would be tracked.")
@click.option("--json", "as_json", is_flag=True, help="With --from-api: one JSON document, with stable keys.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    ids: tuple[str, ...],
    from_api: bool,
    project: str | None,
    kind: str | None,
    label_text: str | None,
    tags: tuple[str, ...],
    batch: str | None,
    since: float | None,
    states: tuple[str, ...],
    name: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Watch jobs from now on, and tell the channels of what becomes of them.

    JOB_ID is the job_id that MetaStudio gave; `-` reads ids from standard input, one a line (blank lines and
    lines that begin with # are skipped). Tracking a job twice does no harm; one that was lost, expired or stopped
    is taken up again. If one id is wrong nothing is changed. More than 2000 jobs are stored in parts: where one of
    them cannot be, those before it stay, and are named.

    With --from-api the service's list is read instead. A daemon that runs on the database does that, within its
    request budget; else this command does, with the project's credentials. Jobs that wrapd knows are left as they
    are. [projects.NAME.discovery] in the config does the same all the time.
    """
    given = {"--since": since, "--state": states, "--name": name, "--dry-run": dry_run, "--json": as_json}
    _require(ids, from_api=from_api, label_text=label_text, given=given)
    config = config_of(ctx)
    chosen = project_of(config, project)
    words = _words("--tag", tags)
    if len(words) > MAX_TAGS:
        raise UsageFault(f"--tag was given {len(words)} times; at most {MAX_TAGS} fit a job")
    group = None if batch is None else _words("--batch", [batch])[0]
    if from_api:
        from daemon.cli.discover import discover  # noqa: PLC0415 - only this way needs the API client

        wish = _wish(kind=kind, states=states, since=since, name=name, tags=words, batch=group, dry_run=dry_run)
        return int(discover(config, chosen, wish, as_json=as_json))
    request = Request(
        project=chosen,
        kind=kind,
        label=None if label_text is None else label(label_text) or None,
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
    return int(Exit.OK)


def _require(ids: Sequence[str], *, from_api: bool, label_text: str | None, given: Mapping[str, object]) -> None:
    """That ids, --from-api and its own options (`given`) go together. Raises UsageFault."""
    if from_api and (ids or label_text is not None):
        raise UsageFault("--from-api takes no job ids and no --label: it finds the jobs by itself")
    for option, value in given.items():
        if value and not from_api:
            raise UsageFault(f"{option} goes with --from-api")
    if not ids and not from_api:
        raise UsageFault("which jobs? Name their ids, `-` to read them from standard input, or --from-api")


def _wish(
    *,
    kind: str | None,
    states: tuple[str, ...],
    since: float | None,
    name: str | None,
    tags: tuple[str, ...],
    batch: str | None,
    dry_run: bool,
) -> "Wish":
    """What --from-api is to take. Raises UsageFault."""
    from daemon.watch.discovery import RUNNING, Filters, Wish  # noqa: PLC0415 - the API client

    if kind is not None and not KINDS[kind].listed:
        raise UsageFault(f"the service lists no jobs of the kind {kind}: track them by their ids")
    try:
        pattern = None if name is None else forms.pattern(name)
    except ValueError as error:
        raise UsageFault(f"--name: {error}") from None
    filters = Filters(
        kinds=forms.LISTED_KINDS if kind is None else (kind,),
        states=states or RUNNING,
        since=86400.0 if since is None else since,
        name=pattern,
    )
    return Wish(filters=filters, tags=tags, batch=batch, dry_run=dry_run)


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
    at, routing = CLOCK.now(), config.routing()
    with opened(config, create=True) as store:
        for start in range(0, len(ids), AT_ONCE):
            yield _track_part(store, request, ids[start : start + AT_ONCE], at=at, routing=routing)


def _track_part(
    store: "Store", request: Request, ids: Sequence[JobId], *, at: datetime, routing: Routing
) -> list[str]:
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
    results = store.write_now(lambda transaction: transaction.jobs.track_many(requests, at=at, routing=routing))
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
