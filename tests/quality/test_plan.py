"""The plan that a stream's schema makes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from atlas.errors import TerminalError
from atlas.model.checks import Dimension, OnFailure
from atlas.model.quality import Asked, Quality, StreamQuality
from atlas.model.stream import Column, ColumnType, StreamKey
from atlas.quality.check import Effect, Plan
from atlas.quality.formats import pattern
from atlas.quality.plan import plan

FAKER_PRODUCTS = tuple(
    Column(name, name, kind)
    for name, kind in {
        "id": ColumnType.BIGINT,
        "make": ColumnType.TEXT,
        "year": ColumnType.BIGINT,
        "price": ColumnType.NUMERIC,
        "created_at": ColumnType.TIMESTAMPTZ,
        "updated_at": ColumnType.TIMESTAMPTZ,
    }.items()
)


def _plan(*columns: Column, key: tuple[str, ...] = (), cursor: str | None = None) -> Plan:
    return plan("things", columns, key, cursor, asked=Asked())


def test_an_ordinary_stream_is_checked_in_all_six_dimensions() -> None:
    planned = plan(
        "products", FAKER_PRODUCTS, ("id",), "updated_at",
        asked=Asked(), expected_rows=100,
    )  # fmt: skip
    assert {check.dimension for check in planned.checks} == set(Dimension)


def test_names_are_unique_and_the_same_every_time() -> None:
    columns = (
        Column("price", "price", ColumnType.NUMERIC),
        Column("price.finite", "price.finite", ColumnType.NUMERIC),
        Column("types", "types", ColumnType.TEXT, format="email"),
    )
    names = [check.name for check in _plan(*columns).checks]
    assert len(names) == len(set(names))
    assert names == [check.name for check in _plan(*columns).checks]
    assert {"validity.types", "validity.types_2"} <= set(names)


def test_a_dimension_that_nothing_speaks_for_has_no_check() -> None:
    planned = _plan(Column("note", "note", ColumnType.TEXT))
    dimensions = {check.dimension for check in planned.checks}
    assert Dimension.ACCURACY not in dimensions
    assert Dimension.CONSISTENCY not in dimensions


def test_keys_and_types_set_aside_and_lost_rows_block_whatever_on_failure_says() -> None:
    planned = plan(
        "products",
        FAKER_PRODUCTS,
        ("id",),
        None,
        asked=Asked(on_failure=OnFailure.WARN),
        expected_rows=1,
    )
    effects = {check.name: check.effect for check in planned.checks}
    assert effects["completeness.id"] is Effect.SET_ASIDE
    assert effects["validity.types"] is Effect.SET_ASIDE
    assert effects["consistency.rows"] is Effect.BLOCK


def test_what_is_guessed_from_a_name_only_warns() -> None:
    planned = _plan(*FAKER_PRODUCTS, key=("id",))
    guessed = {"timeliness.created_at", "consistency.created_at.updated_at"}
    found = {check.name: check.sodacl for check in planned.checks if check.name in guessed}
    assert found.keys() == guessed
    assert all("warn: when > 0" in text for text in found.values())


def test_bounds_stay_exact() -> None:
    bound = Decimal("12345678901234567890123456789.5")
    planned = _plan(Column("n", "n", ColumnType.NUMERIC, maximum=bound))
    check = next(check for check in planned.checks if check.name == "accuracy.n.range")
    assert str(bound) in check.sodacl


def test_freshness_is_checked_only_where_it_is_asked_for() -> None:
    without = _plan(*FAKER_PRODUCTS, key=("id",), cursor="updated_at")
    asked = plan(
        "products", FAKER_PRODUCTS, ("id",), "updated_at",
        asked=Asked(on_failure=OnFailure.WARN, freshness=timedelta(hours=36)),
    )  # fmt: skip
    assert not any("freshness" in check.sodacl for check in without.checks)
    assert any("when > 2160m" in check.sodacl for check in asked.checks)


def test_a_key_that_is_no_column_is_refused_by_name() -> None:
    with pytest.raises(TerminalError, match="stream things has no column nix"):
        _plan(*FAKER_PRODUCTS, key=("nix",))


@pytest.mark.parametrize("expression", [r"\p{L}+", "(?<=a)b", "a{1,500}", "[]", "(", r"\u0041"])
def test_a_pattern_that_postgresql_reads_otherwise_is_not_checked(expression: str) -> None:
    assert pattern(expression) is None


def test_the_plan_is_one_sodacl_document_a_person_can_copy() -> None:
    text = _plan(*FAKER_PRODUCTS, key=("id",)).sodacl()
    assert text.startswith('checks for "things":\n  - missing_count("id") = 0:\n')
    assert text.count("checks for") == 1


def _gated(**gates: OnFailure) -> Plan:
    quality = Quality(streams={"products": StreamQuality(gates=gates)})
    return plan(
        "products",
        FAKER_PRODUCTS,
        ("id",),
        "updated_at",
        asked=quality.of(StreamKey("products")),
        expected_rows=1,
    )


def test_a_check_has_the_gate_that_its_stream_s_owner_gave_it() -> None:
    names = {"accuracy.price.finite": OnFailure.BLOCK, "completeness.id": OnFailure.BLOCK}
    planned = _gated(**names)
    by_name = {check.name: check for check in planned.checks}
    assert {name: planned.gate(by_name[name]) for name in names} == names
    # What only warns by itself is to close.
    assert "fail: when > 0" in by_name["accuracy.price.finite"].sodacl
    assert "warn" not in by_name["accuracy.price.finite"].sodacl
    assert "warn: when > 0" in by_name["uniqueness.id"].sodacl
    assert planned.gate(by_name["uniqueness.id"]) is OnFailure.QUARANTINE


def test_a_gate_for_what_is_usual_waits_for_it_also_where_few_rows_come() -> None:
    names = ["completeness.usual_rows", "consistency.price.usual_average"]
    names += ["completeness.make.usual_missing", "consistency.make.usual_length"]
    planned = _gated(**dict.fromkeys(names, OnFailure.BLOCK))
    assert not {check.name for check in planned.checks} & set(names)


@pytest.mark.parametrize(
    ("name", "gate", "told"),
    [
        ("completness.id", OnFailure.BLOCK, "did you mean completeness.id?"),
        ("nonsense", OnFailure.BLOCK, "atlas quality show"),
        ("validity.types", OnFailure.WARN, "only block or quarantine"),
        ("consistency.rows", OnFailure.QUARANTINE, "only block"),
    ],
)
def test_a_gate_that_cannot_hold_is_refused(name: str, gate: OnFailure, told: str) -> None:
    with pytest.raises(TerminalError) as caught:
        _gated(**{name: gate})
    assert str(caught.value).startswith(f"quality.streams.products.gates: {name} ")
    assert told in str(caught.value)


def test_a_stream_s_own_words_win() -> None:
    asked = Quality(
        on_failure=OnFailure.BLOCK,
        max_quarantined=0.5,
        streams={"products": StreamQuality(on_failure=OnFailure.WARN, max_quarantined=0.1)},
    )
    products, users = asked.of(StreamKey("products")), asked.of(StreamKey("users"))
    assert (products.on_failure, products.max_quarantined) == (OnFailure.WARN, 0.1)
    assert (users.on_failure, users.max_quarantined) == (OnFailure.BLOCK, 0.5)
    # Where names repeat, a stream is called with its namespace.
    of_one = replace(asked, streams={"crm.products": StreamQuality(max_quarantined=0.2)})
    assert of_one.of(StreamKey("products", "crm")).max_quarantined == 0.2
    assert of_one.of(StreamKey("products", "erp")).max_quarantined == 0.5
    planned = plan("products", FAKER_PRODUCTS, ("id",), None, asked=products)
    assert planned.on_failure is OnFailure.WARN
