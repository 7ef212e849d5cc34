"""What was found, as it looks: a form or a shape, without a letter or digit of it.

Whoever reads a verdict wants to see what it is about. A mask that keeps the form of what has one is
such an example; of everything else there is its shape: every word is ``***``, every digit ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from atlas.pii.operators import MASKED, masked

MOST = 3
"""Examples of one finding."""

LOOKED_AT = 20
"""Values of one batch that give examples, at most."""

_LONGEST = 48
_DIGIT = re.compile(r"\d")
_WORD = re.compile(r"[^\W\d_]+")
_OTHER = re.compile(r"[^ #*!-/:-@\[-`{-~]+")


def example(entity: str, text: str) -> str:
    """How a value of this entity type looks; ``""``: of any."""
    form = masked(entity, text) if entity else MASKED
    return shape(text) if form == MASKED else form


def shape(text: str) -> str:
    """The shape of a text, cut after 48 characters."""
    found = _OTHER.sub("*", _WORD.sub("***", _DIGIT.sub("#", text[: 4 * _LONGEST].strip())))
    return found if len(found) <= _LONGEST else found[: _LONGEST - 1] + "…"


def first(examples: Iterable[str]) -> tuple[str, ...]:
    """The same few of them, in whatever order they come and however they are added up."""
    return tuple(sorted({text for text in examples if text})[:MOST])
