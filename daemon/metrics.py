"""All metrics, declared once. The only module that imports prometheus_client.

Labels are projects, channels and short fixed words: never a job's id, a URL or a secret.
"""

import contextlib
from datetime import datetime
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one daemon, in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        self.requests = counter(
            "wrapd_requests",
            "Requests sent to the MetaStudio API, by operation and outcome",
            ["project", "operation", "outcome"],
        )
        self.request_seconds = Histogram(
            "wrapd_request_seconds",
            "Seconds from sending a request to receiving its complete answer",
            ["project"],
            buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.transitions = counter(
            "wrapd_transitions",
            "State transitions recorded; unknown states count as `other`",
            ["project", "state"],
        )
        self.jobs = gauge("wrapd_jobs_active", "Jobs that are being polled", ["project"])
        self.lateness = gauge(
            "wrapd_poll_lateness_seconds", "Seconds by which the most overdue job is late", ["project"]
        )
        self.looks = counter(
            "wrapd_looks",
            "Jobs checked, by kind of query: `single`, or `ids` (one request for up to 100 jobs)",
            ["project", "by"],
        )
        self.ends = counter(
            "wrapd_ends", "Ends found, by the query that found them: `single`, `ids` or `feed`", ["project", "by"]
        )
        self.feed_trusted = gauge(
            "wrapd_feed_trusted",
            "1 while the list of ended jobs is trusted as the source of news, else 0",
            ["project"],
        )
        self.batch_size = gauge(
            "wrapd_batch_size", "How many jobs one list by ids may cover; 1: they are polled singly", ["project"]
        )
        self.price = gauge(
            "wrapd_price_seconds",
            "Seconds of undetected delay that a request is worth now; it rises when the budget is too small",
            ["project"],
        )
        self.request_rate = gauge(
            "wrapd_request_rate",
            "Requests per second allowed at present; lower than configured after the service said `too many`",
            ["project"],
        )
        self.project_up = gauge("wrapd_project_up", "1 while a project's API answers, else 0", ["project"])
        self.project_authorized = gauge(
            "wrapd_project_authorized", "1 while the service accepts a project's credentials, else 0", ["project"]
        )
        self.attempts = counter(
            "wrapd_attempts", "Attempts to deliver an alert, by channel and outcome", ["channel", "outcome"]
        )
        self.deliveries = gauge(
            "wrapd_deliveries",
            "Unsent deliveries in the outbox: pending, sending, held or dead",
            ["channel", "status"],
        )
        self.config_reloads = counter(
            "wrapd_config_reloads",
            "Reloads of the config, by result: `ok`, or `refused` if it had a fault",
            ["result"],
        )
        self.config_good = gauge(
            "wrapd_config_last_reload_successful",
            "1 if the last reload of the config (or the start, before any reload) succeeded, else 0",
        )
        self.config_good_at = gauge(
            "wrapd_config_last_reload_success_timestamp_seconds", "When the config in use was read (Unix time)"
        )
        self.ready = gauge("wrapd_ready", "1 while /readyz says that jobs are polled and alerts sent, else 0")
        self.heartbeats = counter(
            "wrapd_heartbeats",
            "Pings of the heartbeat that were due, by outcome: `sent`, `failed` (no success was answered), or "
            "`withheld` for lack of progress",
            ["outcome"],
        )
        self.defects = counter(
            "wrapd_defects", "Unexpected errors in wrapd itself, by part; please report them", ["part"]
        )
        self.store_errors = counter("wrapd_store_errors", "Transactions that failed; they are retried")
        self.backup_at = gauge(
            "wrapd_backup_timestamp_seconds",
            "When the newest backup in the folder `backups` next to the database was begun (Unix time); 0: none",
        )
        self.log_lines_lost = counter("wrapd_log_lines_lost", "Log lines that could not be written")

    def config_read(self, *, good: bool, at: datetime) -> None:
        """Record that the config was read `at`, and whether it is in use (`good`)."""
        self.config_good.set(good)
        if good:
            self.config_good_at.set(at.timestamp())

    def forget_project(self, project: str) -> None:
        """Remove the gauges of a project that is gone. Its counters stay."""
        for each in (
            self.jobs,
            self.lateness,
            self.feed_trusted,
            self.batch_size,
            self.price,
            self.request_rate,
            self.project_up,
            self.project_authorized,
        ):
            with contextlib.suppress(KeyError):
                each.remove(project)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
