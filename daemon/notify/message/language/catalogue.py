"""What a language must have: every sentence and every word of a message, by name.

Owns the list of texts. A text's `{names}` are the same in all languages (a test compares them). Must never hold a
text itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.domain.events import Event
from daemon.notify.message.escape import Units


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """How moments are written. `date` has {day} and {month}, `dated` {year} too; `months` has twelve."""

    months: tuple[str, ...]
    date: str
    dated: str
    moment: str
    """{date} {time} ({offset})"""
    until: str
    """{first} to {last}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorText:
    """An event about wrapd itself: what is so, and what to do."""

    title: str
    headline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plural:
    """A number of jobs that ended in one way, or of alerts of one event: of one, and of any other number {n}."""

    one: str
    many: str

    def say(self, number: int) -> str:
        return (self.one if number == 1 else self.many).format(n=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All texts of one language."""

    units: Units
    calendar: Calendar
    colon: str
    """Between a name and its value."""
    comma: str
    """Between parts of one sentence."""
    listed: str
    """Between things of a list."""
    stop: str
    """The end of a sentence."""
    gap: str
    """Between sentences."""
    brackets: str
    """{text} said by the way."""

    kinds: Mapping[str, str]
    product_video: str
    product_card: str
    product_result: str
    states: Mapping[str, str]
    state_unknown: str
    reasons: Mapping[str, str]
    """For the English phrases of which wrapd makes reasons: the same in this language."""

    titles: Mapping[Event, str]
    """{name} of a job or a batch; `batch_finished` has {counts} too."""
    title_partial: str
    """{name}"""
    title_digest: str
    """{counts}"""
    verbs: Mapping[Event, str]
    """{at}: what happened, for the row of a digest and for a note about lateness."""
    verb_partial: str
    """{at}"""
    verb_first: str
    """{at}: when the first of many happened."""
    verb_other: str
    """{at}"""
    counts: Mapping[str, Plural]
    """By event, or by how a job of a batch ended: how many."""
    other: Plural
    """Of events that have no word."""
    ways: Mapping[str, str]
    """How a job of a batch ended."""

    partly: str
    made: str
    """{length} {took}"""
    made_long: str
    """{length}"""
    made_took: str
    """{took}"""
    exactly: str
    """{length} as {took}."""
    about: str
    """{length} as {took} that is not exact."""
    finished: str
    """{product}"""
    failed: str
    """{said}"""
    failed_unsaid: str
    canceled: str
    """{product}"""
    canceled_made: str
    """{product}: there are links to it all the same."""
    blocked: str
    unblocked: str
    """{state}"""
    started: str
    started_eta: str
    """{median} {low} {high}"""
    stuck: str
    stuck_normal: str
    """{elapsed} {median} {high}"""
    lost: str
    lost_never: str
    """{kind}"""
    expired: str
    """{since}"""
    link_expiring: str
    """{product} {until} {left}"""
    link_unseen: str
    """{product} {until} {left}"""
    link_expired: str
    """{until}"""
    link_soon: str
    batch_all: str
    """{n}"""
    batch_names: str
    """{counts} {names}"""
    batch_done: str
    """{done} {n}"""
    batch_more: str
    """{n}"""
    digest: str
    """{n} {span}"""
    digest_quiet: str
    """{n} {span}"""
    row_length: str
    """{length}"""

    operators: Mapping[Event, OperatorText]
    """{project} {channel} {state} {command}"""
    operator_other: OperatorText
    held_partly: OperatorText
    """`channel_held` where others of its recipients get all messages."""
    """{event}"""
    orphaned_channel: OperatorText
    """`orphaned` of a channel; that of a project is among `operators`."""

    repeat: str
    repeat_some: str
    resent: str
    """{first}"""
    resent_some: str
    diverted: str
    """{channel}"""
    damped: str
    """{n} {since}"""
    late: str
    """{happened} {told}"""
    late_why: str
    """{happened} {told} {why}"""
    why_unreachable: str
    why_quiet: str
    why_tracked: str
    """{at}"""
    why_service: str
    """{at}"""
    why_seen: str
    """{at}"""

    field_names: Mapping[str, str]
    link_names: Mapping[str, str]
    link_until: str
    """{until}"""
    link_gone: str
    """{until}"""

    link_later: str
    links_left_out: Plural
    """Links that a chat's limit leaves no room for."""
    rows_left_out: Plural
    """Rows that a chat's limit leaves no room for."""
    test_title: str
    test_headline: str
    """{channel}"""
