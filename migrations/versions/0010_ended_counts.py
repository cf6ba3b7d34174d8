"""How many jobs of each project are no longer tracked, so that nobody has to count them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# These triggers do nothing as long as a job is active.
_OUT = """
    UPDATE ended_counts SET n = n - 1 WHERE project = OLD.project AND tracking = OLD.tracking;"""
_IN = """
    INSERT INTO ended_counts (project, tracking, n)
    SELECT NEW.project, NEW.tracking, 1 WHERE NEW.tracking <> 'active'
    ON CONFLICT (project, tracking) DO UPDATE SET n = n + 1;"""
_TRIGGERS = (
    f"""ended_recounted AFTER UPDATE OF project, tracking ON jobs
    WHEN (OLD.tracking <> 'active' OR NEW.tracking <> 'active')
    AND (OLD.project, OLD.tracking) IS NOT (NEW.project, NEW.tracking)
    BEGIN{_OUT}{_IN} END""",
    f"ended_uncounted AFTER DELETE ON jobs WHEN OLD.tracking <> 'active' BEGIN{_OUT} END",
)


def upgrade() -> None:
    op.create_table(
        "ended_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("project", "tracking")),
        sa.Column("n", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        """INSERT INTO ended_counts (project, tracking, n)
        SELECT project, tracking, count(*) FROM jobs WHERE tracking <> 'active' GROUP BY project, tracking"""
    )
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
