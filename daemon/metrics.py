"""Every metric that wrapd counts, declared once. The only place that imports prometheus_client.

A metric never carries a job's id, a URL or a secret as a label: labels are projects, channels and short words.
"""

import contextlib
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.requests = Counter(
            "wrapd_requests",
            "Requests sent to the MetaStudio API, by operation and what came of them",
            ["project", "operation", "outcome"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "wrapd_request_seconds",
            "Seconds from sending a request to its whole answer",
            ["project"],
            buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.transitions = Counter(
            "wrapd_transitions",
            "State transitions recorded; unknown states count as `other`",
            ["project", "state"],
            registry=self.registry,
        )
        self.jobs = Gauge(
            "wrapd_jobs_active", "Jobs that are asked about now", ["project"], registry=self.registry
        )
        self.lateness = Gauge(
            "wrapd_poll_lateness_seconds",
            "How long the most overdue job has waited for its turn",
            ["project"],
            registry=self.registry,
        )
        self.looks = Counter(
            "wrapd_looks",
            "Jobs looked at, by question: `single`, or `ids` (one request, up to 100 jobs)",
            ["project", "by"],
            registry=self.registry,
        )
        self.ends = Counter(
            "wrapd_ends",
            "Ends found, by the question that found them: `single`, `ids` or `feed`",
            ["project", "by"],
            registry=self.registry,
        )
        self.feed_trusted = Gauge(
            "wrapd_feed_trusted",
            "1 while the list of ended jobs is trusted to tell the news, else 0",
            ["project"],
            registry=self.registry,
        )
        self.batch_size = Gauge(
            "wrapd_batch_size",
            "How many jobs a list may be asked about; 1: they are asked singly",
            ["project"],
            registry=self.registry,
        )
        self.price = Gauge(
            "wrapd_price_seconds",
            "Seconds of undetected delay that a request is worth now; it rises when the budget is too small",
            ["project"],
            registry=self.registry,
        )
        self.request_rate = Gauge(
            "wrapd_request_rate",
            "Requests a second that are allowed now; less than configured after the service said `too many`",
            ["project"],
            registry=self.registry,
        )
        self.project_up = Gauge(
            "wrapd_project_up", "1 while a project's API answers, else 0", ["project"], registry=self.registry
        )
        self.attempts = Counter(
            "wrapd_attempts",
            "Attempts to deliver an alert, by channel and outcome",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.deliveries = Gauge(
            "wrapd_deliveries",
            "Deliveries in the outbox that are not sent: pending, sending, held or dead",
            ["channel", "status"],
            registry=self.registry,
        )
        self.config_reloads = Counter(
            "wrapd_config_reloads",
            "Reloads of the config, by result: `ok`, or `refused` where it had a fault",
            ["result"],
            registry=self.registry,
        )
        self.config_good = Gauge(
            "wrapd_config_last_reload_successful",
            "1 where the last reload of the config succeeded (or the start, before one), else 0",
            registry=self.registry,
        )
        self.config_good_at = Gauge(
            "wrapd_config_last_reload_success_timestamp_seconds",
            "When the config that is in use was read (Unix time)",
            registry=self.registry,
        )
        self.defects = Counter(
            "wrapd_defects",
            "Errors of wrapd's own that nobody foresaw, by the part that met them; please report them",
            ["part"],
            registry=self.registry,
        )
        self.store_errors = Counter(
            "wrapd_store_errors", "Transactions that failed and are tried again", registry=self.registry
        )
        self.log_lines_lost = Counter(
            "wrapd_log_lines_lost", "Lines of the log that could not be written", registry=self.registry
        )

    def config_read(self, *, good: bool, at: datetime) -> None:
        """The config was read `at`; `good`: it is in use."""
        self.config_good.set(good)
        if good:
            self.config_good_at.set(at.timestamp())

    def forget_project(self, project: str) -> None:
        """Show no more how a project stands: it is gone. What was counted of it stays."""
        for gauge in (
            self.jobs,
            self.lateness,
            self.feed_trusted,
            self.batch_size,
            self.price,
            self.request_rate,
            self.project_up,
        ):
            with contextlib.suppress(KeyError):
                gauge.remove(project)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
