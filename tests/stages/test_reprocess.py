"""Rows that were set aside are put right or overridden, go through the stages again, and arrive."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import ActiveRun, LostClaim, NotFound, TerminalError, UsageError
from atlas.ledger import audit, claims, datasets
from atlas.model.checks import OnFailure
from atlas.model.quality import Quality, StreamQuality
from atlas.model.stage import Stage
from atlas.stages import chart, explore, reprocess
from atlas.stages.work import Work
from atlas.sync import quality, quarantine, request, retry, subjects, ticks
from atlas.sync.quarantine import Request, choice
from tests.stages import pipeline
from tests.stages.conftest import Source, row
from tests.stages.pipeline import perform, ready, stages, sync

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "status": {"type": ["null", "string"], "enum": ["active", "gone"]},
        "age": {"type": ["null", "integer"]},
        "email": {"type": ["null", "string"]},
        "updated_at": {"type": "string"},
    },
}
KEYED = {"schema": SCHEMA}
WAIVED: dict[str, Any] = {"overrides": ["validity.status"], "why": "the source is right"}


def person(number: int, day: int, **more: Any) -> dict[str, Any]:
    values = {"status": "active", "age": 30, "email": f"person{number}@example.org", **more}
    return row(number, day, **values)


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection with a stream ``users``, the third and fourth of whom are set aside: one is of
    an unknown status, the other of an age that is no number."""
    ready(shop, database_url)
    shop.extra["users"] = KEYED
    shop.rows["users"] = [
        person(1, 1),
        person(2, 2),
        person(3, 3, status="asleep"),
        person(4, 4, age="old"),
    ]
    return shop


def ask(shop: Source, *rows: int, **asked: Any) -> str:
    """A run that takes rows up; returns its id."""
    with shop.engine.begin() as conn:
        made = quarantine.record_reprocess(
            conn, shop.settings, "shop_users", Request(rows, **asked), actor="cli: steward"
        )
    return made.run_id


def go(shop: Source, run_id: str) -> dict[str, Any]:
    """The stages of such a run; returns the row counts of its stream."""
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    return counts(shop, run_id)


def counts(shop: Source, run_id: str) -> dict[str, Any]:
    with shop.engine.connect() as conn:
        found = conn.execute(
            sa.text("SELECT * FROM pipeline.run_stream WHERE run_id = :r"), {"r": run_id}
        ).one()
        status = conn.execute(
            sa.text("SELECT status FROM pipeline.run WHERE id = :r"), {"r": run_id}
        ).scalar()
    assert found.rows_explore + found.rows_carried == (
        found.rows_promoted
        + found.rows_quarantined
        + found.rows_superseded
        + found.rows_tombstones
        + found.rows_erased
    )
    return {**found._mapping, "status": status}


def discard(shop: Source, *rows: int) -> int:
    with shop.engine.begin() as conn:
        return quarantine.discard(
            conn,
            "shop_users",
            choice(rows, None, every=False),
            actor="cli: steward",
            why="a test  account",
        )


def told(found: dict[str, Any]) -> tuple[int, int, int]:
    return (found["rows_promoted"], found["rows_quarantined"], found["rows_superseded"])


def aside(shop: Source) -> dict[int, int]:
    """The rows in quarantine: by the key of the raw record, the id of the row."""
    with shop.engine.connect() as conn:
        rows = conn.execute(
            sa.text(
                "SELECT r.data->>'id', q._atlas_id FROM chart.shop_users_quarantine q"
                " JOIN explore.shop_users_raw r ON r._atlas_id = q._atlas_id ORDER BY 2"
            )
        )
        return {int(key): number for key, number in rows}


def charted(shop: Source, what: str = "status") -> dict[int, Any]:
    return _by_key(shop, f"SELECT id, {what} FROM chart.shop_users")


def current(shop: Source, what: str = "status") -> dict[int, Any]:
    return _by_key(shop, f"SELECT id, {what} FROM navigate.shop_users WHERE is_current")


