"""Learning and lists: expected lengths, why and how a job is polled, statuses, discoveries, a new final state."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ENDS = "'SUCCEED', 'PARTIAL_SUCCEED', 'FAILED', 'CANCELED'"
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _respell()
    given = _numbers_given("jobs")
    _jobs()
    _keep_numbers("jobs", given)
    _partial("transitions_blocked", "transitions", ["job"], "\"after\" = 'BLOCK'")
    _project_status()
    _discoveries()


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _respell() -> None:
    """An older wrapd did not know that PARTIAL_SUCCEED is final. Jobs that it left in that state get a spelling
    that no answer has, so that the next answer is a transition to the final state, with its alerts."""
    op.execute(
        "UPDATE transitions SET \"after\" = 'partial_succeed' "
        "WHERE job IN (SELECT id FROM jobs WHERE state = 'PARTIAL_SUCCEED') "
        "AND seq = (SELECT max(seq) FROM transitions AS other WHERE other.job = transitions.job) "
        "AND \"before\" IS NOT 'partial_succeed'"
    )
    op.execute("UPDATE jobs SET state = 'partial_succeed' WHERE state = 'PARTIAL_SUCCEED'")


def _numbers_given(table: str) -> int | None:
    """Return the highest row id that the table ever had, as kept by SQLite; None if it keeps none."""
    if op.get_bind().dialect.name != "sqlite":
        return None
    query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return op.get_bind().execute(query, {"name": table}).scalar_one_or_none()


def _keep_numbers(table: str, given: int | None) -> None:
    """A recreated table counts from its last row, which would reuse the ids of rows deleted after it."""
    if given is None:
        return
    for statement in (
        "DELETE FROM sqlite_sequence WHERE name = :name",
        "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)",
    ):
        op.get_bind().execute(sa.text(statement), {"name": table, "seq": given})


def _jobs() -> None:
    # The table as 0001 made it: SQLite does not reflect all of it (checks, AUTOINCREMENT).
    before = sa.Table("jobs", sa.MetaData(), *_old_columns(), *_old_checks(), sqlite_autoincrement=True)
    _old_indexes(before)
    with op.batch_alter_table("jobs", copy_from=before) as table:
        table.add_column(sa.Column("expected_length", sa.Float))
        table.add_column(sa.Column("asked_by", sa.Text))
        table.add_column(sa.Column("next_reason", sa.Text))
        table.drop_constraint("finished_is_terminal", type_="check")
        for name, condition in (
            (
                "finished_is_terminal",
                f"(tracking = 'finished') = (coalesce(state, '') IN ({_ENDS}))",
            ),
            ("expected_length_counts", "expected_length >= 0"),
            ("asked_by_length", '"asked_by" <> \'\' AND length("asked_by") <= 64'),
            ("next_reason_length", '"next_reason" <> \'\' AND length("next_reason") <= 64'),
            ("reason_has_poll", "next_poll_at IS NOT NULL OR next_reason IS NULL"),
        ):
            table.create_check_constraint(name, sa.text(condition))
    _partial("jobs_finished", "jobs", ["project", "kind", "state_since"], "tracking = 'finished'")
    _partial("jobs_oldest", "jobs", ["project", "created_at"], "tracking = 'active' AND created_at IS NOT NULL")


def _old_columns() -> list[sa.Column[Any]]:
    texts = ("asset_id", "asset_name", "cover_url", "preview_url", "download_url")
    return [
        sa.Column("id", _ID, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("tags", sa.Text, nullable=False, server_default=sa.text("'[]'")),
        sa.Column("batch", sa.Text),
        sa.Column("tracking", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.Column("state_since", sa.BigInteger),
        sa.Column("tracked_at", sa.BigInteger, nullable=False),
        sa.Column("episode", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column(
            "changed",
            sa.Boolean(create_constraint=True, name="changed_flag"),
            nullable=False,
            server_default=sa.false(),
        ),
        *(sa.Column(name, sa.BigInteger) for name in ("created_at", "started_at", "ended_at", "reported_at")),
        sa.Column("duration", sa.Float),
        *(sa.Column(name, sa.Text) for name in texts),
        sa.Column("links_at", sa.BigInteger),
        sa.Column("error_code", sa.Text),
        sa.Column("error_msg", sa.Text),
        sa.Column("polls", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_polled_at", sa.BigInteger),
        sa.Column("next_poll_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
    ]


def _old_checks() -> list[sa.Constraint]:
    return [
        sa.UniqueConstraint("job_id", "project", name="jobs_key"),
        *(_within(name, most) for name, most in (("project", 128), ("kind", 128), ("job_id", 128))),
        *(_within(name, most) for name, most in (("label", 500), ("batch", 128), ("state", 64))),
        sa.CheckConstraint("length(tags) BETWEEN 2 AND 4000", name="tags_length"),
        sa.CheckConstraint(
            "tracking IN ('active', 'finished', 'lost', 'expired', 'stopped')", name="tracking_value"
        ),
        sa.CheckConstraint(
            "(tracking = 'finished') = (coalesce(state, '') IN ('SUCCEED', 'FAILED', 'CANCELED'))",
            name="finished_is_terminal",
        ),
        sa.CheckConstraint("(state IS NULL) = (state_since IS NULL)", name="state_has_time"),
        sa.CheckConstraint("tracking = 'active' OR next_poll_at IS NULL", name="only_active_is_polled"),
        sa.CheckConstraint("episode >= 1", name="episode_counts"),
        sa.CheckConstraint("polls >= 0", name="polls_count"),
    ]


def _old_indexes(table: sa.Table) -> None:
    active, in_batch = sa.text("tracking = 'active'"), sa.text("batch IS NOT NULL")
    sa.Index("jobs_changed", table.c.id, sqlite_where=sa.text("changed = 1"), postgresql_where=sa.text("changed"))
    sa.Index("jobs_active", table.c.id, sqlite_where=active, postgresql_where=active)
    sa.Index("jobs_by_tracking", table.c.project, table.c.tracking)
    sa.Index("jobs_by_batch", table.c.batch, sqlite_where=in_batch, postgresql_where=in_batch)


def _project_status() -> None:
    op.create_table(
        "project_status",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        _within("project", 128),
        sa.CheckConstraint("length(facts) >= 2", name="facts_length"),
    )


def _discoveries() -> None:
    op.create_table(
        "discoveries",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("filters", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("found", sa.Integer),
        sa.Column("added", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("result", sa.Text),
        _within("project", 128),
        sa.CheckConstraint("length(filters) >= 2", name="filters_length"),
        sa.CheckConstraint("found >= 0 AND added >= 0", name="found_counts"),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (found IS NULL) AND (ended_at IS NULL) = (added IS NULL)",
            name="ended_has_counts",
        ),
        sa.CheckConstraint("ended_at IS NOT NULL OR (error IS NULL AND result IS NULL)", name="result_has_end"),
        sqlite_autoincrement=True,
    )
    _partial("discoveries_waiting", "discoveries", ["id"], "ended_at IS NULL")
