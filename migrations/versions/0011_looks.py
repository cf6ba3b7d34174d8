"""The bookkeeping of tracked jobs in small rows apart: a checkpoint writes a quarter of the pages or less."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


# A job's own row takes over what its looks add up to when its tracking ends, or another project takes it: what is
# planned for it then no longer holds. So it does with looks that are written after the end.
def _keep(job: str) -> str:
    return f"""BEGIN
    UPDATE jobs SET (polls, last_polled_at, asked_by, last_error) = (
        SELECT jobs.polls + looks.polls, coalesce(looks.last_polled_at, jobs.last_polled_at),
        coalesce(looks.asked_by, jobs.asked_by), looks.last_error FROM looks WHERE looks.job = {job}
    ) WHERE id = {job};
    DELETE FROM looks WHERE job = {job};
    END"""  # noqa: S608 - constants


_TRIGGERS = {
    """looks_kept AFTER UPDATE OF project, tracking ON jobs
    WHEN (OLD.project, OLD.tracking) IS NOT (NEW.project, NEW.tracking)
    AND EXISTS (SELECT 1 FROM looks WHERE job = NEW.id)""": _keep("NEW.id"),
    """looks_late AFTER INSERT ON looks
    WHEN (SELECT tracking FROM jobs WHERE id = NEW.job) <> 'active'""": _keep("NEW.job"),
}


def _within(column: str, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f'"{column}" <> \'\' AND length("{column}") <= {most}', name=f"{column}_length")


def upgrade() -> None:
    op.create_table(
        "looks",
        sa.Column(
            "job",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.ForeignKey("jobs.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("polls", sa.BigInteger, nullable=False),
        sa.Column("last_polled_at", sa.BigInteger),
        sa.Column("next_poll_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.Column("asked_by", sa.Text),
        sa.Column("next_reason", sa.Text),
        sa.CheckConstraint("polls >= 0", name="polls_count"),
        _within("asked_by", 64),
        _within("next_reason", 64),
        sa.CheckConstraint("next_poll_at IS NOT NULL OR next_reason IS NULL", name="reason_has_poll"),
    )
    for trigger, body in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {trigger} {body}")
