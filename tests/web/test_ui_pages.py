"""The operating pages: what they show, what their forms do, and to whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import claims, runs
from atlas.ledger.tables import connection, run, run_stream, stage_run
from atlas.model.stage import Stage
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER
from atlas.web.ui import timeline

from .conftest import Api

HTML = {"Accept": "text/html"}


def _get(api: Api, path: str, role: str = "viewer") -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return str(answer.text)


def _post(api: Api, path: str, role: str = "operator", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


@pytest.fixture
def begun(engine: sa.Engine, shop: str) -> str:
    """A run of ``shop`` whose explore stage is at work on two streams."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="api", selected=None, full_refresh=False
        )
        streams = [
            (ConfiguredStream(StreamKey(name), {}, SyncMode.FULL_REFRESH), False)
            for name in ("users", "orders")
        ]
        runs.add_streams(conn, run_id, streams, list(ORDER))
        conn.execute(run_stream.update().values(rows_explore=1234, rows_estimate=5000))
    claims.claim(engine, Stage.EXPLORE, run_id=run_id, run_stream_id=None, holder="t", lease=60)
    return run_id


def test_a_first_page_says_what_to_do_first(api: Api) -> None:
    assert "Connect your first source" in _get(api, "/")
    assert "No connection yet" in _get(api, "/connections", "operator")
    assert "Nothing has run yet" in _get(api, "/runs")


def test_the_overview_tells_of_a_queue_that_nobody_works_on(api: Api, shop: str) -> None:
    assert "No worker on queue control, extract, load, scan" in _get(api, "/")


def test_a_run_is_shown_while_it_runs(api: Api, begun: str) -> None:
    text = _get(api, f"/runs/{begun}", "operator")
    assert "2,468" in text  # both streams together
    assert "24 %" in text
    assert f'data-events="/api/v1/runs/{begun}/events' in text
    assert f'action="/runs/{begun}/cancel"' in text
    assert "2,468" in _get(api, "/runs")
    # A viewer sees it, and no button for what it may not.
    assert "/cancel" not in _get(api, f"/runs/{begun}")


def test_a_run_that_went_wrong_says_so_once_and_can_be_retried(
    api: Api, begun: str, engine: sa.Engine
) -> None:
    why = "the source refused the password"
    with engine.begin() as conn:
        conn.execute(stage_run.update().values(status="failed", error=why, attempt=2))
        conn.execute(run_stream.update().values(status="failed", error=why))
        conn.execute(run.update().values(status="failed", error=why, finished_at=sa.func.now()))
    text = _get(api, f"/runs/{begun}", "operator")
    card = text[text.index("What went wrong") : text.index("Stages over time")]
    assert card.count(why) == 11  # each stage of each stream has it here, and the run's is theirs
    assert f'action="/runs/{begun}/retry"' in text
    assert "data-events" not in text


def test_cancel_ends_it_and_a_second_time_says_so(api: Api, begun: str) -> None:
    assert _post(api, f"/runs/{begun}/cancel").headers["Location"] == f"/runs/{begun}"
    assert "The run is cancelled" in _get(api, f"/runs/{begun}")
    _post(api, f"/runs/{begun}/cancel")
    assert "It has ended already" in _get(api, f"/runs/{begun}")


def test_a_sync_is_started_once(api: Api, shop: str) -> None:
    first = _post(api, "/connections/shop/sync").headers["Location"]
    assert re.fullmatch(r"/runs/[0-9a-f-]{36}", first)
    assert _post(api, "/connections/shop/sync").headers["Location"] == first
    assert "It is being synced already" in _get(api, first)


