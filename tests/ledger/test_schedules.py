"""A schedule fires once for a due time, whoever asks, and after a pause once, not many times."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, schedules
from atlas.model.connection import Connection
from tests.ledger.conftest import SECRET


def _put(engine: sa.Engine, schedule: dict[str, str] | None) -> None:
    with engine.begin() as conn:
        connections.put(
            conn,
            SECRET,
            Connection(
                "shop", connector="source-faker", executable=None, config={}, schedule=schedule
            ),
        )


def _due(engine: sa.Engine) -> datetime | None:
    with engine.begin() as conn:
        found: datetime | None = conn.execute(
            sa.text("SELECT due_at FROM pipeline.connection")
        ).scalar_one()
        return found


def _let_time_pass(engine: sa.Engine, interval: str) -> None:
    with engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.connection SET due_at = due_at - CAST(:i AS interval)"),
            {"i": interval},
        )


def test_one_due_time_fires_once_whoever_asks(engine: sa.Engine) -> None:
    _put(engine, {"every": "10m"})
    _let_time_pass(engine, "1 day")
    taken: list[schedules.Due] = []

    def take() -> None:
        with engine.begin() as conn:
            taken.extend(schedules.take_due(conn))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [item.name for item in taken] == ["shop"]
    due = _due(engine)
    assert due is not None
    assert due > datetime.now(UTC)


def test_an_unchanged_schedule_keeps_its_time(engine: sa.Engine) -> None:
    _put(engine, {"every": "10m"})
    before = _due(engine)
    _put(engine, {"every": "10m"})
    assert _due(engine) == before
    _put(engine, {"every": "1h"})
    assert _due(engine) != before
    _put(engine, None)
    assert _due(engine) is None


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        # 01:30 UTC is 03:30 in Copenhagen's summer and 02:30 in its winter.
        ("30 3 * * *", "2026-07-01T00:00:00+00:00", "2026-07-01T01:30:00+00:00"),
        ("30 3 * * *", "2026-12-01T00:00:00+00:00", "2026-12-01T02:30:00+00:00"),
        ("*/15 * * * *", "2026-12-01T00:00:00+00:00", "2026-12-01T00:15:00+00:00"),
    ],
)
def test_cron_is_in_its_time_zone(cron: str, after: str, due: str) -> None:
    schedule = {"cron": cron, "timezone": "Europe/Copenhagen"}
    assert schedules.next_due(schedule, datetime.fromisoformat(after)) == datetime.fromisoformat(
        due
    )


@pytest.mark.parametrize("text", ["", "10", "5s", "0m", "1w", "-1h"])
def test_bad_intervals_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at least 10s"):
        schedules.interval(text)


def test_intervals() -> None:
    assert schedules.interval("90s") == timedelta(seconds=90)
    assert schedules.interval("2h") == timedelta(hours=2)
