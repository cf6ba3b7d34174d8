"""Renders successful answers about jobs and assets, with the API document's field names, types and times.

Bodies stay plain dicts until they are sent, so that a quirk can modify them.
Source: the API document, Tables 5 to 28; the official SDK for assets and for the kinds other than videos.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from math import inf
from typing import Any

from daemon.sim.files import video_mp4
from daemon.sim.jobs import Entry, Job
from daemon.sim.kinds import BUSINESS_CARD, ENDED, PHOTO_DETECTION, PICTURE_MODELING
from daemon.sim.links import COVER, MAIN, PREVIEW, FileLinks
from daemon.sim.scripts import made_up_request, script_text
from daemon.sim.times import iso

_CONFIGS = ("voice_config", "video_config", "shoot_scripts", "background_music_config")

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode(body: object) -> bytes:
    """Return `body` as compact JSON in UTF-8."""
    return _to_json(body).encode("utf-8", "replace")


class JobRenderer:
    """Renders jobs. Links are signed when the answer is made and live `link_life` seconds; those in lists may be a
    little older."""

    def __init__(self, links: FileLinks, *, link_life: float) -> None:
        self._links = links
        self._life = link_life
        self._slack = link_life / 1440
        """Seconds for which lists repeat the same link: one minute for links that live a day."""

    def entries(self, jobs: Sequence[Job], *, base: str, moment: float, now: float) -> list[bytes]:
        """Return each job's list entry in JSON, as of `moment` (monotonic seconds; `now` is epoch seconds)."""
        entries = []
        for job in jobs:
            cached = job.entry
            if cached is None or moment >= cached[0] or not cached[1] <= now < cached[2] or cached[3] != base:
                cached = job.entry = self._entry(job, base, moment, now)
            entries.append(cached[4])
        return entries

    def _entry(self, job: Job, base: str, moment: float, now: float) -> Entry:
        state = job.seek(moment)
        body = encode(self.summary(job, job.pos, base=base, now=now))
        following = job.next_change()
        end = inf if following is None else following
        # only a finished video has links, and only links depend on the time of the request
        return (end, now, now + self._slack, base, body) if state == "SUCCEED" else (end, -inf, inf, base, body)

    def summary(self, job: Job, pos: int, *, base: str, now: float) -> dict[str, Any]:
        """Return a video job's list entry as of position `pos` of its timeline; `now` is epoch seconds."""
        state, changed = job.states[pos], iso(job.wall(job.times[pos]))
        body = {"job_id": job.job_id, "state": state, "job_type": job.kind.job_type, **_span(job, pos, changed)}
        if state == "SUCCEED":
            body["duration"] = round(job.spoken, 3)
            body["output_asset_config"] = self._output(job, base, int(now + self._life))
        else:
            body["output_asset_config"] = {"asset_name": job.name}
        body |= _error(job, state)
        body["create_time"] = iso(job.created_wall)
        body["lastupdate_time"] = changed
        return body

    def details(self, job: Job, *, base: str, now: float, show_script: bool) -> dict[str, Any]:
        """Return the body of the show operation of the job's kind, in the state found by the last `job.seek`."""
        if job.kind is BUSINESS_CARD:
            return self._business_card(job, base, now)
        if job.kind is PHOTO_DETECTION:
            body = {"job_id": job.job_id, "state": job.states[job.pos], **_error(job, job.states[job.pos])}
            return body | {"create_time": iso(job.created_wall)}
        if job.kind is PICTURE_MODELING:
            return self._picture_modeling(job, base, now)
        return self._video(job, base, now, show_script=show_script)

    def _video(self, job: Job, base: str, now: float, *, show_script: bool) -> dict[str, Any]:
        body = self.summary(job, job.pos, base=base, now=now)
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

    def _business_card(self, job: Job, base: str, now: float) -> dict[str, Any]:
        """Return the body of a business card: state and times are inside `job_info`."""
        info = self.summary(job, job.pos, base=base, now=now)
        info = {name: value for name, value in info.items() if name not in ("job_type", "duration")}
        return {
            "job_info": {**info, "business_card_type": "2D_DIGITAL_HUMAN_CARD"},
            "introduction_type": "TEXT",
            "introduction_text": script_text(job.number, job.script_chars),
            "card_text_config": {"name": job.name},
            "gender": "FEMALE",
        }

    def _picture_modeling(self, job: Job, base: str, now: float) -> dict[str, Any]:
        """Return the body of a picture modeling: no creation or update time. PARTIAL_SUCCEED has a model but no
        picture."""
        state, changed = job.states[job.pos], iso(job.wall(job.times[job.pos]))
        body = {"job_id": job.job_id, "state": state, **_span(job, job.pos, changed), **_error(job, state)}
        body |= {"name": job.name, "style_id": "system_default"}
        if state in ("SUCCEED", "PARTIAL_SUCCEED"):
            body["model_asset_id"] = job.asset_id
        if state == "SUCCEED":
            expires = int(now + self._life)
            body["model_cover_url"] = self._links.sign(base, job.asset_id, COVER, expires=expires)
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
        """Return the asset of a job that has succeeded; its MAIN file is the video."""
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


def _span(job: Job, pos: int, changed: str) -> dict[str, Any]:
    """Return the times of production known at `pos`; `changed` is when the state at `pos` began."""
    span = {}
    started = job.first("PROCESSING", pos)
    if started is not None:
        span["start_time"] = iso(job.wall(started))
    if job.states[pos] in ENDED:
        span["end_time"] = changed
    return span


def _error(job: Job, state: str) -> dict[str, Any]:
    if state != "FAILED":
        return {}
    return {"error_info": {"error_code": job.failure.code, "error_msg": job.failure.message}}
