"""What a labelled table is: cells, the personal pieces in them, and the units that get a verdict.

A *unit* is what has one verdict: a column, or one leaf of a JSON column, by its path ("$.city",
"$.tags[*]", "" for the column itself). A *piece* is a personal substring of a unit's cell.

Entities, the common vocabulary of all contestants: EMAIL, PHONE, PERSON, LOCATION (any part of a
person's address, and coordinates), BIRTH_DATE, CARD, IBAN, CRYPTO, IP, MAC, NATIONAL_ID. A user
name made of its owner's name is a PERSON.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

ENTITIES = (
    "EMAIL",
    "PHONE",
    "PERSON",
    "LOCATION",
    "BIRTH_DATE",
    "CARD",
    "IBAN",
    "CRYPTO",
    "IP",
    "MAC",
    "NATIONAL_ID",
)
PATTERN = frozenset({"EMAIL", "CARD", "IBAN", "CRYPTO", "IP", "MAC"})
"""Entities that are known by their shape or checksum wherever they stand."""
CHECKED = frozenset({"EMAIL", "CARD", "IBAN", "CRYPTO"})
"""E-mail and the types with a checksum that holds without any context."""
DATE = "DATE_TIME"
"""Presidio's date of whatever kind: outside of the vocabulary; see :mod:`bench.pii.contestants`."""
NAMES = frozenset({"PERSON", "LOCATION"})

UnitKey = tuple[str, str]
"""Column and path."""
Leaves = list[tuple[str, ...]]
"""Of each row the texts of one unit: none where it is null, several in an array."""


class Piece(NamedTuple):
    """A personal substring, as it stands in the cell; ``language`` of the prose it stands in."""

    entity: str
    text: str
    language: str = ""


class Text(NamedTuple):
    """The value of a leaf and the personal pieces in it."""

    value: Any
    pieces: tuple[Piece, ...] = ()


def mine(entity: str, value: Any) -> Text:
    """A leaf that is personal as a whole."""
    return Text(value, (Piece(entity, shown(value)),))


def disputed(value: Any) -> Text:
    """A leaf that some would call personal and some not; its unit is not judged."""
    return mine("?", value)


def shown(value: Any) -> str:
    """A JSON scalar as text."""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True, slots=True)
class Unit:
    """A column or leaf and its truth.

    Attributes:
        truth: entities of its pieces; empty: nothing personal.
        plain: almost all of its cells are nothing but pieces; else it is free text, or mixed.
        judged: False where people would not agree (the city of a company).
    """

    column: str
    path: str
    truth: frozenset[str]
    plain: bool
    judged: bool

    @property
    def key(self) -> UnitKey:
        """What tells it from others of its table."""
        return self.column, self.path

    def __str__(self) -> str:
        return self.column + self.path.removeprefix("$")


