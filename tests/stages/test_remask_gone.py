"""Masked anew: rows that explore no longer knows, wholly, in part, or under the number they had."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import TerminalError
from atlas.ledger import runs
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stage import Stage
from atlas.pii.agreement import both
from atlas.sync import subjects, token_keys
from tests.stages.conftest import Source
from tests.stages.pipeline import perform, ready, stages, sync
from tests.stages.test_remask import (
    JANE,
    KEEP,
    SCHEMA,
    TOKENIZE,
    _found,
    _rotate,
    begin,
    emails,
    moved,
    person,
    remask,
    told,
)

SMALL = {
    "type": "object",
    "properties": {name: kind for name, kind in SCHEMA["properties"].items() if name != "remark"},
}
"""The schema before it knew of remarks: no raw row is known any more by a hash of then."""


@pytest.fixture
def shop(shop: Source, database_url: str) -> Source:
    """The connection with a stream ``users`` of six people, one of them Jane."""
    ready(shop, database_url)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"] = [person(n, n) for n in range(1, 7)]
    shop.rows["users"][2] = person(3, 3, email=JANE)
    return shop


def forget(shop: Source, where: str = "true") -> None:
    """The time of keeping is over for these raw rows."""
    with shop.engine.begin() as conn:
        conn.exec_driver_sql(f"DELETE FROM explore.shop_users_raw WHERE {where}")


def verdict(entity: str, scope: Scope, operator: Operator) -> Verdict:
    return Verdict("remark", "", entity, 1.0, scope, operator, 1.0)


@pytest.mark.parametrize("scope", Scope)
def test_what_is_kept_on_one_side_hides_nothing_of_the_other(scope: Scope) -> None:
    kept = verdict("IP_ADDRESS", Scope.VALUE, Operator.KEEP)
    masked = verdict("EMAIL_ADDRESS", scope, Operator.MASK)
    assert masked in both([kept], [masked])
    assert masked in both([masked], [kept])


def test_an_address_among_numbers_that_are_kept_is_masked_where_its_raw_row_is_gone(
    shop: Source,
) -> None:
    seen: dict[str, Any] = {"ip_address": {"type": ["null", "string"]}}
    schema, small = copy.deepcopy(SCHEMA), copy.deepcopy(SMALL)
    schema["properties"] |= seen
    small["properties"] |= seen
    shop.pii = {"entities": {"EMAIL_ADDRESS": "keep", "IP_ADDRESS": "keep"}}
    shop.extra["users"] = {"schema": small}
    shop.rows["users"] = [person(n, n % 20 + 1, ip_address=f"10.1.2.{n}") for n in range(1, 21)]
    shop.rows["users"][2]["ip_address"] = JANE
    sync(shop)
    shop.extra["users"] = {"schema": schema}
    shop.rows["users"].append(person(3, 28, ip_address="10.1.2.3"))
    sync(shop)
    shop.pii = {"entities": {"IP_ADDRESS": "keep"}}
    assert remask(shop)["without_raw"]["navigate"]
    of_her = shop.column("SELECT ip_address FROM navigate.shop_users WHERE id = 3")
    assert sorted(of_her) == ["10.1.2.3", "<EMAIL_ADDRESS>"]


def test_masks_do_not_become_tokens_that_many_share(shop: Source) -> None:
    sync(shop)
    forget(shop)
    shop.pii = TOKENIZE
    remask(shop)
    assert set(emails(shop, "chart")) == {"***@***"}


def test_what_was_encrypted_gets_the_token_of_its_value_and_a_token_is_not_encrypted(
    shop: Source,
) -> None:
    shop.pii = {"entities": {"EMAIL_ADDRESS": "encrypt"}}
    sync(shop)
    forget(shop, "data->>'id' <> '3'")
    shop.pii = TOKENIZE
    remask(shop)
    tokens = emails(shop, "chart")
    assert all(token.startswith("tok_") for token in tokens)
    sync(shop, full_refresh=True)
    assert emails(shop, "chart") == tokens
    forget(shop)
    shop.pii = {"entities": {"EMAIL_ADDRESS": "encrypt"}}
    remask(shop)
    assert emails(shop, "chart") == tokens


@pytest.fixture
def elsewhere(shop: Source) -> Iterator[None]:
    """Sessions that begin in another time zone."""

    def move(connection: Any, _: object) -> None:
        with connection.cursor() as cur:
            cur.execute("SET timezone = 'Europe/Copenhagen'")
        connection.commit()

    sa.event.listen(shop.engine, "connect", move)
    yield
    sa.event.remove(shop.engine, "connect", move)


@pytest.mark.usefixtures("elsewhere")
def test_typed_values_have_the_tokens_of_their_equals_where_the_raw_rows_are_gone(
    shop: Source,
) -> None:
    schema = copy.deepcopy(SCHEMA)
    schema["properties"] |= {
        "amount": {"type": "number"},
        "seen": {
            "type": "string",
            "format": "date-time",
            "airbyte_type": "timestamp_with_timezone",
        },
    }
    shop.extra["users"] = {"schema": schema}
    shop.rows["users"] = [
        person(n, n, amount="10.50", seen="2026-06-01T10:00:00Z") for n in range(1, 4)
    ]
    tokenized = {"columns": {"amount": "tokenize", "seen": "tokenize"}}
    # Once tokenized the columns are texts; then they are in the clear again.
    shop.pii = tokenized
    sync(shop)
    first = shop.column("SELECT DISTINCT amount || ' ' || seen FROM chart.shop_users")
    shop.pii = {"columns": {"amount": "keep", "seen": "keep"}}
    remask(shop)
    assert "10.50" in shop.column("SELECT amount FROM chart.shop_users")
    forget(shop, "data->>'id' <> '3'")
    shop.pii = tokenized
    assert remask(shop)["without_raw"]["chart"] == 2
    assert shop.column("SELECT DISTINCT amount || ' ' || seen FROM chart.shop_users") == first


def masked_to(shop: Source, until: Stage) -> tuple[str, int]:
    """A run that masks anew, as far as this stage; returns its id and that of its stream."""
    run_id = begin(shop)
    stages(shop, run_id, until=until)
    with shop.engine.connect() as conn:
        (stream,) = runs.streams(conn, run_id)
    return run_id, stream.id


def test_a_raw_row_that_goes_while_the_run_is_at_work_leaves_its_versions_masked(
    shop: Source,
) -> None:
    shop.pii = KEEP
    sync(shop)
    moved(shop)
    shop.pii = {}
    _, stream_id = masked_to(shop, Stage.QUALITY)
    forget(shop, "data->>'id' = '3'")
    perform(shop, stream_id, Stage.CHART)
    assert set(emails(shop, "navigate")) == {"***@***"}


def test_rows_that_pii_did_not_see_are_not_left_as_they_are(shop: Source) -> None:
    shop.pii = KEEP
    shop.extra["users"] = {"schema": SMALL}
    sync(shop)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"] = [person(7, 21)]
    for each in shop.rows["users"]:
        each["remark"] = "fine"
    sync(shop)
    shop.pii = {}
    _, stream_id = masked_to(shop, Stage.QUALITY)
    # Only chart knew which raw row this version came from.
    with shop.engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM chart.shop_users WHERE id = 3")
    with pytest.raises(TerminalError, match=r"navigate\.shop_users: 1 rows were changed while"):
        perform(shop, stream_id, Stage.CHART)
    assert emails(shop, "chart")[0] == "person1@example.org"
    assert JANE in emails(shop, "navigate")
    remask(shop)
    assert set(emails(shop, "navigate")) == {"***@***"}


def shared_keys(shop: Source) -> int:
    joined = "chart.shop_users c JOIN navigate.shop_users n USING (id) WHERE n.is_current"
    return int(shop.value(f"SELECT count(*) FROM {joined}"))


def test_rows_that_were_sent_again_have_one_key_in_chart_and_navigate(shop: Source) -> None:
    shop.pii = {"columns": {"id": "tokenize"}}
    sync(shop)
    sync(shop, full_refresh=True)
    forget(shop, "_atlas_id IN (SELECT _atlas_id FROM chart.shop_users)")
    assert shop.value("SELECT count(*) FROM explore.shop_users_raw") == 6
    shop.pii = {"columns": {"id": "keep"}}
    assert remask(shop)["without_raw"] == {}
    assert shop.column("SELECT id FROM chart.shop_users ORDER BY id") == [*"123456"]
    assert shared_keys(shop) == 6
    shop.rows["users"].append(person(4, 25, remark="news"))
    again = sync(shop)
    assert (again["versions_opened"], again["versions_closed"]) == (1, 1)
    assert shared_keys(shop) == len(emails(shop, "chart")) == 6


def test_another_key_of_tokens_leaves_a_history_in_one_piece(shop: Source) -> None:
    shop.pii = {**TOKENIZE, "columns": {"id": "tokenize"}}
    shop.extra["users"] = {"schema": SMALL}
    sync(shop)
    shop.extra["users"] = {"schema": SCHEMA}
    shop.rows["users"].append(person(3, 20, email="jane@other.example", remark="moved"))
    sync(shop)
    assert _found(shop)["navigate"] == 2
    assert _rotate(shop)["without_raw"]["navigate"]
    assert shop.value("SELECT count(DISTINCT id) FROM navigate.shop_users") == 6
    assert _found(shop)["navigate"] == 2
    asked = subjects.request([JANE])
    gone = subjects.erase(shop.engine, shop.settings, asked, actor="cli: officer")
    assert gone["total"]["navigate"] == 2


def test_a_key_that_cannot_be_masked_otherwise_stays_until_it_is_sent_again(shop: Source) -> None:
    tokenized = {"columns": {"id": "tokenize"}}
    shop.pii = tokenized
    sync(shop)
    forget(shop)
    keys = shop.column("SELECT id FROM chart.shop_users ORDER BY id")
    found = token_keys.rotate(shop.engine, shop.settings, actor="cli: officer")
    assert shop.attempt(found["runs"]["shop"]) is None
    with pytest.raises(TerminalError, match="sync the stream with --full-refresh first"):
        stages(shop, found["runs"]["shop"])
    shop.pii = {"columns": {"id": "keep"}}
    with pytest.raises(TerminalError, match="under the policy as it was"):
        remask(shop)
    assert shop.column("SELECT id FROM chart.shop_users ORDER BY id") == keys
    shop.pii = tokenized
    assert sync(shop, full_refresh=True)["versions_opened"] == 0
    run_id = token_keys.finish(shop.engine, shop.settings, actor="cli: officer")["runs"]["shop"]
    assert shop.attempt(run_id) is None
    stages(shop, run_id)
    assert told(shop, run_id)["without_raw"] == {}
    assert set(shop.column("SELECT id FROM chart.shop_users")).isdisjoint(keys)
    assert shared_keys(shop) == 6
    again = sync(shop, full_refresh=True)
    assert (again["versions_opened"], again["versions_closed"]) == (0, 0)
