"""A policy or a word changes, and the masked layers are made anew: the same rows, other masks."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import ActiveRun, LostClaim, LostKeys, TerminalError, UsageError
from atlas.layers import staging
from atlas.ledger import claims, parts, rotation, run_documents, runs
from atlas.ledger.database import cursor
from atlas.model.personal import Operator, Says
from atlas.model.stage import Stage
from atlas.settings import secret_key
from atlas.stages import pii
from atlas.stages.work import PartWork, Work
from atlas.sync import personal, request, subjects, token_keys
from tests.stages.conftest import Source, row
from tests.stages.pipeline import perform, ready, stages, sync

JANE = "jane.roe@example.org"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": ["null", "string"]},
        "remark": {"type": ["null", "string"]},
        "updated_at": {"type": "string"},
    },
}
KEEP = {"entities": {"EMAIL_ADDRESS": "keep"}}
TOKENIZE = {"entities": {"EMAIL_ADDRESS": "tokenize"}}


def person(number: int, day: int, **more: Any) -> dict[str, Any]:
    return row(number, day, **{"email": f"person{number}@example.org", "remark": "fine", **more})


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection with a stream ``users``, of whom the third has a history of two versions and
    writes an address into a remark."""
    ready(shop, database_url)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"] = [person(n, n) for n in range(1, 7)]
    shop.rows["users"][2] = person(3, 3, email=JANE, remark=f"write to {JANE} please")
    return shop


def moved(shop: Source) -> None:
    """The third person moves, and the connection is synced."""
    shop.rows["users"].append(person(3, 20, email="jane@other.example", remark="moved"))
    sync(shop)


def begin(shop: Source, *streams: str) -> str:
    """A run that masks anew, past explore; returns its id."""
    shop.apply()
    with shop.engine.begin() as conn:
        run_id = request.record_remask(
            conn, "shop", actor="cli: officer", streams=list(streams) or None
        )
    assert shop.attempt(run_id) is None
    return run_id


def remask(shop: Source, *streams: str) -> dict[str, Any]:
    """A whole run that masks anew; returns what it says of stream users."""
    run_id = begin(shop, *streams)
    stages(shop, run_id)
    return told(shop, run_id)


def told(shop: Source, run_id: str) -> dict[str, Any]:
    with shop.engine.connect() as conn:
        document = run_documents.document(conn, run_id)
    assert (document["trigger"], document["status"]) == ("remask", "succeeded")
    (stream,) = document["streams"]
    assert (stream["rows"]["explore"], stream["versions"]) == (0, {"opened": 0, "closed": 0})
    found: dict[str, Any] = stream["remasked"]
    return found


def emails(shop: Source, schema: str) -> list[str]:
    order = "surrogate_key" if schema == "navigate" else "id"
    return shop.column(f"SELECT email FROM {schema}.shop_users ORDER BY {order}")


def history(shop: Source) -> list[tuple[Any, ...]]:
    """What a version is but for its values."""
    with shop.engine.connect() as conn:
        return [
            tuple(each)
            for each in conn.execute(
                sa.text(
                    "SELECT surrogate_key, valid_from, valid_to, is_current, _atlas_run_id,"
                    " _atlas_row_hash FROM navigate.shop_users ORDER BY surrogate_key"
                )
            )
        ]


NOBODY = {"without_raw": {}}


def test_a_policy_that_masks_reaches_the_whole_history_and_changes_nothing_else(
    shop: Source,
) -> None:
    shop.pii = KEEP
    sync(shop)
    moved(shop)
    before = history(shop)
    assert JANE in emails(shop, "navigate")
    shop.pii = {}
    assert remask(shop) == {"chart": 6, "quarantine": 0, "navigate": 7, **NOBODY}
    assert set(emails(shop, "chart")) == set(emails(shop, "navigate")) == {"***@***"}
    assert shop.value("SELECT remark FROM navigate.shop_users WHERE id = 3 AND NOT is_current") == (
        "write to <EMAIL_ADDRESS> please"
    )
    assert history(shop) == before
    # Once more changes nothing, and the next sync has nothing to say.
    assert remask(shop) == {"chart": 0, "quarantine": 0, "navigate": 0, **NOBODY}
    assert sync(shop)["versions_opened"] == 0
    assert history(shop) == before


def test_what_is_no_longer_masked_is_as_it_was(shop: Source) -> None:
    sync(shop)
    moved(shop)
    before = history(shop)
    shop.pii = KEEP
    remask(shop)
    assert emails(shop, "chart")[2] == "jane@other.example"
    assert JANE in emails(shop, "navigate")
    assert f"write to {JANE} please" in shop.column("SELECT remark FROM navigate.shop_users")
    assert history(shop) == before
    assert sync(shop)["versions_opened"] == 0


