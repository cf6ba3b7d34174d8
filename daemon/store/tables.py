"""The tables and their columns: all of the schema that statements need. `constraints` has the rest of it.

Contains no queries. Portable: only a few hints are specific to SQLite.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

from daemon.store.columns import ROW_ID, JsonText, Moment, TextList, flag

METADATA = MetaData()

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
)

# JOBS.tags by tag, to find jobs. `store.labels` writes both together.
JOB_TAGS = Table(
    "job_tags",
    METADATA,
    Column("tag", Text, primary_key=True),
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sqlite_with_rowid=False,
)

# The batches, and how many jobs of each tracking and state they have, so that a list of batches does not read
# their jobs. `store.tracking` notes the newest job, triggers (migrations 0008 and 0014) do the rest. A count may
# be 0; the state '' stands for no state.
BATCHES = Table(
    "batches",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("batch", "project")),
    Column("newest", ROW_ID, nullable=False),  # the highest row id of its jobs
    sqlite_with_rowid=False,
)
BATCH_COUNTS = Table(
    "batch_counts",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("batch", "project", "tracking", "state")),
    Column("n", BigInteger, nullable=False),
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
    sqlite_autoincrement=True,
)

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
    # A click is recorded by the link's id, which must not be reused.
    sqlite_autoincrement=True,
)

PROJECT_STATUS = Table(
    "project_status",
    METADATA,
    Column("project", Text, primary_key=True),
    Column("facts", JsonText, nullable=False),
    Column("at", Moment, nullable=False),
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
)

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("salt", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
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
)

# The service's last answer that changed a job's state, without secrets.
ANSWERS = Table(
    "answers",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("at", Moment, nullable=False),  # of the transition
    Column("body", Text, nullable=False),
)

THUMBNAILS = Table(
    "thumbnails",
    METADATA,
    Column("job", ROW_ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("data", LargeBinary, nullable=False),  # WebP
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
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
)
