"""Nested documents are searched leaf by leaf and masked in place; the rest stays exact."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from atlas.model.stream import ColumnType
from atlas.pii import parse
from atlas.pii.masker import Masker
from atlas.pii.paths import Node, Plan, decode, encode, steps
from atlas.pii.scanner import Scanner
from tests.pii.tables import GIVEN, SECRET, column, masked, table, values_found, verdicts

JSONB = {"doc": ColumnType.JSONB}
ADDRESSES: list[Any] = [
    {
        "street_number": str(i),
        "street_name": f"{name} Alley",
        "city": "Upper Slaughter",
        "state": "Ohio",
        "postal_code": f"{i:05}",
        "country_code": "DK",
    }
    for i, name in enumerate(GIVEN, 1)
]


def test_parts_of_an_address_are_masked_and_state_and_country_stay(scanner: Scanner) -> None:
    found = values_found(verdicts(scanner, {"doc": ADDRESSES}, JSONB))
    assert found == dict.fromkeys(
        ("doc.city", "doc.postal_code", "doc.street_name", "doc.street_number"), "LOCATION"
    )
    out = masked(scanner, {"doc": [*ADDRESSES, None]}, JSONB)["doc"]
    assert out[-1] is None
    assert json.loads(out[0] or "") == {
        "street_number": "***",
        "street_name": "***",
        "city": "***",
        "state": "Ohio",
        "postal_code": "***",
        "country_code": "DK",
    }


def test_numbers_beside_a_masked_leaf_stay_exact(scanner: Scanner) -> None:
    forty = "1234567890123456789012345678901234567890"
    text = (
        '{"email": "anna@mail.example.org", "big": ' + forty + ', "small": 0.' + forty + ", "
        '"scale": 1.50, "wide": 18446744073709551617, "flag": true, "none": null, "e": []}'
    )
    out = masked(scanner, {"doc": [text]}, JSONB)["doc"][0] or ""
    read = json.loads(out, parse_float=Decimal)
    assert read.pop("email") == "***@***"
    expected = json.loads(text, parse_float=Decimal)
    del expected["email"]
    assert read == expected
    assert forty in out
    assert "1.50" in out


def test_a_document_with_nothing_personal_is_returned_byte_for_byte(scanner: Scanner) -> None:
    odd = '{"z":  1.0e0 , "a":"caf\\u00e9", "n": [1,2 ,3]}'
    out = masked(scanner, {"doc": [odd, '{"a": "write to bo@mail.example.org"}']}, JSONB)["doc"]
    assert out == [odd, '{"a":"write to <EMAIL_ADDRESS>"}']


def test_arrays_members_and_text_deep_inside(scanner: Scanner) -> None:
    documents: list[Any] = [
        {
            "contacts": [
                {"kind": "home", "phone": f"(415) 555-{i:04}"},
                {"kind": "work", "phone": f"(212) 555-{i:04}"},
            ],
            "product": {"name": "Garden Hose"},
            "customer": {"name": name},
            "odd key": {"remarks": ["fine", f"mail {name.lower()}@mail.example.org today"]},
        }
        for i, name in enumerate(GIVEN)
    ]
    out = [json.loads(each or "") for each in masked(scanner, {"doc": documents}, JSONB)["doc"]]
    for each in out:
        assert each == {
            "contacts": [
                {"kind": "home", "phone": "(***) ***-****"},
                {"kind": "work", "phone": "(***) ***-****"},
            ],
            "product": {"name": "Garden Hose"},
            "customer": {"name": "***"},
            "odd key": {"remarks": ["fine", "mail <EMAIL_ADDRESS> today"]},
        }


def test_a_number_in_a_personal_leaf_becomes_null_or_a_token(scanner: Scanner) -> None:
    documents: list[Any] = [{"phone": 4155552671, "n": 4155552671}, {"phone": "(415) 555-0101"}]
    out = [json.loads(each or "") for each in masked(scanner, {"doc": documents}, JSONB)["doc"]]
    assert out == [{"phone": None, "n": 4155552671}, {"phone": "(***) ***-****"}]
    how = parse({"entities": {"PHONE_NUMBER": "tokenize"}})
    tokens = masked(scanner, {"doc": documents}, JSONB, how=how)["doc"]
    assert json.loads(tokens[0] or "")["phone"].startswith("tok_")


def test_members_that_are_data_share_a_path_and_are_masked(scanner: Scanner) -> None:
    documents: list[Any] = [
        {"by_user": {f"user-{i * 7919 + 10_000_000}": {"email": f"u{i}@mail.example.org"}}}
        for i in range(400)
    ]
    found = verdicts(scanner, {"doc": documents}, JSONB)
    assert [each.path for each in found] == ["$.by_user.*.email"]
    for each in masked(scanner, {"doc": documents}, JSONB)["doc"]:
        assert "mail.example" not in (each or "")


def test_a_policy_names_one_leaf(scanner: Scanner) -> None:
    how = parse({"columns": {"doc.city": "keep", "doc.state": "redact"}})
    out = json.loads(masked(scanner, {"doc": ADDRESSES}, JSONB, how=how)["doc"][0] or "")
    assert (out["city"], out["state"], out["street_name"]) == ("Upper Slaughter", "", "***")


def test_a_leaf_that_turns_up_as_another_type_is_still_masked(scanner: Scanner) -> None:
    columns = [column("doc", ColumnType.JSONB)]
    study = [{"email": f"u{i}@mail.example.org"} for i in range(60)]
    found = verdicts(scanner, {"doc": study}, JSONB)
    late: list[Any] = [{"email": 12}, {"email": None}, {"email": True}, {"other": 1}, '"text"', 4]
    late.append({"email": {"of": "Ann Doe", "at": ["ann.doe@mail.example.org"]}})
    out = Masker(scanner, columns, found, frozenset(), SECRET).mask(table(columns, {"doc": late}))
    assert [json.loads(each) for each in out.column("doc").to_pylist()] == [
        {"email": None},
        {"email": None},
        {"email": None},
        {"other": 1},
        "text",
        4,
        {"email": {"of": "***@***", "at": ["***@***"]}},
    ]


@pytest.mark.parametrize("key", ["plain", "with space", 'quo"te', "back\\slash", "æøå", "a.b", "*"])
def test_a_path_leads_back_to_its_place(key: str) -> None:
    root = Node("$")
    path = root.child("outer").elements().child(key).path
    assert list(steps(path)) == [("member", "outer"), ("item", ""), ("member", key)]
    plan = Plan()
    plan.at(path).spans = lambda _: "x"
    document, changed = plan.apply({"outer": [{key: "y"}, {"z": "z"}]})
    assert changed
    assert decode(encode(document)) == {"outer": [{key: "x"}, {"z": "z"}]}


def test_an_address_as_the_name_of_a_member_becomes_a_token(scanner: Scanner) -> None:
    documents = [{f"person{i}@mail.example.org": i, "plain": "x"} for i in range(30)]
    found = verdicts(scanner, {"doc": documents}, JSONB)
    assert {(item.path, item.entity_type) for item in found} == {("$.~", "EMAIL_ADDRESS")}
    out = [json.loads(text or "") for text in masked(scanner, {"doc": documents}, JSONB)["doc"]]
    for index, document in enumerate(out):
        assert document.pop("plain") == "x"
        ((name, value),) = document.items()
        assert value == index
        assert name.startswith("tok_")


def test_two_addresses_as_names_stay_two_members(scanner: Scanner) -> None:
    document = {"a.one@mail.example.org": 1, "b.two@mail.example.org": 2}
    (out,) = masked(scanner, {"doc": [document]}, JSONB)["doc"]
    assert sorted(json.loads(out or "").values()) == [1, 2]
    assert "@" not in (out or "")


def test_full_names_in_a_few_values_are_found_whatever_the_leaf_is_called(
    scanner: Scanner,
) -> None:
    people = ["John Smith", "Maria Garcia", "Peter Jones", "Emma Brown"]
    documents = [{"rows": [{"c1": people[i % 4], "qty": i}]} for i in range(40)]
    found = values_found(verdicts(scanner, {"doc": documents}, JSONB))
    assert set(found.values()) == {"PERSON"}
    out = "".join(text or "" for text in masked(scanner, {"doc": documents}, JSONB)["doc"])
    assert not [name for name in people if name in out]
