"""What is old goes where the settings say so, and nothing that is still needed."""

from __future__ import annotations

import dataclasses
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from atlas.cli import database as cli_database
from atlas.cli.maintenance import maintenance as command
from atlas.errors import UsageError
from atlas.ledger import audit
from atlas.model import ids
from atlas.settings import parse
from atlas.sync import maintenance, request, subjects
from atlas.sync.maintenance import Kept, maintain
from tests.stages.conftest import Source, row
from tests.stages.pipeline import ready, stages, sync

RAW = "SELECT (data ->> 'id')::int FROM explore.shop_users_raw ORDER BY _atlas_id"
CHART = "SELECT id FROM chart.shop_users ORDER BY id"
SEGMENTS = (
    "SELECT first_id || '-' || last_id FROM pipeline.segment g JOIN pipeline.run_stream s"
    " ON s.id = g.run_stream_id WHERE s.stream = 'users' ORDER BY first_id"
)
JANE = "jane.roe@example.org"
NONE: dict[str, Any] = {"quarantine_days": None, "explore_days": None}


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    ready(shop, database_url)
    shop.rows["users"] = [row(1, 1), row(2, 2), row(3, 3)]
    return shop


def _age(shop: Source, days: int = 10) -> None:
    """All that came so far came so many days before now."""
    old = f"now() - make_interval(days => {days})"
    with shop.engine.begin() as conn:
        conn.execute(sa.text(f"UPDATE explore.shop_users_raw SET _atlas_loaded_at = {old}"))
        conn.execute(sa.text(f"UPDATE pipeline.run SET finished_at = {old}"))


def _keep(shop: Source, **days: int | None) -> Kept:
    settings = dataclasses.replace(shop.settings, **{**NONE, **days})
    return maintain(shop.engine, settings)


def test_raw_rows_that_came_to_chart_go_after_their_days(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "STEP", 2)
    sync(shop)
    _age(shop)
    shop.rows["users"].append(row(4, 4))
    sync(shop)
    raw = shop.column(RAW)
    young = raw[3:]
    assert 4 in young
    read = shop.column(SEGMENTS)
    assert len(read) == 2
    for days in (None, 11):
        assert _keep(shop, explore_days=days).explore == 0
        assert shop.column(RAW) == raw
        assert shop.column(SEGMENTS) == read
    assert _keep(shop, explore_days=9) == Kept(3, 0, 0, 0, [])
    assert shop.column(RAW) == young
    # Where they were is forgotten with them; how many they were is not.
    assert shop.column(SEGMENTS) == read[1:]
    assert shop.column("SELECT rows_explore FROM pipeline.run_stream WHERE stream = 'users'") == [
        *(3, len(young)),
    ]
    assert shop.column(CHART) == [1, 2, 3, 4]
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE is_current") == 4
    with shop.engine.connect() as conn:
        told = [each["detail"] for each in audit.entries(conn, limit=5, action="explore.expire")]
    assert told == [{"rows": 1, "days": 9}, {"rows": 2, "days": 9}]
    # What comes afterwards is told from what was there.
    shop.rows["users"] = [row(1, 5, name="other"), row(4, 4)]
    sync(shop)
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE id = '1'") == 2
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE id = '4'") == 1


def test_rows_that_never_came_to_chart_stay_until_they_do(shop: Source) -> None:
    sync(shop)
    shop.rows["users"].append(row(4, 4))
    shop.run()  # it reads, and its later stages never happen
    with shop.engine.begin() as conn:
        failed = "UPDATE pipeline.{} SET status = 'failed' WHERE status NOT IN ('succeeded')"
        for table in ("stage_run", "run_stream", "run"):
            conn.execute(sa.text(failed.format(table)))
    _age(shop)
    read = shop.column(RAW)
    assert _keep(shop, explore_days=1).explore == 3
    left = shop.column(RAW)
    assert left == read[3:]
    assert 4 in left
    shop.rows["users"] = []
    sync(shop)
    assert shop.column(CHART) == [1, 2, 3, 4]
    assert _keep(shop, explore_days=1).explore == len(left)


