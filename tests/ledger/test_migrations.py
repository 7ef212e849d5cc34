"""Models and migrations agree; there is one head; each migration can be taken back."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from atlas.errors import AtlasError, UsageError
from atlas.ledger import migrations, validity
from atlas.ledger.tables import SCHEMA, metadata


def _own(name: str | None, kind: str, parents: object) -> bool:
    return name == SCHEMA if kind == "schema" else True


def test_one_head() -> None:
    assert len(ScriptDirectory.from_config(migrations.config()).get_heads()) == 1


def test_models_equal_migrations(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    assert migrations.upgrade(engine)
    with engine.connect() as conn:
        context = MigrationContext.configure(
            conn,
            opts={
                "version_table_schema": SCHEMA,
                "include_schemas": True,
                "include_name": _own,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_down_and_up_again(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine)
    tables = set(sa.inspect(engine).get_table_names(SCHEMA))
    migrations.downgrade(engine, "base")
    assert set(sa.inspect(engine).get_table_names(SCHEMA)) == {"alembic_version"}
    assert migrations.upgrade(engine)
    assert set(sa.inspect(engine).get_table_names(SCHEMA)) == tables
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_a_server_that_is_too_old_is_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(database_url)
    monkeypatch.setattr(migrations, "OLDEST", 990000)
    with pytest.raises(AtlasError, match=r"PostgreSQL \d\d is too old: Atlas needs 99 or newer"):
        migrations.upgrade(engine)
    assert SCHEMA not in sa.inspect(engine).get_schema_names()
    engine.dispose()


@pytest.mark.parametrize("older", [False, True])
def test_what_an_older_server_lacks_is_made_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    engine = sa.create_engine(database_url)
    monkeypatch.setattr(validity, "NATIVE", 1_000_000 if older else 0)
    migrations.upgrade(engine)
    migrations.upgrade(engine)
    with engine.connect() as conn:
        made = conn.execute(
            sa.text("SELECT to_regproc('pipeline.input_is_valid') IS NOT NULL")
        ).scalar_one()
    engine.dispose()
    assert made is older


def test_two_at_once_migrate_once(database_url: str) -> None:
    changed: list[bool] = []

    def migrate() -> None:
        engine = sa.create_engine(database_url)
        changed.append(migrations.upgrade(engine))
        engine.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(changed) == [False, False, True]


def test_the_schema_without_places_is_refused_once_rows_have_some(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine)
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "WITH s AS (INSERT INTO pipeline.stream_table (connection, stream, table_name,"
                " raw_name, quarantine_name) VALUES ('shop', 'users', 'u', 'u_raw', 'u_q')"
                " RETURNING id), r AS (INSERT INTO pipeline.run (id, connection, trigger, status)"
                " VALUES (gen_random_uuid(), 'shop', 'reprocess', 'succeeded') RETURNING id)"
                " INSERT INTO pipeline.reprocessed_row (stream_table_id, run_id, of_id, row_id,"
                " place) SELECT s.id, r.id, 1, 2, 1 FROM s, r"
            )
        )
    with pytest.raises(UsageError, match="stay at revision 0013"):
        migrations.downgrade(engine, "0010", lose=True)
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_nothing_comes_between_the_look_and_the_way_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine)
    look, late = migrations._filled, []

    def filled(conn: sa.Connection, gone: Any) -> list[str]:
        found = look(conn, gone)
        with engine.begin() as other:
            other.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                other.execute(
                    sa.text("INSERT INTO pipeline.worker (name, queues) VALUES ('w', '{load}')")
                )
            late.append(found)
        return found

    monkeypatch.setattr(migrations, "_filled", filled)
    migrations.downgrade(engine, "0016")
    assert late == [[]]
    engine.dispose()


def test_the_way_back_is_refused_where_it_would_lose_data(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine)
    with engine.begin() as conn:
        # A run as it was at 0016 already, and nothing that came later.
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.run (id, connection, trigger, status)"
                " VALUES (gen_random_uuid(), 'shop', 'cli', 'succeeded')"
            )
        )
    migrations.downgrade(engine, "0016")
    assert migrations.current(engine) == "0016"
    assert migrations.upgrade(engine)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET rows_explore = 7"))
        conn.execute(sa.text("INSERT INTO pipeline.worker (name, queues) VALUES ('w', '{load}')"))
    with pytest.raises(UsageError) as refused:
        migrations.downgrade(engine, "0016")
    assert "pipeline.run.rows_explore, pipeline.worker: it would be lost" in str(refused.value)
    assert migrations.current(engine) == migrations.head()
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT rows_explore FROM pipeline.run")).scalar() == 7
    migrations.downgrade(engine, "0016", lose=True)
    with pytest.raises(UsageError, match="no revision 'yesterday'"):
        migrations.downgrade(engine, "yesterday")
    engine.dispose()


def test_who_fails_when_it_is_first_written_down(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine, "0023")
    with engine.begin() as conn:
        for name, statuses in {
            "well": ["failed", "succeeded"],
            "ill": ["failed", "succeeded", "blocked", "cancelled", "failed"],
        }.items():
            number = conn.execute(
                sa.text(
                    "INSERT INTO pipeline.connection (name, connector, config, document,"
                    " fingerprint) VALUES (:name, 'c', '', '{}', '') RETURNING id"
                ),
                {"name": name},
            ).scalar_one()
            for status in statuses:
                conn.execute(
                    sa.text(
                        "INSERT INTO pipeline.run (id, connection_id, connection, trigger, status,"
                        " finished_at) VALUES (gen_random_uuid(), :number, :name, 'cli', :status,"
                        " clock_timestamp())"
                    ),
                    {"number": number, "name": name, "status": status},
                )
    migrations.upgrade(engine)
    found = sa.text(
        "SELECT r.connection, r.status, r.finished_at = o.since FROM pipeline.outage AS o"
        " JOIN pipeline.run AS r ON r.id = o.run_id"
    )
    with engine.begin() as conn:
        assert [tuple(row) for row in conn.execute(found)] == [("ill", "blocked", True)]
        conn.execute(sa.text("DELETE FROM pipeline.outage"))
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.webhook (name, kind, addresses, events)"
                " VALUES ('ops', 'email', '{ops@example.org}', '{run.failed}')"
            )
        )
    with pytest.raises(UsageError, match=r"pipeline\.webhook\.kind"):
        migrations.downgrade(engine, "0023")
    migrations.downgrade(engine, "0023", lose=True)
    engine.dispose()
