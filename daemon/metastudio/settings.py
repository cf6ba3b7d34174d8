"""The settings of one project's client, as plain values.

Owns their validation: every `ProjectSettings` is usable. `credentials` reads files and the environment.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from daemon.addresses import Timeouts
from daemon.domain.hosts import is_loopback
from daemon.domain.jobs import PLAIN_ID, ProjectName
from daemon.errors import ConfigFault
from daemon.regions import RATE_WITHOUT_REGION, REGIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class AkSk:
    """An access key pair, with a security token if it is temporary."""

    access_key: str
    secret_key: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenToken:
    """A given IAM token, which wrapd cannot renew."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """An IAM user of a domain (account), for whom wrapd fetches tokens."""

    domain: str
    user: str
    password: str = field(repr=False)


Auth = AkSk | GivenToken | Password

_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSettings:
    """One project. `rate` is in requests per second; None means half the region's documented limit.

    `endpoint`, `iam_endpoint` and `project_id` may be None if `region` is given: they follow from it, the id by a
    lookup. Raises ConfigFault, with the place and the remedy, for unusable values.
    """

    name: ProjectName
    auth: Auth
    region: str | None = None
    endpoint: str | None = None
    iam_endpoint: str | None = None
    project_id: str | None = None
    rate: float | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    app_user_id: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)

    def __post_init__(self) -> None:
        self._check_region()
        for key, url in (("endpoint", self.endpoint), ("iam_endpoint", self.iam_endpoint)):
            if url is not None:
                self._check_endpoint(key, url)
        if self.project_id is not None and PLAIN_ID.fullmatch(self.project_id) is None:
            self._fault("project_id", "is not an id: 1 to 128 letters, digits, '_' and '-'")
        if self.rate is not None and not 0 < self.rate <= 1_000_000:
            self._fault("requests_per_second", "must be above 0")
        if self.proxy is not None and urlsplit(self.proxy).scheme not in ("http", "https"):
            self._fault("proxy", "must start with http:// or https://")
        if self.app_user_id is not None and _VISIBLE.fullmatch(self.app_user_id) is None:
            self._fault("app_user_id", "may contain only visible ASCII characters (the API accepts no others)")
        self._check_secrets()

    @property
    def api_url(self) -> str:
        """Scheme, host and port of the API."""
        if self.endpoint is not None:
            return self.endpoint.rstrip("/")
        assert self.region is not None
        return REGIONS[self.region].endpoint

    @property
    def iam_url(self) -> str | None:
        """Scheme, host and port of IAM; None if neither it nor a region is given."""
        if self.iam_endpoint is not None:
            return self.iam_endpoint.rstrip("/")
        return None if self.region is None else f"https://iam.{self.region}.myhuaweicloud.com"

    @property
    def requests_per_second(self) -> float:
        """The rate, or half the region's documented limit if none is given."""
        if self.rate is not None:
            return self.rate
        known = REGIONS.get(self.region or "")
        return RATE_WITHOUT_REGION if known is None else known.default_rate

    def _check_region(self) -> None:
        if self.region is None and self.endpoint is None:
            self._fault("region", "is missing: set it or `endpoint`")
        if self.region is not None and self.endpoint is None and self.region not in REGIONS:
            places = ", ".join(REGIONS)
            self._fault("region", f"{self.region!r} has no MetaStudio: use {places}, or set `endpoint`")
        if self.region is not None and PLAIN_ID.fullmatch(self.region) is None:
            self._fault("region", "is not a region's name")
        if self.project_id is None and self.region is None:
            self._fault("project_id", "is missing: set it, or the `region` by which it can be looked up")
        needs_iam = self.project_id is None or isinstance(self.auth, Password)
        if needs_iam and self.iam_url is None:
            self._fault("iam_endpoint", "is missing: set it or `region`")

    def _check_endpoint(self, key: str, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        if not host or parts.scheme not in ("http", "https") or not host.isascii():
            self._fault(key, "is not a URL: https://HOST or https://HOST:PORT")
        if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
            self._fault(key, "must have only a scheme, host and port: https://HOST or https://HOST:PORT")
        if parts.scheme == "http" and not is_loopback(host):
            self._fault(key, "must be https://: http:// would expose the credentials and is for loopback only")

    def _check_secrets(self) -> None:
        auth = self.auth
        if isinstance(auth, AkSk):
            values = {"access_key": auth.access_key, "secret_key": auth.secret_key}
            if auth.security_token is not None:
                values["security_token"] = auth.security_token
        elif isinstance(auth, GivenToken):
            values = {"token": auth.token}
        else:
            for key, text in (("domain", auth.domain), ("user", auth.user), ("password", auth.password)):
                if not text:
                    self._fault(f"auth.{key}", "is empty")
            return
        for key, text in values.items():
            if _VISIBLE.fullmatch(text) is None:
                self._fault(f"auth.{key}", "is empty or has a character that no key has (a space, a line end?)")

    def _fault(self, key: str, what: str) -> None:
        raise ConfigFault(f"projects.{self.name}.{key} {what}.")
