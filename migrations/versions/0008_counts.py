"""Kept counts: how many jobs and deliveries there are of each sort, and the newest job of each batch."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_JOB_IN = """
    INSERT INTO job_counts (batch, project, tracking, state, n)
    SELECT column1, NEW.project, NEW.tracking, coalesce(NEW.state, ''), 1
    FROM (VALUES (''), (NEW.batch)) WHERE column1 IS NOT NULL
    ON CONFLICT (batch, project, tracking, state) DO UPDATE SET n = n + 1;
    INSERT INTO batches (batch, project, newest)
    SELECT NEW.batch, NEW.project, NEW.id WHERE NEW.batch IS NOT NULL
    ON CONFLICT (batch, project) DO UPDATE SET newest = excluded.newest WHERE excluded.newest > newest;"""
_JOB_OUT = """
    UPDATE job_counts SET n = n - 1
    WHERE batch IN ('', OLD.batch) AND project = OLD.project AND tracking = OLD.tracking
    AND state = coalesce(OLD.state, '');"""
_NEWEST_OUT = """
    DELETE FROM batches WHERE batch = OLD.batch AND project = OLD.project AND newest = OLD.id"""
_DELIVERY_IN = """
    INSERT INTO delivery_counts (channel, status, n) VALUES (NEW.channel, NEW.status, 1)
    ON CONFLICT (channel, status) DO UPDATE SET n = n + 1;"""
_DELIVERY_OUT = """
    UPDATE delivery_counts SET n = n - 1 WHERE channel = OLD.channel AND status = OLD.status;"""
_TRIGGERS = (
    f"jobs_counted AFTER INSERT ON jobs BEGIN{_JOB_IN} END",
    f"""jobs_recounted AFTER UPDATE OF project, batch, tracking, state ON jobs
    WHEN (OLD.project, OLD.batch, OLD.tracking, OLD.state) IS NOT (NEW.project, NEW.batch, NEW.tracking, NEW.state)
    BEGIN{_JOB_OUT}{_NEWEST_OUT} AND (OLD.batch, OLD.project) IS NOT (NEW.batch, NEW.project);{_JOB_IN} END""",
    f"jobs_uncounted AFTER DELETE ON jobs BEGIN{_JOB_OUT}{_NEWEST_OUT}; END",
    """batches_left AFTER DELETE ON batches BEGIN
    INSERT INTO batches (batch, project, newest)
    SELECT batch, project, max(id) FROM jobs WHERE batch = OLD.batch AND project = OLD.project
    GROUP BY batch, project;
    DELETE FROM job_counts WHERE batch = OLD.batch AND project = OLD.project AND n = 0; END""",
    f"deliveries_counted AFTER INSERT ON deliveries BEGIN{_DELIVERY_IN} END",
    f"""deliveries_recounted AFTER UPDATE OF channel, status ON deliveries
    WHEN (OLD.channel, OLD.status) IS NOT (NEW.channel, NEW.status)
    BEGIN{_DELIVERY_OUT}{_DELIVERY_IN} END""",
    f"deliveries_uncounted AFTER DELETE ON deliveries BEGIN{_DELIVERY_OUT} END",
)
_FILL = (
    """INSERT INTO job_counts (batch, project, tracking, state, n)
    SELECT '', project, tracking, coalesce(state, ''), count(*) FROM jobs GROUP BY project, tracking, state""",
    """INSERT INTO job_counts (batch, project, tracking, state, n)
    SELECT batch, project, tracking, coalesce(state, ''), count(*) FROM jobs WHERE batch IS NOT NULL
    GROUP BY batch, project, tracking, state""",
    """INSERT INTO batches (batch, project, newest)
    SELECT batch, project, max(id) FROM jobs WHERE batch IS NOT NULL GROUP BY batch, project""",
    """INSERT INTO delivery_counts (channel, status, n)
    SELECT channel, status, count(*) FROM deliveries GROUP BY channel, status""",
)


def upgrade() -> None:
    op.create_table(
        "job_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("batch", "project", "tracking", "state")),
        sa.Column("n", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "batches",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("batch", "project")),
        sa.Column("newest", _ID, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("batches_newest", "batches", ["newest"])
    op.create_index("batches_by_project", "batches", ["project", "newest"])
    op.create_table(
        "delivery_counts",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("channel", "status")),
        sa.Column("n", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    for statement in _FILL:
        op.execute(statement)
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