def test_a_part_is_synced_from_its_start(api: Api, begun: str, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(run.update().values(status="succeeded", finished_at=sa.func.now()))
    page = _get(api, "/connections/shop", "operator")
    assert 'name="stream" type="checkbox" value="orders"' in page
    _post(api, "/connections/shop/sync", stream="orders", full_refresh="on")
    with engine.begin() as conn:
        newest = conn.execute(sa.select(run).order_by(run.c.seq.desc())).first()
    assert newest is not None
    assert (newest.selected, newest.full_refresh) == (["orders"], True)


def test_data_are_masked_anew(api: Api, begun: str, engine: sa.Engine) -> None:
    path = "/connections/shop/remask"
    assert _post(api, path).status_code == 403
    _post(api, path, "privacy")
    assert "Not masked anew: connection shop: none of its" in _get(api, "/connections/shop")
    with engine.begin() as conn:
        conn.execute(stage_run.update().values(status="succeeded"))
    assert _post(api, path, "privacy").headers["Location"] == f"/runs/{begun}"
    with engine.begin() as conn:
        conn.execute(run.update().values(status="succeeded", finished_at=sa.func.now()))
    made = _post(api, path, "privacy").headers["Location"]
    assert "by remask" in _get(api, made)


@pytest.mark.parametrize(
    "path",
    [
        "/connections/shop/sync",
        "/connections/shop/accept",
        "/connections/shop/delete",
        "/connections/shop/edit",
        "/connections/new",
        "/connectors/source-faker/install",
    ],
)
def test_a_viewer_changes_nothing(api: Api, shop: str, path: str) -> None:
    answer = _post(api, path, "viewer")
    assert answer.status_code == 403
    assert "Your role is <strong>viewer</strong>" in answer.text


def test_what_no_database_can_hold_is_refused(api: Api, shop: str) -> None:
    for path, status in (("/connections/a%00b", 404), ("/runs?connection=a%00b", 422)):
        assert api.get(path, headers={"Accept": "text/html"}).status_code == status
    assert _post(api, "/connections/shop/delete", name="sh\0op").status_code == 422


def test_a_connection_goes_only_when_its_name_is_typed(
    api: Api, shop: str, engine: sa.Engine
) -> None:
    assert _post(api, "/connections/shop/delete", name="sho").status_code == 422
    with engine.begin() as conn:
        assert conn.execute(sa.select(connection.c.name)).scalars().all() == ["shop"]
    assert _post(api, "/connections/shop/delete", name="shop").status_code == 303
    with engine.begin() as conn:
        assert conn.execute(sa.select(connection.c.name)).scalars().all() == []
    assert "its tables stay" in _get(api, "/connections")


def test_what_there_is_not_is_a_page_that_says_so(api: Api) -> None:
    for path in ("/runs/nonsense", "/connections/nonsense", "/connectors/source-nonsense"):
        answer = api.get(path, headers=HTML)
        assert answer.status_code == 404, path
        assert "<html" in answer.text


def test_the_catalog_of_connectors_is_searched(api: Api) -> None:
    text = _get(api, "/connectors?q=faker")
    assert "source-faker" in text
    assert "source-stripe" not in text
    assert "source-faker" in _get(api, "/connectors?q=faker&way=package")
    assert "source-faker" not in _get(api, "/connectors?q=faker&way=docker")
    first = _get(api, "/connectors")
    cursor = re.search(r'rel="next" href="([^"]+)"', first)
    assert cursor is not None
    second = _get(api, cursor[1].replace("&amp;", "&"))
    names = [
        set(re.findall(r'href="/connectors/(source-[^"]+)"', page)) for page in (first, second)
    ]
    assert not names[0] & names[1]
    assert "No connector is called so" in _get(api, "/connectors?q=zzzz")


def test_connections_are_paged(
    api: Api, add_connection: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas.web.ui.connections._PER_PAGE", 2)
    for name in ("a", "b", "c"):
        add_connection(name)
    first = _get(api, "/connections")
    assert "/connections/b" in first
    assert 'href="/connections/c"' not in first
    assert 'href="/connections/c"' in _get(api, "/connections?cursor=b")


def test_bars_stand_where_the_stages_were() -> None:
    stage = {"stage": "explore", "status": "succeeded", "rows": 5, "error": None, "attempt": 1}
    document = {
        "status": "succeeded",
        "created_at": "2025-03-01T09:00:00Z",
        "finished_at": "2025-03-01T09:00:10Z",
        "stages": [
            {
                **stage,
                "started_at": "2025-03-01T09:00:02.5Z",
                "finished_at": "2025-03-01T09:00:07.5Z",
            }
        ],
        "streams": [],
    }
    (row,) = timeline.rows(document)
    assert 'x="250.0"' in row["bars"]
    assert 'width="500.0"' in row["bars"]
    assert "explore: succeeded, 5.0 s, 5 rows" in row["bars"]


def test_the_log_is_searched(api: Api, begun: str, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.run_log (run_id, line, at, level, origin, message)"
                " SELECT :run, n, now(), CASE n WHEN 2 THEN 'error' ELSE 'info' END, 'connector',"
                " 'line number ' || n || ' <b>' FROM generate_series(1, 3) n"
            ),
            {"run": begun},
        )
    text = _get(api, f"/runs/{begun}/log")
    assert text.count("log-line ") == 3
    assert "line number 1 &lt;b&gt;" in text
    assert _get(api, f"/runs/{begun}/log?q=NUMBER+3").count("log-line ") == 1
    assert _get(api, f"/runs/{begun}/log?level=error").count("log-line ") == 1
