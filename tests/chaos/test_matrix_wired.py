"""Faults of the network and of clocks, in the midst of every stage: afterwards nothing shows that
anything happened.

A fault is done once, while six connections are each held in another stage; a cell of the matrix is
the connection that was in its stage. `make chaos` does the same at random moments, many times.
"""

from __future__ import annotations

import pytest

from tests.chaos.brake import STAGES
from tests.chaos.faults import WIRED
from tests.chaos.matrix import Column
from tests.chaos.room import Room

# The first cell of a fault does it for all six, on a machine that may have much else to do.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def column(wired: Room) -> Column:
    """The faults done so far."""
    return Column(wired)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", WIRED)
def test_fault_in_stage(fault: str, stage: str, column: Column) -> None:
    column.check(fault, stage)
