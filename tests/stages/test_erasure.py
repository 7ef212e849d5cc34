"""A person is found in every layer, erased from all of them, and does not come back by itself."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from atlas.errors import ActiveRun, NotFound, TransientError, UsageError
from atlas.ledger import audit, erasures
from atlas.model.stage import Stage
from atlas.model.stream import StreamKey
from atlas.pii.sealing import Sealing
from atlas.pii.tokens import Tokens
from atlas.settings import secret_key
from atlas.stages import ORDER
from atlas.sync import subjects, ticks
from tests.stages.conftest import Source, row
from tests.stages.pipeline import perform, ready, stages, sync

JANE = "jane.roe@example.org"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": ["null", "string"]},
        "phone": {"type": ["null", "string"]},
        "remark": {"type": ["null", "string"]},
        "profile": {"type": ["null", "object"]},
        "updated_at": {"type": "string"},
    },
}


def person(number: int, day: int, **more: Any) -> dict[str, Any]:
    """A person whom the source changed on this day."""
    values = {"email": f"person{number}@example.org", "remark": "fine", **more}
    return row(number, day, **values)


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection, with all that its later stages need, and a stream ``users``."""
    ready(shop, database_url)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"] = [person(n, n) for n in range(1, 9)]
    shop.rows["users"][2] = person(3, 3, email=JANE, phone="+45 12 34 56 78")
    return shop


def erase(shop: Source, *identifiers: str, **options: Any) -> dict[str, Any]:
    return subjects.erase(
        shop.engine, shop.settings, subjects.request(identifiers, **options), actor="cli: officer"
    )


def find(shop: Source, *identifiers: str, **options: Any) -> dict[str, Any]:
    found = subjects.find(
        shop.engine, shop.settings, subjects.request(identifiers, **options), actor="cli: officer"
    )
    total: dict[str, Any] = found["total"]
    return total


def ids(shop: Source, table: str) -> list[int]:
    column = "(data->>'id')::int" if table.startswith("explore") else "id"
    return shop.column(f"SELECT {column} FROM {table} ORDER BY 1")


def everywhere(shop: Source, text: str) -> list[str]:
    """Tables of the whole database in which ``text`` stands, whatever the column."""
    found = []
    with shop.engine.connect() as conn:
        tables = conn.execute(
            sa.text(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN"
                " ('pipeline', 'explore', 'chart', 'navigate', 'public')"
            )
        ).all()
        for schema, table in tables:
            if conn.execute(
                sa.text(
                    f'SELECT EXISTS (SELECT FROM "{schema}"."{table}" x'
                    " WHERE strpos(lower(CAST(x AS text)), lower(:t)) > 0)"
                ),
                {"t": text},
            ).scalar():
                found.append(f"{schema}.{table}")
    return found


NOTHING = dict.fromkeys(("explore", "chart", "quarantine", "navigate"), 0)
TABLES = ("explore.shop_users_raw", "chart.shop_users", "navigate.shop_users")


def test_a_person_is_erased_everywhere_and_comes_back_only_by_a_new_word(shop: Source) -> None:
    sync(shop)
    # A later version, under another address: the key leads to it.
    shop.rows["users"].append(person(3, 20, email="jane@other.example", remark="moved"))
    sync(shop)
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE id = 3") == 2
    assert find(shop, f" {JANE.upper()} ") == {
        "explore": shop.value(
            "SELECT count(*) FROM explore.shop_users_raw WHERE data->>'id' = '3'"
        ),
        "chart": 1,
        "quarantine": 0,
        "navigate": 2,
    }
    told = erase(shop, JANE)
    assert told["finished_at"] is not None
    assert (told["total"]["chart"], told["total"]["navigate"]) == (1, 2)
    for table in TABLES:
        assert set(ids(shop, table)) == {1, 2, 4, 5, 6, 7, 8}, table
    assert everywhere(shop, JANE) == everywhere(shop, "jane@other.example") == []

    # The source sends what stands at its cursor once more: the very same record.
    again = sync(shop)
    assert (again["rows_explore"], again["rows_erased"], again["rows_promoted"]) == (1, 1, 0)
    whole = sync(shop, full_refresh=True)
    assert (whole["rows_explore"], whole["rows_erased"]) == (9, 2)
    for table in TABLES:
        assert 3 not in ids(shop, table), table
    assert everywhere(shop, JANE) == everywhere(shop, "jane@other.example") == []
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE NOT is_current") == 0

    # The source changes the record: that is its new word.
    shop.rows["users"].append(person(3, 25, email="jane@third.example", remark="back"))
    back = sync(shop)
    assert (back["rows_erased"], back["rows_promoted"]) == (1, 1)
    for table in TABLES:
        assert ids(shop, table).count(3) == 1, table
    assert shop.value("SELECT count(*) FROM pipeline.erased WHERE key_mark IS NOT NULL") == 0
    sync(shop)
    assert ids(shop, "chart.shop_users").count(3) == 1


