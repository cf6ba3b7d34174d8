"""One project's way to the API, with one set of settings: each request is signed, takes its permit, and ends as an
answer or an ApiError.

Owns the order of things around a request: gate, credentials, permit, exchange, verdict, pause. It must never
decide what an answer means to a job, and never try again by itself, but once where a refusal was mended (a dead
token, a clock that is off); that second request takes its own permit.
"""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, assert_never
from urllib.parse import urlsplit

from daemon.clock import Clock
from daemon.domain.jobs import DAY, JobId, Observation
from daemon.logs import LogEvent, logger
from daemon.metastudio import iam, wire, wire_list
from daemon.metastudio.auth import (
    Authenticator,
    FetchedToken,
    Pairs,
    PasswordAuth,
    SignatureAuth,
    Signer,
    Site,
    TokenAuth,
)
from daemon.metastudio.budget import Budget, Permit, Priority
from daemon.metastudio.errors import (
    ApiError,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Refused,
    Throttled,
    Unavailable,
    Unusable,
    error_of,
    error_of_transport,
    http_date,
    is_not_offered,
)
from daemon.metastudio.gate import AuthGate, Pass
from daemon.metastudio.kinds import Kind
from daemon.metastudio.listing import Listed, ListQuery, list_path
from daemon.metastudio.settings import AkSk, GivenToken, Password, ProjectSettings
from daemon.metastudio.wire_speech import expected_length
from daemon.metastudio.wire_task import Task, read_details
from daemon.transport import Answer, Request, Transport, TransportError, environment_proxy

log = logger(__name__)

OnRequest = Callable[[str, str, float], None]
"""Told of each request that went out: operation, outcome ("ok" or the error's name), seconds."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_PLAIN_HEADERS = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "wrapd"),
)
_WITH_SCRIPT = "show_script=true"
_DENIED = "APIG.0306"
"""Access denied: whoever sent this was recognized."""
_LOOK_UP_AGAIN = 5.0
"""Seconds for which a failed look-up of the project's id stands."""


class Shown(NamedTuple):
    """An answer about a job: what a poll needs of it, and the rest as it came."""

    observation: Observation
    raw: bytes
    kind: Kind

    def details(self) -> Task:
        """All of it, typed; read only when it is asked for."""
        return read_details(self.raw, at=self.kind.body_at)

    def expected_length(self) -> float | None:
        """Seconds of speech over all scenes of its script; None where it has none that tells."""
        return expected_length(self.raw, at=self.kind.body_at)


class _Call(NamedTuple):
    """One request as it is meant: its name in metrics, which server, what. `query` is canonical."""

    operation: str
    site: Site
    method: str
    path: str
    query: str = ""
    body: bytes = b""


