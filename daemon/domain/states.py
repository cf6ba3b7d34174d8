"""The states of a MetaStudio job, as the API names them, and the spellings that mean the same.

    (first answer) ──> WAITING ──> PROCESSING ──> SUCCEED, PARTIAL_SUCCEED
                          │  <─ requeue ─┘  ├───> FAILED
                          │                 │
                          ├──> CANCELED <───┤          SUCCEED, PARTIAL_SUCCEED, FAILED and CANCELED end tracking.
                          └──> BLOCK <──────┘          BLOCK ("frozen") may thaw: it is looked at slowly.

A poll may miss steps, so every jump is legal; a step back is recorded like any other. A state that wrapd does
not know is kept as it came, ends nothing, and is reported once.
Source: the API document, Table 5 (`state`); PARTIAL_SUCCEED: the official SDK's picture modelling; the aliases:
the document's own example (SUCCESS) and sister APIs (BLOCKED).
"""

from enum import StrEnum

MAX_STATE_LENGTH = 64
"""Characters kept of an unknown state: enough for a name, too little to fill a log."""


class State(StrEnum):
    """A documented state of a job."""

    WAITING = "WAITING"
    PROCESSING = "PROCESSING"
    SUCCEED = "SUCCEED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    BLOCK = "BLOCK"
    PARTIAL_SUCCEED = "PARTIAL_SUCCEED"  # picture modelling only: some of what was ordered is there


TERMINAL: frozenset[str] = frozenset({State.SUCCEED, State.PARTIAL_SUCCEED, State.FAILED, State.CANCELED})
"""States after which the service never moves the job again."""

_ALIASES = {
    "SUCCESS": State.SUCCEED,
    "SUCCEEDED": State.SUCCEED,
    "CANCELLED": State.CANCELED,
    "BLOCKED": State.BLOCK,
}
_KNOWN: dict[str, str] = {**{state.value: state.value for state in State}, **_ALIASES}


def read_state(raw: str) -> str:
    """The state's one name: a `State` where `raw` is known under any spelling, else `raw` itself, trimmed.

    Raises ValueError for a blank one: an answer without a state says nothing.

    >>> read_state("SUCCESS")
    'SUCCEED'
    >>> read_state(" THAWING ")
    'THAWING'
    """
    known = _KNOWN.get(raw)
    if known is not None:
        return str(known)
    trimmed = raw.replace("\0", "").strip()
    if not trimmed:
        raise ValueError("the state is empty")
    return str(_KNOWN.get(trimmed.upper(), trimmed[:MAX_STATE_LENGTH]))


def is_known(state: str) -> bool:
    """Whether `state` (as `read_state` gave it) is one that the document names."""
    return state in _KNOWN


def is_terminal(state: str | None) -> bool:
    """Whether tracking ends with `state`."""
    return state in TERMINAL