def _by_key(shop: Source, query: str) -> dict[int, Any]:
    with shop.engine.connect() as conn:
        return dict(conn.execute(sa.text(query)).tuples().all())


def test_a_row_that_is_put_right_is_found_in_navigate(shop: Source) -> None:
    before = sync(shop)
    assert told(before) == (2, 2, 0)
    rows = aside(shop)
    run_id = ask(shop, values={rows[4]: {"age": "41"}})
    done = go(shop, run_id)
    assert (told(done), done["status"], done["versions_opened"]) == ((1, 0, 0), "succeeded", 1)
    assert charted(shop, "age") == {1: 30, 2: 30, 4: 41}
    assert current(shop, "age") == {1: 30, 2: 30, 4: 41}
    assert aside(shop).keys() == {3}
    # What the source sent stands in explore as it came, and beside it what was made of it.
    sent = "SELECT data->>'age' FROM explore.shop_users_raw WHERE data->>'id' = '4' ORDER BY 1"
    assert shop.column(sent) == ["41", "old"]
    times = "SELECT _atlas_emitted_at FROM explore.shop_users_raw WHERE data->>'id' = '4'"
    assert len(set(shop.column(times))) == 1
    # Its mask is that of any other row.
    assert charted(shop, "email")[4] == "***@***"
    # The account of the run that set it aside stays as it was.
    assert told(counts(shop, before["run_id"])) == (2, 2, 0)
    # Each stage and the run itself told their beginning and their end.
    told_of = "SELECT event->>'eventType' FROM pipeline.lineage_event WHERE run_id = :r"
    assert sorted(shop.column(told_of, r=run_id)) == ["COMPLETE"] * 7 + ["START"] * 7


def test_what_is_put_right_is_exact_and_stands_in_explore_alone(shop: Source) -> None:
    shop.extra["users"] = {
        "schema": SCHEMA
        | {"properties": SCHEMA["properties"] | {"paid": {"type": ["null", "number"]}}}  # type: ignore[operator]
    }
    sync(shop)
    number = "0.1234567890123456789012345678901234567890"
    secret = json.dumps("zacharias.winterbottom@example.org")
    run_id = ask(
        shop, values={aside(shop)[3]: {"status": '"gone"', "paid": number, "email": secret}}
    )
    go(shop, run_id)
    assert str(charted(shop, "paid")[3]) == number
    assert charted(shop, "email")[3] == "***@***"
    with shop.engine.connect() as conn:
        for schema, table in conn.execute(
            sa.text(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN"
                " ('pipeline', 'explore', 'chart', 'navigate')"
            )
        ).all():
            found = conn.execute(
                sa.text(
                    f'SELECT count(*) FROM "{schema}"."{table}" x'
                    " WHERE strpos(CAST(x AS text), 'winterbottom') > 0"
                )
            ).scalar()
            assert found == (table == "shop_users_raw"), table
        (entry,) = audit.entries(conn, limit=5, action="quality.reprocess")
    assert entry["detail"]["mended"] == {
        str(entry["detail"]["ids"][0]): ["email", "paid", "status"]
    }


def test_a_check_is_overridden_for_these_rows_alone(shop: Source) -> None:
    shop.rows["users"].append(person(5, 5, status="asleep"))
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, rows[3], overrides=["validity.status"], why="the source's new word")
    assert told(go(shop, run_id)) == (1, 0, 0)
    assert current(shop)[3] == "asleep"
    assert aside(shop).keys() == {4, 5}
    # Without it, the other one fails as before, and stands there once.
    assert told(go(shop, ask(shop, check="validity.status"))) == (0, 1, 0)
    assert aside(shop).keys() == {4, 5}
    with shop.engine.connect() as conn:
        entries = audit.entries(conn, limit=5, action="quality.reprocess")
    assert entries[1]["actor"] == "cli: steward"
    assert entries[1]["detail"]["why"] == "the source's new word"
    assert entries[1]["detail"]["overrides"] == ["validity.status"]


