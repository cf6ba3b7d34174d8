"""The config as typed, frozen sections: every key with its form, default and explanation, declared here once.

docs/config.md and config.example.toml are generated from this file. Never reads a file or a secret.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from daemon.config import forms
from daemon.config.secrets import Secret, parse
from daemon.domain import routing as domain_routing
from daemon.domain.events import DEFAULT_EVENTS, Event
from daemon.domain.jobs import ChannelName
from daemon.domain.planning import Rails
from daemon.domain.states import TERMINAL, State
from daemon.errors import UnknownName
from daemon.logs import Format, Level
from daemon.regions import RATE_WITHOUT_REGION, REGIONS, Region

T = TypeVar("T")


def _text(read: Callable[[str], T]) -> Callable[[object], T]:
    def of_text(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("write text in quotes")  # noqa: TRY004 - pydantic collects ValueError only
        return read(value)

    return of_text


def _between(low: float, high: float) -> Callable[[float], float]:
    def check(value: float) -> float:
        if value < low:
            raise ValueError(f'{forms.spoken(value)} is too short; write at least "{forms.spoken(low)}"')
        if value > high:
            raise ValueError(f'{forms.spoken(value)} is too long; write at most "{forms.spoken(high)}"')
        return value

    return check


def _folder(info: ValidationInfo) -> Path | None:
    context: Mapping[str, Path] = info.context or {}
    return context.get("folder")


def _read_secret(value: object, info: ValidationInfo) -> Secret:
    return parse(value, _folder(info))


def _read_database(value: str, info: ValidationInfo) -> str:
    return forms.database_url(value, _folder(info))


def _read_path(value: str, info: ValidationInfo) -> str:
    if not value or "\0" in value:
        raise ValueError("the path is empty; write the path of a file")
    return str((_folder(info) or Path()).absolute() / value)


def _header(value: str) -> str:
    if not value or len(value) > 256 or not value.isascii() or not value.isprintable():
        raise ValueError("it does not fit a header; write 1 to 256 plain ASCII characters")
    return value


_RATES = ", ".join(f"{region.name}: {region.default_rate:g}" for region in REGIONS.values())
_YEARS = 3650 * 86400.0
_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
Duration = Annotated[float, BeforeValidator(_text(forms.seconds))]
SecretKey = Annotated[Secret, PlainValidator(_read_secret), PlainSerializer(lambda _: "***")]
Name = Annotated[str, AfterValidator(forms.name)]
Words = Annotated[tuple[str, ...], _AS_TUPLE]
Endpoint = Annotated[str, AfterValidator(forms.endpoint)]
EventName = Annotated[Event, BeforeValidator(_text(forms.job_event))]
Events = Annotated[tuple[EventName, ...], _AS_TUPLE]
KindName = Annotated[str, BeforeValidator(_text(forms.listed_kind))]
StateName = Annotated[State, BeforeValidator(_text(forms.state))]
Word = Annotated[str, BeforeValidator(_text(forms.word))]
Pattern = Annotated[str, BeforeValidator(_text(forms.pattern))]
RUNNING = tuple(state for state in State if state not in TERMINAL)
"""The states of a job that has not ended."""


def _key(about: str, *, toml: str, default: Any = ..., usual: str | None = None, **limits: Any) -> Any:
    """One key: what it does, an example in TOML, its default, and (`usual`) how docs put that default."""
    extra: dict[str, Any] = {"toml": toml, "usual": usual}
    return Field(default, description=about, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing converted silently, nothing shown in errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        validate_default=True,
    )


class Database(Section):
    """Where wrapd keeps jobs, transitions and deliveries."""

    url: Annotated[str, AfterValidator(_read_database)] = _key(
        "The SQLite file. Three slashes: a path from the folder of this config file. Four: from the root.",
        toml='"sqlite:///wrapd.db"',
        default="sqlite:///wrapd.db",
    )
    auto_migrate: bool = _key(
        "Bring an older database to this program's schema at start. With false, `wrapd db upgrade` does it.",
        toml="true",
        default=True,
    )

    @property
    def path(self) -> Path:
        """The SQLite file, absolute."""
        return Path(self.url.removeprefix("sqlite:///"))


class Polling(Section):
    """When the API is asked about which jobs."""

    price: Annotated[Duration, AfterValidator(_between(0.01, 3600))] = _key(
        "How many seconds of delay a request is worth. A job is asked about when the delay that is to be expected "
        "without asking reaches this: with less, wrapd asks more often and knows sooner. It rises by itself while "
        "there are more jobs than the request budget allows for.",
        toml='"1s"',
        default="1s",
    )
    strategy: Literal["learned", "fixed"] = _key(
        '"learned" asks when jobs like it usually end, by the production times seen so far; "fixed" asks in steps '
        "that grow with the time a job has been in its state, whatever was learned.",
        toml='"learned"',
        default="learned",
    )
    feed: Literal["auto", "off"] = _key(
        '"auto": the list of the jobs that ended last tells of all ends at once, for as long as it proves to be '
        'complete; "off" never asks for it.',
        toml='"auto"',
        default="auto",
    )
    batch: Literal["auto", "off"] = _key(
        '"auto": up to 100 jobs are asked about in one request, for as long as the service answers as it should; '
        '"off" asks about each job by itself.',
        toml='"auto"',
        default="auto",
    )
    min_interval: Annotated[Duration, AfterValidator(_between(0.1, _YEARS))] = _key(
        "The least time between two looks at a job; from 100ms on. A default gives way to a given max_interval.",
        toml='"1s"',
        default="1s",
    )
    max_interval: Annotated[Duration, AfterValidator(_between(0.1, _YEARS))] = _key(
        "The most time between two looks at a job that waits or is produced. Where the list of ended jobs carries "
        "the news, and there are very many jobs, a second for each 100 of them.",
        toml='"60s"',
        default="60s",
    )
    blocked_interval: Annotated[Duration, AfterValidator(_between(0.1, _YEARS))] = _key(
        "The most time between two looks at a frozen job (state BLOCK).", toml='"10m"', default="10m"
    )
    not_found_grace: Duration = _key(
        "For how long the service may say that it does not know a job before the job counts as lost.",
        toml='"10m"',
        default="10m",
    )
    give_up_after: Annotated[Duration, AfterValidator(_between(0.1, _YEARS))] = _key(
        "A job that has not ended this long after it was tracked expires: wrapd says so and stops asking.",
        toml='"14d"',
        default="14d",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_give_way(cls, tree: Any) -> Any:
        """A given interval moves the others' defaults, so that one key alone never contradicts a default."""
        if not isinstance(tree, dict):
            return tree
        least = _quiet_seconds(tree.get("min_interval"))
        others = [_quiet_seconds(tree.get(key)) for key in ("max_interval", "blocked_interval")]
        moved = dict(tree)
        if "min_interval" not in tree:
            moved["min_interval"] = forms.spoken(min([1.0, *(each for each in others if each)]))
        if least is not None:
            moved.setdefault("max_interval", forms.spoken(max(60.0, least)))
            moved.setdefault("blocked_interval", forms.spoken(max(600.0, least)))
        return moved

    @property
    def rails(self) -> Rails:
        """The intervals as the plan takes them."""
        return Rails(
            min_interval=self.min_interval,
            max_interval=self.max_interval,
            blocked_interval=self.blocked_interval,
        )


