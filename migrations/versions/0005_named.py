"""How the kind of a job is known, who named it, and which callback signatures were used for which job."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_UNCONFIRMED = "tracking = 'active' AND kind_source = 'guessed' AND named_by = 'callback'"


def upgrade() -> None:
    # Raw SQL that SQLite runs without recreating the table, which may hold millions of rows.
    for column, form, check, name in (
        ("kind_source", "TEXT DEFAULT 'given'", "IN ('given', 'found', 'guessed')", "kind_source_value"),
        ("named_by", "TEXT DEFAULT 'person'", "IN ('person', 'service', 'callback')", "named_by_value"),
        ("kind_tries", "INTEGER DEFAULT 0", ">= 0", "kind_tries_count"),
    ):
        checked = f"CONSTRAINT {name} CHECK ({column} {check})"
        op.execute(f"ALTER TABLE jobs ADD COLUMN {column} {form} NOT NULL {checked}")
    where = sa.text(_UNCONFIRMED)
    op.create_index("jobs_unconfirmed", "jobs", ["project"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "signatures",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("used_at", sa.BigInteger, nullable=False),
        sa.CheckConstraint('"digest" <> \'\' AND length("digest") <= 128', name="digest_length"),
        sa.CheckConstraint('"project" <> \'\' AND length("project") <= 128', name="project_length"),
        sa.CheckConstraint('"job_id" <> \'\' AND length("job_id") <= 128', name="job_id_length"),
    )
    op.create_index("signatures_age", "signatures", ["used_at"])
