"""docs/messages.md: every built-in example of daemon/notify/templates/examples.py as a message, and what templates
can use. The page's example template is rendered when the page is generated, so it is always valid.
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
A message says in its first line what happened to which video, then explains it in one sentence, then lists the
links and details. It uses the language and time zone of its channel:

```toml
[channels.editors]
url = {{ env = "WRAPD_EDITORS_URL" }}
language = "zh"                    # or "en", the default
timezone = "Asia/Shanghai"
```

Names and MetaStudio's error texts are unchanged, except for characters that would break or disguise a message. The
fields of a `json://` channel are the same in every language ([channels.md](channels.md)).

Times include the year only if it is not the current one. A message sent more than {late} after its event says so,
with the cause if known: the chat could not be reached, quiet hours, a mute, MetaStudio reported it late, wrapd
noticed it late, or the job was tracked only after its end.

With `web.public_url`, a message has one link, wrapd's own: it opens a fresh preview (or the download) as long as
the video exists, for 30 days by default. Without it, a message has MetaStudio's own links, unchanged, each with
its expiry time. A link that has expired, or expires within `notify.link_margin`, is renewed first.
"""

EXAMPLES_INTRO = """\
## Built-in messages

`wrapd templates preview --event NAME --channel NAME` shows how each of these looks on one of your channels.
"""

VARIANTS = {
    "partial": "only part of the order is finished (first line)",
    "late": "the chat could not be reached",
    "quiet": "it waited for the end of quiet hours",
    "muted": "it was muted",
    "repeat": "an earlier attempt may have arrived",
    "diverted": "this channel is the fallback of the one it was meant for",
}
"""Examples that differ from `succeeded` in one line."""

TEMPLATES_INTRO = """\
## Your own templates

A channel can have your own templates, written in [Jinja2](https://jinja.palletsprojects.com/templates/), for an
event, for `digest`, or with `"*"` for all others:

```toml
[channels.editors.templates]
succeeded = "templates/succeeded.j2"
"*" = "templates/other.j2"
```

The first line of the result is the title, the rest the text. Line breaks are kept, and an empty line separates
paragraphs; a single line is the text. A message from a template is plain: it has no card, buttons or picture. This
template:

```jinja
{template}```

renders the example `succeeded` as:

```text
{result}
```

### What templates can use
"""

TEMPLATES_END = """\
Every text is escaped for the channel before the template gets it: a name cannot mention anyone, add a link or
markup. The template's own text is sent unchanged, so it can use the channel's markup (see
[channels.md](channels.md)); in HTML, line breaks become `<br>` and paragraphs `<p>`. Numbers are numbers:
`{{% if f.duration and f.duration > 60 %}}`. `null` is rendered as an empty text.

Filters: `cut(60)` (at most that many characters, without cutting an escape in half), `join`, `default`, `length`,
`first`, `last`, `sort`, `sum`, `min`, `max`, `abs`, `int`, `float`, `round`, `upper`, `lower`, `trim`,
`selectattr`, `rejectattr`. `range` counts to {range}. Loops, conditions and `set` are available; macros, includes
and method calls are not. All loops of a message together run at most {turns} iterations, a result has at most
{result} characters, and a message takes at most {seconds:g} s of CPU time; beyond that the built-in message is
used. Loops can be nested {deepest} deep.

`wrapd config check` checks the templates: an unknown name, an unknown filter or a syntax error is a fault of the
config, reported with its line. If a template fails only when it is used, or its result is too long for the
channel, the built-in message is sent, and the log says why (`template.failed`). If a template does not mention
`notes`, the notes about lateness, repeats and other channels are appended.
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
    lines += ["### Additional notes", ""]
    lines += table(("when", "in English", "in Chinese"), [_variant(name) for name in VARIANTS])
    lines += ["### Digests", "", *_shown("digest")]
    lines += [TEMPLATES_INTRO.format(template=TEMPLATE, result=_by_template())]
    lines += table(("name", "meaning"), [(f"`{name}`", meaning) for name, meaning in NAMES.items()])
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
