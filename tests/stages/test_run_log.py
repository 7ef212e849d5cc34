"""What a connector says and what stages do stands in the run's log: redacted, in batches."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import claims, run_log
from atlas.ledger.claims import Claim
from atlas.model.stage import Stage, Status
from atlas.stages.run_log import ConnectorLog
from atlas.stages.work import Work, begin, finish, hand_back, postpone
from tests.stages.conftest import Source, row


def _log(shop: Source, run_id: str) -> list[dict[str, Any]]:
    with shop.engine.begin() as conn:
        items: list[dict[str, Any]] = run_log.page(conn, run_id, limit=1000)["items"]
    return items


def _claim(shop: Source, run_id: str) -> Claim:
    found = claims.claim(shop.engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(found, Claim)
    return found


def _work(shop: Source, claim: Claim) -> Work:
    return Work(claim, shop.engine, shop.settings, lambda _: None)


def test_what_a_connector_says_is_kept_without_secrets(shop: Source) -> None:
    secret = "hush-hush-7"
    shop.rows = {"users": [row(1, 1)]}
    said = {"type": "LOG", "log": {"level": "WARN", "message": f"slow with {secret}"}}
    shop.options = {
        "api_key": secret,
        "raw_lines": [json.dumps(said), "no message: jane@example.org"],
        "raw_lines_after": 0,
    }
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    found = [
        (item["level"], item["message"])
        for item in _log(shop, run_id)
        if item["origin"] == "connector"
    ]
    assert ("warning", "slow with ***") in found
    assert ("info", "no message: ***") in found
    assert secret not in str(found)


def test_the_last_words_of_a_connector_that_fails_are_there(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1)]}
    said = {"type": "LOG", "log": {"level": "FATAL", "message": "out of paper"}}
    shop.options = {"raw_lines": [json.dumps(said)], "raw_lines_after": 0, "fail_after": 1}
    run_id = shop.begin()
    assert shop.attempt(run_id) is not None
    assert "out of paper" in [item["message"] for item in _log(shop, run_id)]


def test_more_than_is_kept_is_counted(shop: Source) -> None:
    claim = _claim(shop, shop.begin())
    shop.settings = replace(shop.settings, run_log_lines=200)
    log = ConnectorLog(_work(shop, claim))
    for number in range(2_000):
        log("INFO", f"line {number}")
    with log:
        pass
    texts = [item["message"] for item in _log(shop, claim.run_id)]
    assert texts == [f"line {number}" for number in range(1_800, 2_000)]
    shop.settings = replace(shop.settings, run_log_lines=10_000)
    log = ConnectorLog(_work(shop, claim))
    for number in range(700):
        log("INFO", f"again {number}")
    with log:
        pass
    texts = [item["message"] for item in _log(shop, claim.run_id)][200:]
    assert texts[0].startswith("200 lines of the connector were left out")
    assert texts[1:] == [f"again {number}" for number in range(200, 700)]


def test_a_ledger_that_is_away_holds_up_nobody(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = _claim(shop, shop.begin())
    known = run_log.add
    away = [True]

    def add(*args: Any, **options: Any) -> bool:
        if away.pop() if away else False:
            raise sa.exc.OperationalError("", {}, Exception())
        return known(*args, **options)

    monkeypatch.setattr(run_log, "add", add)
    log = ConnectorLog(_work(shop, claim))
    log("INFO", "before")
    log._write()
    log("INFO", "after")
    with log:
        pass
    assert [item["message"] for item in _log(shop, claim.run_id)] == ["before", "after"]


def test_what_stages_do_is_told_with_it(shop: Source) -> None:
    run_id = shop.begin()
    for end in (
        lambda conn, claim: postpone(
            conn, shop.settings, claim, delay=0.0, error="it is away", cause="x"
        ),
        lambda conn, claim: hand_back(conn, shop.settings, claim),
    ):
        claim = _claim(shop, run_id)
        with claims.transaction(shop.engine, claim) as conn:
            begin(conn, shop.settings, claim)
        with claims.transaction(shop.engine, claim) as conn:
            end(conn, claim)
    lost = _claim(shop, run_id)
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.stage_run SET lease_until = now() - interval '1 s'"))
    last = _claim(shop, run_id)
    with pytest.raises(claims.LostClaim), claims.transaction(shop.engine, lost) as conn:
        begin(conn, shop.settings, lost)
    with claims.transaction(shop.engine, last) as conn:
        begin(conn, shop.settings, last)
    with claims.transaction(shop.engine, last) as conn:
        finish(conn, shop.settings, last, Status.FAILED, error="it is broken")
    assert [(item["attempt"], item["level"], item["message"]) for item in _log(shop, run_id)] == [
        (1, "info", "attempt 1 begins"),
        (1, "warning", "it is away; attempt 2 follows in 0 s"),
        (2, "info", "attempt 2 begins"),
        (2, "info", "handed back: its worker was told to stop"),
        (4, "warning", "attempt 4 begins: the worker of the one before was lost"),
        (4, "error", "it is broken"),
        (None, "error", "the run has ended: failed"),
    ]
