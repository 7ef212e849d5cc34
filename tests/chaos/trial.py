"""One trial: two syncs, the second disturbed; and what came of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from tests.chaos import world
from tests.chaos.brake import Brake, hold
from tests.chaos.faults import Fault
from tests.chaos.stack import Stack
from tests.chaos.world import Picture

PATIENCE = 180.0
"""Seconds after the fault within which every run has to end; more than any sum of the settings."""
UNDISTURBED = 900.0
"""Seconds for what is no trial, for nothing happens to it: a machine may have much else to do."""


@dataclass
class Outcome:
    """What a trial found.

    Attributes:
        status: how the disturbed run ended; None: it did not.
        lost: what an undisturbed connection has and this one has not.
        extra: what this one has and an undisturbed connection has not.
        left: what is still there although nothing runs any more.
        told: what else may help whoever reads it.
    """

    status: str | None
    lost: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    told: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing shows that anything happened."""
        return self.status == "succeeded" and not (self.lost or self.extra or self.left)

    def __str__(self) -> str:
        parts = [f"run: {self.status or 'has not ended'}"]
        for what, lines in (("lost", self.lost), ("extra", self.extra), ("left", self.left)):
            parts += [f"{what}: {line}" for line in lines[:25]]
            if len(lines) > 25:
                parts.append(f"{what}: and {len(lines) - 25} more")
        parts += [self.told] if self.told else []
        return "\n".join(parts)


def prepare(stack: Stack, directory: Path, names: list[str], *, pace: float = 0.0) -> None:
    """First syncs of new connections, all at once and undisturbed."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        world.write(world.rows_file(directory, name), 1)
    stack.apply(*(world.connection(name, directory, pace=pace) for name in names))
    runs = [stack.request(name) for name in names]
    ended = stack.wait_all(runs, UNDISTURBED)
    late = [stack.document(run) for run in runs if ended.get(run) != "succeeded"]
    assert not late, f"{len(late)} of {len(runs)} undisturbed syncs have not succeeded: {late[0]}"
    for name in names:
        world.write(world.rows_file(directory, name), 2)


def calm(stack: Stack, directory: Path, name: str = "calm") -> Picture:
    """What the two syncs leave when nothing happens to them."""
    prepare(stack, directory, [name])
    return undisturbed(stack, name)


def undisturbed(stack: Stack, name: str) -> Picture:
    """Sync a connection once more, and see what all its syncs have left."""
    began = time.monotonic()
    run = stack.request(name)
    ended = stack.wait_all([run], UNDISTURBED)
    stack.calm_seconds = time.monotonic() - began
    assert ended == {run: "succeeded"}, f"nothing disturbed it: {stack.document(run)}"
    with stack.engine.connect() as conn:
        return world.picture(conn, name)


def held(
    stack: Stack,
    directory: Path,
    want: Picture,
    stages: dict[str, str],
    make: Callable[[list[str]], Fault],
) -> dict[str, Outcome]:
    """Disturb connections each in the midst of a stage, all at once.

    Args:
        stages: by connection, which is to have been prepared, the stage that is held.
        make: the fault, given the stages.
    """
    fault = make(list(stages.values()))
    fault.prepare()
    with contextlib.ExitStack() as brakes:
        by_run: dict[Brake, str] = {}
        runs: dict[str, str] = {}
        for name, stage in stages.items():
            brake = brakes.enter_context(Brake(stack, directory, name, stage))
            brake.set()
            runs[name] = stack.request(name)
            by_run[brake] = runs[name]
        if missed := hold(by_run):
            fault.call_off()
            # One at a time: a report of six documents is cut where it matters.
            first, *more = [(brake.stage, stack.document(by_run[brake])) for brake in missed]
            raise AssertionError(f"not held: {first}, nor {[stage for stage, _ in more]}")
        fault.inject()
    survive(stack, fault, list(runs.values()))
    return judge(stack, want, runs)


def survive(stack: Stack, fault: Fault, runs: list[str]) -> float:
    """See the fault and the runs to their ends; returns the seconds from the fault's end to theirs
    (from its beginning, where it lasts longer than they do)."""
    if not fault.after_end:
        fault.mend()
    mended = time.monotonic()
    stack.wait_all(runs, PATIENCE)
    again = time.monotonic() - mended
    if fault.after_end:
        fault.mend()
    return again


def judge(stack: Stack, want: Picture, runs: dict[str, str]) -> dict[str, Outcome]:
    """Wait for the ends of the disturbed runs, and compare what the connections have left."""
    ended = stack.wait_all(list(runs.values()), PATIENCE)
    left = stack.left_behind()
    outcomes = {}
    for name, run in runs.items():
        outcome = Outcome(ended.get(run), left=left)
        if outcome.status is not None:
            with stack.engine.connect() as conn:
                try:
                    got = world.picture(conn, name)
                except sa.exc.ProgrammingError as error:
                    outcome.lost = [str(error.orig).splitlines()[0]]
                else:
                    outcome.lost = world.missing(want, got)
                    outcome.extra = world.missing(got, want)
        outcomes[name] = outcome
    return outcomes


def keep(stack: Stack, directory: Path, runs: dict[str, str]) -> None:
    """Keep the evidence of a trial that failed."""
    stack.keep_evidence(directory)
    for name, run in runs.items():
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            document = stack.document(run)
            (directory / f"{name}.json").write_text(json.dumps(document, indent=1, default=str))