def test_what_has_no_place_in_the_table_cannot_be_overridden(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    for check in ("type_of_age", "key_not_null", "validity.types", "accuracy.age"):
        with pytest.raises(UsageError, match="cannot be overridden"):
            ask(shop, rows[4], overrides=[check], why="let it pass")
    with pytest.raises(UsageError, match=f"row {rows[4]} did not fail validity.status"):
        ask(shop, rows[4], overrides=["validity.status"], why="let it pass")
    with pytest.raises(UsageError, match=r"no check 'validity\.hair'"):
        ask(shop, rows[4], overrides=["validity.hair"], why="let it pass")
    with pytest.raises(UsageError, match="say why"):
        ask(shop, rows[3], overrides=["validity.status"])
    # A request that was refused leaves nothing.
    assert shop.value("SELECT count(*) FROM pipeline.reprocessed_row") == 0
    assert shop.value("SELECT count(*) FROM pipeline.run WHERE trigger = 'reprocess'") == 0


def test_bad_requests_are_refused_and_no_message_holds_a_value(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "say which rows"),
        ({"rows": (rows[3],), "every": True}, "say which rows"),
        ({"check": "validity.hair"}, "no row that can be reprocessed failed 'validity.hair'"),
        ({"rows": (999,)}, "row 999 is not in the quarantine of shop_users"),
        ({"values": {rows[3]: {"stauts": '"gone"'}}}, "did you mean status"),
        ({"values": {rows[3]: {"status": "jane"}}}, "status: the value is no JSON"),
        ({"values": {rows[3]: {"status": '"jane\\u0000"'}}}, "no JSON that PostgreSQL can hold"),
        ({"values": {rows[3]: {}}}, "say which property"),
    ]
    for asked, message in refusals:
        with pytest.raises(UsageError, match=message) as refused:
            ask(shop, *asked.pop("rows", ()), **asked)
        assert "jane" not in str(refused.value)
    assert aside(shop) == rows
    assert shop.value("SELECT count(*) FROM pipeline.run WHERE trigger = 'reprocess'") == 0


