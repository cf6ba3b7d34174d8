"""How many jobs and given up alerts there are, so that nobody has to count them, and the orders of lists."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_JOB_IN = """
    INSERT INTO job_counts (project, tracking, state, n)
    VALUES (NEW.project, NEW.tracking, coalesce(NEW.state, ''), 1)
    ON CONFLICT (project, tracking, state) DO UPDATE SET n = n + 1;"""
_JOB_OUT = """
    UPDATE job_counts SET n = n - 1
    WHERE project = OLD.project AND tracking = OLD.tracking AND state = coalesce(OLD.state, '');"""
_ALERT_IN = """
    INSERT INTO given_up_counts (channel, status, n)
    SELECT NEW.channel, NEW.status, 1 WHERE NEW.status IN ('dead', 'canceled')
    ON CONFLICT (channel, status) DO UPDATE SET n = n + 1;"""
_ALERT_OUT = """
    UPDATE given_up_counts SET n = n - 1 WHERE channel = OLD.channel AND status = OLD.status;"""
_TRIGGERS = (
    f"jobs_counted AFTER INSERT ON jobs BEGIN{_JOB_IN} END",
    f"""jobs_recounted AFTER UPDATE OF project, tracking, state ON jobs
    WHEN (OLD.project, OLD.tracking, OLD.state) IS NOT (NEW.project, NEW.tracking, NEW.state)
    BEGIN{_JOB_OUT}{_JOB_IN} END""",
    f"jobs_uncounted AFTER DELETE ON jobs BEGIN{_JOB_OUT} END",
    # These do nothing unless an alert is given up, or was.
    f"given_up_counted AFTER INSERT ON deliveries WHEN NEW.status IN ('dead', 'canceled') BEGIN{_ALERT_IN} END",
    f"""given_up_recounted AFTER UPDATE OF status, channel ON deliveries
    WHEN (OLD.status IN ('dead', 'canceled') OR NEW.status IN ('dead', 'canceled'))
    AND (OLD.status, OLD.channel) IS NOT (NEW.status, NEW.channel)
    BEGIN{_ALERT_OUT}{_ALERT_IN} END""",
    f"given_up_uncounted AFTER DELETE ON deliveries WHEN OLD.status IN ('dead', 'canceled') BEGIN{_ALERT_OUT} END",
)
_FILL = (
    """INSERT INTO job_counts (project, tracking, state, n)
    SELECT project, tracking, coalesce(state, ''), count(*) FROM jobs GROUP BY 1, 2, 3""",
    """INSERT INTO given_up_counts (channel, status, n)
    SELECT channel, status, count(*) FROM deliveries WHERE status IN ('dead', 'canceled') GROUP BY 1, 2""",
)


def upgrade() -> None:
    for table, names in (
        ("job_counts", ("project", "tracking", "state")),
        ("given_up_counts", ("channel", "status")),
    ):
        op.create_table(
            table,
            *(sa.Column(name, sa.Text, primary_key=True) for name in names),
            sa.Column("n", sa.BigInteger, nullable=False),
            sqlite_with_rowid=False,
        )
    for statement in _FILL:
        op.execute(statement)
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
    _orders()


def _orders() -> None:
    """The orders of lists: of all jobs, of a batch's jobs, of actions."""
    op.drop_index("actions_by_subject", "actions")
    op.create_index("actions_by_subject", "actions", ["subject"])
    op.create_index("actions_by_project", "actions", ["project"])
    op.create_index("jobs_by_since", "jobs", ["state_since"])
    op.drop_index("jobs_by_batch", "jobs")
    batched = sa.text("batch IS NOT NULL")
    of_batch = ["batch", "project", "tracking", "state"]
    for name, columns in (("jobs_by_batch_change", [*of_batch, "state_since"]), ("jobs_by_batch", of_batch)):
        op.create_index(name, "jobs", columns, sqlite_where=batched, postgresql_where=batched)
