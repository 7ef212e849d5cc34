"""A check, and the plan that a stream's checks make together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from atlas.model.checks import Dimension, OnFailure, RowRule
from atlas.quality.usual import Measure


class Effect(StrEnum):
    """What a failed check may do to the rows of its run.

    A check that Soda answers with ``warn`` does nothing to them, whatever this says.
    """

    GATE = "gate"
    """What the user says of it, else the stream's ``on_failure``."""
    SET_ASIDE = "set_aside"
    """Its rows are set aside, and the run goes on; a user may say that it blocks."""
    BLOCK = "block"
    """Nothing is promoted, whatever a user says."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a plan.

    Attributes:
        name: unique within its plan, and the same in every run of the stream.
        dimension: the dimension it speaks for.
        column: the column it is about, or None for the table.
        sodacl: the check as an item of a SodaCL list ("- missing_count(id) = 0: …").
        effect: what its failure may do.
        gate: what the user says that its failure does; None: nothing.
        warns: whether Soda's answer can be ``warn`` at worst, unless it cannot be evaluated.
        whole: whether it speaks of all rows together, so that its score is 1 or 0.
        rule: what names the failing rows, or None when no rows can be named.
        header: what stands above the item: the heading, and the filter it refers to.
        line: line of the user's own text that ``sodacl`` starts at; None: generated.
        origin: the key that this text came by, such as ``quality.checks``; None: generated.
    """

    name: str
    dimension: Dimension
    column: str | None
    sodacl: str
    effect: Effect = Effect.GATE
    rule: RowRule | None = None
    header: str = ""
    line: int | None = None
    origin: str | None = None
    gate: OnFailure | None = None
    whole: bool = False
    warns: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The checks of one stream.

    Attributes:
        stream: the stream's name; :func:`atlas.quality.rules.data_set` is what SodaCL calls it.
        checks: in the order they are shown.
        on_failure: what a failed check does that the user says nothing else of.
        measures: what is measured beside, for later runs to be compared with.
        deletions: whether rows of the stream may mark deletions: the user's own checks see none.
    """

    stream: str
    checks: tuple[Check, ...]
    on_failure: OnFailure
    measures: tuple[Measure, ...] = ()
    deletions: bool = False

    def gate(self, check: Check) -> OnFailure:
        """What a failure of ``check`` does. Quarantine blocks where it can name no rows."""
        match check.effect:
            case Effect.BLOCK:
                return OnFailure.BLOCK
            case Effect.SET_ASIDE:
                return check.gate or OnFailure.QUARANTINE
            case Effect.GATE:
                return check.gate or self.on_failure

    def sodacl(self) -> str:
        """All checks as one SodaCL document, as it may be copied into a file and changed."""
        parts: list[str] = []
        header = None
        for check in self.checks:
            if check.header != header:
                header = check.header
                parts.append(header)
            parts.append(check.sodacl)
        return "\n".join(part.rstrip("\n") for part in parts) + "\n"