def test_asked_twice_nothing_is_there_twice(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    first = ask(shop, rows[3], overrides=["validity.status"], why="new")
    with pytest.raises(ActiveRun) as active:
        ask(shop, rows[3])
    assert active.value.run_id == first
    go(shop, first)
    with pytest.raises(NotFound, match=f"not in quarantine any more: run {first} took it up"):
        ask(shop, rows[3])
    assert shop.value("SELECT count(*) FROM chart.shop_users WHERE id = 3") == 1
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE id = 3") == 1
    # The next sync finds what the source has not changed as it is.
    assert sync(shop)["versions_opened"] == 0
    assert current(shop).keys() == {1, 2, 3}


def test_what_fails_again_is_set_aside_again_and_no_value_is_taken_for_it(shop: Source) -> None:
    sync(shop)
    first = aside(shop)
    run_id = ask(shop, values={first[4]: {"age": '"older"'}, first[3]: {"status": '"gone"'}})
    assert told(go(shop, run_id)) == (1, 1, 0)
    second = aside(shop)
    assert second.keys() == {4}
    assert second[4] != first[4]
    # What was put right before is still right, and the row stands where it stood.
    assert told(go(shop, ask(shop, values={second[4]: {"age": "50"}}))) == (1, 0, 0)
    assert current(shop, "age")[4] == 50
    places = "SELECT DISTINCT place FROM pipeline.reprocessed_row ORDER BY 1"
    assert shop.column(places) == [first[3], first[4]]


def test_a_row_whose_key_has_a_newer_record_changes_nothing(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    shop.rows["users"] += [person(3, 20, age=31), person(4, 21)]
    sync(shop)
    before = shop.column("SELECT to_jsonb(n)::text FROM navigate.shop_users n ORDER BY 1")
    run_id = ask(shop, values={rows[3]: {"status": '"gone"'}, rows[4]: {"age": "3"}})
    done = go(shop, run_id)
    assert (told(done), done["versions_opened"], done["versions_closed"]) == ((0, 0, 2), 0, 0)
    assert shop.column("SELECT to_jsonb(n)::text FROM navigate.shop_users n ORDER BY 1") == before
    assert not {*rows.values()} & {*aside(shop).values()}


@pytest.mark.parametrize(
    "cursor", [["updated_at"], []], ids=["a cursor that is equal", "no cursor"]
)
def test_what_came_later_is_newer_also_where_no_cursor_says_so(
    shop: Source, cursor: list[str]
) -> None:
    """The row is written into explore last, and is the older one all the same."""
    shop.extra["users"] = KEYED | {"cursor_field": cursor}
    # Two words on one key in one sync; the later one holds.
    shop.rows["users"] += [person(3, 3, age=77)]
    sync(shop)
    assert charted(shop, "age")[3] == 77
    rows = aside(shop)
    run_id = ask(shop, values={rows[3]: {"status": '"gone"'}})
    assert told(go(shop, run_id)) == (0, 0, 1)
    assert charted(shop, "age")[3] == 77


def test_of_two_rows_of_a_key_the_later_one_wins_whoever_is_put_right_first(shop: Source) -> None:
    shop.extra["users"] = KEYED | {"cursor_field": []}
    shop.rows["users"] += [person(3, 3, status="drowsy", age=77)]
    sync(shop)
    with shop.engine.connect() as conn:
        query = "SELECT _atlas_id FROM chart.shop_users_quarantine WHERE id = 3 ORDER BY 1"
        earlier, later = conn.execute(sa.text(query)).scalars()
    with shop.engine.begin() as conn:  # so that the later one is written first
        moved = "UPDATE chart.shop_users_quarantine SET age = age WHERE _atlas_id = :i"
        conn.execute(sa.text(moved), {"i": earlier})
    waived = {"overrides": ["validity.status"], "why": "both are right"}
    assert told(go(shop, ask(shop, earlier, later, **waived))) == (1, 0, 1)
    assert charted(shop, "age")[3] == 77
    written = "SELECT of_id FROM pipeline.reprocessed_row ORDER BY row_id"
    assert shop.column(written) == [later, earlier]


def test_a_mended_row_gives_way_to_the_next_that_its_source_sent(shop: Source) -> None:
    """One put right in between is no newer than what a failed sync had read by then."""
    sync(shop)
    rows = aside(shop)
    shop.rows["users"] = [person(4, 4, age=99)]  # no later by its cursor
    failed = shop.begin()
    assert shop.attempt(failed) is None
    shop.end(failed)  # without having come to chart
    assert told(go(shop, ask(shop, values={rows[4]: {"age": "4"}}))) == (1, 0, 0)
    assert charted(shop, "age")[4] == 4
    # What the failed sync had read is still taken along, and is the last word.
    shop.rows["users"] = []
    assert sync(shop)["rows_carried"] == 1
    assert charted(shop, "age")[4] == 99
    assert current(shop, "age")[4] == 99


def test_what_a_complete_refresh_has_replaced_does_not_come_back(shop: Source) -> None:
    sync(shop, full_refresh=True)
    old = aside(shop)
    # The source has neither of them any more.
    shop.rows["users"] = [person(1, 1), person(5, 5, status="asleep")]
    sync(shop, full_refresh=True)
    waived = {"overrides": ["validity.status"], "why": "both are right"}
    assert told(go(shop, ask(shop, old[3], **waived))) == (0, 0, 1)
    # One that still fails is no row of now either: it goes.
    assert told(go(shop, ask(shop, old[4]))) == (0, 0, 1)
    assert current(shop).keys() == {1}
    # What the last one brought is of now.
    assert told(go(shop, ask(shop, aside(shop)[5], **waived))) == (1, 0, 0)
    assert current(shop).keys() == {1, 5}
    assert aside(shop) == {}


def test_a_key_that_its_source_deleted_since_does_not_come_back(shop: Source) -> None:
    deleted: dict[str, Any] = {"_ab_cdc_deleted_at": {"type": ["null", "string"]}}
    properties: dict[str, Any] = SCHEMA["properties"]  # type: ignore[assignment]
    shop.extra["users"] = {"schema": {"type": "object", "properties": properties | deleted}}
    sync(shop)
    rows = aside(shop)
    shop.rows["users"] = [{"id": 3, "updated_at": "2026-01-20", "_ab_cdc_deleted_at": "2026-01-20"}]
    assert sync(shop)["rows_tombstones"] == 1
    run_id = ask(shop, values={rows[3]: {"status": '"gone"'}, rows[4]: {"age": "4"}})
    assert told(go(shop, run_id)) == (1, 0, 1)
    assert current(shop).keys() == {1, 2, 4}


def test_rows_without_a_key_are_added_once(shop: Source) -> None:
    shop.extra["users"] = KEYED | {"primary_key": []}
    sync(shop)
    rows = aside(shop)
    waived = {"overrides": ["validity.status"], "why": "right"}
    assert told(go(shop, ask(shop, rows[3], **waived))) == (1, 0, 0)
    assert charted(shop).keys() == {1, 2, 3}
    assert current(shop).keys() == {1, 2, 3}


def test_a_reprocessed_row_hides_nothing_that_a_failed_sync_left(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    shop.rows["users"].append(person(9, 9))
    failed = shop.begin()
    assert shop.attempt(failed) is None
    shop.end(failed)
    go(shop, ask(shop, values={rows[4]: {"age": "4"}}))
    assert charted(shop).keys() == {1, 2, 4}  # it takes nothing of it along
    assert sync(shop)["rows_carried"] >= 1
    assert charted(shop).keys() == {1, 2, 4, 9}


def test_one_that_broke_off_is_not_taken_along_and_leaves_the_quarantine_alone(
    shop: Source,
) -> None:
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, values={rows[4]: {"age": "4"}})
    assert shop.attempt(run_id) is None
    shop.end(run_id)
    assert aside(shop) == rows
    done = sync(shop)
    assert done["rows_carried"] == 0
    assert charted(shop).keys() == {1, 2}
    go(shop, ask(shop, values={rows[4]: {"age": "5"}}))
    assert charted(shop, "age")[4] == 5


def test_a_worker_that_dies_after_explore_leaves_what_the_next_one_goes_on_with(
    shop: Source,
) -> None:
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, rows[3], values={rows[4]: {"age": "4"}}, **WAIVED)
    claim = claims.claim(shop.engine, Stage.EXPLORE, run_id=run_id, holder="dead", lease=0)
    assert isinstance(claim, claims.Claim)
    zombie = Work(claim, shop.engine, shop.settings, lambda _: None)
    assert shop.attempt(run_id) is None
    # It wakes up and finds that it has lost its claim: it writes nothing.
    before = shop.value("SELECT count(*) FROM explore.shop_users_raw")
    with pytest.raises(LostClaim):
        explore.run(zombie)
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == before
    stages(shop, run_id, until=Stage.QUALITY)
    (stream,) = shop.column("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id)
    dead = claims.claim(shop.engine, Stage.CHART, run_stream_id=stream, holder="dead", lease=0)
    assert isinstance(dead, claims.Claim)
    perform(shop, stream, Stage.CHART)
    with pytest.raises(LostClaim):
        chart.run(Work(dead, shop.engine, shop.settings, lambda _: None))
    for stage in (Stage.NAVIGATE, Stage.LINEAGE):
        perform(shop, stream, stage)
    assert told(counts(shop, run_id)) == (2, 0, 0)
    assert charted(shop).keys() == {1, 2, 3, 4}
    assert aside(shop) == {}


def test_the_scores_of_a_dataset_are_not_those_of_the_rows_taken_up(shop: Source) -> None:
    done = sync(shop)
    run_id = ask(shop, aside(shop)[3])
    go(shop, run_id)
    with shop.engine.connect() as conn:
        assert quality.show(conn, "shop_users")["run_id"] == str(done["run_id"])
        assert len(quality.history(conn, "shop_users", limit=9)) == 1
        # Of the rows that it set aside, one is the other run's now.
        assert quality.show(conn, "shop_users")["in_quarantine"] == 1
        own = quality.show(conn, "shop_users", run_id)
        assert own["in_quarantine"] == 1
        assert own["quarantined"]["validity.status"] == 1
        # What speaks of a table as a whole is not asked of some of its rows.
        assert {each["name"] for each in own["checks"]} < {
            each["name"] for each in quality.show(conn, "shop_users")["checks"]
        }


def test_how_a_stream_is_read_is_not_told_by_a_run_that_asks_no_source(shop: Source) -> None:
    sync(shop, full_refresh=True)
    go(shop, ask(shop, values={aside(shop)[3]: {"status": '"active"'}}))
    with shop.engine.connect() as conn:
        assert [each.refreshes for each in datasets.latest(conn, "shop")] == [True]


def test_a_row_is_discarded_with_a_reason(shop: Source) -> None:
    done = sync(shop)
    rows = aside(shop)
    with shop.engine.begin() as conn:
        with pytest.raises(UsageError, match="say why"):
            quarantine.discard(
                conn,
                "shop_users",
                choice([rows[3]], None, every=False),
                actor="cli: steward",
                why=" ",
            )
    assert discard(shop, rows[3]) == 1
    assert aside(shop).keys() == {4}
    with pytest.raises(NotFound, match=f"row {rows[3]} is not in the quarantine"):
        discard(shop, rows[3])
    with shop.engine.connect() as conn:
        (entry,) = audit.entries(conn, limit=5, action="quality.discard")
    assert (entry["actor"], entry["subject"]) == ("cli: steward", "shop_users")
    assert entry["detail"] == {
        "rows": 1,
        "ids": [rows[3]],
        "checks": {"validity.status": 1},
        "why": "a test account",
    }
    # It stays in the accounts of the run, and its raw row in explore.
    assert told(counts(shop, done["run_id"])) == (2, 2, 0)
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 4


def test_what_was_discarded_is_not_promoted_by_a_retry(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, rows[3], **WAIVED)
    assert shop.attempt(run_id) is None
    with pytest.raises(ActiveRun):
        discard(shop, rows[3])
    stages(shop, run_id, until=Stage.QUALITY)
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'failed'"))
    discard(shop, rows[3])
    with shop.engine.begin() as conn:  # somebody retries it
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'running' WHERE id = :r"), {"r": run_id}
        )
    (stream,) = shop.column("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id)
    with pytest.raises(TerminalError, match="were discarded or erased"):
        perform(shop, stream, Stage.CHART)
    assert charted(shop).keys() == {1, 2}


def test_an_erasure_reaches_what_was_put_right_and_what_it_was_made_of(shop: Source) -> None:
    jane = "jane.roe@example.org"
    shop.rows["users"] = [person(1, 1), person(0, 5, id=None, email="jane roe@example org", age=44)]
    sync(shop)
    (number,) = shop.column("SELECT _atlas_id FROM chart.shop_users_quarantine")
    go(shop, ask(shop, values={number: {"id": "7", "email": json.dumps(jane)}}))
    assert charted(shop).keys() == {1, 7}
    told = subjects.erase(
        shop.engine, shop.settings, subjects.request([jane]), actor="cli: officer"
    )
    assert told["total"] == {"explore": 2, "chart": 1, "quarantine": 0, "navigate": 1}
    assert shop.column("SELECT data->>'id' FROM explore.shop_users_raw") == ["1"]


def test_an_erasure_is_not_undone_by_a_retry_and_forgets_what_broke_off(shop: Source) -> None:
    jane = "jane.roe@example.org"
    shop.rows["users"].append(person(5, 5, status="asleep", email=jane))
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, rows[3], values={rows[5]: {"status": '"gone"'}}, **WAIVED)
    assert shop.attempt(run_id) is None
    stages(shop, run_id, until=Stage.QUALITY)
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'failed' WHERE id = :r"), {"r": run_id}
        )
    told = subjects.erase(
        shop.engine, shop.settings, subjects.request([jane]), actor="cli: officer"
    )
    assert (told["total"]["explore"], told["total"]["quarantine"]) == (2, 1)
    with shop.engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'running' WHERE id = :r"), {"r": run_id}
        )
    (stream,) = shop.column("SELECT id FROM pipeline.run_stream WHERE run_id = :r", r=run_id)
    with pytest.raises(TerminalError, match="were discarded or erased"):
        perform(shop, stream, Stage.CHART)
    assert charted(shop).keys() == {1, 2}


