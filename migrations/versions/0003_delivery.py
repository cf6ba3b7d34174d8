"""Delivery: quiet hours, shared messages, pictures, wrapd's own links, and when a video's links expire."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNSEEN = "link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NULL"


def upgrade() -> None:
    for table, column in (
        ("jobs", "link_until"),
        ("jobs", "seen_at"),
        ("jobs", "reminded_at"),
        ("deliveries", "held_until"),
    ):
        op.add_column(table, sa.Column(column, sa.BigInteger))
    # Raw SQL that SQLite runs without recreating the table, which may hold millions of rows.
    op.execute(
        "ALTER TABLE attempts ADD COLUMN shared INTEGER DEFAULT 1 NOT NULL "
        "CONSTRAINT shared_counts CHECK (shared >= 1)"
    )
    _pictures()
    _links()
    _indexes()


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _pictures() -> None:
    op.create_table(
        "pictures",
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text),
        sa.Column("data", sa.LargeBinary),
        sa.Column("fetched_at", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text),
        sa.CheckConstraint("(data IS NULL) = (error IS NOT NULL)", name="data_or_error"),
        sa.CheckConstraint("data IS NULL OR content_type IS NOT NULL", name="data_has_type"),
        sa.CheckConstraint("length(data) BETWEEN 1 AND 2097152", name="data_length"),
    )


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("clicks", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_click_at", sa.BigInteger),
        sa.UniqueConstraint("job", name="links_job"),
        sa.UniqueConstraint("token", name="links_token"),
        sa.CheckConstraint('"token" <> \'\' AND length("token") <= 128', name="token_length"),
        sa.CheckConstraint("clicks >= 0", name="clicks_count"),
        sa.CheckConstraint("(clicks = 0) = (last_click_at IS NULL)", name="click_has_time"),
        sqlite_autoincrement=True,
    )
    op.create_index("links_expiry", "links", ["expires_at"])


def _indexes() -> None:
    _partial("jobs_unseen", "jobs", ["link_until"], _UNSEEN)
    op.drop_index("jobs_by_batch", "jobs")
    _partial("jobs_by_batch", "jobs", ["batch", "project", "tracking"], "batch IS NOT NULL")
    op.drop_index("deliveries_by_job", "deliveries")
    _partial("deliveries_by_job", "deliveries", ["job"], "job IS NOT NULL")
    op.drop_index("deliveries_by_status", "deliveries")
    op.create_index("deliveries_by_status", "deliveries", ["channel", "status", "created_at"])
