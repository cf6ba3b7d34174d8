"""The official SDK as a client of the simulator: every operation, and its exceptions for every kind of refusal."""

import random
from datetime import UTC, datetime

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, ServerResponseException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkmetastudio.v1 import (
    CallBackConfig,
    Cancel2DDigitalHumanVideoRequest,
    CancelPhotoDigitalHumanVideoRequest,
    Create2DDigitalHumanVideoReq,
    Create2DDigitalHumanVideoRequest,
    CreatePhotoDigitalHumanVideoReq,
    CreatePhotoDigitalHumanVideoRequest,
    ListDigitalHumanVideoRequest,
    MetaStudioClient,
    OutputAssetConfig,
    PhotoVideoConfig,
    ShootScript,
    ShootScriptItem,
    Show2DDigitalHumanVideoRequest,
    ShowAssetRequest,
    ShowPhotoDigitalHumanVideoRequest,
    TextConfig,
    VideoConfig,
    VoiceConfig,
)

from daemon.clock import ManualClock
from daemon.sim import SimSettings, Simulator
from tests.support.sim import ask, refusal, sdk

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

DONE = [("WAITING", 5), ("PROCESSING", 60), ("SUCCEED", None)]


def now_clock() -> ManualClock:
    """Return a clock at the machine's time, which the SDK uses for signing."""
    return ManualClock(datetime.now(UTC))


def settings(**changes: object) -> SimSettings:
    return SimSettings(**{"show_rate": None, "write_rate": None, "clock": now_clock(), **changes})


def clock_of(sim: Simulator) -> ManualClock:
    assert isinstance(sim.settings.clock, ManualClock)
    return sim.settings.clock


async def test_an_avatar_video_from_waiting_to_its_file() -> None:
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs(name="Launch 上线", timeline=DONE)
        with sdk(sim) as client:
            request = Show2DDigitalHumanVideoRequest(job_id=job_id)
            first = await ask(client.show2_d_digital_human_video, request)
            assert (first.job_id, first.state, first.job_type) == (job_id, "WAITING", "2D_DIGITAL_HUMAN_VIDEO")
            assert first.start_time is None
            assert first.end_time is None
            assert first.x_request_id
            assert first.shoot_scripts is None

            clock_of(sim).advance(5)
            assert (await ask(client.show2_d_digital_human_video, request)).state == "PROCESSING"

            clock_of(sim).advance(60)
            last = await ask(client.show2_d_digital_human_video, request)
            assert last.state == "SUCCEED"
            assert isinstance(last.duration, float)
            assert last.start_time < last.end_time == last.lastupdate_time
            assert last.output_asset_config.asset_name == "Launch 上线"
            assert "Expires=" in last.output_asset_config.cover_url
            assert last.output_asset_config.preview_video_url is None
            assert last.error_info is None

            asset = await ask(client.show_asset, ShowAssetRequest(asset_id=last.output_asset_config.asset_id))
            assert (asset.project_id, asset.asset_state) == (sim.settings.project_id, "ACTIVED")
            [main] = [file for file in asset.files if file.asset_file_category == "MAIN"]
            assert main.download_url.startswith(sim.url)
            assert isinstance(main.file_size, int)
            assert len(main.file_md5) == 24


async def test_scripts_come_when_asked_for_in_the_documents_types() -> None:
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs(timeline=DONE, script_chars=400)
        with sdk(sim) as client:
            request = Show2DDigitalHumanVideoRequest(job_id=job_id, show_script=True)
            answer = await ask(client.show2_d_digital_human_video, request)
        [item] = answer.shoot_scripts
        assert len(item.shoot_script.text_config.text) == 400
        assert item.shoot_script.script_type == "TEXT"
        assert isinstance(item.shoot_script.layer_config[0].position.dx, int)
        assert isinstance(answer.video_config.frame_rate, str)
        assert isinstance(answer.video_config.width, int)
        assert answer.voice_config.speed == 100
        assert answer.model_asset_id
        assert answer.script_id


