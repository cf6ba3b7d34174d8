"""`wrapd routes`: list the routes, and explain where alerts go and why. Sends nothing."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from daemon import views
from daemon.cli import output
from daemon.cli.asked import running_config
from daemon.cli.numbers import MomentType
from daemon.cli.output import Column, Facts
from daemon.cli.session import CLOCK, has_database, json_option, one_id, one_job, opened
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
"""The route key of each routing condition."""
_ABOUT = ("routes", "operators", "channels.")
"""The parts of the config that determine where alerts go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A channel refused by its service, and the number of alerts that wait there."""

    refusal: "Refusal"
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Where one alert goes at one time. `steps` is empty for operator events, which are not routed."""

    subject: Subject
    at: datetime
    steps: tuple[RouteStep, ...]
    targets: tuple[Target, ...]
    stopped_by: int | None
    held: Mapping[ChannelName, Held]
    """The targets that are currently refused by their services."""


@click.group("routes", invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List the routes that the daemon uses (those of the config if none runs), in order."""
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
    output.table(columns, rows, empty="No routes, because there is no channel; add a section [channels.NAME].")
    if not config.routes:
        output.line("The config has no routes, so every channel gets these events.")


@command.command("explain", short_help="Explain where an alert goes, route by route, and why.")
@click.argument("job", required=False, metavar="[JOB_ID]")
@click.option(
    "--event",
    metavar="EVENT",
    type=click.Choice([event.value for event in Event]),
    help="The event of the alert; docs/events.md lists all.",
)
@click.option("--project", metavar="NAME", help="The job's project; required if several have the id.")
@click.option("--kind", type=click.Choice(LISTED_KINDS + UNLISTED_KINDS), help="Without JOB_ID: the job's kind.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="Without JOB_ID: a tag; can be repeated.")
@click.option("--batch", metavar="WORD", help="Without JOB_ID: the job's batch.")
@click.option("--label", metavar="TEXT", help="Without JOB_ID: the job's label.")
@click.option("--at", type=MomentType(), help='At this time instead of now, such as "2026-01-05T23:30" (UTC).')
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
    """Explain where an alert goes, route by route, and why, with the daemon's config if one runs. Sends nothing.

    With JOB_ID, the alert is about that job: one of the given event, or a line for each event. Without it, --event
    names the event and the other options describe the job.
    """
    named = None if event is None else Event(event)
    described = Subject(
        event=named or Event.SUCCEEDED,
        project=None if project is None else ProjectName(project),
        kind=kind,
        tags=tags,
        batch=batch,
        label=label,
    )
    with running_config(ctx, *_ABOUT) as config:
        subjects = _of_options(config, named, described) if job is None else _of_job(config, job, named, described)
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


def _of_options(config: Config, named: Event | None, described: Subject) -> list[Subject]:
    if named is None:
        raise UsageFault("which alert? Give a job id, or --event with one of " + ", ".join(Event))
    if described.project is not None:
        config.project(described.project)
    return [described]


def _of_job(config: Config, job: str, named: Event | None, described: Subject) -> list[Subject]:
    options = {
        "--kind": described.kind,
        "--tag": described.tags,
        "--batch": described.batch,
        "--label": described.label,
    }
    given = [name for name, value in options.items() if value]
    if given:
        raise UsageFault(f"{', '.join(given)}: the job has its own; leave out the option or the job id")
    job_id = one_id(job, "routes explain")

    def read(transaction: "Transaction") -> tuple["JobRow", Subject | None]:
        row = one_job(transaction, job_id, described.project)
        return row, None if row.batch is None else transaction.jobs.batch_subject(row.project, row.batch)

    with opened(config) as store:
        row, batch = store.read(read)
    if batch is None and named is Event.BATCH_FINISHED:
        raise UsageFault(f"{job_id} belongs to no batch; choose another event or leave out the job id")
    found = [
        batch if event is Event.BATCH_FINISHED else row.subject(event)
        for event in (JOB_EVENTS if named is None else (named,))
    ]
    return [subject for subject in found if subject is not None]


def _held(config: Config) -> dict[ChannelName, Held]:
    """The channels of the config that are currently refused; none if the database cannot be read, because routing
    does not need it."""

    def read(tx: "Transaction") -> dict[ChannelName, Held]:
        refusals = tx.queue.refusals(map(ChannelName, config.channels))
        return {name: Held(refusal=each, waiting=tx.queue.waiting(name)) for name, each in refusals.items()}

    with contextlib.suppress(DatabaseFault):
        if has_database(config):
            with opened(config) as store:
                return store.read(read)
    return {}


def explained(routing: Routing, subject: Subject, *, at: datetime, held: Mapping[ChannelName, Held]) -> Explained:
    """Where an alert about `subject` goes that is written at `at`; `held` are the refused channels."""
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
    """The conditions of a route, except its events."""
    all_of_them: list[tuple[str, Sequence[str]]] = [
        ("project", route.projects),
        ("kind", route.kinds),
        ("tag", route.tags),
        ("batch", route.batches),
        ("label", route.labels),
    ]
    return [(name, wanted) for name, wanted in all_of_them if wanted]


def why(step: RouteStep, subject: Subject, *, stopped_by: int | None) -> str:
    """How a route handled an alert, in words."""
    if step.skipped:
        return f"skipped: route {stopped_by} matches and stops"
    if step.mismatch is None:
        return "matches" + (", and stops here" if step.route.stop else "")
    if step.mismatch == "event":
        return f"does not match: it takes {_events(step.route)}"
    wanted = ", ".join(dict(conditions(step.route))[step.mismatch])
    has = {
        "project": subject.project,
        "kind": subject.kind,
        "tag": ", ".join(subject.tags),
        "batch": subject.batch,
        "label": subject.label,
    }[step.mismatch]
    said = f"this job has {clean(has)}" if has else "this job has none"
    return f"does not match: it takes only {_NOUNS[step.mismatch]} {clean(wanted)}; {said}"


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
    yield f"  about {'; '.join(about) or 'no specific job'}"
    if subject.event in OPERATOR_EVENTS:
        named = ", ".join(routing.operators) or "none"
        yield f"  not routed: events about wrapd itself go to the operators ({clean(named)})"
    for step in found.steps:
        channels = clean(", ".join(step.route.channels))
        yield f"  route {step.number} (to {channels}) {why(step, subject, stopped_by=found.stopped_by)}"
    yield ""
    if not found.targets:
        yield "No channel gets it."
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
            or "none",
        ]
        for each in found
    ]
    output.table(columns, rows, empty="There are no events.")


def _when(target: Target, held: Held | None) -> str:
    """When an alert is sent to the target."""
    kept = None if target.held_until is None else f"kept for quiet hours until {moment(target.held_until)}"
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
    """A route of the config, in `routes --json`; an empty list means no condition."""
    quiet = None if route.quiet is None else views.quiet_hours(route.quiet)
    return {
        "route": number,  # its position in the config, from 1
        "events": [event.value for event in Event if event in route.events],  # events it takes
        "channels": list(route.channels),  # channels they go to
        "projects": list(route.projects),  # only jobs of these projects
        "kinds": list(route.kinds),  # only jobs of these kinds
        "tags": list(route.tags),  # only jobs with one of these tags
        "batches": list(route.batches),  # only jobs of these batches
        "labels": list(route.labels),  # only jobs whose label matches one of these patterns
        "stop": route.stop,  # whether later routes are skipped for alerts that match this one
        # `from`, `to` (HH:MM), `timezone`, `urgent` (events sent anyway); null if
        "quiet": None if quiet is None else views.document(quiet),  # it has no quiet hours
    }


def json_of_routing(found: Explained) -> Facts:
    """Where an alert goes, in `routes explain --json`."""
    subject = found.subject
    return {
        "event": subject.event.value,  # event of the alert
        "at": stamp(found.at),  # time for which this is evaluated
        "project": subject.project,  # name of the job's project, or null
        "kind": subject.kind,  # kind of the job, or null
        "tags": list(subject.tags),  # tags of the job
        "batch": subject.batch,  # batch of the job, or null
        "label": subject.label,  # label of the job, or null
        # each route in order: `route` (from 1), `channels`, `taken`, `mismatch` (the first condition that does not
        # hold: event, project, kind, tag, batch, label; null if all hold), `skipped` (an earlier route said
        "routes": [_json_of_step(step) for step in found.steps],  # stop); empty for operator events
        # the channels that get it: `channel`; `held_until`, the end of quiet hours, or null; `refused_since`,
        # since when its service refuses it, or null; if refused also `waiting`, the number of alerts that wait
        "targets": [
            _json_of_target(target, found.held.get(target.channel)) for target in found.targets
        ],  # there, and `reason`. If both times are null, it is sent at once
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
