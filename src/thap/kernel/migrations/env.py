"""Run by Alembic with an open connection in `config.attributes["connection"]`."""

from alembic import context

from thap.kernel.records import metadata
from thap.kernel.tables import load_tables

load_tables()
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
