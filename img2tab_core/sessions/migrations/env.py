"""Alembic runs this file: it takes the steps over the connection that `database` opened, in its transaction."""

from __future__ import annotations

from alembic import context

# a step is taken whole or not at all: SQLite, too, can undo the making of a table once the transaction is ours
context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