def test_the_audit_log_tells_who_did_what_and_cannot_be_changed(shop: Source) -> None:
    sync(shop)
    find(shop, JANE)
    subjects.export(shop.engine, shop.settings, subjects.request([JANE]), actor="api: p")
    erase(shop, JANE)
    with shop.engine.connect() as conn:
        entries = audit.entries(conn, limit=50, action="pii")
    assert [each["action"] for each in reversed(entries)] == [
        "pii.find",
        "pii.export",
        "pii.erase.search",
        "pii.erase",
        "pii.erase.stream",
        "pii.erase.end",
    ]
    assert len({each["subject"] for each in entries}) == 1
    assert entries[0]["subject"].startswith("sub_")
    assert entries[-2]["actor"] == "api: p"
    stream = entries[1]["detail"]
    assert (stream["connection"], stream["stream"]) == ("shop", "users")
    assert stream["rows"] == NOTHING | {"explore": 1, "chart": 1, "navigate": 1}
    assert JANE not in json.dumps([each["detail"] for each in entries])
    for statement in ("UPDATE pipeline.audit SET actor = ''", "DELETE FROM pipeline.audit"):
        with pytest.raises(sa.exc.DBAPIError, match="only grows"), shop.engine.begin() as conn:
            conn.exec_driver_sql(statement)


def test_an_export_has_the_rows_as_they_are(shop: Source) -> None:
    shop.rows["users"][2]["profile"] = {"rate": 12345678901234567890.5, "cards": [JANE]}
    sync(shop)
    found = subjects.export(
        shop.engine, shop.settings, subjects.request(["+45 12 34 56 78"]), actor="cli"
    )
    document = json.loads(msgspec.json.encode(found))
    (stream,) = document["streams"]
    (raw,) = stream["data"]["explore"]
    assert raw["data"]["email"] == JANE
    (masked,) = stream["data"]["chart"]
    assert (masked["id"], masked["email"]) == (3, "***@***")
    assert len(stream["data"]["navigate"]) == 1
    assert b"12345678901234567" in msgspec.json.encode(found)


def test_identifiers_stand_anywhere_but_only_whole(shop: Source) -> None:
    shop.rows["users"] += [
        person(20, 9, profile={"mail": {"alt": [f" {JANE} "]}}),
        person(21, 9, profile={JANE: 1}),
        person(22, 9, remark=f"write to {JANE}, please"),
        person(23, 9, remark=f"x{JANE} and {JANE}.uk"),
        person(24, 9, phone="12345678"),
        person(12345678, 9),
    ]
    sync(shop)
    assert find(shop, JANE)["explore"] == 3
    assert find(shop, JANE, contains=True)["explore"] == 4
    assert find(shop, "12345678")["explore"] == 2
    assert find(shop, "12345678", columns=["phone"])["explore"] == 1
    assert find(shop, "3", columns=["id"]) == NOTHING | {"explore": 1, "chart": 1, "navigate": 1}
    assert find(shop, "ane.roe@example.org") == NOTHING
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE chart.shop_users SET _atlas_id = 777777 WHERE id = 5")
    assert find(shop, "777777") == NOTHING
    odd = "100%_\\'\"(x) [a-z]{2}^$|*+?. Jøn é े €"
    assert find(shop, odd, JANE)["explore"] == 3
    shop.rows["users"].append(person(25, 10, remark=f"see {odd}!"))
    sync(shop)
    assert find(shop, odd, contains=True)["explore"] == 1