def _quiet_seconds(value: object) -> float | None:
    """The duration, or None where there is none or a wrong one (which is reported elsewhere)."""
    try:
        return forms.seconds(value) if isinstance(value, str) else None
    except ValueError:
        return None


class Web(Section):
    """The daemon's pages for machines: /healthz, /readyz, /metrics."""

    enabled: bool = _key("Whether the daemon listens at all.", toml="true", default=True)
    listen: Annotated[forms.Listen, PlainValidator(_text(forms.listen))] = _key(
        "Address and port, of this machine only. Port 0 takes a free one and logs it.",
        toml='"127.0.0.1:8787"',
        default="127.0.0.1:8787",
    )


class Log(Section):
    """What the daemon writes to standard error."""

    level: Level = _key(
        'The least level that is written: "debug", "info", "warning" or "error".', toml='"info"', default="info"
    )
    format: Format = _key(
        '"text" for people, "json" for machines: one object for each line.', toml='"text"', default="text"
    )


class Notify(Section):
    """How alerts are sent."""

    send_timeout: Annotated[Duration, AfterValidator(_between(1, 600))] = _key(
        "The most time that one send may take, all in all.", toml='"20s"', default="20s"
    )
    give_up_after: Annotated[Duration, AfterValidator(_between(1, _YEARS))] = _key(
        "For how long a send that fails is tried again before the delivery is dead. A dead one stays to be "
        "seen, and `wrapd deliveries retry` sends it.",
        toml='"7d"',
        default="7d",
    )


