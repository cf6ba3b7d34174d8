"""docs/channels.md: the services of daemon/notify/services, the waits of daemon/notify/outbox, and the keys of
daemon/notify/message/facts.py. A test opens every URL of the page.
"""

from textwrap import fill

from daemon.domain.digests import MOST
from daemon.domain.mutes import LEAST_MUTE, MOST_MUTE
from daemon.notify.message.escape import length
from daemon.notify.message.facts import FACTS
from daemon.notify.outbox import ChannelPlan, NotifySettings
from daemon.notify.outbox.sender import OVERLAP
from daemon.notify.services import SERVICES
from daemon.notify.services.answers import RATE_WAIT
from daemon.notify.services.base import Markup, Picture, Service, Tested, Unit
from daemon.notify.transport.channel import DIGEST_ABOVE
from docs.paper import NOTE, joined, table

INTRO = """\
A channel is one destination of alerts: a chat group, a mailbox, a webhook. It has a name of your choice and one
URL of any service that [Apprise](https://github.com/caronc/apprise/wiki) supports.

```toml
[channels.editors]
url = { env = "WRAPD_EDITORS_URL" }
timezone = "Asia/Shanghai"                 # for times in messages
language = "zh"                            # default "en"
fallback = "mail"                          # also gets the alerts while the chat refuses this channel

[channels.editors.quiet]                   # alerts are kept and sent together at eight
from = "22:00"
to = "08:00"
urgent = ["failed", "blocked"]             # these are sent at once

[channels.mail]
url = { env = "WRAPD_MAIL_URL" }

[channels.robot]
url = { file = "robot_url" }

[[routes]]
events = ["succeeded", "failed"]
channels = ["editors", "robot"]
```

The URL is a credential: it never appears in logs, errors or pages, and is best kept out of the config file. Use
one channel for each group; a URL with several destinations is refused, because if one of them failed, the message
would be repeated to the others. [events.md](events.md) lists the events, [messages.md](messages.md) shows the
messages and how to write your own, and [config.md](config.md) explains every key.

## Try it

```sh
wrapd channels test editors       # or --all; sends a real message
wrapd channels                    # events and waiting alerts of each channel
```

A failed test prints the service's answer and exits with status 1. A successful one also releases the alerts held
for that channel.
"""

URLS_INTRO = """\
## Services

Replace the words in capitals with your own values. [recipes.md](recipes.md) says for each chat service how to make
the webhook there, and what its refusals mean.
"""

OWN = """\
You can also paste the complete address, including its query, that Feishu, Lark, DingTalk, WeCom, Slack, Discord,
Microsoft Teams, Google Chat, Mattermost, Rocket.Chat or ntfy.sh shows, and Telegram's
`https://api.telegram.org/botTOKEN/sendMessage?chat_id=CHAT_ID`.

`wrapd config check` reports parts of a URL that would be ignored: unknown options, duplicate options, values of
the wrong type, invalid mail addresses. It warns of what is allowed but unwise: `verify=no`, an unencrypted
password, services that only reach this machine (`syslog://` and the like). In a user or a password, write `/` as
`%2F`, `?` as `%3F`, `&` as `%26` and `%` as `%25`; in a query, `;` is part of a value.

### Microsoft Teams

Create a workflow "When a Teams webhook request is received" and paste its complete address: it currently begins
with `https://default` and contains `.environment.api.powerplatform.com`. Addresses at `logic.azure.com` ended in
November 2025, and connectors (`webhook.office.com`) are retired. A workflow answers 202 as soon as it has started:
a later failure, such as a deleted channel, shows only in the runs of the workflow, so look there if a message is
missing. Content that would make a card too large for Teams is left out before it is sent.

### E-mail

If a mail server refuses before the message (the login, the sender, the recipient, this machine), the channel is
held, with the server's reason. The same applies to a server without the TLS or login that the URL requires. A
refusal after the message concerns the message; if the plainest mail is refused too because of a policy (5.7) or an
account (5.1 to 5.4), the channel is held as well. A picture that the server does not accept, or that makes the
mail too large, is left out. A temporary refusal (4xx: greylisting, too many mails, no space) is retried, except
`Relay access denied`, which does not resolve itself.

If only some of several recipients (`cc=`, `bcc=`) are refused, the others have the mail, so the alert is `sent`
and not repeated, and the operators are notified once (`channel_held`) that the channel does not reach everyone.
Later alerts are still sent. A temporarily refused recipient misses that mail.

`sent` means that the server accepted the mail. wrapd cannot see what happens next: the server may discard the
mail, or return it because a mailbox is full. Returned mail goes to the address in `from=`: make sure that someone
reads it.

### Proxies

Messages over HTTP use the proxies of `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; mail uses none. A
SOCKS proxy needs the Python package `PySocks` in wrapd's environment. `wrapd config check` reports an invalid
variable, and a channel behind one is held until it is fixed.

### Feishu, Lark, DingTalk, WeCom

If the bot uses signatures, add `?secret=SECRET` (`&secret=SECRET` after a query) to a pasted address. A bot
secured by keywords refuses every message without one of them, and the channel is held; prefer a signature.

- `secret=`: the signing secret of a Feishu, Lark or DingTalk bot; WeCom bots have none. Each request is signed
  with this machine's time, which may be off by at most an hour.
- `host=`: another host instead of {hosts},
  for a private gateway: `feishu://TOKEN?host=gateway.example.com:8443`.
- `insecure=yes`: plain HTTP, only for a `host=` on this machine (`127.0.0.1`, `::1`, `localhost`).
- `dingtalk://SECRET@TOKEN/13800138000` mentions the owner of that number in each message; add several as further
  parts of the path.
"""

