"""The pages of lineage: the picture, its links and bounds, a run's events, and where they go."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import explore, names
from atlas.ledger import deliveries
from atlas.ledger.database import cursor
from atlas.model.stream import StreamKey
from atlas.web.ui import graph

from .conftest import Api
from .test_web_lineage import NOWHERE, told

__all__ = ["told"]  # a fixture

HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>"


def _page(api: Api, path: str, role: str = "viewer", status: int = 200) -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == status, path
    text: str = answer.text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=\"", text)
    assert len(text) < 200_000
    return text


def test_a_dataset_and_a_column_are_drawn_with_links_to_the_others(
    api: Api, told: list[str]
) -> None:
    page = _page(api, "/lineage/shop_users")
    assert page.count('class="node"') == 4
    assert 'href="/lineage/explore.shop_users_raw"' in page
    assert 'href="/lineage/chart.shop_users?column=email"' in page
    assert 'class="edge masking"' in page
    column = _page(api, "/lineage/shop_users?column=email&direction=upstream")
    assert column.count('class="port"') == 4
    assert "mask EMAIL_ADDRESS" in column
    # As of the first run nothing was masked, and the links stay with that run.
    first = _page(api, f"/lineage/shop_users?column=email&run={told[0]}")
    assert "masking" not in first.partition('<svg class="graph')[2].partition("</svg>")[0]
    assert f"run={told[0]}" in first
    for nowhere in ("nowhere", f"shop_users?run={NOWHERE}", "shop_users?column=x", "runs/x"):
        _page(api, f"/lineage/{nowhere}", status=404)


def test_what_has_no_lineage_yet_says_so(api: Api, engine: sa.Engine, shop: str) -> None:
    assert "No lineage yet" in _page(api, "/lineage")
    with engine.begin() as conn:
        explore.ensure(cursor(conn), names.tables(cursor(conn), shop, StreamKey("users")))
    assert 'href="/lineage/shop_users"' in _page(api, "/lineage")
    assert "No lineage yet" in _page(api, "/lineage/shop_users")
    assert "Nothing matches" in _page(api, "/lineage?q=nonsense")


def test_a_runs_events_and_where_they_go(api: Api, engine: sa.Engine, told: list[str]) -> None:
    assert "No sink is set up" in _page(api, "/lineage/sinks", "operator")
    with engine.begin() as conn:
        deliveries.use(conn, {"marquez": "http://marquez:5000"})
        first, *_ = deliveries.waiting(conn, "marquez")
        deliveries.refused(conn, "marquez", first, "lineage endpoint marquez refused it")
    path = f"/lineage/runs/{told[0]}"
    assert "refused it" in _page(api, path, "operator")
    viewer = _page(api, path)
    assert "refused it" not in viewer
    assert "marquez waits, 1 failed" in viewer
    assert viewer.count('class="node"') == 5
    assert "/lineage/sinks" not in _page(api, "/lineage")
    _page(api, "/lineage/sinks", status=403)
    assert "marquez" in _page(api, "/lineage/sinks", "operator")


def _graph(datasets: int, columns: int) -> dict[str, Any]:
    nodes = [
        {
            "id": str(n),
            "namespace": "x",
            "name": f"{EVIL}{n}",
            "dataset": f"chart.{'w' * 200}{n}" if n else None,
            "layer": "chart" if n else None,
            "column": None,
        }
        for n in range(datasets)
    ]
    steps = [{"masking": True, "type": "DIRECT", "subtype": None, "description": EVIL}]
    told = [
        {"source": f"{EVIL}{c}", "target": f"\u202e{c}", "steps": steps} for c in range(columns)
    ]
    edges = [
        {"source": "0", "target": str(n), "masking": True, "columns": told}
        for n in range(1, datasets)
    ]
    return {"nodes": nodes, "edges": edges, "cut": False}


@pytest.mark.parametrize(("datasets", "columns"), [(2, 2000), (500, 3), (60, 60), (1, 0)])
def test_a_picture_is_bounded_and_says_what_it_leaves_out(datasets: int, columns: int) -> None:
    asked = _graph(datasets, columns)
    picture = graph.draw(asked, EVIL)
    assert len(picture.svg) < 150_000
    assert EVIL not in picture.svg
    assert picture.svg.count('class="node"') == min(datasets, graph.MOST_BOXES)
    assert bool(picture.left_out) == (datasets > 1)
    assert graph.draw(asked, EVIL).svg == picture.svg