_IAM = _key(
    "The identity service, where tokens and project ids come from. https://, or http:// to this machine.",
    toml='"https://iam.cn-north-4.myhuaweicloud.com"',
    default=None,
    usual="that of the region",
)


class AkSkAuth(Section):
    """Requests are signed with an access key (SDK-HMAC-SHA256)."""

    method: Literal["aksk"] = _key("The way.", toml='"aksk"')
    access_key: SecretKey | None = _key(
        "The access key (AK).",
        toml='{ env = "HUAWEICLOUD_SDK_AK" }',
        default=None,
        usual="HUAWEICLOUD_SDK_AK of the environment, else `ak` of the SDK's credentials file",
    )
    secret_key: SecretKey | None = _key(
        "The secret key (SK).",
        toml='{ env = "HUAWEICLOUD_SDK_SK" }',
        default=None,
        usual="HUAWEICLOUD_SDK_SK of the environment, else `sk` of the SDK's credentials file",
    )
    security_token: SecretKey | None = _key(
        "The security token that comes with temporary keys.",
        toml='{ env = "HUAWEICLOUD_SDK_SECURITY_TOKEN" }',
        default=None,
        usual="none; where the keys come from the environment or the SDK's file, that of the same place",
    )
    iam_endpoint: Endpoint | None = _IAM


class TokenAuth(Section):
    """Requests carry a token that somebody else fetches."""

    method: Literal["token"] = _key("The way.", toml='"token"')
    token: SecretKey = _key("The IAM token.", toml='{ file = "/run/secrets/token" }')
    iam_endpoint: Endpoint | None = _IAM


class PasswordAuth(Section):
    """wrapd fetches its tokens itself, with the password of an IAM user, and renews them before they end."""

    method: Literal["password"] = _key("The way.", toml='"password"')
    iam_endpoint: Endpoint | None = _IAM
    domain: str = _key("The account (domain) of the IAM user.", toml='"my-account"', min_length=1)
    user: str = _key("The name of the IAM user.", toml='"wrapd"', min_length=1)
    password: SecretKey = _key("The password of the IAM user.", toml='{ env = "WRAPD_PASSWORD" }')


Auth = AkSkAuth | TokenAuth | PasswordAuth