FORMS_INTRO = """\
### Formats and limits

A *card* is the service's own rich format: a title coloured by the job's result (green, red, amber, blue), fields,
named links, and the video's cover if the service can show it: *by link*, the service fetches the picture from the
link in the message; *uploaded*, it receives the picture itself. Names and texts of a job are escaped for the
service: they mention no one, contain no links and do not break markup. A message longer than the limit is
shortened by its least important parts first, and a link is either complete or left out. A card that the service
refuses is sent again as the plainest text.

The *pace* is the service's documented maximum of messages per second, minute or day. Channels with the same token
share it. Slack counts each of its channels separately, Telegram each chat (and the bot in all of them, 30 per
second), ntfy everything sent from this machine to one server (the daily limit only at ntfy.sh without an account:
beyond it, alerts wait until the first one is a day old). Counts survive restarts and reloads. `max_per_minute`
applies to its channel alone: a lower value holds in addition to the service's pace, a higher one replaces the
documented limit per minute (your own server may accept more).
"""

FORMS_END = """\
All other Apprise services get plain text within the plugin's own limit. Apprise options that conflict with the
rules below (`retry`, `wait`, `optional`, `redirect`, `format`) are refused. Apprise's own templates (`template=`)
are filled with the plain text.

How each is tested, always without the service itself:

{tests}
"""

TESTS = {
    Tested.CONFORMANCE: "every answer in the rules below, and a collection of hostile names, against a local\n"
    "  stand-in that refuses what the service refuses",
    Tested.MAIL_SERVER: "the same, with the refusals of mail, against two local SMTP servers, one of them Postfix",
    Tested.WIRE: "messages, hostile names and refusals, by what arrives at a stand-in",
    Tested.OPENED: "its URL opens a channel; nothing more",
}

MANY = """\
## Digests

More than {above} alerts within {window} (`digest_above`, `digest_window`) are sent as one message: counts,
failures first, then a line with a link for each, at most {most} alerts per message. The first alert waits no
longer than the window. Alerts kept during quiet hours or by a mute are sent the same way. A webhook (`json://`,
`form://`, `xml://`) gets each alert separately, unless its channel has a `digest_above`.

## Mutes

Quiet hours come every day; a mute is for once:

```sh
wrapd mute --batch spring --for 2h --comment "retakes, tell us when all are done"
wrapd mute --channel editors --for 90m --comment "premiere" --drop
wrapd mute list            # what is muted, since when, by whom, until when, why, and how many alerts wait
wrapd mute end 1           # earlier than planned; --send or --drop decides anew
```

- **What.** `--job`, `--batch` (its jobs and its `batch_finished`), `--tag` (jobs with that tag) or `--channel`;
  `--project NAME` limits it to one project. Operators' alerts are muted only with their channel. A mute lasts from
  {shortest} to {longest}.
- **Meanwhile.** It covers alerts to come, by the batch and tags that their job has then, and those that are not
  sent yet. They are kept, and delay nothing else; `wrapd deliveries` says by which mute. Jobs are polled as ever,
  and a later change replaces an earlier one as it does in quiet hours.
- **At the end** they are sent in order, together if they are many, or with `--drop` canceled, with the reason
  `muted`. An alert that several mutes cover waits for the last one, which also decides whether it is sent. Quiet
  hours still apply. If a mute ends while wrapd is off, this happens at the next start.
- **All the same.** What a person asks for is sent at once: `wrapd deliveries retry ID` (also for a muted alert),
  `revive` and `resend`.
"""

