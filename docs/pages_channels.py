"""docs/channels.md: the services of daemon/notify/services, the waits of
daemon/notify/outbox, the keys of daemon/notify/message/facts.py. A test opens every URL of the page.
"""

from textwrap import fill

from daemon.domain.digests import MOST
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
A channel is one place where alerts go: a chat group, a mailbox, a webhook. It has a name of yours and one URL,
of any service that [Apprise](https://github.com/caronc/apprise/wiki) knows.

```toml
[channels.editors]
url = { env = "WRAPD_EDITORS_URL" }
timezone = "Asia/Shanghai"                 # of the times in the messages
language = "zh"                            # "en" where nothing is said
fallback = "mail"                          # told as well while the chat refuses this channel

[channels.editors.quiet]                   # kept meanwhile and told together at eight
from = "22:00"
to = "08:00"
urgent = ["failed", "blocked"]             # these pass

[channels.mail]
url = { env = "WRAPD_MAIL_URL" }

[channels.robot]
url = { file = "robot_url" }

[[routes]]
events = ["succeeded", "failed"]
channels = ["editors", "robot"]
```

The URL is a credential: it stays out of logs, errors and pages, and is best kept out of the config file. Two
groups are two channels; a URL with several destinations is refused, because one of them that fails would repeat
the message to the others. Which events there are is said in [events.md](events.md), what the messages say and how
to put it in your own words in [messages.md](messages.md), every key in [config.md](config.md).

## Try it

```sh
wrapd channels test editors       # or --all; really sends a message
wrapd channels                    # what goes where, how many alerts wait
```

A test that fails says what the service answered, and ends with status 1. One that arrives also sends what was
held for that channel.
"""

URLS_INTRO = """\
## Services

Words in capitals stand for yours.
"""

OWN = """\
The address that Feishu, Lark, DingTalk, WeCom, Slack, Discord, Microsoft Teams, Google Chat, Mattermost,
Rocket.Chat and ntfy.sh show can be pasted whole instead, with its own query, and so can Telegram's
`https://api.telegram.org/botTOKEN/sendMessage?chat_id=CHAT_ID`.

`wrapd config check` names what a URL says and nobody reads: an option that the service does not know, one that is
given twice, a value of the wrong sort, an address that no mail can go to. What is allowed but unwise it warns of:
`verify=no`, a password in the clear, services that end on this machine (`syslog://` and the like). In a user or a
password write `/` as `%2F`, `?` as `%3F`, `&` as `%26` and `%` as `%25`; in a query, `;` is part of a value.

### Microsoft Teams

Make a workflow "When a Teams webhook request is received" and paste its address whole: today it begins with
`https://default` and holds `.environment.api.powerplatform.com`. Those at `logic.azure.com` ended in November
2025, and connectors (`webhook.office.com`) are retired. A workflow answers 202 as soon as it has begun: what fails
later, such as a channel that is gone, shows in the runs of the workflow only, so look there when something is
missed. What would make a card too large for Teams is left out before it is sent.

### E-mail

A mail server's refusal before the message (of the login, the sender, the recipient, this machine) is the
channel's: it is held, with the server's words. So is a server without the TLS or the login that the URL wants.
One after the message is the message's; where the plainest mail is refused too for a policy (5.7) or an account
(5.1 to 5.4), it is the channel's as well. A picture that the server does not take, or that makes the mail too
large for it, is left out. A refusal for now (4xx: greylisting, too many mails, no room) is tried again, but for
`Relay access denied`, which no time cures.

Of several recipients (`cc=`, `bcc=`) some may be refused: the others have the mail, so the alert is `sent` and
never repeated, and the operators hear once (`channel_held`) that the channel does not reach everybody. The alerts
after it go out all the same. A recipient that is refused for now misses that mail.

`sent` says that the server took the mail. What it does then wrapd cannot see: it may throw the mail away, or
return it because a mailbox is full. What is returned goes to the address in `from=`: let a person read it.

### Proxies

Messages over HTTP take the proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name; mail takes
none. A SOCKS proxy needs the Python package `PySocks` beside wrapd. `wrapd config check` names a variable that
cannot work, and a channel behind one is held until it is fixed.

### Feishu, Lark, DingTalk, WeCom

To a pasted address, `?secret=SECRET` (`&secret=SECRET` behind a query) is added where the bot signs. A bot that is
kept by keywords refuses every message without one of them, and the channel is held: a signature has no such trap.

- `secret=`: the signing secret of a Feishu, Lark or DingTalk bot; WeCom's have none. Each request is signed with
  the time of this machine, which may be off by at most an hour.
- `host=`: another host in the place of {hosts},
  for a private gateway: `feishu://TOKEN?host=gateway.example.com:8443`.
- `insecure=yes`: plain HTTP, for a `host=` on this machine only (`127.0.0.1`, `::1`, `localhost`).
- `dingtalk://SECRET@TOKEN/13800138000` calls the owner of that number with each message; several are several parts
  of the path.
"""

FORMS_INTRO = """\
### What is sent and shown

A *card* is the service's own rich form: the title coloured by the end of the job (green, red, amber, blue),
fields, links behind words, and the video's cover where the service can show it: *by link* it fetches the picture
from the link that the message names, *uploaded* it gets the picture itself. Names and texts of a job are escaped
for the service: they call nobody, link nowhere and break no markup. A message that would be longer than the limit
loses what matters least, and each link stays whole or is left out. A card that the service refuses goes once more
as the plainest text.

The *pace* is the most messages that the service takes within a second, a minute or a day, as it documents it.
Channels with the same token share one. Slack counts each of its channels by itself, Telegram each chat (and the
bot in all of them, 30 a second), ntfy all that comes from this machine to one server (the day at ntfy.sh
without an account only: past it, alerts wait until the first is a day old). A restart and a reload keep count.
`max_per_minute` is for its channel alone: fewer than the service takes hold beside its pace, more take the
place of what it documents for a minute (a server of your own may take more).
"""

FORMS_END = """\
All other services of Apprise get plain text within the plugin's own limit. Options of Apprise that get in the
way of the rules below (`retry`, `wait`, `optional`, `redirect`, `format`) are refused. A template of Apprise's own
(`template=`) is filled with the plain text.

How each is tested, always without the service itself:

{tests}
"""

TESTS = {
    Tested.CONFORMANCE: "every answer of the rules below, and every name of a collection of hostile ones,\n"
    "  against a stand-in on this machine that refuses what the service refuses",
    Tested.MAIL_SERVER: "the same, with the refusals of mail, against two SMTP servers here, one of them Postfix",
    Tested.WIRE: "messages, hostile names and refusals, by what arrives at a stand-in",
    Tested.OPENED: "its URL opens a channel; nothing more",
}

MANY = """\
## Many at once

More than {above} alerts within {window} (`digest_above`, `digest_window`) come as one message: counts, the
failures first, then a line for each that leads to it, at most {most} alerts in a message. The first waits for the
others no longer than the window. What quiet hours have kept comes so too. A webhook (`json://`, `form://`,
`xml://`) gets each alert by itself, unless its channel has a `digest_above`.
"""

RULES_INTRO = """\
## What becomes of an alert

An alert is stored with the change of state that causes it, and sent from there. Alerts about one job arrive in
their order: a channel sends one message at a time, and only a webhook for programs without `max_per_minute` up to
{overlap}, all about different jobs. A channel that fails delays no other one. One send may take {send}
(`notify.send_timeout`). What comes next depends on what the service answered:
"""

BODIES = """\
Some services answer 200 and mean no, or stand behind a page that answers 200 to everything: for {bodies}
the answer's body decides. Where it names a code for "too fast", the channel rests for {rate}, or as long as the
service is known to shut out who is too fast: DingTalk 10 min, ntfy an hour where the day's messages are used up.
Redirects are not followed."""

RULES_END = """\
An alert that still fails {give_up} after it was written (`notify.give_up_after`) is dead. A held one never is:
it waits for a person. Each pause is shortened at random by up to a quarter.

{bodies}

- **Held.** The operators are told once (`channel_held`). Fix the channel, then run `wrapd channels test NAME`:
  when it arrives, the rest follows, in order. A channel whose URL was corrected in the config is tried at once
  at the next start, also with what waits after errors of its service. Without that, wrapd tries one alert from
  time to time, and when it is taken, sends the others. Held for {after} (`fallback_after`), its alerts go to its
  `fallback` as well. `wrapd channels`, `doctor` and `routes explain` count all alerts that wait for it;
  `wrapd deliveries` says of each why it waits.
- **Dead.** `wrapd deliveries --status dead` lists what was given up, with the reason. To send it again:
  `wrapd deliveries retry ID`, or `--dead` for all of them, or `--channel NAME` for those of a channel.
- **Canceled.** `wrapd deliveries cancel` gives up what is not sent; `wrapd deliveries revive ID` brings it back,
  `--channel NAME` all that was canceled there within a day, `--since 2h` all that was since then. It is sent in
  the order in which it was written, at once, in quiet hours too. What wrapd itself replaced by a later alert only
  comes back by its ID.
- **Again on request.** `wrapd deliveries resend ID` sends once more what was sent; so do `--job`, `--batch` and
  `--since 2h` (`--from NAME`: only what went to that channel), 500 alerts at once at most. Each is a new alert,
  which says that somebody asked for it, goes out at once, in quiet hours too, and has links as they are now.
  `--channel NAME` sends it to another channel instead. It is no news: it counts for no pause of what comes and
  goes.
- **Possible repeat.** After a timeout, a connection that broke during the send, or a crash, nobody can say
  whether the message arrived. It is sent again, and says that it may be a repeat.
"""

JSON_INTRO = """\
## The body of a `json://` channel

A webhook gets one POST for each alert, as `application/json`: the text, and the same facts as fields, in JSON
types. Every alert has every key; `null` stands for what does not apply or is not known. Keys may be added; none
goes or changes its meaning. Times are ISO 8601 in UTC.

Answer with any 2xx status. To take each alert once, remember `delivery_id`. One that somebody had sent again has
a number of its own, and `resent_from` names the first.

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
    settings, plan = NotifySettings(), ChannelPlan()
    urls = [(name, f"`{url}`") for service in SERVICES for name, url in service.examples.values()]
    lines = ["# Channels", "", NOTE, "", INTRO, URLS_INTRO, *table(("service", "URL"), urls)]
    lines += [
        OWN.format(hosts=_listed([f"`{host}`" for service in SERVICES for host in service.hosts.values()])),
        FORMS_INTRO,
    ]
    services = [row for service in SERVICES for row in _rows(service)]
    titles = ("service", "sent as", "what people see", "cover", "plain text at most", "pace", "tested")
    tests = "\n".join(f"- *{tested.value}*: {text}." for tested, text in TESTS.items())
    lines += [*table(titles, services), FORMS_END.format(tests=tests)]
    lines += [MANY.format(above=DIGEST_ABOVE, window=length(plan.digest_window), most=MOST)]
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
    """A row for each name of a service; `json` and `jsons` are one."""
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
        ("it took the message", "the alert is `sent`"),
        (
            "it cannot be reached, has a fault (5xx) or is busy (408, 421, 425)",
            f"the same alert again {retry}; the channel rests meanwhile",
        ),
        (
            "too many requests (429, 503 with `Retry-After`, a code for it in the body)",
            f"the channel rests as long as the service asks, at most {longest}; {unsaid} where it does not say",
        ),
        ("none, or half of one", f"it may have arrived: again {unknown}, marked as a possible repeat"),
        (
            "it refuses the message (400, 413, 422 and the like)",
            _PLAINER,
        ),
        (
            f"it refuses the channel ({_REFUSALS})",
            f"the alert is `held`, and with it the channel: one is tried {probe}",
        ),
    ]


_PLAINER = (
    "once more as the plainest text, and without its links where these may be the reason; if that is refused too, "
    "the alert is `dead`"
)
_REFUSALS = (
    "401, 403, 404, a redirect, a wrong certificate; a code for its token, signature, keyword, robot, group, "
    "thread or policy in the body"
)


def _growing(first: float, most: float) -> str:
    return f"after {length(first)}, then twice as long each time, at most {length(most)}"
