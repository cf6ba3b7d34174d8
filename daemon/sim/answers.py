"""What the service answers about jobs and assets: bodies with the document's names, types and times.

Owns the shapes of success. Bodies are plain dicts until they are sent, so that a quirk can bend them.
Source: the API document, Tables 5 to 28; the asset's shape from the official SDK.
"""

import base64
import hashlib
import json
from typing import Any

from daemon.sim.files import video_mp4
from daemon.sim.jobs import ENDED, Job
from daemon.sim.links import COVER, MAIN, PREVIEW, Links
from daemon.sim.scripts import made_up_request
from daemon.sim.times import iso

_CONFIGS = ("voice_config", "video_config", "shoot_scripts", "background_music_config")


def encode(body: object) -> bytes:
    """JSON in UTF-8, as short as it gets."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Answers:
    """Renders jobs. Links are signed at the moment of the answer and live `link_life` seconds."""

    def __init__(self, links: Links, *, link_life: float) -> None:
        self._links = links
        self._life = link_life

    def summary(self, job: Job, state: str, *, base: str, now: float) -> dict[str, Any]:
        """A job as the list shows it. `state` is what `job.seek` just gave; `now` is epoch seconds."""
        changed = iso(job.wall(job.times[job.pos]))
        body: dict[str, Any] = {"job_id": job.job_id, "state": state, "job_type": job.kind.job_type}
        started = job.first("PROCESSING")
        if started is not None:
            body["start_time"] = iso(job.wall(started))
        if state in ENDED:
            body["end_time"] = changed
        if state == "SUCCEED":
            body["duration"] = round(job.spoken, 3)
            body["output_asset_config"] = self._output(job, base, int(now + self._life))
        else:
            body["output_asset_config"] = {"asset_name": job.name}
        if state == "FAILED":
            body["error_info"] = {"error_code": job.failure.code, "error_msg": job.failure.message}
        body["create_time"] = iso(job.created_wall)
        body["lastupdate_time"] = changed
        return body

    def details(self, job: Job, state: str, *, base: str, now: float, show_script: bool) -> dict[str, Any]:
        """A job as the show operation shows it."""
        body = self.summary(job, state, base=base, now=now)
        body["script_id"] = job.script_id
        request = job.request
        if request is not None and "model_asset_id" in request:
            body["model_asset_id"] = request["model_asset_id"]
        if show_script:
            avatar = not job.kind.has_preview
            source = (
                request if request is not None else made_up_request(job.number, job.script_chars, avatar=avatar)
            )
            wanted = ("model_asset_id", *_CONFIGS) if avatar else _CONFIGS
            body |= {name: source[name] for name in wanted if source.get(name) is not None}
        return body

    def _output(self, job: Job, base: str, expires: int) -> dict[str, Any]:
        output = {
            "asset_id": job.asset_id,
            "asset_name": job.name,
            "cover_url": self._links.sign(base, job.asset_id, COVER, expires=expires),
        }
        if job.kind.has_preview:
            output["preview_video_url"] = self._links.sign(base, job.asset_id, PREVIEW, expires=expires)
        return output

    def asset(self, job: Job, *, project_id: str, base: str, now: float) -> dict[str, Any]:
        """The asset of a job that has succeeded: the MAIN file is the video."""
        video = video_mp4(job.number, round(job.spoken))
        made = iso(job.wall(job.times[job.pos]))
        digest = hashlib.md5(video, usedforsecurity=False).digest()
        body: dict[str, Any] = {
            "project_id": project_id,
            "asset_id": job.asset_id,
            "asset_name": job.name,
            "create_time": made,
            "update_time": made,
            "asset_type": "VIDEO",
            "asset_state": "ACTIVED",
            "tags": [],
            "asset_extra_meta": {"video_meta": {"duration": round(job.spoken)}},
            "files": [
                {
                    "file_id": hashlib.md5(b"file" + digest, usedforsecurity=False).hexdigest(),
                    "file_name": f"{job.name}.mp4",
                    "file_md5": base64.b64encode(digest).decode(),
                    "file_size": len(video),
                    "file_type": "mp4",
                    "asset_file_category": "MAIN",
                    "download_url": self._links.sign(base, job.asset_id, MAIN, expires=int(now + self._life)),
                    "state": "CREATED",
                },
                {
                    "file_id": hashlib.md5(b"cover" + digest, usedforsecurity=False).hexdigest(),
                    "file_name": "cover.png",
                    "file_type": "png",
                    "asset_file_category": "COVER",
                    "download_url": self._links.sign(base, job.asset_id, COVER, expires=int(now + self._life)),
                    "state": "CREATED",
                },
            ],
        }
        if job.user_id is not None:
            body["app_user_id"] = job.user_id
        return body
