"""The URL of a channel as text: addresses that services show to people, and what Apprise would read otherwise than
it was meant. Pure.

Apprise ends a password at a second colon or at a `;`, a path at a `#`, takes the first `@` for the last, and trims
values: `normal` writes a URL so that it reads what a person gave, or refuses it by name. Must never put a part of
a URL into an error.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from daemon.notify.services.hosts import HOSTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a query: `name` as given, `key` in small letters, `value` decoded once, `raw` as it stands."""

    name: str
    key: str
    value: str
    raw: str


_URL = re.compile(r"(?P<scheme>[^:/?#]+)://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?", re.DOTALL)
_SIGNS = re.compile(r"[^A-Za-z0-9._~%!$&'()*+,=-]")
"""What of a user or a password must not stand there as it is."""
_NO_LOGIN = re.compile(r"[^:@]*(?::\d*)?")
"""An authority without a user and a password: a host, and its port."""
_LATE_AT = re.compile(r"/[^?]*[^/?@]@|\?[^=]*@")
_JOINED = re.compile(r";[A-Za-z][A-Za-z0-9_.-]*=")


def normal(url: str) -> str:
    """`url` so that Apprise reads what it says. Raises ValueError, which says what cannot be told apart."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in url):
        raise ValueError("holds a character that no address has, such as a line break")
    found = _URL.fullmatch(url)
    if found is None:
        return url
    authority, path, query = found["authority"], found["path"] or "", found["query"]
    login, at, host = authority.rpartition("@")
    if at:
        user, colon, password = login.partition(":")
        authority = f"{_escaped(user)}{colon}{_escaped(password)}@{host}"
    elif not _NO_LOGIN.fullmatch(authority) and _LATE_AT.search(url[found.end("authority") :]):
        raise ValueError("has a / or a ? in the user or the password; write / as %2F, ? as %3F, @ as %40")
    path = path.replace("#", "%23").replace(";", "%3B")
    return f"{found['scheme']}://{authority}{path}" + ("" if query is None else f"?{_joined(query)}")


def _escaped(part: str) -> str:
    return _SIGNS.sub(lambda sign: quote(sign[0], safe=""), part)


def _joined(query: str) -> str:
    if _JOINED.search(query):
        raise ValueError("has a ; between options; write & between them, and a ; that is part of a value as %3B")
    query = query.replace(";", "%3B")
    seen: set[str] = set()
    for option in _options(query):
        shown = shown_key(option.key)
        if option.key in seen:
            raise ValueError(f"has {shown} twice; what is meant cannot be known")
        if option.value != option.value.strip():
            raise ValueError(f"has {shown} with a space at its end, which Apprise drops; leave it out")
        seen.add(option.key)
    return query


def options(url: str) -> list[Option]:
    """The options of a URL, read as Apprise reads them: a plus is a plus."""
    return list(_options(url.partition("?")[2]))


def _options(query: str) -> Iterator[Option]:
    for piece in query.split("&"):
        if piece:
            key, _, raw = piece.partition("=")
            name = unquote(key)
            yield Option(name=name, key=name.lower().strip(), value=unquote(raw), raw=raw)


def with_query(url: str, change: Callable[[Option], str | None]) -> str:
    """`url` with each option as `change` writes it (`key=value`, encoded), None: without it."""
    written = [piece for each in options(url) if (piece := change(each)) is not None]
    return url.partition("?")[0] + (f"?{'&'.join(written)}" if written else "")


def login(url: str) -> tuple[str, str]:
    """The user and the password before the host, decoded; '' for none."""
    found = _URL.fullmatch(url)
    user, _, password = ("" if found is None else found["authority"].rpartition("@")[0]).partition(":")
    return unquote(user), unquote(password)


def shown_key(key: str) -> str:
    """An option's name, where it can be nothing but a name: a value that slipped into its place stays hidden."""
    is_name = re.fullmatch(r"[+:-]?[a-z][a-z0-9_.-]{0,23}", key) is not None and not is_token_like(key)
    return f"{key}=" if is_name else "an option"


def is_token_like(text: str) -> bool:
    """Whether a part of a URL may be a credential."""
    return len(text) >= 20 or (len(text) >= 6 and any(char.isdigit() for char in text))


# ---------------------------------------------------------------------------------------------- pasted addresses


_ENDED = (
    (
        re.compile(r"https://(?:[a-z0-9-]+\.webhook\.office\.com|outlook\.office(?:365)?\.com/webhook)", re.I),
        "is a connector of Teams, which are retired; make a workflow and paste its address (docs/channels.md)",
    ),
    (
        re.compile(r"https://open\.(?:feishu\.cn|larksuite\.com)/open-apis/bot/hook/", re.I),
        "is the address of an old bot, which takes other messages; add a custom bot anew and paste its address",
    ),
)
"""Addresses that services showed once."""


def translated(url: str) -> str:
    """The URL of the plugin for an address that one of our services shows; any other URL as it is. Raises
    ValueError for one that leads nowhere any more."""
    for pattern, hint in _ENDED:
        if pattern.match(url):
            raise ValueError(hint)
    found = re.fullmatch(r"https://(?P<host>[^/?#@]+)(?P<path>/[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?", url, re.I)
    if found is None:
        return url
    host, path = found["host"].lower().removesuffix(":443"), found["path"].rstrip("/")
    given = {option.key: option for option in _options(found["query"] or "")}
    for read in (_lark, _dingtalk, _wecom, _discord, _slack, _telegram, _teams, _hooks):
        made = read(host, path, given)
        if made is not None:
            return made
    return url


