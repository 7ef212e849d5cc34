"""Named policies: written only when they change, kept while used, and as a run found them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import Conflict, UsageError
from atlas.ledger import audit, connections, runs
from atlas.model.connection import Connection
from atlas.sync import policies
from tests.ledger.conftest import SECRET, at_once, wait_until_blocked

SHOP = Connection("shop", connector="source-faker", executable=None, config={})
LAX = {"entities": {"PERSON": "keep"}, "columns": {"note": "drop"}}


def _put(engine: sa.Engine, name: str, document: dict[str, object], actor: str = "cli: ann") -> str:
    with engine.begin() as conn:
        return policies.put(conn, name, document, actor=actor)


def _shop(engine: sa.Engine, **pii: object) -> None:
    with engine.begin() as conn:
        connections.put(conn, SECRET, replace(SHOP, pii=pii))


def test_unchanged_is_not_written(engine: sa.Engine) -> None:
    place = sa.text("SELECT xmin, xmax, ctid FROM pipeline.pii_policy")
    assert _put(engine, "lax", LAX) == "created"
    with engine.connect() as conn:
        before = conn.execute(place).one()
    assert _put(engine, "lax", LAX, "cli: bo") == "unchanged"
    with engine.connect() as conn:
        assert conn.execute(place).one() == before
        assert len(audit.entries(conn, limit=9)) == 1
    assert _put(engine, "lax", {"entities": {"PERSON": "mask"}}, "cli: bo") == "updated"
    with engine.connect() as conn:
        assert policies.get(conn, "lax")["actor"] == "cli: bo"


def test_every_change_is_in_the_audit_trail(engine: sa.Engine) -> None:
    _put(engine, "lax", LAX)
    _put(engine, "lax", {}, "cli: bo")
    with engine.begin() as conn:
        policies.delete(conn, "lax", actor="cli: cy")
        told = audit.entries(conn, limit=9, subject="lax")
    assert [(each["action"], each["actor"]) for each in told] == [
        ("pii.policy.deleted", "cli: cy"),
        ("pii.policy.updated", "cli: bo"),
        ("pii.policy.created", "cli: ann"),
    ]
    assert told[1]["detail"] == {"from": LAX, "to": {"entities": {}, "columns": {}}}


def test_default_is_there_before_anybody_wrote_it_and_may_be_another(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        built_in = policies.get(conn, "default")
        assert set(built_in["operators"].values()) == {"mask"}
        assert built_in["actor"] is None
    _put(engine, "default", {"entities": {"PERSON": "redact"}})
    _put(engine, "lax", LAX)
    with engine.begin() as conn:
        assert policies.get(conn, "default")["operators"]["PERSON"] == "redact"
        # Each is over what is built in, not over what default is made to be.
        assert policies.get(conn, "lax")["operators"]["EMAIL_ADDRESS"] == "mask"
        with pytest.raises(Conflict, match="there always"):
            policies.delete(conn, "default", actor="cli")


def test_two_at_once_make_one(engine: sa.Engine) -> None:
    done = at_once(*[lambda: _put(engine, "lax", LAX) for _ in range(4)])
    assert sorted(map(str, done)) == ["created", "unchanged", "unchanged", "unchanged"]


def test_one_in_use_stays(engine: sa.Engine) -> None:
    _put(engine, "lax", LAX)
    _shop(engine, policy="lax")
    with engine.begin() as conn:
        assert policies.get(conn, "lax")["connections"] == ["shop"]
        with pytest.raises(Conflict, match="connection shop goes by it"):
            policies.delete(conn, "lax", actor="cli")
    _shop(engine)
    with engine.begin() as conn:
        assert policies.get(conn, "default")["connections"] == ["shop"]
        policies.delete(conn, "lax", actor="cli")


def test_one_that_a_connection_is_about_to_use_is_not_deleted(engine: sa.Engine) -> None:
    _put(engine, "lax", LAX)
    outcome: list[object] = []

    def delete() -> None:
        try:
            with engine.begin() as conn:
                policies.delete(conn, "lax", actor="cli")
        except Conflict as error:
            outcome.append(error)

    thread = threading.Thread(target=delete)
    with engine.begin() as conn:
        policies.hold(conn, {"policy": "lax"})
        thread.start()
        wait_until_blocked(engine)
        connections.put(conn, SECRET, replace(SHOP, pii={"policy": "lax"}))
    thread.join()
    assert len(outcome) == 1
    with engine.begin() as conn:
        policies.hold(conn, {"policy": "lax"})
        with pytest.raises(UsageError, match=r"did you mean lax\?"):
            policies.hold(conn, {"policy": "laxx"})


def _policy_of(engine: sa.Engine, run_id: str) -> dict[str, object] | None:
    with engine.begin() as conn:
        return runs.get(conn, run_id).policy


def test_a_run_keeps_the_policy_as_it_was_when_it_was_made(
    engine: sa.Engine, new_run: Callable[[], str]
) -> None:
    _put(engine, "lax", LAX)
    _shop(engine, policy="lax", entities={"PERSON": "redact"}, columns={"address.city": "keep"})
    run_id = new_run()
    kept = {
        "name": "lax",
        "entities": {"PERSON": "redact"},
        "columns": {"note": "drop", "address.city": "keep"},
    }
    assert _policy_of(engine, run_id) == kept
    _put(engine, "lax", {"entities": {"EMAIL_ADDRESS": "keep"}})
    _shop(engine, policy="lax", columns=None)
    assert _policy_of(engine, run_id) == kept
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    assert _policy_of(engine, new_run()) == {
        "name": "lax",
        "entities": {"EMAIL_ADDRESS": "keep"},
        "columns": {},
    }


def test_a_run_without_a_word_goes_by_default_and_what_is_gone_is_no_policy(
    engine: sa.Engine, new_run: Callable[[], str]
) -> None:
    assert _policy_of(engine, new_run()) == {"name": "default", "entities": {}, "columns": {}}
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    _shop(engine, policy="gone")
    assert _policy_of(engine, new_run()) is None
