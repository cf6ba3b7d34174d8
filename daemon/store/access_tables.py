"""The tables of who may use the API and the pages, or see a batch: tokens, sessions, one-time logins, shares. Of a
secret only the SHA-256 is kept. Contains no queries.
"""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, Text, UniqueConstraint

from daemon.store.columns import ROW_ID, Moment, within
from daemon.store.tables import METADATA

__all__ = ["LOGINS", "METADATA", "SESSIONS", "SHARES", "TOKENS"]

_SCOPES = "scope IN ('read', 'write', 'admin')"

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("used_at", Moment),
    CheckConstraint(_SCOPES, name="scope_value"),
    within("id", 16),
    within("name", 64),
    within("digest", 64),
    within("created_by", 128),
    Index("tokens_name", "name"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("token", Text, ForeignKey("tokens.id", ondelete="CASCADE")),  # by which it began
    Column("proof", Text),  # stands for the config's token, if it began by that
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),  # to the minute
    Column("until", Moment, nullable=False),  # its latest end
    Column("ended_at", Moment),
    UniqueConstraint("digest", name="sessions_digest"),
    CheckConstraint(_SCOPES, name="scope_value"),
    CheckConstraint("token IS NULL OR proof IS NULL", name="token_or_proof"),
    within("id", 16),
    within("digest", 64),
    within("name", 128),
    within("proof", 64),
    Index("sessions_token", "token"),
    Index("sessions_age", "until"),
)

LOGINS = Table(
    "logins",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    CheckConstraint(_SCOPES, name="scope_value"),
    within("digest", 64),
    within("name", 128),
)

# Who has the secret of one sees the names, states and covers of a batch.
SHARES = Table(
    "shares",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("batch", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("used_at", Moment),  # to the minute
    UniqueConstraint("digest", name="shares_digest"),
    within("digest", 64),
    within("project", 128),
    within("batch", 64),
    within("created_by", 128),
    Index("shares_batch", "batch", "project"),
    Index("shares_age", "expires_at"),
    sqlite_autoincrement=True,
)