@pytest.mark.parametrize(
    ("identifiers", "options", "told"),
    [
        ([" ", ""], {}, "at least one"),
        (["1234"], {}, "say in which columns"),
        (["1234"], {"contains": True, "columns": ["id"]}, "say in which columns"),
        (["nul\0byte"], {}, "character"),
        (["x" * 1001], {}, "longer"),
        ([f"identifier {n}" for n in range(101)], {}, "too many"),
    ],
)
def test_what_is_no_request(identifiers: list[str], options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        subjects.request(identifiers, **options)
    assert not any(text.strip() and text in str(refused.value) for text in identifiers)


def test_nobody_there_and_no_such_connection(shop: Source) -> None:
    sync(shop)
    told = erase(shop, "nobody@example.org")
    assert (told["streams"], told["total"]) == ([], NOTHING)
    assert told["finished_at"] is not None
    with pytest.raises(NotFound):
        find(shop, JANE, connection="nowhere")


@pytest.mark.parametrize(("operator", "form"), [("tokenize", "tok_%"), ("encrypt", "enc_%")])
def test_rows_whose_raw_row_is_gone_are_found_although_hidden(
    shop: Source, operator: str, form: str
) -> None:
    shop.pii = {"entities": {"EMAIL_ADDRESS": operator}}
    # The key itself is personal: masked in chart, and so by a token.
    shop.rows["contacts"] = [
        {"email": f"person{n}@example.org", "updated_at": "2026-01-01"} for n in range(9)
    ] + [{"email": JANE, "updated_at": "2026-01-01"}]
    shop.extra["contacts"] = {"primary_key": [["email"]], "schema": SCHEMA}
    sync(shop)
    assert shop.value("SELECT count(*) FROM chart.shop_contacts WHERE email LIKE :f", f=form) == 10
    assert find(shop, JANE) == NOTHING | {"explore": 2, "chart": 2, "navigate": 2}
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM explore.shop_users_raw WHERE data->>'id' = '3'")
        conn.exec_driver_sql(
            f"DELETE FROM explore.shop_contacts_raw WHERE data->>'email' = '{JANE}'"
        )
    assert find(shop, JANE) == NOTHING | {"chart": 2, "navigate": 2}
    erase(shop, JANE)
    assert ids(shop, "chart.shop_users") == [1, 2, 4, 5, 6, 7, 8]
    assert shop.value("SELECT count(*) FROM navigate.shop_contacts") == 9
    sync(shop, full_refresh=True)
    assert everywhere(shop, JANE) == []
    assert ids(shop, "chart.shop_users") == [1, 2, 4, 5, 6, 7, 8]
    assert shop.value("SELECT count(*) FROM chart.shop_contacts") == 9


def test_a_tokenized_key_is_the_same_however_it_is_spelled(shop: Source) -> None:
    shop.pii = {"columns": {"id": "tokenize"}}
    shop.rows["users"] = [{**person(3, 3, email="jane@example.com"), "id": 3.0}, person(4, 3)]
    sync(shop)
    shop.rows["users"] = [person(3, 4, email=JANE)]
    sync(shop)
    assert shop.value("SELECT count(*) FROM chart.shop_users WHERE id LIKE 'tok%'") == 2
    assert find(shop, JANE) == NOTHING | {"explore": 2, "chart": 1, "navigate": 2}
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM explore.shop_users_raw WHERE data->>'id' = '3.0'")
    assert find(shop, JANE) == NOTHING | {"explore": 1, "chart": 1, "navigate": 2}


def test_a_person_is_called_alike_in_every_form_of_unicode() -> None:
    composed, apart = (unicodedata.normalize(form, "jörg@müller.de") for form in ("NFC", "NFD"))
    tokens = Tokens(b"t" * 32)
    known = subjects._Secrets(b"r", (tokens,), Sealing(b"s" * 32), b"m")
    one, other = (subjects.request([text]) for text in (composed, apart))
    assert known.subjects(one) == known.subjects(other)
    for asked in (one, other):
        assert {tokens.token(composed), tokens.token(apart)} <= set(known.sought(asked).hidden)


def test_a_new_word_lets_go_also_of_rows_whose_raw_row_was_gone(shop: Source) -> None:
    shop.extra["users"] = {"schema": SCHEMA, "supports_incremental": False}
    shop.pii = {"columns": {"email": "keep"}}
    before = shop.rows["users"][2]
    sync(shop)
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM explore.shop_users_raw WHERE data->>'id' = '3'")
    erase(shop, JANE)
    assert (sync(shop, full_refresh=True)["rows_erased"], find(shop, JANE)) == (1, NOTHING)
    for remark, values in (("back", {"remark": "back"}), ("fine", {})):
        shop.rows["users"][2] = {**before, **values}
        assert sync(shop, full_refresh=True)["rows_erased"] == 0
        assert shop.value("SELECT remark FROM chart.shop_users WHERE id = 3") == remark


def test_rows_set_aside_are_erased_and_held_back_too(shop: Source) -> None:
    shop.rows["users"][2]["id"] = "x"  # no number: quarantine
    sync(shop)
    assert find(shop, JANE) == NOTHING | {"explore": 1, "quarantine": 1}
    erase(shop, JANE)
    whole = sync(shop, full_refresh=True)
    assert (whole["rows_erased"], whole["rows_quarantined"]) == (1, 0)
    assert find(shop, JANE) == NOTHING
    assert everywhere(shop, JANE) == []


def test_without_a_key_a_row_is_its_own(shop: Source) -> None:
    shop.extra["users"] = {"schema": SCHEMA, "primary_key": [], "supports_incremental": False}
    shop.rows["users"].append(dict(shop.rows["users"][2]))
    sync(shop)
    assert find(shop, JANE) == NOTHING | {"explore": 2, "chart": 2, "navigate": 2}
    erase(shop, JANE)
    whole = sync(shop, full_refresh=True)
    assert (whole["rows_explore"], whole["rows_erased"], whole["rows_promoted"]) == (9, 2, 7)
    assert find(shop, JANE) == NOTHING
    assert shop.value("SELECT count(*) FROM navigate.shop_users WHERE is_current") == 7


@pytest.mark.parametrize("there", [0, 1])
def test_without_a_key_what_the_schema_does_not_name_tells_rows_apart_too(
    shop: Source, there: int
) -> None:
    schema = {"type": "object", "properties": {"event": {"type": "string"}}}
    shop.extra["users"] = {"schema": schema, "primary_key": [], "supports_incremental": False}
    shop.rows["users"] = [{"event": "login", "email": JANE}]
    others = [{"event": "login", "email": f"person{n}@example.org"} for n in (1, 2)]
    shop.rows["users"] += others[:there]
    sync(shop)
    erase(shop, JANE)
    shop.rows["users"] += others[there:]
    whole = sync(shop, full_refresh=True)
    assert (whole["rows_explore"], whole["rows_erased"], whole["rows_promoted"]) == (3, 1, 2)
    assert everywhere(shop, JANE) == []


def test_keys_of_several_parts_and_within_documents(shop: Source) -> None:
    shop.extra["users"] = {"schema": SCHEMA, "primary_key": [["profile", "nr"], ["updated_at"]]}
    for each in shop.rows["users"]:
        each["profile"] = {"nr": each["id"], "tag": 'a"b\\c,{d}'}
    shop.rows["users"].append({**shop.rows["users"][2], "email": "jane@other.example"})
    sync(shop)
    counts = NOTHING | {"explore": 2, "chart": 1, "navigate": 1}
    assert find(shop, JANE, connection="shop") == counts
    assert find(shop, 'a"b\\c,{d}', columns=["profile"])["explore"] == 9
    erase(shop, JANE)
    assert sync(shop, full_refresh=True)["rows_erased"] == 2
    assert everywhere(shop, "jane@other.example") == []
    shop.rows["users"] = [{**shop.rows["users"][2], "remark": "another"}]
    assert sync(shop, full_refresh=True)["rows_promoted"] == 1
    assert shop.value("SELECT count(*) FROM pipeline.erased") == 0


def test_a_tombstone_of_an_erased_key_does_not_bring_it_back(shop: Source) -> None:
    schema = {
        **SCHEMA,
        "properties": {**SCHEMA["properties"], "_ab_cdc_deleted_at": {"type": "string"}},
    }
    shop.extra["users"] = {"schema": schema}
    sync(shop)
    erase(shop, JANE)
    shop.rows["users"].append(row(3, 15, _ab_cdc_deleted_at="2026-01-15"))
    gone = sync(shop)
    assert (gone["rows_tombstones"], gone["rows_erased"]) == (0, 1)
    assert 3 not in ids(shop, "explore.shop_users_raw")
    shop.rows["users"].append(person(3, 16, email="jane@new.example"))
    back = sync(shop)
    assert (back["rows_promoted"], ids(shop, "chart.shop_users").count(3)) == (1, 1)
    shop.rows["users"].append(row(3, 17, _ab_cdc_deleted_at="2026-01-17"))
    assert sync(shop)["rows_tombstones"] == 1
    assert 3 not in ids(shop, "chart.shop_users")


def test_a_place_in_a_log_that_moved_on_is_a_new_word(shop: Source) -> None:
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "_ab_cdc_lsn": {"type": "integer"}}}
    shop.extra["users"] = {"schema": schema, "cursor_field": ["_ab_cdc_lsn"]}
    for each in shop.rows["users"]:
        each["_ab_cdc_lsn"] = each["id"]
    sync(shop)
    erase(shop, JANE)
    assert sync(shop, full_refresh=True)["rows_erased"] == 1
    shop.rows["users"].append({**shop.rows["users"][2], "_ab_cdc_lsn": 99})
    assert sync(shop)["rows_erased"] == 0
    assert ids(shop, "chart.shop_users").count(3) == 1


