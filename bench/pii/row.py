"""What the rows of the generated tables are made with: one :class:`Row` for each of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

from bench.pii import people, prose
from bench.pii.model import Builder, Table, Text, mine
from bench.pii.words import LOCALES, Half, words

T = TypeVar("T")
ALL = {
    "person": 4.0,
    "email": 2.0,
    "phone": 2.0,
    "address": 1.5,
    "card": 0.6,
    "iban": 0.8,
    "ip": 0.5,
    "nid": 0.5,
    "dob": 0.4,
}
"""Kinds of personal fragments of free texts, by weight."""
_HEX = "0123456789abcdef"
_WIDE = {ord(plain): chr(ord(plain) + 0xFEE0) for plain in "0123456789@.+-()"}


class Row:
    """Chance, words and a person for one row; ``who`` is somebody of the table's locales."""

    def __init__(self, rng: Random, half: Half, number: int, locales: tuple[str, ...]) -> None:
        self.rng = rng
        self.half: Half = half
        self.number = number
        self.who = people.person(rng, half, locales)

    def k(self, names: str) -> str:
        """The half's one of two names: "city|town"."""
        one, _, two = names.partition("|")
        return two if two and self.half == "held" else one

    def word(self, name: str) -> str:
        """A word of the half of a list."""
        return self.rng.choice(words(self.half, name))

    def among(self, *choices: T) -> T:
        """One of them."""
        return self.rng.choice(choices)

    def mostly(self, value: T, share: float) -> T | None:
        """``value`` in ``share`` of the rows, else null."""
        return value if self.rng.random() < share else None

    def other(self, *locales: str) -> people.Person:
        """Somebody else."""
        return people.person(self.rng, self.half, locales or LOCALES)

    def name(self, who: people.Person | None = None) -> Text:
        """A full name as it is written."""
        return mine("PERSON", people.written(self.rng, who or self.who))

    def id(self, start: int = 1000) -> int:
        """The row's number."""
        return start + self.number

    def hex(self, length: int) -> str:
        """A hash."""
        return "".join(self.rng.choices(_HEX, k=length))

    def uuid(self) -> str:
        """A random UUID."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def stamp(self) -> str:
        """A timestamp in ISO 8601."""
        return prose.moment(self.rng).isoformat() + "Z"

    def day(self) -> str:
        """A date in ISO 8601 on which nobody was born."""
        return prose.day(self.rng).isoformat()

    def amount(self, most: float = 900) -> float:
        """Money, as a number."""
        return round(self.rng.uniform(1, most), 2)

    def version(self, parts: int = 4) -> str:
        """A version of software."""
        return ".".join(str(self.rng.randint(0, 30)) for _ in range(parts))

    def text(self, language: str, share: float, weights: dict[str, float]) -> Text:
        """Free text, ``share`` of it with something personal, of kinds by weight."""
        kinds: tuple[str, ...] = ()
        if self.rng.random() < share:
            kinds = prose.some_kinds(self.rng, language, weights)
        return prose.text(self.rng, self.half, language, kinds)

    def link(self, base: str, **parts: tuple[str, str]) -> Text:
        """A URL with query parameters, each entity and value; "" as entity: of nobody."""
        query = {name: quote(value, safe="") for name, (_, value) in parts.items()}
        return Text(
            base + "?" + "&".join(f"{name}={value}" for name, value in query.items()),
            tuple(_piece(entity, query[name]) for name, (entity, _) in parts.items() if entity),
        )


def html(text: Text) -> Text:
    """The text with its personal pieces' "@" and blanks as HTML writes them at times."""
    value, pieces = str(text.value).replace("&", "&amp;"), []
    for piece in text.pieces:
        escaped = piece.text.replace("@", "&#64;").replace("'", "&#39;").replace("ü", "&uuml;")
        value = value.replace(piece.text, escaped)
        pieces.append(piece._replace(text=escaped))
    return Text(f"<p>{value}</p>", tuple(pieces))


def wide(text: str) -> str:
    """Digits and signs in full width, as some input methods leave them."""
    return text.translate(_WIDE)


def _piece(entity: str, text: str) -> Any:
    return mine(entity, text).pieces[0]


def table(
    rng: Random,
    half: Half,
    name: str,
    rows: int,
    make: Callable[[Row], dict[str, Any]],
    locales: Sequence[str] = LOCALES,
) -> Table:
    """A table whose rows ``make`` gives.

    The keys of a row are "name in dev|name in held:type", text if no type is given. The first
    column is the key. Names are as sources spell them: camelCase, with accents.
    """
    types: dict[str, str] = {}
    builder: Builder | None = None
    for number in range(rows):
        row = Row(rng, half, number, tuple(locales))
        found = {_column(row, spec): value for spec, value in make(row).items()}
        if builder is None:
            types = dict(found.keys())
            builder = Builder(name, next(iter(types)), types)
        builder.add({column: value for (column, _), value in found.items()})
    assert builder is not None
    return builder.table()


def _column(row: Row, spec: str) -> tuple[str, str]:
    names, _, kind = spec.partition(":")
    return row.k(names), kind or "text"


def later(row: Row, days: int) -> str:
    """A timestamp up to ``days`` after some moment, as logs write it."""
    moment = prose.moment(row.rng) + timedelta(seconds=row.rng.randrange(days * 86_400))
    return moment.strftime("%Y-%m-%d %H:%M:%S")
