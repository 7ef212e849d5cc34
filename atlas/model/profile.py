"""What the values of a column are like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from atlas.model.stream import ColumnType


class ColumnProfile(NamedTuple):
    """What a column's values are like.

    Attributes:
        given: rows that have a value.
        distinct: how many values there are.
        negative: of numbers, how many are less than 0.
        shortest, longest: of texts, in characters; None: there are none.
        matching: of texts, how many match each of the patterns that were asked.
        values: of texts, the values and how often they come, where there are few.
    """

    name: str
    type: ColumnType
    given: int
    distinct: int
    negative: int = 0
    shortest: int | None = None
    longest: int | None = None
    matching: Mapping[str, int] = {}
    values: Mapping[str, int] = {}
