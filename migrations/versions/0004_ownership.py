"""Failures of a delivery: how long it has been tried, and how often wrapd itself failed it."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # Raw SQL that SQLite runs without recreating the table, which may hold millions of rows.
    op.execute(
        "ALTER TABLE deliveries ADD COLUMN tried_for FLOAT DEFAULT 0 NOT NULL "
        "CONSTRAINT tried_for_counts CHECK (tried_for >= 0)"
    )
    op.execute("ALTER TABLE deliveries ADD COLUMN tried_at BIGINT")
    op.execute(
        "ALTER TABLE deliveries ADD COLUMN defects INTEGER DEFAULT 0 NOT NULL "
        "CONSTRAINT defects_counts CHECK (defects >= 0)"
    )
