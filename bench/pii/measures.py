"""What is measured of an outcome against the truth.

- *Columns*: of each judged unit the set of entities found against the set that is true. Micro-F1
  counts all pairs of unit and entity alike; macro-F1 is the mean of the F1 of the entities.
- *Leak*: the share of cells with a personal piece of which one still stands, letter by letter, in
  the masked cell. *Partly*: the same for any word of at least four letters or digits of it.
- *Over-masking*: the share of cells with nothing personal, outside of personal columns, that were
  changed. A leak rate says nothing without it: whoever masks everything leaks nothing.
- *Sparse text*: a cell with something personal is found if one of its pieces is gone; a cell is
  flagged if it was changed; precision is the share of flagged cells that have something personal.

Units whose truth is disputed count nowhere.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from bench.pii.model import (
    CHECKED,
    DATE,
    ENTITIES,
    NAMES,
    PATTERN,
    Outcome,
    Piece,
    Table,
    Unit,
)

Judged = tuple[Table, Outcome]
_WORD = re.compile(r"\w{4,}")
_SHOWN = 25
"""Letters of a cell that are shown before and after what is wrong."""
_MUST = frozenset({"EMAIL", "PHONE", "CARD", "IBAN", "NATIONAL_ID"})

COLUMNS, SHAPES = "personal columns", "pattern entities anywhere"
TEXT, REST = "names and addresses in free text", "telephones, ids and births in free text"
OVER = "over-masked"


@dataclass(slots=True)
class Share:
    """``hits`` of ``total``."""

    hits: int = 0
    total: int = 0

    def count(self, hit: bool) -> None:
        """Count one more."""
        self.hits += hit
        self.total += 1

    @property
    def percent(self) -> float | None:
        """In percent; None of nothing."""
        return 100 * self.hits / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class F1:
    """F1 over all, the mean over entities, and right, wrong and missed ones by entity."""

    micro: float
    macro: float
    counts: dict[str, tuple[int, int, int]]


@dataclass(slots=True)
class Sparse:
    """Of one text column: cells found by group of entities, and flagged ones that are right."""

    recall: dict[str, Share] = field(default_factory=lambda: defaultdict(Share))
    precision: Share = field(default_factory=Share)


def credited(unit: Unit, found: Iterable[str]) -> frozenset[str]:
    """``found`` with Presidio's DATE_TIME as it is credited; see :mod:`bench.pii.contestants`."""
    entities = frozenset(found)
    if DATE in entities:
        entities |= unit.truth & {"BIRTH_DATE"}
    return entities & frozenset(ENTITIES)


def columns(judged: Sequence[Judged], plain: bool | None = None) -> F1:
    """Score the verdicts, of all units or only of those that are (not) plain or of nobody."""
    right, wrong, missed = Counter[str](), Counter[str](), Counter[str]()
    for table, outcome in judged:
        for unit in table.units:
            if not unit.judged or plain not in (None, unit.plain or not unit.truth):
                continue
            found = credited(unit, outcome.verdicts.get(unit.key, ()))
            right.update(found & unit.truth)
            wrong.update(found - unit.truth)
            missed.update(unit.truth - found)
    counts = {
        entity: (right[entity], wrong[entity], missed[entity])
        for entity in ENTITIES
        if right[entity] + wrong[entity] + missed[entity]
    }
    each = [_f1(*found) for found in counts.values()]
    micro = _f1(right.total(), wrong.total(), missed.total())
    return F1(micro, sum(each) / len(each) if each else 1.0, counts)


def overlooked(judged: Sequence[Judged]) -> list[str]:
    """Plain columns of e-mail, telephone, card, IBAN, national id or full name not seen as such."""
    return [
        f"{table.name}.{unit} ({', '.join(sorted(gone))})"
        for table, outcome in judged
        for unit in table.units
        if unit.judged and unit.plain
        if (gone := _must(table, unit) - credited(unit, outcome.verdicts.get(unit.key, ())))
    ]


def leaks(judged: Iterable[Judged]) -> tuple[dict[str, Share], dict[str, Share]]:
    """Leaked cells, and partly leaked ones, by group; the first has what is over-masked, too."""
    whole: dict[str, Share] = {name: Share() for name in (COLUMNS, SHAPES, TEXT, REST, OVER)}
    partly: dict[str, Share] = {name: Share() for name in (COLUMNS, SHAPES, TEXT, REST)}
    for table, outcome in judged:
        for unit in table.units:
            if unit.judged:
                for group, gone_wrong, some in _cells(table, outcome, unit):
                    whole[group].count(gone_wrong)
                    if group in partly:
                        partly[group].count(some)
    return whole, partly


def of_unit(table: Table, outcome: Outcome, unit: Unit) -> tuple[int, int, list[str]]:
    """Leaked and over-masked cells of a unit, and the shapes of the first leaked pieces."""
    leaked, over, shapes = 0, 0, list[str]()
    rows = zip(
        table.leaves[unit.key], table.pieces[unit.key], outcome.masked[unit.key], strict=True
    )
    for before, pieces, after in rows:
        standing = [piece for piece in pieces if stands(piece.text, after)]
        leaked += bool(standing)
        over += not pieces and bool(before) and not unit.plain and before != after
        shapes += [shape(piece) for piece in standing[:1]]
    return leaked, over, list(dict.fromkeys(shapes))[:3]


