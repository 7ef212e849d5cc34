"""Measurements of Atlas, each against a peer or a limit that is measured in the same run.

``python -m bench`` (or ``make bench``) runs them all; each module says in its docstring what it
measures, against what, and why the comparison is fair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        rows: instead of the size that the limits are meant for, None: that size.
        runs: rounds, None: as many as the measurement thinks right.
        say: tells how far it is.
    """

    rows: int | None
    runs: int | None
    say: Callable[[str], None]
