"""docs/messages.md: every built-in example of daemon/notify/templates/examples.py as it is told, and what
templates may use.

The example of a template on the page is read and rendered when the page is made: it cannot be wrong.
"""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from daemon.domain.events import Event
from daemon.notify.message import Language, Message
from daemon.notify.message.compose import MessageContext, compose_digest
from daemon.notify.message.escape import length
from daemon.notify.message.lateness import LATE
from daemon.notify.services import service_for
from daemon.notify.services.cards import Rendered, render
from daemon.notify.templates import NAMES, Templates
from daemon.notify.templates.effort import RESULT_LIMIT, SECONDS, TURNS
from daemon.notify.templates.examples import example
from daemon.notify.templates.sandbox import DEEPEST, RANGE
from docs.paper import NOTE, joined, table

NOW = datetime(2026, 11, 22, 4, 40, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
FORM = service_for("console", limit=32768)

INTRO = """\
A message says in its first line what happened to which video, then in one sentence what there is to know, then
the links and the details. It is written in the language and the time zone of its channel:

```toml
[channels.editors]
url = {{ env = "WRAPD_EDITORS_URL" }}
language = "zh"                    # or "en", the default
timezone = "Asia/Shanghai"
```

Names and what MetaStudio says of a failure stay as they came, but for characters that would break or disguise a
message. What a `json://` channel gets as fields is the same in every language ([channels.md](channels.md)).

A time tells its year only where that is another than now. A message that comes more than {late} after what it
tells says so, with the cause where wrapd knows it: the chat could not be reached, quiet hours, MetaStudio told
it late, wrapd saw it late, or was told of the job only after its end.

With `web.public_url`, a message has one link, wrapd's own: it opens a fresh preview (or the download) as long
as the video is there, for 30 days by default. Without it, a message has MetaStudio's own links, exactly as they
came, each with the time until which it works. One that would be dead, or die within `notify.link_margin`, is
renewed first.
"""

EXAMPLES_INTRO = """\
## What is told

`wrapd templates preview --event NAME --channel NAME` shows each of these as a channel of yours would get it.
"""

VARIANTS = {
    "partial": "only a part of what was ordered is there (its first line)",
    "late": "the chat could not be reached",
    "quiet": "it waited for the end of quiet hours",
    "repeat": "an earlier try may have arrived",
    "diverted": "it was meant for another channel, whose fallback this one is",
}
"""Examples that differ from `succeeded` in one line."""

TEMPLATES_INTRO = """\
## Your own words

A channel can have templates of yours, written in [Jinja2](https://jinja.palletsprojects.com/templates/), for an
event, for `digest`, or with `"*"` for all that have none of their own:

```toml
[channels.editors.templates]
succeeded = "templates/succeeded.j2"
"*" = "templates/other.j2"
```

The first line of the result is the title, the rest the text: lines stay lines, and an empty one parts
paragraphs; a line alone is the text. A message by a template is plain: without the card, the buttons and the
picture of the service. This one:

```jinja
{template}```

makes of the example `succeeded`:

```text
{result}
```

### What a template may use
"""

TEMPLATES_END = """\
Every text is escaped for the channel before the template gets it: a name cannot call anybody, link or mark up.
What the template itself writes goes out as it stands, so it may use the markup that the channel takes (which
one is said in [channels.md](channels.md)); in HTML, line ends become `<br>` and paragraphs `<p>`. Numbers are
numbers: `{{% if f.duration and f.duration > 60 %}}`. Nothing (`null`) is written as nothing.

Filters: `cut(60)` (at most so many characters, never half of an escape), `join`, `default`, `length`, `first`,
`last`, `sort`, `sum`, `min`, `max`, `abs`, `int`, `float`, `round`, `upper`, `lower`, `trim`, `selectattr`,
`rejectattr`. `range` counts to {range}. There are loops, conditions and `set`; no macros, no includes, no calls
of methods. All loops of a message together take at most {turns} turns, a result has at most {result} characters,
and a message takes at most {seconds:g} s of processor time: a template that would take more gives way to the
built-in message. Loops stand in each other {deepest} deep at most.

`wrapd config check` reads the templates: a wrong name, a filter that does not exist or broken syntax is a fault
of the config, with its line. A template that fails only when it is used, or whose result is too long for the
channel, costs no message: the built-in one goes out, and the log says why (`template.failed`). Where a template
does not mention `notes`, those about lateness, repeats and other channels come last by themselves.
"""

TEMPLATE = """\
{{ emoji }} {{ name | cut(60) }} is ready
{{ headline }}
{% for link in links[:1] %}
{{ link.name }}: {{ link.url }}
{% endfor %}

{% if f.batch %}
Batch {{ f.batch }}, tags {{ f.tags | join(", ") }}
{% endif %}
"""


def page() -> str:
    """The text of the page."""
    lines = ["# Messages", "", NOTE, "", INTRO.format(late=length(LATE.total_seconds())), EXAMPLES_INTRO]
    for event in Event:
        lines += [f"### `{event}`", "", *_shown(event.value)]
    lines += ["### A message that tells more", ""]
    lines += table(("when", "in English", "in Chinese"), [_variant(name) for name in VARIANTS])
    lines += ["### Many alerts in one message", "", *_shown("digest")]
    lines += [TEMPLATES_INTRO.format(template=TEMPLATE, result=_by_template())]
    lines += table(("name", "what it is"), [(f"`{name}`", meaning) for name, meaning in NAMES.items()])
    return joined(
        [
            *lines,
            TEMPLATES_END.format(range=RANGE, turns=TURNS, result=RESULT_LIMIT, seconds=SECONDS, deepest=DEEPEST),
        ]
    )


def _message(name: str, language: Language) -> Message:
    alerts = example(name, now=NOW)
    shown = alerts if len(alerts) == 1 else alerts[3:9]
    return compose_digest(shown, MessageContext(zone=ZONE, now=NOW, language=language))


def _shown(name: str) -> list[str]:
    """An example as plain text, in both languages."""
    texts = [_text(render(_message(name, language), FORM)) for language in Language]
    return [line for text in texts for line in ("```text", text, "```", "")]


def _variant(name: str) -> tuple[str, str, str]:
    english, chinese = (_message(name, language) for language in Language)
    return (VARIANTS[name], *(" ".join(said.notes) or said.title for said in (english, chinese)))


def _text(rendered: Rendered) -> str:
    return f"{rendered.title}\n{rendered.body}"


def _by_template() -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "succeeded.j2"
        path.write_text(TEMPLATE, encoding="utf-8")
        made = Templates.load({"succeeded": path}).attempt(_message("succeeded", Language.ENGLISH), FORM)
    assert isinstance(made, Rendered), made
    return _text(made)