Given = Mapping[str, Option]


def _written(address: str, given: Given, without: tuple[str, ...] = (), **added: str) -> str:
    """The plugin's URL with the options that were pasted with it."""
    kept = [f"{quote(each.key, safe='')}={each.raw}" for each in given.values() if each.key not in without]
    return f"{address}/" + (
        f"?{'&'.join([*kept, *([urlencode(added)] if added else [])])}" if kept or added else ""
    )


def _elsewhere(scheme: str, host: str) -> dict[str, str]:
    return {} if host == HOSTS[scheme] else {"host": host}


def _lark(host: str, path: str, given: Given) -> str | None:
    scheme = {"open.feishu.cn": "feishu", "open.larksuite.com": "lark", "open.larkoffice.com": "lark"}.get(host)
    hook = re.fullmatch(r"/open-apis/bot/v2/hook/([\w-]+)", path, re.ASCII)
    if scheme is None or hook is None:
        return None
    return _written(f"{scheme}://{hook[1]}", given, (), **_elsewhere(scheme, host))


def _dingtalk(host: str, path: str, given: Given) -> str | None:
    known = host == HOSTS["dingtalk"] or re.fullmatch(r"[a-z0-9.-]+\.dingtalk\.(?:io|com)", host)
    token = given.get("access_token")
    if not known or path != "/robot/send" or token is None:
        return None
    return _written(f"dingtalk://{token.raw}", given, ("access_token",), **_elsewhere("dingtalk", host))


def _wecom(host: str, path: str, given: Given) -> str | None:
    if host != HOSTS["wecombot"] or path != "/cgi-bin/webhook/send" or "key" not in given:
        return None
    return _written(f"wecombot://{given['key'].raw}", given, ("key",))


def _discord(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/api(?:/v\d+)?/webhooks/(\d+)/([\w-]+)", path, re.ASCII)
    if hook is None or re.fullmatch(r"(?:(?:ptb|canary)\.)?discord(?:app)?\.com", host) is None:
        return None
    thread = {"thread": given["thread_id"].value} if "thread_id" in given else {}
    return _written(f"discord://{hook[1]}/{hook[2]}", given, ("thread_id", "wait"), **thread)


def _slack(host: str, path: str, given: Given) -> str | None:
    hook = re.fullmatch(r"/services/(\w+)/(\w+)/(\w+)", path, re.ASCII)
    if hook is None or host != "hooks.slack.com":
        return None
    return _written(f"slack://{hook[1]}/{hook[2]}/{hook[3]}", given)


def _telegram(host: str, path: str, given: Given) -> str | None:
    bot = re.fullmatch(r"/bot(\d+:[\w-]+)(?:/sendMessage)?", path, re.ASCII)
    if bot is None or host != "api.telegram.org" or "chat_id" not in given:
        return None
    topic = {"topic": given["message_thread_id"].value} if "message_thread_id" in given else {}
    chat = quote(given["chat_id"].value, safe="@-")
    return _written(f"tgram://{bot[1]}/{chat}", given, ("chat_id", "message_thread_id"), **topic)


def _teams(host: str, path: str, given: Given) -> str | None:
    flow = re.fullmatch(
        r"(/powerautomate/automations/direct(?:/cu/(\d+))?)?/workflows/([\w-]+)/triggers/\w+/paths/invoke",
        path,
        re.ASCII | re.IGNORECASE,
    )
    if flow is None or "sig" not in given:
        return None
    added = {"ver": given["api-version"].value} if "api-version" in given else {}
    added |= {"pa": "yes"} if flow[1] else {}
    added |= {"route": flow[2]} if flow[2] else {}
    port = host if ":" in host else f"{host}:443"
    return _written(f"workflows://{port}/{flow[3]}/{given['sig'].raw}", given, _TEAMS_OWN, **added)


_TEAMS_OWN = ("sig", "api-version", "sp", "sv")
"""What Teams' address says; `sp` and `sv` are the same in all of them."""


def _hooks(host: str, path: str, given: Given) -> str | None:
    """Mattermost's and Rocket.Chat's, which live on hosts of their own."""
    mattermost = re.fullmatch(r"((?:/[\w-]+)*)/hooks/([a-z0-9]{26})", path, re.ASCII)
    if mattermost is not None:
        return _written(f"mmosts://{host}{mattermost[1]}/{mattermost[2]}", given)
    rocket = re.fullmatch(r"/hooks/([A-Za-z0-9]{17,24})/([A-Za-z0-9]{24,64})", path)
    return None if rocket is None else _written(f"rockets://{rocket[1]}/{rocket[2]}@{host}", given)


def repaired(url: str) -> str:
    """A Teams URL in the plugin's form that lacks what the services' hosts of today need: without `pa=yes` it goes
    to a path that ended in 2025."""
    found = _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in {"workflow", "workflows"}:
        return url
    given = {option.key for option in options(url)}
    if not re.search(r"\.api\.powerplatform\.com(?::\d+)?$", found["authority"], re.IGNORECASE):
        return url
    added = [] if given & {"pa", "powerautomate"} else ["pa=yes"]
    added += [] if given & {"ver", "api-version"} else ["ver=1"]
    return url + ("&" if given else "?" if "?" not in url else "") + "&".join(added) if added else url
