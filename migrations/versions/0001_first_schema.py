"""The first schema: jobs, transitions, deliveries, attempts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNSENT = sa.text("status = 'pending' OR status = 'sending' OR status = 'held'")


def upgrade() -> None:
    _jobs()
    _transitions()
    _deliveries()
    _attempts()


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(
        name, sa.Boolean(create_constraint=True, name=f"{name}_flag"), nullable=False, server_default=sa.false()
    )


def _partial(name: str, table: str, columns: list[str], where: sa.TextClause, other: sa.TextClause) -> None:
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=other)


def _jobs() -> None:
    op.create_table("jobs", *_job_columns(), *_job_checks(), sqlite_autoincrement=True)
    active = sa.text("tracking = 'active'")
    in_batch = sa.text("batch IS NOT NULL")
    _partial("jobs_changed", "jobs", ["id"], sa.text("changed = 1"), sa.text("changed"))
    _partial("jobs_active", "jobs", ["id"], active, active)
    op.create_index("jobs_by_tracking", "jobs", ["project", "tracking"])
    _partial("jobs_by_batch", "jobs", ["batch"], in_batch, in_batch)


def _job_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", _ID, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("tags", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("batch", sa.Text),
        sa.Column("tracking", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("state_since", sa.BigInteger),
        sa.Column("tracked_at", sa.BigInteger, nullable=False),
        sa.Column("episode", sa.Integer, nullable=False, server_default=sa.text("1")),
        _flag("changed"),
        sa.Column("created_at", sa.BigInteger),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("reported_at", sa.BigInteger),
        sa.Column("duration", sa.Float),
        sa.Column("asset_id", sa.Text),
        sa.Column("asset_name", sa.Text),
        sa.Column("cover_url", sa.Text),
        sa.Column("preview_url", sa.Text),
        sa.Column("download_url", sa.Text),
        sa.Column("links_at", sa.BigInteger),
        sa.Column("error_code", sa.Text),
        sa.Column("error_msg", sa.Text),
        sa.Column("polls", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_polled_at", sa.BigInteger),
        sa.Column("next_poll_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
    ]


def _job_checks() -> list[sa.Constraint]:
    return [
        sa.UniqueConstraint("job_id", "project", name="jobs_key"),
        _within("project", 128),
        _within("kind", 128),
        _within("job_id", 128),
        _within("label", 500),
        sa.CheckConstraint("length(tags) BETWEEN 2 AND 4000", name="tags_length"),
        _within("batch", 128),
        _within("state", 64),
        sa.CheckConstraint(
            "tracking IN ('active', 'finished', 'lost', 'expired', 'stopped')", name="tracking_value"
        ),
        sa.CheckConstraint(
            "(tracking = 'finished') = (coalesce(state, '') IN ('SUCCEED', 'FAILED', 'CANCELED'))",
            name="finished_is_terminal",
        ),
        sa.CheckConstraint("(state IS NULL) = (state_since IS NULL)", name="state_has_time"),
        sa.CheckConstraint("tracking = 'active' OR next_poll_at IS NULL", name="only_active_is_polled"),
        sa.CheckConstraint("episode >= 1", name="episode_counts"),
        sa.CheckConstraint("polls >= 0", name="polls_count"),
    ]


def _transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("observed_at", sa.BigInteger, nullable=False),
        sa.Column("reported_at", sa.BigInteger),
        sa.UniqueConstraint("job", "seq", name="transitions_seq"),
        sa.CheckConstraint(
            '(seq = 1 AND "before" IS NULL) OR (seq > 1 AND "before" IS NOT NULL)', name="first_has_no_before"
        ),
        sa.CheckConstraint('"before" IS NULL OR "before" <> "after"', name="moves"),
        _within("before", 64),
        _within("after", 64),
        sqlite_autoincrement=True,
    )


def _deliveries() -> None:
    op.create_table("deliveries", *_delivery_columns(), *_delivery_checks(), sqlite_autoincrement=True)
    _partial("deliveries_due", "deliveries", ["channel", "status", "due_at", "id"], _UNSENT, _UNSENT)
    _partial("deliveries_order", "deliveries", ["job", "channel", "id"], _UNSENT, _UNSENT)
    op.create_index("deliveries_by_job", "deliveries", ["job"])
    op.create_index("deliveries_by_transition", "deliveries", ["transition"])
    op.create_index("deliveries_by_status", "deliveries", ["channel", "status"])


def _delivery_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", _ID, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE")),
        sa.Column("project", sa.Text),
        sa.Column("transition", _ID, sa.ForeignKey("transitions.id", ondelete="CASCADE")),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        _flag("possible_repeat"),
        sa.Column("last_error", sa.Text),
    ]


def _delivery_checks() -> list[sa.Constraint]:
    return [
        sa.UniqueConstraint("key", "channel", name="deliveries_key"),
        _within("key", 300),
        _within("channel", 128),
        _within("event", 64),
        _within("project", 128),
        sa.CheckConstraint("transition IS NULL OR job IS NOT NULL", name="transition_has_job"),
        sa.CheckConstraint("length(facts) >= 2", name="facts_length"),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'sent', 'held', 'dead', 'canceled')", name="status_value"
        ),
        sa.CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="sent_has_time"),
        sa.CheckConstraint("attempts >= 0", name="attempts_count"),
        sa.CheckConstraint("attempts >= 1 OR status IN ('pending', 'canceled')", name="tried_before_judged"),
    ]


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("delivery", _ID, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.Column("status_code", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("delivery", "n", name="attempts_n"),
        sa.CheckConstraint("n >= 1", name="n_counts"),
        sa.CheckConstraint("outcome IN ('sent', 'retry', 'unknown', 'held', 'dead')", name="outcome_value"),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_has_outcome"),
    )
