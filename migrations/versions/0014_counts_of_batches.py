"""How many jobs of each batch are tracked, so that no list of batches counts them."""

from alembic import op

revision = "0014"
down_revision = "0013"

_OUT = """
    UPDATE batch_counts SET n = n - 1 WHERE batch = OLD.batch AND project = OLD.project
    AND tracking = OLD.tracking AND state = coalesce(OLD.state, '');"""
_IN = """
    INSERT INTO batch_counts (batch, project, tracking, state, n)
    SELECT NEW.batch, NEW.project, NEW.tracking, coalesce(NEW.state, ''), 1 WHERE NEW.batch IS NOT NULL
    ON CONFLICT (batch, project, tracking, state) DO UPDATE SET n = n + 1;"""
# These do nothing for jobs without a batch.
_TRIGGERS = (
    f"batches_counted AFTER INSERT ON jobs WHEN NEW.batch IS NOT NULL BEGIN{_IN} END",
    f"""batches_recounted AFTER UPDATE OF project, batch, tracking, state ON jobs
    WHEN (OLD.batch IS NOT NULL OR NEW.batch IS NOT NULL)
    AND (OLD.project, OLD.batch, OLD.tracking, OLD.state) IS NOT (NEW.project, NEW.batch, NEW.tracking, NEW.state)
    BEGIN{_OUT}{_IN} END""",
)
_FILL = """
    INSERT INTO batch_counts (batch, project, tracking, state, n)
    SELECT batch, project, tracking, coalesce(state, ''), count(*) FROM jobs
    WHERE batch IS NOT NULL AND tracking = 'active' GROUP BY batch, project, tracking, state"""


def upgrade() -> None:
    op.execute(_FILL)
    op.execute("DROP TRIGGER batches_recounted")
    for trigger in _TRIGGERS:
        op.execute(f"CREATE TRIGGER {trigger}")
