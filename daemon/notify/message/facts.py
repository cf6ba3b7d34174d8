"""What a machine is told with each alert: the keys of a `json://` channel's body, declared once.

docs/channels.md is made from this. Keys may be added; none goes or changes its meaning. Must never hold a value.
"""

from collections.abc import Mapping

from daemon.domain.events import Json

FACTS: Mapping[str, str] = {
    "event": "see [events.md](events.md); `digest` for many alerts in one message, `test` for a test message",
    "delivery_id": "number of this alert for this channel; the same at each try, so that repeats can be dropped",
    "possible_repeat": "true where an earlier try may have arrived",
    "attempt": "counts the tries of this alert from 1",
    "channel": "name of the channel in the config",
    "project": "name of the project in the config, or null",
    "kind": "avatar, photo, business_card, photo_detection or picture_modeling",
    "job_id": "as MetaStudio names it",
    "label": "what `track --label` said, or null",
    "name": "what the message calls the job: the video's name, else the label, else the id",
    "tags": "list of what `track --tag` said",
    "batch": "what `track --batch` said, or null",
    "state": "WAITING, PROCESSING, SUCCEED, PARTIAL_SUCCEED, FAILED, CANCELED or BLOCK, an unknown one as it came",
    "state_before": "the state before, null for the first answer",
    "own_url": "wrapd's own link to the video, where `web.public_url` is set: it outlives the others",
    "cover_url": "exactly as it came",
    "cover_valid_until": "null where the link does not say",
    "preview_url": "exactly as it came",
    "preview_valid_until": "as the link says, else 24 hours after it was fetched",
    "download_url": "the finished file of an avatar video",
    "download_valid_until": "as the link says, else 24 hours after it was fetched",
    "link_until": "of `succeeded` and `link_expiring`: when the last of the links to the video expires",
    "asset_id": "the service's id of the video",
    "error_code": "of a failed job",
    "error_msg": "of a failed job",
    "duration": "length of the video in seconds",
    "took": "seconds of production, as far as is known",
    "eta_median": "of `started`: seconds that production is expected to take from `observed_at` on: half of the "
    "jobs like it take less. Null where too few have finished",
    "eta_low": "of `started`: the same; 1 of 10 jobs takes less",
    "eta_high": "of `started`: the same; 9 of 10 jobs take less",
    "elapsed": "of `stuck`: seconds of production so far",
    "normal_median": "of `stuck`: half of the jobs like it take less than these seconds",
    "normal_high": "of `stuck`: 99 of 100 jobs like it take less than these seconds",
    "ended_at": "when a job succeeded, failed or was canceled (the service's time where it can be believed), or "
    "the last job of a batch ended",
    "observed_at": "when wrapd saw it",
    "reported_at": "the service's own time of the update, or null",
    "reason": "why tracking ended without an end (`lost`, `expired`), or what is wrong (events for operators)",
    "late_seconds": "of `overloaded`: how long the most overdue job has waited",
    "jobs": "of `overloaded`: how many jobs are tracked; of `batch_finished`: how many the batch has; of "
    "`unconfirmed`: how many jobs the service does not know; of `orphaned`: how many nobody asks about",
    "held_channel": "of `channel_held`, `delivery_dead` and `orphaned`: which one",
    "deliveries": "of `delivery_dead`: how many alerts were given up; of `orphaned`: how many nobody sends",
    "command": "of `orphaned`: the command that moves them",
    "part": "of `defect`: the part of wrapd that failed",
    "diverted_from": "the channel that this alert was written for, where it takes no messages; else null",
    "resent_from": "`delivery_id` of the alert that this one repeats, because somebody asked for it; else null",
    "began_at": "of `batch_finished`: when the first of its jobs was created",
    "counts": "of `batch_finished`: how many jobs ended in which way (`succeeded`, `partial`, `failed`, "
    "`canceled`, `lost`, `expired`, `stopped`); of `digest`: how many alerts of which event it holds",
    "failures": "of `batch_finished`: the first jobs that did not succeed, a list of objects with `job_id`, "
    "`name`, `event` and `error`",
    "shared": "how many alerts this message tells of: 1, more for a `digest`",
    "alerts": "of `digest`: the facts of each alert, a list of objects with the keys of this table",
}
"""What each key means."""

NOTHING: Mapping[str, Json] = dict.fromkeys(FACTS)
"""Every key with null, so that a reader finds the same keys in every alert."""
