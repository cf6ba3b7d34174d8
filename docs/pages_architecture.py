"""docs/architecture.md: the states of daemon/domain/states.py with the events of daemon/domain/events.py, and the
layers of .importlinter with the first sentence of each package."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from textwrap import fill

from daemon.domain.events import events_of
from daemon.domain.states import TERMINAL, State
from daemon.domain.transitions import Moved
from docs.paper import NOTE, ROOT, joined, table

INTRO = """\
wrapd is one process around one SQLite database. Everything that happens is a row in it before anybody is told.
[decisions/](decisions/README.md) has the reasons, [CONTRIBUTING.md](../CONTRIBUTING.md) the rules and a glossary.
"""

FLOW = """\
## From an answer to a chat

Data flows one way. Whatever fails below is tried again from the row above it, so a crash at any point loses
nothing.

```mermaid
flowchart TD
    tools["wrapd track, the API, callbacks, discovery"] -->|commands| jobs[(jobs)]
    jobs --> agenda["watch: the agenda says which job is due, and the planner by which kind of request"]
    agenda -->|within the budget| api["MetaStudio API"]
    api -->|answer| judge["watch: observation, then a verdict: moved or unchanged"]
    judge -->|one transaction| rows[("transition, and its deliveries: the outbox")]
    rows --> lane["notify: one lane for each channel claims, composes, sends"]
    lane --> chat["chat service"]
    chat -->|"the service's answer"| verdict["sent, retry, held or dead"]
    verdict -->|one transaction| rows
    rows --> people["views: commands, API, pages, live events"]
```

- **Watch** asks. One number for each job, its expected undetected delay, decides when a request is worth it
  ([polling.md](polling.md)). The answer is the only truth: a callback only makes wrapd ask at once.
- **The store** has one writer thread. A change of state and the alerts that it causes are one transaction; work
  that waits meanwhile shares its commit.
- **Notify** sends. A lane takes its channel's deliveries in order, keeps the service's pace, and reads the verdict
  from what the service answered ([channels.md](channels.md#delivery-rules)).
- **Commands** change, **views** show. The CLI, the API and the pages call the same ones, so they cannot differ.
- **A reload** builds the parts of the new config whole, swaps them, and stops the old ones; connections, budgets
  and locks live on.
"""

STATES_INTRO = """\
## The states of a job

Under the API's names. A label is the event that a step causes ([events.md](events.md)); a step without one is
recorded, and alerts nobody. Polling may miss steps, so any step is valid, also one back (a requeue); only the
usual ones are drawn.
"""

STATES_END = """\
{ends} end tracking: the service moves no job out of them.
Tracking also ends if the service has not known the job for all of `polling.not_found_grace` (`lost`), if it has
not ended within `polling.give_up_after` (`expired`), or if a person stops it. A state that is not listed is kept
as it came, does not end tracking, and is reported to the operators once.
"""

USUAL: tuple[tuple[State | None, State], ...] = (
    (None, State.WAITING),
    (State.WAITING, State.PROCESSING),
    (State.PROCESSING, State.WAITING),
    (State.PROCESSING, State.SUCCEED),
    (State.PROCESSING, State.PARTIAL_SUCCEED),
    (State.PROCESSING, State.FAILED),
    (State.WAITING, State.CANCELED),
    (State.PROCESSING, State.CANCELED),
    (State.WAITING, State.BLOCK),
    (State.PROCESSING, State.BLOCK),
    (State.BLOCK, State.PROCESSING),
)
"""The steps that are drawn."""

DELIVERY = """\
## The states of a delivery

```mermaid
stateDiagram-v2
    [*] --> pending
    pending --> sending: due, and not muted
    sending --> sent: accepted
    sending --> pending: retry, or no clear answer
    sending --> held: the channel is refused
    held --> pending: the channel works again
    sending --> dead: refused in every form, or too old
    dead --> pending: wrapd deliveries retry
    pending --> canceled: wrapd deliveries cancel, a mute that drops, or replaced by a later one
    canceled --> pending: wrapd deliveries revive
    sent --> [*]
```
"""

LAYERS_INTRO = """\
## The packages

Imports point down only: a package knows those below it, and those beside it only where the row says so (`:`).
`make imports` checks that; each third-party library is known in one place.
"""


def page() -> str:
    """The text of the page."""
    ends = [f"`{state}`" for state in State if state in TERMINAL]
    shown = fill(STATES_END.format(ends=f"{', '.join(ends[:-1])} and {ends[-1]}"), 115) + "\n"
    lines = ["# Architecture", "", NOTE, "", INTRO, FLOW, STATES_INTRO]
    lines += ["```mermaid", *_diagram(), "```", "", shown, DELIVERY, LAYERS_INTRO]
    return joined([*lines, *table(("layer", "package", "what it does"), list(_layers()))])


def _diagram() -> Iterator[str]:
    assert {after for _, after in USUAL} == set(State), "a state is not drawn"
    yield "stateDiagram-v2"
    for before, after in USUAL:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        events = events_of(Moved(before=before, after=after, observed_at=at, reported_at=None))
        label = f": {', '.join(events)}" if events else ""
        yield f"    {before or '[*]'} --> {after}{label}"
    for state in State:
        if state in TERMINAL:
            yield f"    {state} --> [*]"


def _layers() -> Iterator[tuple[str, str, str]]:
    contract = (ROOT / ".importlinter").read_text(encoding="utf-8")
    listed = contract.partition("\nlayers =\n")[2].partition("\n\n")[0]
    rows = [line.strip() for line in listed.splitlines() if not line.strip().startswith(";")]
    for number, row in enumerate(rows, 1):
        parts = re.split(r" *[|:] *", row)
        for name in parts:
            beside = " (:)" if ":" in row else ""
            yield (f"{number}{beside}", f"`{name}`", _about(name))


def _about(name: str) -> str:
    """The first sentence of a package's or module's docstring."""
    package = ROOT / "daemon" / name / "__init__.py"
    path = package if package.exists() else ROOT / "daemon" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, f"daemon/{name} does not say what it is"
    return re.split(r"(?<=[a-z`)])\.(?:\s|$)", " ".join(text.split()))[0].rstrip(".")
