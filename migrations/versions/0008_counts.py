"""Long lists of batches and channels: the newest job of each batch, how its jobs ended, and how much was sent."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# These triggers do nothing as long as a job is active and keeps its batch.
_OUT = """
    UPDATE batch_counts SET n = n - 1 WHERE batch = OLD.batch AND project = OLD.project
    AND tracking = OLD.tracking AND state = coalesce(OLD.state, '');"""
_IN = """
    INSERT INTO batch_counts (batch, project, tracking, state, n)
    SELECT NEW.batch, NEW.project, NEW.tracking, coalesce(NEW.state, ''), 1
    WHERE NEW.batch IS NOT NULL AND NEW.tracking <> 'active'
    ON CONFLICT (batch, project, tracking, state) DO UPDATE SET n = n + 1;"""
_JOINED = """
    INSERT INTO batches (batch, project, newest)
    SELECT NEW.batch, NEW.project, NEW.id WHERE NEW.batch IS NOT NULL
    ON CONFLICT (batch, project) DO UPDATE SET newest = excluded.newest WHERE excluded.newest > newest;"""
_LEFT = """
    DELETE FROM batches WHERE batch = OLD.batch AND project = OLD.project AND newest = OLD.id;"""
_TRIGGERS = (
    f"""batches_recounted AFTER UPDATE OF project, batch, tracking, state ON jobs
    WHEN (OLD.tracking <> 'active' OR NEW.tracking <> 'active')
    AND (OLD.project, OLD.batch, OLD.tracking, OLD.state) IS NOT (NEW.project, NEW.batch, NEW.tracking, NEW.state)
    BEGIN{_OUT}{_IN} END""",
    f"""batches_joined AFTER UPDATE OF project, batch ON jobs
    WHEN (OLD.project, OLD.batch) IS NOT (NEW.project, NEW.batch)
    BEGIN{_LEFT}{_JOINED} END""",
    f"batches_uncounted AFTER DELETE ON jobs WHEN OLD.batch IS NOT NULL BEGIN{_OUT}{_LEFT} END",
    """batches_left AFTER DELETE ON batches BEGIN
    INSERT INTO batches (batch, project, newest)
    SELECT batch, project, max(id) FROM jobs WHERE batch = OLD.batch AND project = OLD.project
    GROUP BY batch, project;
    DELETE FROM batch_counts WHERE batch = OLD.batch AND project = OLD.project AND n = 0; END""",
)
_FILL = (
    """INSERT INTO batches (batch, project, newest)
    SELECT batch, project, max(id) FROM jobs WHERE batch IS NOT NULL GROUP BY batch, project""",
    """INSERT INTO batch_counts (batch, project, tracking, state, n)
    SELECT batch, project, tracking, coalesce(state, ''), count(*) FROM jobs
    WHERE batch IS NOT NULL AND tracking <> 'active' GROUP BY batch, project, tracking, state""",
    """INSERT INTO sent_counts (channel, n)
    SELECT channel, count(*) FROM deliveries WHERE status = 'sent' GROUP BY channel""",
)


def upgrade() -> None:
    op.create_table(
        "batches",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("batch", "project")),
        sa.Column("newest", _ID, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("batches_newest", "batches", ["newest"])
    op.create_index("batches_by_project", "batches", ["project", "newest"])
    op.create_table(
        "batch_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("batch", "project", "tracking", "state")),
        sa.Column("n", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sent_counts",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for statement in _FILL:
        op.execute(statement)
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