def test_tokens_are_those_that_a_sync_makes(shop: Source) -> None:
    sync(shop)
    moved(shop)
    shop.pii = TOKENIZE
    remask(shop)
    tokens = emails(shop, "chart")
    assert all(token.startswith("tok_") for token in tokens)
    assert len(set(emails(shop, "navigate"))) == 7
    sync(shop, full_refresh=True)
    assert emails(shop, "chart") == tokens


def test_a_key_that_is_tokenized_from_now_on_keeps_its_rows_and_their_history(
    shop: Source,
) -> None:
    sync(shop)
    moved(shop)
    before = history(shop)
    shop.pii = {"columns": {"id": "tokenize"}}
    # A sync could not: it would no longer find the rows by their key.
    with pytest.raises(TerminalError, match="masked now and was not before"):
        sync(shop)
    remask(shop)
    assert all(key.startswith("tok_") for key in shop.column("SELECT id FROM chart.shop_users"))
    assert len(set(shop.column("SELECT id FROM navigate.shop_users"))) == 6
    assert history(shop) == before
    assert sync(shop)["versions_opened"] == 0
    shop.rows["users"].append(person(4, 25, remark="news"))
    assert (sync(shop)["versions_opened"], len(emails(shop, "chart"))) == (1, 6)
    shop.pii = {"columns": {"id": "keep"}}
    remask(shop)
    assert shop.column('SELECT id FROM chart.shop_users ORDER BY id COLLATE "C"') == [*"123456"]
    assert sync(shop)["versions_opened"] == 0


def test_a_word_on_a_column_reaches_what_is_stored(shop: Source) -> None:
    sync(shop)
    moved(shop)
    with shop.engine.begin() as conn:
        personal.say(
            conn, "shop_users", "email", Says.IS_NOT, actor="cli: officer", why="shared mailboxes"
        )
    remask(shop)
    assert emails(shop, "chart")[2] == "jane@other.example"
    with shop.engine.begin() as conn:
        personal.say(
            conn,
            "shop_users",
            "email",
            Says.OPERATOR,
            operator=Operator.REDACT,
            actor="cli: officer",
            why="not even that there is one",
        )
    remask(shop)
    assert set(emails(shop, "navigate")) == {""}


def test_what_is_without_its_raw_row_is_masked_from_what_stands_there(shop: Source) -> None:
    shop.pii = KEEP
    sync(shop)
    moved(shop)
    before = history(shop)
    # The time of keeping is over, for all but the last row.
    with shop.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM explore.shop_users_raw WHERE data->>'id' <> '6'"))
    shop.pii = {}
    found = remask(shop)
    assert found["without_raw"] == {"chart": 5, "navigate": 6}
    assert set(emails(shop, "chart")) == set(emails(shop, "navigate")) == {"***@***"}
    assert "write to <EMAIL_ADDRESS> please" in shop.column(
        "SELECT remark FROM navigate.shop_users"
    )
    assert history(shop) == before
    # What is gone does not come back: not from a policy that keeps, nor does a token get another.
    shop.pii = KEEP
    remask(shop)
    assert emails(shop, "chart") == [*5 * ["***@***"], "person6@example.org"]


def test_tokens_without_their_raw_rows_stay_what_they_are(shop: Source) -> None:
    shop.pii = TOKENIZE
    sync(shop)
    before = emails(shop, "navigate")
    with shop.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM explore.shop_users_raw"))
    assert remask(shop)["navigate"] == 0
    assert emails(shop, "navigate") == before
    shop.pii = {}
    assert remask(shop)["navigate"] == 6
    assert set(emails(shop, "navigate")) == {"***@***"}


def test_nobody_who_was_erased_comes_back(shop: Source) -> None:
    sync(shop)
    moved(shop)
    subjects.erase(shop.engine, shop.settings, subjects.request([JANE]), actor="cli: officer")
    # A run that breaks off after explore has her record there again.
    run_id = shop.begin(full_refresh=True)
    assert shop.attempt(run_id) is None
    shop.end(run_id)
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw WHERE data->>'id' = '3'") == 2
    shop.pii = KEEP
    remask(shop)
    for schema in ("chart", "navigate"):
        assert len(emails(shop, schema)) == 5
        assert JANE not in emails(shop, schema)


def test_rows_that_were_set_aside_are_masked_anew_too(shop: Source) -> None:
    shop.pii = KEEP
    shop.rows["users"].append({"id": None, "updated_at": "2026-01-21", "email": "x@example.org"})
    sync(shop)
    assert shop.column("SELECT email FROM chart.shop_users_quarantine") == ["x@example.org"]
    shop.pii = {}
    assert remask(shop)["quarantine"] == 1
    assert shop.column("SELECT email FROM chart.shop_users_quarantine") == ["***@***"]


