"""The keys that `--json` gives for what only the commands show (the rest are daemon/views/). Documented in
docs/cli.md, which is generated from the comments here: they may grow, none goes or changes its meaning.
"""

import math
from datetime import datetime
from typing import TYPE_CHECKING

from daemon import views
from daemon.cli.text import stamp
from daemon.domain.events import Event
from daemon.domain.planning import WORDS, Explanation, Reason

if TYPE_CHECKING:
    from daemon.cli.channels import Standing as ChannelStanding
    from daemon.cli.checks import Finding
    from daemon.cli.discover import Account
    from daemon.cli.explain import Case
    from daemon.cli.routes import Explained, Held
    from daemon.cli.stats import Production, Stats
    from daemon.config import Channel
    from daemon.domain.quiet import QuietHours
    from daemon.domain.routing import Route, Step, Target
    from daemon.notify.templates.examples import Preview
    from daemon.store import JobRow, LinkRow

Facts = dict[str, object]


def of_channel(name: str, channel: "Channel", standing: "ChannelStanding") -> Facts:
    """A channel of the config, in `channels --json`."""
    counts = standing.counts
    return {
        "channel": name,  # as the config calls it
        "timezone": channel.timezone,  # of the times in its messages
        "language": channel.language,  # of its messages: en or zh
        "events": list(standing.events),  # what goes there; `operators` stands for all events of operators
        "max_per_minute": channel.max_per_minute,  # as the config has it; null: what the service documents
        "digest_above": channel.digest_above,  # as the config has it; null: 6 for people, 0 for programs
        "digest_window": channel.digest_window,  # seconds
        "fallback": channel.fallback,  # the channel that is told as well while this one is refused, or null
        "fallback_after": channel.fallback_after,  # seconds
        # its own quiet hours: `from`, `to` (HH:MM), `timezone`, `urgent` (events that pass); null where it
        "quiet": None if standing.quiet is None else _of_quiet(standing.quiet),  # has none
        "templates": sorted(channel.templates),  # what there are templates of the operator's own for
        "sent": counts.get("sent", 0),  # alerts that the chat service took
        "waiting": counts.get("pending", 0) + counts.get("sending", 0),  # alerts that are to be sent
        # all alerts that wait because the service refuses the channel: those `waiting`, and what it has refused;
        "held": standing.refused,  # 0 where it does not
        "held_since": stamp(standing.held_since),  # since when it does, or null
        "dead": counts.get("dead", 0),  # alerts that were given up
    }


def of_route(number: int, route: "Route") -> Facts:
    """A route of the config, in `routes --json`; an empty list is no condition."""
    return {
        "route": number,  # its place in the config, from 1
        "events": [event.value for event in Event if event in route.events],  # what it takes
        "channels": list(route.channels),  # where that goes
        "projects": list(route.projects),  # only of these
        "kinds": list(route.kinds),  # only of these
        "tags": list(route.tags),  # only with one of these
        "batches": list(route.batches),  # only of these
        "labels": list(route.labels),  # only where one of these patterns fits
        "stop": route.stop,  # whether no later route is looked at for what this one takes
        # `from`, `to` (HH:MM), `timezone`, `urgent` (events that pass); null where
        "quiet": None if route.quiet is None else _of_quiet(route.quiet),  # it has no quiet hours
    }


def of_routing(found: "Explained") -> Facts:
    """Where an alert goes, in `routes explain --json`."""
    subject = found.subject
    return {
        "event": subject.event.value,  # what is told
        "at": stamp(found.at),  # the moment for which this holds
        "project": subject.project,  # of what: name of the project, or null
        "kind": subject.kind,  # kind of the job, or null
        "tags": list(subject.tags),  # tags of the job
        "batch": subject.batch,  # its batch, or null
        "label": subject.label,  # its label, or null
        # each route in order: `route` (from 1), `channels`, `taken`, `mismatch` (the first condition that does not
        # hold: event, project, kind, tag, batch, label; null where all do), `skipped` (a route before it said
        "routes": [_of_step(step) for step in found.steps],  # stop); empty for events of operators
        # the channels that hear of it: `channel`; `held_until`, the end of quiet hours, or null; `refused_since`,
        # since when its service refuses it, or null, and then `waiting`, how many alerts wait there, and `reason`;
        "targets": [
            _of_target(target, found.held.get(target.channel)) for target in found.targets
        ],  # both null: at once
    }


