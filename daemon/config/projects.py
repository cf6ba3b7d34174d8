"""The config sections of a project: its identity, authentication and discovery. Never reads a file or a secret."""

from typing import Literal, get_args

from daemon.config import values
from daemon.config.delivery import Callback
from daemon.config.keys import (
    ENDPOINT,
    PATH,
    PATTERN,
    RATES,
    WORD,
    YEARS,
    Parsing,
    Place,
    RawFault,
    Section,
    duration,
    filled,
    flag,
    header,
    key,
    number,
    one_of,
    reader,
    secret,
    section,
    shape_of,
    some,
    text,
    whole,
)
from daemon.config.secrets import Secret
from daemon.domain.states import TERMINAL, State
from daemon.domain.text import MAX_TAGS
from daemon.regions import RATE_WITHOUT_REGION, REGIONS, Region

_IAM: str | None = key(
    ENDPOINT,
    "The identity service, which issues tokens and looks up project ids. https://, or http:// to this machine.",
    toml='"https://iam.cn-north-4.myhuaweicloud.com"',
    default=None,
    usual="the region's",
)


class AkSkAuth(Section):
    """Requests are signed with an access key (SDK-HMAC-SHA256)."""

    method: Literal["aksk"] = key(one_of(("aksk",)), "The method.", toml='"aksk"')
    access_key: Secret | None = key(
        secret,
        "The access key (AK).",
        toml='{ env = "HUAWEICLOUD_SDK_AK" }',
        default=None,
        usual="HUAWEICLOUD_SDK_AK from the environment, else `ak` from the SDK's credentials file",
    )
    secret_key: Secret | None = key(
        secret,
        "The secret key (SK).",
        toml='{ env = "HUAWEICLOUD_SDK_SK" }',
        default=None,
        usual="HUAWEICLOUD_SDK_SK from the environment, else `sk` from the SDK's credentials file",
    )
    security_token: Secret | None = key(
        secret,
        "The security token of temporary keys.",
        toml='{ env = "HUAWEICLOUD_SDK_SECURITY_TOKEN" }',
        default=None,
        usual="none; if the keys come from the environment or the SDK's file, the token from the same place",
    )
    iam_endpoint: str | None = _IAM


class TokenAuth(Section):
    """Requests carry a token that another program fetches."""

    method: Literal["token"] = key(one_of(("token",)), "The method.", toml='"token"')
    token: Secret = key(secret, "The IAM token.", toml='{ file = "/run/secrets/token" }')
    iam_endpoint: str | None = _IAM


class PasswordAuth(Section):
    """wrapd fetches its tokens itself, with the password of an IAM user, and renews them before they expire."""

    method: Literal["password"] = key(one_of(("password",)), "The method.", toml='"password"')
    iam_endpoint: str | None = _IAM
    domain: str = key(text(filled), "The account (domain) of the IAM user.", toml='"my-account"')
    user: str = key(text(filled), "The name of the IAM user.", toml='"wrapd"')
    password: Secret = key(secret, "The password of the IAM user.", toml='{ env = "WRAPD_PASSWORD" }')


Auth = AkSkAuth | TokenAuth | PasswordAuth
METHODS: dict[str, type[Auth]] = {"aksk": AkSkAuth, "token": TokenAuth, "password": PasswordAuth}
"""The models of `auth`, by their method."""
assert set(METHODS.values()) == set(get_args(Auth)), "every method has a row"


@reader(oneOf=[shape_of(model.read) for model in METHODS.values()])
def _auth(value: object, place: Place, parsing: Parsing) -> Auth:
    """The section of the method that its key `method` names."""
    if not isinstance(value, dict):
        return AkSkAuth.read(value, place, parsing)  # which records the fault
    chosen = value.get("method")
    model = METHODS.get(chosen) if isinstance(chosen, str) else None
    if model is None:
        parsing.wrong.append(RawFault(place, "method"))
        return AkSkAuth({})
    return model.read(value, place, parsing)


RUNNING = tuple(state for state in State if state not in TERMINAL)
"""The states of jobs that have not ended."""


