"""Where each channel led when the daemon last started: a short fingerprint of its URL."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("salt", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.CheckConstraint('"channel" <> \'\' AND length("channel") <= 128', name="channel_length"),
        sa.CheckConstraint('"salt" <> \'\' AND length("salt") <= 64', name="salt_length"),
        sa.CheckConstraint('"fingerprint" <> \'\' AND length("fingerprint") <= 16', name="fingerprint_length"),
    )
