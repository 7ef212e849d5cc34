"""A stream taken through the layers as the stages do it, on a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg2
import pyarrow as pa
import pytest
import sqlalchemy as sa
from psycopg2 import extensions, sql

from atlas.layers import chart, explore, filling, marks, names, navigate, staging
from atlas.ledger import validity
from atlas.ledger.tables import metadata
from atlas.model.stream import Column, ColumnType, FieldPath, Segment, StreamKey

START = datetime(2024, 1, 1, tzinfo=UTC)
Mask = Callable[[str], str | None]


def read_batches(
    cur: Any,
    tables: names.Tables,
    run_id: str,
    segments: list[Segment],
    chosen: tuple[Column, ...],
    rows: int = 20_000,
    as_typed: Collection[str] = (),
) -> list[pa.Table]:
    """The rows of ``segments``, a batch for each of their pieces."""
    return [
        explore.read(cur, tables, run_id, piece, chosen, as_typed)
        for segment in segments
        for piece in explore.cut(cur, tables, run_id, segment, rows)
    ]


def prepare(url: str) -> None:
    """Make the schemas and the ledger in a database."""
    engine = sa.create_engine("postgresql+psycopg2://" + url.partition("://")[2])
    with engine.begin() as conn:
        for schema in ("pipeline", "explore", "chart", "navigate"):
            conn.execute(sa.text(f"CREATE SCHEMA {schema}"))
        metadata.create_all(conn)
        validity.make(conn)
    engine.dispose()


@pytest.fixture
def connection(database_url: str) -> Iterator[extensions.connection]:
    """A connection to a database of its own that has the schemas and the ledger, for tests that
    commit."""
    prepare(database_url)
    opened = psycopg2.connect(database_url, options="-c timezone=UTC")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared_url(server_url: str) -> Iterator[str]:
    """A database of the module's tests; they do not commit."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(server_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    head, _, query = server_url.partition("?")
    url = head.rsplit("/", 1)[0] + "/" + name + ("?" + query if query else "")
    prepare(url)
    yield url
    with admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    admin.close()


@pytest.fixture
def cur(request: pytest.FixtureRequest) -> Iterator[extensions.cursor]:
    """A cursor within a transaction: on ``connection`` for a test that asks for that, too."""
    if "connection" in request.fixturenames:
        with request.getfixturevalue("connection").cursor() as cursor:
            yield cursor
        return
    opened = psycopg2.connect(request.getfixturevalue("shared_url"), options="-c timezone=UTC")
    with opened.cursor() as cursor:
        yield cursor
    opened.rollback()
    opened.close()


@dataclass
class Result:
    """What one run did."""

    run_id: str
    at: datetime
    marked: dict[str, int]
    chart: chart.Counts
    navigate: navigate.Counts
    changes: list[Any]


@dataclass
class Stream:
    """One stream of connection ``shop``; each :meth:`run` is a sync of it."""

    cur: extensions.cursor
    properties: dict[str, Any]
    primary_key: tuple[FieldPath, ...] = ()
    cursor_field: FieldPath = ()
    name: str = "users"
    masks: dict[str, tuple[ColumnType, Mask]] = field(default_factory=dict)
    runs: int = 0

    def __post_init__(self) -> None:
        self.tables = names.tables(self.cur, "shop", StreamKey(self.name))
        explore.ensure(self.cur, self.tables)

    def run(
        self,
        records: Sequence[Mapping[str, Any]] | Sequence[bytes],
        *,
        full: bool = True,
        complete: bool = True,
        rules: Sequence[tuple[str, str]] = (),
        secret: bytes = b"secret",
        at: datetime | None = None,
        extra_runs: Mapping[str, datetime] | None = None,
        navigated: bool = True,
    ) -> Result:
        self.runs += 1
        at = at or START + timedelta(days=self.runs)
        run_id, cur = str(uuid.uuid4()), self.cur
        columns = names.columns(
            cur, "shop", StreamKey(self.name), {"properties": self.properties}
        ).all
        writer = explore.RawWriter(cur, run_id)
        raw = [r if isinstance(r, bytes) else orjson.dumps(r) for r in records]
        writer.write(self.tables, [(r, 1_700_000_000_000 + n) for n, r in enumerate(raw)])
        segments = list(writer.take().values())
        masked = {c.name: self.masks[c.name][0] for c in columns if c.name in self.masks}
        filling.hash_key(cur, secret)
        staging.create(cur, self.runs, columns, masked)
        for segment in segments:
            table = self._mask(run_id, segment, columns) if masked else None
            filling.write(cur, self.runs, self.tables, run_id, columns, segment, table)
        marked = marks.mark(cur, self.runs, self.tables, columns, self.primary_key, rules)
        changes = chart.ensure(cur, self.tables, columns, masked, self.primary_key)
        counts = chart.promote(
            cur,
            self.tables,
            self.runs,
            run_id,
            columns,
            self.primary_key,
            self.cursor_field,
            full_refresh=full,
            complete=complete,
        )
        assert (
            counts.promoted + counts.quarantined + counts.superseded + counts.tombstones
        ) == len(raw)
        history = navigate.Counts()
        if navigated:
            history = navigate.apply(
                cur,
                self.tables,
                columns,
                masked,
                self.primary_key,
                {run_id: at, **(extra_runs or {})},
                whole=full or counts.deleted > 0,
            )
        self.last = (columns, masked, {run_id: at})
        return Result(run_id, at, marked, counts, history, changes)

    def _mask(self, run_id: str, segment: Segment, columns: Any) -> pa.Table:
        chosen = tuple(c for c in columns if c.name in self.masks)
        # As the masker asks for it.
        typed = {c.name for c in chosen if self.masks[c.name][0] is not c.type}
        batches = read_batches(self.cur, self.tables, run_id, [segment], chosen, as_typed=typed)
        batch = pa.concat_tables(batches)
        made = {"_atlas_id": batch.column("_atlas_id")}
        for column in chosen:
            mask = self.masks[column.name][1]
            made[column.name] = pa.array(
                [None if v is None else mask(v) for v in batch.column(column.name).to_pylist()],
                pa.string(),
            )
        return pa.table(made)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        self.cur.execute(
            sql.SQL(query).format(
                chart=sql.Identifier("chart", self.tables.table),
                navigate=sql.Identifier("navigate", self.tables.table),
                raw=sql.Identifier("explore", self.tables.raw),
                quarantine=sql.Identifier("chart", self.tables.quarantine),
                staging=sql.Identifier("pipeline", f"staging_{self.runs}"),
            )
        )
        return self.cur.fetchall()

    def history(self, columns: str) -> list[tuple[Any, ...]]:
        """(columns…, day valid from, day valid to or None), by key and time."""
        return [
            (*row[:-2], (row[-2] - START).days, None if row[-1] is None else (row[-1] - START).days)
            for row in self.rows(
                f"SELECT {columns}, valid_from, valid_to FROM {{navigate}} ORDER BY 1, valid_from,"
                " surrogate_key"
            )
        ]


@pytest.fixture
def make(cur: extensions.cursor) -> Callable[..., Stream]:
    """Makes streams: properties by name, and what :class:`Stream` takes."""

    def stream(properties: dict[str, Any], **more: Any) -> Stream:
        return Stream(cur, properties, **more)

    return stream
