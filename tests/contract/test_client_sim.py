"""The client with the simulator: real signatures, tokens, IAM, faults."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import ManualClock, SystemClock
from daemon.domain.jobs import parse_job_id
from daemon.metastudio.errors import (
    ApiError,
    AuthPaused,
    AuthRefused,
    JobNotFound,
    ProjectFault,
    Throttled,
    Unavailable,
    Unusable,
)
from daemon.metastudio.gate import AuthGates
from daemon.metastudio.kinds import AVATAR, PHOTO
from daemon.metastudio.settings import AkSk, GivenToken, Password
from daemon.sim import SimSettings, Simulator
from daemon.transport import MAX_BYTES, Timeouts
from tests.support.clients import project_of

EXAMPLE = Path(__file__).parent.parent / "data" / "document_example.json"
FAST: dict[str, Any] = {"show_rate": None, "write_rate": None, "speed": 1000.0}
DONE = [("SUCCEED", None)]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SimSettings(**FAST)) as one:
        yield one


def password_of(sim: Simulator, word: str | None = None) -> Password:
    settings = sim.settings
    return Password(domain=settings.iam_domain, user=settings.iam_user, password=word or settings.iam_password)


def job_in(sim: Simulator, state: str, **options: Any) -> str:
    (job_id,) = sim.create_jobs(timeline=[(state, None)], **options)
    return job_id


@pytest.mark.parametrize("script", [False, True])
async def test_show_with_a_signature(sim: Simulator, script: bool) -> None:
    job_id = job_in(sim, "SUCCEED")
    async with project_of(sim) as ours:
        seen = await ours.show(job_id, show_script=script)
    assert seen.state == "SUCCEED"
    assert seen.asset.cover_url is not None
    assert seen.asset.preview_url is None
    assert seen.created_at is not None
    assert ours.sent == [("show", "ok")]


async def test_the_rest_of_an_answer_is_typed_on_demand(sim: Simulator) -> None:
    job_id = job_in(sim, "SUCCEED")
    async with project_of(sim) as ours:
        permit = await ours.permit()
        whole = await ours.client.show_whole(AVATAR, parse_job_id(job_id), permit=permit, show_script=True)
    assert whole.observation.state == "SUCCEED"
    details = whole.details()
    assert details.job_id == job_id
    assert details.video_config is not None
    (scene, *_) = details.shoot_scripts
    assert scene.shoot_script is not None
    assert scene.shoot_script.text_config is not None
    assert scene.shoot_script.text_config.text


async def test_show_a_photo_video(sim: Simulator) -> None:
    job_id = job_in(sim, "SUCCEED", kind="photo")
    async with project_of(sim) as ours:
        assert (await ours.show(job_id, PHOTO)).asset.preview_url is not None
        with pytest.raises(JobNotFound):
            await ours.show(job_id, AVATAR)


async def test_the_documents_example_served_byte_for_byte(sim: Simulator) -> None:
    job_id = "26f06524-4f75-4b3a-a853-b649a21aaf66"
    sim.answer(job_id, EXAMPLE.read_bytes())
    async with project_of(sim) as ours:
        seen = await ours.show(job_id)
    assert seen.state == "SUCCEED"
    assert seen.asset.cover_url is not None
    assert seen.asset.cover_url.startswith("https://{endpoint}/")


async def test_failure_tells_why(sim: Simulator) -> None:
    async with project_of(sim) as ours:
        seen = await ours.show(job_in(sim, "FAILED"))
    assert seen.state == "FAILED"
    assert seen.error_code
    assert seen.error_msg


async def test_a_given_token(sim: Simulator) -> None:
    async with project_of(sim, auth=GivenToken(token=sim.settings.token)) as ours:
        assert (await ours.show(job_in(sim, "WAITING"))).state == "WAITING"


async def test_temporary_keys_carry_their_token() -> None:
    async with Simulator(SimSettings(**FAST, security_token="st-1")) as sim:
        job_id = job_in(sim, "WAITING")
        async with project_of(sim) as ours:
            assert (await ours.show(job_id)).state == "WAITING"
        keys = AkSk(access_key=sim.settings.access_key, secret_key=sim.settings.secret_key)
        async with project_of(sim, auth=keys) as ours:
            with pytest.raises(AuthRefused):
                await ours.show(job_id)


async def test_an_app_user_is_signed_with(sim: Simulator) -> None:
    async with project_of(sim, app_user_id="team-7") as ours:
        assert (await ours.show(job_in(sim, "WAITING"))).state == "WAITING"


async def test_a_password_fetches_one_token_for_all(sim: Simulator) -> None:
    job_id = job_in(sim, "WAITING")
    async with project_of(sim, auth=password_of(sim), region=sim.settings.region) as ours:
        seen = await asyncio.gather(*(ours.show(job_id) for _ in range(20)))
        assert [one.state for one in seen] == ["WAITING"] * 20
        await ours.show(job_id)
    assert ours.sent.count(("fetch_token", "ok")) == 1
    assert ours.sent.count(("show", "ok")) == 21
    assert len(ours.sent) == 22


async def test_a_token_that_dies_early_is_renewed_once_for_all(sim: Simulator) -> None:
    job_id = job_in(sim, "WAITING")
    async with project_of(sim, auth=password_of(sim), region=sim.settings.region) as ours:
        await ours.show(job_id)
        assert sim.revoke_tokens() == 1
        ours.sent.clear()
        seen = await asyncio.gather(*(ours.show(job_id) for _ in range(20)))
        assert [one.state for one in seen] == ["WAITING"] * 20
    assert ours.sent.count(("fetch_token", "ok")) == 1
    assert ours.sent.count(("show", "ok")) == 20
    assert ours.sent.count(("show", "401")) <= 20


async def test_a_token_is_renewed_before_its_end() -> None:
    clock = ManualClock(datetime.now(UTC))
    async with Simulator(SimSettings(**FAST, token_life=3600, clock=clock)) as sim:
        job_id = job_in(sim, "WAITING")
        async with project_of(sim, auth=password_of(sim), region=sim.settings.region, clock=clock) as ours:
            await ours.show(job_id)
            clock.advance(3600 - 301)
            await ours.show(job_id)
            assert ours.sent.count(("fetch_token", "ok")) == 1
            clock.advance(2)
            await ours.show(job_id)
            assert ours.sent.count(("fetch_token", "ok")) == 2
            assert ("show", "401") not in ours.sent


async def test_a_token_is_used_to_its_end_while_iam_is_down() -> None:
    clock = ManualClock(datetime.now(UTC))
    async with Simulator(SimSettings(**FAST, token_life=3600, clock=clock)) as sim:
        job_id = job_in(sim, "WAITING")
        async with project_of(sim, auth=password_of(sim), region=sim.settings.region, clock=clock) as ours:
            await ours.show(job_id)
            sim.fault("server_error", operation="token", status=503)
            clock.advance(3600 - 299)
            assert (await ours.show(job_id)).state == "WAITING"
            assert (await ours.show(job_id)).state == "WAITING"
            assert ours.sent.count(("fetch_token", "503")) == 1  # the next try comes a minute later
            clock.advance(61)
            await ours.show(job_id)
            assert ours.sent.count(("fetch_token", "503")) == 2
            clock.advance(300)
            with pytest.raises(Unavailable, match="IAM"):
                await ours.show(job_id)


async def test_a_wrong_password_is_asked_three_times_in_five_minutes(sim: Simulator) -> None:
    clock = ManualClock(datetime.now(UTC))
    async with project_of(sim, auth=password_of(sim, "wrong"), region=sim.settings.region, clock=clock) as ours:
        await refused_for(ours.show, clock, seconds=299)
    assert ours.sent == [("fetch_token", "401")] * 3


async def test_a_wrong_key_is_tried_three_times_in_five_minutes(sim: Simulator) -> None:
    clock = SkewlessClock()
    keys = AkSk(access_key=sim.settings.access_key, secret_key="wrong")
    gates = AuthGates(clock)
    async with (
        project_of(sim, auth=keys, clock=clock, gates=gates) as one,
        project_of(sim, auth=keys, clock=clock, gates=gates) as other,
    ):

        async def both(job_id: str) -> None:
            await asyncio.gather(one.show(job_id), other.show(job_id))

        await refused_for(both, clock, seconds=299)
        assert one.sent + other.sent == [("show", "401")] * 3
        clock.advance(400)
        right = AkSk(access_key=sim.settings.access_key, secret_key=sim.settings.secret_key)
        async with project_of(sim, auth=right, clock=clock, gates=gates) as mended:
            assert (await mended.show(job_in(sim, "WAITING"))).state == "WAITING"
            await asyncio.gather(*(mended.show(job_in(sim, "WAITING")) for _ in range(10)))


class SkewlessClock(ManualClock):
    """Monotonic time moved by hand, and the machine's wall clock, which the simulator uses."""

    def now(self) -> datetime:
        return SystemClock().now()