def of_preview(each: "Preview") -> Facts:
    """What a channel would get for an example, in `templates preview --json`."""
    return {
        "example": each.example,  # its name
        "event": each.event,  # what it tells of; `digest` of several
        "template": each.template,  # the operator's file, or null
        "fault": each.fault,  # why the template is not used, or null
        "title": each.title,  # of the plain form
        "body": each.body,  # of the plain form
        "markup": each.markup,  # of the plain form: text, html or markdown
        "card": each.card,  # what is posted instead of the plain form, or null
        "facts": each.facts,  # what programs get beside it, or null
    }


def _of_quiet(quiet: "QuietHours") -> Facts:
    return {
        "from": f"{quiet.start:%H:%M}",
        "to": f"{quiet.end:%H:%M}",
        "timezone": str(quiet.zone),
        "urgent": [event.value for event in Event if event in quiet.urgent],
    }


def _of_step(step: "Step") -> Facts:
    return {
        "route": step.number,
        "channels": list(step.route.channels),
        "taken": step.taken,
        "mismatch": step.mismatch,
        "skipped": step.skipped,
    }


def _of_target(target: "Target", held: "Held | None") -> Facts:
    return {
        "channel": target.channel,
        "held_until": stamp(target.held_until),
        "refused_since": None if held is None else stamp(held.refusal.since),
        "waiting": None if held is None else held.waiting,
        "reason": None if held is None else held.refusal.reason,
    }


def of_explanation(case: "Case") -> Facts:
    """Why a job is asked about when it is, as `explain --json` gives it."""
    row, plan, law = case.job, case.plan, case.law
    return {
        "project": row.project,  # name of the project in the config
        "kind": row.kind,  # as `track --kind` has it
        "job_id": row.job_id,  # as MetaStudio names it
        "state": row.state,  # null before the first answer
        "tracking": str(row.tracking),  # active, finished, lost, expired or stopped
        "expected_length": row.expected_length,  # seconds of speech by its script, or null
        "finished": case.finished,  # jobs of its project and kind that succeeded, of the last 200 that ended
        "typical_median": round(law.quantile(0.5), 1),  # seconds of production: half of the jobs like it take less
        "typical_low": round(law.quantile(0.1), 1),  # 1 of 10 takes less
        "typical_high": round(law.quantile(0.9), 1),  # 9 of 10 take less
        "last_polled_at": stamp(row.last_polled_at),  # noted every 30 s
        "asked_by": row.asked_by,  # how it was asked then: single, ids or feed
        "elapsed": None if plan is None else round(plan.elapsed, 1),  # seconds of production at that look
        # the moment for which the next keys hold: now, or, where a daemon runs and has not noted yet that it has
        "as_of": stamp(case.as_of),  # looked again, `next_poll_at`
        "ended": None if plan is None else round(plan.ended, 6),  # the chance, 0 to 1, that it had ended by then
        "delay": None if plan is None else round(plan.delay, 4),  # seconds of undetected delay to be expected then
        # seconds of delay at which a request is worth it: the config's price, raised for want of budget, shared
        "price": None if plan is None else round(plan.price, 6),  # by the jobs of a list
        # seconds from then until the delay comes to the price;
        "price_in": _reached(plan),  # null: never, or not known
        "next_poll_at": stamp(row.next_poll_at),  # noted every 30 s; null where nothing is planned
        "next_reason": row.next_reason,  # why then, in a word
        "next_reason_text": reason_of(row),  # the same as a sentence
        "shared_by": case.shared_by,  # how many jobs share a request
        "by_feed": case.by_feed,  # whether the feed is asked instead, for all jobs at once
        "eta": _eta(case),  # as in a job
        "eta_reason": case.outlook.reason,  # as in a job
        "daemon_running": case.running,  # whether a daemon works on the database
        "watch": None if case.status is None else dict(case.status.facts),  # as in `stats`
        "watch_at": None if case.status is None else stamp(case.status.at),  # when the daemon said so
    }


