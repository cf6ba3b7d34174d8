"""What people do: notes, mutes, pauses, API tokens and who did what. What they look at: last answers, thumbnails,
sums by day. And the stream of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


_SHOWN = ("project", "kind", "label", "tags", "batch", "tracking", "state", "episode", "note")
_OLD, _NEW = (", ".join(f"{which}.{each}" for each in _SHOWN) for which in ("OLD", "NEW"))
_TRACK = "'job', NEW.id, CASE WHEN NEW.changed THEN 'track' END"

# When a change is written, and its kind, row and name. By triggers, so that it does not matter which program makes
# the change, and in which statement. A job has the name 'track' if the watch has to take it up. A delivery has its
# channel's name if that has something to send, or to send earlier, for another reason than a failed attempt.
_CHANGES = {
    "jobs_added AFTER INSERT ON jobs": _TRACK,
    f"""jobs_changed AFTER UPDATE OF {", ".join(_SHOWN)}, changed, download_url ON jobs
    WHEN ({_OLD}) IS NOT ({_NEW}) OR NEW.changed > OLD.changed
    OR (OLD.download_url IS NULL) <> (NEW.download_url IS NULL)""": _TRACK,
    "deliveries_added AFTER INSERT ON deliveries": "'delivery', NEW.id, NEW.channel",
    """deliveries_changed AFTER UPDATE OF status, due_at, channel ON deliveries
    WHEN NEW.status <> OLD.status OR NEW.due_at < OLD.due_at OR NEW.channel <> OLD.channel""": """'delivery',
    NEW.id, CASE WHEN NEW.status = 'pending' AND OLD.status <> 'sending' THEN NEW.channel END""",
    """deliveries_held AFTER UPDATE OF status ON deliveries
    WHEN (OLD.status = 'held') <> (NEW.status = 'held')""": "'channel', NULL, NEW.channel",
    "addresses_added AFTER INSERT ON addresses": "'channel', NULL, NEW.channel",
    "addresses_changed AFTER UPDATE ON addresses": "'channel', NULL, NEW.channel",
    "pauses_added AFTER INSERT ON pauses": "'pause', NULL, NEW.project",
    "pauses_changed AFTER UPDATE ON pauses": "'pause', NULL, NEW.project",
    "pauses_ended AFTER DELETE ON pauses": "'pause', NULL, OLD.project",
    "project_status_added AFTER INSERT ON project_status": "'project', NULL, NEW.project",
    """project_status_changed AFTER UPDATE OF facts ON project_status
    WHEN NEW.facts <> OLD.facts""": "'project', NULL, NEW.project",
    "mutes_added AFTER INSERT ON mutes": "'mute', NEW.id, NULL",
    "mutes_changed AFTER UPDATE ON mutes": "'mute', NEW.id, NULL",
    "tokens_changed AFTER UPDATE OF revoked_at, expires_at ON tokens": "'token', NULL, NEW.id",
    "discoveries_added AFTER INSERT ON discoveries": "'discovery', NEW.id, NEW.project",
}


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
    _muted()
    _tokens()
    _looks()
    _day_sums()
    op.create_table(
        "changes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("row", sa.BigInteger),
        sa.Column("name", sa.Text),
        _within("kind", 32),
    )
    for trigger, change in _CHANGES.items():
        body = f'INSERT INTO changes (kind, "row", name) VALUES ({change});'  # noqa: S608 - constants
        op.execute(f"CREATE TRIGGER {trigger} BEGIN {body} END")


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


def _muted() -> None:
    """Which alerts are kept by a mute. They are passed over by the index of what is due."""
    op.execute("ALTER TABLE deliveries ADD COLUMN mute BIGINT")
    op.execute("ALTER TABLE deliveries ADD COLUMN unmuted_at BIGINT")
    unsent = sa.text("status = 'pending' OR status = 'sending' OR status = 'held'")
    op.drop_index("deliveries_due", "deliveries")
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["channel", "status", "mute", "due_at", "id"],
        sqlite_where=unsent,
        postgresql_where=unsent,
    )
    kept = sa.text("mute IS NOT NULL")
    op.create_index("deliveries_muted", "deliveries", ["mute"], sqlite_where=kept, postgresql_where=kept)


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
    kept = sa.text("data IS NOT NULL")
    op.create_index("pictures_kept", "pictures", ["fetched_at"], sqlite_where=kept, postgresql_where=kept)


def _day_sums() -> None:
    op.create_table(
        "day_sums",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("day", "project", "kind", "state")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("n", "timed", "micros")),
        sqlite_with_rowid=False,
    )
    op.execute(f"""
        INSERT INTO day_sums (day, project, kind, state, n, timed, micros)
        SELECT {_day("jobs")} AS day, project, kind, state, count(*), count({_took("jobs")}),
        coalesce(sum({_took("jobs")}), 0) FROM jobs WHERE tracking = 'finished' GROUP BY day, project, kind, state
    """)  # noqa: S608 - of this file's own text
    # An end that is undone is taken out again. Rows that retention deletes stay counted.
    columns = "project, kind, tracking, state, state_since, created_at, started_at, ended_at, reported_at"
    op.execute(f"""
        CREATE TRIGGER day_sums_kept AFTER UPDATE OF {columns} ON jobs
        WHEN (OLD.tracking = 'finished' OR NEW.tracking = 'finished') AND
        ({_each("OLD", columns)}) IS NOT ({_each("NEW", columns)})
        BEGIN
        UPDATE day_sums SET n = n - 1, timed = timed - ({_took("OLD")} IS NOT NULL),
        micros = micros - coalesce({_took("OLD")}, 0)
        WHERE OLD.tracking = 'finished' AND day = {_day("OLD")}
        AND project = OLD.project AND kind = OLD.kind AND state = OLD.state;
        INSERT INTO day_sums (day, project, kind, state, n, timed, micros)
        SELECT {_day("NEW")}, NEW.project, NEW.kind, NEW.state, 1, {_took("NEW")} IS NOT NULL,
        coalesce({_took("NEW")}, 0) WHERE NEW.tracking = 'finished'
        ON CONFLICT (day, project, kind, state) DO UPDATE
        SET n = n + 1, timed = timed + excluded.timed, micros = micros + excluded.micros;
        END
    """)  # noqa: S608 - of this file's own text


def _each(row: str, columns: str) -> str:
    return ", ".join(f"{row}.{name}" for name in columns.split(", "))


def _day(row: str) -> str:
    return f"strftime('%Y-%m-%d', {row}.state_since / 1000000, 'unixepoch')"


def _took(row: str) -> str:
    """Microseconds of production, NULL if not known: as `daemon.watch.learning` reads them for its samples."""
    ended = f"coalesce({row}.ended_at, {row}.reported_at, {row}.state_since) - {row}.started_at"
    return f"""CASE WHEN {ended} BETWEEN 1 AND {60 * 86400 * 1_000_000}
        AND {row}.started_at >= coalesce({row}.created_at, {row}.started_at) - {120 * 1_000_000}
        AND NOT EXISTS (SELECT 1 FROM transitions WHERE job = {row}.id AND "after" = 'BLOCK')
        THEN {ended} END"""  # noqa: S608 - of this file's own text