async def test_a_photo_video_has_a_preview() -> None:
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs(kind="photo", timeline=[("SUCCEED", None)])
        with sdk(sim) as client:
            request = ShowPhotoDigitalHumanVideoRequest(job_id=job_id, show_script=True)
            answer = await ask(client.show_photo_digital_human_video, request)
            assert answer.job_type == "PHOTO_DIGITAL_HUMAN_VIDEO"
            assert answer.output_asset_config.preview_video_url.startswith(sim.url)
            assert answer.video_config.codec == "H264"
            other = await refusal(
                client.show2_d_digital_human_video, Show2DDigitalHumanVideoRequest(job_id=job_id)
            )
            assert other.status_code == 404


async def test_a_failed_job_says_why() -> None:
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs(timeline=[("FAILED", None)])
        with sdk(sim) as client:
            answer = await ask(client.show2_d_digital_human_video, Show2DDigitalHumanVideoRequest(job_id=job_id))
        assert answer.error_info.error_code.startswith("MSS.")
        assert answer.error_info.error_msg


async def test_list_with_job_ids() -> None:
    async with Simulator(settings()) as sim:
        ids = sim.create_jobs(count=5, timeline=DONE) + sim.create_jobs(kind="photo", timeline=[("SUCCEED", None)])
        with sdk(sim) as client:
            wanted = [ids[1], ids[3], ids[5], "no-such-job"]
            answer = await ask(client.list_digital_human_video, ListDigitalHumanVideoRequest(job_ids=wanted))
            assert answer.count == 3
            assert {job.job_id for job in answer.jobs} == {ids[1], ids[3], ids[5]}
            assert {job.job_type for job in answer.jobs} == {"2D_DIGITAL_HUMAN_VIDEO", "PHOTO_DIGITAL_HUMAN_VIDEO"}
            done = next(job for job in answer.jobs if job.state == "SUCCEED")
            assert done.output_asset_config.cover_url
            assert done.create_time.endswith("Z")

            hundred = ListDigitalHumanVideoRequest(job_ids=[*ids, *("x" * 128 for _ in range(94))], limit=100)
            assert (await ask(client.list_digital_human_video, hundred)).count == 6


async def test_every_list_parameter_reaches_the_simulator_as_it_was_signed() -> None:
    name = "城市 宣传片+100% ~/&=?#'*(1)"
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs(name=name, timeline=[("PROCESSING", None)])
        sim.create_jobs(count=3, name="other")
        with sdk(sim) as client:
            request = ListDigitalHumanVideoRequest(
                x_app_user_id="user-7",
                offset=0,
                limit=100,
                state="PROCESSING,SUCCEED",
                sort_key="update_time",
                sort_dir="desc",
                create_since="2020-01-01T00:00:00Z",
                create_until="2100-01-01T00:00:00Z",
                fuzzy_query_field=["asset_name", "script_id"],
                asset_name=name[2:12],
                job_type="2D_DIGITAL_HUMAN_VIDEO",
                job_id=job_id,
            )
            answer = await ask(client.list_digital_human_video, request)
        assert [job.output_asset_config.asset_name for job in answer.jobs] == [name]


async def test_signatures_hold_for_any_characters() -> None:
    """Everything that the SDK signs and sends must verify: a refusal may only concern the request's content."""
    rng = random.Random(7)
    alphabet = "aZ09 -_.~!*'();:@&=+$,/?#[]%\"<>\\^`{|}éß中文😀\t"
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs()
        with sdk(sim) as client:
            for _ in range(60):
                text = "".join(rng.choices(alphabet, k=rng.randint(1, 24)))
                listed = ListDigitalHumanVideoRequest(
                    asset_name=text, script_id=text[::-1], job_ids=[text, job_id, text + "~"], limit=5
                )
                answer = await ask(client.list_digital_human_video, listed)
                assert answer.count == 0
                shown = Show2DDigitalHumanVideoRequest(job_id=f"x{text}")
                error = await refusal(client.show2_d_digital_human_video, shown)
                assert (error.status_code, error.error_code) == (404, "MSS.00000002"), text