async def refused_for(show: Any, clock: ManualClock, *, seconds: int) -> None:
    """Request every second; only refusals and pauses may result."""
    for _ in range(seconds):
        with pytest.raises((AuthRefused, AuthPaused)):
            await show("j1")
        clock.advance(1)


async def test_ten_at_once_with_a_wrong_key_send_one_request(sim: Simulator) -> None:
    sim.fault("slow", delay=0.2)
    keys = AkSk(access_key="nobody", secret_key="wrong")
    async with project_of(sim, auth=keys) as ours:
        got = await asyncio.gather(*(ours.show("j1") for _ in range(10)), return_exceptions=True)
    assert ours.sent == [("show", "401")]
    assert sum(type(one) is AuthRefused for one in got) == 1
    assert sum(type(one) is AuthPaused for one in got) == 9


@pytest.mark.parametrize("skew", [1200.0, -1200.0])
async def test_a_clock_that_is_off_is_followed_at_once(sim: Simulator, skew: float) -> None:
    sim.fault("clock_skew", skew=skew)
    job_id = job_in(sim, "WAITING")
    async with project_of(sim) as ours:
        assert (await ours.show(job_id)).state == "WAITING"
        assert ours.sent == [("show", "401"), ("show", "ok")]
        await asyncio.gather(*(ours.show(job_id) for _ in range(5)))
        assert ours.sent[2:] == [("show", "ok")] * 5
        sim.clear_faults()  # the service works again
        assert (await ours.show(job_id)).state == "WAITING"


