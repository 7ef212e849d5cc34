"""People's changes of a state: never beside a run, always in the history."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import ActiveRun, Conflict, NotFound, UsageError
from atlas.ledger import connections, retries, runs, state, state_changes
from atlas.ledger import state_documents as documents
from atlas.ledger.state import State
from atlas.ledger.state_changes import Change
from atlas.ledger.state_documents import Basis, Reading
from atlas.model.connection import Connection
from atlas.model.stream import StreamKey, StreamSelection
from atlas.sync import state as use
from tests.ledger.conftest import SECRET, wait_until_blocked

USERS, ORDERS = StreamKey("users"), StreamKey("orders", "web")
BASIS = Basis(("updated_at",), (("id",),))


def _stream(key: StreamKey, cursor: int) -> State:
    own = f'{{"cursor": {cursor}}}'.encode()
    return State("STREAM", key, documents.stream_document(key, own))


def _counted(of: State, rows: int) -> str:
    return documents.counted(of.document, rows)


def _leave(engine: sa.Engine, connection_id: int, run_id: str, *states: State) -> None:
    """A run leaves these states and is over."""
    with engine.begin() as conn:
        reading = Reading(dict.fromkeys((USERS, ORDERS), BASIS))
        for each in states:
            state.put(conn, connection_id, run_id, each, reading)
        state.remember(conn, run_id)
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'failed' WHERE id = :id"), {"id": run_id}
        )


def _history(engine: sa.Engine, **options: Any) -> list[tuple[Any, ...]]:
    with engine.begin() as conn:
        page = state_changes.history(conn, "shop", **options)
    return [(e["action"], e["stream"], e["state"] is not None) for e in page["items"]]


def test_a_change_waits_for_a_run_that_begins_and_is_refused(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    _leave(engine, connection_id, new_run(), _stream(USERS, 1))
    refused: list[BaseException] = []

    def reset() -> None:
        try:
            with engine.begin() as conn:
                Change(conn, "shop", actor="cli: ann").reset(None)
        except ActiveRun as error:
            refused.append(error)

    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        other = threading.Thread(target=reset)
        other.start()  # sees no run yet: this one is not committed
        wait_until_blocked(engine)
    other.join()
    [error] = refused
    assert run_id in str(error)
    with engine.begin() as conn:
        assert len(state.get(conn, connection_id)) == 1


@pytest.mark.parametrize("how", ["a new run", "a retry"])
def test_a_run_waits_for_a_change_that_began(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str], how: str
) -> None:
    failed = new_run()
    _leave(engine, connection_id, failed, _stream(USERS, 1))

    def begin() -> None:
        if how == "a new run":
            new_run()
        else:
            with engine.begin() as conn:
                retries.retriable(conn, failed)

    with engine.begin() as conn:
        change = Change(conn, "shop", actor="cli: ann")
        other = threading.Thread(target=begin)
        other.start()
        wait_until_blocked(engine)
        change.reset(None)
    other.join()


def test_history_tells_runs_and_people(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    _leave(engine, connection_id, run_id, _stream(USERS, 1), _stream(ORDERS, 2))
    with engine.begin() as conn:
        Change(conn, "shop", actor="cli: ann").reset(USERS)
        page = state_changes.history(conn, "shop")
    assert [(e["action"], e["actor"], e["stream"], e["namespace"]) for e in page["items"]] == [
        ("reset", "cli: ann", "users", None),
        ("run", f"run {run_id}", "orders", "web"),
        ("run", f"run {run_id}", "users", None),
    ]
    assert _history(engine, stream="web.orders") == [("run", "orders", True)]


def test_a_run_that_changed_nothing_leaves_no_entry(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    first, second = _stream(USERS, 1), _stream(USERS, 1)
    _leave(engine, connection_id, new_run(), replace(first, document=_counted(first, 5)))
    _leave(engine, connection_id, new_run(), replace(second, document=_counted(second, 0)))
    assert len(_history(engine)) == 1


def test_history_keeps_what_is_newest(
    engine: sa.Engine,
    connection_id: int,
    new_run: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "KEPT", 2)
    for cursor in range(4):
        _leave(engine, connection_id, new_run(), _stream(USERS, cursor), _stream(ORDERS, 7))
    with engine.begin() as conn:
        found = state_changes.history(conn, "shop", stream="users")["items"]
    assert ["3" in e["state"] for e in found] == [True, False]
    assert len(_history(engine)) == 3


def test_a_restored_state_remembers_how_it_was_made(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    _leave(engine, connection_id, new_run(), _stream(USERS, 1))
    with engine.begin() as conn:
        [entry] = state_changes.history(conn, "shop")["items"]
        Change(conn, "shop", actor="x").reset(None)
        Change(conn, "shop", actor="x").restore(entry["id"])
        [back] = state.get(conn, connection_id)
        assert back.basis == {USERS: BASIS}
        # A reset can be put back too: then there is none again.
        reset = state_changes.history(conn, "shop")["items"][1]
        assert reset["state"] is None
        Change(conn, "shop", actor="x").restore(reset["id"])
        assert state.get(conn, connection_id) == []


def test_a_streams_own_state_is_not_restored_into_a_global_one(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    _leave(engine, connection_id, new_run(), _stream(USERS, 1))
    text = b'[{"type": "GLOBAL", "global": {"stream_states": [{"stream_descriptor":'
    text += b'{"name": "users"}, "stream_state": {}}]}}]'
    with engine.begin() as conn:
        use.import_(conn, "shop", text, None, actor="x")
        entry = state_changes.history(conn, "shop", stream="users")["items"][-1]
        with pytest.raises(Conflict, match="GLOBAL state now"):
            Change(conn, "shop", actor="x").restore(entry["id"])
        with pytest.raises(NotFound, match="no entry 99"):
            Change(conn, "shop", actor="x").restore(99)


def test_export_of_one_stream_can_be_imported_for_it(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    _leave(engine, connection_id, new_run(), _stream(USERS, 1), _stream(ORDERS, 2))
    with engine.begin() as conn:
        text = use.export(conn, "shop", "users")
        use.import_(conn, "shop", b'{"cursor": 9}', "users", actor="x")
        use.import_(conn, "shop", text, "users", actor="x")
        assert use.export(conn, "shop", "users") == text
        # As a connector printed it, line and all.
        line = b'{"type": "STATE", "state": ' + text[1:-1] + b"}"
        use.import_(conn, "shop", line, None, actor="x")
        assert use.export(conn, "shop") == text


def test_a_value_that_cannot_be_stored(engine: sa.Engine, connection_id: int) -> None:
    with engine.begin() as conn, pytest.raises(UsageError, match="cannot store"):
        use.import_(conn, "shop", b'{"users": 1e999999}', None, actor="x")


# --- connections whose cursor or connector is another one now ------------------------------------


def _with(cursor: str, key: str = "id") -> Connection:
    chosen = StreamSelection(cursor_field=(cursor,), primary_key=((key,),))
    return Connection(
        "shop",
        connector="source-faker",
        executable=None,
        config={},
        streams={"users": chosen, "web.orders": StreamSelection()},
    )


def test_a_file_with_another_cursor_asks_for_a_reset(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    with engine.begin() as conn:
        connections.put(conn, SECRET, _with("updated_at"))
    _leave(engine, connection_id, new_run(), _stream(USERS, 1), _stream(ORDERS, 2))
    with engine.begin() as conn:
        for wanted, words in [
            (_with("created_at"), "its cursor is created_at now and was updated_at"),
            (_with("updated_at", "uuid"), "its primary key is uuid now and was id"),
        ]:
            with pytest.raises(UsageError, match=words) as refused:
                connections.put(conn, SECRET, wanted)
            assert "`atlas state reset shop --stream users`" in str(refused.value)
            assert "--reset-state" in str(refused.value)
        assert connections.get(conn, SECRET, "shop").connection == _with("updated_at")
        # Something else changes without a question.
        other = replace(_with("updated_at"), pii={"policy": "default"})
        assert connections.put(conn, SECRET, other) == "updated"
        wanted = _with("created_at")
        assert connections.put(conn, SECRET, wanted, actor="cli: ann", reset_state=True)
        assert [each.key for each in state.get(conn, connection_id)] == [ORDERS]
    assert _history(engine)[0] == ("reset", "users", False)


def test_another_connector_waits_for_the_end_of_a_run(
    engine: sa.Engine, connection_id: int, new_run: Callable[[], str]
) -> None:
    run_id = new_run()
    other = Connection("shop", connector="source-file", executable=None, config={})
    with engine.begin() as conn, pytest.raises(ActiveRun, match="another connector"):
        connections.put(conn, SECRET, other)
    _leave(engine, connection_id, run_id, _stream(USERS, 1))
    with engine.begin() as conn:
        connections.put(conn, SECRET, other, actor="cli: ann")
        assert state.get(conn, connection_id) == []
    assert _history(engine)[0] == ("connector", "users", False)
