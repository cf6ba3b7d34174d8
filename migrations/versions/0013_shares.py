"""Shares of a batch: addresses by which anyone sees its names, states and covers for a time."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("batch", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger),
        sa.UniqueConstraint("digest", name="shares_digest"),
        _within("digest", 64),
        _within("project", 128),
        _within("batch", 64),
        _within("created_by", 128),
        sqlite_autoincrement=True,
    )
    op.create_index("shares_batch", "shares", ["batch", "project"])
    op.create_index("shares_age", "shares", ["expires_at"])