RULES_INTRO = """\
## Delivery rules

An alert is stored with the change of state that causes it, and sent from there. A channel sends one message at
a time, so that messages about one job arrive in order; only a webhook for programs without `max_per_minute` gets
up to {overlap} at a time, all about different jobs. A failing channel does not delay others. One send can take up
to {send} (`notify.send_timeout`). What happens next depends on the service's answer:
"""

BODIES = """\
Some services answer 200 to refuse a message, or are behind a page that answers 200 to everything: for {bodies}
the body of the answer decides. If it contains a code for "too fast", the channel pauses for {rate}, or as long as
the service is known to block fast senders: DingTalk 10 min, ntfy an hour once the day's messages are used up.
Redirects are not followed."""

RULES_END = """\
An alert that still fails {give_up} after it was written (`notify.give_up_after`) is dead. A held alert never dies;
it waits for the channel to be fixed. Each pause is shortened at random by up to a quarter.

{bodies}

- **Held.** The operators are notified once (`channel_held`). Fix the channel, then run `wrapd channels test NAME`:
  if the message arrives, the waiting alerts follow in order. A channel whose URL was corrected in the config is
  tried at once at the next start, including alerts that wait after errors of its service. Otherwise wrapd tries
  one alert from time to time, and sends the others once it is accepted. After {after} (`fallback_after`) the
  alerts also go to the channel's `fallback`. `wrapd channels`, `doctor` and `routes explain` count all alerts that
  wait for it; `wrapd deliveries` says why each one waits.
- **Dead.** `wrapd deliveries --status dead` lists the alerts given up, with the reason. To send them again, use
  `wrapd deliveries retry ID`, `--dead` for all of them, or `--channel NAME` for those of a channel.
- **Canceled.** `wrapd deliveries cancel` gives up unsent alerts. `wrapd deliveries revive ID` restores one,
  `--channel NAME` all that were canceled there within a day, `--since 2h` all canceled since then. They are sent
  at once, oldest first, even in quiet hours or despite a mute. An alert that wrapd itself replaced by a later one
  is restored only by ID.
- **Sent again on request.** `wrapd deliveries resend ID` repeats a sent alert; so do `--job`, `--batch` and
  `--since 2h` (`--from NAME`: only those sent to that channel), at most 500 at once. Each is a new alert, which
  says that it was requested, is sent at once, even in quiet hours or despite a mute, and has current links.
  `--channel NAME` sends it to another channel instead. It does not count as news for the pauses of recurring
  changes.
- **Possible repeat.** After a timeout, a connection lost during the send, or a crash, it is not known whether the
  message arrived. It is sent again and says that it may be a repeat.
"""

JSON_INTRO = """\
## The body of a `json://` channel

A webhook gets one POST for each alert, as `application/json`: the text, and the same facts as JSON fields. Every
alert has every key; `null` means not applicable or not known. Keys may be added, but not removed or changed in
meaning. Times are ISO 8601 in UTC.

Answer with any 2xx status. To process each alert once, remember `delivery_id`. An alert that is sent again on
request has its own number, and `resent_from` refers to the original.

`json://` is plain HTTP, `jsons://` HTTPS; `json://user:password@host:8080/path` logs in,
`json://host/path?+X-Token=SECRET` adds a header, and `?:team=post` a field of your own.
"""

JSON_END = """\
In an operator alert, the fields about a job are `null`, except in `unknown_state`, which names the job and the
state. The message of `wrapd channels test` has only `event` ("test"), `channel`, `sent_at` and
`possible_repeat`.
"""

TEXTS = (
    ("`title`", "the first line of the message"),
    ("`message`", "the rest of the message, plain text"),
    ("`type`", "success, failure, warning or info"),
    ("`version`, `attachments`", "Apprise's own fields"),
)


