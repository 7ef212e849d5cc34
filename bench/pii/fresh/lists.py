"""The word lists and sentences of a half, as they stand in ``data``.

``people.<half>.txt`` and ``words.<half>.txt`` have a list a line, or a part of one: "us.first = Ann
| Bob". In ``prose.<half>.txt`` a line "== en chat" heads the sentences of a language and a style. A
sentence has slots in braces; see :mod:`bench.pii.fresh.row` for what fills them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from bench.pii.words import Half

DATA = Path(__file__).parent / "data"
SLOT = re.compile(r"\{(\w+)\}")
PERSONAL = {
    "person": "PERSON",
    "PERSON": "PERSON",
    "lower": "PERSON",
    "first": "PERSON",
    "last": "PERSON",
    "other": "PERSON",
    "user": "PERSON",
    "figure": "PERSON",
    "email": "EMAIL",
    "phone": "PHONE",
    "street": "LOCATION",
    "address": "LOCATION",
    "dob": "BIRTH_DATE",
    "card": "CARD",
    "iban": "IBAN",
    "btc": "CRYPTO",
    "ip": "IP",
    "mac": "MAC",
    "nid": "NATIONAL_ID",
}
"""Entities of the slots that somebody's data fill."""
_LOGS = frozenset({"log", "syslog"})


@cache
def words(half: Half, name: str) -> tuple[str, ...]:
    """The list of that name.

    Raises:
        KeyError: the half has no such list.
    """
    return _lists(half)[name]


@cache
def facts(half: Half, language: str, style: str) -> tuple[str, ...]:
    """Sentences of a style that are about nobody."""
    return tuple(one for one in _prose(half)[language, style] if not _personal(one))


@cache
def personal(half: Half, language: str, style: str = "") -> tuple[str, ...]:
    """Sentences of a language that hold somebody's data: of a style, or of all but the logs' if
    none is said or it has not three of its own."""
    own = tuple(one for one in _prose(half).get((language, style), ()) if _personal(one))
    if len(own) >= 3:
        return own
    return tuple(
        one
        for (spoken, other), lines in _prose(half).items()
        for one in lines
        if spoken == language and other not in _LOGS and _personal(one)
    )


@cache
def styles(half: Half) -> tuple[tuple[str, str], ...]:
    """Languages and styles that have sentences about nobody."""
    return tuple(key for key in _prose(half) if facts(half, *key))


def sentences(half: Half) -> set[str]:
    """All of them."""
    return {one for lines in _prose(half).values() for one in lines}


def _personal(sentence: str) -> bool:
    return any(name in PERSONAL for name in SLOT.findall(sentence))


def _lines(name: str) -> list[str]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def _lists(half: Half) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for line in _lines(f"people.{half}.txt") + _lines(f"words.{half}.txt"):
        name, _, listed = line.partition(" = ")
        found[name] += _unescaped(listed).split(" | ")
    return {name: tuple(dict.fromkeys(listed)) for name, listed in found.items()}


@cache
def _prose(half: Half) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    key = "", ""
    for line in _lines(f"prose.{half}.txt"):
        if line.startswith("== "):
            _, language, style = line.split(" ")
            key = language, style
        else:
            found[key].append(_unescaped(line))
    return dict(found)


def _unescaped(line: str) -> str:
    return line.replace("\\n", "\n").replace("\\t", "\t")