def test_what_nobody_sees_to_expires_after_its_days_and_not_before(shop: Source) -> None:
    sync(shop)
    old = aside(shop)
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET finished_at = now() - interval '8 days'"))
    shop.rows["users"] = [person(5, 5, status="asleep")]
    sync(shop)
    new = aside(shop)
    assert new.keys() > old.keys()

    def tick(days: int | None) -> dict[int, int]:
        settings = dataclasses.replace(shop.settings, quarantine_days=days)
        assert ticks.do(shop.engine, settings, "expire", after=0)
        return aside(shop)

    assert tick(None) == new
    assert tick(9) == new
    # What a run is at work on is left to another time.
    active = ask(shop, old[3])
    assert tick(7) == new
    shop.end(active)
    with shop.engine.begin() as conn:  # it ended just now, the run that set them aside did not
        query = "UPDATE pipeline.run SET finished_at = now() WHERE id = :r"
        conn.execute(sa.text(query), {"r": active})
    assert tick(7).keys() == {5}
    with shop.engine.connect() as conn:
        (entry,) = audit.entries(conn, limit=5, action="quality.discard")
    assert (entry["actor"], entry["detail"]["ids"]) == ("atlas", sorted(old.values()))
    assert entry["detail"]["why"] == "expired: set aside more than 7 days ago"


