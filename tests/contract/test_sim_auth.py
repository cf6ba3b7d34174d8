"""Authentication at the simulator: signatures and their age, the lock after failures, tokens, projects, rates."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from huaweicloudsdkmetastudio.v1 import Show2DDigitalHumanVideoRequest

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from daemon.sim.signing import expected_signature
from tests.support.sim import Raw, ask, exchange, refusal, sdk, show, show_path, token_of

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def clocked(**changes: Any) -> tuple[SimSettings, ManualClock]:
    clock = ManualClock(datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC))
    return SimSettings(**{"clock": clock, "show_rate": None, "write_rate": None, **changes}), clock


async def signed(sim: Simulator, path: str, *, at: datetime, secret_key: str | None = None, **more: str) -> Raw:
    """Return the headers of a GET signed with the simulator's keys as of `at`; `more` are further headers, signed
    too."""
    host = sim.url.removeprefix("http://")
    date = at.strftime("%Y%m%dT%H%M%SZ")
    headers = {"Host": host, "X-Sdk-Date": date, **{name.replace("_", "-"): value for name, value in more.items()}}
    lower = {name.lower(): value for name, value in headers.items()}
    names = ";".join(sorted(lower))
    raw_path, _, query = path.partition("?")
    signature = expected_signature(
        secret_key or sim.settings.secret_key,
        method="GET",
        path=raw_path,
        query=query,
        headers=lower,
        signed_headers=names,
        date=date,
        body=b"",
    )
    headers["Authorization"] = (
        f"SDK-HMAC-SHA256 Access={sim.settings.access_key}, SignedHeaders={names}, Signature={signature}"
    )
    return await exchange(sim, "GET", path, headers=headers)


@pytest.mark.parametrize(("minutes", "status"), [(-14.9, 200), (14.9, 200), (-15.1, 401), (15.1, 401)])
async def test_a_signature_holds_for_fifteen_minutes(minutes: float, status: int) -> None:
    settings, clock = clocked()
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        raw = await signed(sim, show_path(sim, job_id), at=clock.now() + timedelta(minutes=minutes))
        assert raw.status == status
        if status == 401:
            assert raw.json()["error_code"] == "APIG.0301"
            assert "15 minutes" in raw.json()["error_msg"]
            assert raw.json()["request_id"] == raw.headers["x-request-id"]


async def test_only_what_was_signed_is_let_in() -> None:
    settings, clock = clocked()
    async with Simulator(settings) as sim:
        [job_id, other] = sim.create_jobs(count=2)
        path = show_path(sim, job_id)
        good = await signed(sim, path, at=clock.now(), X_App_UserId="u")
        assert good.status == 200
        host, date = sim.url.removeprefix("http://"), clock.now().strftime("%Y%m%dT%H%M%SZ")
        names = "host;x-sdk-date"
        signature = expected_signature(
            sim.settings.secret_key,
            method="GET",
            path=path,
            query="",
            headers={"host": host, "x-sdk-date": date},
            signed_headers=names,
            date=date,
            body=b"",
        )
        authorization = f"SDK-HMAC-SHA256 Access={sim.settings.access_key}, SignedHeaders={names}, Signature="
        headers = {"Host": host, "X-Sdk-Date": date, "Authorization": authorization + str(signature)}
        assert (await exchange(sim, "GET", path, headers=headers)).status == 200
        changed = [
            (show_path(sim, other), headers),
            (path + "?show_script=true", headers),
            (path, headers | {"Host": "metastudio.example"}),
            (path, headers | {"X-Sdk-Date": (clock.now() + timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")}),
        ]
        for changed_path, changed_headers in changed:
            raw = await exchange(sim, "GET", changed_path, headers=changed_headers)
            assert raw.json()["error_msg"].endswith("verify aksk signature fail")
        with_body = await exchange(sim, "GET", path, headers=headers, body=b"{}")
        assert with_body.status == 401


async def test_six_failures_in_a_row_lock_the_key_pair_for_five_minutes() -> None:
    settings, clock = clocked()
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        path = show_path(sim, job_id)

        async def right() -> Raw:
            return await signed(sim, path, at=clock.now())

        async def wrong() -> None:
            assert (await signed(sim, path, at=clock.now(), secret_key="wrong")).status == 401

        for _ in range(5):
            await wrong()
        assert (await right()).status == 200  # five failures are allowed, and a success resets the count
        for _ in range(6):
            await wrong()
        locked = await right()
        assert locked.status == 401
        assert "reach the limit,forbidden" in locked.json()["error_msg"]
        assert (await exchange(sim, "GET", path, headers=token_of(sim))).status == 200
        clock.advance(299)
        assert (await right()).status == 401
        clock.advance(1)
        assert (await right()).status == 200


async def test_without_credentials_or_with_others_it_is_401() -> None:
    settings, _ = clocked()
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        for headers in (
            {},
            {"X-Auth-Token": "MIIwrong"},
            {"Authorization": "Bearer x"},
            {"Authorization": "SDK-HMAC-SHA256 nonsense"},
            {"Authorization": f"SDK-HMAC-SHA256 Access={sim.settings.access_key}, SignedHeaders=a, Signature=00"},
        ):
            raw = await exchange(sim, "GET", show_path(sim, job_id), headers=headers)
            assert (raw.status, raw.json()["error_code"]) == (401, "APIG.0301")


async def test_another_project_is_denied() -> None:
    settings, clock = clocked()
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        path = show_path(sim, job_id)
        elsewhere = await exchange(
            sim, "GET", path.replace(sim.settings.project_id, "0" * 32), headers=token_of(sim)
        )
        header = await signed(sim, path, at=clock.now(), X_Project_Id="0" * 32)
        same = await signed(sim, path, at=clock.now(), X_Project_Id=sim.settings.project_id)
        assert (elsewhere.status, elsewhere.json()["error_code"]) == (403, "APIG.0306")
        assert (header.status, same.status) == (403, 200)


def identity(sim: Simulator, **changes: str) -> bytes:
    given = {
        "domain": sim.settings.iam_domain,
        "user": sim.settings.iam_user,
        "password": sim.settings.iam_password,
        "project": sim.settings.region,
        **changes,
    }
    user = {"name": given["user"], "password": given["password"], "domain": {"name": given["domain"]}}
    return json.dumps(
        {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": given["project"]}},
            }
        }
    ).encode()


async def test_a_token_for_a_password_lets_in_until_its_end() -> None:
    settings, clock = clocked(token_life=3600)
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        raw = await exchange(sim, "POST", "/v3/auth/tokens", body=identity(sim))
        assert raw.status == 201
        token = raw.json()["token"]
        assert token["project"]["id"] == sim.settings.project_id
        assert datetime.fromisoformat(token["expires_at"]) == clock.now() + timedelta(hours=1)
        headers = {"X-Auth-Token": raw.headers["x-subject-token"]}
        assert (await exchange(sim, "GET", show_path(sim, job_id), headers=headers)).status == 200
        projects = await exchange(sim, "GET", "/v3/projects?name=cn-north-4", headers=headers)
        assert [project["id"] for project in projects.json()["projects"]] == [sim.settings.project_id]
        none = await exchange(sim, "GET", "/v3/projects?name=eu-west-0", headers=headers)
        assert none.json()["projects"] == []
        clock.advance(3600)
        assert (await exchange(sim, "GET", show_path(sim, job_id), headers=headers)).status == 401


async def test_tokens_can_die_early() -> None:
    settings, _ = clocked()
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()
        raw = await exchange(sim, "POST", "/v3/auth/tokens", body=identity(sim))
        assert (await exchange(sim, "DELETE", "/_sim/tokens")).json() == {"revoked": 1}
        headers = {"X-Auth-Token": raw.headers["x-subject-token"]}
        assert (await exchange(sim, "GET", show_path(sim, job_id), headers=headers)).status == 401
        assert (await show(sim, job_id)).status == 200


@pytest.mark.parametrize("field", ["domain", "user", "password", "project"])
async def test_a_wrong_identity_gets_no_token(field: str) -> None:
    settings, _ = clocked()
    async with Simulator(settings) as sim:
        raw = await exchange(sim, "POST", "/v3/auth/tokens", body=identity(sim, **{field: "wrong"}))
        assert raw.status == 401
        assert "x-subject-token" not in raw.headers
        assert raw.json()["error"]["title"] == "Unauthorized"
        malformed = await exchange(sim, "POST", "/v3/auth/tokens", body=b'{"auth": []}')
        assert malformed.status == 400


@pytest.mark.parametrize("path", ["/", "/v1", "/v2/p/2d-digital-human-videos/j", "/v1/p/nothing/j", "/v3/users"])
async def test_an_unknown_path_is_the_gateways_404(path: str) -> None:
    settings, _ = clocked()
    async with Simulator(settings) as sim:
        raw = await exchange(sim, "GET", path, headers=token_of(sim))
        assert (raw.status, raw.json()["error_code"]) == (404, "APIG.0101")
        assert raw.headers["x-request-id"] == raw.json()["request_id"]
        posted = await exchange(sim, "DELETE", show_path(sim, "j"), headers=token_of(sim))
        assert posted.json()["error_code"] == "APIG.0101"


async def test_the_documented_rates_hold_in_any_second() -> None:
    settings, clock = clocked(show_rate="documented", write_rate="documented")
    async with Simulator(settings) as sim:
        [job_id] = sim.create_jobs()

        async def burst(count: int) -> list[int | None]:
            return [(await show(sim, job_id)).status for _ in range(count)]

        assert await burst(15) == [200] * 15
        clock.advance(0.6)
        assert await burst(7) == [200] * 5 + [429] * 2
        listed = await exchange(
            sim, "GET", f"/v1/{sim.settings.project_id}/digital-human-videos", headers=token_of(sim)
        )
        assert listed.status == 429  # show and list share a limit
        clock.advance(0.5)
        assert await burst(16) == [200] * 15 + [429]
        path = f"/v1/{sim.settings.project_id}/2d-digital-human-videos"
        created = [
            (await exchange(sim, "POST", path, headers=token_of(sim), body=b'{"script_id": "s"}')).status
            for _ in range(6)
        ]
        assert created == [200] * 5 + [429]
        assert sim.stats()["by_status"]["429"] == 5


async def test_the_sdk_is_locked_out_too() -> None:
    async with Simulator(SimSettings()) as sim:
        [job_id] = sim.create_jobs()
        request = Show2DDigitalHumanVideoRequest(job_id=job_id)
        with sdk(sim, secret_key="wrong") as client:
            for _ in range(6):
                await refusal(client.show2_d_digital_human_video, request)
        with sdk(sim) as client:
            error = await refusal(client.show2_d_digital_human_video, request)
            assert "reach the limit" in error.error_msg
            sim.clear_faults()
        assert (await ask(lambda _: sim.stats()["by_status"]["401"], None)) == 7
