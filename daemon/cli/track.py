"""`wrapd track`: track jobs by their ids or from the service's list."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from daemon import views
from daemon.cli import output
from daemon.cli.numbers import Duration
from daemon.cli.progress import progress
from daemon.cli.session import CLOCK, config_of, daemon_runs, given_words, json_option, opened, project_of, who
from daemon.cli.text import clean, label
from daemon.config import Config, values
from daemon.domain.jobs import ProjectName, Tracking, parse_job_id
from daemon.domain.states import State, is_terminal
from daemon.errors import Exit, UsageFault
from daemon.metastudio.kinds import KINDS

if TYPE_CHECKING:
    from daemon.commands import Done, JobEntry
    from daemon.commands.entries import RequestFault
    from daemon.watch.wishes import Wish

_LONGEST_LIST = 64 * 2**20
"""Maximum size of a list in bytes."""
_SHOWN_FAULTS = 20


@click.command("track")
@click.argument("ids", nargs=-1, metavar="[JOB_ID... | -]")
@click.option("--from-api", is_flag=True, help="Take jobs from the service's list instead of ids.")
@click.option("--project", metavar="NAME", help="The project of the jobs; required if there are several.")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    help="Kind of job. [default: a known job's own kind, else what the service says; with --from-api all listed "
    "kinds]",
)
@click.option("--label", "label_text", metavar="TEXT", help="A name for the job, shown in alerts.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="A tag; can be repeated.")
@click.option("--batch", metavar="WORD", help="The batch of the job.")
@click.option(
    "--since", type=Duration(), help="With --from-api: maximum age of a job, such as 2h.  [default: 24h]"
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    help="With --from-api: only jobs in this state; can be repeated.  [default: jobs that have not ended]",
)
@click.option("--name", metavar="GLOB", help="With --from-api: only videos whose name matches, as in 'promo *'.")
@click.option("--dry-run", is_flag=True, help="With --from-api: only show what would be tracked.")
@click.option("--file", metavar="PATH", type=click.Path(), help="A list of jobs, in the formats of `-`.")
@click.option("--retrack", is_flag=True, help="Track ended jobs again, and alert when they end anew.")
@json_option
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
    file: str | None,
    retrack: bool,
    as_json: bool,
) -> int:
    """Watch jobs from now on, and alert the channels about their progress.

    JOB_ID is the job_id that MetaStudio returned. `-` and --file read a list: ids, one per line (blank lines and
    lines that begin with # are skipped); or CSV with column names in the first line; or JSON lines, one object per
    line. Columns and keys are job_id, label, tags, batch, kind and project; options apply where a row has no
    value. In CSV, tags are separated by commas or semicolons.

    Tracking a job twice is harmless; a lost, expired or stopped job is tracked again. A given label, tags, batch
    or kind replaces that of a known job; each line of the output says what was done. If one row is invalid,
    nothing is changed.

    With --from-api, the service's list is read instead, by the running daemon within its request budget, or by
    this command with the project's credentials. Known jobs are not changed. [projects.NAME.discovery] in the
    config does the same continuously.
    """
    only_api = {"--since": since, "--state": states, "--name": name, "--dry-run": dry_run}
    not_api = {"job ids": ids, "--label": label_text, "--file": file, "--retrack": retrack}
    _require(from_api=from_api, only_api=only_api, not_api=not_api)
    config = config_of(ctx)
    tags, group = given_words("--tag", tags), None if batch is None else given_words("--batch", [batch])[0]
    if from_api:
        from daemon.cli.discover import discover  # noqa: PLC0415 - only this way needs the API client

        chosen = project_of(config, project)
        wish = _wish(kind=kind, states=states, since=since, name=name, tags=tags, batch=group, dry_run=dry_run)
        return int(discover(config, chosen, wish, as_json=as_json))
    given = Given(kind=kind, label=label(label_text or "") or None, tags=tags, batch=group)
    wanted = _wanted(config, project, ids, file, given)
    from daemon.commands import track  # noqa: PLC0415 - SQLAlchemy

    # Only a job that leaves a batch for another can end one, and only such an end is routed.
    at, routing = CLOCK.now(), config.routing() if any(each.batch for each in wanted) else None
    with opened(config, create=True) as store, progress("Tracking") as step:
        done = store.write_now(
            lambda tx: track(tx, wanted, at=at, routing=routing, retrack=retrack, who=who(), step=step)
        )
    if as_json:
        jobs = [views.document(views.tracked(each.project, each.job_id, each.tracked)) for each in done]
        output.document({"jobs": jobs})
        return int(Exit.OK)
    for each in done:
        output.line(f"{each.job_id}: {_sentence(each)}")
    if any(each.tracked.tracking is Tracking.ACTIVE for each in done) and not daemon_runs(config):
        output.hint("No daemon uses this database: they are polled once `wrapd run` is started.")
    return int(Exit.OK)


def _require(*, from_api: bool, only_api: Mapping[str, object], not_api: Mapping[str, object]) -> None:
    """Raise UsageFault if the arguments and options do not go together."""
    wrong = [option for option, value in not_api.items() if value]
    if from_api and wrong:
        raise UsageFault(f"--from-api takes no {' and no '.join(wrong)}: it finds the jobs itself")
    for option, value in only_api.items():
        if value and not from_api:
            raise UsageFault(f"{option} needs --from-api")
    if not from_api and not not_api["job ids"] and not not_api["--file"]:
        raise UsageFault("which jobs? Give ids, `-` to read a list from standard input, --file, or --from-api")


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
    """The filters of --from-api. Raises UsageFault."""
    from daemon.watch.wishes import RUNNING, Filters, Wish  # noqa: PLC0415 - the API client

    if kind is not None and not KINDS[kind].listed:
        raise UsageFault(f"the service does not list jobs of kind {kind}; track them by their ids")
    try:
        pattern = None if name is None else values.pattern(name)
    except ValueError as error:
        raise UsageFault(f"--name: {error}") from None
    filters = Filters(
        kinds=values.LISTED_KINDS if kind is None else (kind,),
        states=states or RUNNING,
        since=86400.0 if since is None else since,
        name=pattern,
    )
    return Wish(filters=filters, tags=tags, batch=batch, dry_run=dry_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options that apply to all jobs of the command line; None where not given."""

    kind: str | None
    label: str | None
    tags: tuple[str, ...]
    batch: str | None


def _wanted(
    config: Config, project: str | None, ids: Sequence[str], file: str | None, said: Given
) -> "list[JobEntry]":
    """The jobs named in arguments and lists, completed with `said`. Raises UsageFault with all faults."""
    from daemon.commands import JobEntry, RequestFaults, read_list  # noqa: PLC0415 - SQLAlchemy

    faults = RequestFaults(most=_SHOWN_FAULTS)
    lists = [_contents(name) for name in (["-"] if "-" in ids else []) + ([] if file is None else [file])]
    named = [each for each in ids if each != "-"]
    projects = [ProjectName(name) for name in config.projects]
    default = None if project is None and len(projects) != 1 and not named else project_of(config, project)
    found: list[JobEntry] = []
    for text in named:
        job_id = faults.of("", partial(parse_job_id, text))
        if job_id is not None and default is not None:
            found.append(JobEntry(project=default, job_id=job_id))
    for data in lists:
        found += read_list(data, projects, faults, default=default)
    if listed := faults.listed():
        if default is None and all(fault.place.endswith(", project") or not fault.place for fault in listed):
            project_of(config, None)  # raises: the only fault is that the project is not given
        raise _refusal(listed)
    if not found:
        raise UsageFault("no job ids; give some, or `-` to read them from standard input")
    return [
        replace(
            each,
            kind=each.kind or said.kind,
            label=each.label or said.label,
            tags=each.tags or said.tags,
            batch=each.batch or said.batch,
        )
        for each in found
    ]


def _refusal(faults: "Sequence[RequestFault]") -> UsageFault:
    """What is wrong with the jobs, one fault a line."""
    lines = [f"{fault.place}: {fault.text}" if fault.place else fault.text for fault in faults]
    return UsageFault("nothing was changed:" + (f" {lines[0]}" if len(lines) == 1 else "\n  ".join(["", *lines])))


def _contents(name: str) -> bytes:
    """The bytes of a list; `-` is standard input. Raises UsageFault if it cannot be read or is too large."""
    if name == "-":
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(_LONGEST_LIST + 1)
    else:
        try:
            with Path(name).open("rb") as opened_file:
                data = opened_file.read(_LONGEST_LIST + 1)
        except OSError as error:
            raise UsageFault(f"--file: cannot read {clean(name)}: {error.strerror}") from None
    if len(data) > _LONGEST_LIST:
        raise UsageFault(f"the list is larger than {_LONGEST_LIST // 2**20} MiB; split it")
    return data


def _sentence(done: "Done") -> str:
    """What was done with a job, in words."""
    tracked = done.tracked
    ended = is_terminal(tracked.state) and f" ({tracked.state})"
    words = _WORDS.get(str(tracked.result), "unchanged")
    if tracked.result == "taken_up" and ended:
        words = f"tracked again: it had ended{ended}"
    more = [_CHANGES[str(change)].format(kind=tracked.kind) for change in tracked.changes]
    return "; ".join(filter(None, [words + (ended or "") * (tracked.result == "finished"), ", ".join(more)]))


_WORDS = {
    "added": "tracked",
    "taken_up": "tracked again",
    "already": "already tracked",
    "finished": "not tracked: it has ended",
}
_CHANGES = {
    "label_changed": "label changed",
    "tags_replaced": "tags replaced",
    "batch_changed": "batch changed",
    "kind_corrected": "kind corrected to {kind}",
    "kind_kept": "kind {kind} kept, confirmed by MetaStudio",
    "link_restored": "wrapd's own link works again",
}
"""A test checks both against the store's own words."""
