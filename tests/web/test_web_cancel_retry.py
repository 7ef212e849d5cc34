"""Ending runs and having them go on over HTTP: who may, what is answered, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.errors import ActiveRun
from atlas.layers import names
from atlas.ledger import claims, ends, runs, schedules
from atlas.ledger.claims import Claim
from atlas.ledger.database import cursor
from atlas.ledger.tables import connection, run, stage_run
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.stages.work import begin
from atlas.sync import request

SYNCS = "/api/v1/connections/shop/syncs"


def _path(run_id: str, verb: str) -> str:
    return f"/api/v1/runs/{run_id}/{verb}"


def _started(api: Any, engine: sa.Engine) -> tuple[str, Claim]:
    """A run of ``shop`` whose source is being read, with a stream."""
    run_id: str = api.post(SYNCS).json["run_id"]
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="test", lease=60.0)
    assert isinstance(claim, Claim)
    users = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
    with engine.begin() as conn:
        runs.add_streams(conn, run_id, [(users, True)], list(ORDER))
    return run_id, claim


def _ended(api: Any, engine: sa.Engine, status: str) -> str:
    """A run of ``shop`` that was read to its end and then ended like this in pii."""
    run_id, explore = _started(api, engine)
    with engine.begin() as conn:
        (stream,) = runs.streams(conn, run_id)
        runs.explored(conn, stream.id)
        ends.finish(conn, explore, Status.SUCCEEDED)
    pii = claims.claim(engine, Stage.PII, run_stream_id=stream.id, holder="test", lease=60.0)
    assert isinstance(pii, Claim)
    with engine.begin() as conn:
        ends.finish(conn, pii, Status(status), error=None, last=True)
    assert api.get(f"/api/v1/runs/{run_id}").json["status"] == status
    return run_id


def _at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    gate = threading.Barrier(count)
    results: list[Any] = []

    def one() -> None:
        gate.wait()
        results.append(work())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- cancel ---------------------------------------------------------------------------------------


def test_a_waiting_run_is_cancelled(api: Any, shop: str) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    answer = api.post(_path(run_id, "cancel"))
    assert answer.status_code == 200
    assert (answer.json["run_id"], answer.json["status"]) == (run_id, "cancelled")
    assert answer.json["finished_at"] is not None
    assert answer.json == api.get(f"/api/v1/runs/{run_id}").json
    assert api.post(SYNCS).status_code == 202


def test_a_run_at_work_is_cancelled_with_all_of_it(api: Any, shop: str, engine: sa.Engine) -> None:
    run_id, claim = _started(api, engine)
    answer = api.post(_path(run_id.upper(), "cancel"))
    assert answer.status_code == 200
    assert answer.json["status"] == "cancelled"
    (stream,) = answer.json["streams"]
    assert stream["status"] == "cancelled"
    stages = [*answer.json["stages"], *stream["stages"]]
    assert {stage["status"] for stage in stages} == {"cancelled"}
    # Whoever was at work has lost it.
    assert not claims.renew(engine, claim, 60.0)
    assert api.post(SYNCS).status_code == 202


def test_a_second_cancel_is_told_that_it_has_ended(api: Any, shop: str) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    answers = _at_once(6, lambda: api.post(_path(run_id, "cancel")))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 5]
    for answer in answers:
        assert answer.json["run_id"] == run_id
        if answer.status_code == 409:
            assert answer.json["run_status"] == "cancelled"


@pytest.mark.parametrize("status", ["succeeded", "failed", "blocked", "cancelled"])
def test_what_has_ended_is_not_cancelled(
    api: Any, shop: str, engine: sa.Engine, status: str
) -> None:
    run_id = _ended(api, engine, status)
    before = api.get(f"/api/v1/runs/{run_id}").json
    answer = api.post(_path(run_id, "cancel"))
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == "/api/docs#run-ended"
    assert (answer.json["run_id"], answer.json["run_status"]) == (run_id, status)
    assert status in answer.json["detail"]
    assert api.get(f"/api/v1/runs/{run_id}").json == before


# --- retry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "blocked", "cancelled"])
def test_what_did_not_succeed_is_queued_again(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis, status: str
) -> None:
    run_id = _ended(api, engine, status)
    queue.flushall()
    answer = api.post(_path(run_id.upper(), "retry"))
    assert answer.status_code == 202
    assert answer.json == {"run_id": run_id, "status": "queued"}
    assert answer.headers["Location"] == f"/api/v1/runs/{run_id}"
    found = api.get(answer.headers["Location"]).json
    assert found["finished_at"] is None
    assert found["status"] in ("queued", "running")
    assert [stage["status"] for stage in found["stages"]] == ["succeeded"]
    assert {stage["status"] for stage in found["streams"][0]["stages"]} == {"queued"}
    # The source is not asked again.
    assert queue.llen("extract") == 0
    assert queue.llen("scan") == 1
    assert api.post(SYNCS).json["run_id"] == run_id  # it is the connection's active run


def test_a_source_that_was_not_read_is_asked_again(api: Any, shop: str, queue: redis.Redis) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    api.post(_path(run_id, "cancel"))
    queue.flushall()
    assert api.post(_path(run_id, "retry")).status_code == 202
    assert queue.llen("extract") == 1


def test_an_active_run_is_not_retried(api: Any, shop: str) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    answer = api.post(_path(run_id, "retry"))
    assert answer.status_code == 409
    assert answer.json["type"] == "/api/docs#active-run"
    assert answer.json["run_id"] == run_id


def test_nothing_is_left_of_a_run_that_succeeded(api: Any, shop: str, engine: sa.Engine) -> None:
    answer = api.post(_path(_ended(api, engine, "succeeded"), "retry"))
    assert answer.status_code == 409
    assert answer.json["type"] == "/api/docs#conflict"
    assert "succeeded" in answer.json["detail"]


def test_only_the_latest_run_is_retried(api: Any, shop: str, engine: sa.Engine) -> None:
    old = _ended(api, engine, "failed")
    new = api.post(SYNCS).json["run_id"]
    active = api.post(_path(old, "retry"))
    assert (active.status_code, active.json["type"]) == (409, "/api/docs#active-run")
    assert active.json["run_id"] == new
    api.post(_path(new, "cancel"))
    older = api.post(_path(old, "retry"))
    assert (older.status_code, older.json["type"]) == (409, "/api/docs#conflict")
    assert api.get(f"/api/v1/runs/{old}").json["status"] == "failed"


def test_retries_at_once_are_one(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    run_id = _ended(api, engine, "failed")
    queue.flushall()
    answers = _at_once(6, lambda: api.post(_path(run_id, "retry")))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 5]
    assert {answer.json["run_id"] for answer in answers} == {run_id}
    assert queue.llen("scan") == 1


def test_a_retry_that_is_sent_twice_is_one(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    def retry(key: str) -> Any:
        return api.post(_path(run_id, "retry"), headers={"Idempotency-Key": key})

    run_id = api.post(SYNCS).json["run_id"]
    assert retry("k").status_code == 409  # and keeps nothing
    api.post(_path(run_id, "cancel"))
    first = retry("k")
    assert (first.status_code, first.json["run_id"]) == (202, run_id)
    assert "Idempotency-Replayed" not in first.headers
    sent = queue.llen("extract")
    for _ in range(2):  # while it is active, and when it has ended once more
        again = retry("k")
        assert (again.status_code, again.json) == (202, first.json)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        api.post(_path(run_id, "cancel"))
    assert api.get(f"/api/v1/runs/{run_id}").json["status"] == "cancelled"
    assert queue.llen("extract") == sent
    assert "Idempotency-Replayed" not in retry("another").headers
    assert api.get(f"/api/v1/runs/{run_id}").json["status"] == "queued"


def test_a_retry_and_a_sync_at_once_are_one_active_run(
    api: Any, shop: str, engine: sa.Engine
) -> None:
    for _ in range(8):
        old = _ended(api, engine, "failed")
        paths = iter([SYNCS, _path(old, "retry")] * 2)
        lock = threading.Lock()

        def ask(paths: Iterator[str] = paths, lock: threading.Lock = lock) -> Any:
            with lock:
                path = next(paths)
            return api.post(path)

        answers = _at_once(4, ask)
        # Not a 503: neither waits for the other in a circle.
        assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
        with engine.connect() as conn:
            active = sa.select(run.c.id).where(run.c.status.in_(("queued", "running")))
            (run_id,) = conn.execute(active).scalars()
        assert {answer.json["run_id"] for answer in answers} == {run_id}
        api.post(_path(run_id, "cancel"))


# --- both -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["cancel", "retry"])
@pytest.mark.parametrize(
    "run_id", ["1", "3f0c1c52-7d0f-4f0e-9a52-0d9b6c3d8a11", "a%00b", "%F0%9F%90%8D"]
)
def test_no_such_run(api: Any, verb: str, run_id: str) -> None:
    answer = api.post(_path(run_id, verb))
    assert answer.status_code == 404
    assert answer.json["type"] == "/api/docs#not-found"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_viewer_may_not(api: Any, shop: str, engine: sa.Engine, verb: str) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    answer = api.post(_path(run_id, verb), "viewer")
    assert (answer.status_code, answer.json["required_role"]) == (403, "operator")
    with engine.connect() as conn:
        assert conn.execute(sa.select(stage_run.c.status)).scalars().all() == ["queued"]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_options_that_there_are_not(api: Any, shop: str, verb: str) -> None:
    run_id = api.post(SYNCS).json["run_id"]
    # Nobody may think that this ends or repeats one stream only.
    answer = api.post(_path(run_id, verb), json={"stream": "users"})
    assert answer.status_code == 422
    assert "stream" in answer.json["detail"]
    assert api.get(f"/api/v1/runs/{run_id}").json["status"] == "queued"
    assert api.post(_path(run_id, verb) + "?stream=users").status_code == 400
    assert api.post(_path(run_id, "cancel"), json={}).status_code == 200


def test_a_schedule_and_a_request_do_not_wait_for_each_other(
    api: Any, shop: str, engine: sa.Engine
) -> None:
    with engine.begin() as conn:
        conn.execute(
            connection.update().values(
                due_at=sa.func.now(),
                document=sa.type_coerce({"schedule": {"every": "1h"}}, sa.JSON),
            )
        )
    answers: list[Any] = []
    with engine.begin() as conn:
        (due,) = schedules.take_due(conn)
        asking = threading.Thread(target=lambda: answers.append(api.post(SYNCS)))
        asking.start()
        asking.join(timeout=0.5)  # it waits for the schedule's transaction, or is done
        try:
            run_id = request.record(conn, due.name, trigger="schedule", actor="schedule")
        except ActiveRun as error:
            run_id = error.run_id
    asking.join()
    assert answers[0].status_code in (202, 409), answers[0].json
    assert answers[0].json["run_id"] == run_id


def test_who_is_in_the_way_of_a_cancel_keeps_no_end_from_being_told(
    api: Any, shop: str, engine: sa.Engine, settings: Settings
) -> None:
    run_id, claim = _started(api, engine)
    with engine.begin() as conn:
        begin(conn, settings, claim)
        late = ConfiguredStream(StreamKey("orders"), {}, SyncMode.FULL_REFRESH)
        runs.add_streams(conn, run_id, [(late, True)], list(ORDER))
    answers: list[int] = []
    path = _path(run_id, "cancel")
    thread = threading.Thread(target=lambda: answers.append(api.post(path).status_code))
    with engine.connect() as other:
        # As a worker that has begun to write what it reads, until it notices.
        names.tables(cursor(other), "shop", StreamKey("orders"))
        thread.start()
        thread.join(timeout=1.0)
        other.rollback()
    thread.join(60)
    assert answers == [200]
    with engine.connect() as conn:
        query = sa.text("SELECT event ->> 'eventType' FROM pipeline.lineage_event ORDER BY id")
        assert list(conn.execute(query).scalars()) == ["START", "START", "ABORT", "ABORT"]