@dataclass(slots=True)
class Table:
    """A labelled table.

    Attributes:
        key: name of the primary key column.
        types: of each column PostgreSQL's type, as Atlas names them ("text", "jsonb").
        cells: of each column the texts of its rows: a string as it is, JSON as JSON.
        leaves: the same by unit.
        pieces: the personal pieces by unit and row.
    """

    name: str
    key: str
    types: dict[str, str]
    cells: dict[str, list[str | None]]
    units: list[Unit]
    leaves: dict[UnitKey, Leaves]
    pieces: dict[UnitKey, list[tuple[Piece, ...]]]

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.cells.values())))

    @property
    def values(self) -> int:
        """Leaf values that are not null."""
        return sum(len(found) for unit in self.units for found in self.leaves[unit.key])

    def head(self, rows: int) -> Table:
        """The first ``rows`` rows, with the same units; true of them is what stands in these."""
        pieces = {key: found[:rows] for key, found in self.pieces.items()}
        there = {key: {one.entity for row in found for one in row} for key, found in pieces.items()}
        return replace(
            self,
            cells={name: cells[:rows] for name, cells in self.cells.items()},
            units=[replace(unit, truth=unit.truth & there[unit.key]) for unit in self.units],
            leaves={key: found[:rows] for key, found in self.leaves.items()},
            pieces=pieces,
        )

    def renamed(self) -> Table:
        """The same table with columns c1, c2, …; keys inside of JSON stay."""
        new = {name: f"c{number}" for number, name in enumerate(self.cells, 1)}
        return Table(
            self.name,
            new[self.key],
            {new[name]: kind for name, kind in self.types.items()},
            {new[name]: cells for name, cells in self.cells.items()},
            [replace(unit, column=new[unit.column]) for unit in self.units],
            {(new[column], path): found for (column, path), found in self.leaves.items()},
            {(new[column], path): found for (column, path), found in self.pieces.items()},
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a contestant made of a table.

    Attributes:
        verdicts: entities by unit.
        masked: the leaves as they are masked, of all units.
    """

    verdicts: dict[UnitKey, set[str]]
    masked: dict[UnitKey, Leaves]


@dataclass(slots=True)
class Builder:
    """Gathers rows into a :class:`Table`; attributes as there."""

    name: str
    key: str
    types: Mapping[str, str]
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row: values are None, scalars, :class:`Text`, or JSON with such leaves."""
        self._rows.append(row)

    def table(self) -> Table:
        """The table of all rows."""
        cells: dict[str, list[str | None]] = {name: [] for name in self.types}
        leaves: dict[UnitKey, Leaves] = {}
        pieces: dict[UnitKey, list[tuple[Piece, ...]]] = {}
        nothing = len(self._rows)
        for number, row in enumerate(self._rows):
            for name, kind in self.types.items():
                value = row[name]
                cells[name].append(_cell(value, kind))
                found: dict[str, list[Text]] = defaultdict(list)
                for path, leaf in _flat(value, "$" if kind == "jsonb" else ""):
                    found[path].append(leaf)
                for path, texts in found.items():
                    key = name, path
                    if key not in leaves:
                        leaves[key] = [()] * nothing
                        pieces[key] = [()] * nothing
                    leaves[key][number] = tuple(shown(text.value) for text in texts)
                    pieces[key][number] = tuple(piece for text in texts for piece in text.pieces)
        units = [
            Unit(column, path, *_truth(texts, pieces[column, path]))
            for (column, path), texts in leaves.items()
        ]
        return Table(self.name, self.key, dict(self.types), cells, units, leaves, pieces)


def flat(document: Any) -> dict[str, tuple[str, ...]]:
    """The leaves of JSON that are not null, as text, by path."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, leaf in _flat(document, "$"):
        found[path].append(shown(leaf.value))
    return {path: tuple(texts) for path, texts in found.items()}


def _truth(
    leaves: Leaves, pieces: Sequence[tuple[Piece, ...]]
) -> tuple[frozenset[str], bool, bool]:
    """Entities, whether almost every cell is nothing but pieces, whether nobody disputes it."""
    counted = Counter(piece.entity for row in pieces for piece in row)
    full = [(texts, row) for texts, row in zip(leaves, pieces, strict=True) if texts]
    whole = sum(_size(texts) == _size(piece.text for piece in row) for texts, row in full)
    plain = bool(counted) and whole >= 0.9 * len(full)
    return frozenset(counted), plain, "?" not in counted


def _size(texts: Iterable[str]) -> int:
    """Letters and digits of all of them."""
    return sum(letter.isalnum() for text in texts for letter in text)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Text]]:
    if value is None:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, f"{path}[*]")
    else:
        yield path, value if isinstance(value, Text) else Text(value)


def _cell(value: Any, kind: str) -> str | None:
    if value is None:
        return None
    return json.dumps(_bare(value), ensure_ascii=False) if kind == "jsonb" else shown(_bare(value))


def _bare(value: Any) -> Any:
    if isinstance(value, Text):
        return value.value
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items()}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value
