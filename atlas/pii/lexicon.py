"""Words by what they can be: names of people, places, or ordinary words of some language.

The lists come with Atlas (``data``). Words are compared folded: without case and accents, as
people leave those away.
"""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "de", "es", "fr", "da", "it", "nl", "pt", "sv", "nb", "pl", "fi")
"""Those whose ordinary words are known, as ISO 639-1 codes; their places are the bits of a set."""

NOUNS = "de-nouns"
"""German nouns, among whose written forms are many surnames: apart, as the last bit."""

_LETTERS = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "\u0131": "i",
    }
    | {"\u2019": "'"}
)


def fold(word: str) -> str:
    """``word`` in lower case, without accents."""
    lower = word.lower()
    if lower.isascii():
        return lower
    parts = unicodedata.normalize("NFKD", lower.translate(_LETTERS))
    return "".join(char for char in parts if not unicodedata.combining(char))


@cache
def listed(name: str) -> frozenset[str]:
    """One list: ``given`` names, ``surnames``, or ``places``."""
    return frozenset(_text(name).split("\n")) - {""}


@cache
def ordinary() -> dict[str, int]:
    """Ordinary words, each with the set of languages that have it, a bit each (see
    :data:`LANGUAGES`)."""
    return _masks("words")


@cache
def stopwords() -> dict[str, int]:
    """The most frequent words, likewise."""
    return _masks("stopwords")


def _masks(name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for language, words in _by_language(name):
        bit = 1 << (len(LANGUAGES) if language == NOUNS else LANGUAGES.index(language))
        for word in map(fold, words):
            found[word] = found.get(word, 0) | bit
    return found


def _by_language(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in _text(name).splitlines():
        language, *words = line.split()
        yield language, words


def _text(name: str) -> str:
    packed = files("atlas.pii").joinpath(f"data/{name}.txt.gz").read_bytes()
    return gzip.decompress(packed).decode()
