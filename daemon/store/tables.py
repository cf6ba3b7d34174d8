"""The tables, and the constraints that make wrong rows impossible.

Owns the schema as the program sees it. migrations/ builds the same in steps, and a test compares the two. Contains
no queries. Portable: only a few hints are specific to SQLite.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from daemon.store.columns import ROW_ID, JsonText, Moment, TextList, flag, partial, within

METADATA = MetaData()

_HAS_AGE = "tracking = 'active' AND created_at IS NOT NULL"
_UNCONFIRMED = "tracking = 'active' AND kind_source = 'guessed' AND named_by = 'callback'"
_UNSEEN = "link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NULL"
_REMINDED = "link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NOT NULL"

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("label", Text),
    Column("tags", TextList, nullable=False, server_default=text("'[]'")),
    Column("batch", Text),
    Column("tracking", Text, nullable=False),
    Column("state", Text),
    Column("state_since", Moment),
    Column("tracked_at", Moment, nullable=False),
    Column("episode", Integer, nullable=False, server_default=text("1")),
    flag("changed"),
    # Values from the service. They are not limited, so that its oddities cannot keep an end from being stored.
    Column("created_at", Moment),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("reported_at", Moment),
    Column("duration", Float),
    Column("asset_id", Text),
    Column("asset_name", Text),
    Column("cover_url", Text),
    Column("preview_url", Text),
    Column("download_url", Text),
    Column("links_at", Moment),
    Column("error_code", Text),
    Column("error_msg", Text),
    # Bookkeeping, without the looks in LOOKS.
    Column("polls", BigInteger, nullable=False, server_default=text("0")),
    Column("last_polled_at", Moment),
    Column("next_poll_at", Moment),
    Column("last_error", Text),
    Column("expected_length", Float),  # seconds of speech, from the script
    Column("asked_by", Text),
    Column("next_reason", Text),
    Column("link_until", Moment),  # when the last link to the video expires
    Column("seen_at", Moment),  # when it was first opened through wrapd's own link
    Column("reminded_at", Moment),  # when the reminder of the expiring link was written, or had no recipient
    Column("kind_source", Text, nullable=False, server_default=text("'given'")),
    Column("named_by", Text, nullable=False, server_default=text("'person'")),
    Column("kind_tries", Integer, nullable=False, server_default=text("0")),  # completed rounds of asking
    Column("note", Text),  # a person's line on the job, which its next messages carry
    # The id comes first: people look jobs up by id alone.
    UniqueConstraint("job_id", "project", name="jobs_key"),
    within("project", 128),
    within("kind", 128),
    within("job_id", 128),
    within("label", 500),
    CheckConstraint("length(tags) BETWEEN 2 AND 4000", name="tags_length"),
    within("batch", 128),
    within("state", 64),
    CheckConstraint("tracking IN ('active', 'finished', 'lost', 'expired', 'stopped')", name="tracking_value"),
    CheckConstraint(
        "(tracking = 'finished') = (coalesce(state, '') IN ('SUCCEED', 'PARTIAL_SUCCEED', 'FAILED', 'CANCELED'))",
        name="finished_is_terminal",
    ),
    CheckConstraint("(state IS NULL) = (state_since IS NULL)", name="state_has_time"),
    CheckConstraint("tracking = 'active' OR next_poll_at IS NULL", name="only_active_is_polled"),
    CheckConstraint("episode >= 1", name="episode_counts"),
    CheckConstraint("polls >= 0", name="polls_count"),
    CheckConstraint("expected_length >= 0", name="expected_length_counts"),
    within("asked_by", 64),
    within("next_reason", 64),
    CheckConstraint("next_poll_at IS NOT NULL OR next_reason IS NULL", name="reason_has_poll"),
    CheckConstraint("kind_source IN ('given', 'found', 'guessed')", name="kind_source_value"),
    CheckConstraint("named_by IN ('person', 'service', 'callback')", name="named_by_value"),
    CheckConstraint("kind_tries >= 0", name="kind_tries_count"),
    within("note", 500),
    Index("jobs_changed", "id", sqlite_where=text("changed = 1")),
    partial("jobs_active", "id", where="tracking = 'active'"),
    # Lists, by row id and by the last change of state: see `store.paging`.
    Index("jobs_by_tracking", "project", "tracking", "state"),
    Index("jobs_by_change", "project", "tracking", "state", "state_since"),
    Index("jobs_by_since", "state_since"),
    # The same of a batch, and whether any of its jobs is still active.
    partial("jobs_by_batch", "batch", "project", "tracking", "state", where="batch IS NOT NULL"),
    partial(
        "jobs_by_batch_change", "batch", "project", "tracking", "state", "state_since", where="batch IS NOT NULL"
    ),
    # For learning: the latest ended jobs of each kind.
    partial("jobs_finished", "project", "kind", "state_since", where="tracking = 'finished'"),
    # How far back the service's list must be read. A job enters with its first answer and leaves at its end.
    partial("jobs_oldest", "project", "created_at", where=_HAS_AGE),
    # Jobs known from callbacks alone, whose number is limited.
    partial("jobs_unconfirmed", "project", where=_UNCONFIRMED),
    # Unopened videos, by when their links expire.
    partial("jobs_unseen", "link_until", where=_UNSEEN),
    partial("jobs_reminded", "link_until", where=_REMINDED),
    # Row ids appear in delivery keys forever, so they must not be reused.
    sqlite_autoincrement=True,
)

# What the looks at a tracked job add to its bookkeeping above, written by checkpoints. When its tracking ends, a
# trigger (migration 0011) adds it there. See `store.looks`.
LOOKS = Table(
    "looks",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("polls", BigInteger, nullable=False),
    *(Column(name, Moment) for name in ("last_polled_at", "next_poll_at")),
    *(Column(name, Text) for name in ("last_error", "asked_by", "next_reason")),
    CheckConstraint("polls >= 0", name="polls_count"),
    *(within(name, 64) for name in ("asked_by", "next_reason")),
    CheckConstraint("next_poll_at IS NOT NULL OR next_reason IS NULL", name="reason_has_poll"),
)

# JOBS.tags by tag, to find jobs. `store.labels` writes both together.
JOB_TAGS = Table(
    "job_tags",
    METADATA,
    Column("tag", Text, primary_key=True),
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Index("job_tags_by_job", "job"),
    sqlite_with_rowid=False,
)

# The batches, and how their jobs ended, so that a list of batches does not read their jobs. `store.tracking` adds
# new jobs, triggers (migration 0008) do the rest. A count may be 0; the state '' stands for no state.
BATCHES = Table(
    "batches",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("batch", "project")),
    Column("newest", ROW_ID, nullable=False),  # the highest row id of its jobs
    Index("batches_newest", "newest"),
    Index("batches_by_project", "project", "newest"),
    sqlite_with_rowid=False,
)
BATCH_COUNTS = Table(
    "batch_counts",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("batch", "project", "tracking", "state")),
    Column("n", BigInteger, nullable=False),  # jobs that are not tracked
    sqlite_with_rowid=False,
)

# How many jobs each project has. Kept by triggers (migration 0010); a count may be 0, and the state '' stands for
# no state.
JOB_COUNTS = Table(
    "job_counts",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("project", "tracking", "state")),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

_FREEZES = "\"after\" = 'BLOCK'"

TRANSITIONS = Table(
    "transitions",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("observed_at", Moment, nullable=False),
    Column("reported_at", Moment),
    UniqueConstraint("job", "seq", name="transitions_seq"),
    CheckConstraint(
        '(seq = 1 AND "before" IS NULL) OR (seq > 1 AND "before" IS NOT NULL)', name="first_has_no_before"
    ),
    CheckConstraint('"before" IS NULL OR "before" <> "after"', name="moves"),
    within("before", 64),
    within("after", 64),
    partial("transitions_blocked", "job", where=_FREEZES),
    sqlite_autoincrement=True,
)

_UNSENT = "status = 'pending' OR status = 'sending' OR status = 'held'"

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("key", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE")),
    Column("project", Text),
    Column("transition", ROW_ID, ForeignKey("transitions.id", ondelete="CASCADE")),
    Column("facts", JsonText, nullable=False),
    Column("status", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    flag("possible_repeat"),
    Column("last_error", Text),
    Column("held_until", Moment),  # the end of the quiet hours for which it was held back
    Column("tried_for", Float, nullable=False, server_default=text("0")),  # seconds
    Column("tried_at", Moment),  # when last judged; shifted with `due_at` when the wall clock is set
    Column("defects", Integer, nullable=False, server_default=text("0")),
    Column("mute", BigInteger),  # the mute that keeps it: it is not sent meanwhile
    Column("unmuted_at", Moment),  # when the last mute that kept it ended
    UniqueConstraint("key", "channel", name="deliveries_key"),
    within("key", 300),
    within("channel", 128),
    within("event", 64),  # not an enum check: later releases add events
    within("project", 128),
    CheckConstraint("transition IS NULL OR job IS NOT NULL", name="transition_has_job"),
    CheckConstraint("length(facts) >= 2", name="facts_length"),
    CheckConstraint("status IN ('pending', 'sending', 'sent', 'held', 'dead', 'canceled')", name="status_value"),
    CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="sent_has_time"),
    CheckConstraint("attempts >= 0", name="attempts_count"),
    CheckConstraint("tried_for >= 0", name="tried_for_counts"),
    CheckConstraint("defects >= 0", name="defects_counts"),
    CheckConstraint("attempts >= 1 OR status IN ('pending', 'canceled')", name="tried_before_judged"),
    partial("deliveries_due", "channel", "status", "mute", "due_at", "id", where=_UNSENT),
    partial("deliveries_muted", "mute", where="mute IS NOT NULL"),
    partial("deliveries_order", "job", "channel", "id", where=_UNSENT),
    partial("deliveries_by_job", "job", where="job IS NOT NULL"),
    Index("deliveries_by_transition", "transition"),
    # Lists, counts, recent traffic of a channel, and retention.
    Index("deliveries_by_status", "channel", "status", "created_at"),
    # Lists by columns that never change: one index write for each delivery.
    Index("deliveries_by_event", "project", "event", "created_at"),
    sqlite_autoincrement=True,
)

# How many deliveries of each channel are sent: what is sent only grows, and is not counted for each look.
SENT_COUNTS = Table(
    "sent_counts",
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# How many deliveries of each channel were given up, by status: they too only grow. Kept by triggers (migration
# 0010); a count may be 0.
GIVEN_UP_COUNTS = Table(
    "given_up_counts",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("channel", "status")),
    Column("n", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("delivery", ROW_ID, ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", Text),
    Column("status_code", Integer),
    Column("reason", Text),
    Column("shared", Integer, nullable=False, server_default=text("1")),  # deliveries in the same message
    UniqueConstraint("delivery", "n", name="attempts_n"),
    CheckConstraint("n >= 1", name="n_counts"),
    CheckConstraint("outcome IN ('sent', 'retry', 'unknown', 'held', 'dead')", name="outcome_value"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_has_outcome"),
    CheckConstraint("shared >= 1", name="shared_counts"),
)

MOST_PICTURE = 2 * 1024 * 1024
"""Bytes of a picture."""

PICTURES = Table(
    "pictures",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("url", Text, nullable=False),
    Column("content_type", Text),
    Column("data", LargeBinary),
    Column("fetched_at", Moment, nullable=False),
    Column("error", Text),
    CheckConstraint("(data IS NULL) = (error IS NOT NULL)", name="data_or_error"),
    CheckConstraint("data IS NULL OR content_type IS NOT NULL", name="data_has_type"),
    CheckConstraint(f"length(data) BETWEEN 1 AND {MOST_PICTURE}", name="data_length"),
    partial("pictures_kept", "fetched_at", where="data IS NOT NULL"),
)

LINKS = Table(
    "links",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("token", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Column("clicks", BigInteger, nullable=False, server_default=text("0")),
    Column("last_click_at", Moment),
    UniqueConstraint("job", name="links_job"),
    UniqueConstraint("token", name="links_token"),
    within("token", 128),
    CheckConstraint("clicks >= 0", name="clicks_count"),
    CheckConstraint("(clicks = 0) = (last_click_at IS NULL)", name="click_has_time"),
    Index("links_expiry", "expires_at"),
    # A click is recorded by the link's id, which must not be reused.
    sqlite_autoincrement=True,
)

PROJECT_STATUS = Table(
    "project_status",
    METADATA,
    Column("project", Text, primary_key=True),
    Column("facts", JsonText, nullable=False),
    Column("at", Moment, nullable=False),
    within("project", 128),
    CheckConstraint("length(facts) >= 2", name="facts_length"),
)

DISCOVERIES = Table(
    "discoveries",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("project", Text, nullable=False),
    Column("filters", JsonText, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("found", Integer),
    Column("added", Integer),
    Column("error", Text),
    Column("result", JsonText),
    within("project", 128),
    CheckConstraint("length(filters) >= 2", name="filters_length"),
    CheckConstraint("found >= 0 AND added >= 0", name="found_counts"),
    CheckConstraint(
        "(ended_at IS NULL) = (found IS NULL) AND (ended_at IS NULL) = (added IS NULL)", name="ended_has_counts"
    ),
    CheckConstraint("ended_at IS NOT NULL OR (error IS NULL AND result IS NULL)", name="result_has_end"),
    partial("discoveries_waiting", "id", where="ended_at IS NULL"),
    # The command finds its row by id, which must not be reused.
    sqlite_autoincrement=True,
)

SIGNATURES = Table(
    "signatures",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("used_at", Moment, nullable=False),
    within("digest", 128),
    within("project", 128),
    within("job_id", 128),
    Index("signatures_age", "used_at"),
)

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("salt", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    within("channel", 128),
    within("salt", 64),
    within("fingerprint", 16),
)

# Who did what to what on a person's or a tool's word. Rows outlive what they name.
ACTIONS = Table(
    "actions",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("who", Text, nullable=False),  # cli:USER, token:NAME or session:NAME
    Column("what", Text, nullable=False),
    Column("project", Text),
    Column("subject", Text),  # a job's id, or the name of a batch, channel, …
    Column("count", BigInteger, nullable=False, server_default=text("1")),  # of jobs or deliveries
    Column("details", JsonText),
    within("who", 128),
    within("what", 64),
    within("project", 128),
    within("subject", 200),
    CheckConstraint("count >= 0", name="count_counts"),
    Index("actions_by_subject", "subject"),
    Index("actions_by_project", "project"),
    Index("actions_age", "at"),
    sqlite_autoincrement=True,
)

# Whose alerts are not sent until `until`. A mute has `ended_at` once what it kept was sent or dropped.
MUTES = Table(
    "mutes",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("project", Text),  # null: of any project
    Column("subject", Text, nullable=False),  # a job's id, a batch, a tag or a channel
    Column("started_at", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("who", Text, nullable=False),
    Column("comment", Text),
    Column("then", Text, nullable=False, server_default=text("'send'")),
    Column("ended_at", Moment),
    Column("ended_by", Text),
    CheckConstraint("scope IN ('job', 'batch', 'tag', 'channel')", name="scope_value"),
    CheckConstraint("\"then\" IN ('send', 'drop')", name="then_value"),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_has_who"),
    within("project", 128),
    within("subject", 128),
    within("who", 128),
    within("comment", 500),
    partial("mutes_unended", "until", where="ended_at IS NULL"),
    sqlite_autoincrement=True,
)

# Projects that are not asked until a person resumes them.
PAUSES = Table(
    "pauses",
    METADATA,
    Column("project", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("who", Text, nullable=False),
    Column("comment", Text),
    within("project", 128),
    within("who", 128),
    within("comment", 500),
)

# The service's last answer that changed a job's state, without secrets.
ANSWERS = Table(
    "answers",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("at", Moment, nullable=False),  # of the transition
    Column("body", Text, nullable=False),
    CheckConstraint("length(body) BETWEEN 2 AND 16384", name="body_length"),
)

THUMBNAILS = Table(
    "thumbnails",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("data", LargeBinary, nullable=False),  # WebP
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    CheckConstraint("length(data) BETWEEN 1 AND 65536", name="data_length"),
    CheckConstraint("width >= 1 AND height >= 1", name="size_counts"),
)

# How many jobs ended on each day (UTC, by when it was observed), and their production times: kept by a trigger
# (migration 0009), and not changed when retention deletes the jobs.
DAY_SUMS = Table(
    "day_sums",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("day", "project", "kind", "state")),
    Column("n", BigInteger, nullable=False),
    Column("timed", BigInteger, nullable=False),  # those whose production time is known
    Column("micros", BigInteger, nullable=False),  # their production times together, in microseconds
    sqlite_with_rowid=False,
)

# What changed, in the order of commits: `row` or `name` says which job, delivery, channel or project. Triggers
# (migration 0009) write it, whichever program makes the change. Old rows are deleted, but never the newest, so ids
# are not used again.
CHANGES = Table(
    "changes",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("row", BigInteger),
    Column("name", Text),
    within("kind", 32),
)
