"""Alembic's entry: runs the migrations on the connection it is handed."""

from __future__ import annotations

from alembic import context
from atlas.ledger.tables import SCHEMA, metadata


def include_name(name: str | None, type_: str, parent_names: object) -> bool:
    """Only schema ``pipeline`` is Atlas's to migrate; the layers' tables make themselves."""
    return name == SCHEMA if type_ == "schema" else True


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=include_name,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
