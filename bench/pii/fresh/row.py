"""What a row of the fresh tables is made with, and how sentences get their slots filled.

A slot that :data:`bench.pii.fresh.lists.PERSONAL` names is filled with somebody's data and
labelled; any other is a word of the list of that name or of :data:`THINGS`, and nobody's.
"""

from __future__ import annotations

import datetime as dt
import html
import uuid
from collections.abc import Callable
from functools import cached_property
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

from bench.pii.fresh import lists, numbers
from bench.pii.fresh.people import LOCALES, Person, person
from bench.pii.model import Builder, Piece, Table, Text, mine
from bench.pii.words import Half

T = TypeVar("T")
Part = tuple[str, str]
"""A text and its entity, "" of nobody."""
Form = Callable[[str], str]
_SPOKEN = {"en": ("us", "gb"), "pt": ("br",)}
"""Locales of people in the texts of a language, where they are not the one of that name."""
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


class Row:
    """Chance and words for one row; ``who`` is somebody of the table's locales."""

    def __init__(
        self, rng: Random, half: Half, number: int, locales: tuple[str, ...] = LOCALES
    ) -> None:
        self.rng = rng
        self.half: Half = half
        self.number = number
        self.locales = locales

    @cached_property
    def who(self) -> Person:
        """Whom the row is about."""
        return person(self.rng, self.half, self.locales)

    def other(self, *locales: str) -> Person:
        """Somebody else."""
        return person(self.rng, self.half, locales or self.locales)

    def word(self, name: str) -> str:
        """A word of the half's list."""
        return self.rng.choice(lists.words(self.half, name))

    def among(self, *choices: T) -> T:
        """One of them."""
        return self.rng.choice(choices)

    def mostly(self, value: T, share: float) -> T | None:
        """``value`` in ``share`` of the rows, else null."""
        return value if self.rng.random() < share else None

    def shaped(self, pattern: str) -> str:
        """Chance letters and digits; see :func:`bench.pii.fresh.numbers.shaped`."""
        return numbers.shaped(self.rng, pattern)

    def hex(self, length: int) -> str:
        """A hash."""
        return "".join(self.rng.choices("0123456789abcdef", k=length))

    def uuid(self) -> str:
        """A random one."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def money(self, most: float = 2_000) -> float:
        """An amount."""
        return round(self.rng.uniform(0.5, most), 2)

    def when(self, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
        """A moment of the last years, at which nobody was born."""
        start = dt.datetime(2019, 1, 1, tzinfo=dt.UTC)
        return (start + dt.timedelta(seconds=self.rng.randrange(220_000_000))).strftime(form)

    def born(self, form: str = "%Y-%m-%d") -> Text:
        """The day of somebody's birth."""
        return mine("BIRTH_DATE", self.who.born.strftime(form))

    def nid(self) -> Text:
        """The number by which the state knows ``who``."""
        return mine("NATIONAL_ID", numbers.national(self.rng, self.who.locale, self.who.born))

    def text(
        self, languages: tuple[str, ...], style: str, share: float, form: Form | None = None
    ) -> Text:
        """Sentences of a style, one to three; in ``share`` of the cells one with personal data."""
        language = self.rng.choice(languages)
        found = list(lists.facts(self.half, language, style))
        told = self.rng.sample(found, min(len(found), self.rng.randint(1, 3)))
        if self.rng.random() < share:
            one = self.rng.choice(lists.personal(self.half, language, style))
            told.insert(self.rng.randint(0, len(told)), one)
        return self.fill(self.rng.choice((" ", " ", "\n")).join(told), language, form)

    def dense(self, languages: tuple[str, ...], form: Form | None = None) -> Text:
        """Two or three sentences with personal data and nothing else."""
        language = self.rng.choice(languages)
        told = self.rng.sample(lists.personal(self.half, language), self.rng.randint(2, 3))
        return self.fill(" ".join(told), language, form)

    def long(self, language: str, style: str, size: int) -> Text:
        """A text of ``size`` letters, here and there somebody's data."""
        parts: list[Part] = []
        length = 0
        while length < size:
            one = self.text((language,), style, 0.1)
            parts += self._parts(one, "\n")
            length += len(str(one.value)) + 1
        return _text(parts, language)

    def fill(self, template: str, language: str, form: Form | None = None) -> Text:
        """The template with its slots filled; ``form`` is how the whole is encoded."""
        who: Person | None = None
        parts: list[Part] = []
        end = 0
        for slot in lists.SLOT.finditer(template):
            parts.append((template[end : slot.start()], ""))
            entity = lists.PERSONAL.get(slot[1], "")
            if entity and who is None:
                who = person(self.rng, self.half, _SPOKEN.get(language, (language,)))
            filled = _OWN[slot[1]](self, who) if entity and who else self._thing(slot[1])
            parts.append((filled, entity))
            end = slot.end()
        parts.append((template[end:], ""))
        if form:
            parts = [(form(text), entity) for text, entity in parts]
        return _text(parts, language)

    def _parts(self, text: Text, end: str) -> list[Part]:
        value, parts = str(text.value), list[Part]()
        for piece in text.pieces:
            before, _, value = value.partition(piece.text)
            parts += [(before, ""), (piece.text, piece.entity)]
        return [*parts, (value + end, "")]

    def _thing(self, name: str) -> str:
        return THINGS[name](self) if name in THINGS else self.word(name)


