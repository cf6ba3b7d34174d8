"""Long lists: the tags of jobs in their own table, and an index for each order and filter."""

import json
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AT_ONCE = 5_000


def upgrade() -> None:
    op.drop_index("jobs_by_tracking", "jobs")
    op.create_index("jobs_by_tracking", "jobs", ["project", "tracking", "state"])
    op.create_index("jobs_by_change", "jobs", ["project", "tracking", "state", "state_since"])
    op.create_index("deliveries_by_event", "deliveries", ["project", "event", "created_at"])
    op.create_table(
        "job_tags",
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("job", _ID, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("job_tags_by_job", "job_tags", ["job"])
    _fill()


def _fill() -> None:
    connection = op.get_bind()
    add = sa.text("INSERT INTO job_tags (tag, job) VALUES (:tag, :job)")
    more = sa.text("SELECT id, tags FROM jobs WHERE id > :after ORDER BY id LIMIT :most")
    after = 0
    while found := connection.execute(more, {"after": after, "most": _AT_ONCE}).all():
        after = found[-1].id
        rows = [{"tag": tag, "job": row.id} for row in found for tag in _tags(row.tags)]
        if rows:
            connection.execute(add, rows)


def _tags(text: str) -> Iterator[str]:
    """Yield each tag once. Text that is not a list of strings has none, so that one damaged row does not fail them
    all."""
    if text == "[]":
        return
    try:
        found = json.loads(text)
    except ValueError:
        return
    if isinstance(found, list):
        yield from dict.fromkeys(tag for tag in found if isinstance(tag, str))
