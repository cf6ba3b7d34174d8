"""The states of a MetaStudio job under the API's names, with their alternative spellings.

    (first answer) ──> WAITING ──> PROCESSING ──> SUCCEED, PARTIAL_SUCCEED
                          │  <─ requeue ─┘  ├───> FAILED
                          │                 │
                          ├──> CANCELED <───┤          SUCCEED, PARTIAL_SUCCEED, FAILED and CANCELED end tracking.
                          └──> BLOCK <──────┘          BLOCK ("frozen") may thaw and is polled slowly.

Polling may miss steps, so any transition is valid, including one backwards. An unknown state is kept verbatim,
does not end tracking, and is reported once.
Sources: the API document, table 5 (`state`); the official SDK's picture modelling (PARTIAL_SUCCEED); the
document's own example (SUCCESS) and sister APIs (BLOCKED) for the aliases.
"""

from enum import StrEnum

MAX_STATE_LENGTH = 64
"""Maximum length of an unknown state in characters: enough for a name, too short to flood a log."""


class State(StrEnum):
    """A documented state of a job."""

    WAITING = "WAITING"
    PROCESSING = "PROCESSING"
    SUCCEED = "SUCCEED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    BLOCK = "BLOCK"
    PARTIAL_SUCCEED = "PARTIAL_SUCCEED"  # picture modelling only: part of the order is available


TERMINAL: frozenset[str] = frozenset({State.SUCCEED, State.PARTIAL_SUCCEED, State.FAILED, State.CANCELED})
"""States that the service never moves a job out of."""

_ALIASES = {
    "SUCCESS": State.SUCCEED.value,
    "SUCCEEDED": State.SUCCEED.value,
    "CANCELLED": State.CANCELED.value,
    "BLOCKED": State.BLOCK.value,
}
_KNOWN: dict[str, str] = {**{state.value: state.value for state in State}, **_ALIASES}


def read_state(raw: str) -> str:
    """Return the canonical name of a state: a `State` value for any known spelling, else `raw`, trimmed.

    Raises ValueError for a blank state.

    >>> read_state("SUCCESS")
    'SUCCEED'
    >>> read_state(" THAWING ")
    'THAWING'
    """
    known = _KNOWN.get(raw)
    if known is not None:
        return known
    trimmed = raw.replace("\0", "").strip()
    if not trimmed:
        raise ValueError("the state is empty")
    return _KNOWN.get(trimmed.upper(), trimmed[:MAX_STATE_LENGTH])


def is_known(state: str) -> bool:
    """Whether `state`, as returned by `read_state`, is documented."""
    return state in _KNOWN


def is_terminal(state: str | None) -> bool:
    """Whether `state` ends tracking."""
    return state in TERMINAL
