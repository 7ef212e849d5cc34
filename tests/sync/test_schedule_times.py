"""When schedules are due, against times written by hand: clocks that change, leap days, month ends.

Copenhagen leaps from 02:00 to 03:00 on 29 March 2026 (01:00 UTC) and goes back from 03:00 to 02:00
on 25 October 2026 (01:00 UTC). Lord Howe Island goes by half an hour; Havana leaps at midnight.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from atlas.model.schedule import Schedule, duration


def times(schedule: dict[str, Any], after: str, count: int) -> list[str]:
    """The next times in UTC, as ``MM-DD HH:MM``."""
    found: list[str] = []
    of = Schedule.of(schedule)
    at = of.next(datetime.fromisoformat(after))
    while at is not None and len(found) < count:
        assert at.tzinfo is UTC
        found.append(at.strftime("%m-%d %H:%M"))
        at = of.next(at, at)
    return found


COPENHAGEN = "Europe/Copenhagen"


@pytest.mark.parametrize(
    ("cron", "zone", "after", "due"),
    [
        # The leap: what it leaps over is due once it is over, once.
        (
            "30 2 * * *",
            COPENHAGEN,
            "2026-03-27T12:00+00:00",
            ["03-28 01:30", "03-29 01:00", "03-30 00:30"],
        ),
        ("15,45 2 * * *", COPENHAGEN, "2026-03-28T12:00+00:00", ["03-29 01:00", "03-30 00:15"]),
        (
            "0 1-4 * * *",
            COPENHAGEN,
            "2026-03-28T12:00+00:00",
            ["03-29 00:00", "03-29 01:00", "03-29 02:00", "03-29 23:00"],
        ),
        ("0 3 * * *", COPENHAGEN, "2026-03-28T12:00+00:00", ["03-29 01:00", "03-30 01:00"]),
        # Where the hour is not given, the time that passes counts.
        (
            "*/30 * * * *",
            COPENHAGEN,
            "2026-03-29T00:10+00:00",
            ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"],
        ),
        (
            "0 */2 * * *",
            COPENHAGEN,
            "2026-03-28T20:30+00:00",
            ["03-28 21:00", "03-28 23:00", "03-29 02:00", "03-29 04:00"],
        ),
        # Back: what comes twice is due the first time.
        (
            "30 2 * * *",
            COPENHAGEN,
            "2026-10-24T12:00+00:00",
            ["10-25 00:30", "10-26 01:30", "10-27 01:30"],
        ),
        # Asked between the two: the second one is not due.
        ("30 2 * * *", COPENHAGEN, "2026-10-25T00:45+00:00", ["10-26 01:30"]),
        ("0 3 * * *", COPENHAGEN, "2026-10-25T00:00+00:00", ["10-25 02:00", "10-26 02:00"]),
        (
            "*/30 * * * *",
            COPENHAGEN,
            "2026-10-24T23:50+00:00",
            ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
        ),
        (
            "30 * * * *",
            COPENHAGEN,
            "2026-10-25T00:00+00:00",
            ["10-25 00:30", "10-25 01:30", "10-25 02:30"],
        ),
        # Half an hour: 02:00 to 02:30 on 4 October 2026 (15:30 UTC of the 3rd), back on 5 April.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00+00:00", ["10-03 15:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00+00:00", ["04-04 14:45"]),
        # A midnight that there is not: 00:00 to 01:00 on 8 March 2026 (05:00 UTC).
        ("0 0 * * *", "America/Havana", "2026-03-07T12:00+00:00", ["03-08 05:00", "03-09 04:00"]),
        # Another offset of the year, nowhere near a change.
        ("30 3 * * *", COPENHAGEN, "2026-07-01T00:00+00:00", ["07-01 01:30"]),
        ("30 3 * * *", COPENHAGEN, "2026-12-01T00:00+00:00", ["12-01 02:30"]),
        ("0 12 * * *", "Asia/Kathmandu", "2026-05-01T00:00+00:00", ["05-01 06:15"]),
    ],
)
def test_cron_in_zones(cron: str, zone: str, after: str, due: list[str]) -> None:
    assert times({"cron": cron, "timezone": zone}, after, len(due)) == due


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("0 0 29 2 *", "2026-01-01T00:00+00:00", "2028-02-29"),
        ("0 0 29 2 *", "2096-03-01T00:00+00:00", "2104-02-29"),  # 2100 has none
        ("0 0 31 * *", "2026-01-31T00:00+00:00", "2026-03-31"),
        ("0 0 30 * *", "2026-01-30T12:00+00:00", "2026-03-30"),
        ("0 0 L * *", "2028-02-01T00:00+00:00", "2028-02-29"),
        ("0 0 L * *", "2026-02-01T00:00+00:00", "2026-02-28"),
        ("59 23 31 12 *", "2026-12-31T23:59+00:00", "2027-12-31"),
        ("0 0 * * mon#1", "2026-01-06T00:00+00:00", "2026-02-02"),
        ("0 0 1 jan,JUL *", "2026-01-01T00:00+00:00", "2026-07-01"),
        ("0 0 13 * fri", "2026-01-02T00:00+00:00", "2026-01-09"),  # either of the two
        ("0 0 * * 7", "2026-01-05T00:00+00:00", "2026-01-11"),
    ],
)
def test_days(cron: str, after: str, due: str) -> None:
    found = Schedule.of({"cron": cron}).next(datetime.fromisoformat(after))
    assert found is not None
    assert found.date().isoformat() == due


def test_a_year_of_a_zone_has_each_local_time_once() -> None:
    schedule = Schedule.of({"cron": "30 2 * * *", "timezone": COPENHAGEN})
    at = schedule.next(datetime(2026, 1, 1, tzinfo=UTC))
    days = []
    while at is not None and at.year == 2026:
        days.append(at.astimezone(schedule.zone).date())
        at = schedule.next(at)
    assert len(days) == len(set(days)) == 365


def test_an_interval_does_not_drift() -> None:
    every = Schedule.of({"every": "10m"})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert every.next(at + timedelta(seconds=7), at) == at + timedelta(minutes=10)
    # Late by more than its length: the next one that is still to come.
    assert every.next(at + timedelta(minutes=35), at) == at + timedelta(minutes=40)
    # A clock that was put back behind the last time.
    assert every.next(at - timedelta(hours=1, seconds=1), at) == at - timedelta(hours=1)
    assert every.next(at) == at + timedelta(minutes=10)


def test_start_and_end() -> None:
    bounds = {"start": "2026-05-01T00:00:00+02:00", "end": "2026-05-01T01:00:00+02:00"}
    assert times({"every": "30m", **bounds}, "2026-01-01T00:00+00:00", 9) == [
        "04-30 22:00",
        "04-30 22:30",
        "04-30 23:00",
    ]
    # An interval counts from its start, whenever it is asked.
    assert times({"every": "30m", "start": bounds["start"]}, "2026-05-02T10:10+00:00", 1) == [
        "05-02 10:30"
    ]
    assert times({"cron": "0 * * * *", **bounds}, "2026-01-01T00:00+00:00", 9) == [
        "04-30 22:00",
        "04-30 23:00",
    ]
    assert times({"cron": "0 * * * *", **bounds}, "2026-06-01T00:00+00:00", 9) == []
    assert times({"cron": "0 * * * *", "paused": True}, "2026-06-01T00:00+00:00", 9) == []


def test_jitter_is_the_same_for_whoever_asks_and_spreads_a_herd() -> None:
    schedule = Schedule.of({"cron": "0 0 * * *", "jitter": "5m"})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    delays = [schedule.delay(f"c{number}", at) for number in range(200)]
    assert delays == [schedule.delay(f"c{number}", at) for number in range(200)]
    assert all(timedelta() <= each < timedelta(minutes=5) for each in delays)
    minutes = [each // timedelta(minutes=1) for each in delays]
    assert all(minutes.count(minute) > 15 for minute in range(5))
    assert schedule.delay("c1", at) != schedule.delay("c1", at + timedelta(days=1))
    assert Schedule.of({"cron": "0 0 * * *"}).delay("c1", at) == timedelta()


@pytest.mark.parametrize("text", ["", "0s", "2d", "1w", "-1m", "5"])
def test_what_is_no_jitter(text: str) -> None:
    with pytest.raises(ValueError, match="at most 1d"):
        duration(text)


def test_upcoming() -> None:
    schedule = Schedule.of({"every": "1h", "end": "2026-01-01T02:30:00+00:00"})
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert schedule.upcoming(at, 5) == [at, at + timedelta(hours=1), at + timedelta(hours=2)]
    assert schedule.upcoming(None, 5) == []
