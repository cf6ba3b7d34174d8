"""Selects the jobs that a command changes: by id, or by batch, tag and state; or those that it follows.

A change of a selection without ids needs confirmation. Only the confirmed jobs are changed, not jobs that came to
match in the meantime.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from daemon.cli.filters import Word
from daemon.cli.numbers import Count
from daemon.cli.session import agreed, job_ids, one_job
from daemon.cli.text import count
from daemon.config import Config
from daemon.domain.jobs import ProjectName, Tracking
from daemon.domain.states import read_state
from daemon.errors import UsageFault

if TYPE_CHECKING:  # SQLAlchemy is slow to import: only commands that open the store pay for it
    from daemon.store import JobFilter, Store

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--batch", type=Word(), metavar="WORD", help="All jobs in this batch."),
    click.option("--tag", type=Word(), metavar="WORD", help="All jobs with this tag."),
    click.option("--state", type=Word(), metavar="STATE", help="All jobs in this state, such as PROCESSING."),
    click.option(
        "--project", type=Word(), metavar="NAME", help="The jobs' project; required if several have an id."
    ),
    click.option("--yes", is_flag=True, help="Change several jobs without asking; required without a terminal."),
    click.option("--expect", type=Count(), metavar="N", help="As --yes, but only if exactly N jobs match."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The jobs that a command line selects: `ids`, or a filter."""

    ids: Sequence[str]
    batch: str | None
    tag: str | None
    state: str | None
    project: str | None
    yes: bool
    expect: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageFault unless there are either ids or a filter."""
        given = [each for each in (self.batch, self.tag, self.state) if each is not None]
        if self.ids and given:
            raise UsageFault("give either ids, or --batch, --tag or --state")
        if self.ids and self.expect is not None:
            raise UsageFault("--expect goes with --batch, --tag or --state, not with ids")
        if not self.ids and not given:
            raise UsageFault(
                "which jobs? Give ids, `-` to read them from standard input, --batch, --tag or --state"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Followable:
    """Which jobs to follow: `ids`, or all that fit a filter (`everything`: each that is tracked)."""

    ids: Sequence[str]
    batch: str | None
    tag: str | None
    everything: bool
    project: str | None

    def __post_init__(self) -> None:
        """Raises UsageFault unless exactly one way to choose is given."""
        ways = [bool(self.ids), self.batch is not None or self.tag is not None, self.everything]
        if sum(ways) > 1:
            raise UsageFault("give either ids, or --batch and --tag, or --all")
        if not any(ways):
            raise UsageFault("which jobs? Give ids, `-` to read them from standard input, --batch, --tag or --all")


def choosing(command: F) -> F:
    """Add the options that select jobs; the command gets them and its ids as `choice`."""

    @wraps(command)
    def chosen_by(*args: Any, **given: Any) -> Any:
        said = {each.name: given.pop(each.name) for each in fields(Choice)}
        return command(*args, choice=Choice(**said), **given)

    wrapped: Any = chosen_by
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return cast("F", wrapped)


def chosen(
    store: "Store", config: Config, choice: Choice, *, doing: str, tracking: Tracking | None = None
) -> list[int] | None:
    """The row ids of the selected jobs, or None if the user declines. With a filter, only jobs of this `tracking`.
    `doing` names the action for the question, as in "stop watching". Raises UsageFault and UnknownName."""
    if choice.ids:
        wanted = job_ids(choice.ids)
        return store.read(lambda tx: [one_job(tx, job_id, choice.project).id for job_id in wanted])
    fit: JobFilter = {
        "project": None if choice.project is None else ProjectName(choice.project),
        "tracking": tracking,
        "state": None if choice.state is None else _state(choice.state),
        "tag": choice.tag,
        "batch": choice.batch,
    }
    found = store.read(lambda tx: tx.jobs.ids(**fit))
    if choice.project is not None and not found:
        config.project(choice.project)  # a mistyped name is an error, a project without jobs is not
    return found if confirmed(len(found), "job", doing=doing, yes=choice.yes, expect=choice.expect) else None


def confirmed(number: int, noun: str, *, doing: str, yes: bool, expect: int | None = None, more: str = "") -> bool:
    """Whether the user agrees to do so with `number` things: several have to be confirmed, by --yes, by --expect
    with that number, or at the prompt, where `more` adds the consequence. Raises UsageFault if --expect names
    another number, or if there is no terminal."""
    if expect is not None and expect != number:
        match = "matches" if number == 1 else "match"
        raise UsageFault(f"nothing was changed: {count(number, noun)} {match}, not {expect}")
    if number < 2 or yes or expect is not None:
        return True
    question = f"{doing} {count(number, noun)}"
    return agreed(question, more) if more else agreed(question)


def _state(text: str) -> str:
    try:
        return read_state(text)
    except ValueError as error:
        raise UsageFault(f"--state: {error}; write one such as PROCESSING") from None
