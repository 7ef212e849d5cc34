"""Quiet hours: from a local time to another, in which people are left alone. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from zoneinfo import ZoneInfo

from atlas.model.schedule import due_at


@dataclass(frozen=True, slots=True)
class Quiet:
    """Every day from ``start`` (inclusive) to ``end`` (exclusive); over midnight if it is earlier.

    What these are in a zone that changes its clocks is decided as for schedules: a time that the
    clocks leap over is the end of the leap, one that comes twice is the first of the two.
    """

    start: time_of_day
    end: time_of_day
    zone: ZoneInfo

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Quiet:
        """From ``from`` and ``to`` (``22:00``) and ``timezone``.

        Raises:
            ValueError: it says no quiet hours; the message says what is wrong.
        """
        if strange := sorted(set(document) - {"from", "to", "timezone"}):
            raise ValueError(f"there is no {str(strange[0])[:80]!r}")
        zone = str(document.get("timezone", "UTC"))
        try:
            found = ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(
                f"unknown time zone {zone[:80]!r}: write one such as Europe/Copenhagen"
            ) from error
        start, end = _time(document.get("from")), _time(document.get("to"))
        if start == end:
            raise ValueError("they must end at another time than they begin")
        return cls(start, end, found)

    def document(self) -> dict[str, str]:
        """What :meth:`of` reads."""
        return {
            "from": f"{self.start:%H:%M}",
            "to": f"{self.end:%H:%M}",
            "timezone": self.zone.key,
        }

    def until(self, now: datetime) -> datetime | None:
        """When those end that ``now`` is in, in UTC; None: it is in none.

        Args:
            now: with a time zone.
        """
        today = now.astimezone(self.zone).date()
        later = timedelta(days=self.end < self.start)
        for day in (today - timedelta(days=1), today):
            end = self._instant(day + later, self.end)
            if self._instant(day, self.start) <= now < end:
                return end
        return None

    def _instant(self, day: date, time: time_of_day) -> datetime:
        return due_at(datetime.combine(day, time), self.zone, by_hour=True)[0]


def _time(text: Any) -> time_of_day:
    try:
        found = datetime.strptime(str(text), "%H:%M").time()  # noqa: DTZ007 - a time of day
    except ValueError as error:
        raise ValueError(f"{str(text)[:20]!r} is no time of day such as 22:00") from error
    return found
