"""A fault in the midst of every stage: six connections are held, each in another stage."""

from __future__ import annotations

from tests.chaos import trial
from tests.chaos.brake import STAGES
from tests.chaos.faults import FAULTS
from tests.chaos.room import Room
from tests.chaos.trial import Outcome


class Column:
    """The outcomes of a fault by stage. The fault is done once, for the first cell that asks."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._done: dict[str, dict[str, Outcome] | Exception] = {}

    def check(self, fault: str, stage: str) -> None:
        """Assert that nothing shows that ``fault`` happened in the midst of ``stage``."""
        if fault not in self._done:
            self._done[fault] = self._do(fault)
        found = self._done[fault]
        if isinstance(found, Exception):
            raise found
        assert found[stage].clean, f"{fault} in {stage}\n{found[stage]}"

    def _do(self, fault: str) -> dict[str, Outcome] | Exception:
        try:
            found = self._disturb(fault)
        except Exception as error:  # noqa: BLE001 - told to each of its cells
            self._room.close()
            return error
        if not all(outcome.clean for outcome in found.values()):
            self._room.close()
        return found

    def _disturb(self, fault: str) -> dict[str, Outcome]:
        room = self._room
        names = {f"{fault}_{stage}": stage for stage in STAGES}
        trial.prepare(room.stack, room.sources, list(names))
        found = trial.held(
            room.stack,
            room.sources,
            room.want,
            names,
            lambda stages: FAULTS[fault](room.stack, room.wires, stages),
        )
        return {stage: found[name] for name, stage in names.items()}
