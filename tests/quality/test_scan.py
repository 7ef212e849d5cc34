"""Soda's scan of a real staging table: every check passes and fails for its own reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from atlas.errors import TerminalError, TransientError
from atlas.model.checks import CheckResult, OnFailure, Outcome
from atlas.model.quality import Asked
from atlas.model.stream import Column, ColumnType
from atlas.quality.plan import plan
from atlas.quality.rules import failing
from atlas.quality.score import gate, scores
from atlas.quality.soda import SodaHost
from tests.quality.quality_staging import NOW, USERS, Staging, users_plan

Scan = Callable[..., dict[str, CheckResult]]
LATER = NOW + timedelta(days=3)


def test_good_rows_pass_every_check(staging: Staging, scan: Scan) -> None:
    for number in range(4):
        staging.user(number)
    results = scan(staging, expected_rows=4, full_refresh=True, freshness=timedelta(days=1))
    assert {result.outcome for result in results.values()} == {Outcome.PASS}
    assert set(scores(list(results.values())).values()) == {1.0}


@pytest.mark.parametrize(
    ("check", "outcome", "bad"),
    [
        ("completeness.id", Outcome.FAIL, {"id": None}),
        ("completeness.name", Outcome.FAIL, {"name": None}),
        ("completeness.updated_at", Outcome.WARN, {"updated_at": None}),
        ("completeness.row", Outcome.WARN, dict.fromkeys([column.name for column in USERS])),
        ("uniqueness.id", Outcome.WARN, {"id": 0}),
        ("timeliness.created_at", Outcome.WARN, {"created_at": LATER}),
        ("timeliness.updated_at", Outcome.WARN, {"updated_at": LATER}),
        ("timeliness.emission", Outcome.WARN, {"emitted_at": NOW - timedelta(days=2)}),
        ("validity.types", Outcome.FAIL, {"errors": {"name": "no text"}}),
        ("validity.email", Outcome.FAIL, {"email": "nobody at example.org"}),
        ("validity.status", Outcome.FAIL, {"status": "O'LD"}),
        ("accuracy.id", Outcome.FAIL, {"id": None, "errors": {"id": "no integer"}}),
        ("accuracy.price", Outcome.FAIL, {"price": None, "errors": {"price": "no number"}}),
        ("accuracy.price.finite", Outcome.WARN, {"price": "NaN"}),
        ("accuracy.code.pattern", Outcome.FAIL, {"code": "A1"}),
        ("consistency.created_at.updated_at", Outcome.WARN, {"created_at": NOW + timedelta(1)}),
    ],
)
def test_a_bad_row_fails_its_check(
    staging: Staging, scan: Scan, check: str, outcome: Outcome, bad: dict[str, object]
) -> None:
    for number in range(3):
        staging.user(number)
    staging.user(3, **bad)
    result = scan(staging)[check]
    assert (result.outcome, result.failed_rows, result.score) == (outcome, 1, 0.75)


def test_lost_rows_fail(staging: Staging, scan: Scan) -> None:
    staging.user(1)
    planned = users_plan(expected_rows=2, on_failure=OnFailure.WARN)
    results = scan(staging, planned)
    assert results["consistency.rows"].outcome is Outcome.FAIL
    assert gate(planned, list(results.values())).blocking == ("consistency.rows",)


def test_no_new_rows_are_no_failure_and_a_full_refresh_of_none_warns(
    staging: Staging, scan: Scan
) -> None:
    results = scan(staging, expected_rows=0, freshness=timedelta(hours=1))
    assert {(r.outcome, r.score) for r in results.values()} == {(Outcome.PASS, 1.0)}
    full = scan(staging, expected_rows=0, full_refresh=True)
    assert full["completeness.table"].outcome is Outcome.WARN


def test_freshness_measures_the_latest_cursor(staging: Staging, scan: Scan) -> None:
    latest = datetime.now(UTC) - timedelta(hours=30)
    staging.user(1, updated_at=latest)
    name = "timeliness.updated_at.freshness"
    assert scan(staging, freshness=timedelta(hours=31))[name].outcome is Outcome.PASS
    late = scan(staging, freshness=timedelta(hours=29))[name]
    assert late.outcome is Outcome.FAIL
    assert 30 * 3600 <= late.detail["value"] <= (datetime.now(UTC) - latest).total_seconds()


def test_rules_name_exactly_the_rows_that_soda_counted(staging: Staging, scan: Scan) -> None:
    staging.user(1)
    staging.user(2, id=None, email="@", status="back\\slash")
    staging.user(3, status="back\\\\slash", name=None, code="'", errors={"price": "no number"})
    staging.user(4, email="", status=None, code=None, updated_at=LATER)
    staging.user(5, email="a b@c.d", created_at=LATER, errors={"o'dd": "x"})
    results = scan(staging)
    ruled = [check for check in users_plan().checks if check.rule is not None]
    counts = {check.name: staging.count(failing(check.rule)) for check in ruled if check.rule}
    assert counts == {name: results[name].failed_rows for name in counts}
    failed = {name for name, count in counts.items() if count}
    assert failed == {
        "completeness.id", "completeness.name", "validity.types", "validity.email",
        "validity.status", "accuracy.price", "accuracy.code.pattern", "timeliness.updated_at",
        "timeliness.created_at",
    }  # fmt: skip


def test_bounds_are_exact(make_staging: Callable[..., Staging], scan: Scan) -> None:
    top = Decimal("12345678901234567890123456789.5")
    columns = (
        Column("n", "n", ColumnType.NUMERIC, minimum=Decimal(0), maximum=top),
        Column("m", "m", ColumnType.BIGINT, enum=("1", "2")),
    )
    staging = make_staging(columns)
    for value in ("0", str(top), "12345678901234567890123456789.51", "-0.0001", None):
        staging.add(n=value, m=3 if value is None else 1)
    planned = plan("numbers", columns, (), None, asked=Asked())
    results = scan(staging, planned)
    assert results["accuracy.n.range"].failed_rows == 2
    assert results["validity.m"].failed_rows == 1
    assert results["uniqueness.row"].outcome is Outcome.PASS


def test_a_deletion_need_not_have_what_is_required_but_its_key(
    make_staging: Callable[..., Staging], scan: Scan
) -> None:
    columns = (
        Column("id", "id", ColumnType.BIGINT),
        Column("email", "email", ColumnType.TEXT, nullable=False, format="email"),
        Column("_ab_cdc_deleted_at", "_ab_cdc_deleted_at", ColumnType.TIMESTAMPTZ),
    )
    staging = make_staging(columns)
    staging.add(id=1, _ab_cdc_deleted_at=NOW)
    staging.add(id=None, email="nobody", _ab_cdc_deleted_at=NOW)
    staging.add(id=3)
    planned = plan("users", columns, ("id",), None, asked=Asked())
    failed = {r.name: r.failed_rows for r in scan(staging, planned).values() if r.failed_rows}
    assert failed == {"completeness.id": 1, "completeness.email": 1}


def test_checks_of_ones_own_see_no_deletion(
    make_staging: Callable[..., Staging], scan: Scan
) -> None:
    columns = (
        Column("id", "id", ColumnType.BIGINT),
        Column("email", "email", ColumnType.TEXT),
        Column("_ab_cdc_deleted_at", "_ab_cdc_deleted_at", ColumnType.TIMESTAMPTZ),
    )
    staging = make_staging(columns)
    staging.add(id=1, email="a@example.org")
    staging.add(id=2, _ab_cdc_deleted_at=NOW)
    staging.add(id=None, _ab_cdc_deleted_at=NOW)
    own = """
