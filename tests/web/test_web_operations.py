"""What becomes of an operation: done once whoever is told, with its secrets nowhere, and never
forgotten by those who died over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import sqlalchemy as sa

from atlas.errors import LostClaim
from atlas.ledger import holders, operations
from atlas.ledger.operations import Claimed, Kind
from atlas.ledger.tables import operation, outbox
from atlas.settings import Settings
from atlas.sync import operate
from atlas.sync.slots import Slots
from tests.connectors import pretend
from tests.web.conftest import SECRET

NAME = "source-hardcoded-records"
MARKER = "pl4nted-m4rker"
SECRETS = {"api_key": MARKER, "log_api_key": True}

_HANGING = """#!/bin/sh
case $1 in
spec) echo '{"type":"SPEC","spec":{"connectionSpecification":{"type":"object"}}}' ;;
*) sleep 600 & echo $! > PIDS.part; mv PIDS.part PIDS; wait ;;
esac
"""

Ask = Callable[..., str]


@pytest.fixture(autouse=True)
def connector(settings: Settings, queue: redis.Redis) -> None:
    """The scripted source, as if it were one of the catalog's."""
    pretend.install(settings.home, NAME)


@pytest.fixture
def hanging(settings: Settings, tmp_path: Path) -> Path:
    """A source that hangs with a child, whose id stands in this file."""
    program, pids = tmp_path / "hangs", tmp_path / "pid"
    program.write_text(_HANGING.replace("PIDS", str(pids)))
    program.chmod(0o755)
    pretend.install(settings.home, NAME, program)
    return pids


@pytest.fixture
def ask(engine: sa.Engine) -> Ask:
    """Writes an operation down; returns its id."""

    def make(kind: Kind = Kind.CHECK, **config: Any) -> str:
        with engine.begin() as conn:
            found, _ = operations.create(
                conn,
                SECRET.encode(),
                kind,
                NAME,
                asked_by="me",
                actor="test",
                config=config or None,
            )
            conn.execute(outbox.delete())
        return found

    return make


def _document(engine: sa.Engine, operation_id: str) -> Any:
    with engine.connect() as conn:
        return operations.document(conn, operation_id)


def _row(engine: sa.Engine, operation_id: str) -> Any:
    with engine.connect() as conn:
        return conn.execute(sa.select(operation).where(operation.c.id == operation_id)).one()


def _waiting(engine: sa.Engine) -> list[str]:
    with engine.connect() as conn:
        return list(conn.execute(sa.select(outbox.c.ref)).scalars())


def _until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError("it does not come")


def test_a_check_that_works(engine: sa.Engine, settings: Settings, ask: Ask) -> None:
    asked = ask(**SECRETS)
    assert _row(engine, asked).config is not None
    operate.perform(engine, settings, asked)
    document = _document(engine, asked)
    assert (document["status"], document["error"]) == ("succeeded", None)
    assert document["result"] == {"name": NAME, "version": "0.0.0"}
    assert document["expires_at"] - document["finished_at"] == operations.LIFETIME
    assert _row(engine, asked).config is None


def test_a_spec_and_an_installation(engine: sa.Engine, settings: Settings, ask: Ask) -> None:
    spec, install = ask(Kind.SPEC), ask(Kind.INSTALL)
    for asked in (spec, install):
        operate.perform(engine, settings, asked)
    assert "api_key" in _document(engine, spec)["result"]["spec"]["properties"]
    assert _document(engine, install)["result"] == {"name": NAME, "version": "0.0.0"}


def test_what_a_source_offers_without_the_secrets_it_was_given(
    engine: sa.Engine, settings: Settings, ask: Ask
) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer", "title": f"x {MARKER}"}}}
    asked = ask(Kind.DISCOVER, **SECRETS, streams={f"of {MARKER}": {"schema": schema}})
    operate.perform(engine, settings, asked)
    document = _document(engine, asked)
    assert document["status"] == "succeeded", document
    (stream,) = document["result"]["streams"]
    assert stream["stream"] == "of ***"
    assert stream["json_schema"]["properties"]["id"] == {"type": "integer", "title": "x ***"}
    assert MARKER not in str(_row(engine, asked))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"check_error": "no such account"}, "no such account ***"),
        ({"check_fails": True}, "exit code 1"),
        ({"state_every": 0}, "config.state_every"),
    ],
    ids=["refused", "dies", "against the spec"],
)
def test_a_check_that_fails(
    engine: sa.Engine, settings: Settings, ask: Ask, config: dict[str, Any], says: str
) -> None:
    asked = ask(**SECRETS, **config)
    operate.perform(engine, settings, asked)
    document = _document(engine, asked)
    assert document["status"] == "failed"
    assert document["result"] is None
    assert says in document["error"]
    assert "\n" not in document["error"]
    assert MARKER not in str(_row(engine, asked))
    assert _row(engine, asked).config is None


def test_told_twice_it_is_done_once(
    engine: sa.Engine, settings: Settings, ask: Ask, tmp_path: Path
) -> None:
    asked = ask()
    operate.perform(engine, settings, asked)
    operate.perform(engine, settings, asked)
    assert _row(engine, asked).attempt == 1


