"""What is found in columns, and what only looks like it."""

from __future__ import annotations

import hashlib
import random
import re
import uuid
from typing import Any

import pytest

from atlas.errors import TerminalError
from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii import policy
from atlas.pii.scanner import Scanner
from atlas.settings import Settings
from tests.pii.tables import (
    FAMILY,
    GIVEN,
    column,
    full_names,
    masked,
    table,
    values_found,
    verdicts,
)

EMAILS = [f"{name.lower()}.{i}@mail{i % 7}.example.org" for i, name in enumerate(GIVEN)]
PHONES = [
    "+45 33 12 45 78",
    "+44 20 7946 0958",
    "(212) 555-0143",
    "212-555-0187",
    "067-835-7187",
    "+1-(895)-217-1061",
    "098.189.7712",
    "0171 2345678",
    "1-337-859-7737",
]


@pytest.mark.parametrize(
    ("name", "entity", "values"),
    [
        ("c1", "EMAIL_ADDRESS", EMAILS),
        ("email", "EMAIL_ADDRESS", EMAILS),
        ("work_email", "EMAIL_ADDRESS", [f"{each}@corp.internal" for each in GIVEN]),
        ("telephone", "PHONE_NUMBER", PHONES),
        ("telephone", "PHONE_NUMBER", ["4155552671", "2125550187", "33124578"]),
        ("c2", "PHONE_NUMBER", [f"(415) 555-{i:04}" for i in range(100, 140)]),
        ("c3", "PHONE_NUMBER", [f"+45 33 12 45 {i}" for i in range(10, 60)]),
        ("first_name", "PERSON", GIVEN),
        ("name", "PERSON", GIVEN),
        ("surname", "PERSON", FAMILY),
        ("c4", "PERSON", full_names(60)),
        ("c5", "PERSON", [f"{name.split()[1]}, {name.split()[0]}" for name in full_names(60)]),
        (
            "c5",
            "PERSON",
            [f"{a}-{b} O'{c}" for a, b, c in zip(GIVEN, GIVEN[1:], FAMILY * 2, strict=False)],
        ),
        (
            "c5",
            "PERSON",
            [f"{a} {b[0]}. {c}" for a, b, c in zip(GIVEN, GIVEN[1:], FAMILY * 2, strict=False)],
        ),
        ("full_name", "PERSON", [f"{c} {c}, {a}" for a, c in zip(GIVEN, FAMILY * 2, strict=False)]),
        ("c6", "CREDIT_CARD", ["4111111111111111", "5500005555555559", "4012-8888-8888-1881"]),
        ("c7", "IBAN_CODE", ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"]),
        ("c8", "CRYPTO", ["1BoatSLRHtKNngkdXEeobR76b53LETtpyT"]),
        ("c9", "IP_ADDRESS", ["83.92.14.201", "2a01:4f8:c0c:1234::1", "10.20.30.40"]),
        ("c10", "MAC_ADDRESS", ["00:1A:2B:3C:4D:5E", "a4-83-e7-11-22-33"]),
        ("c11", "US_SSN", ["219-09-9999", "457-55-5462"]),
        ("ssn", "US_SSN", ["219099999", "457555462"]),
        ("nhs_number", "UK_NHS", ["943 476 5919", "9434765919"]),
        ("c12", "LOCATION", [f"{i} Maple Hollow Road" for i in range(10, 40)]),
        ("home_address", "LOCATION", ["Vestergade 12, 3. tv", "Rue de Lille 4 bis"]),
        ("passport_number", "NATIONAL_ID", ["P1234567", "204567890"]),
        ("date_of_birth", "DATE_OF_BIRTH", ["1980-02-29", "1975-12-01"]),
    ],
)
def test_a_column_of_one_kind_is_found_whole(
    scanner: Scanner, name: str, entity: str, values: list[str]
) -> None:
    found = verdicts(scanner, {name: values})
    assert values_found(found) == {name: entity}, found
    out = masked(scanner, {name: values})[name]
    # Dates keep their year where they are typed; of text nothing stands but what separates groups.
    assert not any(re.search(r"\w", each or "") for each in out)


def _numbers(digits: int, count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [str(chance.randrange(10 ** (digits - 1), 10**digits)) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [str(uuid.UUID(int=i * 2**99 + 12345678901)) for i in range(1, 200)]),
        ("hash", [hashlib.sha256(str(i).encode()).hexdigest() for i in range(200)]),
        ("etag", [hashlib.md5(str(i).encode()).hexdigest() for i in range(200)]),  # noqa: S324
        ("version", ["1.2.3.4", "10.0.1.2", "2.14.0.1", "v4.0.12.1"]),
        ("ran_at", ["2024-04-08T18:07:20+00:00", "2001-05-23 04:29:23.123456", "2024-04-08"]),
        ("day", ["08.04.2024", "23/05/2001", "12-31-1999"]),
        ("order_number", _numbers(16, 500, 1)),
        ("order", _numbers(10, 200, 2)),
        ("number", _numbers(9, 200, 3)),
        ("sku", [f"SKU-{i:05}-{i % 97:02}" for i in range(200)]),
        ("invoice", [f"INV-2024-{i:05}" for i in range(200)]),
        ("price", ["12345678.90", "1,299.00", "-17.5", "$4,200.00"]),
        ("colour", ["#ff8800", "#00ccff", "red"]),
        ("netmask", ["255.255.255.0", "127.0.0.1", "0.0.0.0"]),
        ("coordinates", ["55.676098, 12.568337", "40.7128, -74.0060"]),
        ("title", ["DPhil", "Dr.", "Sir", "Madam", "PhD", "Miss", "M.Sc.Tech."] * 3),
        (
            "occupation",
            [
                "Surgeon",
                "Illustrator",
                "Road Sweeper",
                "Thermal Insulator",
                "Cafe Staff",
                "IT Consultant",
                "Postwoman",
                "Travel Agent",
                "Steeplejack",
                "Licensee",
                "Planning Officer",
            ],
        ),
        ("nationality", ["Danish", "French", "Puerto Rican", "Argentinian", "Irish", "Japanese"]),
        ("language", ["Croatian", "Hiri Motu", "West Frisian", "Bengali", "Gagauz", "Portuguese"]),
        ("gender", ["Male", "Female", "Other", "Fluid"]),
        ("academic_degree", ["Master", "PhD", "Bachelor"]),
        ("blood_type", ["A+", "AB\u2212", "O\u2212"]),
        ("height", ["1.64", "1.84", "2.00"]),
        ("phone_model", ["Pixel 8 Pro", "iPhone 15", "Galaxy S24"]),
        ("email_count", ["12", "0", "4711"]),
        ("address_type", ["billing", "shipping"]),
        ("weekday", ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]),
        (
            "country",
            [
                "Denmark",
                "France",
                "Chad",
                "Jordan",
                "Georgia",
                "Germany",
                "United Kingdom",
                "Brazil",
                "Japan",
                "Peru",
                "Norway",
                "Chile",
            ],
        ),
        (
            "make",
            ["Mazda", "Mercedes-Benz", "Honda", "GMC", "Infiniti", "Dodge", "Lincoln", "Ford"],
        ),
        ("model", ["MX-5", "C-Class", "Accord Crosstour", "Jimmy", "Frontier", "Express 1500"]),
        ("name", ["Red Shirt", "Blue Mug XL", "Desk Lamp", "Garden Hose 20m", "USB Cable"]),
        ("city", ["Aarhus", "Lyon", "Leeds"]),
        ("package", ["left-pad@1.3.0", "@types/node@20.1.2", "react@18.2.0"]),
    ],
)
def test_look_alikes_stay(scanner: Scanner, name: str, values: list[str]) -> None:
    assert verdicts(scanner, {name: values}) == []