def test_nothing_goes_from_under_a_run_that_reads_it(shop: Source) -> None:
    sync(shop)
    _age(shop)
    with shop.engine.begin() as conn:
        run_id = request.record_remask(conn, "shop", actor="cli: officer")
    found = _keep(shop, explore_days=1)
    assert found.explore == 0
    assert found.left == [f"explore of shop_users: nothing goes before run {run_id} ends"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    assert _keep(shop, explore_days=1) == Kept(3, 0, 0, 0, [])


def test_nothing_goes_that_an_erasure_is_to_find(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the end of a sync, and finds who is masked in chart by the raw row."""
    shop.extra["users"] = {
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "integer"},
                "email": {"type": "string"},
                "updated_at": {"type": "string"},
            },
        }
    }
    shop.pii = {"columns": {"email": "mask"}}
    shop.rows["users"][0]["email"] = JANE
    sync(shop)
    _age(shop)
    asked = subjects.request([JANE])
    with monkeypatch.context() as dying:  # as soon as it was accepted
        dying.setattr(subjects, "_go_on", lambda *_: None)
        subjects.erase(shop.engine, shop.settings, asked, actor="cli: dpo")
    active = shop.begin()
    found = _keep(shop, explore_days=1)
    assert (found.explore, len(found.left)) == (0, 1)
    assert "to be erased first" in found.left[0]
    assert shop.attempt(active) is None
    stages(shop, active)
    settings = dataclasses.replace(shop.settings, redispatch_seconds=0.0)
    subjects.resume(shop.engine, settings)
    with shop.engine.connect() as conn:
        assert subjects.erasure(conn, 1)["total"]["chart"] == 1
    assert 1 not in shop.column(CHART)
    assert _keep(shop, explore_days=1).explore > 0


def test_a_row_in_quarantine_keeps_its_raw_row_and_what_came_after_it(shop: Source) -> None:
    properties = {"id": "integer", "age": "integer", "updated_at": "string"}
    typed = {name: {"type": kind} for name, kind in properties.items()}
    shop.extra["users"] = {"schema": {"type": "object", "properties": typed}}
    shop.rows["users"] = [row(1, 1), row(2, 2, age="old"), row(3, 3)]
    sync(shop)
    _age(shop)
    # As of a run that carried it along, and ended lately.
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET finished_at = now()"))
    read = shop.column(SEGMENTS)
    assert _keep(shop, explore_days=5, quarantine_days=5) == Kept(1, 0, 0, 0, [])
    assert shop.column(RAW) == [2, 3]
    assert shop.column(SEGMENTS) == read
    _age(shop)
    assert _keep(shop, explore_days=5, quarantine_days=5) == Kept(2, 1, 0, 0, [])
    assert shop.column(SEGMENTS) == []


def test_logs_and_events_go_with_their_days_but_not_what_waits(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        began = time.time_ns() - 100 * 86_400 * 10**9
        earlier.setattr(ids, "time", SimpleNamespace(time_ns=lambda: began))
        old = sync(shop)["run_id"]
    with shop.engine.begin() as conn:
        ended = "UPDATE pipeline.run SET finished_at = now() - make_interval(hours => 100 * 24 - 1)"
        conn.execute(sa.text(ended))
    new = sync(shop)["run_id"]
    waiting = "SELECT count(*) FROM pipeline.lineage_event WHERE delivered_at IS NULL"
    logged = "SELECT DISTINCT run_id FROM pipeline.run_log ORDER BY 1"
    events = "SELECT DISTINCT run_id FROM pipeline.lineage_event ORDER BY 1"
    for run_id in (old, new):
        with shop.engine.begin() as conn:
            conn.execute(
                sa.text(
                    "INSERT INTO pipeline.run_log (run_id, line, level, origin, message)"
                    " VALUES (:r, 1000, 'info', 'atlas', 'x')"
                ),
                {"r": run_id},
            )
    assert shop.value(waiting) > 0
    assert _keep(shop, run_log_days=100, lineage_days=None) == Kept(0, 0, 0, 0, [])
    assert _keep(shop, run_log_days=None, lineage_days=99) == Kept(0, 0, 0, 0, [])
    assert _keep(shop, run_log_days=99, lineage_days=99).run_log > 0
    assert shop.column(logged) == [new]
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.lineage_event SET delivered_at = now()"))
    assert _keep(shop, run_log_days=99, lineage_days=99).lineage_events > 0
    assert shop.column(events) == [new]


def test_the_command_tells_how_much(shop: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(shop)
    _age(shop)
    settings = dataclasses.replace(shop.settings, quarantine_days=1, explore_days=1)
    monkeypatch.setattr(cli_database, "engine", lambda: shop.engine)
    monkeypatch.setattr("atlas.settings.settings", lambda: settings)
    done = CliRunner().invoke(command, ["--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {
        "deleted": {"explore": 3, "quarantine": 0, "run_log": 0, "lineage_events": 0},
        "left": [],
    }


@pytest.mark.parametrize(
    "environ",
    [
        {"ATLAS_EXPLORE_DAYS": "30"},
        {"ATLAS_EXPLORE_DAYS": "30", "ATLAS_QUARANTINE_DAYS": "31"},
        {"ATLAS_EXPLORE_DAYS": "0", "ATLAS_QUARANTINE_DAYS": "1"},
        {"ATLAS_EXPLORE_DAYS": "30", "ATLAS_QUARANTINE_DAYS": "off"},
        {"ATLAS_EXPLORE_DAYS": "36501", "ATLAS_QUARANTINE_DAYS": "1"},
    ],
)
def test_what_could_not_be_put_right_any_more_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="ATLAS_EXPLORE_DAYS"):
        parse(environ)
    assert parse({**environ, "ATLAS_EXPLORE_DAYS": "31", "ATLAS_QUARANTINE_DAYS": "31"})


def test_days_may_be_a_century_or_none(shop: Source) -> None:
    off = parse({"ATLAS_RUN_LOG_DAYS": "off", "ATLAS_LINEAGE_DAYS": "off"})
    assert (off.run_log_days, off.lineage_days) == (None, None)
    sync(shop)
    assert _keep(shop, run_log_days=36_500, lineage_days=36_500) == Kept(0, 0, 0, 0, [])
