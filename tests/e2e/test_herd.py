"""A thundering herd: two hundred schedules that are due at the same moment. Each makes one run;
jitter spreads them, by itself and always alike; and slots bound the connectors at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

import pytest
import sqlalchemy as sa

from atlas.ledger import connections
from atlas.model.connection import Connection
from atlas.model.schedule import Schedule
from tests.e2e.conftest import Atlas

HERD = 200
ENOUGH = 45
"""Runs that have ended when it has been seen that slots bound them."""
SLOTS = 3
JITTER = timedelta(seconds=8)
KEY = "the secret key of the herd's stack"

COME = """
    UPDATE pipeline.connection
       SET due_for = due_for - (:at - now()), due_at = due_at - (:at - now())
    RETURNING name, due_at
"""
# It takes a moment, so that others are met at their work; then says that nobody can help it.
SOURCE = """#!/bin/sh
echo + >> {log}
sleep 0.2
echo '{{"type": "TRACE", "trace": {{"type": "ERROR", "emitted_at": 1, "error": \
{{"message": "closed", "failure_type": "config_error"}}}}}}'
echo - >> {log}
exit 1
"""


@pytest.fixture
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atlas]:
    """A stack whose workers would run more connectors than it has slots."""
    stack = Atlas(
        tmp_path_factory.mktemp("crowded"),
        {
            "ATLAS_SECRET_KEY": KEY,
            "ATLAS_CONNECTOR_SLOTS": str(SLOTS),
            "ATLAS_EXTRACT_CONCURRENCY": "8",
            "ATLAS_PROBE_INTERVAL": "60",
        },
    )
    stack.run("up", "--detach")
    yield stack
    stack.run("down")


@pytest.mark.timeout(600)
def test_a_herd_is_spread_and_bounded(crowded: Atlas, tmp_path: Path) -> None:
    log, source = tmp_path / "log", tmp_path / "source.sh"
    source.write_text(SOURCE.format(log=log))
    source.chmod(0o755)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    schedule = {"every": "1d", "start": at.isoformat(), "jitter": f"{JITTER.seconds}s"}
    names = [f"herd{number}" for number in range(HERD)]
    with crowded.engine.begin() as conn:
        for name in names:
            made = Connection(
                name, connector=None, executable=str(source), config={}, schedule=schedule
            )
            connections.put(conn, KEY.encode(), made)
    due = dict(crowded.rows("SELECT name, due_at FROM pipeline.connection"))
    assert due == {name: at + Schedule.of(schedule).delay(name, at) for name in names}
    assert at <= min(due.values())
    assert max(due.values()) < at + JITTER
    # Neither in one heap nor in a few.
    assert len({each.replace(microsecond=0) for each in due.values()}) == JITTER.seconds

    # Their moment is now.
    with crowded.engine.begin() as conn:
        due = dict(conn.execute(sa.text(COME), {"at": at}).tuples().all())
    asked = "SELECT count(*), count(finished_at) FROM pipeline.run"
    crowded.until(
        lambda: (found := crowded.rows(asked)[0]) and found[0] >= HERD and found[1] >= ENOUGH,
        400,
        lambda: crowded.rows(asked),
    )
    runs = crowded.rows("SELECT connection, trigger FROM pipeline.run")
    assert sorted(runs) == sorted((name, "schedule") for name in names)
    fired = dict(crowded.rows("SELECT name, fired_at FROM pipeline.connection"))
    assert all(fired[name] >= due[name] for name in names)

    at_once = list(accumulate({"+": 1, "-": -1}[line] for line in log.read_text().split()))
    assert len(at_once) >= 2 * ENOUGH
    assert 1 < max(at_once) <= SLOTS