def test_product_names_stay_and_names_of_people_beside_an_address_do_not(scanner: Scanner) -> None:
    goods = {"name": ["Oak Table", "Pine Shelf", "Lamp Ivy"], "price": ["10.50", "20.00", "5.25"]}
    assert verdicts(scanner, goods) == []
    unheard = ["Xiulan Babajide", "Henrik Qvortrup", "Oluwaseun Ngo", "Mary Szöllösy"]
    people = {"name": unheard, "email": EMAILS[:4], "gender": ["f", "m", "m", "f"]}
    assert values_found(verdicts(scanner, people)) == {"name": "PERSON", "email": "EMAIL_ADDRESS"}


def test_a_city_is_personal_only_beside_a_street_or_a_person(scanner: Scanner) -> None:
    places = {"city": ["Aarhus", "Lyon"], "population": ["285000", "522000"]}
    assert verdicts(scanner, places) == []
    found = values_found(verdicts(scanner, {**places, "email": EMAILS[:2]}))
    assert found == {"city": "LOCATION", "email": "EMAIL_ADDRESS"}


@pytest.mark.parametrize(
    ("name", "type_", "values", "entity"),
    [
        ("card_number", ColumnType.BIGINT, ["4111111111111111", "5500005555555559"], "CREDIT_CARD"),
        ("ssn", ColumnType.BIGINT, ["219099999", "457555462"], "US_SSN"),
        ("phone", ColumnType.BIGINT, ["4155552671", "2125550187"], "PHONE_NUMBER"),
        ("birth_date", ColumnType.DATE, ["1980-02-29", "1975-12-01"], "DATE_OF_BIRTH"),
    ],
)
def test_numbers_and_dates_are_personal_by_name(
    scanner: Scanner, name: str, type_: ColumnType, values: list[str], entity: str
) -> None:
    assert values_found(verdicts(scanner, {name: values}, {name: type_})) == {name: entity}


