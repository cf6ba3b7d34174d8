"""Runs the migrations on the connection that daemon/store/migrate.py hands over, inside its transaction."""

from alembic import context

from daemon.store.constraints import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by recreating it
    on_version_apply=context.config.attributes.get("on_version_apply"),
)
context.run_migrations()