checks for USERS:
  - missing_count(email) = 0
  - row_count = 1
  - failed rows:
      name: no mail
      fail query: SELECT * FROM users WHERE email IS NULL
  - values in (id) must exist in users (id)
"""
    asked = Asked(on_failure=OnFailure.BLOCK, checks=(("quality.checks", own),))
    planned = plan("USERS", columns, ("id",), None, asked=asked, expected_rows=3)
    results = scan(staging, planned)
    # Of all rows is said what is said of the key, and how many there are.
    assert {r.name for r in results.values() if r.outcome is Outcome.FAIL} == {"completeness.id"}
    assert results["consistency.rows"].outcome is Outcome.PASS
    assert results["row_count = 1"].outcome is Outcome.PASS
    assert gate(planned, list(results.values())).blocking == ()


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 64 + "Y", "many " * 500, "a[b]: c"])
def test_a_stream_may_be_called_anything(
    make_staging: Callable[..., Staging], scan: Scan, name: str
) -> None:
    columns = (Column("id", "id", ColumnType.TEXT, format="uuid"),)
    staging = make_staging(columns)
    staging.add(id="no uuid")
    results = scan(
        staging, plan(name, columns, ("id",), None, asked=Asked(on_failure=OnFailure.WARN))
    )
    assert Outcome.ERROR not in {result.outcome for result in results.values()}
    assert results["validity.id"].failed_rows == 1


def test_checks_of_ones_own_for_a_name_that_sodacl_cannot_write(
    make_staging: Callable[..., Staging], scan: Scan
) -> None:
    name = "orders: 2026 #1"
    columns = (Column("id", "id", ColumnType.TEXT),)
    own = f"""
