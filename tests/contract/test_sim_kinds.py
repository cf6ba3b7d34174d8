"""The kinds other than videos, as parsed by the official SDK: where the state is, and what an end contains."""

from datetime import UTC, datetime

import pytest
from huaweicloudsdkmetastudio.v1 import (
    ListDigitalHumanVideoRequest,
    ShowAssetRequest,
    ShowDigitalHumanBusinessCardRequest,
    ShowPhotoDetectionRequest,
    ShowPictureModelingJobRequest,
)

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from tests.support.sim import ask, exchange, list_jobs, refusal, sdk, show, token_of

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

LIFE = [("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)]
PATHS = {
    "business_card": "digital-human-business-cards",
    "photo_detection": "photo-detection",
    "picture_modeling": "digital-human/stylized/picture-modelings",
}


@pytest.fixture
async def sim():
    """A simulator on the machine's clock, which the SDK uses for signing."""
    clock = ManualClock(datetime.now(UTC))
    async with Simulator(SimSettings(show_rate=None, write_rate=None, clock=clock)) as sim:
        yield sim


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def test_a_business_cards_state_stands_inside_job_info(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(kind="business_card", name="Ms Li", timeline=LIFE)
    [frozen] = sim.create_jobs(kind="business_card", timeline=[("BLOCK", None)])
    [failed] = sim.create_jobs(kind="business_card", timeline=[("FAILED", None)])
    with sdk(sim) as client:
        request = ShowDigitalHumanBusinessCardRequest(job_id=job_id)
        first = (await ask(client.show_digital_human_business_card, request)).job_info
        assert (first.job_id, first.state, first.start_time) == (job_id, "WAITING", None)
        clock_of(sim).advance(65)
        answer = await ask(client.show_digital_human_business_card, request)
        last = answer.job_info
        assert last.state == "SUCCEED"
        assert last.create_time < last.start_time < last.end_time == last.lastupdate_time
        assert last.business_card_type == "2D_DIGITAL_HUMAN_CARD"
        assert last.output_asset_config.preview_video_url.startswith(sim.url)
        assert (answer.introduction_type, answer.card_text_config.name) == ("TEXT", "Ms Li")
        asset = await ask(client.show_asset, ShowAssetRequest(asset_id=last.output_asset_config.asset_id))
        assert "MAIN" in {file.asset_file_category for file in asset.files}

        request.job_id = frozen
        assert (await ask(client.show_digital_human_business_card, request)).job_info.state == "BLOCK"
        request.job_id = failed
        error = (await ask(client.show_digital_human_business_card, request)).job_info.error_info
        assert error.error_code.startswith("MSS.")


async def test_a_photo_detection_tells_little_but_its_state(sim: Simulator) -> None:
    [job_id] = sim.create_jobs(kind="photo_detection", timeline=LIFE)
    [failed] = sim.create_jobs(kind="photo_detection", timeline=[("FAILED", None)])
    with sdk(sim) as client:
        request = ShowPhotoDetectionRequest(job_id=job_id)
        states = []
        for _ in range(3):
            answer = await ask(client.show_photo_detection, request)
            states.append(answer.state)
            clock_of(sim).advance(33)
        assert states == ["WAITING", "PROCESSING", "SUCCEED"]
        assert (answer.job_id, answer.create_time[-1], answer.error_info) == (job_id, "Z", None)
        request.job_id = failed
        assert (await ask(client.show_photo_detection, request)).error_info.error_msg


async def test_picture_modeling_may_succeed_in_part(sim: Simulator) -> None:
    [whole] = sim.create_jobs(kind="picture_modeling", name="Face", timeline=LIFE)
    [part] = sim.create_jobs(kind="picture_modeling", timeline=[*LIFE[:2], ("PARTIAL_SUCCEED", None)])
    with sdk(sim) as client:
        request = ShowPictureModelingJobRequest(job_id=whole)
        first = await ask(client.show_picture_modeling_job, request)
        assert (first.job_id, first.state, first.name, first.model_asset_id) == (whole, "WAITING", "Face", None)
        clock_of(sim).advance(65)
        done = await ask(client.show_picture_modeling_job, request)
        assert (done.state, bool(done.model_asset_id)) == ("SUCCEED", True)
        assert done.start_time < done.end_time
        assert done.model_cover_url.startswith(sim.url)
        cover = await exchange(sim, "GET", done.model_cover_url.removeprefix(sim.url))
        assert (cover.status, cover.headers["content-type"]) == (200, "image/png")
        no_video = await refusal(client.show_asset, ShowAssetRequest(asset_id=done.model_asset_id))
        assert no_video.status_code == 404

        request.job_id = part
        half = await ask(client.show_picture_modeling_job, request)
        assert (half.state, bool(half.model_asset_id), half.model_cover_url) == ("PARTIAL_SUCCEED", True, None)
        assert half.end_time == done.end_time


async def test_no_list_holds_them_and_each_has_its_own_path(sim: Simulator) -> None:
    made = {kind: sim.create_jobs(kind=kind, timeline=LIFE)[0] for kind in PATHS}
    [video] = sim.create_jobs()
    with sdk(sim) as client:
        everything = await ask(client.list_digital_human_video, ListDigitalHumanVideoRequest(limit=100))
        named = ListDigitalHumanVideoRequest(job_ids=[*made.values(), video])
        by_ids = await ask(client.list_digital_human_video, named)
    assert [job.job_id for job in everything.jobs] == [job.job_id for job in by_ids.jobs] == [video]
    assert (await list_jobs(sim, "?sort_key=update_time&sort_dir=desc"))["count"] == 1
    for kind, job_id in made.items():
        assert (await show(sim, job_id)).status == 404
        for other, path in PATHS.items():
            raw = await exchange(
                sim, "GET", f"/v1/{sim.settings.project_id}/{path}/{job_id}", headers=token_of(sim)
            )
            assert raw.status == (200 if kind == other else 404)


@pytest.mark.parametrize("kind", PATHS)
async def test_they_are_only_shown(sim: Simulator, kind: str) -> None:
    path = f"/v1/{sim.settings.project_id}/{PATHS[kind]}"
    for method, target in (("POST", path), ("GET", path), ("POST", f"{path}/x/cancel"), ("GET", f"{path}/")):
        raw = await exchange(sim, method, target, headers=token_of(sim), body=b"{}" if method == "POST" else b"")
        assert (raw.status, raw.json()["error_code"]) == (404, "APIG.0101")


async def test_quirks_bend_the_part_that_holds_the_state(sim: Simulator) -> None:
    [card] = sim.create_jobs(kind="business_card", timeline=[("SUCCEED", None)])
    for name in ("quirk_success", "quirk_position", "quirk_job_type"):
        sim.fault(name)
    path = f"/v1/{sim.settings.project_id}/{PATHS['business_card']}/{card}"
    body = (await exchange(sim, "GET", path, headers=token_of(sim))).json()
    assert body["job_info"]["state"] == "SUCCESS"
    assert "state" not in body
    assert "shoot_scripts" not in body["job_info"]
