"""Sessions of the pages, and one-time logins. A session that ends is a change of the kind 'token', as is a revoked
token: it ends what is open for it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("token", sa.Text, sa.ForeignKey("tokens.id", ondelete="CASCADE")),
        sa.Column("proof", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.UniqueConstraint("digest", name="sessions_digest"),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_value"),
        sa.CheckConstraint("token IS NULL OR proof IS NULL", name="token_or_proof"),
        _within("id", 16),
        _within("digest", 64),
        _within("name", 128),
        _within("proof", 64),
    )
    op.create_index("sessions_token", "sessions", ["token"])
    op.create_index("sessions_age", "sessions", ["until"])
    op.create_table(
        "logins",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_value"),
        _within("digest", 64),
        _within("name", 128),
    )
    op.execute(
        """CREATE TRIGGER sessions_ended AFTER UPDATE OF ended_at ON sessions
        BEGIN INSERT INTO changes (kind, "row", name) VALUES ('token', NULL, NEW.id); END"""
    )
