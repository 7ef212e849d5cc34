"""Quality checks, their outcomes and the scores made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Dimension(StrEnum):
    """The six dimensions of data quality."""

    COMPLETENESS = "completeness"
    UNIQUENESS = "uniqueness"
    TIMELINESS = "timeliness"
    VALIDITY = "validity"
    ACCURACY = "accuracy"
    CONSISTENCY = "consistency"


class Outcome(StrEnum):
    """Soda's outcome of a check; ``error`` is a check that could not be evaluated, and counts
    as failed."""

    PASS = "pass"  # noqa: S105 - an outcome, no password
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"


class OnFailure(StrEnum):
    """What the gate does when a check fails."""

    BLOCK = "block"
    QUARANTINE = "quarantine"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One evaluated check.

    Attributes:
        name: the check's name, unique within its scan.
        dimension: the dimension it speaks for.
        column: the column it is about, or None for the table.
        outcome: as Soda said.
        score: share of rows that satisfy it, 0 to 1 (1 or 0 where rows cannot be counted).
        failed_rows: rows that do not satisfy it, or None where rows cannot be counted.
        definition: the check as SodaCL.
        gate: what its failure does to the rows of the run.
        rows: ids of the rows that fail it, where no rule names them; None: it names none.
        detail: measured values by name; never a value of a row.
    """

    name: str
    dimension: Dimension
    column: str | None
    outcome: Outcome
    score: float
    failed_rows: int | None
    definition: str
    gate: OnFailure = OnFailure.QUARANTINE
    rows: tuple[int, ...] | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowRule:
    """A check that can be answered row by row: the rows to set aside are those it names.

    ``kind`` is one of ``not_null``, ``in_set``, ``format``, ``range``, ``not_future``; ``argument``
    is what that kind needs (the set, the format's name, the bounds).
    """

    check: str
    column: str
    kind: str
    argument: Any = None
