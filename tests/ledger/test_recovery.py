"""Recovery: what lost its worker is taken up again, and given up after so many attempts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import LostClaim, RunEnded, TransientError
from atlas.layers import staging
from atlas.ledger import claims, ends, outbox, run_documents, runs
from atlas.ledger.claims import Claim, Found
from atlas.ledger.database import cursor
from atlas.model.stage import Stage, Status
from atlas.model.stream import Segment
from atlas.settings import Settings
from atlas.stages.work import begin
from atlas.sync import cancel, dispatch, perform, recovery, retry
from tests.ledger.conftest import add_streams, at_once, wait_until_blocked

NewRun = Callable[[], str]


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings whose broker is nowhere: what is to be sent stays in the outbox."""
    return replace(Settings(), database_url=database_url, max_attempts=3, redispatch_seconds=3600)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis does not answer."""

    def refuse(engine: sa.Engine, ids: list[int] | None = None) -> int:
        raise TransientError("Redis does not answer")

    monkeypatch.setattr(dispatch, "deliver", refuse)
    monkeypatch.setattr(dispatch, "waiting", lambda: ([], 1))


def _die(engine: sa.Engine, run_id: str, settings: Settings | None = None) -> Claim:
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="mortal", lease=-1)
    assert isinstance(claim, Claim)
    if settings is not None:
        with engine.begin() as conn:
            begin(conn, settings, claim)
    return claim


def _recover(engine: sa.Engine, settings: Settings) -> None:
    with pytest.raises(TransientError):
        recovery.recover(engine, settings)


def test_a_lost_worker_is_replaced(engine: sa.Engine, new_run: NewRun, settings: Settings) -> None:
    run_id = new_run()
    _die(engine, run_id)
    _recover(engine, settings)
    # However often recovery looks while Redis is away, one message waits.
    _recover(engine, settings)
    with engine.begin() as conn:
        assert [message.ref for message in outbox.due(conn)] == [run_id]
    assert _die(engine, run_id).attempt == 2


def test_a_poison_run_ends_failed_with_its_attempts(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    run_id = new_run()
    for _ in range(3):
        _die(engine, run_id, settings)
        _recover(engine, settings)
    with engine.connect() as conn:
        document = run_documents.document(conn, run_id)
        attempts = run_documents.attempts(conn, run_id)
        events = conn.execute(
            sa.text("SELECT event->>'eventType' FROM pipeline.lineage_event ORDER BY id")
        ).scalars()
        told = sorted(events)
    # The run and each attempt began; the run and its last attempt failed, the others were lost.
    assert told == ["ABORT"] * 2 + ["FAIL"] * 2 + ["START"] * 4
    assert document["status"] == "failed"
    assert "3 attempts" in document["error"]
    assert [item["outcome"] for item in attempts] == ["lost"] * 2 + ["failed"]
    with engine.begin() as conn:
        assert outbox.orphans(conn, patience=0) == []


def test_cancel_ends_everything_at_once(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    run_id = new_run()
    holder = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert isinstance(holder, Claim)
    (stream,) = add_streams(engine, run_id, "users")
    cancel.cancel(engine, settings, run_id, actor="test")
    assert not claims.renew(engine, holder, 60)
    with pytest.raises(LostClaim), claims.transaction(engine, holder) as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.left_behind ()"))
    found = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="x", lease=60)
    assert found is Found.STOPPED
    with engine.begin() as conn:
        assert list(outbox.due(conn)) == []
        assert outbox.orphans(conn, patience=0) == []
        document = run_documents.document(conn, run_id)
        (only,) = run_documents.attempts(conn, run_id)
    assert (document["status"], document["streams"][0]["status"]) == ("cancelled", "cancelled")
    assert only["outcome"] == "cancelled"
    with pytest.raises(RunEnded, match="cancelled"):
        cancel.cancel(engine, settings, run_id, actor="test")
    # The connection is free.
    new_run()


def _record(engine: sa.Engine, run_id: str, stream: int) -> Callable[[sa.Connection], None]:
    return lambda conn: runs.add_segment(conn, stream, Segment(1, 2, 2), covered=True)


def _fail(engine: sa.Engine, run_id: str, stream: int) -> Callable[[sa.Connection], None]:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run_stream SET explored_at = NULL"))
    return lambda conn: ends.fail_unexplored(conn, run_id, "broken")


@pytest.mark.parametrize("prepare", [_record, _fail])
def test_cancel_meets_a_commit_of_the_holder(
    engine: sa.Engine,
    new_run: NewRun,
    settings: Settings,
    prepare: Callable[[sa.Engine, str, int], Callable[[sa.Connection], None]],
) -> None:
    """Who writes a stream's row first and checks its fence last must not be in cancel's way."""
    run_id = new_run()
    holder = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert isinstance(holder, Claim)
    (stream,) = add_streams(engine, run_id, "users")
    write = prepare(engine, run_id, stream)
    wrote = threading.Event()

    def commit() -> None:
        with claims.transaction(engine, holder) as conn:
            # Were there a deadlock, this would be the one to end by it.
            conn.execute(sa.text("SET LOCAL deadlock_timeout = '1ms'"))
            write(conn)
            wrote.set()
            wait_until_blocked(engine)  # cancel waits for the stream's row

    def stop() -> None:
        wrote.wait()
        cancel.cancel(engine, settings, run_id, actor="test")

    committed, stopped = at_once(commit, stop)
    assert stopped is None, stopped
    assert committed is None or isinstance(committed, LostClaim), committed
    with engine.connect() as conn:
        assert run_documents.document(conn, run_id)["status"] == "cancelled"


def test_cancel_meets_a_stage_that_ends(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    """Who has checked its fence and goes on to its stream's row is never the one that yields."""
    run_id = new_run()
    (stream,) = add_streams(engine, run_id, "users")
    holder = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="x", lease=60)
    assert isinstance(holder, Claim)
    checked = threading.Event()

    def end() -> None:
        with claims.transaction(engine, holder) as conn:
            # Ended by a deadlock before cancel's default of a second is.
            conn.execute(sa.text("SET LOCAL deadlock_timeout = '800ms'"))
            claims.guard(conn, holder)
            checked.set()
            wait_until_blocked(engine)  # cancel has the stream's row and waits for the stage's
            ends.finish(conn, holder, Status.FAILED, error="broken")

    def stop() -> None:
        checked.wait()
        cancel.cancel(engine, settings, run_id, actor="test")

    ended, stopped = at_once(end, stop)
    assert (ended, stopped) == (None, None)
    with engine.connect() as conn:
        (only,) = run_documents.document(conn, run_id)["streams"]
    assert only["status"] == "failed"


