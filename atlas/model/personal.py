"""What a scan for personal data finds in a column, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Operator(StrEnum):
    """What a policy does to a personal value."""

    KEEP = "keep"
    MASK = "mask"
    REDACT = "redact"
    TOKENIZE = "tokenize"
    ENCRYPT = "encrypt"
    GENERALISE = "generalise"
    DROP = "drop"


class Scope(StrEnum):
    """Whether the whole value of a column (or JSON leaf) is personal, or only spans of its text."""

    VALUE = "value"
    SPAN = "span"


class Says(StrEnum):
    """What a person says of a column or leaf, against the scanner or instead of it."""

    IS = "is"
    IS_NOT = "is_not"
    OPERATOR = "operator"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Override:
    """A person's word on a column, or on one leaf of a nested column. It wins, in every run.

    Attributes:
        column: the column's name in the typed table.
        path: JSON path of the leaf, "" for the column with all of its leaves.
        says: ``is``: every value is ``entity_type``; ``is_not``: none is, or, without an entity
            type, nothing in it is personal; ``operator``: it gets ``operator``, as if the
            connection's policy named it; ``withdrawn``: what was said before holds no more.
        actor: who said it.
        why: the reason that was given.
        at: when, in UTC.
    """

    column: str
    path: str
    says: Says
    entity_type: str | None
    operator: Operator | None
    actor: str
    why: str
    at: datetime


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
