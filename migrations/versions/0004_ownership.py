"""What the failures of a delivery need: for how long it was really tried, and how often wrapd itself failed it."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # In words that SQLite takes too, so that the table is not made anew: it may hold millions of rows.
    op.execute(
        "ALTER TABLE deliveries ADD COLUMN tried_for FLOAT DEFAULT 0 NOT NULL "
        "CONSTRAINT tried_for_counts CHECK (tried_for >= 0)"
    )
    op.execute("ALTER TABLE deliveries ADD COLUMN tried_at BIGINT")
    op.execute(
        "ALTER TABLE deliveries ADD COLUMN defects INTEGER DEFAULT 0 NOT NULL "
        "CONSTRAINT defects_counts CHECK (defects >= 0)"
    )