def _text(parts: list[Part], language: str) -> Text:
    pieces = tuple(Piece(entity, text, language) for text, entity in parts if entity)
    return Text("".join(text for text, _ in parts), pieces)


def escaped(text: str) -> str:
    """As HTML writes it."""
    return html.escape(text).replace("@", "&#x40;").replace("é", "&eacute;").replace("ö", "&ouml;")


def encoded(text: str) -> str:
    """As a form sends it."""
    return quote(text, safe="")


def wide(text: str) -> str:
    """In letters of full width."""
    return text.translate(_WIDE)


def broken(text: str) -> str:
    """With every third blank a line's end."""
    words = text.split(" ")
    signs = ("\n" if at % 3 == 1 else " " for at in range(len(words)))
    return "".join(word + sign for word, sign in zip(words, signs, strict=True))[:-1]


def _written(row: Row, who: Person) -> str:
    if row.half == "dev" and row.rng.random() < 0.15:
        return f"{who.last}, {who.first}"
    if row.half == "held" and row.rng.random() < 0.15:
        return f"{who.first[0]}. {who.last}"
    return who.name


def _spaced(row: Row, make: Callable[[], str]) -> str:
    grouped = row.among(False, True)
    text = make()
    return numbers.grouped(text) if grouped else text


_OWN: dict[str, Callable[[Row, Person], str]] = {
    "person": _written,
    "PERSON": lambda row, who: who.name.upper(),
    "lower": lambda row, who: who.name.lower(),
    "first": lambda row, who: who.first,
    "last": lambda row, who: who.last,
    "other": lambda row, who: row.other(who.locale).name,
    "user": lambda row, who: who.user,
    "figure": lambda row, who: row.word("figure"),
    "email": lambda row, who: who.email,
    "phone": lambda row, who: who.phone,
    "street": lambda row, who: who.street,
    "address": lambda row, who: who.address,
    "dob": lambda row, who: who.born.strftime("%d.%m.%Y" if row.half == "dev" else "%d/%m/%Y"),
    "card": lambda row, who: _spaced(row, lambda: numbers.card(row.rng)),
    "iban": lambda row, who: _spaced(row, lambda: numbers.account(row.rng, who.locale)),
    "btc": lambda row, who: numbers.coin(row.rng),
    "ip": lambda row, who: numbers.ip(row.rng),
    "mac": lambda row, who: numbers.mac(row.rng, ":" if row.half == "dev" else "-"),
    "nid": lambda row, who: numbers.national(row.rng, who.locale, who.born),
}
THINGS: dict[str, Callable[[Row], str]] = {
    "n": lambda row: str(row.rng.randint(2, 96)),
    "big": lambda row: str(row.rng.randint(1_000, 98_000)),
    "money": lambda row: f"{row.money():.2f}",
    "date": lambda row: row.when("%d %b %Y" if row.half == "dev" else "%Y/%m/%d"),
    "time": lambda row: row.when("%H:%M"),
    "stamp": lambda row: row.when(),
    "order": lambda row: row.shaped("OR-####-####" if row.half == "dev" else "#########"),
    "parcel": lambda row: row.shaped(
        "JD0146##########" if row.half == "dev" else "00340434#########"
    ),
    "ver": lambda row: ".".join(str(row.rng.randint(0, 22)) for _ in range(row.among(3, 4))),
    "hash": lambda row: row.hex(row.among(8, 40)),
    "uuid": lambda row: row.uuid(),
}


def table(
    half: Half,
    seed: int,
    name: str,
    rows: int,
    make: Callable[[Row], dict[str, Any]],
    locales: tuple[str, ...],
) -> Table:
    """A table of what ``make`` gives, by "column" or "column:type"; the first is the key."""
    rng = Random(f"fresh/{half}/{seed}/{name}")
    made = [make(Row(rng, half, number, locales)) for number in range(rows)]
    specs = {spec: spec.partition(":") for spec in made[0]}
    types = {column: kind or "text" for column, _, kind in specs.values()}
    builder = Builder(name, next(iter(types)), types)
    for row in made:
        builder.add({specs[spec][0]: value for spec, value in row.items()})
    return builder.table()
