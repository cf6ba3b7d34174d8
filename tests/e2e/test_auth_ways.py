"""Every authentication method in a real daemon: each project's job ends and is alerted."""

from pathlib import Path

import pytest

from tests.support.live import FAST, LiveDaemon, LiveSim, events, to
from tests.support.webhook import Webhook

pytestmark = pytest.mark.long

HEAD = FAST + "[web]\nenabled = false\n"
DONE = [("SUCCEED", None)]


def test_seven_projects_with_their_own_ways(tmp_path: Path) -> None:
    with LiveSim() as sim, LiveSim(seed=2, security_token="temporary-token-of-tests") as other, Webhook() as hook:
        keys = sim.settings
        user = f'domain = "{keys.iam_domain}", user = "{keys.iam_user}", password = {{ env = "SIM_PASSWORD" }}'
        (tmp_path / "token").write_text(f"{keys.token}\n")
        looked_up = f'region = "{keys.region}"'
        iam = f'iam_endpoint = "{sim.url}"'
        sections = {
            "keys": sim.project("keys"),
            "same-keys": sim.project("same-keys"),
            "temporary": other.project(
                "temporary", auth=other.aksk.replace(" }", ', security_token = "temporary-token-of-tests" }')
            ),
            "token": sim.project("token", auth='{ method = "token", token = { file = "token" } }'),
            "password": sim.project("password", auth=f'{{ method = "password", {iam}, {user} }}'),
            "keys-looked-up": sim.project(
                "keys-looked-up", auth=sim.aksk.replace(" }", f", {iam} }}"), more=looked_up, named=False
            ),
            "password-looked-up": sim.project(
                "password-looked-up",
                auth=f'{{ method = "password", {iam}, {user} }}',
                more=looked_up,
                named=False,
            ),
        }
        config = HEAD + "".join(sections.values()) + to(hook)
        with LiveDaemon(tmp_path, config, environ={"SIM_PASSWORD": keys.iam_password}, started=False) as daemon:
            for name in sections:
                [job] = (other if name == "temporary" else sim).jobs(timeline=DONE)
                daemon.command("track", "--project", name, job)
            daemon.start()
            daemon.wait_for("delivery.sent", count=len(sections))
            assert daemon.stop().status == 0
            ends = {row["project"]: row["state"] for row in daemon.json("jobs")}
        assert ends == dict.fromkeys(sections, "SUCCEED")
        assert sim.asked("projects") == 1, "a password's token tells the project: only the keys have to ask"
        for secret in (keys.secret_key, keys.token, keys.iam_password, other.settings.secret_key):
            assert secret not in daemon.said


@pytest.mark.parametrize("place", ["file", "environment"])
def test_the_keys_that_the_sdk_would_find(tmp_path: Path, place: str) -> None:
    with LiveSim() as sim, Webhook() as hook:
        keys = sim.settings
        environ = {"HOME": str(tmp_path)}
        if place == "environment":
            environ |= {
                "HUAWEICLOUD_SDK_AK": keys.access_key,
                "HUAWEICLOUD_SDK_SK": keys.secret_key,
                "HUAWEICLOUD_SDK_PROJECT_ID": keys.project_id,
            }
        else:
            (tmp_path / ".huaweicloud").mkdir()
            (tmp_path / ".huaweicloud" / "credentials").write_text(
                f"[basic]\nak = {keys.access_key}\nsk = {keys.secret_key}\nproject_id = {keys.project_id}\n"
            )
        config = f'{HEAD}[projects.main]\nendpoint = "{sim.url}"\n{to(hook)}'
        [job] = sim.jobs(timeline=DONE)
        with LiveDaemon(tmp_path, config, environ=environ, started=False) as daemon:
            daemon.command("track", job)
            daemon.start()
            daemon.wait_for("delivery.sent", told="succeeded")
            assert daemon.stop().status == 0
        assert keys.secret_key not in daemon.said


def test_a_wrong_key_is_told_once_for_two_projects_and_its_mend_goes_on(tmp_path: Path) -> None:
    wrong = "wrong-secret-key-of-tests"
    with LiveSim() as sim, Webhook() as hook:
        right = HEAD + sim.project() + sim.project("two") + to(hook)
        jobs = sim.jobs(count=6, timeline=DONE)
        config = right.replace(sim.settings.secret_key, wrong)
        with LiveDaemon(tmp_path, config, started=False) as daemon:
            daemon.command("track", "--project", "main", *jobs[:3])
            daemon.command("track", "--project", "two", *jobs[3:])
            daemon.start()
            daemon.wait_for("auth.paused", failures=2)  # the third try comes only minutes later
            daemon.wait_for("delivery.sent", told="auth_failed")
            assert sim.do(lambda it: it.stats())["by_status"] == {"401": 2}
            assert events(hook) == ["auth_failed"]
            told = hook.requests[0].json["message"]
            assert "APIG.0301" in told
            assert "Correct the keys or the token in the config, then run `wrapd reload`" in told
            assert daemon.stop().status == 0
            assert wrong not in daemon.said + told
            assert set(daemon.states().values()) == {(None, "active")}
            daemon.config.write_text(right)
            daemon.start()
            daemon.wait_for("delivery.sent", told="succeeded", count=6)
            assert daemon.stop().status == 0