class Session:
    """Asks the API about one project's jobs, by these settings. What outlives them (budget, gate) is given to it;
    `client.ProjectClient` explains the rest."""

    def __init__(
        self,
        settings: ProjectSettings,
        *,
        clock: Clock,
        gate: AuthGate,
        rng: random.Random,
        environ: Mapping[str, str],
        on_request: OnRequest | None,
        budget: Budget,
    ) -> None:
        self.settings = settings
        self.budget = budget
        self._clock = clock
        self._rng = rng
        self._environ = environ
        self._on_request = on_request
        self._gate = gate
        self._auth = self._authenticator()
        self._project_id = settings.project_id
        self._looking_up: asyncio.Task[str] | None = None
        self._look_up_error: ApiError | None = None
        self._look_up_again = 0.0
        self._api = self._site(settings.api_url, self._transport(settings.api_url))
        self._iam: Site | None = None
        self._assets_offered = True

    async def show_whole(self, kind: Kind, job_id: JobId, *, permit: Permit, show_script: bool = False) -> "Shown":
        """What the service says of a job now, with the whole answer."""
        project = self._project_id or await self._project()
        query = _WITH_SCRIPT if show_script else ""
        call = _Call("show", self._api, "GET", kind.path(project, job_id), query)
        answer = await self._send(call, permit)
        try:
            seen = wire.read_task(answer.body, at=kind.body_at, job_id=job_id)
        except wire.UnusableAnswer as error:
            raise self._unusable(answer, error) from None
        if seen.reported_at is not None and seen.reported_at > self._latest(answer):
            seen = replace(seen, reported_at=None)
        return Shown(seen, answer.body, kind)

    async def list(self, query: ListQuery, *, permit: Permit) -> Listed:
        """A page of the project's videos. A job that is missing from it may still exist: ask for it singly."""
        project = self._project_id or await self._project()
        answer = await self._send(_Call("list", self._api, "GET", list_path(project), query.wire()), permit)
        try:
            server_time, latest = self._server_time(answer), self._latest(answer)
            return wire_list.read_list(answer.body, server_time=server_time, latest=latest)
        except wire.UnusableAnswer as error:
            raise self._unusable(answer, error) from None

    async def download_url(self, asset_id: str, *, permit: Permit, timeout: float) -> str | None:  # noqa: ASYNC109
        """The link of an asset's main file (valid 24 h); None where the endpoint offers none, or there is none.

        Takes at most `timeout` seconds, all waiting included.
        """
        if not self._assets_offered or _PLAIN_ID.fullmatch(asset_id) is None:
            return None
        try:
            async with asyncio.timeout(timeout):
                path = f"/v1/{await self._project()}/digital-assets/{asset_id}"
                call = _Call(operation="show_asset", site=self._api, method="GET", path=path)
                answer = await self._send(call, permit)
            return wire.read_main_file(answer.body)
        except TimeoutError:
            raise Unavailable(f"no answer about the asset within {timeout:g} s") from None
        except wire.UnusableAnswer as error:
            raise self._unusable(answer, error) from None
        except ApiError as error:
            if isinstance(error, JobNotFound):
                return None
            if not is_not_offered(error):
                raise
            self._assets_offered = False
            log.warning(LogEvent.FEATURE_OFF, project=self.settings.name, feature="asset download links")
            return None

    async def aclose(self) -> None:
        """Give up what is under way and close all connections."""
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.wait([self._looking_up])
        await self._auth.aclose()
        await self._api.transport.aclose()
        if self._iam is not None:
            await self._iam.transport.aclose()

    async def _send(self, call: _Call, permit: Permit) -> Answer:
        """A good answer (2xx, an object). Tries a second time where a refusal was mended."""
        answer = await self._attempt(call, permit, at_once=False)
        if answer is None:
            again = await self.budget.take(permit.priority)
            answer = await self._attempt(call, again, at_once=True)
            assert answer is not None
        return answer

    async def _attempt(self, call: _Call, permit: Permit, *, at_once: bool) -> Answer | None:
        """A good answer; None where it was refused for a reason that is mended now (not if `at_once`)."""
        gate, auth = self._gate, self._auth
        given = gate.open_pass
        if given is None or not auth.ready:
            given = await self._admitted(at_once=at_once)
        try:
            if not self.budget.is_fresh(permit):  # waiting took its time: requests must not pile up behind it
                permit = await self.budget.take(permit.priority)
            headers = auth.headers(call.site, call.method, call.path, call.query, call.body)
            proven, sent = not given.probe, gate.sent()
            answer = await self._sent_with(given, call, headers, permit)
            if answer.status < 300 and wire.looks_like_object(answer.body):
                gate.accepted(given, sent)
                return answer
            error = self._error(answer)
            if not isinstance(error, AuthRefused):
                if _proves_credentials(error):
                    gate.accepted(given, sent)
                else:
                    gate.unclear(given)
                raise error
            mended = not at_once and auth.mend(answer, headers, proven=proven)
            if auth.counts_mended or not mended:
                error.key_works = not gate.refused(given, sent)
            if not mended:
                log.warning(LogEvent.AUTH_REFUSED, project=self.settings.name, error=error)
                raise error
            return None
        finally:
            gate.release(given)

    async def _admitted(self, *, at_once: bool) -> Pass:
        """A pass, with credentials ready to use."""
        gate, auth = self._gate, self._auth
        given = await gate.enter(at_once=at_once)
        if auth.ready:
            return given
        try:
            await auth.prepare()
        except BaseException:
            gate.release(given)
            raise
        if given.probe or given is gate.open_pass:
            return given
        return await gate.enter(at_once=at_once)  # the new credentials are to be proven first, by one request

    async def _sent_with(self, given: Pass, call: _Call, headers: Pairs, permit: Permit) -> Answer:
        try:
            return await self._exchange(call, headers, permit)
        except ApiError:
            self._gate.unclear(given)
            raise

    async def _exchange(self, call: _Call, headers: Pairs, permit: Permit) -> Answer:
        began = self._clock.monotonic()
        permit.spend(began)
        target = f"{call.path}?{call.query}" if call.query else call.path
        request = Request(method=call.method, target=target, headers=headers, body=call.body)
        try:
            answer = await call.site.transport.exchange(request)
        except TransportError as failure:
            error = error_of_transport(failure)
            self._tell(call.operation, type(error).__name__, began)
            raise error from failure
        finally:
            self.budget.answered(permit, sent_at=began, now=self._clock.monotonic())
        outcome = "ok" if answer.status < 300 else str(answer.status)
        self._tell(call.operation, outcome, began)
        return answer

    def _tell(self, operation: str, outcome: str, began: float) -> None:
        if self._on_request is not None:
            self._on_request(operation, outcome, self._clock.monotonic() - began)

    def _error(self, answer: Answer) -> ApiError:
        """What a bad answer means; where it was too fast the project's budget pauses for as long as the service
        asks, and slows down."""
        error = error_of(answer, now=self._clock.now(), rng=self._rng)
        now = self._clock.monotonic()
        if isinstance(error, Throttled):
            self.budget.pause_until(now + (error.retry_after or 0.0))
            self.budget.throttled(now)
        return error

    def _server_time(self, answer: Answer) -> datetime | None:
        """The service's clock when it answered; None where it does not tell, or is a day away from ours."""
        told = http_date(answer.headers.get("date"))
        return told if told is not None and abs(told - self._clock.now()) <= DAY else None

    def _latest(self, answer: Answer) -> datetime:
        """The latest update that an answer can truly tell of."""
        return (self._server_time(answer) or self._clock.now()) + DAY

    def _unusable(self, answer: Answer, why: wire.UnusableAnswer) -> ApiError:
        error = self._error(answer)
        if isinstance(error, Unusable) and error.error_code is None:
            error.what = str(why)
        return error

    async def _project(self) -> str:
        """The project's id, looked up once by all who need it. Raises ApiError."""
        if self._project_id is not None:
            return self._project_id
        now = self._clock.monotonic()
        if self._look_up_error is not None and now < self._look_up_again:
            raise self._look_up_error
        if self._looking_up is None:
            self._looking_up = asyncio.create_task(self._look_up(), name="project")
            self._looking_up.add_done_callback(self._looked_up)
        return await asyncio.shield(self._looking_up)

    async def _look_up(self) -> str:
        region = self.settings.region
        assert region is not None
        if isinstance(self._auth, PasswordAuth):
            if not self._auth.ready:
                self._gate.release(await self._admitted(at_once=False))
            found = self._auth.project_id
            if found is not None:
                return found
        call = _Call(
            operation="find_project",
            site=self._iam_site(),
            method="GET",
            path=iam.PROJECTS_PATH,
            query=iam.projects_query(region),
        )
        try:
            answer = await self._send(call, await self.budget.take(Priority.NEWS))
        except ApiError as error:
            raise _of_iam(error) from error
        return iam.read_project_id(answer, region)

    def _looked_up(self, task: asyncio.Task[str]) -> None:
        self._looking_up = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._project_id = task.result()
            self._api = self._site(self.settings.api_url, self._api.transport)
        else:
            if not isinstance(error, ApiError):
                error = Unavailable("IAM's last answer broke wrapd: see the log")
            self._look_up_error = error
            self._look_up_again = self._clock.monotonic() + max(_LOOK_UP_AGAIN, error.retry_after or 0.0)

    async def _fetch_token(self, user: Password) -> FetchedToken:
        """Ask IAM for a token. A refusal counts at the gate: it is the password's."""
        scope = iam.TokenScope(project_id=self.settings.project_id, region=self.settings.region)
        call = _Call(
            operation="fetch_token",
            site=self._iam_site(),
            method="POST",
            path=iam.TOKENS_PATH,
            body=iam.token_request(user, scope),
        )
        headers = [*call.site.signed, *call.site.plain, ("Content-Type", "application/json")]
        answer = await self._exchange(call, headers, await self.budget.take(Priority.NEWS))
        if answer.status < 300:
            return iam.read_token(answer, now=self._clock.now())
        error = self._error(answer)
        if isinstance(error, AuthRefused):
            log.warning(LogEvent.AUTH_REFUSED, project=self.settings.name, error=error)
            self._gate.count_refusal()
        raise _of_iam(error)

    def _authenticator(self) -> Authenticator:
        auth = self.settings.auth
        match auth:
            case AkSk():
                return SignatureAuth(Signer(auth.access_key, auth.secret_key), self._clock, self._gate)
            case GivenToken():
                return TokenAuth(auth.token)
            case Password():
                return PasswordAuth(lambda: self._fetch_token(auth), self._clock, self._gate)
            case _:
                assert_never(auth)

    def _iam_site(self) -> Site:
        if self._iam is None:
            url = self.settings.iam_url
            assert url is not None
            self._iam = self._site(url, self._transport(url), of_project=False)
        return self._iam

    def _site(self, url: str, transport: Transport, *, of_project: bool = True) -> Site:
        signed = [("Host", urlsplit(url).netloc)]
        if of_project and self._project_id is not None:
            signed.append(("X-Project-Id", self._project_id))
        if of_project and self.settings.app_user_id is not None:
            signed.append(("X-App-UserId", self.settings.app_user_id))
        if isinstance(self.settings.auth, AkSk) and self.settings.auth.security_token is not None:
            signed.append(("X-Security-Token", self.settings.auth.security_token))
        return Site(transport, signed=signed, plain=_PLAIN_HEADERS)

    def _transport(self, url: str) -> Transport:
        proxy = self.settings.proxy
        if proxy is None:
            proxy = environment_proxy(url, self._environ)
        return Transport(url, timeouts=self.settings.timeouts, proxy=proxy, ca_file=self.settings.ca_file)


def _proves_credentials(error: ApiError) -> bool:
    """Whether an error shows that the sender was recognized: the service itself speaks, or the gateway denies."""
    code = error.error_code or ""
    return code == _DENIED or code.startswith("MSS.")


def _of_iam(error: ApiError) -> ApiError:
    """The same error, said of IAM: nothing that IAM answers is about a job."""
    if not isinstance(error, JobNotFound | Refused):
        error.what = f"IAM: {error.what}"
        return error
    return ProjectFault(
        "IAM refuses; check `iam_endpoint`, `region` and the user's name",
        status=error.status,
        error_code=error.error_code,
        error_msg=error.error_msg,
        request_id=error.request_id,
        retry_after=error.retry_after,
    )
