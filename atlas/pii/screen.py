"""Which values of a column any recognizer has to see: a few passes of RE2 over whole arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from atlas.pii.claims import IN_NUMBERS
from atlas.pii.patterns import ALIKE, CANDIDATE, LETTERS, NUMBER, PROSE
from atlas.pii.streets import CODE_HINT, STREET_HINT


@dataclass(frozen=True, slots=True)
class Screened:
    """The values to look at.

    Attributes:
        indices: their places in the array that was screened.
        texts: the values themselves.
        prose: whether NER reads each of them.
        own: whether Atlas's patterns look at each of them; where not, only the user's do.
    """

    indices: list[int]
    texts: list[str]
    prose: list[bool]
    own: list[bool]


def _matches(values: pa.Array, pattern: str) -> pa.Array:
    return pc.match_substring_regex(values, pattern)


def screen(
    values: pa.Array,
    claimed: str | None,
    theirs: Callable[[pa.Array], pa.Array] | None = None,
    *,
    read: bool,
    read_all: bool,
) -> Screened:
    """The values of ``values`` (text, without nulls) that a recognizer has to see.

    Args:
        claimed: the entity type that the column's name claims; plain numbers count only then.
        theirs: which values the recognizers of the user have to see; None: there are none.
        read: whether NER reads prose at all.
        read_all: whether it reads every value with letters, however short.
    """
    alike = ALIKE if claimed in IN_NUMBERS else f"{ALIKE}|{NUMBER}"
    digits = _matches(values, r"\d")
    streets = pc.or_(_matches(values, STREET_HINT), _matches(values, CODE_HINT))
    look = pc.or_(_matches(values, CANDIDATE), pc.and_(digits, streets))
    if pc.any(look).as_py():
        look = pc.and_not(look, _matches(values, alike))
    if read:
        prose = _matches(values, LETTERS)
        if not read_all:
            prose = pc.and_(prose, _matches(values, PROSE))
        keep = pc.or_(look, prose)
    else:
        prose = None
        keep = look
    own = keep
    if theirs is not None:
        keep = pc.or_(keep, theirs(values))
    indices = pc.indices_nonzero(keep)
    texts = values.take(indices).to_pylist()
    every = [True] * len(texts)
    return Screened(
        indices.to_pylist(),
        texts,
        prose.take(indices).to_pylist() if prose is not None else [False] * len(texts),
        own.take(indices).to_pylist() if theirs is not None else every,
    )
