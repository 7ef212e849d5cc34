"""A fault in the midst of every stage: six connections are held, each in another stage.

They are the same six for all faults, which each disturb one more sync of theirs. A seventh syncs as
often, undisturbed: what it has left is what they must have left.
"""

from __future__ import annotations

import os

import pytest

from tests.chaos import trial, world
from tests.chaos.brake import STAGES
from tests.chaos.faults import FAULTS
from tests.chaos.room import Room
from tests.chaos.trial import Outcome

_CALM = "calm"
_HELD = {f"held_in_{stage}": stage for stage in STAGES}


class Column:
    """The outcomes of a fault by stage. The fault is done once, for the first cell that asks."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._done: dict[str, dict[str, Outcome] | str] = {}
        self._told: set[str] = set()
        self._syncs = 0

    def check(self, fault: str, stage: str) -> None:
        """Assert that nothing shows that ``fault`` happened in the midst of ``stage``."""
        if fault not in self._done:
            self._done[fault] = self._do(fault)
        found = self._done[fault]
        if isinstance(found, str):
            self._fail(fault, found)
        elif not found[stage].clean:
            self._fail(fault, f"{stage}: {found[stage]}")

    def _fail(self, fault: str, why: str) -> None:
        """At length for the first of a fault's cells only: the report is read by its end."""
        if fault in self._told:
            why = why[:300]
        self._told.add(fault)
        pytest.fail(f"{fault}\n{why}", pytrace=False)

    def _do(self, fault: str) -> dict[str, Outcome] | str:
        found: dict[str, Outcome] | str
        try:
            stack = self._room.stack
        except Exception as error:  # noqa: BLE001 - told to each of its cells
            return f"{type(error).__name__}: {error}"
        try:
            found = self._disturb(fault)
        except Exception as error:  # noqa: BLE001 - told to each of its cells
            found = f"{type(error).__name__}: {error}"
        if isinstance(found, str) or not all(each.clean for each in found.values()):
            machine = f"load {os.getloadavg()}, an undisturbed sync took {stack.calm_seconds:.1f} s"
            told = "\n".join([machine, *stack.warnings()])
            if isinstance(found, str):
                found = f"{found}\n{told}"
            else:
                for outcome in found.values():
                    outcome.told = told
            # What is wrong with the stack must not show in the next fault's cells.
            self._room.close()
            self._syncs = 0
        return found

    def _disturb(self, fault: str) -> dict[str, Outcome]:
        room = self._room
        if not self._syncs:
            trial.prepare(room.stack, room.sources, [_CALM, *_HELD])
            self._syncs = 1
        self._syncs += 1
        for name in (_CALM, *_HELD):
            world.write(world.rows_file(room.sources, name), self._syncs)
        found = trial.held(
            room.stack,
            room.sources,
            trial.undisturbed(room.stack, _CALM),
            _HELD,
            lambda stages: FAULTS[fault](room.stack, room.wires, stages),
        )
        return {stage: found[name] for name, stage in _HELD.items()}
