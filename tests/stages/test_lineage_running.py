"""RUNNING events: of what is at work for long, once an attempt, and never after its end."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import claims, parts, runs
from atlas.ledger.claims import Claim, Found
from atlas.model.stage import Stage, Status
from atlas.stages import navigate, pii, work
from atlas.stages.work import PartWork, Work, at_work, begin, finish
from atlas.sync import perform as performing
from tests.lineage.validator import validate
from tests.stages import pipeline
from tests.stages.conftest import Source, row


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """A connection whose stream holds a few rows."""
    pipeline.ready(shop, database_url)
    shop.rows = {"users": [row(n, n) for n in range(1, 5)]}
    return shop


def _claim(shop: Source, run_id: str) -> Claim:
    claim = claims.claim(shop.engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, Claim)
    with shop.engine.begin() as conn:
        begin(conn, shop.settings, claim)
    return claim


def _old(shop: Source) -> None:
    """All attempts began a while ago."""
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.attempt SET started_at = started_at - interval '1 hour'")
        )


def _told(shop: Source, job: str) -> list[dict[str, Any]]:
    events = shop.column(
        "SELECT event FROM pipeline.lineage_event WHERE event -> 'job' ->> 'name' = :j ORDER BY id",
        j=job,
    )
    for event in events:
        validate(event)
    return events


def _kinds(shop: Source, job: str = "shop.explore") -> list[str]:
    return [event["eventType"] for event in _told(shop, job)]


def test_an_attempt_that_takes_long_is_told_once(shop: Source) -> None:
    claim = _claim(shop, shop.begin())
    assert not at_work(shop.engine, shop.settings, claim)
    assert _kinds(shop) == ["START"]
    _old(shop)
    assert at_work(shop.engine, shop.settings, claim)
    assert at_work(shop.engine, shop.settings, claim)
    assert _kinds(shop) == ["START", "RUNNING"]
    ids = {event["run"]["runId"] for event in _told(shop, "shop.explore")}
    assert len(ids) == 1
    # The next attempt has its own.
    with shop.engine.begin() as conn:
        work.postpone(conn, shop.settings, claim, delay=0, error="away", cause="c")
    again = _claim(shop, claim.run_id)
    assert not at_work(shop.engine, shop.settings, again)
    _old(shop)
    assert at_work(shop.engine, shop.settings, again)
    assert _kinds(shop) == ["START", "RUNNING", "FAIL", "START", "RUNNING"]


def test_whoever_lost_the_claim_tells_nothing(shop: Source) -> None:
    claim = _claim(shop, shop.begin())
    _old(shop)
    with shop.engine.begin() as conn:
        assert claims.seize(conn, claim.stage_run_id, "other") is not None
    assert not at_work(shop.engine, shop.settings, claim)
    assert _kinds(shop) == ["START"]


def test_the_end_is_the_last_that_is_told(shop: Source) -> None:
    """The attempt ends in a transaction that is still open: whoever tells that it runs waits for
    that, and then has nothing to tell."""
    claim = _claim(shop, shop.begin())
    _old(shop)
    done: list[bool] = []
    thread = threading.Thread(
        target=lambda: done.append(at_work(shop.engine, shop.settings, claim))
    )
    with shop.engine.begin() as conn:
        finish(conn, shop.settings, claim, Status.FAILED, error="it broke")
        thread.start()
        until = time.monotonic() + 60
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock'"
        )
        while not shop.value(waiting):
            assert time.monotonic() < until, "nobody waits for the end"
            time.sleep(0.02)
    thread.join()
    assert done == [False]
    assert _kinds(shop) == ["START", "FAIL"]


def test_whoever_renews_the_lease_tells_it(shop: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    pipeline.stages(shop, run_id, until=Stage.CHART)
    with shop.engine.begin() as conn:
        (stream,) = runs.streams(conn, run_id)
    run = navigate.run
    job = "shop.users.navigate"

    def slow(at: Work) -> None:
        until = time.monotonic() + 60
        while "RUNNING" not in _kinds(shop, job):
            assert time.monotonic() < until, "nobody tells that it runs"
            time.sleep(0.05)
        run(at)

    monkeypatch.setattr(navigate, "run", slow)
    monkeypatch.setattr(work, "LONG", 0.0)
    settings = dataclasses.replace(shop.settings, lease_seconds=3.0)
    found = performing.perform(shop.engine, settings, Stage.NAVIGATE, run_stream_id=stream.id)
    assert found is Found.DONE
    assert _kinds(shop, job) == ["START", "RUNNING", "COMPLETE"]


def test_one_that_was_parked_tells_it_when_it_goes_on(shop: Source) -> None:
    shop.settings = dataclasses.replace(shop.settings, batch_rows=2)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    with shop.engine.begin() as conn:
        (stream,) = runs.streams(conn, run_id)

    def attempt() -> Work:
        claim = claims.claim(shop.engine, Stage.PII, run_stream_id=stream.id, holder="t", lease=60)
        assert isinstance(claim, Claim)
        at = Work(claim, shop.engine, shop.settings, lambda _: None)
        with at.transaction() as conn:
            begin(conn, shop.settings, claim)
        pii.run(at)
        return at

    parked = 0
    while attempt().parked:
        parked += 1
        _old(shop)
        while part := parts.claim(shop.engine, holder="t", lease=60, max_attempts=3):
            pii.run_part(PartWork(part, "t", shop.engine, shop.settings, lambda _: None))
    assert parked
    events = _told(shop, "shop.users.pii")
    assert [event["eventType"] for event in events] == ["START", "RUNNING", "COMPLETE"]
    # What it will have read is not told before it has.
    counts = [event["inputs"][0].get("inputFacets", {}) for event in events]
    assert [bool(each) for each in counts] == [False, False, True]
