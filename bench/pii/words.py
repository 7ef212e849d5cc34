"""The word lists of the generator, one half of them at a time.

Each list of ``data/*.txt`` is split by position: ``dev`` gets the even places, ``held`` the odd
ones. Whatever was tuned on one half has seen no name, street, product or fragment of the other.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Literal

Half = Literal["dev", "held"]

DATA = Path(__file__).parent / "data"
LOCALES = ("us", "uk", "de", "da", "fr", "es")
"""Locales of persons, as the lists are named: en_US, en_GB, de_DE, da_DK, fr_FR, es_ES."""


@cache
def words(half: Half, name: str) -> tuple[str, ...]:
    """The half of list ``name``: "us.last" or "status".

    Raises:
        KeyError: there is no such list.
    """
    return _lists()[name][half == "held" :: 2]


@cache
def fragments(half: Half, language: str, kind: str) -> tuple[str, ...]:
    """The half's fragments of free text: of ``language`` ("en") and ``kind`` ("fact", "email")."""
    return tuple(_fragments()[language, kind][half == "held" :: 2])


def kinds(language: str) -> tuple[str, ...]:
    """The kinds of personal fragments that ``language`` has."""
    plain = {"open", "fact", "close"}
    return tuple(kind for spoken, kind in _fragments() if spoken == language and kind not in plain)


def _lines(file: str) -> list[str]:
    lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def _lists() -> dict[str, tuple[str, ...]]:
    found = {}
    for line in _lines("people.txt") + _lines("things.txt"):
        name, _, listed = line.partition(" = ")
        found[name] = tuple(dict.fromkeys(listed.split(" | ")))
    return found


@cache
def _fragments() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in _lines("prose.txt"):
        head, _, text = line.partition(": ")
        language, kind = head.split(" ")
        found[language, kind].append(text)
    return found
