"""Requests to the API with one set of settings. Each one ends as an answer or an ApiError.

Owns the sequence of a request: gate, credentials, permit, exchange, result, pause. What an answer means for a job
is left to others. A request is retried only once, and only if the cause of a refusal was fixed (an expired token,
a wrong clock); the second request takes its own permit.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, assert_never
from urllib.parse import urlsplit

from daemon.clock import Clock
from daemon.domain.jobs import DAY, PLAIN_ID, JobId, Observation
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
"""Called for each request that was sent: operation, outcome ("ok", an HTTP status or an error's name), seconds."""

_PLAIN_HEADERS = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "wrapd"),
)
_WITH_SCRIPT = "show_script=true"
_DENIED = "APIG.0306"
"""Access denied: the gateway recognized the sender."""
_LOOK_UP_AGAIN = 5.0
"""Seconds until a failed lookup of the project's id is repeated."""


class Shown(NamedTuple):
    """An answer about a job: the observation for a poll, and the raw body."""

    observation: Observation
    raw: bytes
    kind: Kind

    def details(self) -> Task:
        """Decode the complete answer."""
        return read_details(self.raw, at=self.kind.body_at)

    def kept(self) -> str:
        """Return the answer as it may be kept: see `wire.kept_answer`."""
        return wire.kept_answer(self.raw, at=self.kind.body_at)

    def expected_length(self) -> float | None:
        """Seconds of speech in all scenes of its script; None if unknown."""
        return expected_length(self.raw, at=self.kind.body_at)


class _Call(NamedTuple):
    """One request before authentication. `operation` is its name in metrics; `query` is canonical."""

    operation: str
    site: Site
    method: str
    path: str
    query: str = ""
    body: bytes = b""


class Session:
    """Queries the API about one project's jobs with fixed settings. Budget and gate outlive it; see
    `client.ProjectClient`."""

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
        """Query a job and return the complete answer."""
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
        """Query a page of the project's videos. A job missing from it may still exist: query it singly."""
        project = self._project_id or await self._project()
        answer = await self._send(_Call("list", self._api, "GET", list_path(project), query.wire()), permit)
        try:
            server_time, latest = self._server_time(answer), self._latest(answer)
            return wire_list.read_list(answer.body, server_time=server_time, latest=latest)
        except wire.UnusableAnswer as error:
            raise self._unusable(answer, error) from None

    async def download_url(self, asset_id: str, *, permit: Permit, timeout: float) -> str | None:  # noqa: ASYNC109
        """Query the link (valid 24 h) of an asset's main file; None if it has none or the endpoint offers none.

        Takes at most `timeout` seconds, including all waiting.
        """
        if not self._assets_offered or PLAIN_ID.fullmatch(asset_id) is None:
            return None
        try:
            async with asyncio.timeout(timeout):
                path = f"/v1/{await self._project()}/digital-assets/{asset_id}"
                answer = await self._send(_Call("show_asset", self._api, "GET", path), permit)
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
        """Cancel all requests and close all connections."""
        if self._looking_up is not None:
            self._looking_up.cancel()
            await asyncio.wait([self._looking_up])
        await self._auth.aclose()
        await self._api.transport.aclose()
        if self._iam is not None:
            await self._iam.transport.aclose()

    async def _send(self, call: _Call, permit: Permit) -> Answer:
        """Get a good answer (2xx, an object), with a second attempt if the cause of a refusal was fixed."""
        answer = await self._attempt(call, permit, at_once=False)
        if answer is None:
            again = await self.budget.take(permit.priority)
            answer = await self._attempt(call, again, at_once=True)
            assert answer is not None
        return answer

    async def _attempt(self, call: _Call, permit: Permit, *, at_once: bool) -> Answer | None:
        """Get a good answer; None if it was refused for a reason that is now fixed (never if `at_once`)."""
        gate, auth = self._gate, self._auth
        given = gate.open_pass
        if given is None or not auth.ready:
            given = await self._admitted(at_once=at_once)
        try:
            if not self.budget.is_fresh(permit):  # after a long wait requests would go out in a burst
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
            recovered = not at_once and auth.recover(answer, headers, proven=proven)
            if auth.counts_recovered or not recovered:
                error.key_works = not gate.refused(given, sent)
            if not recovered:
                log.warning(LogEvent.AUTH_REFUSED, project=self.settings.name, error=error)
                raise error
            return None
        finally:
            gate.release(given)

    async def _admitted(self, *, at_once: bool) -> Pass:
        """Get a pass, with credentials ready for use."""
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
        return await gate.enter(at_once=at_once)  # a single request must verify the new credentials first

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
            self._report(call.operation, type(error).__name__, began)
            raise error from failure
        finally:
            self.budget.answered(permit, sent_at=began, now=self._clock.monotonic())
        outcome = "ok" if answer.status < 300 else str(answer.status)
        self._report(call.operation, outcome, began)
        return answer

    def _report(self, operation: str, outcome: str, began: float) -> None:
        if self._on_request is not None:
            self._on_request(operation, outcome, self._clock.monotonic() - began)

    def _error(self, answer: Answer) -> ApiError:
        """The error for a bad answer. A 429 also pauses the budget for its Retry-After, and slows it down."""
        error = error_of(answer, now=self._clock.now(), rng=self._rng)
        now = self._clock.monotonic()
        if isinstance(error, Throttled):
            self.budget.pause_until(now + (error.retry_after or 0.0))
            self.budget.throttled(now)
        return error

    def _server_time(self, answer: Answer) -> datetime | None:
        """The service's clock when it answered; None if it is missing or over a day off ours."""
        date = http_date(answer.headers.get("date"))
        return date if date is not None and abs(date - self._clock.now()) <= DAY else None

    def _latest(self, answer: Answer) -> datetime:
        """The latest plausible update time in an answer."""
        return (self._server_time(answer) or self._clock.now()) + DAY

    def _unusable(self, answer: Answer, why: wire.UnusableAnswer) -> ApiError:
        error = self._error(answer)
        if isinstance(error, Unusable) and error.error_code is None:
            error.what = str(why)
        return error

    async def _project(self) -> str:
        """The project's id, by a lookup shared between all callers. Raises ApiError."""
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
        call = _Call("find_project", self._iam_site(), "GET", iam.PROJECTS_PATH, query=iam.projects_query(region))
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
                error = Unavailable("an internal error while reading IAM's last answer: see the log")
            self._look_up_error = error
            self._look_up_again = self._clock.monotonic() + max(_LOOK_UP_AGAIN, error.retry_after or 0.0)

    async def _fetch_token(self, user: Password) -> FetchedToken:
        """Fetch a token from IAM. A refusal counts at the gate, as the password is wrong."""
        scope = iam.TokenScope(project_id=self.settings.project_id, region=self.settings.region)
        body = iam.token_request(user, scope)
        call = _Call("fetch_token", self._iam_site(), "POST", iam.TOKENS_PATH, body=body)
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
    """Whether an error shows that the sender was recognized: by the service, or by a gateway that denies
    access."""
    code = error.error_code or ""
    return code == _DENIED or code.startswith("MSS.")


def _of_iam(error: ApiError) -> ApiError:
    """Convert an error of IAM, whose answers are never about a job."""
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
