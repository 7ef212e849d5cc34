"""From the rows of a dataset to checks that a person may take over."""

from __future__ import annotations

from typing import Any

from atlas.model.quality import Quality
from atlas.sync import quality
from atlas.sync.quality_tried import try_out
from tests.stages import pipeline
from tests.stages.conftest import Source

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": "string"},
        "status": {"type": "string"},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "amount": {"type": "number"},
        "updated_at": {"type": "string"},
    },
}


def _row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "email": f"jane.doe{number}@example.org",
        "status": ("open", "it's closed")[number % 2],
        "kind": "a",
        "amount": number / 4,
        "updated_at": f"2026-01-01T00:{number % 60:02d}:00Z",
    }


def _suggested(shop: Source) -> Any:
    with shop.engine.begin() as conn:
        return quality.suggest(conn, "shop_users")


def test_suggestions_are_taken_pass_and_are_not_made_again(shop: Source, database_url: str) -> None:
    pipeline.ready(shop, database_url)
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {"users": [_row(number) for number in range(60)]}
    pipeline.sync(shop)
    found = _suggested(shop)
    assert found["rows"] == 60
    told = {(each["column"], each["dimension"]) for each in found["suggestions"]}
    assert ("status", "validity") in told
    assert ("amount", "validity") in told
    assert ("email", "completeness") in told
    # Masked, in the schema, the key.
    assert ("email", "validity") not in told
    assert ("email", "uniqueness") not in told
    assert ("kind", "validity") not in told
    assert not {dimension for column, dimension in told if column == "id"} & {
        "completeness",
        "uniqueness",
    }
    assert "jane" not in str(found)
    shop.quality = Quality(checks=found["sodacl"])
    with shop.engine.begin() as conn:
        try_out(conn, shop.settings, shop.connection)
    shop.rows = {"users": [_row(number) for number in range(60, 120)]}
    pipeline.sync(shop)
    with shop.engine.begin() as conn:
        shown = quality.show(conn, "shop_users")
    assert {each["outcome"] for each in shown["checks"] if "valid" in each["name"]} == {"pass"}
    assert _suggested(shop)["suggestions"] == []


def test_few_rows_suggest_nothing(shop: Source, database_url: str) -> None:
    pipeline.ready(shop, database_url)
    shop.rows = {"users": [{"id": 1, "updated_at": "2026-01-01"}]}
    pipeline.sync(shop)
    assert _suggested(shop)["sodacl"] == ""
