"""The API document's own example answer, byte for byte, through a real daemon to a webhook and to the console."""

import json
from pathlib import Path

from tests.support.live import FAST, LiveDaemon, LiveSim, to
from tests.support.webhook import Webhook

BODY = (Path(__file__).parents[1] / "data" / "document_example.json").read_bytes()
EXAMPLE = json.loads(BODY)
COVER = EXAMPLE["output_asset_config"]["cover_url"]


def test_the_documents_example_is_told_with_its_cover_as_it_came(tmp_path: Path) -> None:
    assert COVER.startswith("https://{endpoint}/")
    job_id = EXAMPLE["job_id"]
    with LiveSim() as sim, Webhook() as hook:
        sim.do(lambda it: it.answer(job_id, BODY))
        config = f'{FAST}[web]\nenabled = false\n{sim.project()}{to(hook)}[channels.people]\nurl = "console://"\n'
        with LiveDaemon(tmp_path, config) as daemon:
            daemon.command("track", job_id, "--label", "The document's own")
            daemon.wait_for("delivery.sent", channel="hook")
            daemon.wait_for("delivery.sent", channel="people")
            job = daemon.json("show", job_id)
            assert daemon.stop().status == 0
        said = daemon.raw
    assert (job["state"], job["tracking"], job["cover_url"]) == ("SUCCEED", "finished", COVER)
    assert job["cover_expires_at"] == "2022-12-17T01:44:17.000Z"
    assert [step["to"] for step in job["transitions"]] == ["SUCCEED"]

    [alert] = [received.json for received in hook.requests]
    assert (alert["event"], alert["job_id"], alert["state"]) == ("succeeded", job_id, "SUCCEED")
    assert (alert["cover_url"], alert["preview_url"], alert["error_code"]) == (COVER, None, None)
    assert (alert["asset_id"], alert["name"]) == ("942e65a5fd219a2e01fb08d881cfadb9", "One Day")
    lines = alert["message"].splitlines()
    assert lines[lines.index(COVER) - 1] == "Cover (expired 17 Dec 2022 01:44 (UTC)):"

    shown = [line.removeprefix("│ ") for line in said if line.startswith("│")]
    assert shown[shown.index(COVER) - 1] == "Cover (expired 17 Dec 2022 01:44 (UTC)):"
    assert next(line for line in said if line.startswith("╭─")).endswith("Ready: One Day")