'filter "{name}" [one]':
  where: id = '1'
'checks for "{name}" [one]':
  - row_count = 1:
      name: filtered
'checks for "{name}"':
  - row_count = 2:
      name: all
"""
    staging = make_staging(columns)
    staging.add(id="1")
    staging.add(id="2")
    planned = plan(
        name,
        columns,
        ("id",),
        None,
        asked=Asked(on_failure=OnFailure.WARN, checks=(("quality.checks", own),)),
    )
    results = scan(staging, planned)
    assert {results[n].outcome for n in ("filtered", "all")} == {Outcome.PASS}


@pytest.mark.parametrize(
    "name", ["order", "Größe", "with space", 'a"quote', "it's", "${NOW}", "%s", "select", "a.b"]
)
def test_odd_names_of_columns_and_streams_are_checked(
    make_staging: Callable[..., Staging], scan: Scan, name: str
) -> None:
    columns = (
        Column(name, name, ColumnType.TEXT, nullable=False, format="uuid"),
        Column("updated_at", "updated_at", ColumnType.DATE),
    )
    staging = make_staging(columns)
    staging.add(updated_at=NOW)
    staging.add(**{name: "no uuid"}, updated_at=NOW)
    planned = plan(name, columns, (name,), "updated_at", asked=Asked())
    results = scan(staging, planned)
    assert Outcome.ERROR not in {result.outcome for result in results.values()}
    assert results[f"completeness.{name}"].failed_rows == 1
    assert results[f"validity.{name}"].failed_rows == 1


def test_nothing_of_a_row_leaves(staging: Staging, scan: Scan) -> None:
    secret = "PERSONAL-0815"
    own = f"""
checks for users:
  - max_length(email) < 3
  - max(name) < 3
  - failed rows:
      name: cast
      fail condition: CAST(name AS integer) = 1
  - failed rows:
      name: own
      fail query: SELECT * FROM users WHERE name = '{secret[:4]}' || 'ONAL-0815'
  - latest = 0:
      latest query: SELECT price FROM users
"""
    staging.user(1, email=secret, name=secret, price="4711.4712")
    staging.user(1, status=secret, code=secret)
    results = scan(staging, checks=own)
    assert results["own"].failed_rows == 1
    assert results["cast"].outcome is Outcome.ERROR
    assert results["cast"].detail["reason"] == "InvalidTextRepresentation, SQLSTATE 22P02"
    told = repr([result for result in results.values() if result.name != "own"])
    for value in (secret, "4711", str(len(secret))):
        assert value not in told.replace("86400", "")


def test_a_missing_table_and_a_missing_server_are_told_apart(
    staging: Staging, host: SodaHost
) -> None:
    with pytest.raises(TerminalError, match=r"there is no table pipeline\.staging_2"):
        host.scan(staging.url, "pipeline", "staging_2", users_plan(), 30)
    nowhere = "postgresql://atlas:geheim@127.0.0.1:1/atlas"
    with pytest.raises(TransientError, match="cannot connect to PostgreSQL") as caught:
        host.scan(nowhere, "pipeline", "staging_1", users_plan(), 30)
    assert "geheim" not in str(caught.value)


def test_a_failing_stream_scores_by_its_rows(staging: Staging, scan: Scan) -> None:
    for number in range(8):
        staging.user(number, email="nobody" if number < 2 else "a@b.c")
    found = scores(list(scan(staging).values()))
    # validity: types 1, email 6/8, status 1
    assert found["validity"] == pytest.approx((1 + 0.75 + 1) / 3)  # type: ignore[index]
    assert found["uniqueness"] == 1.0  # type: ignore[index]
