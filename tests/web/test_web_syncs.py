"""Asking for a sync: one run, one message, both at once; safe to ask again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from atlas.ledger import idempotency
from atlas.ledger.tables import idempotency as idempotency_table
from atlas.ledger.tables import outbox, run

PATH = "/api/v1/connections/shop/syncs"


def _runs(engine: sa.Engine) -> list[str]:
    with engine.connect() as conn:
        return list(conn.execute(sa.select(run.c.id).order_by(run.c.seq)).scalars())


def _end(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(run.update().values(status="succeeded"))


def _at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    gate = threading.Barrier(count)
    results: list[Any] = [None] * count

    def one(number: int) -> None:
        gate.wait()
        results[number] = work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_sync_is_written_down_and_sent(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    answer = api.post(PATH)
    assert answer.status_code == 202
    assert answer.content_type == "application/json"
    assert answer.json == {"run_id": _runs(engine)[0], "status": "queued"}
    assert answer.headers["Location"] == f"/api/v1/runs/{answer.json['run_id']}"
    assert queue.llen("extract") == 1
    with engine.connect() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(outbox)).scalar() == 0
    found = api.get(answer.headers["Location"]).json
    assert (found["status"], found["trigger"], found["connection"]) == ("queued", "api", "shop")


def test_what_to_sync_is_kept(api: Any, shop: str, engine: sa.Engine) -> None:
    answer = api.post(PATH, json={"streams": ["users", "größe"], "full_refresh": True})
    assert answer.status_code == 202
    with engine.connect() as conn:
        row = conn.execute(sa.select(run)).one()
    assert (row.selected, row.full_refresh) == (["users", "größe"], True)


def test_a_second_sync_is_told_the_active_run(api: Any, shop: str, engine: sa.Engine) -> None:
    first = api.post(PATH).json["run_id"]
    second = api.post(PATH)
    assert second.status_code == 409
    assert second.content_type == "application/problem+json"
    assert second.json["type"] == "/api/docs#active-run"
    assert second.json["run_id"] == first
    assert _runs(engine) == [first]


def test_many_at_once_make_one_run(api: Any, shop: str, engine: sa.Engine) -> None:
    answers = _at_once(8, lambda _: api.post(PATH))
    assert sorted(answer.status_code for answer in answers) == [202, *[409] * 7]
    assert {answer.json["run_id"] for answer in answers} == set(_runs(engine))


@pytest.mark.parametrize("name", ["nowhere", "Shop", "a" * 41, "%F0%9F%90%8D", "1"])
def test_unknown_connection(api: Any, shop: str, name: str) -> None:
    answer = api.post(f"/api/v1/connections/{name}/syncs")
    assert answer.status_code == 404
    assert "connection" in answer.json["detail"]


# --- Idempotency-Key ------------------------------------------------------------------------------


def _post(api: Any, key: str, path: str = PATH, role: str = "operator", **options: Any) -> Any:
    return api.post(path, role, headers={"Idempotency-Key": key}, **options)


def test_the_same_request_gets_the_same_answer(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    first = _post(api, "k1", json={"streams": ["users"]})
    again = _post(api, "k1", data='{ "streams" : ["users"] }', content_type="application/json")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json == first.json
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert queue.llen("extract") == 1
    _end(engine)
    assert _post(api, "k1", json={"streams": ["users"]}).json == first.json
    assert len(_runs(engine)) == 1


def test_another_body_is_refused(api: Any, shop: str, engine: sa.Engine) -> None:
    _post(api, "k1")
    _end(engine)
    answer = _post(api, "k1", json={"full_refresh": True})
    assert answer.status_code == 422
    assert answer.json["type"] == "/api/docs#idempotency-key-reused"
    assert len(_runs(engine)) == 1


def test_a_key_is_of_one_route_and_one_api_key(
    api: Any, shop: str, add_connection: Callable[[str], str], engine: sa.Engine
) -> None:
    add_connection("other")
    first = _post(api, "k1").json["run_id"]
    other = _post(api, "k1", "/api/v1/connections/other/syncs")
    assert other.status_code == 202
    assert other.json["run_id"] != first
    assert _post(api, "k1", role="admin").status_code == 409


def test_a_refusal_is_not_kept(api: Any, shop: str, engine: sa.Engine) -> None:
    api.post(PATH)
    assert _post(api, "k1").status_code == 409
    _end(engine)
    assert _post(api, "k1").status_code == 202


def test_identical_requests_at_once_make_one_run(
    api: Any, shop: str, engine: sa.Engine, queue: redis.Redis
) -> None:
    answers = _at_once(8, lambda _: _post(api, "k1"))
    assert {answer.status_code for answer in answers} == {202}
    assert {answer.json["run_id"] for answer in answers} == set(_runs(engine))
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert queue.llen("extract") == 1


def test_a_key_is_free_again_after_its_lifetime(api: Any, shop: str, engine: sa.Engine) -> None:
    first = _post(api, "k1").json["run_id"]
    _end(engine)
    _age(engine, idempotency.LIFETIME - timedelta(minutes=1))
    assert _post(api, "k1").json["run_id"] == first
    _age(engine, timedelta(minutes=2))
    answer = _post(api, "k1", json={"full_refresh": True})
    assert answer.status_code == 202
    assert _runs(engine) == [first, answer.json["run_id"]]


def test_expired_answers_are_forgotten(api: Any, shop: str, engine: sa.Engine) -> None:
    _post(api, "old")
    _end(engine)
    _age(engine, idempotency.LIFETIME)
    _post(api, "new")
    with engine.begin() as conn:
        assert idempotency.forget_expired(conn) == 1
        assert conn.execute(sa.select(idempotency_table.c.key)).scalars().all() == ["new"]


def _age(engine: sa.Engine, by: timedelta) -> None:
    with engine.begin() as conn:
        conn.execute(
            idempotency_table.update().values(created_at=idempotency_table.c.created_at - by)
        )


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "ä"])
def test_a_key_that_is_none(api: Any, shop: str, engine: sa.Engine, key: str) -> None:
    answer = _post(api, key)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json["detail"]
    assert _runs(engine) == []
