"""Forms without their characters, values that can be read again, and values made less exact."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from presidio_anonymizer import AnonymizerEngine, OperatorConfig, RecognizerResult

from atlas.errors import TerminalError, UsageError
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import ColumnType
from atlas.pii import ENTITIES, parse
from atlas.pii.masker import Masker
from atlas.pii.operators import MASKED, Operators, masked
from atlas.pii.scanner import Scanner
from atlas.pii.sealing import Sealing
from tests.pii.tables import GIVEN, SEALING, SECRET, column, table
from tests.pii.tables import masked as masked_table

EMAILS = [f"{name.lower()}{i}@mail.example.org" for i, name in enumerate(GIVEN)]


# --- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entity", "value", "form"),
    [
        ("PHONE_NUMBER", "+45 12 34 56 78", "+** ** ** ** **"),
        ("PHONE_NUMBER", "(415) 555-0101 x12", "(***) ***-**** ***"),
        ("PHONE_NUMBER", "0045.12345678", "****.********"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "**** **** **** ****"),
        ("CREDIT_CARD", "378282246310005", "***************"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "**** **** **** **** **** **"),
        ("US_SSN", "219-09-9999", "***-**-****"),
        ("UK_NHS", "943 476 5919", "*** *** ****"),
        ("MAC_ADDRESS", "00:1B:44:11:3A:B7", "**:**:**:**:**:**"),
        ("IP_ADDRESS", "10.1.2.3", "***.***.***.***"),
        ("IP_ADDRESS", "2001:db8::1", MASKED),
        ("EMAIL_ADDRESS", "a@b.dk", "***@***"),
        ("PERSON", "Ann-Marie 007", MASKED),
        # What is not of the form does not show its words either.
        ("PHONE_NUMBER", "ask Ann at 4155550101", MASKED),
        ("PHONE_NUMBER", "-----", MASKED),
        ("CREDIT_CARD", "4111 1111 1111 1111 Ann", MASKED),
        ("IBAN_CODE", "no bank account at all", MASKED),
        ("PHONE_NUMBER", "٤١٥٥٥٥٠١٠١", MASKED),
    ],
)
def test_a_mask_keeps_the_form_of_what_has_one(entity: str, value: str, form: str) -> None:
    assert masked(entity, value) == form
    assert Operators(SECRET).value(Operator.MASK, entity, value) == form


@given(st.sampled_from(sorted(ENTITIES)), st.text(max_size=40))
def test_no_letter_or_digit_of_any_value_stands_in_its_mask(entity: str, value: str) -> None:
    assert not re.search(r"\w", masked(entity, value))


@given(
    st.sampled_from(["PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "UK_NHS"]),
    st.from_regex(r"[A-Z0-9+() .-]{5,34}", fullmatch=True),
)
def test_nor_of_what_looks_like_a_form(entity: str, value: str) -> None:
    assert not re.search(r"\w", masked(entity, value))


def test_forms_in_columns(scanner: Scanner) -> None:
    data: dict[str, list[Any]] = {"phone": [f"(415) 555-{n:04}" for n in range(40)] + [None]}
    assert masked_table(scanner, data)["phone"] == ["(***) ***-****"] * 40 + [None]


def test_spans_are_replaced_and_taken_out_as_presidio_does_it() -> None:
    """What its AnonymizerEngine makes of a text is what becomes of a span in it."""
    text = "ask Ann Doe now"
    found = [RecognizerResult("PERSON", 4, 11, 1.0)]
    for operator, name in ((Operator.MASK, "replace"), (Operator.REDACT, "redact")):
        whole = AnonymizerEngine().anonymize(text, found, {"PERSON": OperatorConfig(name)}).text
        span = Operators(SECRET).span(operator, "PERSON", "Ann Doe")
        assert f"ask {span} now" == whole


# --- encryption -----------------------------------------------------------------------------------


@given(st.text())
def test_what_is_encrypted_can_be_read_again_and_stands_nowhere(text: str) -> None:
    text = text.encode(errors="ignore").decode()
    sealed = SEALING.seal(text)
    assert re.fullmatch(r"enc_[A-Za-z0-9_-]+", sealed)
    assert SEALING.seal(text) == sealed
    assert SEALING.open(sealed) == text
    assert SEALING.open(f"to {sealed} now, {sealed}") == f"to {text} now, {text}"


@pytest.mark.parametrize(
    "text",
    ["host-{}-eth0", "{}_x", "{}{}", "{}-{}, {}", "{}" + "x" * 250, "{}-" * 40],
)
@pytest.mark.parametrize("address", ["10.0.0.1", "", "long " * 500])
def test_what_stands_right_beside_something_encrypted_is_told_from_it(
    text: str, address: str
) -> None:
    """A span's neighbours may be of the letters that encrypted values are written with."""
    assert SEALING.open(text.replace("{}", SEALING.seal(address))) == text.replace("{}", address)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "tok_0123456789abcdef0123456789abcdef",
        "enc_",
        "enc_short",
        SEALING.seal("Ann Doe")[:-2],
        SEALING.seal("Ann Doe")[:-3] + "AAA",
        "enc_" + "A" * 40,
        "enc_" + "A" * 41,
        Sealing(b"the key of another database").seal("Ann Doe"),
    ],
)
def test_what_was_not_encrypted_here_is_refused_and_not_told(value: str) -> None:
    with pytest.raises(UsageError) as refused:
        SEALING.open(value)
    assert len(value) < 5 or value not in str(refused.value)


