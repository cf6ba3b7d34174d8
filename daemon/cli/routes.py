"""`wrapd routes`: where alerts go, and why. Sends nothing."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from daemon.cli import output
from daemon.cli.asked import running_config
from daemon.cli.numbers import MomentType
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, has_database, job_ids, json_option, one_job, opened
from daemon.cli.text import clean, moment, stamp
from daemon.cli.zone import zone_option
from daemon.config import Config
from daemon.config.values import LISTED_KINDS, UNLISTED_KINDS
from daemon.domain.events import DEFAULT_EVENTS, JOB_EVENTS, OPERATOR_EVENTS, Event
from daemon.domain.jobs import ChannelName, ProjectName
from daemon.domain.quiet import QuietHours
from daemon.domain.routing import Route, RouteStep, Routing, Subject, Target
from daemon.errors import DatabaseFault, UsageFault

if TYPE_CHECKING:
    from daemon.store import JobRow, Refusal, Transaction

_NOUNS = {"project": "projects", "kind": "kinds", "tag": "tags", "batch": "batches", "label": "labels"}
"""The key of a route for each condition of the domain."""
_ABOUT = ("routes", "operators", "channels.")
"""The parts of the config that say where alerts go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A channel that its service refuses, and how many alerts wait there."""

    refusal: "Refusal"
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Where one alert goes at one moment. `steps` is empty for operators' events, which take no route."""

    subject: Subject
    at: datetime
    steps: tuple[RouteStep, ...]
    targets: tuple[Target, ...]
    stopped_by: int | None
    held: Mapping[ChannelName, Held]
    """The channels among the targets that their services refuse now."""


@click.group(
    "routes", short_help="List the routes: which events go to which channels.", invoke_without_command=True
)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the routes that the daemon runs with, or those of the config where none runs, in order."""
    if ctx.invoked_subcommand is not None:
        return
    with running_config(ctx, *_ABOUT) as config:
        _list(config, as_json=as_json)


def _list(config: Config, *, as_json: bool) -> None:
    routes = config.routing().routes
    if as_json:
        output.document([json_of_route(number, route) for number, route in enumerate(routes, start=1)])
        return
    columns = [
        Column(title="N"),
        Column(title="CHANNELS", gives=True),
        Column(title="EVENTS", below=True),
        Column(title="ONLY", below=True),
        Column(title="QUIET"),
        Column(title="STOP"),
    ]
    rows = [
        [
            str(number),
            ", ".join(route.channels) or "-",
            _events(route),
            "; ".join(f"{_NOUNS[name]} {', '.join(wanted)}" for name, wanted in conditions(route)) or "-",
            "-" if route.quiet is None else _hours(route.quiet),
            "yes" if route.stop else "-",
        ]
        for number, route in enumerate(routes, start=1)
    ]
    output.table(columns, rows, empty="There is no route: there is no channel; add a section [channels.NAME].")
    if not config.routes:
        output.line("The config has no route, so every channel gets these events.")


@command.command("explain", short_help="Tell where an alert goes, route by route, and why.")
@click.argument("job", required=False, metavar="[JOB_ID]")
@click.option(
    "--event",
    metavar="EVENT",
    type=click.Choice([event.value for event in Event]),
    help="The event that is told; docs/events.md has all.",
)
@click.option(
    "--project", metavar="NAME", help="Of this project; with JOB_ID, where several projects have the id."
)
@click.option("--kind", type=click.Choice(LISTED_KINDS + UNLISTED_KINDS), help="Without JOB_ID: of this kind.")
@click.option(
    "--tag", "tags", multiple=True, metavar="WORD", help="Without JOB_ID: with this tag; may be repeated."
)
@click.option("--batch", metavar="WORD", help="Without JOB_ID: of this batch.")
@click.option("--label", metavar="TEXT", help="Without JOB_ID: with this label.")
@click.option("--at", type=MomentType(), help='At this moment instead of now, such as "2026-01-05T23:30" (UTC).')
@zone_option
@json_option
@click.pass_context
def explain(
    ctx: click.Context,
    *,
    job: str | None,
    event: str | None,
    project: str | None,
    kind: str | None,
    tags: tuple[str, ...],
    batch: str | None,
    label: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Tell where an alert goes, route by route, and why, as the daemon runs where one does; nothing is sent.

    With JOB_ID it is an alert about that job: of the named event, or a line for each. Without, --event says what
    is told, and the other options of what.
    """
    told = None if event is None else Event(event)
    described = Subject(
        event=told or Event.SUCCEEDED,
        project=None if project is None else ProjectName(project),
        kind=kind,
        tags=tags,
        batch=batch,
        label=label,
    )
    with running_config(ctx, *_ABOUT) as config:
        subjects = _of_options(config, told, described) if job is None else _of_job(config, job, told, described)
        _show(config, subjects, at=at or CLOCK.now(), as_json=as_json)


