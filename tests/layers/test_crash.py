"""What layers have committed is there after a crash of the server, and so is what they count on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from atlas.local.postgres import Postgres
from tests.layers.conftest import Stream, prepare


@pytest.mark.parametrize("key", [(("id",),), ()])
def test_no_number_is_given_out_twice(tmp_path: Path, key: Any) -> None:
    """The first load makes a table and fills it in one transaction, of which nothing is logged."""
    with Postgres(tmp_path / "home", durable=False) as server:
        prepare(server.url())
        stream = _opened(server, key)
        stream.cur.connection.commit()
        for number in (1, 2):
            stream.run([{"id": number}], full=False)
            stream.cur.connection.commit()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
        again = _opened(server, key)
        again.runs = stream.runs
        again.run([{"id": 3}], full=False)
        for table, column in (("navigate", "surrogate_key"), ("raw", "_atlas_id")):
            found = again.rows(f"SELECT count(DISTINCT {column}) FROM {{{table}}}")
            assert found == [(3,)], table
        again.cur.connection.close()


def _opened(server: Postgres, key: Any) -> Stream:
    cur = psycopg2.connect(server.url(), options="-c timezone=UTC").cursor()
    return Stream(cur, {"id": {"type": "integer"}}, primary_key=key)