class Discovery(Section):
    """Tracks the project's jobs from the service's list, without `wrapd track`. Off without this section. The
    first run takes jobs in one of `states`. Each later run takes every job created since the last one, whatever
    its state, so that jobs that are created and end between two runs are not missed, nor those of a time when
    wrapd was down, as far back as `since`. Known jobs are not changed: an untracked one stays untracked. Requests
    count towards the project's budget, after polls for news."""

    enabled: bool = key(flag, "Whether discovery is on.", toml="true", default=True)
    interval: float = key(duration(1, 86400), "The time between two runs.", toml='"1m"', default="1m")
    kinds: tuple[str, ...] = key(
        some(text(values.listed_kind), least=1),
        "The kinds of jobs to take; the example has all that the service lists.",
        toml="[" + ", ".join(f'"{kind}"' for kind in values.LISTED_KINDS) + "]",
        default=values.LISTED_KINDS,
    )
    states: tuple[State, ...] = key(
        some(text(values.state), least=1),
        "The states of jobs to take in the first run, and in one run per hour for jobs that were listed late.",
        toml="[" + ", ".join(f'"{state}"' for state in RUNNING) + "]",
        default=tuple(map(str, RUNNING)),
    )
    since: float = key(
        duration(60, YEARS), "The maximum age of a job, counted from its creation.", toml='"24h"', default="24h"
    )
    name: str | None = key(
        PATTERN,
        "Only jobs whose entire video name matches: `*` stands for any characters, `?` for one, `[ab]` for a or "
        "b.",
        toml='"promo *"',
        default=None,
        usual="any name or none",
    )
    tags: tuple[str, ...] = key(
        some(WORD, most=MAX_TAGS), "Tags for discovered jobs.", toml='["found"]', default=(), usual="none"
    )
    batch: str | None = key(WORD, "The batch for discovered jobs.", toml='"nightly"', default=None, usual="none")


class Project(Section):
    """One MetaStudio project. Choose any name after the dot; commands and alerts use it."""

    region: str | None = key(
        text(values.region),
        f"The region: {', '.join(REGIONS)}. It determines the endpoints and the documented limits.",
        toml='"cn-north-4"',
        default=None,
        usual="none; region or endpoint is required",
    )
    endpoint: str | None = key(
        ENDPOINT,
        "The API's address, if it is not the region's. https://, or http:// to this machine.",
        toml='"https://metastudio.cn-north-4.myhuaweicloud.com"',
        default=None,
        usual="the region's",
    )
    project_id: str | None = key(
        text(values.project_id),
        "The project's id.",
        toml='"0123456789abcdef0123456789abcdef"',
        default=None,
        usual="if this is the only project and its keys come from the environment or the SDK's credentials file, "
        "the id given there; else it is looked up by the region",
    )
    requests_per_second: float | None = key(
        number(above=0, most=1000),
        "The maximum number of requests per second, of all types together. The documented limit applies to the "
        "entire tenant: leave some for other programs.",
        toml="5",
        default=None,
        usual=f"half of the region's limit ({RATES}); {RATE_WITHOUT_REGION:g} without a region",
    )
    max_in_flight: int = key(
        whole(least=1, most=1024), "The maximum number of concurrent requests.", toml="16", default=16
    )
    proxy: Secret | None = key(
        secret,
        "An HTTP proxy for this project's requests, http://HOST:PORT; a secret: it may contain a password.",
        toml='"http://proxy.example.com:3128"',
        default=None,
        usual="from the environment (HTTPS_PROXY, HTTP_PROXY, except NO_PROXY); none for this machine",
    )
    ca_file: str | None = key(
        PATH,
        "A PEM file with the certificates to trust instead of the system's. A relative path starts from the "
        "folder of this config file.",
        toml='"/etc/ssl/company-ca.pem"',
        default=None,
        usual="the system's certificates",
    )
    app_user_id: str | None = key(
        text(header),
        "Sent as the header X-App-UserId, for accounts with their own end users.",
        toml='"user-1"',
        default=None,
        usual="none",
    )
    auth: Auth = key(
        _auth,
        'How wrapd authenticates: `method` is "aksk", "token" or "password", and each has its own keys.',
        toml='{ method = "aksk", access_key = { env = "HUAWEICLOUD_SDK_AK" }, '
        'secret_key = { env = "HUAWEICLOUD_SDK_SK" } }',
        default={"method": "aksk"},
        usual='{ method = "aksk" } with the keys that the official SDK would find',
    )
    discovery: Discovery | None = section(Discovery, default=None)
    callback: Callback | None = section(Callback, default=None)

    @property
    def place(self) -> Region | None:
        """The row of the region table; None if only an endpoint is given."""
        return None if self.region is None else REGIONS[self.region]

    @property
    def rate(self) -> float:
        """Requests per second, configured or by default."""
        if self.requests_per_second is not None:
            return self.requests_per_second
        return RATE_WITHOUT_REGION if self.place is None else self.place.default_rate

    @property
    def base_url(self) -> str:
        """The API's address, configured or the region's."""
        if self.endpoint is not None:
            return self.endpoint
        assert self.place is not None, "load() refuses a project with neither"
        return self.place.endpoint

    @property
    def iam_url(self) -> str | None:
        """The identity service's address, configured or the region's; None if neither is known."""
        if self.auth.iam_endpoint is not None:
            return self.auth.iam_endpoint
        return None if self.place is None else self.place.iam_endpoint
