"""Checks that the data suggest: what has held for all rows so far, and may be meant to.

A suggestion is no check: it is for a person to read, to know better, and to put into a file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import yaml

from atlas.model.checks import Dimension
from atlas.model.profile import ColumnProfile
from atlas.model.stream import ColumnType
from atlas.quality.formats import FORMATS
from atlas.quality.rules import data_set, identifier

FEWEST_ROWS = 50
"""Of fewer rows nothing is suggested."""

_FEWEST_OF_A_VALUE = 3
_LONGEST_KEY = 64
_NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)


class Suggestion(NamedTuple):
    """A check, as an item of SodaCL, and why it is suggested."""

    check: str
    dimension: Dimension
    column: str | None
    why: str


def suggestions(
    rows: int,
    columns: Sequence[ColumnProfile],
    *,
    masked: Collection[str],
    checked: Collection[tuple[Dimension, str | None]],
    full_refresh: bool,
) -> list[Suggestion]:
    """Checks that all of ``rows`` rows satisfy.

    Args:
        masked: names of columns whose values are not those that checks see: only whether there are
            values is said of them.
        checked: dimension and column of the checks that there are: of these no more is suggested.
        full_refresh: whether a run reads all of the stream.
    """
    found: list[Suggestion] = []
    if rows < FEWEST_ROWS:
        return found
    if full_refresh:
        found.append(
            Suggestion(
                _item("row_count > 0", {}),
                Dimension.COMPLETENESS,
                None,
                f"the stream is read as a whole, and has {rows} rows",
            )
        )
    for column in columns:
        found += [
            each
            for each in _of_column(rows, column, masked=column.name in masked)
            if (each.dimension, each.column) not in checked
        ]
    return found


def document(stream: str, found: Sequence[Suggestion]) -> str:
    """``found`` as a file of checks, each below the reason for it."""
    lines = [f"checks for {_heading(stream)}:"]
    for each in found:
        lines += [f"  # {each.why}", *("  " + line for line in each.check.splitlines())]
    return "\n".join(lines) + "\n"


def _heading(stream: str) -> str:
    name = data_set(stream)
    return name if name.isidentifier() else identifier(name)


def _of_column(rows: int, column: ColumnProfile, *, masked: bool) -> list[Suggestion]:
    name = identifier(column.name)
    found: list[Suggestion] = []

    def add(dimension: Dimension, check: str, why: str, **settings: Any) -> None:
        found.append(Suggestion(_item(check, settings), dimension, column.name, why))

    if column.given == rows:
        add(
            Dimension.COMPLETENESS,
            f"missing_count({name}) = 0",
            f"none of {rows} rows is without a value",
        )
    if masked or column.given < FEWEST_ROWS:
        return found
    if _key_like(column):
        add(
            Dimension.UNIQUENESS,
            f"duplicate_count({name}) = 0",
            f"all of {column.given} values are different",
        )
    invalid = f"invalid_count({name}) = 0"
    if column.type in _NUMBERS and not column.negative:
        add(
            Dimension.VALIDITY,
            invalid,
            f"none of {column.given} numbers is negative",
            **{"valid min": 0},
        )
    elif column.values and min(column.values.values()) >= _FEWEST_OF_A_VALUE:
        add(
            Dimension.VALIDITY,
            invalid,
            f"{column.given} rows have one of {len(column.values)} values",
            **{"valid values": list(column.values)},
        )
    elif column.type is ColumnType.TEXT:
        found += _of_text(column, invalid)
    return found


def _of_text(column: ColumnProfile, invalid: str) -> list[Suggestion]:
    """How the texts of a column with many values are written."""
    for name, count in column.matching.items():
        if count == column.given:
            check = _item(invalid, {"valid regex": FORMATS[name]})
            why = f"all of {column.given} texts are written as {name}"
            return [Suggestion(check, Dimension.VALIDITY, column.name, why)]
    length = column.longest
    if length is not None and length == column.shortest and column.distinct > 1:
        check = _item(invalid, {"valid length": length})
        why = f"all of {column.given} texts have {length} characters"
        return [Suggestion(check, Dimension.VALIDITY, column.name, why)]
    return []


def _key_like(column: ColumnProfile) -> bool:
    if column.distinct != column.given:
        return False
    if column.type is ColumnType.BIGINT:
        return True
    return column.type is ColumnType.TEXT and (column.longest or 0) <= _LONGEST_KEY


def _item(check: str, settings: dict[str, Any]) -> str:
    content: Any = {check: settings} if settings else check
    return yaml.safe_dump([content], sort_keys=False, allow_unicode=True, width=10_000).rstrip()