@pytest.mark.parametrize(
    ("name", "type_", "values"),
    [
        ("id", ColumnType.BIGINT, ["4155552671", "2125550187"]),
        ("order_number", ColumnType.BIGINT, ["4111111111111111", "5500005555555559"]),
        ("card_number", ColumnType.BIGINT, ["1", "2", "3"]),
        ("phone_count", ColumnType.BIGINT, ["4155552671"]),
        ("created_at", ColumnType.TIMESTAMPTZ, ["2001-05-23T04:29:23+00:00"]),
        ("email", ColumnType.BOOLEAN, ["true", "false"]),
    ],
)
def test_numbers_dates_and_booleans_are_not_personal_by_their_digits(
    scanner: Scanner, name: str, type_: ColumnType, values: list[str]
) -> None:
    assert verdicts(scanner, {name: values}, {name: type_}) == []


def test_one_address_in_twenty_thousand_harmless_rows_is_masked_in_place(scanner: Scanner) -> None:
    notes = [f"batch {i} ok" for i in range(20_000)]
    notes[17_321] = "ask ingrid@uncommon-place.example ok"
    found = verdicts(scanner, {"note": notes})
    assert [(each.entity_type, each.scope) for each in found] == [("EMAIL_ADDRESS", Scope.SPAN)]
    assert found[0].evidence["found"] == 1
    assert found[0].evidence["scanned"] == 20_000
    out = masked(scanner, {"note": notes})["note"]
    assert out[17_321] == "ask <EMAIL_ADDRESS> ok"
    assert [each for i, each in enumerate(out) if i != 17_321] == notes[:17_321] + notes[17_322:]


def test_text_is_read_and_its_spans_are_masked(scanner: Scanner) -> None:
    texts = [
        "Please call Peter Jackson back on +44 20 7946 0958 before noon.",
        "The parcel arrived broken and the customer was not amused at all.",
        "Invoice was sent to mary@shop.example and paid with 4111 1111 1111 1111 today.",
        "Order 4111111111111112 was placed on 2024-04-08 and shipped as 1.2.3.4 later.",
        "Her social security number is 457555462, she said on the telephone.",
        None,
    ]
    out = masked(scanner, {"comment": texts})["comment"]
    assert out == [
        "Please call <PERSON> back on <PHONE_NUMBER> before noon.",
        texts[1],
        "Invoice was sent to <EMAIL_ADDRESS> and paid with <CREDIT_CARD> today.",
        texts[3],
        "Her social security number is <US_SSN>, she said on the telephone.",
        None,
    ]


def test_a_long_cell_is_searched_to_its_end(scanner: Scanner) -> None:
    filler = "lorem ipsum dolor sit amet " * 3_000
    text = f"{filler}write to tove@far-away.example now {filler}"
    out = masked(scanner, {"body": [text]})["body"][0]
    assert out is not None
    assert "tove" not in out
    assert "<EMAIL_ADDRESS>" in out