async def test_a_wall_clock_step_while_requests_are_under_way(sim: Simulator) -> None:
    clock = ManualClock(datetime.now(UTC))
    job_id = job_in(sim, "WAITING")
    async with project_of(sim, clock=clock) as ours:
        await ours.show(job_id)
        clock.step_wall(3600)
        got = await asyncio.gather(*(ours.show(job_id) for _ in range(4)), return_exceptions=True)
        assert all(not isinstance(one, BaseException) or isinstance(one, AuthPaused) for one in got)
        clock.advance(1)
        assert (await ours.show(job_id)).state == "WAITING"


async def test_the_project_id_is_looked_up_by_region(sim: Simulator) -> None:
    job_id = job_in(sim, "WAITING")
    async with project_of(sim, project_id=None, region=sim.settings.region) as ours:
        seen = await asyncio.gather(*(ours.show(job_id) for _ in range(5)))
        assert [one.state for one in seen] == ["WAITING"] * 5
    assert ours.sent == [("find_project", "ok"), *[("show", "ok")] * 5]


@pytest.mark.parametrize("known", [True, False])
async def test_a_token_tells_the_project_id(sim: Simulator, known: bool) -> None:
    job_id = job_in(sim, "WAITING")
    given = sim.settings.project_id if known else None
    async with project_of(sim, auth=password_of(sim), project_id=given, region=sim.settings.region) as ours:
        assert (await ours.show(job_id)).state == "WAITING"
    assert ours.sent == [("fetch_token", "ok"), ("show", "ok")]


