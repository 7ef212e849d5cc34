"""Findings, what people say of columns, and changes, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import names
from atlas.ledger import overrides, results, runs, verdict_changes
from atlas.ledger.database import cursor
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER

USERS = StreamKey("users")
SCHEMA = {"properties": {"email": {"type": "string"}, "address": {"type": "object"}}}
WORD = {"dataset": "shop_users", "column": "email", "says": "is_not", "why": "they are tests"}


@pytest.fixture
def users(engine: sa.Engine, shop: str) -> str:
    """A dataset that was scanned twice; returns its name."""
    stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH)
    before: list[Verdict] = []
    for entity in ("PERSON", "EMAIL_ADDRESS"):
        with engine.begin() as conn:
            run_id = runs.create(
                conn, connection=shop, trigger="cli", selected=None, full_refresh=False
            )
            runs.add_streams(conn, run_id, [(stream, True)], ORDER)
            (item,) = runs.streams(conn, run_id)
            names.tables(cursor(conn), shop, USERS)
            names.columns(cursor(conn), shop, USERS, SCHEMA)
            found = [
                Verdict("email", "", entity, 0.9, Scope.VALUE, Operator.MASK, 1.0, {"found": 3})
            ]
            results.put_findings(conn, item.id, found)
            if before:
                verdict_changes.put(conn, item.id, before, found)
            before = found
            conn.execute(
                sa.text(
                    "UPDATE pipeline.stage_run SET status = 'succeeded', finished_at = now()"
                    " WHERE run_id = :r AND stage = 'pii'"
                ),
                {"r": run_id},
            )
            conn.execute(sa.text("UPDATE pipeline.run SET status = 'succeeded'"))
    return "shop_users"


def test_a_dataset_shows_its_findings_and_what_is_said(api: Any, users: str) -> None:
    said = api.post("/api/v1/pii/overrides", "privacy", json=WORD)
    assert said.status_code == 201
    assert (said.json["actor"], said.json["says"]) == ("api: the privacy", "is_not")
    leaf = WORD | {"column": "address.city", "says": "operator", "operator": "drop"}
    assert api.post("/api/v1/pii/overrides", "privacy", json=leaf).status_code == 201
    shown = api.get(f"/api/v1/pii/datasets/{users}").json
    (finding,) = shown["findings"]
    assert (finding["column"], finding["entity_type"]) == ("email", "EMAIL_ADDRESS")
    assert shown["scanned_at"] is not None
    assert [(w["column"], w["says"]) for w in shown["overrides"]] == [
        ("address.city", "operator"),
        ("email", "is_not"),
    ]
    changes = api.get(f"/api/v1/pii/datasets/{users}/changes").json["items"]
    assert [(c["entity_type"], c["change"]) for c in changes] == [
        ("PERSON", "gone"),
        ("EMAIL_ADDRESS", "found"),
    ]


def test_the_last_word_holds_and_all_stay(api: Any, users: str) -> None:
    withdrawn = {k: WORD[k] for k in ("dataset", "column", "why")} | {"says": "withdrawn"}
    for word in (WORD, WORD | {"says": "is", "entity_type": "PERSON"}, withdrawn):
        assert api.post("/api/v1/pii/overrides", "privacy", json=word).status_code == 201
    assert api.get(f"/api/v1/pii/datasets/{users}").json["overrides"] == []
    base = f"/api/v1/pii/datasets/{users}/overrides"
    first = api.get(f"{base}?limit=2").json
    assert [word["says"] for word in first["items"]] == ["withdrawn", "is"]
    second = api.get(f"{base}?limit=2&cursor={first['next_cursor']}").json
    assert [word["says"] for word in second["items"]] == ["is_not"]
    assert second["next_cursor"] is None
    assert api.post("/api/v1/pii/overrides", "privacy", json=withdrawn).status_code == 422


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"dataset": "nowhere"}, 404, "there is no dataset"),
        ({"column": "mail"}, 404, "has no column"),
        ({"says": "is"}, 422, "say which entity type"),
        ({"says": "is", "entity_type": "EMAIL"}, 422, "did you mean EMAIL_ADDRESS?"),
        ({"operator": "drop"}, 422, "goes with `operator`"),
        ({"says": "operator", "entity_type": "PERSON"}, 422, "says nothing beside operator"),
        ({"why": " \n "}, 422, "say why"),
        ({"says": "maybe"}, 422, "is, is_not, operator, withdrawn"),
    ],
)
def test_what_cannot_be_said(
    api: Any, users: str, change: dict[str, Any], status: int, told: str
) -> None:
    refused = api.post("/api/v1/pii/overrides", "privacy", json=WORD | change)
    assert (refused.status_code, told in refused.json["detail"]) == (status, True), refused.json
    assert api.get(f"/api/v1/pii/datasets/{users}/overrides").json["items"] == []


def test_only_privacy_may_say(api: Any, users: str) -> None:
    assert api.post("/api/v1/pii/overrides", "operator", json=WORD).status_code == 403
    assert api.get(f"/api/v1/pii/datasets/{users}", None).status_code == 401
    assert api.get("/api/v1/pii/datasets/nowhere").status_code == 404


def test_a_run_goes_by_what_had_been_said_when_it_was_made(
    api: Any, engine: sa.Engine, users: str
) -> None:
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        made = runs.get(conn, run_id).created_at
    assert api.post("/api/v1/pii/overrides", "privacy", json=WORD).status_code == 201
    with engine.begin() as conn:
        assert overrides.of_stream(conn, "shop", USERS, made) == []
        assert len(overrides.of_stream(conn, "shop", USERS)) == 1
