"""What a scan for personal data finds in a column, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Operator(StrEnum):
    """What a policy does to a personal value."""

    KEEP = "keep"
    MASK = "mask"
    REDACT = "redact"
    TOKENIZE = "tokenize"
    GENERALISE = "generalise"
    DROP = "drop"


class Scope(StrEnum):
    """Whether the whole value of a column (or JSON leaf) is personal, or only spans of its text."""

    VALUE = "value"
    SPAN = "span"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one column, or one leaf of a nested column, was found to be.

    Attributes:
        column: the column's name in the typed table.
        path: JSON path of the leaf inside a nested column ("$.street", "$.tags[*]"), "" for
            the column itself.
        entity_type: Presidio's entity type.
        score: 0 to 1.
        scope: whole values, or spans inside free text.
        operator: what the policy does to it.
        share: share of the distinct non-null values that showed it, 0 to 1.
        evidence: counts and rates by kind of evidence; never a raw value.
    """

    column: str
    path: str
    entity_type: str
    score: float
    scope: Scope
    operator: Operator
    share: float
    evidence: dict[str, Any] = field(default_factory=dict)