def test_many_rows_go_in_parts(shop: Source) -> None:
    shop.rows["users"] += [person(n, n, status="asleep") for n in range(5, 20)]
    sync(shop)
    shop.settings = dataclasses.replace(shop.settings, batch_rows=4)
    assert told(go(shop, ask(shop, check="validity.status", **WAIVED))) == (16, 0, 0)
    assert charted(shop).keys() == {*range(1, 20)} - {4}
    assert aside(shop).keys() == {4}


def test_masks_are_made_anew_of_what_was_put_right(shop: Source) -> None:
    sync(shop)
    values = {"status": '"gone"', "email": '"right@example.org"'}
    go(shop, ask(shop, values={aside(shop)[3]: values}))
    shop.pii = {"entities": {"EMAIL_ADDRESS": "keep"}}
    shop.apply()
    with shop.engine.begin() as conn:
        run_id = request.record_remask(conn, "shop", actor="cli: officer")
    go(shop, run_id)
    assert charted(shop, "email")[3] == "right@example.org"
    assert current(shop, "email")[3] == "right@example.org"


def test_every_row_that_was_set_aside_is_accounted_for(shop: Source) -> None:
    shop.rows["users"] += [person(5, 5, status="asleep"), person(6, 6, age="young")]
    done = sync(shop)
    rows = aside(shop)
    go(shop, ask(shop, rows[3], **WAIVED))
    assert told(go(shop, ask(shop, rows[4]))) == (0, 1, 0)  # it is set aside again
    discard(shop, rows[5])
    of_run = "_atlas_run_id = :r"
    left = shop.value(
        f"SELECT count(*) FROM chart.shop_users_quarantine WHERE {of_run}", r=done["run_id"]
    )
    taken = shop.value(
        "SELECT count(*) FROM pipeline.reprocessed_row m JOIN explore.shop_users_raw w"
        f" ON w._atlas_id = m.of_id WHERE w.{of_run}",
        r=done["run_id"],
    )
    gone = shop.value(
        "SELECT count(*) FROM pipeline.audit a, jsonb_array_elements(a.detail->'ids') i(id)"
        " JOIN explore.shop_users_raw w ON w._atlas_id = i.id::bigint"
        f" WHERE a.action = 'quality.discard' AND w.{of_run}",
        r=done["run_id"],
    )
    assert (left, taken, gone) == (1, 2, 1)
    assert left + taken + gone == done["rows_quarantined"]