def test_nothing_is_erased_while_a_run_is_active(shop: Source) -> None:
    sync(shop)
    run_id = shop.begin()
    with pytest.raises(ActiveRun, match=run_id):
        erase(shop, JANE)
    assert find(shop, JANE)["chart"] == 1
    assert shop.column("SELECT id FROM pipeline.erasure") == []


@pytest.mark.parametrize("until", [Stage.PII, Stage.QUALITY])
def test_a_run_that_failed_is_retried_without_the_person(shop: Source, until: Stage) -> None:
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    stages(shop, run_id, until=until)
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed'")
        conn.exec_driver_sql("UPDATE pipeline.run_stream SET status = 'failed'")
    assert "pipeline.staging_1" in everywhere(shop, JANE)
    erase(shop, JANE)
    assert everywhere(shop, JANE) == []
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'running'")
        conn.exec_driver_sql("UPDATE pipeline.run_stream SET status = 'running'")
    for stage in ORDER[ORDER.index(until) + 1 :]:
        perform(shop, 1, stage)
    assert ids(shop, "chart.shop_users") == [1, 2, 4, 5, 6, 7, 8]


def test_rows_carried_along_are_counted_without_the_person(shop: Source) -> None:
    for _ in range(2):  # both fail before chart; the second carries the rows of the first
        run_id = shop.begin()
        assert shop.attempt(run_id) is None
        stages(shop, run_id, until=Stage.PII)
        with shop.engine.begin() as conn:
            conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed'")
            conn.exec_driver_sql("UPDATE pipeline.run_stream SET status = 'failed'")
    assert shop.column("SELECT rows_carried FROM pipeline.run_stream ORDER BY id") == [0, 8]
    erase(shop, JANE)
    assert shop.column("SELECT rows_carried FROM pipeline.run_stream ORDER BY id") == [0, 7]
    assert everywhere(shop, JANE) == []
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'running' WHERE seq = 2")
    for stage in ORDER[2:]:
        perform(shop, 2, stage)
    assert ids(shop, "chart.shop_users") == [1, 2, 4, 5, 6, 7, 8]
    shop.rows["users"].append(person(50, 28))
    assert sync(shop)["rows_promoted"] > 0


