"""Making values less exact: a date its year, an age its decade, a place ten kilometres wide."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from enum import StrEnum

_ISO = re.compile(r"\s*(\d{4})-\d{2}(?:-\d{2})?(?!\d)")
# Of eight digits with the day first, none is a day of these months.
_BASIC = re.compile(r"\s*(\d{4})(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?![\d.,/-])", re.ASCII)
_YEAR = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
_NUMBER = r"[+-]?\d{1,3}(?:\.\d*)?"
_PLACE = re.compile(rf"\s*({_NUMBER})\s*(?:°?\s*[,; ]\s*({_NUMBER}))?°?\s*", re.ASCII)
_PLACES = frozenset({"latitude", "lat", "longitude", "lon", "lng", "coordinate", "latlng"})
_OLDEST = 90
_LONGEST_DATE = 40
_TENTH = Decimal("0.1")


class Kind(StrEnum):
    """What can be made less exact."""

    DATE = "date"
    ISO_DATE = "iso date"
    AGE = "age"
    PLACE = "place"


def kind_of(entity: str, words: Collection[str]) -> Kind | None:
    """What ``generalise`` takes a column for: by its entity type, or, where that says nothing of
    it, by the words of its name. None: it knows no less exact form."""
    match entity:
        case "DATE_OF_BIRTH":
            return Kind.DATE
        case "AGE":
            return Kind.AGE
        case "COORDINATE":
            return Kind.PLACE
        case "PERSONAL" if "age" in words:
            return Kind.AGE
        case "PERSONAL" | "LOCATION" if not _PLACES.isdisjoint(words):
            return Kind.PLACE
        case "PERSONAL":
            # Digits may be a postal code or a number: only what reads as nothing but a date is one.
            return Kind.ISO_DATE
    return None


def generalised(kind: Kind, text: str) -> str | None:
    """``text`` less exact, or None if it is not of that kind."""
    match kind:
        case Kind.DATE:
            return year_start(text) or _only_year(text)
        case Kind.ISO_DATE:
            return year_start(text) if _ISO.match(text) else None
        case Kind.AGE:
            return _band(text)
        case Kind.PLACE:
            return _tenth(text)


def year_start(text: str, suffix: str = "") -> str | None:
    """The first day of the year of an ISO date or timestamp, in extended or basic form, or None if
    it is none."""
    found = _ISO.match(text) or _BASIC.match(text)
    return None if found is None else f"{found[1]}-01-01{suffix}"


def tenth(text: str) -> str | None:
    """A number of degrees to one decimal, or None if it is no such number."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number) > 180:
        return None
    rounded = number.quantize(_TENTH)
    return str(abs(rounded) if rounded.is_zero() else rounded)


def _only_year(text: str) -> str | None:
    """Of a date that is written in another way: its year, if there is one that can be meant."""
    found = _YEAR.findall(text) if len(text) <= _LONGEST_DATE else []
    return f"{found[0]}-01-01" if len(found) == 1 else None


def _band(text: str) -> str | None:
    try:
        age = Decimal(text.strip())
    except InvalidOperation:
        return None
    if not age.is_finite() or not 0 <= age < 150:
        return None
    if age >= _OLDEST:
        return f"{_OLDEST}+"
    decade = int(age) // 10 * 10
    return f"{decade}-{decade + 9}"


def _tenth(text: str) -> str | None:
    found = _PLACE.fullmatch(text)
    if found is None:
        return None
    numbers = [tenth(number) for number in found.groups() if number is not None]
    return None if None in numbers else ", ".join(filter(None, numbers))