class Discovery(Section):
    """Takes the project's jobs from the service's list, so that nobody has to `wrapd track` them. Off without this
    section. The first look takes the jobs that fit `states`; each later one takes what was created since the last,
    in whatever state it is by then, so that no job is missed that is created and ends between two looks (nor while
    wrapd is down, for as long as `since` reaches back). Jobs that wrapd knows are left as they are: one that was
    untracked stays so. Its requests come from the project's budget, after news."""

    enabled: bool = _key("Whether it is on.", toml="true", default=True)
    interval: Annotated[Duration, AfterValidator(_between(1, 86400))] = _key(
        "The time between two looks.", toml='"1m"', default="1m"
    )
    kinds: Annotated[tuple[KindName, ...], _AS_TUPLE, Field(min_length=1)] = _key(
        "The kinds of jobs to take; these are all that the service lists.",
        toml="[" + ", ".join(f'"{kind}"' for kind in forms.LISTED_KINDS) + "]",
        default=forms.LISTED_KINDS,
    )
    states: Annotated[tuple[StateName, ...], _AS_TUPLE, Field(min_length=1)] = _key(
        "The states in which the first look takes a job (and one look in each hour, for what was listed late).",
        toml="[" + ", ".join(f'"{state}"' for state in RUNNING) + "]",
        default=tuple(map(str, RUNNING)),
    )
    since: Annotated[Duration, AfterValidator(_between(60, _YEARS))] = _key(
        "How old a job may be, counted from its creation.", toml='"24h"', default="24h"
    )
    name: Pattern | None = _key(
        "Only jobs whose video's name fits wholly: `*` stands for any characters, `?` for one, `[ab]` for a or b.",
        toml='"promo *"',
        default=None,
        usual="any name, and none",
    )
    tags: Annotated[tuple[Word, ...], _AS_TUPLE, Field(max_length=forms.MAX_TAGS)] = _key(
        "Tags for what is found.", toml='["found"]', default=(), usual="none"
    )
    batch: Word | None = _key("The batch for what is found.", toml='"nightly"', default=None, usual="none")


class Project(Section):
    """One MetaStudio project. The name after the dot is yours: commands and alerts use it."""

    region: Annotated[str, AfterValidator(forms.region)] | None = _key(
        f"The region: {', '.join(REGIONS)}. It gives the endpoints and the documented limits.",
        toml='"cn-north-4"',
        default=None,
        usual="none; one of region and endpoint is needed",
    )
    endpoint: Endpoint | None = _key(
        "The API's address, where it is not the region's own. https://, or http:// to this machine.",
        toml='"https://metastudio.cn-north-4.myhuaweicloud.com"',
        default=None,
        usual="that of the region",
    )
    project_id: Annotated[str, AfterValidator(forms.project_id)] | None = _key(
        "The project's id.",
        toml='"0123456789abcdef0123456789abcdef"',
        default=None,
        usual="where this is the only project and its keys come from the environment or the SDK's credentials "
        "file, the one named there; else it is looked up by the region",
    )
    requests_per_second: float | None = _key(
        "The most requests a second, of all sorts together. The documented limit counts for the whole tenant: "
        "leave some for other programs.",
        toml="5",
        default=None,
        usual=f"half of the region's limit ({_RATES}); {RATE_WITHOUT_REGION:g} without a region",
        gt=0,
        le=1000,
    )
    max_in_flight: int = _key("The most requests under way at once.", toml="16", default=16, ge=1, le=1024)
    proxy: SecretKey | None = _key(
        "An HTTP proxy for this project's requests, http://HOST:PORT; a secret, since it may hold a password.",
        toml='"http://proxy.example.com:3128"',
        default=None,
        usual="that of the environment (HTTPS_PROXY, HTTP_PROXY; NO_PROXY counts); none for this machine",
    )
    ca_file: Annotated[str, AfterValidator(_read_path)] | None = _key(
        "A PEM file with the certificates to trust instead of the system's. A relative path counts from the "
        "folder of this config file.",
        toml='"/etc/ssl/company-ca.pem"',
        default=None,
        usual="the system's certificates",
    )
    app_user_id: Annotated[str, AfterValidator(_header)] | None = _key(
        "Sent as the header X-App-UserId, for accounts with end users of their own.",
        toml='"user-1"',
        default=None,
        usual="none",
    )
    auth: Annotated[Auth, Field(discriminator="method")] = _key(
        'How wrapd proves who it is: `method` is "aksk", "token" or "password", and each has its own keys.',
        toml='{ method = "aksk", access_key = { env = "HUAWEICLOUD_SDK_AK" }, '
        'secret_key = { env = "HUAWEICLOUD_SDK_SK" } }',
        default={"method": "aksk"},
        usual='{ method = "aksk" } with the keys that the official SDK would find',
    )
    discovery: Discovery | None = None

    @property
    def place(self) -> Region | None:
        """The row of the region table, None where only an endpoint is given."""
        return None if self.region is None else REGIONS[self.region]

    @property
    def rate(self) -> float:
        """Requests per second, given or by default."""
        if self.requests_per_second is not None:
            return self.requests_per_second
        return RATE_WITHOUT_REGION if self.place is None else self.place.default_rate

    @property
    def base_url(self) -> str:
        """The API's address, given or the region's."""
        if self.endpoint is not None:
            return self.endpoint
        assert self.place is not None, "load() refuses a project with neither"
        return self.place.endpoint

    @property
    def iam_url(self) -> str | None:
        """The identity service's address, given or the region's; None where neither is known."""
        if self.auth.iam_endpoint is not None:
            return self.auth.iam_endpoint
        return None if self.place is None else self.place.iam_endpoint