def test_without_a_key_nothing_is_encrypted() -> None:
    with pytest.raises(TerminalError, match="no key to encrypt"):
        Operators(SECRET).value(Operator.ENCRYPT, "PERSON", "Ann Doe")


def test_columns_leaves_and_spans_are_encrypted(scanner: Scanner) -> None:
    how = parse({"entities": dict.fromkeys(ENTITIES, "encrypt"), "columns": {"n": "encrypt"}})
    data: dict[str, list[Any]] = {
        "email": [*EMAILS, None],
        "n": [str(n) for n in range(len(EMAILS))] + [None],
        "doc": [{"email": mail, "phone": 4155550100 + n} for n, mail in enumerate(EMAILS)] + [None],
        "note": ["plain", "to x@mail.example.org now", *["fine"] * (len(EMAILS) - 1)],
    }
    types = {"n": ColumnType.BIGINT, "doc": ColumnType.JSONB}
    out = masked_table(scanner, data, types, how=how)
    for name in ("email", "n"):
        assert out[name][-1] is None
        assert len(set(out[name])) == len(EMAILS) + 1
        assert [SEALING.open(each or "") for each in out[name][:-1]] == data[name][:-1]
    first = json.loads(out["doc"][0] or "")
    assert SEALING.open(first["email"]) == EMAILS[0]
    assert first["phone"] is None or SEALING.open(first["phone"]) == "4155550100"
    assert out["note"][0] == "plain"
    assert SEALING.open(out["note"][1] or "") == "to x@mail.example.org now"
    assert not any(mail in json.dumps(out) for mail in (*EMAILS, "x@mail.example.org"))


def test_a_key_column_may_be_encrypted_for_equal_stays_equal(scanner: Scanner) -> None:
    how = parse({"columns": {"email": "encrypt"}})
    keys = frozenset({"email"})
    first = masked_table(scanner, {"email": EMAILS}, keys=keys, how=how)["email"]
    again = masked_table(scanner, {"email": EMAILS[::-1]}, keys=keys, how=how)["email"]
    assert len(set(first)) == len(EMAILS)
    assert first == again[::-1]


# --- less exact -----------------------------------------------------------------------------------


def _generalised(
    scanner: Scanner, name: str, values: list[Any], kind: ColumnType, entity: str = "PERSONAL"
) -> tuple[ColumnType, list[Any]]:
    columns = [column(name, kind)]
    verdict = Verdict(name, "", entity, 1.0, Scope.VALUE, Operator.GENERALISE, 1.0)
    masker = Masker(scanner, columns, [verdict], frozenset(), SECRET)
    out = masker.mask(table(columns, {name: values}))
    return masker.columns[name], out.column(name).to_pylist()


@pytest.mark.parametrize("name", ["lat", "home_latitude", "longitude", "geo_lng"])
def test_coordinates_have_one_decimal_and_their_type(scanner: Scanner, name: str) -> None:
    values = ["55.676098", "-0.04", "179.96", "12", "55676098", "NaN", None]
    expected = ["55.7", "0.0", "180.0", "12.0", None, None, None]
    found = _generalised(scanner, name, values, ColumnType.NUMERIC)
    assert found == (ColumnType.NUMERIC, expected)


