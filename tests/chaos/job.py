"""Some of the trials of ``make chaos``, in stacks of its own; a result a line on standard output.

Each trial draws its fault, stage and moment from the seed and its number alone, so that the order
does not matter: first come those of a stack with its own servers, then those with proxies.
"""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import brake, trial
from tests.chaos.brake import STAGES
from tests.chaos.faults import FAULTS, PLAIN
from tests.chaos.report import Result, clean
from tests.chaos.room import Room
from tests.chaos.stack import Stack, wait
from tests.chaos.trial import Outcome
from tests.chaos.world import STREAMS

_PACE = 0.004
"""Seconds between two records, so that reading takes about as long as the rest."""
_LENGTH = {"explore": 1.0, "pii": 0.4, "quality": 0.3, "chart": 0.15, "navigate": 0.1}
"""About how many seconds a stage takes at least; the others: less."""


@dataclass(frozen=True)
class Draw:
    """What a trial does: ``delay`` seconds after its stage began, or held in its midst (None)."""

    number: int
    fault: str
    stage: str
    stream: str
    delay: float | None

    @property
    def moment(self) -> str:
        """In words."""
        if self.delay is None:
            return "held in its midst"
        return f"{self.delay * 1000:.0f} ms into {self.stream}'s"


def draw(seed: str, number: int, cell: str) -> Draw:
    """Trial ``number`` of ``seed``; ``cell`` is ``fault:stage``, either empty for any."""
    dice = random.Random(f"{seed}:{number}")
    fault, stage = dice.choice(sorted(FAULTS)), dice.choice(STAGES)
    stream = dice.choice(STREAMS)
    wanted_fault, _, wanted_stage = cell.partition(":")
    fault, stage = wanted_fault or fault, wanted_stage or stage
    delay = None if dice.random() < 0.25 else dice.uniform(0, _LENGTH.get(stage, 0.05))
    return Draw(number, fault, stage, stream, delay)


def do(room: Room, drawn: Draw, out: Path) -> Result:
    """One trial; what fails is kept under ``out``."""
    began = time.monotonic()
    want, made = room.want, room.stack
    name = f"chaos_{drawn.number}"
    again = 0.0
    hit = False
    runs: dict[str, str] = {}
    try:
        trial.prepare(made, room.sources, [name], pace=_PACE)
        fault = FAULTS[drawn.fault](made, room.wires, [drawn.stage])
        fault.prepare()
        with brake.Brake(made, room.sources, name, drawn.stage) as hold:
            if drawn.delay is None:
                hold.set()
            runs[name] = made.request(name)
            _await(made, hold, runs[name], drawn)
            hit = not made.statuses(list(runs.values()))
            fault.inject()
        again = trial.survive(made, fault, list(runs.values()))
        outcome = trial.judge(made, want, runs)[name]
    except Exception as error:  # noqa: BLE001 - a trial that breaks is one that failed
        outcome = Outcome(f"broke: {type(error).__name__}: {str(error)[:300]}")
    result = Result(
        trial=drawn.number,
        fault=drawn.fault,
        stage=drawn.stage,
        moment=drawn.moment,
        hit=hit,
        status=outcome.status,
        lost=len(outcome.lost),
        extra=len(outcome.extra),
        stuck=(outcome.status is None) + sum(x.startswith("outbox") for x in outcome.left),
        left=sum(not x.startswith("outbox") for x in outcome.left),
        again=again,
        seconds=time.monotonic() - began,
    )
    if not clean(result):
        kept = out / f"trial-{drawn.number}"
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "outcome.txt").write_text(f"{drawn}\n{outcome}\n")
        trial.keep(made, kept, runs)
        result = dataclasses.replace(result, evidence=str(kept))
        room.close()
    return result


def _await(made: Stack, hold: brake.Brake, run: str, drawn: Draw) -> None:
    """Wait for the trial's moment."""
    if drawn.delay is None:
        assert not brake.hold({hold: run}), f"not held in {drawn.stage}"
        return
    began = (
        "SELECT 1 FROM pipeline.stage_run x LEFT JOIN pipeline.run_stream s"
        " ON s.id = x.run_stream_id WHERE x.run_id = :r AND x.stage = :stage"
        " AND x.started_at IS NOT NULL AND coalesce(s.stream, :stream) = :stream"
    )
    wait(lambda: made.rows(began, r=run, stage=drawn.stage, stream=drawn.stream), 60, every=0.01)
    time.sleep(drawn.delay)


def work(draws: list[Draw], out: Path, tell: Callable[[Result], None]) -> None:
    """Do trials, each kind of stack in turn."""
    for kind, chosen in _by_kind(draws):
        with Room(kind) as room:
            for drawn in chosen:
                tell(do(room, drawn, out))


def _by_kind(draws: list[Draw]) -> Iterator[tuple[str, list[Draw]]]:
    yield "plain", [drawn for drawn in draws if drawn.fault in PLAIN]
    yield "wired", [drawn for drawn in draws if drawn.fault not in PLAIN]


def main(seed: str, first: str, step: str, end: str, out: str, cell: str) -> None:
    """Trials ``first``, ``first + step`` and so on, below ``end``."""

    def stop(number: int, frame: object) -> None:
        # Once: a second signal must not break off the end of the stacks.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    draws = [draw(seed, number, cell) for number in range(int(first), int(end), int(step))]
    work(draws, Path(out), lambda r: print(json.dumps(dataclasses.asdict(r)), flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