def test_rows_that_never_came_to_chart_are_still_carried_along(shop: Source) -> None:
    sync(shop)
    shop.rows["users"].append(person(9, 21))
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    shop.end(run_id)  # and no stage after it
    remask(shop)
    assert len(emails(shop, "chart")) == 6
    after = sync(shop)
    assert (after["rows_carried"], len(emails(shop, "chart"))) == (2, 7)


def test_parts_that_are_done_are_not_done_again(shop: Source) -> None:
    shop.pii = KEEP
    sync(shop)
    moved(shop)
    shop.settings = dataclasses.replace(shop.settings, batch_rows=2)
    shop.pii = {}
    run_id = begin(shop)
    with shop.engine.connect() as conn:
        (stream,) = runs.streams(conn, run_id)

    def claimed() -> Work:
        claim = claims.claim(shop.engine, Stage.PII, run_stream_id=stream.id, holder="t", lease=60)
        assert isinstance(claim, claims.Claim)
        return Work(claim, shop.engine, shop.settings, lambda _: None)

    def part() -> PartWork:
        found = parts.claim(shop.engine, holder="t", lease=60, max_attempts=3)
        assert found is not None
        return PartWork(found, "t", shop.engine, shop.settings, lambda _: None)

    work = claimed()
    pii.run(work)
    assert work.parked
    zombie = part()
    with shop.engine.begin() as conn:  # its worker is killed
        conn.execute(
            sa.text("UPDATE pipeline.scan_part SET lease_until = '2000-01-01' WHERE id = :i"),
            {"i": zombie.part.id},
        )
    again = part()
    assert again.part.id == zombie.part.id
    pii.run_part(again)
    with pytest.raises(LostClaim, match="no longer this worker's"):
        pii.run_part(zombie)
    studied = shop.value("SELECT count(*) FROM pipeline.scan_part WHERE status = 'studied'")
    assert studied == 2
    assert set(emails(shop, "chart")) != {"***@***"}
    while shop.value("SELECT parts_left FROM pipeline.stage_run WHERE parked"):
        pii.run_part(part())
    work = claimed()
    pii.run(work)
    assert work.parked  # to mask
    while shop.value("SELECT parts_left FROM pipeline.stage_run WHERE parked"):
        pii.run_part(part())
    pii.run(claimed())
    for stage in (Stage.QUALITY, Stage.CHART, Stage.NAVIGATE, Stage.LINEAGE):
        perform(shop, stream.id, stage)
    assert told(shop, run_id)["navigate"] == 7
    assert set(emails(shop, "navigate")) == {"***@***"}


def test_one_run_at_a_time_and_only_of_what_is_in_chart(shop: Source) -> None:
    shop.apply()
    with pytest.raises(UsageError, match="none of its streams has come to chart yet"):
        begin(shop)
    sync(shop)
    with pytest.raises(UsageError, match=r"stream orders: .* these have: users"):
        begin(shop, "orders")
    run_id = begin(shop, "users")
    with shop.engine.begin() as conn, pytest.raises(ActiveRun) as caught:
        request.record(conn, "shop", trigger="cli", actor="test")
    assert caught.value.run_id == run_id
    stages(shop, run_id)
    sync(shop)
    run_id = shop.begin()
    with pytest.raises(ActiveRun):
        begin(shop)


