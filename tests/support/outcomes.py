"""Expected outcomes of answers, for the tables of the conformance suite. Rows are made by `sent`, `retry`,
`unknown`, `held` and `dead`."""

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
    """A row of the table: the expected outcome of one answer.

    `requests` is how many requests the first try took; `next` is a name of `conformance.NEXT`; `told` is part of
    the error that `wrapd deliveries` shows the operator and, for a held channel, of the alert on the operators'
    channel.
    """

    outcome: AttemptOutcome
    requests: int = 1
    next: str = "never"
    told: str = ""

    @property
    def marked(self) -> bool:
        """Whether the message that finally arrives says that it may be a repeat."""
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
    """Refused twice: as it was, and as plain text."""
    return Row(outcome=DEAD, requests=2, told=told)