def _show(config: Config, subjects: Sequence[Subject], *, at: datetime, as_json: bool) -> None:
    routing, held = config.routing(), _held(config)
    found = [explained(routing, subject, at=at, held=held) for subject in subjects]
    if as_json:
        output.document([json_of_routing(each) for each in found])
    elif len(found) == 1:
        for line in _lines(found[0], routing):
            click.echo(line)
    else:
        _table(found)


def _of_options(config: Config, told: Event | None, described: Subject) -> list[Subject]:
    if told is None:
        raise UsageFault("what is told? Name a job id, or --event with one of " + ", ".join(Event))
    if described.project is not None:
        config.project(described.project)
    return [described]


def _of_job(config: Config, job: str, told: Event | None, described: Subject) -> list[Subject]:
    named = {
        "--kind": described.kind,
        "--tag": described.tags,
        "--batch": described.batch,
        "--label": described.label,
    }
    given = [name for name, value in named.items() if value]
    if given:
        raise UsageFault(f"{', '.join(given)}: the job has its own; leave it out, or leave out the job id")
    if job == "-":
        raise UsageFault("`routes explain` takes one job id, no list")
    (job_id,) = job_ids([job])

    def read(transaction: "Transaction") -> tuple["JobRow", Subject | None]:
        row = one_job(transaction, job_id, described.project)
        return row, None if row.batch is None else transaction.jobs.batch_subject(row.project, row.batch)

    with opened(config) as store:
        row, batch = store.read(read)
    if batch is None and told is Event.BATCH_FINISHED:
        raise UsageFault(f"{job_id} belongs to no batch; name another event, or leave out the job id")
    found = [
        batch if event is Event.BATCH_FINISHED else _about(row, event)
        for event in (JOB_EVENTS if told is None else (told,))
    ]
    return [subject for subject in found if subject is not None]


def _held(config: Config) -> dict[ChannelName, Held]:
    """The channels of the config that their services refuse now, as far as the database can be read: where an
    alert goes is known without."""

    def read(tx: "Transaction") -> dict[ChannelName, Held]:
        refusals = tx.queue.refusals(map(ChannelName, config.channels))
        return {name: Held(refusal=each, waiting=tx.queue.waiting(name)) for name, each in refusals.items()}

    with contextlib.suppress(DatabaseFault):
        if has_database(config):
            with opened(config) as store:
                return store.read(read)
    return {}


def explained(routing: Routing, subject: Subject, *, at: datetime, held: Mapping[ChannelName, Held]) -> Explained:
    """Where an alert about `subject` goes that is written at `at`; `held` are the channels that are refused."""
    operators = subject.event in OPERATOR_EVENTS
    steps = () if operators else routing.steps(subject)
    targets = routing.targets(subject, at=at)
    return Explained(
        subject=subject,
        at=at,
        steps=steps,
        targets=targets,
        stopped_by=next((step.number for step in steps if step.taken and step.route.stop), None),
        held={each.channel: held[each.channel] for each in targets if each.channel in held},
    )


def conditions(route: Route) -> list[tuple[str, Sequence[str]]]:
    """The conditions that a route has, but for its events."""
    all_of_them: list[tuple[str, Sequence[str]]] = [
        ("project", route.projects),
        ("kind", route.kinds),
        ("tag", route.tags),
        ("batch", route.batches),
        ("label", route.labels),
    ]
    return [(name, wanted) for name, wanted in all_of_them if wanted]


def why(step: RouteStep, subject: Subject, *, stopped_by: int | None) -> str:
    """How a route took an alert, in words."""
    if step.skipped:
        return f"not looked at: route {stopped_by} took it and says stop"
    if step.mismatch is None:
        return "takes it" + (", and stops here" if step.route.stop else "")
    if step.mismatch == "event":
        return f"passes: it takes {_events(step.route)}"
    wanted = ", ".join(dict(conditions(step.route))[step.mismatch])
    has = {
        "project": subject.project,
        "kind": subject.kind,
        "tag": ", ".join(subject.tags),
        "batch": subject.batch,
        "label": subject.label,
    }[step.mismatch]
    said = f"this one's is {clean(has)}" if has else "this one has none"
    return f"passes: it takes only the {_NOUNS[step.mismatch]} {clean(wanted)}; {said}"


def _about(row: "JobRow", event: Event) -> Subject:
    return Subject(
        event=event,
        project=row.project,
        kind=row.kind,
        tags=row.tags,
        batch=row.batch,
        label=row.label,
    )