def test_a_run_that_failed_in_explore_and_in_pii_is_retried_and_nothing_is_there_twice(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(shop)
    rows = aside(shop)
    run_id = ask(shop, rows[3], values={rows[4]: {"age": "4"}}, **WAIVED)

    def fail(*_: object) -> None:
        raise TerminalError("the disk is full")

    def again() -> None:
        assert shop.value("SELECT status FROM pipeline.run WHERE id = :r", r=run_id) == "failed"
        assert aside(shop) == rows
        with shop.engine.begin() as conn:
            retry._record(conn, run_id)

    with monkeypatch.context() as patch:
        patch.setattr(reprocess.runs, "explored", fail)  # after the rows are written
        assert shop.attempt(run_id) == "the disk is full"
    again()
    assert shop.attempt(run_id) is None
    with monkeypatch.context() as patch:
        patch.setitem(pipeline.STAGES, Stage.PII, fail)
        with pytest.raises(TerminalError):
            stages(shop, run_id)
    again()
    stages(shop, run_id)
    assert (told(counts(shop, run_id)), counts(shop, run_id)["status"]) == ((2, 0, 0), "succeeded")
    assert charted(shop).keys() == {1, 2, 3, 4}
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 6


def test_a_complete_refresh_has_the_last_word(shop: Source) -> None:
    shop.rows["users"].append(person(0, 5, id=None))
    sync(shop, full_refresh=True)
    (nameless,) = shop.column("SELECT _atlas_id FROM chart.shop_users_quarantine WHERE id IS NULL")
    (fourth,) = shop.column("SELECT _atlas_id FROM chart.shop_users_quarantine WHERE id = 4")
    values = {fourth: {"age": "4"}, nameless: {"id": "7"}}
    go(shop, ask(shop, values=values))
    assert current(shop, "age") == {1: 30, 2: 30, 4: 4, 7: 30}
    # It still has both as they were: a key that it does not know is gone, the other one stays.
    sync(shop, full_refresh=True)
    assert current(shop, "age") == {1: 30, 2: 30, 4: 4}


OWN = """\
checks for users:
  - row_count > 3
  - avg(age) < 20
  - failed rows:
      name: young
      fail condition: age > 50
"""


def test_a_check_of_one_s_own_holds_for_rows_that_are_taken_up(shop: Source) -> None:
    gates = {"young": OnFailure.QUARANTINE, "avg(age) < 20": OnFailure.WARN}
    own = StreamQuality(gates=gates, max_quarantined=0.9)
    shop.quality = Quality(on_failure=OnFailure.BLOCK, checks=OWN, streams={"users": own})
    shop.rows["users"] = [person(n, n, age=60 if n > 4 else 30) for n in range(1, 7)]
    assert told(sync(shop)) == (4, 2, 0)
    rows = aside(shop)
    # As they are they fail again; of three rows it cannot be said that they are too few.
    done = go(shop, ask(shop, *rows.values()))
    assert (told(done), done["status"]) == ((0, 2, 0), "succeeded")
    rows = aside(shop)
    assert rows.keys() == {5, 6}
    done = go(shop, ask(shop, rows[5], overrides=["young"], why="she is well"))
    assert told(done) == (1, 0, 0)
    done = go(shop, ask(shop, values={rows[6]: {"age": "16"}}))
    assert told(done) == (1, 0, 0)
    assert current(shop, "age") == {1: 30, 2: 30, 3: 30, 4: 30, 5: 60, 6: 16}
    # Of what is usual such rows say nothing.
    measured = "SELECT count(DISTINCT run_stream_id) FROM pipeline.column_metric"
    assert shop.value(measured) == 1


def test_a_check_of_the_whole_cannot_be_overridden(shop: Source) -> None:
    sync(shop)
    rows = aside(shop)
    with pytest.raises(UsageError, match="cannot be overridden"):
        ask(shop, rows[3], overrides=["uniqueness.id"], why="because")