def test_cancel_meets_a_message_on_its_way(
    engine: sa.Engine, new_run: NewRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = new_run()
    monkeypatch.undo()
    sending, cancelled = threading.Event(), threading.Event()

    def send(conn: sa.Connection, message: outbox.Message) -> None:
        sending.set()
        assert cancelled.wait(timeout=120)  # cancel does not wait for the message's row

    def stop() -> None:
        sending.wait()
        cancel.cancel(engine, settings, run_id, actor="test")
        cancelled.set()

    monkeypatch.setattr(dispatch, "_send", send)
    sent, stopped = at_once(lambda: dispatch.deliver(engine), stop)
    assert (sent, stopped) == (1, None)


def test_a_retry_goes_on_where_the_run_stopped(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    run_id = new_run()
    explore = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert isinstance(explore, Claim)
    whole, unread = add_streams(engine, run_id, "whole", "unread")
    with claims.transaction(engine, explore) as conn:
        runs_unread = sa.text("UPDATE pipeline.run_stream SET explored_at = NULL WHERE id = :s")
        conn.execute(runs_unread, {"s": unread})
        ends.fail_unexplored(conn, run_id, "broken")
        ends.finish(conn, explore, Status.FAILED, error="broken")
    cancel.cancel(engine, settings, run_id, actor="test")
    retry.retry(engine, settings, run_id, actor="test")
    with engine.begin() as conn:
        waiting = {(message.kind, message.ref) for message in outbox.due(conn)}
        document = run_documents.document(conn, run_id)
    assert waiting == {("run", run_id), ("stream", str(whole))}
    assert document["status"] == "queued"
    # The zombies of before it are still none of its workers.
    with pytest.raises(LostClaim), claims.transaction(engine, explore) as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.left_behind ()"))
    again = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert isinstance(again, Claim)
    assert again.attempt == 2
    early = claims.claim(engine, Stage.PII, run_stream_id=unread, holder="x", lease=60)
    assert early is Found.HELD
    ready = claims.claim(engine, Stage.PII, run_stream_id=whole, holder="x", lease=60)
    assert isinstance(ready, Claim)


def test_a_retry_meets_the_end_of_its_staging_table(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    """Recovery waits for the table's last reader; who retries meanwhile must not count on it."""
    run_id = new_run()
    explore = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert isinstance(explore, Claim)
    (stream,) = add_streams(engine, run_id, "users")
    with engine.begin() as conn:
        staging.create(cursor(conn), stream, (), {})
        conn.execute(
            sa.text("UPDATE pipeline.stage_run SET status = 'succeeded' WHERE stage = 'pii'")
        )
    with engine.connect() as reader:
        reader.execute(sa.text(f"SELECT FROM pipeline.{staging.name(stream)}"))
        cancel.cancel(engine, settings, run_id, actor="test")  # which does not wait for the reader

        def resume() -> None:
            wait_until_blocked(engine)
            waits = threading.Thread(
                target=retry.retry, args=(engine, settings, run_id), kwargs={"actor": "test"}
            )
            waits.start()
            wait_until_blocked(engine, 2)
            reader.rollback()
            waits.join()

        recovered, resumed = at_once(lambda: recovery.recover(engine, settings), resume)
    assert (type(recovered), resumed) == (TransientError, None)
    with engine.connect() as conn:
        assert staging.left(cursor(conn)) == []
        (only,) = run_documents.document(conn, run_id)["streams"]
    assert [part["status"] for part in only["stages"]] == ["queued"] * 5


def test_messages_of_a_run_that_waits_for_a_slot_do_not_multiply(
    engine: sa.Engine, connection_id: int
) -> None:
    """Where many wait, one is sent again before the first is taken up: of three only the last
    brings another, or each of them would for as long as the run waits."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        for _ in range(2):
            message = outbox.Message(outbox.put(conn, "run", run_id), "run", run_id)
            outbox.sent(conn, message)
    left = []
    for _ in range(3):
        perform.wait_for_slot(engine, run_id)
        with engine.begin() as conn:
            left.append(conn.execute(sa.text("SELECT count(*) FROM pipeline.outbox")).scalar_one())
    assert left == [0, 0, 1]


def test_messages_that_were_lost_are_not_waited_for(
    engine: sa.Engine, connection_id: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis lost what it had: the one that recovery sends brings another while the run waits for a
    slot, instead of leaving that to those that will never come."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        for _ in range(2):
            outbox.sent(conn, outbox.Message(outbox.put(conn, "run", run_id), "run", run_id))
        long_ago = "clock_timestamp() - interval '1 day'"
        conn.execute(sa.text(f"UPDATE pipeline.stage_run SET dispatched_at = {long_ago}"))
        conn.execute(sa.text(f"UPDATE pipeline.run SET created_at = {long_ago}"))
    monkeypatch.setattr(dispatch, "waiting", lambda: ([Stage.EXPLORE], 1))
    _recover(engine, settings)
    with engine.begin() as conn:
        (message,) = outbox.due(conn)
        outbox.sent(conn, message)
    perform.wait_for_slot(engine, run_id)
    with engine.begin() as conn:
        assert conn.execute(sa.text("SELECT ref FROM pipeline.outbox")).scalars().all() == [run_id]