async def test_a_given_token_looks_up_too(sim: Simulator) -> None:
    job_id = job_in(sim, "WAITING")
    token = GivenToken(token=sim.settings.token)
    async with project_of(sim, auth=token, project_id=None, region=sim.settings.region) as ours:
        assert (await ours.show(job_id)).state == "WAITING"


async def test_an_account_without_a_project_there(sim: Simulator) -> None:
    async with project_of(sim, project_id=None, region="cn-east-3") as ours:
        for _ in range(5):
            with pytest.raises(ProjectFault, match="no project in cn-east-3"):
                await ours.show("j1")
    assert ours.sent == [("find_project", "ok")]  # the failure is cached for a few seconds


async def test_a_foreign_project_is_the_projects_fault(sim: Simulator) -> None:
    async with project_of(sim, project_id="f" * 32) as ours:
        with pytest.raises(ProjectFault, match=r"APIG\.0306"):
            await ours.show("j1")
        with pytest.raises(ProjectFault):
            await ours.show("j1")  # a denied caller is authenticated: the gate stays open


@pytest.mark.parametrize(
    ("fault", "options", "kind"),
    [
        ("throttled", {}, Throttled),
        ("throttled_retry_after", {"retry_after": 7}, Throttled),
        ("server_error", {}, Unavailable),
        ("gateway_error", {}, Unavailable),
        ("unauthorized", {}, AuthRefused),
        ("not_offered", {}, ProjectFault),
        ("html_200", {}, ProjectFault),
        ("redirect", {}, ProjectFault),
        ("empty_body", {}, Unusable),
        ("hang", {}, Unavailable),
        ("reset", {}, Unavailable),
        ("reset", {"after": 30}, Unavailable),
        ("reset_before", {}, Unavailable),
        ("truncated", {}, Unavailable),
        ("huge_body", {"size": 4 * MAX_BYTES}, Unusable),
        ("gzip_bomb", {"size": 4 * MAX_BYTES}, Unusable),
        ("drip", {}, Unavailable),
        ("bad_status_line", {}, Unavailable),
        ("vanished", {}, JobNotFound),
        ("quirk_not_found_400", {}, JobNotFound),
    ],
)
async def test_every_fault_that_gives_no_answer(
    sim: Simulator, fault: str, options: dict[str, Any], kind: type[ApiError]
) -> None:
    job_id = "unknown" if fault == "quirk_not_found_400" else job_in(sim, "PROCESSING")
    async with project_of(sim, timeouts=Timeouts(connect=60, read=60, total=60)) as ours:
        await ours.show(job_in(sim, "WAITING"))
        sim.fault(fault, **options)
        transport = ours.client._session._api.transport
        patient = transport._total
        if fault in {"hang", "drip"}:  # only these are timed, so that no good answer can come too late
            transport._total = 0.2
        with pytest.raises(kind) as caught:
            await ours.show(job_id)
        transport._total = patient
        assert type(caught.value) is kind
        assert len(ours.sent) == 2
        if kind is Throttled:
            wait = ours.client.budget.next_at() - ours.clock.monotonic()
            assert 6 < wait <= 7 if options else 1.9 < wait <= 5
        else:
            sim.clear_faults()
            if kind is not AuthRefused:
                assert (await ours.show(job_in(sim, "WAITING"))).state == "WAITING"


