"""What one way to answer comes to, as the tables of the conformance suite say it: a line is made by `sent`,
`retry`, `unknown`, `held` or `dead`."""

from dataclasses import dataclass

from daemon.store import AttemptOutcome

SENT, RETRY, UNKNOWN, HELD, DEAD = (
    AttemptOutcome.SENT,
    AttemptOutcome.RETRY,
    AttemptOutcome.UNKNOWN,
    AttemptOutcome.HELD,
    AttemptOutcome.DEAD,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table: what one way to answer comes to.

    `requests` is how many the first try took; `next` is a name of `conformance.NEXT`; `told` is a part of what
    `wrapd deliveries` shows the operator, and, of a held channel, of what the operators' channel hears.
    """

    outcome: AttemptOutcome
    requests: int = 1
    next: str = "never"
    told: str = ""

    @property
    def marked(self) -> bool:
        """Whether the message that arrives in the end says that it may be a repeat."""
        return self.outcome is UNKNOWN


def sent(told: str = "", *, requests: int = 1) -> Row:
    return Row(outcome=SENT, told=told, requests=requests)


def retry(next_: str, told: str) -> Row:
    return Row(outcome=RETRY, next=next_, told=told)


def unknown(told: str) -> Row:
    return Row(outcome=UNKNOWN, next="in 30 s", told=told)


def held(told: str) -> Row:
    return Row(outcome=HELD, next="in 5 min", told=told)


def dead(told: str) -> Row:
    """Refused twice: as it was, and as the plainest text."""
    return Row(outcome=DEAD, requests=2, told=told)
