"""Verdicts show how values look, and never a value."""

from __future__ import annotations

import pyarrow as pa
import pytest

from atlas.model.personal import Scope
from atlas.model.stream import Column, ColumnType
from atlas.pii.examples import example, first
from atlas.pii.policy import BUILT_IN
from atlas.pii.scanner import Scanner

COLUMNS = (
    Column("email", "email", ColumnType.TEXT),
    Column("phone", "phone", ColumnType.TEXT),
    Column("surname", "surname", ColumnType.TEXT),
    Column("remark", "remark", ColumnType.TEXT),
)
ROWS = {
    "email": [f"jane{n}@mail.example" for n in range(40)],
    "phone": ["+45 12 34 56 78", "(555) 010-2299", "+1 212 555 0100", "5550100"] * 10,
    "surname": ["Jensen", "Núñez", "O'Brien", "Müller-Lüdenscheidt"] * 10,
    "remark": ["fine", "write to jane@mail.example at once", "nothing to say here", "ok"] * 10,
}


@pytest.mark.parametrize(
    ("entity", "text", "told"),
    [
        ("EMAIL_ADDRESS", "jane.roe@example.org", "***@***"),
        ("PHONE_NUMBER", "+45 12 34 56 78", "+** ** ** ** **"),
        ("PHONE_NUMBER", "call 12 34", "*** ## ##"),
        ("PERSON", "Jane O'Brien", "*** ***'***"),
        ("PERSON", "山田 太郎", "*** ***"),
        ("LOCATION", "12b Højgade, 2nd floor", "##*** ***, #*** ***"),
        ("DATE_OF_BIRTH", "1980-02-03", "####-##-##"),
        ("NATIONAL_ID", "AB½x٣ e\u0301\u2028z", "***# *******"),
        ("", "x" * 500 + "y", "***"),
        ("", "1" * 500, "#" * 47 + "…"),
    ],
)
def test_no_letter_and_no_digit_is_left(entity: str, text: str, told: str) -> None:
    found = example(entity, text)
    assert not any(char.isalnum() for char in found)
    assert found == told


def test_the_same_few_in_whatever_order() -> None:
    assert first(["d", "b", "a", "", "c", "a"]) == first([*first(["c", "a"]), "b", "d"])


def _examples(scanner: Scanner, *orders: range) -> dict[tuple[str, Scope], list[str]]:
    whole = scanner.study(COLUMNS, frozenset())
    for order in orders:
        part = scanner.study(COLUMNS, frozenset())
        part.observe(pa.table({k: [v[n] for n in order] for k, v in ROWS.items()}))
        whole.merge(part.evidence())
    return {(v.column, v.scope): v.evidence["examples"] for v in whole.verdicts(BUILT_IN)}


def test_a_verdict_shows_up_to_three_whoever_scanned_what(scanner: Scanner) -> None:
    found = _examples(scanner, range(20), range(20, 40))
    assert found["email", Scope.VALUE] == ["***@***"]
    assert found["phone", Scope.VALUE][0] == "(***) ***-****"
    assert found["surname", Scope.VALUE] == ["***", "***'***", "***-***"]
    assert found["remark", Scope.SPAN] == ["***@***"]
    assert found == _examples(scanner, range(20, 40), range(20))
