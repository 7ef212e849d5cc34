"""From the score of a dataset to the rows that spoil it, over real runs."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from atlas.errors import NotFound
from atlas.sync import quality
from tests.stages import pipeline
from tests.stages.conftest import Source

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": "string"},
        "status": {"type": "string", "enum": ["open", "closed"]},
        "amount": {"type": "number"},
        "updated_at": {"type": "string"},
    },
}


def _row(number: int, status: str, amount: Any) -> dict[str, Any]:
    return {
        "id": number,
        "email": f"jane.doe{number}@example.org",
        "status": status,
        "amount": amount,
        "updated_at": f"2026-01-{number:02d}",
    }


@pytest.fixture
def users(shop: Source, database_url: str) -> Source:
    """A dataset whose first run brought four rows, of which three are spoilt."""
    pipeline.ready(shop, database_url)
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {
        "users": [
            _row(1, "open", 1.5),
            _row(2, "lost", 2.5),
            _row(3, "closed", "much"),
            _row(4, "lost", "more"),
        ]
    }
    pipeline.sync(shop)
    return shop


def _show(conn: sa.Connection, run_id: str | None = None) -> Any:
    return quality.show(conn, "shop_users", run_id)


def test_a_score_leads_to_the_checks_and_to_the_rows(users: Source) -> None:
    with users.engine.connect() as conn:
        found = _show(conn)
        rows = quality.set_aside(conn, "shop_users", limit=10)
        by_check = quality.set_aside(conn, "shop_users", limit=10, check="validity.status")
        later = quality.set_aside(conn, "shop_users", limit=10, after=rows[0]["id"])
    assert (found["connection"], found["stream"], found["status"]) == ("shop", "users", "succeeded")
    assert found["scores"]["completeness"] == 1
    assert 0 < found["scores"]["validity"] < 1
    failed = {each["name"]: each for each in found["checks"] if each["outcome"] == "fail"}
    assert {"validity.status", "validity.types"} <= set(failed)
    assert failed["validity.status"]["failed_rows"] == 2
    assert failed["validity.status"]["score"] == 0.5
    assert "status" in failed["validity.status"]["definition"]
    printed = yaml.safe_load("\n".join(["checks:", *(e["definition"] for e in found["checks"])]))
    assert len(printed["checks"]) == len(found["checks"])
    # What failed comes first.
    outcomes = [each["outcome"] for each in found["checks"]]
    assert outcomes == sorted(outcomes, key=["error", "fail", "warn", "pass"].index)
    assert found["quarantined"]["validity.status"] == 2
    assert found["quarantined"]["type_of_amount"] == 2

    assert [each["row"]["id"] for each in rows] == ["4", "3", "2"]
    assert {"validity.status", "type_of_amount"} <= set(rows[0]["checks"])
    assert "validity.status" not in rows[1]["checks"]
    assert [each["row"]["id"] for each in by_check] == ["4", "2"]
    assert [each["row"]["id"] for each in later] == ["3", "2"]
    assert (rows[2]["row"]["status"], rows[2]["row"]["amount"]) == ("lost", "2.5")
    assert set(rows[1]["reasons"]) == {"amount"}
    assert {each["run_id"] for each in rows} == {found["run_id"]}
    # As in chart: masked.
    assert "jane" not in str(rows)


def test_scores_are_kept_run_by_run(users: Source) -> None:
    with users.engine.connect() as conn:
        first = _show(conn)
    users.rows = {"users": [_row(number, "open", number) for number in range(1, 5)]}
    pipeline.sync(users, full_refresh=True)
    with users.engine.connect() as conn:
        second = _show(conn)
        history = quality.history(conn, "shop_users", limit=10)
        assert quality.history(conn, "shop_users", limit=1) == history[:1]
        assert quality.history(conn, "shop_users", limit=10, after=history[0]["id"]) == history[1:]
        assert _show(conn, first["run_id"]) == first
        assert quality.of_run(conn, first["run_id"]) == [first]
        of_first = quality.set_aside(conn, "shop_users", limit=10, run_id=first["run_id"])
        assert len(of_first) == 3
        assert quality.set_aside(conn, "shop_users", limit=10, run_id=second["run_id"]) == []
    assert [each["run_id"] for each in history] == [second["run_id"], first["run_id"]]
    assert history[1]["scores"] == first["scores"]
    assert second["scores"]["validity"] == 1
    assert "validity.status" in history[1]["failed"]
    assert "validity.status" not in history[0]["failed"]


def test_what_is_not_there_is_said(users: Source) -> None:
    with users.engine.connect() as conn:
        run_id = _show(conn)["run_id"]
        for name, of_run in (
            ("nonsense", None),
            ("shop_users", "0192f5a2-1111-7111-8111-12345678"),
        ):
            with pytest.raises(NotFound):
                quality.show(conn, name, of_run)
        with pytest.raises(NotFound):
            quality.set_aside(conn, "nonsense", limit=1)
    users.rows = {"users": [], "orders": [{"id": 1, "updated_at": "2026-01-01"}]}
    pipeline.sync(users)
    with users.engine.connect() as conn, pytest.raises(NotFound, match="not checked in run"):
        quality.show(conn, "shop_orders", run_id)
