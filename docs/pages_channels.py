"""docs/channels.md: the services of daemon/notify/forms.py, the waits of daemon/notify/settings.py, the keys of
daemon/notify/facts.py. A test opens every URL of the page."""

from daemon.notify.facts import FACTS
from daemon.notify.forms import FORMS, Form, Markup, Unit
from daemon.notify.settings import NotifySettings
from daemon.notify.words import length
from docs.paper import NOTE, joined, table

SERVICES: dict[str, tuple[str, str]] = {
    "json": ("a webhook of your own, JSON", "jsons://example.com/hook"),
    "form": ("a webhook of your own, form fields", "forms://example.com/hook"),
    "xml": ("a webhook of your own, XML", "xmls://example.com/hook"),
    "console": ("standard output of `wrapd run`", "console://"),
    "feishu": ("Feishu, group bot", "feishu://TOKEN"),
    "lark": ("Lark, group bot", "lark://TOKEN"),
    "dingtalk": ("DingTalk, group robot that signs", "dingtalk://SECRET@TOKEN"),
    "wecombot": ("WeCom, group bot", "wecombot://KEY"),
    "slack": ("Slack, incoming webhook", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
    "discord": ("Discord, webhook", "discord://WEBHOOK_ID/WEBHOOK_TOKEN"),
    "mmost": ("Mattermost, incoming webhook", "mmosts://chat.example.com/TOKEN"),
    "tgram": ("Telegram, bot", "tgram://123456789:BOT_TOKEN/CHAT_ID"),
    "workflow": ("Microsoft Teams, workflow", "workflows://HOST:443/WORKFLOW_ID/SIGNATURE"),
    "gchat": ("Google Chat, webhook", "gchat://SPACE/KEY/TOKEN"),
    "rocket": ("Rocket.Chat", "rockets://user:password@chat.example.com/#channel"),
    "mailto": ("e-mail by SMTP", "mailtos://user:password@example.com?smtp=smtp.example.com&to=team@example.com"),
    "matrix": ("Matrix, one room", "matrixs://user:password@matrix.example.com/#room"),
    "ntfy": ("ntfy", "ntfys://ntfy.example.com/topic"),
    "gotify": ("Gotify", "gotifys://gotify.example.com/TOKEN"),
    "pover": ("Pushover", "pover://USER_KEY@APP_TOKEN"),
}
"""By scheme: what it is, and a URL whose words in capitals stand for yours."""

INTRO = """\
A channel is one place where alerts go: a chat group, a mailbox, a webhook. It has a name of yours and one URL,
of any service that [Apprise](https://github.com/caronc/apprise/wiki) knows.

```toml
[channels.editors]
url = { env = "WRAPD_EDITORS_URL" }
timezone = "Asia/Shanghai"                 # of the times in the messages

[channels.robot]
url = { file = "robot_url" }

[[routes]]
events = ["succeeded", "failed"]
channels = ["editors", "robot"]
```

The URL is a credential: it stays out of logs, errors and pages, and is best kept out of the config file. Two
groups are two channels; a URL with several destinations is refused, because one of them that fails would repeat
the message to the others. Which events there are is said in [events.md](events.md), every key in
[config.md](config.md).

## Try it

```sh
wrapd channels test editors       # or --all; really sends a message
wrapd channels                    # what goes where, how many alerts wait
```

A test that fails says what the service answered, and ends with status 1. One that arrives also sends what was
held for that channel.
"""

FORMS_INTRO = """\
## Services

Words in capitals stand for yours. A message that would be longer than the limit loses what matters least, whole
links before broken ones. Names and texts of a job are escaped for the service: they call nobody, link nowhere
and break no markup.
"""

FORMS_END = """\
All other services of Apprise get plain text within the plugin's own limit. Options of Apprise that get in the
way of the rules below (`retry`, `wait`, `optional`, `redirect`, `format`) are refused.
"""

RULES_INTRO = """\
## What becomes of an alert

An alert is stored with the change of state that causes it, and sent from there. A channel sends one alert at a
time, so that those about one job arrive in their order; a channel that fails delays no other one. One send may
take {send} (`notify.send_timeout`). What comes next depends on what the service answered:
"""

RULES_END = """\
An alert that still fails {give_up} after it was written (`notify.give_up_after`) is dead. A held one never is:
it waits for a person. Each pause is shortened at random by up to a quarter.

Some services answer 200 and mean no: for Feishu, Lark, DingTalk, WeCom, Slack, Telegram and Rocket.Chat the
answer's body decides. Redirects are not followed.

- **Held.** The operators are told once (`channel_held`). Mend the channel, then run `wrapd channels test NAME`:
  when it arrives, the rest follows, in order. Without that, wrapd tries one alert from time to time, and when
  it is taken, sends the others.
- **Dead.** `wrapd deliveries --status dead` lists what was given up, with the reason. To send it again:
  `wrapd deliveries retry ID`, or `--dead` for all of them, or `--channel NAME` for those of a channel.
- **Possible repeat.** After a timeout, a connection that broke during the send, or a crash, nobody can say
  whether the message arrived. It is sent again, and says that it may be a repeat.
"""

JSON_INTRO = """\
## The body of a `json://` channel

A webhook gets one POST for each alert, as `application/json`: the text, and the same facts as fields, in JSON
types. Every alert has every key; `null` stands for what does not apply or is not known. Keys may be added; none
goes or changes its meaning. Times are ISO 8601 in UTC.

Answer with any 2xx status. To take each alert once, remember `delivery_id`.

`json://` is plain HTTP, `jsons://` HTTPS; `json://user:password@host:8080/path` logs in,
`json://host/path?+X-Token=SECRET` adds a header, and `?:team=post` a field of yours.
"""

JSON_END = """\
An alert for operators has `null` in what is about a job, but for `unknown_state`, which names the job and the
state. The message of `wrapd channels test` has only `event` ("test"), `channel`, `sent_at` and
`possible_repeat`.
"""

TEXTS = (
    ("`title`", "the first line of the message"),
    ("`message`", "the rest of it, plain text"),
    ("`type`", "success, failure, warning or info"),
    ("`version`, `attachments`", "Apprise's own"),
)


def page() -> str:
    """The text of the page."""
    settings = NotifySettings()
    lines = ["# Channels", "", NOTE, "", INTRO, FORMS_INTRO]
    services = [row for form in FORMS for row in _rows(form)]
    lines += [*table(("service", "URL", "sent as", "limit"), services), FORMS_END]
    lines += [RULES_INTRO.format(send=length(settings.send_timeout))]
    lines += table(("answer", "what wrapd does"), _rules(settings))
    lines += [RULES_END.format(give_up=length(settings.give_up_after)), JSON_INTRO]
    facts = [(f"`{name}`", meaning) for name, meaning in FACTS.items()]
    return joined([*lines, *table(("key", "value"), (*TEXTS, *facts)), JSON_END])


def _rows(form: Form) -> list[tuple[str, ...]]:
    """A row for each service of a form; `json` and `jsons` are one."""
    shown = [SERVICES[scheme] for scheme in form.schemes if scheme in SERVICES]
    assert shown, f"no service of {form.schemes} is explained"
    markup = {Markup.TEXT: "plain text", Markup.HTML: "HTML", Markup.MARKDOWN: "Markdown"}[form.markup]
    unit = {Unit.CHARACTERS: "characters", Unit.UTF8_BYTES: "bytes"}[form.unit]
    return [(service, f"`{url}`", markup, f"{form.limit} {unit}") for service, url in shown]


def _rules(settings: NotifySettings) -> list[tuple[str, str]]:
    retry = _growing(settings.retry_base, settings.retry_cap)
    unknown = _growing(settings.unknown_base, settings.unknown_cap)
    probe = _growing(settings.probe_base, settings.probe_cap)
    unsaid, longest = length(settings.throttled_wait), length(settings.throttled_cap)
    return [
        ("it took the message", "the alert is `sent`"),
        (
            "it cannot be reached, has a fault (5xx) or is busy (408, 421, 425)",
            f"the same alert again {retry}; the channel rests meanwhile",
        ),
        (
            "too many requests (429, 503 with `Retry-After`)",
            f"the channel rests as long as the service asks, at most {longest}; {unsaid} where it does not say",
        ),
        ("none, or half of one", f"it may have arrived: again {unknown}, marked as a possible repeat"),
        (
            "it refuses the message (400, 413, 422 and the like)",
            "once more as the plainest text; if that is refused too, the alert is `dead`",
        ),
        (
            "it refuses the channel (401, 403, 404, a redirect, a wrong certificate)",
            f"the alert is `held`, and with it the channel: one is tried {probe}",
        ),
    ]


def _growing(first: float, most: float) -> str:
    return f"after {length(first)}, then twice as long each time, at most {length(most)}"
