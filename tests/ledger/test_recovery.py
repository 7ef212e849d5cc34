"""Recovery: what lost its worker is taken up again, and given up after so many attempts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import TransientError
from atlas.ledger import claims, outbox, run_documents
from atlas.ledger.claims import Claim
from atlas.model.stage import Stage
from atlas.settings import Settings
from atlas.sync import dispatch, recovery

NewRun = Callable[[], str]


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Settings whose broker is nowhere: what is to be sent stays in the outbox."""
    return replace(Settings(), database_url=database_url, max_attempts=3, redispatch_seconds=3600)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis does not answer."""

    def refuse(engine: sa.Engine, ids: list[int] | None = None) -> int:
        raise TransientError("Redis does not answer")

    monkeypatch.setattr(dispatch, "deliver", refuse)


def _die(engine: sa.Engine, run_id: str) -> Claim:
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="mortal", lease=-1)
    assert isinstance(claim, Claim)
    return claim


def _recover(engine: sa.Engine, settings: Settings) -> None:
    with pytest.raises(TransientError):
        recovery.recover(engine, settings)


def test_a_lost_worker_is_replaced(engine: sa.Engine, new_run: NewRun, settings: Settings) -> None:
    run_id = new_run()
    _die(engine, run_id)
    _recover(engine, settings)
    # However often recovery looks while Redis is away, one message waits.
    _recover(engine, settings)
    with engine.begin() as conn:
        assert [message.ref for message in outbox.due(conn)] == [run_id]
    assert _die(engine, run_id).attempt == 2


def test_a_poison_run_ends_failed_with_its_attempts(
    engine: sa.Engine, new_run: NewRun, settings: Settings
) -> None:
    run_id = new_run()
    for _ in range(3):
        _die(engine, run_id)
        _recover(engine, settings)
    with engine.connect() as conn:
        document = run_documents.document(conn, run_id)
        attempts = run_documents.attempts(conn, run_id)
        events = conn.execute(
            sa.text("SELECT event->>'eventType' FROM pipeline.lineage_event ORDER BY id")
        ).scalars()
        assert "FAIL" in set(events)
    assert document["status"] == "failed"
    assert "3 attempts" in document["error"]
    assert [item["outcome"] for item in attempts] == ["lost"] * 2 + ["failed"]
    with engine.begin() as conn:
        assert outbox.orphans(conn, patience=0) == []
