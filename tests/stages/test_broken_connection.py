"""A connection that breaks between a stage's work and what is written beside it is an outage."""

from __future__ import annotations

import psycopg2
import pytest
import sqlalchemy as sa

from atlas.errors import TransientError
from atlas.ledger.database import classified
from atlas.settings import parse
from atlas.stages import work


def test_a_broken_connection_is_an_outage_and_no_fault_of_ours(database_url: str) -> None:
    engine = sa.create_engine("postgresql+psycopg2://" + database_url.partition("://")[2])
    with pytest.raises(TransientError) as told:
        _write_beside(engine, database_url)
    assert told.value.outage
    engine.dispose()


def _write_beside(engine: sa.Engine, url: str) -> None:
    with classified(), engine.connect() as conn:
        pid = conn.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        other = psycopg2.connect(url)
        with other.cursor() as cur:
            cur.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        other.close()
        work.cancelled(conn, parse({}), "00000000-0000-0000-0000-000000000000", [])
