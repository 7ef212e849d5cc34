"""A declarative manifest beside the connections file, from ``atlas apply`` to history."""

from __future__ import annotations

from pathlib import Path

from tests.connectors.test_manifest import MANIFEST, ORDERS, TOKEN, Shop, shop
from tests.e2e.conftest import Atlas

__all__ = ["shop"]


def test_an_api_told_by_a_manifest_becomes_history(atlas: Atlas, shop: str, tmp_path: Path) -> None:
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(MANIFEST)
    atlas.apply(
        {
            "name": "by_manifest",
            "manifest": str(manifest),
            "config": {"url": shop, "api_key": TOKEN},
            "streams": {"orders": {"sync_mode": "incremental"}},
        }
    )
    first = atlas.sync("by_manifest")["streams"][0]["rows"]
    assert (first["explore"], first["promoted"]) == (len(ORDERS), len(ORDERS))
    said = atlas.json("state", "show", "by_manifest")["streams"][0]["state"]
    state = said["updated_at"]
    assert state == ORDERS[-1]["updated_at"]

    Shop.asked.clear()
    Shop.orders[1] = {**ORDERS[1], "total": "99.99", "updated_at": "2026-01-08T00:00:00Z"}
    Shop.orders.append({"id": 8, "total": "8.10", "updated_at": "2026-01-09T00:00:00Z"})
    atlas.sync("by_manifest")
    assert {query["since"][0] for query in Shop.asked} == {state}
    assert atlas.rows(
        "SELECT id, total, is_current FROM navigate.by_manifest_orders WHERE id IN (1, 2, 8)"
        " ORDER BY id, valid_from"
    ) == [(1, "1.10", True), (2, "2.10", False), (2, "99.99", True), (8, "8.10", True)]