def test_what_is_sent_again_and_carried_along_is_held_back(shop: Source) -> None:
    shop.rows["users"] = [shop.rows["users"][2]]
    sync(shop)
    erase(shop, JANE)
    run_id = shop.begin()
    assert shop.attempt(run_id) is None  # the same record is read again, and nothing follows
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed' WHERE status = 'running'")
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed' WHERE status = 'queued'")
    assert find(shop, JANE)["explore"] == 1
    shop.rows["users"].append(person(9, 9))
    last = sync(shop)
    assert (last["rows_explore"], last["rows_carried"], last["rows_erased"]) == (2, 0, 1)
    assert (last["rows_promoted"], ids(shop, "chart.shop_users")) == (1, [9])
    assert shop.column("SELECT rows_erased FROM pipeline.run_stream ORDER BY id") == [0, 1, 1]
    assert everywhere(shop, JANE) == []


def test_what_a_run_that_broke_off_left_behind_is_swept_up(shop: Source) -> None:
    sync(shop)
    erase(shop, JANE)
    run_id = shop.begin(full_refresh=True)
    assert shop.attempt(run_id) is None
    with shop.engine.begin() as conn:  # a full refresh that broke off: nobody takes it along
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed' WHERE status = 'queued'")
        conn.exec_driver_sql("UPDATE pipeline.run SET status = 'failed' WHERE status = 'running'")
        conn.execute(
            sa.text("UPDATE pipeline.run_stream SET explored_at = NULL WHERE run_id = :r"),
            {"r": run_id},
        )
    assert find(shop, JANE)["explore"] == 1
    shop.rows["users"].append(person(9, 9))
    last = sync(shop)
    assert (last["rows_carried"], last["rows_erased"]) == (0, 0)
    assert everywhere(shop, JANE) == []
    assert shop.column("SELECT rows_erased FROM pipeline.run_stream ORDER BY id") == [0, 1, 0]


