"""Encrypted values are read by whoever may, and that they were is written down first."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import names
from atlas.ledger import audit, secrets
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey
from atlas.pii.sealing import Sealing
from tests.web.conftest import SECRET

PATH = "/api/v1/pii/decrypt"


@pytest.fixture
def sealed(engine: sa.Engine, shop: str) -> str:
    """An encrypted value of dataset ``shop_users``."""
    stream = StreamKey("users")
    with engine.begin() as conn:
        names.tables(cursor(conn), shop, stream)
        names.columns(cursor(conn), shop, stream, {"properties": {"email": {"type": "string"}}})
        identity = secrets.keys(conn, SECRET.encode()).identity
    return Sealing(secrets.derive(identity, "encrypt")).seal("ann@corp.example")


def _ask(api: Any, role: str, sealed: str, **change: Any) -> Any:
    body = {"dataset": "shop_users", "column": "email", "values": [sealed], "why": "a court\n asks"}
    return api.post(PATH, role, json=body | change)


def _entries(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.connect() as conn:
        return audit.entries(conn, limit=9, action="pii.decrypt")


def test_who_reads_what_and_why_is_written_down(api: Any, engine: sa.Engine, sealed: str) -> None:
    answer = _ask(api, "privacy", sealed, values=[sealed, f"write to {sealed}!"])
    assert answer.json == {"values": ["ann@corp.example", "write to ann@corp.example!"]}
    assert answer.headers["Cache-Control"] == "no-store"
    (entry,) = _entries(engine)
    assert (entry["actor"], entry["action"], entry["subject"]) == (
        "api: the privacy",
        "pii.decrypt",
        "shop_users.email",
    )
    assert (entry["detail"]["why"], entry["detail"]["count"]) == ("a court asks", 2)
    assert "ann" not in json.dumps(entry["detail"])
    assert sealed not in json.dumps(entry["detail"])


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_nobody_else_reads_it(api: Any, engine: sa.Engine, sealed: str, role: str) -> None:
    refused = _ask(api, role, sealed)
    assert (refused.status_code, refused.json["required_role"]) == (403, "privacy")
    assert _entries(engine) == []


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"dataset": "nowhere"}, 404, "there is no dataset"),
        ({"column": "mail"}, 404, "has no column"),
        ({"why": "  "}, 422, "say why"),
        ({"values": []}, 422, "values"),
        ({"values": ["enc_" + "A" * 40]}, 422, "cannot be decrypted"),
        ({"values": ["tok_0123"]}, 422, "nothing encrypted"),
    ],
)
def test_what_is_refused_leaves_no_entry_and_tells_no_value(
    api: Any, engine: sa.Engine, sealed: str, change: dict[str, Any], status: int, told: str
) -> None:
    if "values" in change:
        change = {"values": change["values"] and [sealed, *change["values"]]}
    refused = _ask(api, "privacy", sealed, **change)
    assert (refused.status_code, told in refused.json["detail"]) == (status, True), refused.json
    assert "ann@" not in refused.text
    assert _entries(engine) == []


def test_nothing_is_read_that_could_not_be_written_down(
    api: Any, engine: sa.Engine, sealed: str
) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("ALTER TABLE pipeline.audit RENAME TO away"))
    try:
        refused = _ask(api, "privacy", sealed)
        assert refused.status_code >= 500
        assert "ann@" not in refused.text
    finally:
        with engine.begin() as conn:
            conn.execute(sa.text("ALTER TABLE pipeline.away RENAME TO audit"))
