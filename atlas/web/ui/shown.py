"""How values are written for people: numbers with separators, durations, sizes, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NONE = "\u2013"
"""Stands for what is not known."""
_SIZES = ("B", "kB", "MB", "GB", "TB")


def number(value: float | int | None) -> str:
    """``12,345``; a thin dash for what is not known."""
    if value is None:
        return NONE
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}"


def compact(value: float | int | None) -> str:
    """``12.3k``: for charts and tiles, where the exact number stands elsewhere."""
    if value is None:
        return NONE
    size = abs(value)
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            scaled = value / (1e3 if unit == "k" else limit)
            return f"{scaled:.1f}".rstrip("0").rstrip(".") + unit
    return number(value)


def percent(value: float | None) -> str:
    """A share as ``97.5 %``; never 100 while some is missing, never 0 while some is there."""
    if value is None:
        return NONE
    shown = f"{100 * value:.1f}"
    if shown == "100.0" and value < 1:
        shown = "99.9"
    if shown == "0.0" and value > 0:
        shown = "0.1"
    return shown.removesuffix(".0") + " %"


def score(value: float | None) -> str:
    """A score from 0 to 1 with two places, cut and not rounded: 0.999 is not 1."""
    if value is None:
        return NONE
    return f"{int(value * 100 + 1e-9) / 100:.2f}"


def size(value: int | None) -> str:
    """Bytes as ``1.2 MB``."""
    if value is None:
        return NONE
    left = float(value)
    for unit in _SIZES:
        if left < 1000 or unit == _SIZES[-1]:
            return f"{left:.0f} {unit}" if unit == "B" else f"{left:.1f} {unit}"
        left /= 1000
    raise AssertionError


def duration(seconds: float | timedelta | None) -> str:
    """``850 ms``, ``4.2 s``, ``3 min 05 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if seconds is None:
        return NONE
    value = seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds)
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    whole = int(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(value: Any) -> datetime | None:
    """A time of the ledger's documents (a text of RFC 3339, or a datetime) in UTC."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    found: datetime = value.astimezone(UTC)
    return found


def exact(value: Any) -> str:
    """``2025-03-01 09:00:01 UTC``."""
    found = moment(value)
    return NONE if found is None else f"{found:%Y-%m-%d %H:%M:%S} UTC"


def minute(value: Any) -> str:
    """``2025-03-01 09:00 UTC``."""
    found = moment(value)
    return NONE if found is None else f"{found:%Y-%m-%d %H:%M} UTC"


def iso(value: Any) -> str:
    """RFC 3339, for the ``datetime`` attribute."""
    found = moment(value)
    return "" if found is None else found.isoformat().replace("+00:00", "Z")


def between(start: Any, end: Any) -> float | None:
    """Seconds from one time to another, until now where the end is not known; None: not begun."""
    first = moment(start)
    if first is None:
        return None
    return ((moment(end) or datetime.now(UTC)) - first).total_seconds()


def plural(count: int | None, one: str, many: str | None = None) -> str:
    """``1 row``, ``1,204 rows``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


# The first that fits: most call themselves by the names of others, too.
_BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Macintosh": "macOS",
    "Linux": "Linux",
}


def agent(text: str | None) -> str:
    """What a browser calls itself, shortly: ``Firefox on Linux``."""
    text = text or ""
    browser = next(
        (name for mark, name in _BROWSERS.items() if mark in text), text[:60] or "unknown"
    )
    system = next((name for mark, name in _SYSTEMS.items() if mark in text), None)
    return f"{browser} on {system}" if system else browser


FILTERS = {
    "agent": agent,
    "number": number,
    "compact": compact,
    "percent": percent,
    "score_text": score,
    "size": size,
    "duration": duration,
    "exact": exact,
    "minute": minute,
    "iso": iso,
    "until": between,
    "plural": plural,
}
