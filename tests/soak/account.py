"""The account of a soak: what came of every row that the sources sent.

Raw rows and rows in quarantine are written down when their run has ended, for retention may take
them later; ``chart`` and ``navigate`` are read at the end. What they must be is told from what the
sources held, and from which run read what, by playing the runs once more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tests.soak import rows
from tests.soak.rows import KINDS, Row

Version = tuple[Row, bool]
"""A version in navigate: its row, and whether it is current."""


@dataclass
class Batch:
    """What one run read of a stream, in the order of runs."""

    run_id: str
    succeeded: bool
    sent: list[Row]
    aside: list[Row]


@dataclass
class Found:
    """What differs, a line each."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def compare(self, what: str, want: Counter[Any], got: Counter[Any]) -> None:
        """Note what is missing and what is too much."""
        self.lost += [f"{what}: {item} is missing" for item in (want - got).elements()]
        self.twice += [f"{what}: {item} should not be there" for item in (got - want).elements()]


def judge(
    what: str,
    kind: str,
    final: int,
    batches: list[Batch],
    chart: Iterable[Row],
    navigate: Iterable[Version],
) -> Found:
    """Compare a stream with what must have come of it.

    Args:
        final: the version that its source ended with, which has been read.
        batches: of every run that ended, in their order.
    """
    found = Found()
    made = KINDS[kind]
    if made.incremental:
        want = Counter(rows.key(record) for record in rows.held(kind, final))
        found.compare(
            f"{what} explore", want, Counter(row for each in batches for row in each.sent)
        )
    else:
        _see_whole(what, kind, final, batches, found)
    aside = Counter(row for each in batches for row in each.sent if rows.aside(row))
    found.compare(
        f"{what} quarantine", aside, Counter(row for each in batches for row in each.aside)
    )
    versions, current = _played(kind, final, batches)
    found.compare(f"{what} navigate", versions, Counter(navigate))
    found.compare(f"{what} chart", current, Counter(chart))
    return found


def _see_whole(what: str, kind: str, final: int, batches: list[Batch], found: Found) -> None:
    """Each run has read one version of the source, whole, and none an earlier one than before."""
    known = {
        frozenset(rows.key(record) for record in rows.held(kind, version)): version
        for version in range(final + 1)
    }
    last = 0
    for batch in batches:
        if not batch.succeeded:
            continue
        version = known.get(frozenset(batch.sent))
        if version is None or version < last:
            found.lost.append(f"{what} explore: run {batch.run_id} has no version of its source")
        elif len(batch.sent) != len(set(batch.sent)):
            found.twice.append(f"{what} explore: run {batch.run_id} has rows twice")
        else:
            last = version
    if last != final:
        found.lost.append(f"{what} explore: version {last} is the last, not {final}")


def _played(kind: str, final: int, batches: list[Batch]) -> tuple[Counter[Version], Counter[Row]]:
    """What the runs must have left in navigate and in chart."""
    made = KINDS[kind]
    deleted = {
        rows.key(record)
        for record in (rows.held(kind, final) if made.incremental else ())
        if rows.gone(record)
    }
    # By key the present row; by row whether its version is open.
    present: dict[Any, Row] = {}
    versions: Counter[Version] = Counter()
    carried: list[Row] = []
    for batch in batches:
        sent = [row for row in batch.sent if not rows.aside(row)]
        if not batch.succeeded:
            carried += sent if made.incremental else []
            continue
        now = {(row[0] if made.keyed else row): row for row in sorted(carried + sent, key=_age)}
        carried = []
        before = dict(present)
        if not made.incremental:
            present = {name: row for name, row in present.items() if name in now}
        for name, row in now.items():
            if row in deleted:
                present.pop(name, None)
            else:
                present[name] = row
                if before.get(name) != row:
                    versions[row, False] += 1
    for row in present.values():
        versions[row, False] -= 1
        versions[row, True] += 1
    return +versions, Counter(present.values())


def _age(row: Row) -> int:
    return int(row[1])


class Book:
    """Writes down what runs read, as they end.

    Args:
        streams: kinds of streams by connection.
    """

    def __init__(self, streams: dict[str, list[str]]) -> None:
        self._streams = streams
        self._seen: set[str] = set()
        self._read: dict[tuple[str, str], dict[int, Batch]] = defaultdict(dict)

    def write(self, conn: sa.Connection) -> None:
        """Look for runs that have ended."""
        ended = conn.execute(
            sa.text(
                "SELECT r.seq, CAST(r.id AS text) AS run_id, r.connection, s.stream, s.status,"
                " t.raw_name, t.quarantine_name FROM pipeline.run r"
                " JOIN pipeline.run_stream s ON s.run_id = r.id"
                " LEFT JOIN pipeline.stream_table t"
                "   ON t.connection = r.connection AND t.stream = s.stream"
                " WHERE r.finished_at IS NOT NULL AND r.id <> ALL(CAST(:seen AS uuid[]))"
                "   AND r.connection = ANY(:names)"
            ),
            {"seen": list(self._seen), "names": list(self._streams)},
        ).all()
        for one in ended:
            batch = Batch(one.run_id, one.status == "succeeded", [], [])
            if one.raw_name is not None:
                batch.sent = _rows(
                    conn, f"explore.{one.raw_name}", one.run_id, "data->>'id', data->>'rev'"
                )
                batch.aside = _rows(conn, f"chart.{one.quarantine_name}", one.run_id)
            self._read[one.connection, one.stream][one.seq] = batch
        self._seen |= {one.run_id for one in ended}

    @property
    def sent(self) -> int:
        """Rows that runs read so far."""
        return sum(len(b.sent) for found in self._read.values() for b in found.values())

    def close(self, conn: sa.Connection, finals: dict[str, int]) -> Found:
        """Compare it all at the end: no run is under way, and each connection has read the version
        that ``finals`` says."""
        self.write(conn)
        found = Found()
        for name, kinds in self._streams.items():
            for kind in kinds:
                table = f"{name}_{kind}"
                batches = [batch for _, batch in sorted(self._read[name, kind].items())]
                chart = _rows(conn, f"chart.{table}")
                current = conn.execute(
                    sa.text(f"SELECT id::text, rev::text, is_current FROM navigate.{table}")
                ).all()
                one = judge(
                    f"{name}.{kind}",
                    kind,
                    finals[name],
                    batches,
                    chart,
                    (((row[0], row[1]), row[2]) for row in current),
                )
                found.lost += one.lost
                found.twice += one.twice
        return found


def _rows(
    conn: sa.Connection, table: str, run_id: str | None = None, what: str = "id::text, rev::text"
) -> list[Row]:
    """Rows of a table, if it is there; those that came with a run."""
    if conn.execute(sa.text("SELECT to_regclass(:t)"), {"t": table}).scalar() is None:
        return []
    where = "" if run_id is None else " WHERE _atlas_run_id = CAST(:r AS uuid)"
    query = sa.text(f"SELECT {what} FROM {table}{where}")
    return [(row[0], row[1]) for row in conn.execute(query, {"r": run_id} if run_id else {})]