def _lines(found: Explained, routing: Routing) -> Iterator[str]:
    subject = found.subject
    yield click.style(f"{subject.event}, at {moment(found.at)}", bold=True)
    about = [
        f"{name} {clean(value)}"
        for name, value in (
            ("project", subject.project),
            ("kind", subject.kind),
            ("tags", ", ".join(subject.tags)),
            ("batch", subject.batch),
            ("label", subject.label),
        )
        if value
    ]
    yield f"  of {'; '.join(about) or 'nothing in particular'}"
    if subject.event in OPERATOR_EVENTS:
        named = ", ".join(routing.operators) or "nobody"
        yield f"  no route: events about wrapd itself go to the operators ({clean(named)})"
    for step in found.steps:
        channels = clean(", ".join(step.route.channels))
        yield f"  route {step.number} (to {channels}) {why(step, subject, stopped_by=found.stopped_by)}"
    yield ""
    if not found.targets:
        yield "Nobody hears of it."
    for target in found.targets:
        yield f"{clean(target.channel)}: {_when(target, found.held.get(target.channel))}"


def _table(found: Sequence[Explained]) -> None:
    columns = [Column(title="EVENT"), Column(title="ROUTES"), Column(title="CHANNELS", gives=True)]
    rows = [
        [
            str(each.subject.event),
            ", ".join(str(step.number) for step in each.steps if step.taken) or "-",
            ", ".join(
                f"{target.channel} ({_when(target, each.held.get(target.channel))})" for target in each.targets
            )
            or "nobody",
        ]
        for each in found
    ]
    output.table(columns, rows, empty="There is no event.")


def _when(target: Target, held: Held | None) -> str:
    """When it is sent there."""
    kept = None if target.held_until is None else f"kept until {moment(target.held_until)}, for quiet hours"
    if held is None:
        return kept or "at once"
    refused = f"held: refused since {moment(held.refusal.since)}, {held.waiting} waiting"
    return refused if kept is None else f"{refused}; {kept}"


def _events(route: Route) -> str:
    if route.events == frozenset(DEFAULT_EVENTS):
        return "the default events"
    return ", ".join(event.value for event in Event if event in route.events)


def _hours(quiet: QuietHours) -> str:
    return f"{quiet.start:%H:%M}-{quiet.end:%H:%M} {quiet.zone if quiet.zone is not UTC else 'UTC'}"


def json_of_route(number: int, route: Route) -> Facts:
    """A route of the config, in `routes --json`; an empty list is no condition."""
    return {
        "route": number,  # its place in the config, from 1
        "events": [event.value for event in Event if event in route.events],  # what it takes
        "channels": list(route.channels),  # where that goes
        "projects": list(route.projects),  # only of these
        "kinds": list(route.kinds),  # only of these
        "tags": list(route.tags),  # only with one of these
        "batches": list(route.batches),  # only of these
        "labels": list(route.labels),  # only where one of these patterns fits
        "stop": route.stop,  # whether no later route is looked at for what this one takes
        # `from`, `to` (HH:MM), `timezone`, `urgent` (events that pass); null where
        "quiet": None if route.quiet is None else json_of_quiet(route.quiet),  # it has no quiet hours
    }


def json_of_routing(found: Explained) -> Facts:
    """Where an alert goes, in `routes explain --json`."""
    subject = found.subject
    return {
        "event": subject.event.value,  # what is told
        "at": stamp(found.at),  # the moment for which this holds
        "project": subject.project,  # of what: name of the project, or null
        "kind": subject.kind,  # kind of the job, or null
        "tags": list(subject.tags),  # tags of the job
        "batch": subject.batch,  # its batch, or null
        "label": subject.label,  # its label, or null
        # each route in order: `route` (from 1), `channels`, `taken`, `mismatch` (the first condition that does not
        # hold: event, project, kind, tag, batch, label; null where all do), `skipped` (a route before it said
        "routes": [_json_of_step(step) for step in found.steps],  # stop); empty for events of operators
        # the channels that hear of it: `channel`; `held_until`, the end of quiet hours, or null; `refused_since`,
        # since when its service refuses it, or null, and then `waiting`, how many alerts wait there, and `reason`;
        "targets": [
            _json_of_target(target, found.held.get(target.channel)) for target in found.targets
        ],  # both null: at once
    }


def _json_of_step(step: RouteStep) -> Facts:
    return {
        "route": step.number,
        "channels": list(step.route.channels),
        "taken": step.taken,
        "mismatch": step.mismatch,
        "skipped": step.skipped,
    }


def _json_of_target(target: Target, held: Held | None) -> Facts:
    return {
        "channel": target.channel,
        "held_until": stamp(target.held_until),
        "refused_since": None if held is None else stamp(held.refusal.since),
        "waiting": None if held is None else held.waiting,
        "reason": None if held is None else held.refusal.reason,
    }


def json_of_quiet(quiet: QuietHours) -> Facts:
    return {
        "from": f"{quiet.start:%H:%M}",
        "to": f"{quiet.end:%H:%M}",
        "timezone": str(quiet.zone),
        "urgent": [event.value for event in Event if event in quiet.urgent],
    }
