"""A schedule fires once for a due time, whoever asks, and after a pause once, not many times."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import connections, schedules
from atlas.model.connection import Connection
from atlas.model.schedule import interval
from tests.ledger.conftest import SECRET

RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"


def _put(engine: sa.Engine, schedule: dict[str, Any] | None) -> None:
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
            for due in schedules.take_due(conn):
                schedules.fired(conn, due, RUN)
                taken.append(due)

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


@pytest.mark.parametrize("text", ["", "10", "5s", "0m", "1w", "-1h"])
def test_bad_intervals_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="at least 10s"):
        interval(text)


def test_intervals() -> None:
    assert interval("90s") == timedelta(seconds=90)
    assert interval("2h") == timedelta(hours=2)


MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def _at(engine: sa.Engine, due: datetime, schedule: dict[str, Any]) -> None:
    """The connection has this schedule, and is due at this time."""
    _put(engine, schedule)
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET due_for = :due, due_at = :due, fired_at = NULL"
            ),
            {"due": due},
        )


def _fire(engine: sa.Engine, now: datetime) -> list[datetime]:
    """Fire what is due; returns the times that fired."""
    found = []
    with engine.begin() as conn:
        for due in schedules.take_due(conn, now=now):
            if due.missed:
                schedules.passed(conn, due)
            else:
                schedules.fired(conn, due, RUN)
                found.append(due.due_at)
    return found


def _hours(*numbers: float) -> list[datetime]:
    return [MIDNIGHT + timedelta(hours=number) for number in numbers]


def test_after_a_pause_it_fires_once_and_stays_on_its_times(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h"})
    assert _fire(engine, MIDNIGHT - timedelta(seconds=1)) == []
    late = MIDNIGHT + timedelta(hours=5, minutes=30)
    assert _fire(engine, late) == [MIDNIGHT]
    assert _fire(engine, late) == []
    assert _due(engine) == MIDNIGHT + timedelta(hours=6)


def test_what_passed_by_is_not_made_up_for(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h", "catch_up": "none"})
    # A tick that comes a little late is no pause.
    assert _fire(engine, MIDNIGHT + timedelta(seconds=30)) == [MIDNIGHT]
    assert _fire(engine, MIDNIGHT + timedelta(hours=3, minutes=30)) == []
    assert _due(engine) == MIDNIGHT + timedelta(hours=4)
    with engine.begin() as conn:
        assert schedules.find(conn, "shop")["last_skipped_at"] == "2026-01-01T03:30:00Z"


def test_all_that_was_missed_is_made_up_for_up_to_a_bound(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h", "catch_up": "all"})
    late = MIDNIGHT + timedelta(hours=3, minutes=30)
    found = [_fire(engine, late) for _ in range(5)]
    assert found == [[each] for each in _hours(0, 1, 2, 3)] + [[]]
    # A year of it: the last hundred.
    later = MIDNIGHT + timedelta(days=365)
    assert _fire(engine, later) == _hours(4)
    rest = []
    while fired := _fire(engine, later):
        rest += fired
    assert len(rest) == schedules.MISSED
    assert rest[-1] == later


def test_one_that_waits_for_a_run_holds_up_no_other_and_fires_at_its_end(
    engine: sa.Engine, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    other = Connection(
        "other", connector="source-faker", executable=None, config={}, schedule={"every": "1h"}
    )
    for schedule in ({"every": "1h", "overlap": "queue"}, {"every": "1h", "catch_up": "all"}):
        with engine.begin() as conn:
            connections.put(conn, SECRET, other)
        _at(engine, MIDNIGHT, schedule)
        assert _fire(engine, MIDNIGHT + timedelta(minutes=1)) == [MIDNIGHT]
        with engine.begin() as conn:
            assert schedules.find(conn, "other")["last_fired_at"] is not None
            assert schedules.find(conn, "shop")["last_fired_at"] is None
            conn.execute(sa.text("DELETE FROM pipeline.connection WHERE name = 'other'"))
        assert _due(engine) == MIDNIGHT
    _at(engine, MIDNIGHT, {"every": "1h", "overlap": "queue", "catch_up": "none"})
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.run SET status = 'succeeded', finished_at = :at WHERE id = :id"
            ),
            {"id": run_id, "at": MIDNIGHT + timedelta(minutes=30)},
        )
    # It waited for the run, which is no pause of Atlas.
    assert _fire(engine, MIDNIGHT + timedelta(minutes=30, seconds=2)) == [MIDNIGHT]
    assert _due(engine) == MIDNIGHT + timedelta(hours=1)


def test_a_run_that_goes_does_not_hold_up_what_skips(
    engine: sa.Engine, new_run: Callable[[], str]
) -> None:
    new_run()
    _at(engine, MIDNIGHT, {"every": "1h"})
    assert _fire(engine, MIDNIGHT) == [MIDNIGHT]


def test_a_clock_that_jumps(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h"})
    assert _fire(engine, MIDNIGHT) == [MIDNIGHT]
    # Back by seconds, over the time that it fired for: no second time.
    assert _fire(engine, MIDNIGHT - timedelta(seconds=20)) == []
    assert _fire(engine, MIDNIGHT + timedelta(seconds=1)) == []
    # Forward by ten days, and corrected: its times are those of the right clock again.
    wrong = MIDNIGHT + timedelta(days=10)
    assert _fire(engine, wrong) == _hours(1)
    assert _fire(engine, MIDNIGHT + timedelta(minutes=90)) == []
    assert _due(engine) == MIDNIGHT + timedelta(hours=2)
    assert _fire(engine, MIDNIGHT + timedelta(hours=2)) == _hours(2)


def test_whoever_dies_in_the_midst_has_fired_nothing(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h"})
    with engine.connect() as conn:
        (due,) = schedules.take_due(conn, now=MIDNIGHT)
        schedules.fired(conn, due, RUN)
        # Another beat meanwhile: it neither waits nor fires.
        assert _fire(engine, MIDNIGHT) == []
        conn.rollback()
    assert _fire(engine, MIDNIGHT + timedelta(seconds=5)) == [MIDNIGHT]


def test_jitter_moves_when_it_fires_and_not_what_for(engine: sa.Engine) -> None:
    _put(engine, {"cron": "0 * * * *", "timezone": "UTC", "jitter": "30m"})
    with engine.begin() as conn:
        row = conn.execute(sa.text("SELECT due_for, due_at FROM pipeline.connection")).one()
    assert row.due_for.minute == 0
    assert row.due_for < row.due_at < row.due_for + timedelta(minutes=30)
    assert _fire(engine, row.due_at - timedelta(seconds=1)) == []
    assert _fire(engine, row.due_at) == [row.due_for]
    with engine.begin() as conn:
        following = conn.execute(sa.text("SELECT due_for FROM pipeline.connection")).scalar_one()
    assert following == row.due_for + timedelta(hours=1)


def test_what_does_not_change_its_times_keeps_them(engine: sa.Engine) -> None:
    _put(engine, {"every": "10m"})
    before = _due(engine)
    _put(engine, {"every": "10m", "overlap": "queue"})
    assert _due(engine) == before
    _put(engine, {"every": "10m", "paused": True})
    assert _due(engine) is None
    _put(engine, {"every": "10m"})
    assert _due(engine) not in (None, before)


def test_what_a_schedule_tells(engine: sa.Engine) -> None:
    _at(engine, MIDNIGHT, {"every": "1h", "end": "2026-01-01T02:00:00+00:00"})
    with engine.begin() as conn:
        (found,) = schedules.page(conn, limit=5)
    assert found["next"] == [f"2026-01-01T0{hour}:00:00Z" for hour in range(3)]
    assert (found["every"], found["cron"], found["timezone"]) == ("1h", None, None)
    assert (found["overlap"], found["catch_up"], found["paused"]) == ("skip", "one", False)
    assert found["last_run"] is None
    for hour in range(3):
        _fire(engine, MIDNIGHT + timedelta(hours=hour))
    with engine.begin() as conn:
        (found,) = schedules.page(conn, limit=5)
        assert (found["due_at"], found["next"]) == (None, [])
        assert found["last_fired_at"] == "2026-01-01T02:00:00Z"
        assert schedules.page(conn, limit=5, paused=True) == []
        assert schedules.page(conn, limit=5, after="shop") == []
        conn.execute(sa.text("UPDATE pipeline.connection SET document = '{\"schedule\": null}'"))
        assert schedules.page(conn, limit=5) == []
