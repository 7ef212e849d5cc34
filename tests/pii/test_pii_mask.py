"""What operators do: masks leak nothing, tokens are equal where values are, keys survive."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from atlas.errors import TerminalError, UsageError
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import ColumnType
from atlas.pii import parse
from atlas.pii.masker import Masker
from atlas.pii.operators import Operators
from atlas.pii.scanner import Scanner
from tests.pii.tables import FAMILY, GIVEN, SECRET, column, full_names, masked, table, verdicts

EMAILS = [f"{name.lower()}{i}@mail.example.org" for i, name in enumerate(GIVEN)]


def test_a_table_like_source_fakers_leaks_nothing(scanner: Scanner) -> None:
    rows = 400
    data: dict[str, list[Any]] = {
        "id": [str(i) for i in range(rows)],
        "name": [GIVEN[i % len(GIVEN)] for i in range(rows)],
        "title": [("DPhil", "Dr.", "Miss", "Sir", "Madam")[i % 5] for i in range(rows)],
        "age": [str(18 + i % 60) for i in range(rows)],
        "email": [f"beat{i}+{i}@gmail.com" for i in range(rows)],
        "telephone": [f"{i % 900 + 10:03}-{i % 700 + 100}-{i:04}" for i in range(rows)],
        "gender": [("Male", "Female")[i % 2] for i in range(rows)],
        "nationality": [("Danish", "French", "Irish")[i % 3] for i in range(rows)],
        "occupation": [("Surgeon", "Road Sweeper", "Licensee")[i % 3] for i in range(rows)],
        "height": [f"1.{i % 90 + 10}" for i in range(rows)],
        "address": [
            {
                "street_number": str(i + 1000),
                "street_name": FAMILY[i % len(FAMILY)],
                "city": "Lower Nowhere",
                "state": "Ohio",
                "postal_code": f"{i + 40_000}",
                "country_code": "DK",
            }
            for i in range(rows)
        ],
    }
    types = {"id": ColumnType.BIGINT, "age": ColumnType.BIGINT, "address": ColumnType.JSONB}
    out = masked(scanner, data, types, frozenset({"id"}))
    assert set(out) == {"name", "email", "telephone", "address"}
    text = json.dumps(out)
    for name in GIVEN + FAMILY + ["Lower Nowhere"]:
        assert name not in text
    for i in range(rows):
        for part in (data["email"][i], data["telephone"][i], str(i + 40_000)):
            assert part not in text


@pytest.mark.parametrize("length", [3, 30])
def test_a_mask_tells_nothing_of_the_value_or_its_length(scanner: Scanner, length: int) -> None:
    values = [f"{'x' * length}{i}@mail.example.org" for i in range(5)]
    assert set(masked(scanner, {"email": values})["email"]) == {"***@***"}


def _operators(operator: str, entity: str = "EMAIL_ADDRESS") -> Any:
    return parse({"entities": {entity: operator}})


def test_operators_on_whole_values(scanner: Scanner) -> None:
    data: dict[str, list[Any]] = {"email": [*EMAILS, None]}
    out = {
        operator: masked(scanner, data, how=_operators(operator)).get("email")
        for operator in ("keep", "redact", "drop", "generalise", "tokenize")
    }
    assert out["keep"] is None
    assert out["redact"] == [""] * len(EMAILS) + [None]
    assert out["drop"] == [None] * (len(EMAILS) + 1)
    assert out["generalise"] == ["***@***"] * len(EMAILS) + [None]
    assert len(set(out["tokenize"])) == len(EMAILS) + 1


def test_operators_on_spans(scanner: Scanner) -> None:
    data: dict[str, list[Any]] = {"tag": ["plain", "to x@mail.example.org now"]}
    token = Operators(SECRET).token("x@mail.example.org")
    for operator, text in (
        ("mask", "to <EMAIL_ADDRESS> now"),
        ("redact", "to  now"),
        ("tokenize", f"to {token} now"),
        ("drop", None),
    ):
        assert masked(scanner, data, how=_operators(operator))["tag"] == ["plain", text]


def test_tokens_are_keyed_hmac_and_equal_across_tables(scanner: Scanner) -> None:
    how = _operators("tokenize")
    here = masked(scanner, {"email": EMAILS}, how=how)["email"]
    there = masked(scanner, {"c9": EMAILS[::-1]}, how=how)["c9"]
    assert here == there[::-1]
    key = hmac.new(SECRET, b"atlas/pii/tokenize/v1", hashlib.sha256).digest()
    digest = hmac.new(key, EMAILS[0].encode(), hashlib.sha256).hexdigest()
    assert here[0] == "tok_" + digest[:32]
    assert Operators(b"another secret of the tests").token(EMAILS[0]) != here[0]


@pytest.mark.parametrize("operator", ["mask", "redact", "generalise", "drop", "tokenize"])
def test_a_key_is_tokenized_whatever_the_entity_gets(scanner: Scanner, operator: str) -> None:
    out = masked(scanner, {"email": EMAILS}, keys=frozenset({"email"}), how=_operators(operator))[
        "email"
    ]
    assert len(set(out)) == len(EMAILS)
    assert all((each or "").startswith("tok_") for each in out)


def test_spans_in_a_key_are_tokenized_so_that_keys_stay_apart(scanner: Scanner) -> None:
    keys = [f"acct/{mail}/x{i % 2}" for i, mail in enumerate(EMAILS)] + ["acct/none/x1"] * 40
    out = masked(scanner, {"ref": keys}, keys=frozenset({"ref"}))["ref"]
    assert len(set(out)) == len(set(keys))
    assert not any("@" in (each or "") for each in out)


@pytest.mark.parametrize("operator", ["mask", "redact", "generalise", "drop"])
def test_a_policy_that_would_merge_keys_is_refused(scanner: Scanner, operator: str) -> None:
    how = parse({"columns": {"email": operator}})
    with pytest.raises(UsageError, match="column email is part of the primary key"):
        verdicts(scanner, {"email": EMAILS}, keys=frozenset({"email"}), how=how)


def test_a_key_may_be_kept_or_tokenized_by_name(scanner: Scanner) -> None:
    keys = frozenset({"email"})
    kept = verdicts(
        scanner, {"email": EMAILS}, keys=keys, how=parse({"columns": {"email": "keep"}})
    )
    assert [each.operator for each in kept] == [Operator.KEEP]
    how = parse({"columns": {"email": "tokenize"}})
    assert len(set(masked(scanner, {"email": EMAILS}, keys=keys, how=how)["email"])) == len(EMAILS)


def test_a_date_of_birth_keeps_its_year_and_its_type(scanner: Scanner) -> None:
    types = {
        "born": ColumnType.DATE,
        "birth_date": ColumnType.TIMESTAMPTZ,
        "dob": ColumnType.TIMESTAMP,
    }
    data: dict[str, list[Any]] = {
        "born": ["1980-02-29", None, "not a date"],
        "birth_date": ["1980-02-29T10:11:12+02:00", "1975-12-31T00:00:00Z", None],
        "dob": ["1980-02-29 10:11:12", None, None],
    }
    columns = [column(name, types[name]) for name in data]
    found = verdicts(scanner, data, types)
    masker = Masker(scanner, columns, found, frozenset(), SECRET)
    assert masker.columns == types
    out = masker.mask(table(columns, data))
    assert out.column("born").to_pylist() == ["1980-01-01", None, None]
    assert out.column("birth_date").to_pylist() == [
        "1980-01-01 00:00:00+00:00",
        "1975-01-01 00:00:00+00:00",
        None,
    ]
    assert out.column("dob").to_pylist() == ["1980-01-01 00:00:00", None, None]
    text = masked(scanner, {"dob": ["1980-02-29"]}, how=_operators("generalise", "DATE_OF_BIRTH"))
    assert text["dob"] == ["1980-01-01"]


def test_a_date_in_basic_form_is_its_year_as_well(scanner: Scanner) -> None:
    types = {
        "dob": ColumnType.DATE,
        "birth_date": ColumnType.TIMESTAMPTZ,
        "born": ColumnType.TIMESTAMP,
    }
    data: dict[str, list[Any]] = {
        "dob": ["19900517", "1975-12-31", "19901317", "199005170"],
        "birth_date": ["19900517T000000Z", "19900517", "19900517T02+02", "0517"],
        "born": ["19900517T101112.5", "1975-12-31 00:00", None, None],
    }
    columns = [column(name, types[name]) for name in data]
    found = [
        Verdict(name, "", "DATE_OF_BIRTH", 1.0, Scope.VALUE, Operator.MASK, 1.0) for name in data
    ]
    out = Masker(scanner, columns, found, frozenset(), SECRET).mask(table(columns, data))
    assert out.column("dob").to_pylist() == ["1990-01-01", "1975-01-01", None, None]
    assert out.column("birth_date").to_pylist() == ["1990-01-01 00:00:00+00:00"] * 3 + [None]
    assert out.column("born").to_pylist() == [
        "1990-01-01 00:00:00",
        "1975-01-01 00:00:00",
        None,
        None,
    ]


def test_what_must_come_as_its_type_writes_it(scanner: Scanner) -> None:
    """Where equal values must have one token: spellings of a number or a time are no values."""
    columns = [
        column(f"{kind.name}_{how}".lower(), kind) for kind in ColumnType for how in Operator
    ]
    found = [
        Verdict(each.name, "", "PERSONAL", 1.0, Scope.VALUE, Operator(each.name.split("_")[1]), 1.0)
        for each in columns
    ]
    masker = Masker(scanner, columns, found, frozenset({"date_mask"}), SECRET)
    texts = {ColumnType.TEXT, ColumnType.JSONB}
    assert masker.as_typed == {"date_mask"} | {
        each.name
        for each in columns
        if each.type not in texts and each.name.endswith(("_tokenize", "_encrypt"))
    }


def test_a_personal_number_becomes_null_or_a_token_of_text(scanner: Scanner) -> None:
    columns = [column("ssn", ColumnType.BIGINT)]
    data: dict[str, list[Any]] = {"ssn": ["219099999", "457555462", None]}
    types = {"ssn": ColumnType.BIGINT}
    for keys, expected in ((frozenset[str](), ColumnType.BIGINT), ({"ssn"}, ColumnType.TEXT)):
        found = verdicts(scanner, data, types, frozenset(keys))
        masker = Masker(scanner, columns, found, frozenset(keys), SECRET)
        assert masker.columns == {"ssn": expected}
        out = masker.mask(table(columns, data)).column("ssn").to_pylist()
        assert out[2] is None
        assert len(set(out[:2])) == (2 if keys else 1)
        assert not set(out) & set(data["ssn"][:2])


def test_a_column_that_the_policy_names_is_masked_whole_whatever_it_holds(
    scanner: Scanner,
) -> None:
    data: dict[str, list[Any]] = {"notes": ["nothing here", "at all"], "n": ["1", "2"]}
    how = parse({"columns": {"notes": "mask", "n": "drop"}})
    types = {"n": ColumnType.BIGINT}
    assert masked(scanner, data, types, how=how) == {"notes": ["***"] * 2, "n": [None] * 2}


def test_kept_columns_are_reported_and_not_in_the_output(scanner: Scanner) -> None:
    data: dict[str, list[Any]] = {"email": EMAILS, "name": GIVEN}
    how = parse({"columns": {"email": "keep"}})
    found = verdicts(scanner, data, how=how)
    assert {(each.column, each.operator) for each in found} == {
        ("email", Operator.KEEP),
        ("name", Operator.MASK),
    }
    assert set(masked(scanner, data, how=how)) == {"name"}


def test_one_whole_finding_and_no_spans_beside_it(scanner: Scanner) -> None:
    found = verdicts(scanner, {"full_name": [*full_names(40), "write to x@mail.example.org"]})
    assert [(each.entity_type, each.scope) for each in found] == [("PERSON", Scope.VALUE)]


def test_a_verdict_on_a_column_that_is_gone_is_an_error(scanner: Scanner) -> None:
    stale = Verdict("gone", "", "PERSON", 0.9, Scope.VALUE, Operator.MASK, 1.0)
    with pytest.raises(TerminalError, match="column gone"):
        Masker(scanner, [column("here")], [stale], frozenset(), SECRET)


def test_an_empty_batch_is_masked_to_an_empty_table(scanner: Scanner) -> None:
    columns = [column("email"), column("doc", ColumnType.JSONB), column("note")]
    study = scanner.study(columns, frozenset())
    data: dict[str, list[Any]] = {
        "email": EMAILS[:3],
        "doc": [{"email": mail} for mail in EMAILS[:3]],
        "note": ["a", "b", "to x@mail.example.org"],
    }
    study.observe(table(columns, {name: [] for name in data}))
    study.observe(table(columns, data))
    found = study.verdicts(parse(None))
    masker = Masker(scanner, columns, found, frozenset(), SECRET)
    out = masker.mask(table(columns, {name: [] for name in data}))
    assert out.num_rows == 0
    assert out.column_names == ["_atlas_id", "email", "doc", "note"]