class Channel(Section):
    """One destination of alerts. The name after the dot is yours: routes and commands use it."""

    url: SecretKey = _key(
        "Any Apprise URL (https://github.com/caronc/apprise/wiki). It is a credential: rather name a variable or "
        "a file than write it here.",
        toml='{ env = "WRAPD_EDITORS_URL" }',
    )
    timezone: Annotated[str, AfterValidator(forms.timezone)] = _key(
        "The time zone of the times in this channel's messages, by its name in the tz database.",
        toml='"UTC"',
        default="UTC",
    )


class Route(Section):
    """Which events go to which channels. Without any route, every channel gets:"""

    events: Annotated[Events, Field(min_length=1)] = _key(
        "Names of job events; docs/events.md explains them.",
        toml="[" + ", ".join(f'"{event.value}"' for event in DEFAULT_EVENTS) + "]",
    )
    channels: Annotated[Words, Field(min_length=1)] = _key("Names of channels.", toml='["editors"]')


Route.__doc__ = (
    "Which events go to which channels. Several routes add up. Without any route, every channel gets "
    f"{', '.join(event.value for event in DEFAULT_EVENTS)}."
)


class Config(Section):
    """The whole config."""

    operators: Words | None = _key(
        "The channels that hear of wrapd's own troubles (project_down, auth_failed, channel_held, …). It stands "
        "above the first section. An empty list: nobody.",
        toml='["editors"]',
        default=None,
        usual="every channel",
    )
    database: Database = Field(default_factory=dict, validate_default=True)
    polling: Polling = Field(default_factory=dict, validate_default=True)
    notify: Notify = Field(default_factory=dict, validate_default=True)
    web: Web = Field(default_factory=dict, validate_default=True)
    log: Log = Field(default_factory=dict, validate_default=True)
    projects: dict[Name, Project] = Field(default_factory=dict)
    channels: dict[Name, Channel] = Field(default_factory=dict)
    routes: Annotated[tuple[Route, ...], _AS_TUPLE] = ()
    _source: Path = PrivateAttr(default=Path())

    @property
    def source(self) -> Path:
        """The file that this came from."""
        return self._source

    def routing(self) -> domain_routing.Routing:
        """Where each event goes."""
        return domain_routing.routing(
            [
                domain_routing.Route(
                    events=frozenset(route.events), channels=tuple(ChannelName(each) for each in route.channels)
                )
                for route in self.routes
            ],
            operators=None if self.operators is None else [ChannelName(each) for each in self.operators],
            channels=[ChannelName(each) for each in self.channels],
        )

    def project(self, name: str) -> Project:
        """The project of that name. Raises UnknownName."""
        if name not in self.projects:
            raise UnknownName(f"no project is called {forms.shown(name)}; {forms.suggestion(name, self.projects)}")
        return self.projects[name]

    def channel(self, name: str) -> Channel:
        """The channel of that name. Raises UnknownName."""
        if name not in self.channels:
            raise UnknownName(f"no channel is called {forms.shown(name)}; {forms.suggestion(name, self.channels)}")
        return self.channels[name]
