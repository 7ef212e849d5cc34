"""Bringing the database to the schema of this version, once, whoever starts first."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from alembic import command
from atlas.errors import AtlasError
from atlas.ledger import readers
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
            conn.commit()
        finally:
            conn.rollback()
            conn.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            conn.commit()
    return current(engine) != before


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Migrate down to ``revision`` ("base": to nothing)."""
    with classified(engine.url.render_as_string(hide_password=True)), engine.connect() as conn:
        cfg = config()
        cfg.attributes["connection"] = conn
        command.downgrade(cfg, revision)
        conn.commit()
