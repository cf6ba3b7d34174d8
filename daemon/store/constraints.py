"""The constraints of the tables, which make wrong rows impossible, and their indexes.

With them `METADATA` is the schema as the program sees it. migrations/ builds the same in steps, and a test
compares the two. No statement needs them, and they take 0.3 MiB, so only a migration loads this.
"""

from sqlalchemy import CheckConstraint, Index, Table, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem

from daemon.store.access_tables import LOGINS, SESSIONS, SHARES, TOKENS
from daemon.store.tables import (
    ACTIONS,
    ADDRESSES,
    ANSWERS,
    ATTEMPTS,
    BATCHES,
    CHANGES,
    DELIVERIES,
    DISCOVERIES,
    JOB_TAGS,
    JOBS,
    LINKS,
    LOOKS,
    METADATA,
    MOST_PICTURE,
    MUTES,
    PAUSES,
    PICTURES,
    PROJECT_STATUS,
    SIGNATURES,
    THUMBNAILS,
    TRANSITIONS,
)

__all__ = ["METADATA"]


def _add(table: Table, *items: SchemaItem) -> None:
    Table(table.name, METADATA, *items, extend_existing=True)


def _within(column: str, most: int) -> CheckConstraint:
    """A text of 1 to `most` characters."""
    # Not `length(x) >= 1`: SQLite's length() stops at a NUL character.
    return CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that fulfil a condition."""
    # PostgreSQL's condition can be added with its engine: naming it loads that dialect, 2 MiB in each process.
    return Index(name, *columns, sqlite_where=text(where))


_HAS_AGE = "tracking = 'active' AND created_at IS NOT NULL"
_UNCONFIRMED = "tracking = 'active' AND kind_source = 'guessed' AND named_by = 'callback'"
_UNSEEN = "link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NULL"
_REMINDED = "link_until IS NOT NULL AND seen_at IS NULL AND reminded_at IS NOT NULL"

_add(
    JOBS,
    # The id comes first: people look jobs up by id alone.
    UniqueConstraint("job_id", "project", name="jobs_key"),
    _within("project", 128),
    _within("kind", 128),
    _within("job_id", 128),
    _within("label", 500),
    CheckConstraint("length(tags) BETWEEN 2 AND 4000", name="tags_length"),
    _within("batch", 128),
    _within("state", 64),
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
    _within("asked_by", 64),
    _within("next_reason", 64),
    CheckConstraint("next_poll_at IS NOT NULL OR next_reason IS NULL", name="reason_has_poll"),
    CheckConstraint("kind_source IN ('given', 'found', 'guessed')", name="kind_source_value"),
    CheckConstraint("named_by IN ('person', 'service', 'callback')", name="named_by_value"),
    CheckConstraint("kind_tries >= 0", name="kind_tries_count"),
    _within("note", 500),
    Index("jobs_changed", "id", sqlite_where=text("changed = 1")),
    _partial("jobs_active", "id", where="tracking = 'active'"),
    # Lists, by row id and by the last change of state: see `store.paging`.
    Index("jobs_by_tracking", "project", "tracking", "state"),
    Index("jobs_by_change", "project", "tracking", "state", "state_since"),
    Index("jobs_by_since", "state_since"),
    # The same of a batch, and whether any of its jobs is still active.
    _partial("jobs_by_batch", "batch", "project", "tracking", "state", where="batch IS NOT NULL"),
    _partial(
        "jobs_by_batch_change", "batch", "project", "tracking", "state", "state_since", where="batch IS NOT NULL"
    ),
    # For learning: the latest ended jobs of each kind.
    _partial("jobs_finished", "project", "kind", "state_since", where="tracking = 'finished'"),
    # How far back the service's list must be read. A job enters with its first answer and leaves at its end.
    _partial("jobs_oldest", "project", "created_at", where=_HAS_AGE),
    # Jobs known from callbacks alone, whose number is limited.
    _partial("jobs_unconfirmed", "project", where=_UNCONFIRMED),
    # Unopened videos, by when their links expire.
    _partial("jobs_unseen", "link_until", where=_UNSEEN),
    _partial("jobs_reminded", "link_until", where=_REMINDED),
)

_add(
    LOOKS,
    CheckConstraint("polls >= 0", name="polls_count"),
    *(_within(name, 64) for name in ("asked_by", "next_reason")),
    CheckConstraint("next_poll_at IS NOT NULL OR next_reason IS NULL", name="reason_has_poll"),
)

_add(
    JOB_TAGS,
    Index("job_tags_by_job", "job"),
)

_add(
    BATCHES,
    Index("batches_newest", "newest"),
    Index("batches_by_project", "project", "newest"),
)

_FREEZES = "\"after\" = 'BLOCK'"

_add(
    TRANSITIONS,
    UniqueConstraint("job", "seq", name="transitions_seq"),
    CheckConstraint(
        '(seq = 1 AND "before" IS NULL) OR (seq > 1 AND "before" IS NOT NULL)', name="first_has_no_before"
    ),
    CheckConstraint('"before" IS NULL OR "before" <> "after"', name="moves"),
    _within("before", 64),
    _within("after", 64),
    _partial("transitions_blocked", "job", where=_FREEZES),
)

_UNSENT = "status = 'pending' OR status = 'sending' OR status = 'held'"

_add(
    DELIVERIES,
    UniqueConstraint("key", "channel", name="deliveries_key"),
    _within("key", 300),
    _within("channel", 128),
    _within("event", 64),  # not an enum check: later releases add events
    _within("project", 128),
    CheckConstraint("transition IS NULL OR job IS NOT NULL", name="transition_has_job"),
    CheckConstraint("length(facts) >= 2", name="facts_length"),
    CheckConstraint("status IN ('pending', 'sending', 'sent', 'held', 'dead', 'canceled')", name="status_value"),
    CheckConstraint("(status = 'sent') = (sent_at IS NOT NULL)", name="sent_has_time"),
    CheckConstraint("attempts >= 0", name="attempts_count"),
    CheckConstraint("tried_for >= 0", name="tried_for_counts"),
    CheckConstraint("defects >= 0", name="defects_counts"),
    CheckConstraint("attempts >= 1 OR status IN ('pending', 'canceled')", name="tried_before_judged"),
    _partial("deliveries_due", "channel", "status", "mute", "due_at", "id", where=_UNSENT),
    _partial("deliveries_muted", "mute", where="mute IS NOT NULL"),
    _partial("deliveries_order", "job", "channel", "id", where=_UNSENT),
    _partial("deliveries_by_job", "job", where="job IS NOT NULL"),
    Index("deliveries_by_transition", "transition"),
    # Lists, counts, recent traffic of a channel, and retention.
    Index("deliveries_by_status", "channel", "status", "created_at"),
    # Lists by columns that never change: one index write for each delivery.
    Index("deliveries_by_event", "project", "event", "created_at"),
)

_add(
    ATTEMPTS,
    UniqueConstraint("delivery", "n", name="attempts_n"),
    CheckConstraint("n >= 1", name="n_counts"),
    CheckConstraint("outcome IN ('sent', 'retry', 'unknown', 'held', 'dead')", name="outcome_value"),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended_has_outcome"),
    CheckConstraint("shared >= 1", name="shared_counts"),
)

_add(
    PICTURES,
    CheckConstraint("(data IS NULL) = (error IS NOT NULL)", name="data_or_error"),
    CheckConstraint("data IS NULL OR content_type IS NOT NULL", name="data_has_type"),
    CheckConstraint(f"length(data) BETWEEN 1 AND {MOST_PICTURE}", name="data_length"),
    _partial("pictures_kept", "fetched_at", where="data IS NOT NULL"),
)

_add(
    LINKS,
    UniqueConstraint("job", name="links_job"),
    UniqueConstraint("token", name="links_token"),
    _within("token", 128),
    CheckConstraint("clicks >= 0", name="clicks_count"),
    CheckConstraint("(clicks = 0) = (last_click_at IS NULL)", name="click_has_time"),
    Index("links_expiry", "expires_at"),
)

_add(
    PROJECT_STATUS,
    _within("project", 128),
    CheckConstraint("length(facts) >= 2", name="facts_length"),
)

_add(
    DISCOVERIES,
    _within("project", 128),
    CheckConstraint("length(filters) >= 2", name="filters_length"),
    CheckConstraint("found >= 0 AND added >= 0", name="found_counts"),
    CheckConstraint(
        "(ended_at IS NULL) = (found IS NULL) AND (ended_at IS NULL) = (added IS NULL)", name="ended_has_counts"
    ),
    CheckConstraint("ended_at IS NOT NULL OR (error IS NULL AND result IS NULL)", name="result_has_end"),
    _partial("discoveries_waiting", "id", where="ended_at IS NULL"),
)

_add(
    SIGNATURES,
    _within("digest", 128),
    _within("project", 128),
    _within("job_id", 128),
    Index("signatures_age", "used_at"),
)

_add(
    ADDRESSES,
    _within("channel", 128),
    _within("salt", 64),
    _within("fingerprint", 16),
)

_add(
    ACTIONS,
    _within("who", 128),
    _within("what", 64),
    _within("project", 128),
    _within("subject", 200),
    CheckConstraint("count >= 0", name="count_counts"),
    Index("actions_by_subject", "subject"),
    Index("actions_by_project", "project"),
    Index("actions_age", "at"),
)

_add(
    MUTES,
    CheckConstraint("scope IN ('job', 'batch', 'tag', 'channel')", name="scope_value"),
    CheckConstraint("\"then\" IN ('send', 'drop')", name="then_value"),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended_has_who"),
    _within("project", 128),
    _within("subject", 128),
    _within("who", 128),
    _within("comment", 500),
    _partial("mutes_unended", "until", where="ended_at IS NULL"),
)

_add(
    PAUSES,
    _within("project", 128),
    _within("who", 128),
    _within("comment", 500),
)

_add(
    ANSWERS,
    CheckConstraint("length(body) BETWEEN 2 AND 16384", name="body_length"),
)

_add(
    THUMBNAILS,
    CheckConstraint("length(data) BETWEEN 1 AND 65536", name="data_length"),
    CheckConstraint("width >= 1 AND height >= 1", name="size_counts"),
)

_add(
    CHANGES,
    _within("kind", 32),
)

_SCOPES = "scope IN ('read', 'write', 'admin')"

_add(
    TOKENS,
    CheckConstraint(_SCOPES, name="scope_value"),
    _within("id", 16),
    _within("name", 64),
    _within("digest", 64),
    _within("created_by", 128),
    Index("tokens_name", "name"),
)

_add(
    SESSIONS,
    UniqueConstraint("digest", name="sessions_digest"),
    CheckConstraint(_SCOPES, name="scope_value"),
    CheckConstraint("token IS NULL OR proof IS NULL", name="token_or_proof"),
    _within("id", 16),
    _within("digest", 64),
    _within("name", 128),
    _within("proof", 64),
    Index("sessions_token", "token"),
    Index("sessions_age", "until"),
)

_add(
    LOGINS,
    CheckConstraint(_SCOPES, name="scope_value"),
    _within("digest", 64),
    _within("name", 128),
)

_add(
    SHARES,
    UniqueConstraint("digest", name="shares_digest"),
    _within("digest", 64),
    _within("project", 128),
    _within("batch", 64),
    _within("created_by", 128),
    Index("shares_batch", "batch", "project"),
    Index("shares_age", "expires_at"),
)
