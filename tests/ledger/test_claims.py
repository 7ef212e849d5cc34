"""Claims, leases and fences: one holder at a time, and a zombie writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from atlas.errors import ActiveRun, LostClaim
from atlas.ledger import claims, ends, outbox, run_documents, runs
from atlas.ledger.claims import Claim, Found
from atlas.model.stage import Stage, Status
from tests.ledger.conftest import add_streams

NewRun = Callable[[], str]


def take(engine: sa.Engine, stage: Stage, lease: float = 60, **ids: object) -> Claim:
    claim = claims.claim(engine, stage, holder="test", lease=lease, **ids)  # type: ignore[arg-type]
    assert isinstance(claim, Claim), claim
    return claim


def end(engine: sa.Engine, claim: Claim, status: Status = Status.SUCCEEDED, **more: object) -> None:
    with claims.transaction(engine, claim) as conn:
        ends.finish(conn, claim, status, **more)  # type: ignore[arg-type]


def test_one_holder_at_a_time(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    take(engine, Stage.EXPLORE, run_id=run_id)
    assert (
        claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="other", lease=60) is Found.HELD
    )


def test_many_at_once_and_one_gets_it(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    got: list[Claim | Found] = []
    threads = [
        threading.Thread(
            target=lambda: got.append(
                claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(item, Claim) for item in got) == [False] * 7 + [True]


def test_a_dead_lease_is_taken_over_and_its_holder_writes_nothing(
    engine: sa.Engine, new_run: NewRun
) -> None:
    run_id = new_run()
    zombie = take(engine, Stage.EXPLORE, lease=-1, run_id=run_id)
    heir = take(engine, Stage.EXPLORE, run_id=run_id)
    assert heir.fence > zombie.fence
    assert not claims.renew(engine, zombie, 60)
    with pytest.raises(LostClaim), claims.transaction(engine, zombie) as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.left_behind ()"))
    with pytest.raises(LostClaim):
        end(engine, zombie)
    assert "left_behind" not in sa.inspect(engine).get_table_names("pipeline")
    end(engine, heir)


def test_release_by_recovery_stops_the_zombie_too(engine: sa.Engine, new_run: NewRun) -> None:
    zombie = take(engine, Stage.EXPLORE, lease=-1, run_id=new_run())
    with engine.begin() as conn:
        (orphan,) = outbox.orphans(conn, patience=3600)
        outbox.release(conn, orphan)
    with pytest.raises(LostClaim):
        end(engine, zombie)


def test_a_done_stage_lets_the_chain_pass(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    explore = take(engine, Stage.EXPLORE, run_id=run_id)
    (stream,) = add_streams(engine, run_id, "users")
    end(engine, explore)
    end(engine, take(engine, Stage.PII, run_stream_id=stream))
    again = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="x", lease=60)
    assert again is Found.DONE


def test_stages_keep_their_order(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    take(engine, Stage.EXPLORE, run_id=run_id)
    (stream,) = add_streams(engine, run_id, "users")
    ahead = claims.claim(engine, Stage.CHART, run_stream_id=stream, holder="x", lease=60)
    assert ahead is Found.HELD


def test_a_stream_waits_until_the_source_has_read_it(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    take(engine, Stage.EXPLORE, run_id=run_id)
    (stream,) = add_streams(engine, run_id, "users")
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run_stream SET explored_at = NULL"))
    early = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="x", lease=60)
    assert early is Found.HELD


def test_a_retry_waits_for_its_time(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    claim = take(engine, Stage.EXPLORE, run_id=run_id)
    with claims.transaction(engine, claim) as conn:
        claims.retry_later(conn, claim, delay=60, error="busy", cause="transient")
    later = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60)
    assert later is Found.HELD
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.stage_run SET next_attempt_at = now()"))
    assert take(engine, Stage.EXPLORE, run_id=run_id).attempt == 2


def test_the_run_ends_with_its_last_stream_as_the_worst(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    explore = take(engine, Stage.EXPLORE, run_id=run_id)
    first, second = add_streams(engine, run_id, "a", "b")
    end(engine, explore)
    end(engine, take(engine, Stage.PII, run_stream_id=first), Status.FAILED, error="broken")
    with engine.connect() as conn:
        assert run_documents.document(conn, run_id)["status"] == "running"
    for stage in (Stage.PII, Stage.QUALITY, Stage.CHART, Stage.NAVIGATE):
        end(engine, take(engine, stage, run_stream_id=second))
    end(engine, take(engine, Stage.LINEAGE, run_stream_id=second), last=True)
    with engine.connect() as conn:
        document = run_documents.document(conn, run_id)
    assert document["status"] == "failed"
    assert document["error"] == "a: broken"
    assert [stream["status"] for stream in document["streams"]] == ["failed", "succeeded"]


def test_two_streams_that_end_at_one_moment_end_the_run(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    explore = take(engine, Stage.EXPLORE, run_id=run_id)
    streams = add_streams(engine, run_id, *"abcdef")
    end(engine, explore)
    held = [take(engine, Stage.PII, run_stream_id=stream) for stream in streams]
    barrier = threading.Barrier(len(held))

    def fail(claim: Claim) -> None:
        with claims.transaction(engine, claim) as conn:
            barrier.wait()
            ends.finish(conn, claim, Status.FAILED, error="x")

    threads = [threading.Thread(target=fail, args=(claim,)) for claim in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as conn:
        assert run_documents.document(conn, run_id)["status"] == "failed"


def test_one_active_run_whatever_races(engine: sa.Engine, new_run: NewRun) -> None:
    made: list[str] = []
    refused: list[str] = []

    def ask() -> None:
        try:
            made.append(new_run())
        except ActiveRun as error:
            refused.append(error.run_id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert refused == made * 7


def test_extraction_time_is_fixed_and_grows(engine: sa.Engine, new_run: NewRun) -> None:
    first = new_run()
    with engine.begin() as conn:
        stamp = runs.stamp_extraction(conn, first)
        assert runs.stamp_extraction(conn, first) == stamp
        # The clock goes back a day between two runs.
        conn.execute(
            sa.text("UPDATE pipeline.run SET extracted_at = extracted_at + interval '1 day'")
        )
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'succeeded'"))
    second = new_run()
    with engine.begin() as conn:
        assert runs.stamp_extraction(conn, second) > runs.stamp_extraction(conn, first)


def test_what_was_sent_and_never_came_is_found(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    with engine.begin() as conn:
        for message in outbox.due(conn):
            outbox.sent(conn, message)
    with engine.begin() as conn:
        assert outbox.orphans(conn, patience=3600) == []
        (lost,) = outbox.orphans(conn, patience=0)
        assert (lost.run_id, lost.stage) == (run_id, Stage.EXPLORE)


def test_an_outbox_message_is_one_senders(engine: sa.Engine, new_run: NewRun) -> None:
    new_run()
    with engine.begin() as one, engine.begin() as other:
        assert len(list(outbox.due(one))) == 1
        assert list(outbox.due(other)) == []


def test_a_stage_that_has_ended_cannot_be_ended_again(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    claim = take(engine, Stage.EXPLORE, run_id=run_id)
    end(engine, claim)
    # As after a commit whose acknowledgement was lost.
    with pytest.raises(LostClaim), claims.transaction(engine, claim) as conn:
        claims.retry_later(conn, claim, delay=0, error="the connection broke", cause="transient")
    with pytest.raises(LostClaim):
        end(engine, claim, Status.FAILED, error="late")
    with pytest.raises(LostClaim), claims.transaction(engine, claim) as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.left_behind ()"))
    with engine.connect() as conn:
        assert run_documents.document(conn, run_id)["stages"][0]["status"] == "succeeded"


def test_a_stage_whose_holders_all_died_is_left_to_recovery(
    engine: sa.Engine, new_run: NewRun
) -> None:
    run_id = new_run()
    take(engine, Stage.EXPLORE, lease=-1, run_id=run_id, max_attempts=2)
    take(engine, Stage.EXPLORE, lease=-1, run_id=run_id, max_attempts=2)
    third = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60, max_attempts=2)
    assert third is Found.HELD


def test_who_handed_its_stage_back_does_not_get_on(engine: sa.Engine, new_run: NewRun) -> None:
    """The thread that renews the lease hands the stage back while another commits."""
    run_id = new_run()
    claim = take(engine, Stage.EXPLORE, run_id=run_id)
    with claims.transaction(engine, claim) as conn:
        claims.hand_back(conn, claim)
    with pytest.raises(LostClaim), claims.transaction(engine, claim) as conn:
        claims.progress(conn, claim)
    with pytest.raises(LostClaim), claims.transaction(engine, claim) as conn:
        claims.park(conn, claim, 1)


def test_an_attempt_that_was_handed_back_counts_against_nobody(
    engine: sa.Engine, new_run: NewRun
) -> None:
    run_id = new_run()
    for _ in range(3):
        claim = take(engine, Stage.EXPLORE, run_id=run_id, max_attempts=2)
        with claims.transaction(engine, claim) as conn:
            claims.hand_back(conn, claim)
    assert take(engine, Stage.EXPLORE, run_id=run_id, max_attempts=2).attempt == 4


def test_attempts_before_the_stage_got_on_are_forgiven(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    take(engine, Stage.EXPLORE, lease=-1, run_id=run_id, max_attempts=3)
    second = take(engine, Stage.EXPLORE, lease=-1, run_id=run_id, max_attempts=3)
    with claims.transaction(engine, second) as conn:
        claims.progress(conn, second)
    for _ in range(2):
        take(engine, Stage.EXPLORE, lease=-1, run_id=run_id, max_attempts=3)
    fifth = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="x", lease=60, max_attempts=3)
    assert isinstance(fifth, Claim)


def test_failures_count_by_their_cause(engine: sa.Engine, new_run: NewRun) -> None:
    run_id = new_run()
    for cause in ("source", "database", "source"):
        claim = take(engine, Stage.EXPLORE, run_id=run_id)
        with claims.transaction(engine, claim) as conn:
            claims.retry_later(conn, claim, delay=0, error="x", cause=cause)
    last = take(engine, Stage.EXPLORE, run_id=run_id)
    with claims.transaction(engine, last) as conn:
        assert claims.failures(conn, last, "source") == 2
        assert claims.failures(conn, last, "database") == 1
        claims.progress(conn, last)
        assert claims.failures(conn, last, "source") == 0