def test_a_column_that_is_mostly_null_is_decided_by_its_values(scanner: Scanner) -> None:
    values: list[Any] = [None] * 950 + EMAILS
    assert values_found(verdicts(scanner, {"c1": values})) == {"c1": "EMAIL_ADDRESS"}
    out = masked(scanner, {"c1": values})["c1"]
    assert out == [None] * 950 + ["***@***"] * len(EMAILS)


def test_periodic_values_do_not_deceive_the_sample(scanner: Scanner) -> None:
    values = [
        f"(415) 555-{i % 10_000:04}" if i % 5 == 0 else f"R{i * 7919:012}" for i in range(5_000)
    ]
    found = verdicts(scanner, {"ref": values})
    assert [(each.entity_type, each.scope) for each in found] == [("PHONE_NUMBER", Scope.SPAN)]


def test_the_same_rows_in_other_batches_give_the_same_verdicts(scanner: Scanner) -> None:
    rows = 3_000
    data = {
        "name": [GIVEN[i % len(GIVEN)] for i in range(rows)],
        "email": [f"u{i}@mail.example.org" for i in range(rows)],
        "note": [f"note {i}" for i in range(rows)],
    }
    columns = [column(name) for name in data]

    def study(size: int) -> list[tuple[str, str, Scope, float]]:
        made = scanner.study(columns, frozenset())
        for start in range(0, rows, size):
            part = {name: values[start : start + size] for name, values in data.items()}
            made.observe(table(columns, part))
        return [
            (each.column, each.entity_type, each.scope, each.share)
            for each in made.verdicts(policy("default"))
        ]

    assert study(rows) == study(rows) == study(100)


def test_evidence_of_two_processes_adds_up(scanner: Scanner) -> None:
    data = {"email": EMAILS, "note": ["fine"] * (len(EMAILS) - 1) + ["ask jo@x.example"]}
    columns = [column(name) for name in data]
    halves = []
    for part in (slice(0, 15), slice(15, None)):
        half = scanner.study(columns, frozenset())
        half.observe(table(columns, {name: values[part] for name, values in data.items()}))
        halves.append(half.evidence())
    whole = scanner.study(columns, frozenset())
    for half in halves:
        whole.merge(half)
    found = whole.verdicts(policy("default"))
    assert [(each.column, each.entity_type) for each in found] == [
        ("email", "EMAIL_ADDRESS"),
        ("note", "EMAIL_ADDRESS"),
    ]
    assert found[0].evidence["values"] == len(EMAILS)


def test_evidence_holds_no_raw_value(scanner: Scanner) -> None:
    data: dict[str, list[Any]] = {
        "name": GIVEN,
        "email": EMAILS,
        "note": [
            f"call {name} at {mail} soon please" for name, mail in zip(GIVEN, EMAILS, strict=True)
        ],
        "doc": [{"phone": f"(415) 555-{i:04}", mail: mail} for i, mail in enumerate(EMAILS)],
    }
    columns = [
        column(each, ColumnType.JSONB if each == "doc" else ColumnType.TEXT) for each in data
    ]
    study = scanner.study(columns, frozenset())
    study.observe(table(columns, data))
    told = repr(study.evidence()) + repr(study.verdicts(policy("default")))
    for name, mail in zip(GIVEN, EMAILS, strict=True):
        assert mail not in told
        assert f"'{name}'" not in told
    assert "555-0001" not in told


def test_a_recognizer_that_raises_ends_the_scan_by_name_without_the_text(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atlas.pii.recognizers import AddressedEmailRecognizer

    def fail(_: object, text: str) -> bool:
        raise ValueError(f"cannot read {text}")

    monkeypatch.setattr(AddressedEmailRecognizer, "validate_result", fail)
    with pytest.raises(TerminalError) as caught:
        verdicts(scanner, {"c": ["never.seen.before@mail.example.org"]})
    assert "AddressedEmailRecognizer" in str(caught.value)
    assert "never.seen" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_model_is_named() -> None:
    with pytest.raises(TerminalError, match=r"en_core_web_huge \(ATLAS_PII_MODEL\)"):
        Scanner(Settings(pii_model="en_core_web_huge"))