def avatar_body(**changes: object) -> Create2DDigitalHumanVideoReq:
    script = ShootScript(script_type="TEXT", text_config=TextConfig(text="Hello, 大家好. " * 20))
    given = {
        "model_asset_id": "cda7e9a469ee9cf3ffc1ad62794a12ff",
        "voice_config": VoiceConfig(voice_asset_id="f5e6a13eab4443fa85421191ad061780", speed=120),
        "video_config": VideoConfig(codec="H264", bitrate=5000, width=720, height=1280, frame_rate="25"),
        "shoot_scripts": [ShootScriptItem(sequence_no=0, shoot_script=script)],
        "output_asset_config": OutputAssetConfig(asset_name="新闻 One"),
        "callback_config": CallBackConfig(callback_url="https://example.org/hook", auth_type="MSS_A", key="k"),
        **changes,
    }
    return Create2DDigitalHumanVideoReq(**given)


async def test_create_show_cancel_an_avatar_video() -> None:
    async with Simulator(settings()) as sim:
        with sdk(sim) as client:
            made = await ask(
                client.create2_d_digital_human_video,
                Create2DDigitalHumanVideoRequest(x_app_user_id="user-7", body=avatar_body()),
            )
            request = Show2DDigitalHumanVideoRequest(job_id=made.job_id, show_script=True)
            shown = await ask(client.show2_d_digital_human_video, request)
            assert shown.state == "WAITING"
            assert shown.output_asset_config.asset_name == "新闻 One"
            assert shown.voice_config.speed == 120
            assert shown.video_config.width == 720
            assert shown.shoot_scripts[0].shoot_script.text_config.text.startswith("Hello, 大家好")

            cancel = Cancel2DDigitalHumanVideoRequest(job_id=made.job_id)
            assert (await ask(client.cancel2_d_digital_human_video, cancel)).status_code == 200
            assert (await ask(client.show2_d_digital_human_video, request)).state == "CANCELED"
            again = await refusal(client.cancel2_d_digital_human_video, cancel)
            assert isinstance(again, ClientRequestException)
            assert (again.status_code, again.error_code) == (400, "MSS.00000003")


async def test_create_a_photo_video_and_cancel_it() -> None:
    async with Simulator(settings()) as sim:
        with sdk(sim) as client:
            body = CreatePhotoDigitalHumanVideoReq(
                human_image="aGVsbG8=" * 200_000,
                voice_config=VoiceConfig(voice_asset_id="v"),
                video_config=PhotoVideoConfig(codec="H264", bitrate=3000, frame_rate="25"),
                shoot_scripts=[ShootScriptItem(shoot_script=ShootScript(text_config=TextConfig(text="Hi")))],
            )
            made = await ask(
                client.create_photo_digital_human_video, CreatePhotoDigitalHumanVideoRequest(body=body)
            )
            cancel = CancelPhotoDigitalHumanVideoRequest(job_id=made.job_id)
            await ask(client.cancel_photo_digital_human_video, cancel)
            request = ShowPhotoDigitalHumanVideoRequest(job_id=made.job_id)
            assert (await ask(client.show_photo_digital_human_video, request)).state == "CANCELED"


@pytest.mark.parametrize(
    "body",
    [
        Create2DDigitalHumanVideoReq(),
        avatar_body(voice_config=VoiceConfig(voice_asset_id="v", speed=201)),
        avatar_body(video_config=VideoConfig(codec="AV1")),
        avatar_body(video_config=VideoConfig(width=5000)),
        avatar_body(output_asset_config=OutputAssetConfig(asset_name="x" * 257)),
        avatar_body(callback_config=CallBackConfig(callback_url="ftp://x")),
        avatar_body(
            shoot_scripts=[ShootScriptItem(shoot_script=ShootScript(text_config=TextConfig(text="字" * 10_001)))]
        ),
    ],
)
async def test_a_body_out_of_range_is_400(body: Create2DDigitalHumanVideoReq) -> None:
    async with Simulator(settings()) as sim:
        with sdk(sim) as client:
            error = await refusal(
                client.create2_d_digital_human_video, Create2DDigitalHumanVideoRequest(body=body)
            )
            assert (error.status_code, error.error_code) == (400, "MSS.00000003")
            assert sim.jobs() == []


