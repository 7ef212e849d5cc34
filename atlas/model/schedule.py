"""When a connection is due: cron in a time zone or an interval, within bounds, with jitter.

No I/O: a schedule and a time give the next time. What croniter makes of a cron expression is asked
of times without a zone; what a local time is in a zone that changes its clocks is decided here:

- Where the hour is given (``30 2 * * *``), each local time is due once. One that the clocks leap
  over is due when the leap is over; one that comes twice is due the first time.
- Where it is not (``*/15 * * * *``), what counts is the time that passes: nothing is due within a
  leap, and what comes twice is due twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from croniter import CroniterBadDateError, croniter

_EVERY = re.compile(r"(\d{1,8})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AROUND = timedelta(hours=3)
"""More than any clock is put forward or back at once."""


class Overlap(Enum):
    """What becomes of a time at which a run of the connection still goes."""

    SKIP = "skip"
    QUEUE = "queue"


class CatchUp(Enum):
    """What becomes of times that nobody saw to, since Atlas was down."""

    NONE = "none"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule; exactly one of ``cron`` and ``every`` is set.

    Attributes:
        jitter: how much later than due it fires at most.
        start: nothing is due before; where ``every`` counts from.
        end: nothing is due after.
    """

    cron: str | None
    every: timedelta | None
    zone: ZoneInfo
    paused: bool = False
    jitter: timedelta = timedelta()
    start: datetime | None = None
    end: datetime | None = None
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONE

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Schedule:
        """The schedule that a connection's document has, which was checked when it came in."""
        every, jitter = document.get("every"), document.get("jitter")
        start, end = document.get("start"), document.get("end")
        return cls(
            cron=document.get("cron"),
            every=None if every is None else interval(every),
            zone=ZoneInfo(document.get("timezone", "UTC")),
            paused=bool(document.get("paused", False)),
            jitter=timedelta() if jitter is None else duration(jitter),
            start=None if start is None else datetime.fromisoformat(start),
            end=None if end is None else datetime.fromisoformat(end),
            overlap=Overlap(document.get("overlap", "skip")),
            catch_up=CatchUp(document.get("catch_up", "one")),
        )

    @property
    def waits(self) -> bool:
        """Whether a time that finds a run going waits for its end."""
        return self.overlap is Overlap.QUEUE or self.catch_up is CatchUp.ALL

    def next(self, after: datetime, anchor: datetime | None = None) -> datetime | None:
        """The first time after ``after`` at which it is due, in UTC, without its jitter; None: it
        is paused, or over.

        Args:
            after: with a time zone.
            anchor: an earlier time at which it was due, from which ``every`` counts on where there
                is no start; None: it counts from ``after``.

        Raises:
            ValueError: its cron expression is never due (31 February).
        """
        if self.paused:
            return None
        found = self._every(after, anchor) if self.every is not None else self._cron(after)
        if self.end is not None and found > self.end:
            return None
        return found

    def upcoming(self, first: datetime | None, count: int) -> list[datetime]:
        """``first`` and the times after it, ``count`` at most."""
        found: list[datetime] = []
        while first is not None and len(found) < count:
            found.append(first)
            first = self.next(first, first)
        return found

    def delay(self, name: str, due: datetime) -> timedelta:
        """How much later than ``due`` connection ``name`` fires: always the same for a time, so
        that whoever asks agrees; another one for another time or connection."""
        if not self.jitter:
            return timedelta()
        text = f"{name} {due.astimezone(UTC).isoformat()}"
        share = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) / 2**32
        return timedelta(milliseconds=int(share * self.jitter / timedelta(milliseconds=1)))

    def _every(self, after: datetime, anchor: datetime | None) -> datetime:
        assert self.every is not None  # noqa: S101 - who calls has seen it
        if self.start is not None:
            if self.start > after:
                return self.start.astimezone(UTC)
            anchor = self.start
        if anchor is None:
            anchor = after
        # Also where the anchor is later than `after`: the clock was put back.
        count = (after - anchor) // self.every + 1
        return (anchor + count * self.every).astimezone(UTC)

    def _cron(self, after: datetime) -> datetime:
        assert self.cron is not None  # noqa: S101 - who calls has seen it
        if self.start is not None and self.start > after:
            after = self.start - timedelta(microseconds=1)
        after = after.astimezone(UTC)
        local = after.astimezone(self.zone)
        naive = _next(self.cron, local.replace(tzinfo=None))
        first, second = _instants(naive, self.zone)
        if first == second and first.astimezone(self.zone).utcoffset() == local.utcoffset():
            return first  # no clock changes between: nearly always
        return self._around(after, local.replace(tzinfo=None))

    def _around(self, after: datetime, local: datetime) -> datetime:
        """The next time where the clocks change near it."""
        assert self.cron is not None  # noqa: S101 - as above
        by_hour = not self.cron.split()[1].startswith("*")
        best: datetime | None = None
        naive = local - _AROUND
        while True:
            naive = _next(self.cron, naive)
            if best is not None:
                until = best.astimezone(self.zone).replace(tzinfo=None) + _AROUND
                if naive > until:
                    return best
            for instant in due_at(naive, self.zone, by_hour=by_hour):
                if instant > after and (best is None or instant < best):
                    best = instant


def interval(text: str) -> timedelta:
    """An interval such as ``90s``, ``10m``, ``2h`` or ``1d``.

    Raises:
        ValueError: it is none, shorter than ten seconds, or longer than a year.
    """
    match = _EVERY.fullmatch(text)
    found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta(seconds=10) <= found <= timedelta(days=366):
        raise ValueError("must be at least 10s and at most 366d, such as 90s, 10m, 2h or 1d")
    return found


def duration(text: str) -> timedelta:
    """How long something may take, such as ``30s``.

    Raises:
        ValueError: it is none, shorter than a second, or longer than a day.
    """
    match = _EVERY.fullmatch(text)
    found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta(seconds=1) <= found <= timedelta(days=1):
        raise ValueError("must be at least 1s and at most 1d, such as 30s or 5m")
    return found


def _next(cron: str, naive: datetime) -> datetime:
    """The first local time after ``naive`` that the expression names, of any zone.

    Raises:
        ValueError: there is none.
    """
    try:
        found: datetime = croniter(cron, naive).get_next(datetime)
    except CroniterBadDateError as error:
        raise ValueError(f"{cron!r} is never due") from error
    return found


def _instants(naive: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """What a local time may be in UTC, by the offset before and after a change of the clocks."""
    aware = naive.replace(tzinfo=zone)
    return aware.replace(fold=0).astimezone(UTC), aware.replace(fold=1).astimezone(UTC)


def due_at(naive: datetime, zone: ZoneInfo, *, by_hour: bool) -> list[datetime]:
    """The instants at which a local time is due."""
    first, second = _instants(naive, zone)
    if first.astimezone(zone).replace(tzinfo=None) == naive:
        return [first] if by_hour or first == second else [first, second]
    if not by_hour:
        return []
    # Within a leap, `second` is before it and `first` after it: it ends in between.
    before, leapt = second, first
    while leapt - before > timedelta(seconds=1):
        middle = before + (leapt - before) / 2
        if middle.astimezone(zone).utcoffset() == leapt.astimezone(zone).utcoffset():
            leapt = middle
        else:
            before = middle
    return [leapt.replace(microsecond=0)]
