"""Speed: values per second of CPU time, Atlas and ``BatchAnalyzerEngine`` in turn.

Atlas studies and masks a table of all its rows; Presidio only analyzes, and on the first rows of
it, for it is slow: what is compared is per value. CPU time of the process, all threads. Each is
warmed up before. A pair is one after the other on the same table; the ratio of a round is that of
all tables together, and the median of the rounds is the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from bench.pii.contestants import Atlas, Presidio, batch_of, text_table
from bench.pii.model import Table


def tables(
    ours: Atlas, theirs: Presidio, given: Sequence[Table], sample: int, rounds: int
) -> list[tuple[float, float]]:
    """Values per second, ours and theirs, of each round."""
    return [_round(ours, theirs, given, sample) for _ in range(rounds)]


def texts(
    ours: Atlas, theirs: Presidio, given: Sequence[str], rounds: int
) -> list[tuple[float, float]]:
    """The same for free texts, all different, as one column."""
    column = text_table(list(dict.fromkeys(given)))
    return [_round(ours, theirs, [column], column.rows, "text") for _ in range(rounds)]


def ratio(rounds: Sequence[tuple[float, float]]) -> float:
    """How many times as fast we are, in the median."""
    return median(ours / theirs for ours, theirs in rounds)


def _round(
    ours: Atlas, theirs: Presidio, given: Sequence[Table], sample: int, only: str = ""
) -> tuple[float, float]:
    spent, read, done = [0.0, 0.0], 0, 0
    for table in given:
        batch, head = batch_of(table), table.head(sample)
        columns = [
            [text for row in head.leaves[unit.key] for text in row]
            for unit in table.units
            if only in ("", unit.column)
        ]
        spent[0] += _cpu(lambda table=table, batch=batch: ours.run(table, batch))  # type: ignore[misc]
        spent[1] += _cpu(lambda columns=columns: [theirs.analyze(texts) for texts in columns])  # type: ignore[misc]
        read += sum(map(len, columns))
        done += table.rows if only else table.values
    return done / spent[0], read / spent[1]


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
