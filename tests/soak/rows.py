"""What the sources of a soak hold: for each kind of stream and each version of it the same rows,
always, so that what must have come of them can be said afterwards.

A version follows the other as time goes by. A row is known by ``id`` and ``rev``, the version that
made it as it is. The program that sends the rows reads this module, so it imports nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

_FIRST = ("Anna", "Boris", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_LAST = ("Miller", "Schmidt", "Jensen", "Dubois", "Rossi", "Novak", "Garcia", "Larsen", "Weber")
_ASIDE = 10_000_000
"""From here on are ids of rows that quarantine takes."""
_GONE = "_ab_cdc_deleted_at"

Row = tuple[str, str]
"""A row's id and rev, as text."""


class Kind(NamedTuple):
    """A kind of stream."""

    keyed: bool
    incremental: bool
    columns: dict[str, Any]


_NUMBERS = {"id": {"type": "integer"}, "rev": {"type": "integer"}}
_TIMES = {
    "updated_at": {"type": "string", "format": "date-time"},
    _GONE: {"type": ["null", "string"], "format": "date-time"},
}
_AMOUNT = {"code": {"type": ["null", "string"]}, "amount": {"type": ["null", "number"]}}
_PERSON = {name: {"type": ["null", "string"]} for name in ("name", "email", "note")}

KINDS = {
    # Rows come, change and go.
    "orders": Kind(True, True, _NUMBERS | _AMOUNT | _TIMES),
    # The same, and some of them cannot be.
    "entries": Kind(True, True, _NUMBERS | _AMOUNT | _TIMES),
    # Rows come, without a key.
    "notes": Kind(False, True, _NUMBERS | _AMOUNT | {"updated_at": _TIMES["updated_at"]}),
    # Read whole each time, with a key.
    "stock": Kind(True, False, _NUMBERS | _AMOUNT),
    # The same, about persons.
    "people": Kind(True, False, _NUMBERS | _PERSON),
    # Read whole each time, without a key.
    "rates": Kind(False, False, _NUMBERS | _AMOUNT),
}


def stream(kind: str, version: int) -> dict[str, Any]:
    """The stream as the scripted connector wants it described, with its rows."""
    made = KINDS[kind]
    found: dict[str, Any] = {
        "schema": {"type": "object", "properties": made.columns},
        "supports_incremental": made.incremental,
        "records": held(kind, version),
    }
    if made.keyed:
        found["primary_key"] = [["id"]]
    if made.incremental:
        found["cursor_field"] = ["updated_at"]
    return found


def held(kind: str, version: int) -> list[dict[str, Any]]:
    """All that the source holds at a version, from 0 on: of a stream with a cursor every record
    that it ever made, in order."""
    if KINDS[kind].incremental:
        return [record for each in range(version + 1) for record in _made(kind, each)]
    if kind == "people":
        return [_person(n, _rev(n, version, 7)) for n in range(version // 4, 60 + version // 2)]
    if kind == "stock":
        return [_plain(n, _rev(n, version, 7)) for n in range(version // 4, 40 + version // 4)]
    return [_plain(n, _rev(n, version, 5)) for n in range(20)]


def key(record: dict[str, Any]) -> Row:
    """What a record is known by."""
    return str(record["id"]), str(record["rev"])


def gone(record: dict[str, Any]) -> bool:
    """Whether it says that its row is deleted."""
    return record.get(_GONE) is not None


def aside(row: Row) -> bool:
    """Whether it belongs into quarantine."""
    return int(row[0]) >= _ASIDE


def _rev(number: int, version: int, turn: int) -> int:
    """The last version that changed a row: each is changed every ``turn`` versions."""
    return max(version - (version + number) % turn, 0)


def _plain(number: int, rev: int) -> dict[str, Any]:
    return {"id": number, "rev": rev, "code": f"A{number % 9}", "amount": rev + number / 4}


def _person(number: int, rev: int) -> dict[str, Any]:
    name = f"{_FIRST[number % 10]} {_LAST[number % 9]}"
    return {
        "id": number,
        "rev": rev,
        "name": name,
        "email": f"{name.replace(' ', '.').lower()}{number}@example.com",
        "note": f"{name} asked to be called back about order {rev}.",
    }


def _made(kind: str, version: int) -> list[dict[str, Any]]:
    """The records that one version adds, each with a cursor of its own."""
    first = 4 * version
    made = [_plain(number, version) for number in range(first, first + 4)]
    if kind != "notes":
        # Some of those before are changed, and one is deleted; it may come back.
        before = {(first * 7 // 11 + step) % first for step in (0, 5)} if first else set()
        made += [_plain(number, version) for number in sorted(before)]
        if version % 3 == 2:
            number = next(n for n in range(first // 2, first) if n not in before)
            made.append({**_plain(number, version), _GONE: ""})
        if kind == "entries" and version % 3 == 0:
            made.append({**_plain(_ASIDE + version, version), "amount": "no number"})
    for place, record in enumerate(made):
        at = 100 * version + place
        clock = f"{at // 3600 % 24:02d}:{at // 60 % 60:02d}:{at % 60:02d}"
        record["updated_at"] = f"2026-01-{1 + at // 86400:02d}T{clock}Z"
        if _GONE in record:
            record[_GONE] = record["updated_at"]
    return made
