"""A check, and the plan that a stream's checks make together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from atlas.model.checks import Dimension, OnFailure, RowRule


class Effect(StrEnum):
    """What a failed check may do to the rows of its run.

    A check that Soda answers with ``warn`` does nothing to them, whatever this says.
    """

    GATE = "gate"
    """What the connection's ``on_failure`` says."""
    SET_ASIDE = "set_aside"
    """Its rows are set aside whatever ``on_failure`` says, and the run goes on."""
    BLOCK = "block"
    """Nothing is promoted, whatever ``on_failure`` says."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a plan.

    Attributes:
        name: unique within its plan, and the same in every run of the stream.
        dimension: the dimension it speaks for.
        column: the column it is about, or None for the table.
        sodacl: the check as an item of a SodaCL list ("- missing_count(id) = 0: …").
        effect: what its failure may do.
        rule: what names the failing rows, or None when no rows can be named.
        header: what stands above the item: the heading, and the filter it refers to.
        line: line of the connection's own file that ``sodacl`` starts at; None: generated.
    """

    name: str
    dimension: Dimension
    column: str | None
    sodacl: str
    effect: Effect = Effect.GATE
    rule: RowRule | None = None
    header: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The checks of one stream.

    Attributes:
        stream: the stream's name; :func:`atlas.quality.rules.data_set` is what SodaCL calls it.
        checks: in the order they are shown.
        on_failure: what the gate does when one fails.
    """

    stream: str
    checks: tuple[Check, ...]
    on_failure: OnFailure

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
