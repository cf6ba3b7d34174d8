"""What people do: notes, mutes, pauses, API tokens and who did what. What they look at: last answers, thumbnails,
sums by day. And the stream of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def upgrade() -> None:
    # Raw SQL that SQLite runs without recreating the table, which may hold millions of rows.
    op.execute(
        "ALTER TABLE jobs ADD COLUMN note TEXT "
        'CONSTRAINT note_length CHECK ("note" <> \'\' AND length("note") <= 500)'
    )
    reminded = sa.text("link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NOT NULL")
    op.create_index("jobs_reminded", "jobs", ["link_until"], sqlite_where=reminded, postgresql_where=reminded)
    _actions()
    _mutes()
    _tokens()
    _looks()
    op.create_table(
        "changes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("row", sa.BigInteger),
        sa.Column("name", sa.Text),
        _within("kind", 32),
        sqlite_autoincrement=True,
    )


def _actions() -> None:
    op.create_table(
        "actions",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("project", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("count", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("details", sa.Text),
        _within("who", 128),
        _within("what", 64),
        _within("project", 128),
        _within("subject", 200),
        sa.CheckConstraint("count >= 0", name="count_counts"),
        sqlite_autoincrement=True,
    )
    op.create_index("actions_by_subject", "actions", ["subject", "project"])
    op.create_index("actions_age", "actions", ["at"])


def _mutes() -> None:
    op.create_table(
        "mutes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("project", sa.Text),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("then", sa.Text, nullable=False, server_default=sa.text("'send'")),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text),
        sa.CheckConstraint("scope IN ('job', 'batch', 'tag', 'channel')", name="scope_value"),
        sa.CheckConstraint("\"then\" IN ('send', 'drop')", name="then_value"),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_has_who"),
        _within("project", 128),
        _within("subject", 128),
        _within("who", 128),
        _within("comment", 500),
        sqlite_autoincrement=True,
    )
    unended = sa.text("ended_at IS NULL")
    op.create_index("mutes_unended", "mutes", ["until"], sqlite_where=unended, postgresql_where=unended)
    op.create_table(
        "pauses",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("comment", sa.Text),
        _within("project", 128),
        _within("who", 128),
        _within("comment", 500),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("used_at", sa.BigInteger),
        sa.CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope_value"),
        _within("id", 16),
        _within("name", 64),
        _within("digest", 64),
        _within("created_by", 128),
    )
    op.create_index("tokens_name", "tokens", ["name"])


def _looks() -> None:
    op.create_table(
        "answers",
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.CheckConstraint("length(body) BETWEEN 2 AND 16384", name="body_length"),
    )
    op.create_table(
        "thumbnails",
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.CheckConstraint("length(data) BETWEEN 1 AND 65536", name="data_length"),
        sa.CheckConstraint("width >= 1 AND height >= 1", name="size_counts"),
    )
    op.create_table(
        "day_sums",
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("timed", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