def test_coordinates_in_integers_and_in_text(scanner: Scanner) -> None:
    kind, out = _generalised(scanner, "lat", ["55", "-3", "55676098"], ColumnType.BIGINT)
    assert (kind, out) == (ColumnType.BIGINT, ["55", "-3", None])
    values = ["55.676098, 12.568337", "55.676098;12.568337", "55.68", "the harbour", "1 2 3", ""]
    kind, out = _generalised(scanner, "coordinates", values, ColumnType.TEXT)
    assert kind is ColumnType.TEXT
    assert out == ["55.7, 12.6", "55.7, 12.6", "55.7", MASKED, MASKED, MASKED]


@pytest.mark.parametrize("kind", [ColumnType.BIGINT, ColumnType.NUMERIC, ColumnType.TEXT])
def test_an_age_becomes_its_decade(scanner: Scanner, kind: ColumnType) -> None:
    values = ["0", "9", "10", "34", "89", "90", "107", "-1", "1900", None]
    bands = ["0-9", "0-9", "10-19", "30-39", "80-89", "90+", "90+", MASKED, MASKED, None]
    assert _generalised(scanner, "patient_age", values, kind) == (ColumnType.TEXT, bands)
    assert _generalised(scanner, "alder", values, kind, "AGE") == (ColumnType.TEXT, bands)


def test_a_number_of_which_nothing_is_known_has_no_less_exact_form(scanner: Scanner) -> None:
    for name in ("height", "average", "flat"):
        kind, out = _generalised(scanner, name, ["34", "1.85"], ColumnType.NUMERIC)
        assert (kind, out) == (ColumnType.NUMERIC, [None, None])


def test_a_date_of_birth_in_text_becomes_its_year(scanner: Scanner) -> None:
    values = [
        "1980-02-29",
        "29/02/1980",
        "February 29, 1980",
        "29.2.80",
        "20021980",
        "19801399",
        "1980 or 1981",
        "unknown",
        "born in 1980, in a village that Ann Doe has left long since",
    ]
    _, out = _generalised(scanner, "dob", values, ColumnType.TEXT, "DATE_OF_BIRTH")
    assert out == ["1980-01-01"] * 3 + [MASKED] * 6
    values = ["19800229", "19800229T000000Z"]
    _, out = _generalised(scanner, "dob", values, ColumnType.TEXT, "DATE_OF_BIRTH")
    assert out == ["1980-01-01"] * 2


def test_digits_in_what_nobody_knows_for_a_date_are_no_year(scanner: Scanner) -> None:
    values = ["2000", "1985 Main Street", "call 555 2012 33", "20000501", "2000-05-01"]
    _, out = _generalised(scanner, "zip", values, ColumnType.TEXT)
    assert out == ["***", "***", "***", "***", "2000-01-01"]


def test_what_is_below_a_leaf_that_the_policy_names_goes_with_it(scanner: Scanner) -> None:
    how = parse({"columns": {"doc.home": "drop", "doc.tags": "tokenize", "doc.smoker": "mask"}})
    document = {
        "home": {"rooms": 4, "of": {"note": "old", "kept": None, "warm": True}},
        "tags": ["a", {"b": 1}],
        "smoker": True,
        "n": 1,
    }
    types = {"doc": ColumnType.JSONB}
    (text,) = masked_table(scanner, {"doc": [document]}, types, how=how)["doc"]
    token = Operators(SECRET).token
    assert json.loads(text or "") == {
        "home": {"rooms": None, "of": {"note": None, "kept": None, "warm": None}},
        "tags": [token("a"), {"b": token("1")}],
        "smoker": None,
        "n": 1,
    }


def test_leaves_are_made_less_exact_too(scanner: Scanner) -> None:
    columns = [column("doc", ColumnType.JSONB)]
    leaves = ("$.age", "$.geo.lat", "$.geo.coordinates[*]", "$.born", "$.ok")
    found = [
        Verdict("doc", leaf, "PERSONAL", 1.0, Scope.VALUE, Operator.GENERALISE, 1.0)
        for leaf in leaves
    ]
    document = {
        "age": 34,
        "geo": {"lat": 55.676098, "coordinates": [12.568337, -0.01]},
        "born": "1980-02-29",
        "ok": True,
    }
    masker = Masker(scanner, columns, found, frozenset(), SECRET)
    (text,) = masker.mask(table(columns, {"doc": [document]})).column("doc").to_pylist()
    assert json.loads(text) == {
        "age": "30-39",
        "geo": {"lat": 55.7, "coordinates": [12.6, 0.0]},
        "born": "1980-01-01",
        "ok": None,
    }
