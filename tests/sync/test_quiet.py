"""Quiet hours end when they say, through changes of the clocks too."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from atlas.model.quiet import Quiet


def _until(start: str, end: str, zone: str, now: str) -> str | None:
    quiet = Quiet.of({"from": start, "to": end, "timezone": zone})
    found = quiet.until(datetime.fromisoformat(now))
    return None if found is None else f"{found:%d %H:%M}"


# Copenhagen: UTC+1, in summer UTC+2. Clocks go from 02:00 to 03:00 on 29 March 2026, at 01:00 UTC,
# and from 03:00 to 02:00 on 25 October 2026, at 01:00 UTC.
@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        ("22:00", "07:00", "2026-01-10T20:59Z", None),
        ("22:00", "07:00", "2026-01-10T21:00Z", "11 06:00"),
        ("22:00", "07:00", "2026-01-11T05:59Z", "11 06:00"),
        ("22:00", "07:00", "2026-01-11T06:00Z", None),
        ("12:00", "13:00", "2026-01-11T11:30Z", "11 12:00"),
        ("12:00", "13:00", "2026-01-11T12:30Z", None),
        # The night of the leap is an hour shorter, that of the return an hour longer.
        ("22:00", "07:00", "2026-03-28T21:00Z", "29 05:00"),
        ("22:00", "07:00", "2026-03-29T05:00Z", None),
        ("22:00", "07:00", "2026-10-24T20:00Z", "25 06:00"),
        ("22:00", "07:00", "2026-10-25T05:30Z", "25 06:00"),
        # An end that is leapt over is the end of the leap, a beginning too.
        ("22:00", "02:30", "2026-03-29T00:59Z", "29 01:00"),
        ("22:00", "02:30", "2026-03-29T01:00Z", None),
        ("02:30", "07:00", "2026-03-29T00:59Z", None),
        ("02:30", "07:00", "2026-03-29T01:00Z", "29 05:00"),
        ("02:10", "02:50", "2026-03-29T01:00Z", None),
        # What comes twice is the first: over once, they do not begin anew.
        ("22:00", "02:30", "2026-10-25T00:29Z", "25 00:30"),
        ("22:00", "02:30", "2026-10-25T00:30Z", None),
        ("22:00", "02:30", "2026-10-25T01:15Z", None),
        ("02:30", "07:00", "2026-10-25T00:30Z", "25 06:00"),
        ("02:30", "07:00", "2026-10-25T01:15Z", "25 06:00"),
    ],
)
def test_when_quiet_hours_end(start: str, end: str, now: str, until: str | None) -> None:
    assert _until(start, end, "Europe/Copenhagen", now) == until


def test_each_minute_of_a_year_is_in_quiet_hours_or_not_and_they_end_in_time() -> None:
    quiet = Quiet.of({"from": "23:30", "to": "02:15", "timezone": "America/New_York"})
    at = datetime.fromisoformat("2026-01-01T12:00Z")
    ends = set()
    for _ in range(365 * 24 * 4):
        at += timedelta(minutes=15)
        end = quiet.until(at)
        if end is not None:
            assert at < end <= at + timedelta(hours=4)
            assert quiet.until(end) is None
            ends.add(end)
    assert len(ends) == 365
