"""Bringing the database to the schema of this version, once, whoever starts first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2.sql import SQL, Identifier

from alembic import command
from atlas.errors import AtlasError, UsageError
from atlas.ledger import readers, validity
from atlas.ledger.database import OLDEST, classified

_LOCK = 0x41544C4153  # "ATLAS": one migration at a time in a database


def config() -> Config:
    """Alembic's configuration, pointing at the migrations beside this package."""
    root = Path(__file__).resolve().parents[2]
    result = Config()
    result.set_main_option("script_location", str(root / "alembic"))
    result.set_main_option("path_separator", "os")
    return result


def head() -> str:
    """The one newest revision."""
    revision = ScriptDirectory.from_config(config()).get_current_head()
    if revision is None:  # pragma: no cover - a checkout without its migrations
        raise AtlasError("this installation lacks its migrations (directory alembic)")
    return revision


def current(engine: sa.Engine) -> str | None:
    """The revision that the database is at, or None for an empty one."""
    with engine.connect() as conn:
        return MigrationContext.configure(
            conn, opts={"version_table_schema": "pipeline"}
        ).get_current_revision()


def upgrade(engine: sa.Engine, revision: str = "head") -> bool:
    """Migrate up to ``revision`` under an advisory lock, and see that :mod:`readers
    <atlas.ledger.readers>` have their role. Returns whether the revision changed.

    Raises:
        AtlasError: the server is too old, or the database belongs to a newer Atlas.
        TransientError: the database cannot be reached.
    """
    with classified(engine.url.render_as_string(hide_password=True)), engine.connect() as conn:
        version = conn.connection.dbapi_connection.server_version  # type: ignore[union-attr]
        if version < OLDEST:
            raise AtlasError(
                f"PostgreSQL {version // 10000} is too old: Atlas needs {OLDEST // 10000} or newer"
            )
        conn.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        try:
            conn.execute(sa.text("CREATE SCHEMA IF NOT EXISTS pipeline"))
            conn.commit()
            before = MigrationContext.configure(
                conn, opts={"version_table_schema": "pipeline"}
            ).get_current_revision()
            scripts = ScriptDirectory.from_config(config())
            known = {script.revision for script in scripts.walk_revisions()}
            if before is not None and before not in known:
                raise AtlasError(
                    "the database was migrated by a newer Atlas "
                    f"(revision {before}): update this installation"
                )
            conn.commit()
            cfg = config()
            cfg.attributes["connection"] = conn
            command.upgrade(cfg, revision)
            if revision == "head":
                readers.ensure(conn)
                validity.ensure(conn, version)
            conn.commit()
        finally:
            conn.rollback()
            conn.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            conn.commit()
    return current(engine) != before


def downgrade(engine: sa.Engine, revision: str, *, lose: bool = False) -> None:
    """Migrate down to ``revision`` ("base": to nothing), wholly or not at all.

    Args:
        lose: whether data may be lost that the older schema has no place for.

    Raises:
        UsageError: there is no such revision, or data would be lost; the message says which.
    """
    if revision != "base" and revision not in {
        script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()
    }:
        raise UsageError(
            f"there is no revision {revision!r}: they are called as in alembic/versions"
        )
    with classified(engine.url.render_as_string(hide_password=True)), engine.connect() as conn:
        # Within a transaction that has begun, Alembic commits nothing by itself.
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        before = _columns(conn)
        with conn.begin_nested() as trial:
            _down(conn, revision)
            gone = before - _columns(conn)
            trial.rollback()
        if not lose:  # what is looked at stays as it is until it is gone
            for table in sorted({each.table for each in gone}):
                lock = SQL("LOCK TABLE pipeline.{} IN SHARE ROW EXCLUSIVE MODE")
                conn.connection.cursor().execute(lock.format(Identifier(table)))
        lost = [] if lose else _filled(conn, gone)
        if lost:
            raise UsageError(
                f"revision {revision} has no place for what is in {', '.join(lost)}: it would be "
                "lost. Restore a backup from before that migration, or stay at this version"
            )
        _down(conn, revision)
        conn.commit()


def _down(conn: sa.Connection, revision: str) -> None:
    cfg = config()
    cfg.attributes["connection"] = conn
    command.downgrade(cfg, revision)


class _Column(NamedTuple):
    table: str
    column: str


def _columns(conn: sa.Connection) -> set[_Column]:
    rows = conn.execute(
        sa.text(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'pipeline' AND table_name IN"
            " (SELECT tablename FROM pg_tables WHERE schemaname = 'pipeline')"
        )
    )
    return {_Column(*row) for row in rows}


def _filled(conn: sa.Connection, columns: set[_Column]) -> list[str]:
    """Those of the columns in which something other than their default stands, or their tables
    where all of them do."""
    cursor = conn.connection.cursor()
    found: dict[str, None] = {}
    kept = {each.table for each in _columns(conn) - columns}
    for each in sorted(columns):
        cursor.execute(
            "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a LEFT JOIN pg_attrdef d"
            " ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
            " WHERE a.attrelid = to_regclass(%s) AND a.attname = %s",
            (f"pipeline.{each.table}", each.column),
        )
        (default,) = cursor.fetchone() or (None,)
        cursor.execute(
            SQL("SELECT EXISTS (SELECT FROM pipeline.{} WHERE {} IS DISTINCT FROM ({}))").format(
                Identifier(each.table), Identifier(each.column), SQL(default or "NULL")
            )
        )
        row = cursor.fetchone()
        if row and row[0]:
            whole = each.table not in kept
            found[f"pipeline.{each.table}" + ("" if whole else f".{each.column}")] = None
    return list(found)
