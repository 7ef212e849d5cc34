"""What many trials came to: a line each, and a table."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A trial as it is told from one process to another.

    Attributes:
        trial: its number, from which with the seed everything drawn follows.
        moment: when it happened, in words.
        hit: whether the run was at work when the fault came.
        status: how the run ended; None: it did not.
        lost, extra: how many rows an undisturbed connection has more and less.
        stuck: what waits for ever: the run, a message, an event.
        left: processes, tables, connections and files that should be gone.
        again: seconds from the end of the fault to the end of the run.
        seconds: of the whole trial.
        evidence: where it is kept, of a trial that failed.
    """

    trial: int
    fault: str
    stage: str
    moment: str
    hit: bool
    status: str | None
    lost: int
    extra: int
    stuck: int
    left: int
    again: float
    seconds: float
    evidence: str = ""


def clean(result: Result) -> bool:
    """Whether the trial left no trace."""
    found = (result.lost, result.extra, result.stuck, result.left)
    return result.status == "succeeded" and not any(found)


def line(result: Result, done: int, trials: int) -> str:
    """A line of progress."""
    verdict = "ok" if result.hit else "ok, too late to hit the run"
    if not clean(result):
        verdict = (
            f"FAILED: run {result.status or 'has not ended'}, lost {result.lost}, "
            f"twice {result.extra}, stuck {result.stuck}, left {result.left}: {result.evidence}"
        )
    return (
        f"[{done}/{trials}] trial {result.trial} {result.fault}:{result.stage} {result.moment}: "
        f"{verdict} ({result.again:.1f} s, {result.seconds:.1f} s in all)"
    )


def table(results: list[Result]) -> str:
    """Fault by fault, in Markdown."""
    by_fault: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    lines = [
        "| fault | trials | hit | succeeded | lost | duplicated | stuck | orphans | ended after |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for fault, found in [*sorted(by_fault.items()), ("all", results)]:
        if not found:
            continue
        after = [result.again for result in found]
        lines.append(
            f"| {fault} | {len(found)} | {sum(r.hit for r in found)}"
            f" | {sum(r.status == 'succeeded' for r in found)}"
            f" | {sum(bool(r.lost) for r in found)} | {sum(bool(r.extra) for r in found)}"
            f" | {sum(bool(r.stuck) for r in found)} | {sum(bool(r.left) for r in found)}"
            f" | {statistics.median(after):.1f} s, at most {max(after):.1f} s |"
        )
    return "\n".join(lines)


def summary(results: list[Result], seed: str, seconds: float) -> str:
    """The last lines: how long, and how to see a failure again."""
    failed = [result for result in results if not clean(result)]
    return "\n".join(
        [
            f"{len(results)} trials of seed {seed} in {seconds / 60:.0f} min",
            *(
                f"trial {result.trial} ({result.fault}:{result.stage}) again: "
                f"make chaos TRIALS=1 SEED={seed}:{result.trial}   evidence: {result.evidence}"
                for result in sorted(failed, key=lambda result: result.trial)
            ),
        ]
    )
