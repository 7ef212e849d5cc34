"""Statements that a session prepares: once each, and anew in a session that does not know them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, ProgrammingError

from atlas.ledger.prepared import Prepared

_COUNT = Prepared(
    sa.text(
        "PREPARE test_count (text) AS SELECT count(*) FROM pipeline.connection WHERE name = $1"
    ),
    sa.text("EXECUTE test_count (:name)"),
)
_TIMES = sa.text(
    "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name = 'test_count'"
)


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine of one connection, so that the next user has the same session, or another in its
    place."""
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def _count(conn: sa.Connection) -> int:
    return int(_COUNT.run(conn, {"name": "shop"}).scalar_one())


def test_a_session_prepares_it_once(engine: sa.Engine) -> None:
    for _ in range(3):
        with engine.begin() as conn:
            assert _count(conn) == 0
    with engine.connect() as conn:
        assert conn.scalars(_TIMES).all() == [3]


def test_it_outlives_a_transaction_that_is_undone(engine: sa.Engine) -> None:
    with engine.connect() as conn:
        _count(conn)
        conn.rollback()
        assert _count(conn) == 0
        assert conn.scalars(_TIMES).all() == [2]


def test_another_session_prepares_it_anew(engine: sa.Engine) -> None:
    with engine.connect() as conn:
        _count(conn)
        with pytest.raises(DBAPIError):
            conn.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with engine.connect() as conn:
        assert _count(conn) == 0
        assert conn.scalars(_TIMES).all() == [1]


def test_what_could_not_be_prepared_is_prepared_later(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("ALTER TABLE pipeline.connection RENAME TO away"))
    with pytest.raises(ProgrammingError), engine.begin() as conn:
        _count(conn)
    with engine.begin() as conn:
        conn.execute(sa.text("ALTER TABLE pipeline.away RENAME TO connection"))
    with engine.begin() as conn:
        assert _count(conn) == 0


def test_interrupted_it_is_no_burden_to_who_comes_next(engine: sa.Engine) -> None:
    def interrupted(*_: object) -> None:
        raise InterruptedError  # in a signal's handler, as Celery ends a task that takes too long

    with engine.connect() as conn:
        # PostgreSQL has it, and the session does not get to know.
        sa.event.listen(conn, "after_cursor_execute", interrupted)
        with pytest.raises(InterruptedError):
            _count(conn)
    with engine.begin() as conn:
        assert _count(conn) == 0


def test_a_table_may_change_under_it(engine: sa.Engine) -> None:
    for statement in ("ADD COLUMN one_more int", "DROP COLUMN one_more"):
        with engine.begin() as conn:
            assert _count(conn) == 0
            conn.execute(sa.text("ALTER TABLE pipeline.connection " + statement))
            assert _count(conn) == 0
