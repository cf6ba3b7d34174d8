"""What a language must provide: every text of a message, by name. Holds no text itself.

The `{names}` of a text are the same in all languages; a test compares them.
"""

from collections.abc import Mapping

from msgspec import Struct

from daemon.domain.events import Event
from daemon.notify.message.escape import Units


class Calendar(Struct, frozen=True, kw_only=True):
    """How dates and times are written. `date` has {day} and {month}, `dated` also {year}; `months` has twelve
    entries."""

    months: tuple[str, ...]
    date: str
    dated: str
    moment: str  # {date} {time} ({offset})
    until: str  # {first} to {last}


class OperatorText(Struct, frozen=True, kw_only=True):
    """Text for an event about wrapd itself: what happened, and what to do."""

    title: str
    headline: str


class Plural(Struct, frozen=True, kw_only=True):
    """A counted phrase: for 1, and for any other number {n}."""

    one: str
    many: str

    def say(self, number: int) -> str:
        return (self.one if number == 1 else self.many).format(n=number)


class Catalogue(Struct, frozen=True, kw_only=True):
    """All texts of one language."""

    units: Units
    calendar: Calendar
    colon: str  # between a name and its value
    comma: str  # between parts of a sentence
    listed: str  # between items of a list
    stop: str  # at the end of a sentence
    gap: str  # between sentences
    brackets: str  # {text} in brackets

    kinds: Mapping[str, str]
    product_video: str
    product_card: str
    product_result: str
    states: Mapping[str, str]
    state_unknown: str
    reasons: Mapping[str, str]  # translations of the English phrases that reasons are made of

    titles: Mapping[Event, str]  # {name} of a job or a batch; `batch_finished` also has {counts}
    title_partial: str  # {name}
    title_digest: str  # {counts}
    verbs: Mapping[Event, str]  # {at}: what happened, for a digest's row and for the note about lateness
    verb_partial: str  # {at}
    verb_first: str  # {at}: when the first of several happened
    verb_other: str  # {at}
    counts: Mapping[str, Plural]  # how many, by event or by how a job of a batch ended
    other: Plural  # events without a word of their own
    ways: Mapping[str, str]  # how a job of a batch ended

    partly: str
    made: str  # {length} {took}
    made_long: str  # {length}
    made_took: str  # {took}
    exactly: str  # {length} used as {took}
    about: str  # {length} used as {took} if it is approximate
    finished: str  # {product}
    failed: str  # {said}
    failed_unsaid: str
    canceled: str  # {product}
    canceled_made: str  # {product}, which has links anyway
    blocked: str
    unblocked: str  # {state}
    started: str
    started_eta: str  # {median} {low} {high}
    stuck: str
    stuck_normal: str  # {elapsed} {median} {high}
    lost: str
    lost_never: str  # {kind}
    expired: str  # {since}
    link_expiring: str  # {product} {until} {left}
    link_unseen: str  # {product} {until} {left}
    link_expired: str  # {until}
    link_soon: str
    batch_all: str  # {n}
    batch_names: str  # {counts} {names}
    batch_done: str  # {done} {n}
    batch_more: str  # {n}
    digest: str  # {n} {span}
    digest_quiet: str  # {n} {span}
    digest_muted: str  # {n} {span}
    row_length: str  # {length}

    operators: Mapping[Event, OperatorText]  # {project} {channel} {state} {command}
    operator_other: OperatorText  # {event}
    held_partly: OperatorText  # `channel_held` if the other recipients of the channel still get its messages
    orphaned_channel: OperatorText  # `orphaned` for a channel; the one for a project is in `operators`

    repeat: str
    repeat_some: str
    resent: str  # {first}
    resent_some: str
    diverted: str  # {channel}
    damped: str  # {n} {since}
    late: str  # {happened} {told}
    late_why: str  # {happened} {told} {why}
    why_unreachable: str
    why_quiet: str
    why_muted: str
    why_tracked: str  # {at}
    why_service: str  # {at}
    why_seen: str  # {at}

    field_names: Mapping[str, str]
    link_names: Mapping[str, str]
    link_until: str  # {until}
    link_gone: str  # {until}

    link_later: str
    links_left_out: Plural  # links that exceed a chat's limit
    rows_left_out: Plural  # rows that exceed a chat's limit
    test_title: str
    test_headline: str  # {channel}