async def test_a_user_id_does_not_allow_chinese_characters() -> None:
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs()
        with sdk(sim) as client:
            request = Show2DDigitalHumanVideoRequest(job_id=job_id, x_app_user_id="user-7")
            assert (await ask(client.show2_d_digital_human_video, request)).job_id == job_id
            request.x_app_user_id = "用户"
            error = await refusal(client.show2_d_digital_human_video, request)
            assert (error.status_code, error.error_code) == (400, "MSS.00000003")


async def test_the_project_is_looked_up_by_region() -> None:
    async with Simulator(settings(seed=41)) as sim:
        [job_id] = sim.create_jobs()
        credentials = BasicCredentials(sim.settings.access_key, sim.settings.secret_key).with_iam_endpoint(sim.url)

        def build() -> MetaStudioClient:
            builder = MetaStudioClient.new_builder().with_credentials(credentials)
            return builder.with_region(Region("cn-north-4", sim.url)).build()

        client = await ask(lambda _: build(), None)
        assert credentials.project_id == sim.settings.project_id
        shown = await ask(client.show2_d_digital_human_video, Show2DDigitalHumanVideoRequest(job_id=job_id))
        assert shown.job_id == job_id
        client.get_http_client().close()


async def test_temporary_keys_need_their_security_token() -> None:
    async with Simulator(settings(security_token="st-1")) as sim:
        [job_id] = sim.create_jobs()
        request = Show2DDigitalHumanVideoRequest(job_id=job_id)
        with sdk(sim, security_token="st-1") as client:
            assert (await ask(client.show2_d_digital_human_video, request)).job_id == job_id
        with sdk(sim) as client:
            assert (await refusal(client.show2_d_digital_human_video, request)).status_code == 401


async def test_exceptions_for_each_refusal() -> None:
    async with Simulator(settings(show_rate=2)) as sim:
        [job_id] = sim.create_jobs()
        request = Show2DDigitalHumanVideoRequest(job_id=job_id)
        with sdk(sim) as client:
            bad = await refusal(client.list_digital_human_video, ListDigitalHumanVideoRequest(limit=101))
            missing = await refusal(
                client.show2_d_digital_human_video, Show2DDigitalHumanVideoRequest(job_id="missing")
            )
            throttled = await refusal(client.show2_d_digital_human_video, request)
            sim.fault("server_error", times=1)
            broken = await refusal(client.show2_d_digital_human_video, request)
            sim.fault("gateway_error", times=1)
            timeout = await refusal(client.show2_d_digital_human_video, request)
        with sdk(sim, secret_key="wrong") as client:
            refused = await refusal(client.show2_d_digital_human_video, request)
        with sdk(sim, access_key="UNKNOWN") as client:
            unknown = await refusal(client.show2_d_digital_human_video, request)
        with sdk(sim, project_id="0" * 32) as client:
            denied = await refusal(client.show2_d_digital_human_video, request)
    seen = [bad, refused, unknown, missing, throttled, denied, broken, timeout]
    assert [(error.status_code, error.error_code) for error in seen] == [
        (400, "MSS.00000003"),
        (401, "APIG.0301"),
        (401, "APIG.0301"),
        (404, "MSS.00000002"),
        (429, "429"),  # the SDK's own retry adapter swallows the body of a 429
        (403, "APIG.0306"),
        (500, "MSS.00000004"),
        (504, "APIG.0203"),
    ]
    assert all(error.request_id and error.error_msg for error in seen if error is not throttled)
    assert all(isinstance(error, ClientRequestException) for error in seen[:6])
    assert all(isinstance(error, ServerResponseException) for error in seen[6:])


async def test_the_documents_example_breaks_the_sdk_as_known() -> None:
    """The quirk that wrapd must handle is real: the official SDK fails on it."""
    async with Simulator(settings()) as sim:
        [job_id] = sim.create_jobs()
        sim.fault("quirk_position")
        with sdk(sim) as client, pytest.raises(ValueError, match="656"):
            await ask(client.show2_d_digital_human_video, Show2DDigitalHumanVideoRequest(job_id=job_id))