def _rotate(shop: Source) -> dict[str, Any]:
    """Another key of tokens, and the run that brings it to the tables; returns what it says."""
    found = token_keys.rotate(shop.engine, shop.settings, actor="cli: officer")
    assert found["left"] == {}
    run_id = found["runs"]["shop"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    return told(shop, run_id)


def _found(shop: Source) -> dict[str, int]:
    asked = subjects.request([JANE])
    found = subjects.find(shop.engine, shop.settings, asked, actor="cli: officer")
    total: dict[str, int] = found["total"]
    return total


def test_another_key_gives_every_token_anew(shop: Source) -> None:
    shop.pii = {**TOKENIZE, "columns": {"id": "tokenize"}}
    sync(shop)
    moved(shop)
    tokens, before = emails(shop, "navigate"), history(shop)
    assert _rotate(shop) == {"chart": 6, "quarantine": 0, "navigate": 7, **NOBODY}
    now = emails(shop, "navigate")
    assert set(now).isdisjoint(tokens)
    assert len(set(now)) == 7
    assert history(shop) == before
    former = "FROM navigate.shop_users WHERE NOT is_current"
    token = shop.value(f"SELECT email {former}")
    assert shop.value(f"SELECT remark {former}") == f"write to {token} please"
    # The next sync goes by the new key, and the old one can be forgotten.
    again = sync(shop, full_refresh=True)
    assert (again["versions_opened"], again["versions_closed"]) == (0, 0)
    assert emails(shop, "navigate") == now
    done = token_keys.finish(shop.engine, shop.settings, actor="cli: officer")
    assert done == {"keys": 1, "runs": {}, "left": {}}


def test_until_its_tables_are_masked_anew_a_connection_keeps_its_key(shop: Source) -> None:
    shop.pii = TOKENIZE
    sync(shop)
    active = shop.begin()
    found = token_keys.rotate(shop.engine, shop.settings, actor="cli: officer")
    assert (found["token_key"], found["keys"], found["runs"]) == (2, 2, {})
    assert active in found["left"]["shop"]
    assert shop.attempt(active) is None
    stages(shop, active)
    tokens = emails(shop, "chart")
    shop.rows["users"].append(person(7, 21))
    sync(shop)
    assert emails(shop, "chart")[:6] == tokens
    with shop.engine.begin() as conn:  # only the tokens are left of her
        conn.execute(sa.text("DELETE FROM explore.shop_users_raw"))
    assert _found(shop)["navigate"] == 1
    left = token_keys.finish(shop.engine, shop.settings, actor="cli: officer")
    assert left["keys"] == 2
    run_id = left["runs"]["shop"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    # What they were made of is gone: no token of the old key stays, and equal ones stay equal.
    assert told(shop, run_id)["without_raw"] == {"chart": 7, "navigate": 7}
    assert set(emails(shop, "chart")).isdisjoint(tokens)
    assert sorted(emails(shop, "chart")) == sorted(emails(shop, "navigate"))
    assert not [t for t in tokens if t in str(shop.column("SELECT remark FROM chart.shop_users"))]
    # She is found by the token of her token, as long as both keys are there.
    assert _found(shop)["navigate"] == 1
    assert token_keys.finish(shop.engine, shop.settings, actor="cli: officer")["keys"] == 1
    assert _found(shop)["navigate"] == 0


def test_a_slot_without_a_key_of_tokens_opens_nothing(shop: Source) -> None:
    shop.pii = TOKENIZE
    sync(shop)
    with shop.engine.begin() as conn:
        saved = conn.execute(sa.text("SELECT sealed FROM pipeline.secret_slot")).scalar_one()
    _rotate(shop)
    with shop.engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.secret_slot SET sealed = :s"), {"s": saved})
    with pytest.raises(LostKeys, match="lacks a key of tokens"):
        sync(shop)


def test_the_key_of_tokens_waits_for_that_of_the_secrets(shop: Source) -> None:
    shop.apply()
    secret = secret_key(shop.settings)
    with shop.engine.begin() as conn:
        rotation.admit(conn, secret, b"n" * 40)
    with pytest.raises(UsageError, match="rotate-secret --finish"):
        token_keys.rotate(shop.engine, shop.settings, actor="cli: officer")


def test_an_erasure_takes_what_a_run_that_failed_has_staged(shop: Source) -> None:
    shop.pii = KEEP
    sync(shop)
    shop.pii = {}
    run_id = begin(shop)
    stages(shop, run_id, until=Stage.QUALITY)
    cancel = sa.text("UPDATE pipeline.run SET status = :s WHERE id = :r")
    with shop.engine.begin() as conn:
        conn.execute(cancel, {"s": "failed", "r": run_id})
    subjects.erase(shop.engine, shop.settings, subjects.request([JANE]), actor="cli: officer")
    with shop.engine.connect() as conn:
        (stream,) = runs.streams(conn, run_id)
        assert stream.rows_carried == 0
        assert staging.left(cursor(conn)) == []


def test_lineage_says_of_a_run_that_masks_anew_only_what_it_did(shop: Source) -> None:
    sync(shop)
    run_id = begin(shop)
    stages(shop, run_id)
    told_of = {
        event["job"]["name"].rpartition(".")[2]: len(event["inputs"]) + len(event["outputs"])
        for event in shop.column(
            "SELECT event FROM pipeline.lineage_event WHERE run_id = :r", r=run_id
        )
        if event["eventType"] == "COMPLETE"
    }
    assert told_of["quality"] == 0
    assert told_of["pii"] > 0
    assert told_of["chart"] > 0


def test_a_number_whose_raw_row_is_gone_has_the_token_of_its_equals(shop: Source) -> None:
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "amount": {"type": "number"}}}
    shop.extra["users"] = {"schema": schema}
    shop.rows["users"] = [{**person(n, n), "amount": n} for n in range(1, 7)]
    for each, amount in zip(shop.rows["users"], ("1.50", "1.5"), strict=False):
        each["amount"] = amount
    sync(shop)
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM explore.shop_users_raw WHERE data->>'id' = '1'")
    shop.pii = {"columns": {"amount": "tokenize"}}
    remask(shop)
    tokens = shop.column("SELECT amount FROM chart.shop_users WHERE id < 3")
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
    assert tokens[0].startswith("tok_")
