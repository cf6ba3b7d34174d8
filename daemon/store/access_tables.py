"""The tables of who may use the API and the pages, or see a batch: tokens, sessions, one-time logins, shares. Of a
secret only the SHA-256 is kept. Contains no queries.
"""

from sqlalchemy import Column, ForeignKey, Table, Text

from daemon.store.columns import ROW_ID, Moment
from daemon.store.tables import METADATA

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
)

LOGINS = Table(
    "logins",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
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
    sqlite_autoincrement=True,
)