def test_a_process_that_dies_between_two_streams_leaves_the_rest_to_others(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rows["contacts"] = [person(n, n) for n in range(1, 9)]
    shop.rows["contacts"][4]["email"] = JANE
    sync(shop)
    real, done = subjects._erase_in, []

    def dying(*arguments: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(1)
        real(*arguments)

    monkeypatch.setattr(subjects, "_erase_in", dying)
    with pytest.raises(KeyboardInterrupt):
        erase(shop, JANE)
    monkeypatch.undo()
    assert find(shop, JANE)["explore"] == 1
    # What is sought is kept for whoever goes on, and nobody can read it.
    assert [name for name in everywhere(shop, JANE) if name.startswith("pipeline.")] == []
    subjects.resume(shop.engine, shop.settings)
    assert find(shop, JANE)["explore"] == 1  # somebody may be at it
    subjects.resume(shop.engine, dataclasses.replace(shop.settings, redispatch_seconds=0))
    assert everywhere(shop, JANE) == []
    assert shop.column("SELECT request FROM pipeline.erasure") == [None]
    assert shop.value("SELECT count(*) FROM pipeline.audit WHERE action = 'pii.erase.end'") == 1


def test_a_run_that_begins_meanwhile_is_waited_for(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(shop)
    real, begun = subjects._erase_in, []

    def late(*arguments: Any) -> None:
        begun.append(shop.begin())
        real(*arguments)

    monkeypatch.setattr(subjects, "_erase_in", late)
    told = erase(shop, JANE)
    assert (told["finished_at"], told["streams"][0]["rows"]) == (None, None)
    monkeypatch.undo()
    now = dataclasses.replace(shop.settings, redispatch_seconds=0)
    subjects.resume(shop.engine, now)
    assert find(shop, JANE)["chart"] == 1
    assert shop.attempt(begun[0]) is None
    stages(shop, begun[0])
    subjects.resume(shop.engine, now)
    assert everywhere(shop, JANE) == []
    assert shop.value("SELECT count(*) FROM pipeline.erasure WHERE finished_at IS NULL") == 0


def test_who_syncs_while_an_erasure_searches_need_not_wait(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has ended before the erasure writes, and what it brought goes too."""
    sync(shop)
    real, searches = subjects.Subject.search, []

    def slow(*arguments: Any) -> dict[str, int]:
        found = real(*arguments)
        searches.append(found["explore"])
        if len(searches) == 2:  # the first one counts; the second is the erasure's own
            shop.rows["users"].append(person(20, 20, email=JANE))
            sync(shop)
        return found

    monkeypatch.setattr(subjects.Subject, "search", slow)
    told = erase(shop, JANE)
    assert searches == [1, 1, 2]
    assert told["total"] == {"explore": 2, "chart": 2, "quarantine": 0, "navigate": 2}
    assert everywhere(shop, JANE) == []


def test_to_ask_again_goes_on_with_what_was_left(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(shop)

    def dying(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subjects, "_erase_in", dying)
    with pytest.raises(KeyboardInterrupt):
        erase(shop, JANE)
    monkeypatch.undo()
    told = erase(shop, JANE)
    assert (told["id"], told["finished_at"] is not None) == (1, True)
    assert shop.value("SELECT count(*) FROM pipeline.erasure") == 1


def test_one_stream_that_cannot_be_done_keeps_no_other_from_it(
    shop: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rows["contacts"] = [dict(each) for each in shop.rows["users"]]
    sync(shop)
    real = subjects._erase_in

    def failing(*arguments: Any) -> None:
        if arguments[-1].name == "contacts":
            raise TransientError("it took too long")
        real(*arguments)

    monkeypatch.setattr(subjects, "_erase_in", failing)
    with pytest.raises(TransientError, match="too long"):
        erase(shop, JANE)
    monkeypatch.undo()
    assert shop.column("SELECT stream FROM pipeline.erasure_stream ORDER BY id") == [
        "contacts",
        "users",
    ]
    assert [name for name in everywhere(shop, JANE) if "users" in name] == []
    assert find(shop, JANE)["explore"] == 1
    now = dataclasses.replace(shop.settings, redispatch_seconds=0)
    assert ticks.do(shop.engine, now, "erase")
    assert everywhere(shop, JANE) == []


def test_an_erasure_does_not_end_while_somebody_adds_streams_to_it(shop: Source) -> None:
    secret, users = secret_key(shop.settings), ("shop", StreamKey("users"))
    asked: dict[str, Any] = {"identifiers": [JANE]}

    def begin(conn: sa.Connection, *within: tuple[str, StreamKey]) -> int:
        return erasures.begin(
            conn, secret, actor="cli", subjects=("sub_1",), request=asked, within=list(within)
        )

    def waits(work: Callable[[sa.Connection], object]) -> bool:
        with shop.engine.connect() as other:
            other.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                work(other)
        return True

    with shop.engine.begin() as conn:
        number = begin(conn)
    with shop.engine.begin() as conn:
        assert begin(conn, users) == number
        assert waits(lambda other: erasures.finish(other, number))
    with shop.engine.begin() as conn:
        assert not erasures.finish(conn, number)
        erasures.done(conn, number, *users, NOTHING)
        assert erasures.finish(conn, number)
        assert waits(lambda other: begin(other, users))
    with shop.engine.begin() as conn:
        assert begin(conn, users) > number


def test_a_search_in_very_many_columns(shop: Source) -> None:
    sync(shop)
    several = [f"column{n}" for n in range(250)]
    assert find(shop, JANE, columns=[*several, "email"])["explore"] == 1
    assert find(shop, JANE, columns=several) == NOTHING
