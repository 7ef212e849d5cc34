"""A run is held against the one before it that has ended, stream by stream."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.ledger import claims, ends, runs
from atlas.ledger.claims import Claim
from atlas.ledger.tables import finding, quality_score, run_stream, schema_change
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER


def _run(engine: sa.Engine, *streams: str, trigger: str = "api", end: bool = True) -> str:
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger=trigger, selected=None, full_refresh=False
        )
        configured = [
            ConfiguredStream(StreamKey(name), {}, SyncMode.FULL_REFRESH) for name in streams
        ]
        runs.add_streams(conn, run_id, [(item, True) for item in configured], list(ORDER))
    if end:
        _end(engine, run_id)
    return run_id


def _end(engine: sa.Engine, run_id: str) -> None:
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="here:1", lease=60)
    assert isinstance(claim, Claim)
    with engine.begin() as conn:
        for number in runs.stream_ids(conn, run_id):
            ends.end_stream(conn, number, Status.SUCCEEDED, None)
        ends.finish(conn, claim, Status.SUCCEEDED)


def _found(
    engine: sa.Engine, run_id: str, rows: int, score: float, personal: dict[str, str]
) -> None:
    """What stands of stream users in a run."""
    with engine.begin() as conn:
        number = conn.execute(
            run_stream.update()
            .where(run_stream.c.run_id == run_id, run_stream.c.stream == "users")
            .values(rows_explore=rows)
            .returning(run_stream.c.id)
        ).scalar_one()
        conn.execute(
            quality_score.insert().values(run_stream_id=number, dimension="overall", score=score)
        )
        for column, entity in personal.items():
            conn.execute(
                finding.insert().values(
                    run_stream_id=number,
                    column_name=column,
                    entity_type=entity,
                    score=1.0,
                    scope="column",
                    operator="mask",
                    share=1.0,
                    evidence={},
                )
            )
        conn.execute(
            schema_change.insert().values(
                run_stream_id=number,
                table_name="shop_users",
                column_name=f"c{rows}",
                change="added",
                detail={},
            )
        )


def _compare(api: Any, run_id: str) -> Any:
    return api.get(f"/api/v1/runs/{run_id}/comparison").json


def test_rows_times_scores_and_findings(api: Any, shop: str, engine: sa.Engine) -> None:
    first = _run(engine, "users", "orders")
    _found(engine, first, 90, 0.9, {"email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER"})
    second = _run(engine, "users", "visits")
    _found(engine, second, 100, 0.8, {"email": "EMAIL_ADDRESS", "city": "LOCATION"})
    found = _compare(api, second)
    assert found["previous"]["run_id"] == first
    assert found["rows"]["explore"] == {"now": 100, "before": 90}
    assert found["seconds"]["now"] is not None
    assert found["stages"]["explore"]["before"] is not None
    users, visits, orders = found["streams"]
    assert [each["stream"] for each in (users, visits, orders)] == ["users", "visits", "orders"]
    assert users["scores"]["overall"] == {"now": 0.8, "before": 0.9}
    assert (users["findings"]["now"], users["findings"]["before"]) == (2, 2)
    assert [each["column"] for each in users["findings"]["new"]] == ["city"]
    assert [each["column"] for each in users["findings"]["gone"]] == ["phone"]
    assert [each["column"] for each in users["schema_changes"]] == ["c100"]
    # A stream that only one of them has is no loss and no gain.
    assert visits["rows"]["explore"] == {"now": 0, "before": None}
    assert visits["status"] == {"now": "succeeded", "before": None}
    assert orders["rows"]["explore"] == {"now": None, "before": 0}
    assert orders["findings"]["gone"] == []


def test_the_first_run_has_none_before(api: Any, shop: str, engine: sa.Engine) -> None:
    found = _compare(api, _run(engine, "users"))
    assert found["previous"] is None
    assert found["rows"]["explore"] == {"now": 0, "before": None}
    assert found["streams"][0]["findings"]["before"] is None


def test_what_a_run_is_held_against(
    api: Any, shop: str, add_connection: Any, engine: sa.Engine
) -> None:
    add_connection("other")
    first = _run(engine, "users")
    remask = _run(engine, "users", trigger="remask")
    last = _run(engine, "users", end=False)
    # A sync against a sync; what masks anew against what there was.
    assert _compare(api, last)["previous"]["run_id"] == first
    assert _compare(api, remask)["previous"]["run_id"] == first
    _end(engine, last)
    again = _run(engine, "users", trigger="remask")
    assert _compare(api, again)["previous"]["run_id"] == last
    assert api.get("/api/v1/runs/none/comparison").status_code == 404
