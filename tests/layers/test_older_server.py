"""PostgreSQL 15 has no ``pg_input_is_valid``: what stands in for it answers as it does.

These tests have what Atlas makes on a server of 15 used on whichever server they have.
"""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions, sql

from atlas.ledger import validity
from atlas.model.stream import ColumnType
from tests.layers.test_types import MAKE
from tests.layers.test_types import (
    test_a_number_beyond_numeric_is_quarantined_with_its_reason as _large,
)
from tests.layers.test_types import test_spellings_of_a_value_are_one_text as _spellings
from tests.layers.test_types import test_values as _values

TEXTS = [
    *("", " ", "0", "-1", "1e3", "1e200000", "9223372036854775808", "NaN", "Infinity", "x", "1_0"),
    *("true", "t", "yes", "2024-02-29", "2023-02-29", "99999999-01-01", "now", "infinity"),
    *("2024-02-29T12:30:45Z", "2024-02-29T25:00:00Z", "2024-02-29 12:00 Nowhere/At", "12:30:45+02"),
    *("24:00:01", "12:30 PM", "{}", '{"a": 1}', "[1,", '"\\u0000"', '"\\ud800"', "null", "1.5"),
]


@pytest.fixture
def older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validity, "NATIVE", 1_000_000)


@pytest.mark.usefixtures("older")
def test_values_are_typed_alike(make: MAKE) -> None:
    _values(make)


@pytest.mark.usefixtures("older")
def test_spellings_are_one_text_alike(make: MAKE) -> None:
    _spellings(make)


@pytest.mark.usefixtures("older")
def test_numbers_too_large_are_set_aside_alike(make: MAKE) -> None:
    _large(make, "number")


def _said(cur: extensions.cursor, name: str, kind: str) -> list[Any]:
    cur.execute(
        sql.SQL("SELECT {}(t, {}) FROM unnest(%s) WITH ORDINALITY AS u(t, n) ORDER BY n").format(
            sql.SQL(name), sql.Literal(kind)
        ),
        (TEXTS,),
    )
    return [answer for (answer,) in cur.fetchall()]


@pytest.mark.parametrize("kind", [*ColumnType, "timestamptz", "timetz"])
def test_it_answers_as_the_server_would(cur: extensions.cursor, kind: str) -> None:
    if cur.connection.server_version < validity.NATIVE:
        pytest.skip("this server has nothing to compare it with")
    assert _said(cur, "pipeline.input_is_valid", kind) == _said(cur, "pg_input_is_valid", kind)


def test_what_is_no_answer_goes_on(cur: extensions.cursor) -> None:
    """A type that it does not know is a mistake of ours, and no value that does not fit."""
    with pytest.raises(psycopg2.errors.CaseNotFound):
        _said(cur, "pipeline.input_is_valid", "point")


def test_each_server_is_asked_what_it_knows(cur: extensions.cursor, older: None) -> None:
    assert validity.VALID.as_string(cur) == "pipeline.input_is_valid"
    assert validity.VALID.as_string(cur.connection) == "pipeline.input_is_valid"
