"""Which values of a column any recognizer has to see: a few passes of RE2 over whole arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from atlas.pii.claims import IN_NUMBERS
from atlas.pii.folding import FOLDABLE, as_read
from atlas.pii.patterns import (
    ALIKE,
    CANDIDATE,
    LATIN_LETTERS,
    LETTERS,
    NUMBER,
    PROSE,
    WITHOUT_DIGITS,
)
from atlas.pii.streets import CODE_HINT, STREET_HINT

_BYTES = 1 << 28


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


class Part(NamedTuple):
    """Values of one column, and how they are to be screened.

    Attributes:
        values: text, without nulls.
        claimed: the entity type that the column's name claims; plain numbers count only then.
        read: whether NER reads prose at all.
        read_all: whether it reads every value with letters, however short.
        theirs: which values the recognizers of the user have to see; None: there are none.
    """

    values: pa.Array
    claimed: str | None
    read: bool = False
    read_all: bool = False
    theirs: Callable[[pa.Array], pa.Array] | None = None


def screen(parts: Sequence[Part]) -> list[Screened]:
    """The values that a recognizer has to see, part by part.

    An expression is compiled, and learns its states, anew in each call of Arrow's, which costs as
    much as a thousand short values: so all columns go through it at once.
    """
    done: list[Screened] = []
    group: list[Part] = []
    for part in parts:
        if group and sum(each.values.nbytes for each in group) + part.values.nbytes > _BYTES:
            done += _screen(group)
            group = []
        group.append(part)
    return done + _screen(group)


def _screen(parts: Sequence[Part]) -> list[Screened]:
    if not parts:
        return []
    values = pa.concat_arrays([part.values for part in parts])
    numbers = _each(parts, [part.claimed in IN_NUMBERS for part in parts])
    digits = _matches(values, r"\d", None)
    alike = _matches(values, ALIKE, digits)
    alike = pc.or_(alike, _matches(values, NUMBER, pc.and_not(digits, pc.or_(alike, numbers))))
    digits = pc.and_not(digits, alike)
    some = pc.or_(digits, _matches(values, WITHOUT_DIGITS, pc.invert(pc.or_(digits, alike))))
    look = _matches(values, CANDIDATE, some)
    for hint in (STREET_HINT, CODE_HINT):
        look = pc.or_(look, _matches(values, hint, pc.and_not(digits, look)))
    other = pc.and_not(_matches(values, FOLDABLE, None), pc.or_(look, alike))
    if other.true_count:
        folded = pa.array(map(as_read, values.filter(other).to_pylist()), pa.string())
        look = pc.replace_with_mask(look, other, _candidates(folded))
    every = _each(parts, [part.read and part.read_all for part in parts])
    prose = _each(parts, [part.read for part in parts])
    prose = pc.or_(every, _matches(values, PROSE, pc.and_not(prose, every)))
    letters = _matches(values, LATIN_LETTERS, prose)
    prose = pc.or_(letters, _matches(values, LETTERS, pc.and_not(prose, letters)))
    keep = pc.or_(look, prose)
    at, found = 0, list[Screened]()
    for part in parts:
        length = len(part.values)
        found.append(_screened(part, keep.slice(at, length), prose.slice(at, length)))
        at += length
    return found


def _candidates(values: pa.Array) -> pa.Array:
    """Which of ``values``, as they read, a pattern could match."""
    look = _matches(values, CANDIDATE, None)
    digits = _matches(values, r"\d", None)
    for hint in (STREET_HINT, CODE_HINT):
        look = pc.or_(look, _matches(values, hint, pc.and_not(digits, look)))
    return look


def _screened(part: Part, own: pa.Array, prose: pa.Array) -> Screened:
    keep = own if part.theirs is None else pc.or_(own, part.theirs(part.values))
    indices = pc.indices_nonzero(keep)
    return Screened(
        indices.to_pylist(),
        part.values.take(indices).to_pylist(),
        prose.take(indices).to_pylist(),
        own.take(indices).to_pylist(),
    )


def _each(parts: Sequence[Part], flags: Sequence[bool]) -> pa.Array:
    """The flag of each part, for each of its values."""
    lengths = [len(part.values) for part in parts]
    return pa.concat_arrays(
        [pa.repeat(pa.scalar(flag), length) for flag, length in zip(flags, lengths, strict=True)]
    )


def _matches(values: pa.Array, pattern: str, among: pa.Array | None) -> pa.Array:
    """Which of ``values`` an expression matches; of others than those ``among``, none does."""
    if among is None:
        return pc.match_substring_regex(values, pattern)
    if not among.true_count:
        return among
    return pc.replace_with_mask(
        among, among, pc.match_substring_regex(values.filter(among), pattern)
    )