def page() -> str:
    """The text of the page."""
    settings, plan = NotifySettings(), ChannelPlan()
    urls = [(name, f"`{url}`") for service in SERVICES for name, url in service.examples.values()]
    lines = ["# Channels", "", NOTE, "", INTRO, URLS_INTRO, *table(("service", "URL"), urls)]
    lines += [
        OWN.format(hosts=_listed([f"`{host}`" for service in SERVICES for host in service.hosts.values()])),
        FORMS_INTRO,
    ]
    services = [row for service in SERVICES for row in _rows(service)]
    titles = ("service", "sent as", "shown", "cover", "maximum plain text", "pace", "tested")
    tests = "\n".join(f"- *{tested.value}*: {text}." for tested, text in TESTS.items())
    lines += [*table(titles, services), FORMS_END.format(tests=tests)]
    bounds = {"shortest": length(LEAST_MUTE.total_seconds()), "longest": f"{MOST_MUTE.days} days"}
    lines += [MANY.format(above=DIGEST_ABOVE, window=length(plan.digest_window), most=MOST, **bounds)]
    lines += [RULES_INTRO.format(send=length(settings.send_timeout), overlap=OVERLAP)]
    lines += table(("answer", "what wrapd does"), _rules(settings))
    lines += [_rules_end(settings, plan), JSON_INTRO]
    facts = [(f"`{name}`", meaning) for name, meaning in FACTS.items()]
    return joined([*lines, *table(("key", "value"), (*TEXTS, *facts)), JSON_END])


def _rules_end(settings: NotifySettings, plan: ChannelPlan) -> str:
    bodies = [
        name.partition(",")[0]
        for service in SERVICES
        if service.rule is not None
        for name, _ in service.examples.values()
    ]
    return RULES_END.format(
        give_up=length(settings.give_up_after),
        bodies=fill(BODIES.format(bodies=_listed(list(dict.fromkeys(bodies))), rate=length(RATE_WAIT)), 110),
        after=length(plan.fallback_after),
    )


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


_PICTURES = {Picture.NONE: "-", Picture.URL: "by link", Picture.UPLOAD: "uploaded"}
_MARKUPS = {Markup.TEXT: "plain text", Markup.HTML: "HTML", Markup.MARKDOWN: "Markdown"}
_UNITS = {Unit.CHARACTERS: "characters", Unit.UTF8_BYTES: "bytes"}


def _rows(service: Service) -> list[tuple[str, ...]]:
    """A row for each name of a service; `json` and `jsons` share one."""
    sent = "card" if service.card is not None else _MARKUPS[service.markup]
    pace = ", ".join(map(str, service.limits)) or "-"
    limit = f"{service.limit} {_UNITS[service.unit]}"
    return [
        (name, sent, service.shows, _PICTURES[service.picture], limit, pace, service.tested.value)
        for name, _ in service.examples.values()
    ]


def _rules(settings: NotifySettings) -> list[tuple[str, str]]:
    retry = _growing(settings.retry_base, settings.retry_cap)
    unknown = _growing(settings.unknown_base, settings.unknown_cap)
    probe = _growing(settings.probe_base, settings.probe_cap)
    unsaid, longest = length(settings.throttled_wait), length(settings.throttled_cap)
    return [
        ("message accepted", "the alert is `sent`"),
        (
            "not reachable, server error (5xx) or busy (408, 421, 425)",
            f"the same alert is retried {retry}; the channel pauses meanwhile",
        ),
        (
            "too many requests (429, 503 with `Retry-After`, a code for it in the body)",
            f"the channel pauses as long as the service says, at most {longest}; {unsaid} if it does not say",
        ),
        ("no answer or an incomplete one", f"may have arrived: retried {unknown}, marked as a possible repeat"),
        ("message refused (400, 413, 422 and the like)", _PLAINER),
        (
            f"channel refused ({_REFUSALS})",
            f"the alert is `held`, and the channel with it: one alert is tried {probe}",
        ),
    ]


_PLAINER = (
    "sent again as the plainest text, without links if they may be the reason; if that is refused too, the alert "
    "is `dead`"
)
_REFUSALS = (
    "401, 403, 404, a redirect, a wrong certificate; a code for its token, signature, keyword, robot, group, "
    "thread or policy in the body"
)


def _growing(first: float, most: float) -> str:
    return f"after {length(first)}, then twice as long each time, at most {length(most)}"