def test_a_zombie_cannot_end_what_another_took_up(
    engine: sa.Engine, settings: Settings, ask: Ask
) -> None:
    asked = ask(**SECRETS)
    zombie = operations.claim(engine, SECRET.encode(), asked, holder="zombie", lease=-1)
    assert isinstance(zombie, Claimed)
    assert not operations.claim(engine, SECRET.encode(), "0" * 32, holder="x", lease=1)
    operate.perform(engine, settings, asked)
    before = _row(engine, asked)
    assert (before.status, before.attempt) == ("succeeded", 2)
    with pytest.raises(LostClaim), engine.begin() as conn:
        operations.finish(conn, zombie, error="late")
    with pytest.raises(LostClaim), engine.begin() as conn:
        operations.hand_back(conn, zombie)
    assert not operations.renew(engine, zombie, 60)
    assert _row(engine, asked) == before


def test_a_living_lease_is_nobody_elses(engine: sa.Engine, settings: Settings, ask: Ask) -> None:
    asked = ask()
    assert operations.claim(engine, SECRET.encode(), asked, holder="one", lease=60)
    operate.perform(engine, settings, asked)
    assert _row(engine, asked).status == "running"
    assert _recover(engine) == 0


def test_whoever_is_at_one_is_at_work(engine: sa.Engine, ask: Ask) -> None:
    assert operations.claim(engine, SECRET.encode(), ask(), holder="here:4711", lease=60)
    assert operations.claim(engine, SECRET.encode(), ask(), holder="here:4712", lease=-1)
    with engine.connect() as conn:
        assert holders.living(conn, "here") == {4711}


def _recover(engine: sa.Engine, patience: float = 3600, *, idle: bool = True) -> int:
    with engine.begin() as conn:
        return operations.recover(conn, patience, idle=idle)


def test_whoever_dies_over_it_is_replaced_and_then_given_up(
    engine: sa.Engine, settings: Settings, ask: Ask
) -> None:
    asked = ask(**SECRETS)
    for number in range(1, operations.MOST_ATTEMPTS):
        assert operations.claim(engine, SECRET.encode(), asked, holder="mortal", lease=-1)
        assert _recover(engine) == 1
        assert _waiting(engine) == [asked]
        assert (_row(engine, asked).status, _row(engine, asked).attempt) == ("queued", number)
    assert operations.claim(engine, SECRET.encode(), asked, holder="mortal", lease=-1)
    assert not operations.claim(engine, SECRET.encode(), asked, holder="late", lease=60)
    assert _recover(engine) == 0
    document = _document(engine, asked)
    assert document["status"] == "failed"
    assert "died" in document["error"]
    assert _row(engine, asked).config is None


def test_a_lost_message_is_sent_again(engine: sa.Engine, ask: Ask) -> None:
    asked = ask()
    assert _recover(engine) == 0
    assert _recover(engine, 0, idle=True) == 1
    assert _waiting(engine) == [asked]
    # It waits already.
    assert _recover(engine, 0, idle=True) == 0


def test_nothing_waits_or_stays_for_ever(engine: sa.Engine, ask: Ask) -> None:
    waits, ended = ask(**SECRETS), ask()
    long_ago = sa.func.clock_timestamp() - operations.PATIENCE
    with engine.begin() as conn:
        conn.execute(
            operation.update()
            .where(operation.c.id == ended)
            .values(status="failed", finished_at=sa.func.clock_timestamp() - operations.LIFETIME)
        )
        conn.execute(operation.update().where(operation.c.id == waits).values(created_at=long_ago))
        with pytest.raises(Exception, match="24 hours"):
            operations.document(conn, ended)
    _recover(engine)
    document = _document(engine, waits)
    assert (document["status"], _row(engine, waits).config) == ("failed", None)
    with engine.connect() as conn:
        assert list(conn.execute(sa.select(operation.c.id)).scalars()) == [waits]


def test_without_a_free_slot_it_waits(engine: sa.Engine, settings: Settings, ask: Ask) -> None:
    asked, narrow = ask(), replace(settings, connector_slots=1)
    other = Slots(narrow)
    assert other.take("somebody else")
    operate.perform(engine, narrow, asked)
    other.close()
    assert _row(engine, asked).status == "queued"
    assert _waiting(engine) == [asked]


@pytest.fixture
def at_work(engine: sa.Engine, settings: Settings, ask: Ask, hanging: Path) -> Iterator[Any]:
    """A check that hangs: its id, its child, and what has its worker stop."""
    asked, stop = ask(a=1), threading.Event()
    worker = threading.Thread(
        target=operate.perform, args=(engine, settings, asked, stop.is_set), daemon=True
    )
    worker.start()
    _until(hanging.exists)
    child = psutil.Process(int(hanging.read_text()))
    yield asked, child, stop
    worker.join(30)
    assert not worker.is_alive()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_worker_that_stops_hands_it_back(engine: sa.Engine, at_work: Any) -> None:
    asked, _, stop = at_work
    stop.set()
    row = _until(lambda: (found := _row(engine, asked)).status == "queued" and found)
    assert (row.attempt, row.holder) == (0, None)
    assert row.config is not None


def test_one_whose_claim_is_lost_ends_its_connector(engine: sa.Engine, at_work: Any) -> None:
    asked, _, _ = at_work
    with engine.begin() as conn:
        conn.execute(operation.update().values(fence=operation.c.fence + 1))
    assert _row(engine, asked).status == "running"


def test_a_source_that_hangs_has_its_time(
    engine: sa.Engine, settings: Settings, ask: Ask, hanging: Path
) -> None:
    asked = ask(a=1)
    operate.perform(engine, replace(settings, connector_check_timeout=0.5), asked)
    document = _document(engine, asked)
    assert document["status"] == "failed"
    assert "ATLAS_CONNECTOR_CHECK_TIMEOUT" in document["error"]
    if hanging.exists():
        child = int(hanging.read_text())
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