@pytest.mark.parametrize(
    ("fault", "state", "seen"),
    [
        ("wrong_content_type", "PROCESSING", "PROCESSING"),
        ("gzip", "PROCESSING", "PROCESSING"),
        ("slow", "PROCESSING", "PROCESSING"),
        ("quirk_success", "SUCCEED", "SUCCEED"),
        ("quirk_blocked", "BLOCK", "BLOCK"),
        ("quirk_job_type", "PROCESSING", "PROCESSING"),
        ("quirk_position", "PROCESSING", "PROCESSING"),
        ("quirk_width", "PROCESSING", "PROCESSING"),
        ("quirk_object_for_array", "PROCESSING", "PROCESSING"),
        ("unknown_state", "PROCESSING", "THAWING"),
    ],
)
async def test_every_fault_that_still_gives_one(sim: Simulator, fault: str, state: str, seen: str) -> None:
    job_id = job_in(sim, state)
    sim.fault(fault, **({"delay": 0.1} if fault == "slow" else {}))
    async with project_of(sim) as ours:
        assert (await ours.show(job_id)).state == seen


async def test_the_download_link_of_a_finished_avatar_video(sim: Simulator) -> None:
    job_id = job_in(sim, "SUCCEED")
    async with project_of(sim) as ours:
        asset_id = (await ours.show(job_id)).asset.asset_id
        assert asset_id is not None
        url = await ours.download_url(asset_id)
        assert url is not None
        assert url.startswith(sim.url)
        assert await ours.download_url("unknown") is None
        assert await ours.download_url("../evil") is None
    assert ours.sent == [("show", "ok"), ("show_asset", "ok"), ("show_asset", "404")]


async def test_assets_that_are_not_offered_turn_one_feature_off(sim: Simulator) -> None:
    job_id = job_in(sim, "SUCCEED")
    sim.fault("not_offered", operation="asset")
    async with project_of(sim) as ours:
        await ours.show(job_id)
        assert await ours.download_url("a1") is None
        sim.clear_faults()
        assert await ours.download_url("a1") is None
        assert (await ours.show(job_id)).state == "SUCCEED"
    assert ours.sent == [("show", "ok"), ("show_asset", "404"), ("show", "ok")]


async def test_a_slow_asset_does_not_hold_an_alert(sim: Simulator) -> None:
    sim.fault("hang", operation="asset")
    async with project_of(sim) as ours:
        with pytest.raises(Unavailable, match=r"0\.2 s"):
            await ours.download_url("a1", timeout=0.2)
        assert (await ours.show(job_in(sim, "WAITING"))).state == "WAITING"


async def test_a_permit_is_for_one_request(sim: Simulator) -> None:
    """In time that stands: a permit that expired would be replaced, and not used."""
    job_id = job_in(sim, "WAITING")
    async with project_of(sim, clock=ManualClock(datetime.now(UTC))) as ours:
        permit = await ours.permit()
        await ours.client.show(AVATAR, job_id, permit=permit)  # type: ignore[arg-type]
        with pytest.raises(RuntimeError, match="one request"):
            await ours.client.show(AVATAR, job_id, permit=permit)  # type: ignore[arg-type]


async def test_the_pace_holds_while_all_start_at_once(sim: Simulator) -> None:
    """Permits taken while a slow first request verified the keys are not used in one burst."""
    job_id = job_in(sim, "WAITING")
    sim.fault("slow", times=1, delay=0.6)
    async with project_of(sim, rate=20.0) as ours:
        await asyncio.gather(*(ours.show(job_id) for _ in range(24)))
    stats = sim.stats()
    assert stats["by_operation"]["show"] == 24
    assert stats["max_in_any_second"] <= 21


async def test_expired_signatures_do_not_come_from_waiting(sim: Simulator) -> None:
    """A request is signed when it is sent, not when it was queued."""
    async with project_of(sim, rate=5.0) as ours:
        ours.client.budget.pause_until(ours.clock.monotonic() + 0.3)
        began = ours.clock.now()
        seen = await ours.show(job_in(sim, "WAITING"))
        assert seen.state == "WAITING"
        assert ours.clock.now() - began >= timedelta(seconds=0.29)
