"""chart and navigate: exact history whatever the source does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions

from atlas.errors import TerminalError, TransientError
from atlas.layers import chart, marks, navigate
from atlas.model.stream import ColumnType

MAKE = Callable[..., Any]
INT, TEXT, NUM = {"type": "integer"}, {"type": "string"}, {"type": "number"}
STAMP = {"type": "string", "format": "date-time"}
DELETED = "_ab_cdc_deleted_at"
ID = (("id",),)
START = datetime(2024, 1, 1, tzinfo=UTC)  # a run's day is counted from here


@pytest.fixture
def keyed(make: MAKE) -> Any:
    return make({"id": INT, "v": TEXT}, primary_key=ID)


def row(id_: int, v: str | None, **more: Any) -> dict[str, Any]:
    return {"id": id_, "v": v, **more}


def test_added_changed_removed_returned(keyed: Any) -> None:
    keyed.run([row(1, "a"), row(2, "b")])
    keyed.run([row(1, "a"), row(2, "B"), row(3, "c")])
    keyed.run([row(1, "a"), row(3, "c")])
    keyed.run([row(1, "a"), row(2, "B"), row(3, None)])
    assert keyed.history("id, v") == [
        (1, "a", 1, None),
        (2, "b", 1, 2),
        (2, "B", 2, 3),
        (2, "B", 4, None),
        (3, "c", 2, 4),
        (3, None, 4, None),
    ]
    assert keyed.rows("SELECT id, v FROM {chart} ORDER BY id") == [(1, "a"), (2, "B"), (3, None)]


def test_counts(keyed: Any) -> None:
    first = keyed.run([row(1, "a"), row(2, "b"), row(2, "c"), row(3, "d"), {"v": "no key"}])
    assert (first.chart.promoted, first.chart.superseded, first.chart.quarantined) == (3, 1, 1)
    assert first.marked == {"key_not_null": 1}
    second = keyed.run([row(1, "a"), row(3, "D"), row(4, "e")])
    counts = second.chart
    assert (counts.promoted, counts.written, counts.deleted, counts.superseded) == (3, 2, 1, 0)
    assert (second.navigate.opened, second.navigate.closed) == (2, 2)


def writes(stream: Any) -> list[Any]:
    found = []
    for table in ("chart", "navigate"):
        found += stream.rows(
            f"SELECT ctid::text, xmin::text, xmax::text FROM {{{table}}} ORDER BY 1"
        )
    return found


@pytest.mark.parametrize("key", [ID, ()])
@pytest.mark.parametrize("full", [True, False])
def test_nothing_is_written_when_nothing_changed(
    make: MAKE, connection: extensions.connection, key: Any, full: bool
) -> None:
    stream = make({"id": INT, "v": TEXT}, primary_key=key)
    records = [row(1, "a"), row(2, "b"), row(3, "c")]
    stream.run(records)
    connection.commit()
    before = writes(stream)
    if key or full:
        result = stream.run(records, full=full)
        assert (result.chart.promoted, result.chart.written) == (3, 0)
        assert result.navigate == navigate.Counts(0, 0)
    columns, masked, runs = stream.last
    for whole in (True, False):
        again = navigate.apply(stream.cur, stream.tables, columns, masked, key, runs, whole=whole)
        assert again == navigate.Counts(0, 0)
    connection.commit()
    assert writes(stream) == before


def test_no_lock_is_taken_when_nothing_changed(
    keyed: Any, connection: extensions.connection
) -> None:
    keyed.run([row(1, "a")])
    connection.commit()
    keyed.run([row(1, "a")])
    held = keyed.rows(
        "SELECT relation::regclass::text, mode FROM pg_locks WHERE pid = pg_backend_pid()"
        " AND relation::regclass::text IN ('chart.shop_users', 'navigate.shop_users')"
        " AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',"
        " 'AccessExclusiveLock')"
    )
    assert held == []


def test_incremental_touches_only_what_came(keyed: Any) -> None:
    keyed.run([row(1, "a"), row(2, "b")], full=False)
    keyed.run([row(2, "B"), row(3, "c")], full=False)
    assert keyed.history("id, v") == [
        (1, "a", 1, None),
        (2, "b", 1, 2),
        (2, "B", 2, None),
        (3, "c", 2, None),
    ]


def test_incomplete_full_refresh_closes_nothing(keyed: Any) -> None:
    keyed.run([row(1, "a"), row(2, "b")])
    result = keyed.run([row(1, "A")], complete=False)
    assert result.chart.deleted == 0
    assert keyed.history("id, v") == [(1, "a", 1, 2), (1, "A", 2, None), (2, "b", 1, None)]


def test_complete_empty_full_refresh_closes_everything(keyed: Any) -> None:
    keyed.run([row(1, "a")])
    keyed.run([])
    assert keyed.history("id, v") == [(1, "a", 1, 2)]
    assert keyed.rows("SELECT * FROM {chart}") == []


@pytest.mark.parametrize("schema", [INT, STAMP, TEXT, {}])
def test_highest_cursor_then_last_emitted_wins(make: MAKE, schema: Any) -> None:
    def at(n: int) -> Any:
        return n if schema in (INT, {}) else f"2024-01-{n:02}T00:00:00Z"

    stream = make({"id": INT, "v": TEXT, "at": schema}, primary_key=ID, cursor_field=("at",))
    result = stream.run(
        [
            row(1, "new", at=at(10)),
            row(1, "old", at=at(9)),
            row(1, "none", at=None),
            row(2, "first", at=at(9)),
            row(2, "last", at=at(9)),
        ],
        full=False,
    )
    assert result.chart.superseded == 3
    assert stream.rows("SELECT id, v FROM {chart} ORDER BY id") == [(1, "new"), (2, "last")]
    result = stream.run([row(1, "older", at=at(9)), row(2, "same", at=at(9))], full=False)
    assert (result.chart.superseded, result.chart.promoted) == (1, 1)
    assert stream.history("id, v") == [
        (1, "new", 1, None),
        (2, "last", 1, 2),
        (2, "same", 2, None),
    ]


def test_a_full_refresh_takes_the_source_as_it_is(make: MAKE) -> None:
    stream = make({"id": INT, "v": TEXT, "at": INT}, primary_key=ID, cursor_field=("at",))
    stream.run([row(1, "late", at=9)])
    stream.run([row(1, "restored", at=3)])
    assert stream.rows("SELECT v FROM {chart}") == [("restored",)]


@pytest.mark.parametrize("kind", [ColumnType.TEXT, ColumnType.BIGINT])
def test_older_records_are_told_by_a_masked_cursor_too(make: MAKE, kind: ColumnType) -> None:
    mask = (kind, lambda value: None if kind is ColumnType.TEXT else "0")
    stream = make(
        {"id": INT, "v": TEXT, "at": INT},
        primary_key=ID,
        cursor_field=("at",),
        masks={"at": mask},
    )
    stream.run([row(1, "a", at=9)], full=False)
    assert stream.run([row(1, "older", at=8)], full=False).chart.superseded == 1
    assert stream.run([row(1, "newer", at=10)], full=False).chart.superseded == 0
    assert stream.rows("SELECT v FROM {chart}") == [("newer",)]


def test_a_cursor_inside_an_object(make: MAKE) -> None:
    stream = make(
        {"id": INT, "v": TEXT, "m": {"type": "object"}}, primary_key=ID, cursor_field=("m", "at")
    )
    stream.run([row(1, "ten", m={"at": 10}), row(1, "nine", m={"at": 9})], full=False)
    stream.run([row(1, "eight", m={"at": 8})], full=False)
    assert stream.history("id, v") == [(1, "ten", 1, None)]


def test_tombstones(make: MAKE) -> None:
    stream = make({"id": INT, "v": TEXT, DELETED: STAMP}, primary_key=ID)
    gone = {DELETED: "2024-01-01T00:00:00Z"}
    stream.run([row(1, "a"), row(2, "b"), row(3, "c")], full=False)
    result = stream.run(
        [row(1, None, **gone), row(9, None, **gone), row(2, None, **gone), row(2, "back")],
        full=False,
        rules=[("v_is_there", '"v" IS NULL')],
    )
    counts = result.chart
    assert (counts.promoted, counts.tombstones, counts.superseded, counts.deleted) == (1, 2, 1, 1)
    assert counts.quarantined == 0
    stream.run([row(1, "again")], full=False)
    assert stream.history("id, v") == [
        (1, "a", 1, 2),
        (1, "again", 3, None),
        (2, "b", 1, 2),
        (2, "back", 2, None),
        (3, "c", 1, None),
    ]


def test_some_rows_that_fail_are_told_but_no_tombstone(make: MAKE) -> None:
    stream = make({"id": INT, "v": TEXT, DELETED: STAMP}, primary_key=ID)
    gone = {DELETED: "2024-01-01T00:00:00Z"}
    stream.run([row(1, None, **gone), row(2, None), row(3, "c"), row(4, None)], full=False)
    empty = ("v_is_there", '"v" IS NULL')
    (two, four) = marks.some(stream.cur, 1, [empty], 3)["v_is_there"]
    assert stream.rows("SELECT _atlas_id FROM {staging} WHERE id IN (2, 4) ORDER BY id") == [
        (two,),
        (four,),
    ]
    assert len(marks.some(stream.cur, 1, [empty], 1)["v_is_there"]) == 1


def test_a_tombstone_without_a_key_is_quarantined(make: MAKE) -> None:
    stream = make({"id": INT, "v": TEXT}, primary_key=ID)
    result = stream.run([{"v": "x", DELETED: "2024-01-01"}], full=False)
    assert (result.chart.quarantined, result.chart.tombstones) == (1, 0)


def test_rows_that_fail_a_rule_are_set_aside_and_their_key_stays(keyed: Any) -> None:
    keyed.run([row(1, "a"), row(2, "b")])
    result = keyed.run(
        [row(1, "bad"), row(2, "bad"), row(2, "b")], rules=[("good", "\"v\" = 'bad'")]
    )
    assert result.marked == {"good": 2}
    assert (result.chart.quarantined, result.chart.promoted, result.chart.deleted) == (2, 1, 0)
    assert keyed.history("id, v") == [(1, "a", 1, None), (2, "b", 1, None)]
    assert keyed.rows(
        "SELECT q.id, q._atlas_checks, r.data->>'v', q._atlas_run_id = r._atlas_run_id"
        " FROM {quarantine} q JOIN {raw} r USING (_atlas_id) ORDER BY 1"
    ) == [(1, ["good"], "bad", True), (2, ["good"], "bad", True)]


def test_marking_twice_gives_the_same(keyed: Any) -> None:
    keyed.run([row(1, "a"), row(2, "b"), {"v": "c"}], rules=[("not_a", "\"v\" = 'a'")])
    columns = keyed.last[0]
    again = marks.mark(keyed.cur, 1, keyed.tables, columns, ID, [("not_b", "\"v\" = 'b'")])
    assert again == {"not_b": 1, "key_not_null": 1}
    assert keyed.rows("SELECT id, _atlas_failed FROM {staging} ORDER BY id") == [
        (1, []),
        (2, ["not_b"]),
        (None, ["key_not_null"]),
    ]


def test_an_oversized_key_is_quarantined(make: MAKE) -> None:
    stream = make({"id": TEXT}, primary_key=ID)
    noise = "".join(chr(33 + n * n % 90) for n in range(9000))
    result = stream.run([{"id": "ok"}, {"id": noise}])
    assert (result.chart.promoted, result.marked) == (1, {"key_size": 1})


def test_composite_and_nested_keys(make: MAKE) -> None:
    stream = make(
        {"a": INT, "m": {"type": "object"}, "v": TEXT}, primary_key=(("a",), ("m", "x", "y"))
    )

    def record(a: int, y: Any, v: str) -> dict[str, Any]:
        return {"a": a, "m": {"x": {"y": y}, "rest": 1}, "v": v}

    stream.run([record(1, 1, "a"), record(1, 2, "b"), record(2, 1, "c")])
    stream.run([record(1, 1, "a"), record(1, 2, "B"), record(2, None, "d"), {"a": 5}])
    assert stream.history("a, m->'x'->'y', v") == [
        (1, 1, "a", 1, None),
        (1, 2, "b", 1, 2),
        (1, 2, "B", 2, None),
        (2, 1, "c", 1, 2),
    ]


@pytest.mark.parametrize("path", [("nope",), ("v", "inner"), ()])
def test_a_key_that_is_no_field_is_refused(make: MAKE, path: tuple[str, ...]) -> None:
    stream = make({"id": INT, "v": TEXT}, primary_key=(path,))
    with pytest.raises(TerminalError, match="primary key"):
        stream.run([row(1, "a")])


def test_a_key_of_any_type(make: MAKE) -> None:
    for n, (schema, values) in enumerate(
        [
            (NUM, [1, 1.5, 10**39]),
            (STAMP, ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"]),
            ({}, ["a", 1, {"x": 1}, [1]]),
            ({"type": "boolean"}, [True, False]),
        ]
    ):
        stream = make({"id": schema, "v": INT}, primary_key=ID, name=f"s{n}")
        stream.run([b'{"id": %s, "v": 1}' % _json(value) for value in values])
        result = stream.run([b'{"id": %s, "v": 1}' % _json(value) for value in values[1:]])
        assert (result.chart.promoted, result.chart.deleted) == (len(values) - 1, 1)
        assert (result.navigate.opened, result.navigate.closed) == (0, 1)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_without_a_key_rows_are_a_multiset(make: MAKE) -> None:
    stream = make({"v": TEXT})
    stream.run([{"v": "a"}] * 3 + [{"v": "b"}])
    before = stream.rows("SELECT min(surrogate_key) FROM {navigate}")
    result = stream.run([{"v": "b"}] * 2 + [{"v": "a"}] * 2)
    assert (result.chart.promoted, result.chart.written, result.chart.deleted) == (4, 1, 1)
    assert stream.history("v") == [
        ("a", 1, None),
        ("a", 1, None),
        ("a", 1, 2),
        ("b", 1, None),
        ("b", 2, None),
    ]
    assert stream.rows("SELECT min(surrogate_key) FROM {navigate}") == before
    result = stream.run([{"v": "c"}], complete=False)
    assert (result.chart.deleted, result.navigate.closed) == (0, 0)
    stream.run([{"v": "c"}])
    assert stream.rows("SELECT v FROM {chart}") == [("c",)]
    assert stream.rows("SELECT v FROM {navigate} WHERE is_current") == [("c",)]


def test_without_a_key_incremental_appends(make: MAKE) -> None:
    stream = make({"v": TEXT})
    stream.run([{"v": "a"}, {"v": "a"}], full=False)
    result = stream.run([{"v": "a"}, {"v": "b"}], full=False)
    assert (result.chart.promoted, result.chart.written, result.navigate.opened) == (2, 2, 2)
    assert stream.history("v") == [
        ("a", 1, None),
        ("a", 1, None),
        ("a", 2, None),
        ("b", 2, None),
    ]


@pytest.mark.parametrize("full", [True, False])
def test_rows_of_a_run_whose_history_failed_are_written_at_its_time(keyed: Any, full: bool) -> None:
    keyed.run([row(1, "a"), row(2, "b")], full=full)
    missed = keyed.run([row(1, "A"), row(2, "b")], full=full, navigated=False)
    keyed.run(
        [row(2, "B"), *([row(1, "A")] if full else [])],
        full=full,
        extra_runs={missed.run_id: missed.at},
    )
    assert keyed.history("id, v") == [
        (1, "a", 1, 2),
        (1, "A", 2, None),
        (2, "b", 1, 3),
        (2, "B", 3, None),
    ]


def test_a_clock_set_back_is_refused(keyed: Any, cur: extensions.cursor) -> None:
    keyed.run([row(1, "secret value")])
    for back in (START, START + timedelta(days=1)):
        cur.execute("SAVEPOINT s")
        with pytest.raises(TerminalError, match="clock") as caught:
            keyed.run([row(1, "other")], at=back)
        assert "secret" not in str(caught.value)
        cur.execute("ROLLBACK TO s")
    assert keyed.history("id, v") == [(1, "secret value", 1, None)]


@pytest.mark.parametrize("table", ["chart", "navigate"])
def test_rows_that_somebody_moves_while_they_are_compared_are_not_passed_over(
    make: MAKE,
    connection: extensions.connection,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
) -> None:
    stream = make({"id": INT, "v": TEXT}, primary_key=ID)
    stream.run([row(1, "a"), row(2, "b")])
    result = stream.run([row(1, "A"), row(3, "c")], navigated=False)
    columns, masked, _ = stream.last
    connection.commit()
    compare = navigate._History._compare

    def compare_then_move(history: Any, **options: Any) -> None:
        compare(history, **options)
        other = psycopg2.connect(database_url)
        with other, other.cursor() as cursor:
            cursor.execute(f"UPDATE {table}.shop_users SET v = v WHERE id = 1")
        other.close()

    with monkeypatch.context() as patched:
        patched.setattr(navigate._History, "_compare", compare_then_move)
        runs = {result.run_id: result.at}
        with pytest.raises(TransientError, match="somebody else"):
            navigate.apply(stream.cur, stream.tables, columns, masked, ID, runs, whole=True)
    connection.rollback()
    navigate.apply(stream.cur, stream.tables, columns, masked, ID, runs, whole=True)
    assert stream.history("id, v") == [
        (1, "a", 1, 2),
        (1, "A", 2, None),
        (2, "b", 1, 2),
        (3, "c", 2, None),
    ]


def test_an_older_run_that_comes_late_does_not_undo_a_newer(keyed: Any) -> None:
    keyed.run([row(1, "old"), row(2, "only")], full=False)
    keyed.run([row(1, "new")], full=False)
    columns, *_ = keyed.last
    (run_id,) = keyed.rows("SELECT min(_atlas_run_id::text) FROM {raw} WHERE _atlas_id < 4")[0]
    counts = chart.promote(
        keyed.cur, keyed.tables, 1, run_id, columns, ID, (), full_refresh=False, complete=True
    )
    assert (counts.superseded, counts.written) == (1, 0)
    assert keyed.rows("SELECT v FROM {chart} WHERE id = 1") == [("new",)]


def test_another_primary_key(make: MAKE) -> None:
    stream = make({"id": INT, "v": TEXT})
    stream.run([row(1, "a"), row(1, "b"), row(2, "c"), row(2, "c"), {"v": "none"}])
    stream.primary_key = ID
    stream.run([row(1, "b"), row(2, "c"), row(3, "d")])
    assert stream.history("id, v") == [
        (1, "a", 1, 2),
        (1, "b", 1, None),
        (2, "c", 1, 2),
        (2, "c", 1, None),
        (3, "d", 2, None),
        (None, "none", 1, 2),
    ]
    stream.primary_key = (("v",),)
    stream.run([row(1, "b"), row(2, "b")], full=False)
    assert stream.rows("SELECT id, v FROM {chart} ORDER BY v") == [(2, "b"), (2, "c"), (3, "d")]
    assert stream.rows("SELECT id, v FROM {navigate} WHERE is_current ORDER BY v") == [
        (2, "b"),
        (2, "c"),
        (3, "d"),
    ]
    stream.primary_key = ()
    stream.run([row(2, "b")])
    assert stream.rows("SELECT id, v FROM {navigate} WHERE is_current") == [(2, "b")]


# -- against a model ---------------------------------------------------------------------------


class Model:
    """What chart and navigate must hold, the simple way."""

    def __init__(self) -> None:
        self.chart: dict[int, tuple[int, str]] = {}
        self.history: list[list[Any]] = []

    def run(self, day: int, records: list[Any], full: bool, complete: bool) -> None:
        best: dict[int, tuple[int, int, str, bool]] = {}
        for n, (id_, cursor, v, deleted) in enumerate(records):
            if id_ not in best or (cursor, n) > best[id_][:2]:
                best[id_] = (cursor, n, v, deleted)
        for id_, (cursor, _, v, deleted) in best.items():
            if not full and id_ in self.chart and self.chart[id_][0] > cursor:
                continue
            if deleted:
                self.chart.pop(id_, None)
            else:
                self.chart[id_] = (cursor, v)
        if full and complete:
            self.chart = {id_: row for id_, row in self.chart.items() if id_ in best}
        for version in self.history:
            if version[-1] is None and self.chart.get(version[0]) != tuple(version[1:3]):
                version[-1] = day
        current = {version[0] for version in self.history if version[-1] is None}
        for id_, (cursor, v) in self.chart.items():
            if id_ not in current:
                self.history.append([id_, cursor, v, day, None])


RECORD = st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from(["a", "b"]), st.booleans())
RUN = st.tuples(st.lists(RECORD, max_size=6), st.booleans(), st.booleans())


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(RUN, min_size=1, max_size=4))
def test_history_equals_the_model(cur: extensions.cursor, make: MAKE, runs: list[Any]) -> None:
    cur.execute("SAVEPOINT s")
    stream = make(
        {"id": INT, "at": INT, "v": TEXT},
        primary_key=ID,
        cursor_field=("at",),
    )
    model = Model()
    for records, full, complete in runs:
        stream.run(
            [
                {"id": id_, "at": at, "v": v, DELETED: "2024-01-01" if deleted else None}
                for id_, at, v, deleted in records
            ],
            full=full,
            complete=complete,
        )
        model.run(stream.runs, copy.copy(records), full, complete)
        present = {id_: (at, v) for id_, at, v in stream.rows("SELECT id, at, v FROM {chart}")}
        assert present == model.chart
        assert sorted(stream.history("id, at, v"), key=repr) == sorted(
            map(tuple, model.history), key=repr
        )
    cur.execute("ROLLBACK TO s")