def _eta(case: "Case") -> Facts | None:
    eta = views.remaining(case.outlook.eta, now=case.outlook.at)
    return None if eta is None else views.document(eta)


def reason_of(row: "JobRow") -> str | None:
    """Why the job is asked about next, as a sentence; an unknown word as it is."""
    word = row.next_reason
    if word is None:
        return None
    return WORDS[Reason(word)] if word in set(Reason) else word


def of_stats(stats: "Stats", *, running: bool) -> Facts:
    """How a project is watched, in `stats --json`."""
    look, status = stats.discovery, stats.status
    return {
        "project": stats.project,  # name of the project in the config
        "states": dict(stats.states),  # tracked jobs by state; `new` before the first answer
        "ended": dict(stats.ended),  # jobs that are not tracked any more, by `tracking`
        "daemon_running": running,  # whether a daemon works on the database
        # what the daemon last said: `feed` (off, trial, trusted, distrusted), `feed_reason`, `feed_again_at`,
        # `batch` (off, auto), `batch_size`, `batch_reason`, `price` (seconds), `pressure` (times the price is
        # raised), `rate` (requests a second at most), `usage` (share of it used lately), `jobs`, `late_seconds`,
        "watch": None if status is None else dict(status.facts),  # `up`, and others; null before it ran
        "watch_at": None if status is None else stamp(status.at),  # when it said so
        # when discovery last noted how far its looks came;
        "discovered_at": None if look is None else stamp(look.ended_at),  # null where it did not in a week
        # for each kind, of the last 200 jobs that ended: `kind`, `finished` (how many of them succeeded), and
        # their seconds of production, `median_seconds`, `low_seconds` (1 of 10 took less), `high_seconds` (9);
        "production": [_of_production(each) for each in stats.production],  # null where none succeeded
    }


def _of_production(each: "Production") -> Facts:
    return {
        "kind": each.kind,
        "finished": each.finished,
        "median_seconds": each.median,
        "low_seconds": each.low,
        "high_seconds": each.high,
    }


def _reached(plan: "Explanation | None") -> float | None:
    return None if plan is None or math.isinf(plan.reached_in) else round(plan.reached_in, 1)


def of_account(account: "Account") -> Facts:
    """What `track --from-api --json` found in the service's list."""
    return {
        "project": account.project,  # name of the project in the config
        "dry_run": account.dry_run,  # whether nothing was to be tracked
        "found": account.found,  # jobs that fit
        "added": account.added,  # those of them that are tracked now and were not known before
        # the first 1000 that fit: `job_id`, `kind`, `state`, `name` of the video or null, `result` (added, known,
        # or new: it would have been added), and `tracking` of a known one (active, finished, lost, expired or
        "jobs": list(account.jobs),  # stopped)
        "error": account.error,  # why this is not all, or null
    }


def of_link(link: "LinkRow", job: "JobRow", now: datetime) -> Facts:
    """wrapd's own link to a video, in `links list --json`. Its address is not told: whoever has it may open it."""
    return {
        "project": job.project,  # name of the project in the config
        "job_id": job.job_id,  # as MetaStudio names it
        "label": job.label or None,  # what `track --label` said, or null
        "name": job.asset.asset_name,  # the service's name of the video
        "status": link_status(link, now),  # open, expired or revoked
        "created_at": stamp(link.created_at),  # when it was made, for the first message that carried it
        "expires_at": stamp(link.expires_at),  # until when it opens
        "revoked_at": stamp(link.revoked_at),  # when it was taken back, or null
        "clicks": link.clicks,  # how often people opened it; robots are not counted
        "last_click_at": stamp(link.last_click_at),  # when somebody last did, or null
    }


def link_status(link: "LinkRow", now: datetime) -> str:
    """How it stands with a link, in a word."""
    if link.revoked_at is not None:
        return "revoked"
    return "open" if link.expires_at > now else "expired"


def of_finding(finding: "Finding") -> Facts:
    """One thing that was looked at, in `doctor --json`."""
    return {
        "verdict": finding.verdict,  # ok, warn or fail
        "what": finding.what,  # version, config, database, daemon, readyz, …
        "text": finding.text,  # how it stands, with what to do where it does not
    }