def wrong(table: Table, outcome: Outcome, unit: Unit) -> Iterator[tuple[str, str, str]]:
    """Cells of a unit that were masked for nothing or of which something personal still stands:
    which of the two, the cell around what is wrong, and what was made of it."""
    rows = zip(
        table.leaves[unit.key], table.pieces[unit.key], outcome.masked[unit.key], strict=True
    )
    for before, pieces, after in rows:
        standing = [piece for piece in pieces if stands(piece.text, after)]
        if standing:
            found = standing[0]
            around = (leaf for leaf in before if found.text in leaf)
            yield f"missed {found.entity}", *_around(next(around), found.text)
        elif before and not pieces and not unit.plain and before != after:
            for one, other in zip_longest(before, after, fillvalue=""):
                if one != other:
                    yield "flagged", *_changed(one, other)
                    break


def sparse(table: Table, outcome: Outcome, unit: Unit) -> Sparse:
    """Score the one free-text column of a sparse table."""
    found = Sparse()
    rows = zip(
        table.leaves[unit.key], table.pieces[unit.key], outcome.masked[unit.key], strict=True
    )
    for before, pieces, after in rows:
        if before != after:
            found.precision.count(bool(pieces))
        if not pieces:
            continue
        gone = [piece for piece in pieces if not stands(piece.text, after)]
        found.recall["all"].count(bool(gone))
        for group in dict.fromkeys(name for piece in pieces for name in groups(piece)):
            own = [piece for piece in pieces if group in groups(piece)]
            found.recall[group].count(any(piece in gone for piece in own))
    return found


def groups(piece: Piece) -> tuple[str, ...]:
    """The groups of sparse text that a piece counts in."""
    checked = ("e-mail and checksums",) if piece.entity in CHECKED else ()
    return (*checked, piece.entity, f"{piece.entity} in {piece.language}")


def merged(parts: Iterable[Sparse]) -> Sparse:
    """Several of them as one."""
    total = Sparse()
    for part in parts:
        for name, share in part.recall.items():
            total.recall[name].hits += share.hits
            total.recall[name].total += share.total
        total.precision.hits += part.precision.hits
        total.precision.total += part.precision.total
    return total


def stands(text: str, cell: Sequence[str]) -> bool:
    """Whether ``text`` still stands in one of the leaves of a masked cell."""
    return any(text in leaf for leaf in cell)


def shape(piece: Piece) -> str:
    """A piece as it looks, without what it says: "Xxxxx Xxxx 99"."""
    text = re.sub(r"\d", "9", piece.text[:40])
    text = re.sub(r"[^\W\d_]", lambda letter: "X" if letter[0].isupper() else "x", text)
    return f"{piece.entity} {text!r}"


def _around(text: str, piece: str) -> tuple[str, str]:
    at = text.index(piece)
    return text[max(at - _SHOWN, 0) : at + len(piece) + _SHOWN], piece


def _changed(before: str, after: str) -> tuple[str, str]:
    """Both from shortly before the first letter in which they differ."""
    pairs = zip_longest(before, after)
    at = max(next(at for at, (one, other) in enumerate(pairs) if one != other) - _SHOWN, 0)
    return before[at : at + 3 * _SHOWN], after[at : at + 3 * _SHOWN]


def _cells(table: Table, outcome: Outcome, unit: Unit) -> Iterator[tuple[str, bool, bool]]:
    rows = zip(
        table.leaves[unit.key], table.pieces[unit.key], outcome.masked[unit.key], strict=True
    )
    for before, pieces, after in rows:
        if not pieces:
            if before and not unit.plain:
                yield OVER, before != after, False
            continue
        by_group: dict[str, list[Piece]] = defaultdict(list)
        for piece in pieces:
            for group in _group(unit, piece):
                by_group[group].append(piece)
        for group, own in by_group.items():
            whole = any(stands(piece.text, after) for piece in own)
            words = (word for piece in own for word in _WORD.findall(piece.text))
            yield group, whole, whole or any(stands(word, after) for word in words)


def _group(unit: Unit, piece: Piece) -> Iterator[str]:
    if unit.plain:
        yield COLUMNS
    if piece.entity in PATTERN:
        yield SHAPES
    elif not unit.plain:
        yield TEXT if piece.entity in NAMES else REST


def _must(table: Table, unit: Unit) -> frozenset[str]:
    """What of a plain unit's truth nobody may overlook."""
    pieces = [piece for row in table.pieces[unit.key] for piece in row]
    full = 2 * sum(" " in piece.text for piece in pieces) > len(pieces)
    return unit.truth & (_MUST | {"PERSON"} if full else _MUST)


def _f1(right: int, wrong: int, missed: int) -> float:
    return 2 * right / (2 * right + wrong + missed) if right + wrong + missed else 1.0
