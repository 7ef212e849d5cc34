"""Characters by what they do in a word or a number: marks that stand on letters, spaces, hyphens
and digits of other scripts, and those that nobody sees.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# All planes that are in use, without those of ideographs, which are letters.
_USED = ((0x80, 0x3400), (0xA000, 0xAC00), (0xF900, 0x20000), (0xE0000, 0xE0200))
_KINDS = [
    (chr(place), unicodedata.category(chr(place)))
    for first, last in _USED
    for place in range(first, last)
]
# The grapheme joiner and the variation selectors: marks, but of no letter.
_UNSEEN = frozenset(
    map(chr, (0x34F, *range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)


def _written(chars: Iterable[str]) -> str:
    """``chars``, which are in order, as the inside of a character class of ``re`` and of RE2."""
    spans: list[list[int]] = []
    for place in map(ord, chars):
        if spans and place == spans[-1][1] + 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return "".join(
        chr(first) if first == last else f"{chr(first)}-{chr(last)}" for first, last in spans
    )


def _read() -> dict[str, str]:
    found = {}
    for char, kind in _KINDS:
        if kind == "Cf" or char in _UNSEEN:
            found[char] = ""
        elif kind == "Zs":
            found[char] = " "
        elif kind == "Nd":
            found[char] = str(unicodedata.digit(char))
    return found | {"\u2010": "-", "\u2011": "-"}


READ = _read()
"""How a character reads that is another way to write a space, a hyphen or a digit, or that is not
seen (then "")."""
MARKS = _written(char for char, kind in _KINDS if kind[0] == "M" and char not in READ)
"""The marks that letters have on them, as the inside of a character class."""
WITHIN = f"{MARKS}\u200c\u200d"
"""What can follow a letter in a word, likewise: marks, and the joiners of Persian and of the
scripts of India."""
DASHES = _written(
    char for char, kind in _KINDS if (kind == "Pd" and char not in READ) or char == "\u2212"
)
"""Dashes and the minus sign, likewise: between digits they are written for a hyphen."""
OTHERS = _written(READ)
"""The characters of :data:`READ`, likewise."""
