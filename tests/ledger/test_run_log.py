"""The log of a run: numbered in the order of commits, bounded, and closed to zombies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import NotFound, UsageError
from atlas.ledger import claims, run_log
from atlas.ledger.claims import Claim
from atlas.ledger.run_log import Line
from atlas.ledger.tables import run_log as table
from atlas.model.stage import Stage


@pytest.fixture
def claim(engine: sa.Engine, new_run: Callable[[], str]) -> Claim:
    """A claim of the explore stage of a new run."""
    found = claims.claim(engine, Stage.EXPLORE, run_id=new_run(), holder="here:1", lease=60)
    assert isinstance(found, Claim)
    return found


def _said(*texts: str, level: str = "info") -> list[Line]:
    return [Line(level, text, datetime.now(UTC)) for text in texts]


def _page(engine: sa.Engine, run_id: str, **options: Any) -> list[str]:
    with engine.begin() as conn:
        found = run_log.page(conn, run_id, limit=options.pop("limit", 100), **options)
    return [item["message"] for item in found["items"]]


def test_lines_are_numbered_and_say_whose_they_are(engine: sa.Engine, claim: Claim) -> None:
    with engine.begin() as conn:
        run_log.tell(conn, claim, "info", "attempt 1\nbegins")
        assert run_log.add(conn, claim, _said("one", "two\0\ud800"), keep=100)
        run_log.note(conn, claim.run_id, "error", "it has ended")
        page = run_log.page(conn, claim.run_id, limit=10)
        assert run_log.last_line(conn, claim.run_id) == 4
    assert [item["line"] for item in page["items"]] == [1, 2, 3, 4]
    assert page["next_cursor"] is None
    first, second, third, last = page["items"]
    assert first["message"] == "attempt 1 begins"
    assert (first["origin"], second["origin"]) == ("atlas", "connector")
    assert (second["stage"], second["attempt"], second["worker"]) == ("explore", 1, "here:1")
    assert third["message"] == "two??"
    assert (last["stage"], last["level"]) == (None, "error")


def test_pages_levels_and_search(engine: sa.Engine, claim: Claim) -> None:
    with engine.begin() as conn:
        run_log.add(conn, claim, _said("Read users", "read 50% of a_b"), keep=100)
        run_log.add(conn, claim, _said("slow", level="warning"), keep=100)
        run_log.add(conn, claim, _said("broken", level="error"), keep=100)
    of = claim.run_id
    assert _page(engine, of, level="warning") == ["slow", "broken"]
    assert _page(engine, of, q="READ") == ["Read users", "read 50% of a_b"]
    # No pattern: what stands there is looked for.
    assert _page(engine, of, q="%") == ["read 50% of a_b"]
    assert _page(engine, of, q="a_b") == ["read 50% of a_b"]
    assert _page(engine, of, newest_first=True, limit=1) == ["broken"]
    with engine.begin() as conn:
        page = run_log.page(conn, of, limit=3)
        assert page["next_cursor"] == "3"
        rest = run_log.page(conn, of, limit=3, cursor=page["next_cursor"])
        assert [item["message"] for item in rest["items"]] == ["broken"]
        back = run_log.page(conn, of, limit=3, cursor="3", newest_first=True)
        assert [item["line"] for item in back["items"]] == [2, 1]
        with pytest.raises(UsageError, match="cursor"):
            run_log.page(conn, of, limit=3, cursor="-1")
        with pytest.raises(NotFound):
            run_log.page(conn, "0f8fad5b-d9cb-469f-a165-70867728950e", limit=3)


def test_the_newest_lines_of_a_connector_are_kept_and_all_of_the_stages(
    engine: sa.Engine, claim: Claim
) -> None:
    with engine.begin() as conn:
        run_log.tell(conn, claim, "info", "begins")
    for number in range(12):
        with engine.begin() as conn:
            run_log.add(conn, claim, _said(f"{number} a", f"{number} b"), keep=10)
    found = _page(engine, claim.run_id)
    assert found[0] == "begins"
    assert found[1:] == [f"{number} {part}" for number in range(7, 12) for part in "ab"]


def test_a_zombie_writes_nothing(engine: sa.Engine, claim: Claim) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.stage_run SET lease_until = now() - interval '1 s'"))
    new = claims.claim(engine, Stage.EXPLORE, run_id=claim.run_id, holder="there:2", lease=60)
    assert isinstance(new, Claim)
    with engine.begin() as conn:
        assert not run_log.add(conn, claim, _said("of a zombie"), keep=10)
        run_log.tell(conn, claim, "info", "of a zombie")
        assert claims.lost_before(conn, new)
        assert run_log.add(conn, new, _said("of the living"), keep=10)
    assert _page(engine, claim.run_id) == ["of the living"]


def test_who_has_seen_a_number_has_missed_none_below(engine: sa.Engine, claim: Claim) -> None:
    """A line whose commit comes late has a number above all that could be read before."""
    first = engine.connect()
    first.begin()
    run_log.add(first, claim, _said("written first, committed late"), keep=100)
    other: list[bool] = []

    def write() -> None:
        with engine.begin() as conn:
            other.append(run_log.add(conn, claim, _said("written second"), keep=100))

    thread = threading.Thread(target=write)
    thread.start()
    # The second one waits, or it would be seen before the first one, whose number is lower.
    with engine.connect() as watching:
        watching = watching.execution_options(isolation_level="AUTOCOMMIT")
        while not watching.execute(
            sa.text("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        ).scalar():
            assert not other
    first.commit()
    first.close()
    thread.join()
    assert _page(engine, claim.run_id) == ["written first, committed late", "written second"]


def test_a_log_goes_with_its_run(engine: sa.Engine, claim: Claim) -> None:
    with engine.begin() as conn:
        run_log.add(conn, claim, _said("one"), keep=10)
        conn.execute(sa.text("DELETE FROM pipeline.run"))
        assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0


def test_what_is_after_several_places_is_one_question(engine: sa.Engine, claim: Claim) -> None:
    with engine.begin() as conn:
        run_log.add(conn, claim, _said("one", "two", "three"), keep=10)
        of = claim.run_id
        found = run_log.since(conn, [(of, 0), (of, 2), (of, 3)], 2)
    assert {place: [item["message"] for item in items] for place, items in found.items()} == {
        (of, 0): ["one", "two"],
        (of, 2): ["three"],
    }


@pytest.mark.parametrize(
    ("word", "level"),
    [("FATAL", "error"), ("WARN", "warning"), ("TRACE", "debug"), ("info", "info"), ("?", "info")],
)
def test_levels_of_connectors(word: str, level: str) -> None:
    assert run_log.level_of(word) == level
