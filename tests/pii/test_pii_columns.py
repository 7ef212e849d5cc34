"""What a column is, beyond its name: by the spread, the mixture and the company of its values."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii.scanner import Scanner
from tests.pii.tables import FAMILY, GIVEN, full_names, masked, values_found, verdicts

MAILS = [f"{name.lower()}.{family.lower()}@mail.example" for name in GIVEN for family in FAMILY]


def _days(first: int, last: int, count: int = 200) -> list[str]:
    chance, start = random.Random(3), date(first, 1, 1)
    span = (date(last, 12, 31) - start).days
    return [str(start + timedelta(days=chance.randrange(span))) for _ in range(count)]


def _this_year(ago: int) -> int:
    return date.today().year - ago  # noqa: DTZ011


BORN = _days(_this_year(90), _this_year(18))


@pytest.mark.parametrize("type_", [ColumnType.DATE, ColumnType.TEXT])
def test_dates_of_birth_are_known_by_their_spread_beside_people(
    scanner: Scanner, type_: ColumnType
) -> None:
    people = {"c1": full_names(200, seed=1), "c2": BORN}
    found = values_found(verdicts(scanner, people, {"c2": type_}))
    assert found == {"c1": "PERSON", "c2": "DATE_OF_BIRTH"}
    assert values_found(verdicts(scanner, {"c2": BORN}, {"c2": type_})) == {}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("order_date", BORN),
        ("hired", BORN),
        ("c2", _days(_this_year(6), _this_year(0))),
        ("c2", _days(_this_year(30), _this_year(0))),
        ("c2", _days(_this_year(45), _this_year(40))),
        ("c2", [f"{day} 12:30:00" for day in BORN]),
    ],
)
def test_other_dates_beside_people_are_none(scanner: Scanner, name: str, values: list[str]) -> None:
    people = {"c1": full_names(200, seed=1), name: values}
    assert values_found(verdicts(scanner, people)) == {"c1": "PERSON"}


def _phones(count: int) -> list[str]:
    chance, made = random.Random(4), []
    for place in range(count):
        digits = "".join(chance.choices("23456789", k=9))
        made.append(
            (
                f"+34 {digits[:3]} {digits[3:6]} {digits[6:]}",
                f"{digits[:4]} {digits[4:8]}",
                f"{digits[:3]}-{digits[3:6]}-{digits[6:]}",
                f"+45{digits[:8]}",
                f"0{digits[:3]} {digits[3:]}",
                digits[:8],
            )[place % 6]
        )
    return made


@pytest.mark.parametrize("name", ["c9", "telefono", "contact"])
def test_telephone_numbers_of_many_countries_are_all_masked(scanner: Scanner, name: str) -> None:
    values = _phones(600)
    assert values_found(verdicts(scanner, {name: values})) == {name: "PHONE_NUMBER"}
    assert not any(
        char.isalnum() for text in masked(scanner, {name: values})[name] for char in text
    )


def test_numbers_without_any_prefix_are_no_telephone_numbers_by_their_digits(
    scanner: Scanner,
) -> None:
    chance = random.Random(4)
    values = [str(chance.randrange(10**7, 10**9)) for _ in range(300)]
    assert values_found(verdicts(scanner, {"c9": values})) == {}


def test_a_column_of_addresses_and_telephone_numbers_is_masked_whole(scanner: Scanner) -> None:
    values = [value for pair in zip(MAILS, _phones(400), strict=False) for value in pair]
    found = verdicts(scanner, {"reach": values})
    # Which of the two is the column's is a matter of the sample; whole it is in any case.
    assert {each.entity_type for each in found} == {"EMAIL_ADDRESS", "PHONE_NUMBER"}
    assert [each.scope for each in found].count(Scope.VALUE) == 1
    assert not set(masked(scanner, {"reach": values})["reach"]) & set(values)


@pytest.mark.parametrize("name", ["app_version", "firmware", "c5"])
def test_versions_are_no_addresses(scanner: Scanner, name: str) -> None:
    chance = random.Random(8)
    values = [".".join(str(chance.randrange(31)) for _ in range(4)) for _ in range(300)]
    assert verdicts(scanner, {name: values}) == []
    mixed = [value.rpartition(".")[0] if place % 2 else value for place, value in enumerate(values)]
    assert verdicts(scanner, {name: mixed}) == []


@pytest.mark.parametrize("name", ["client_ip", "c5"])
def test_addresses_are_addresses_though_some_are_small(scanner: Scanner, name: str) -> None:
    chance = random.Random(8)
    values = [".".join(str(chance.randrange(1, 224)) for _ in range(4)) for _ in range(300)]
    found = verdicts(scanner, {name: [*values, "10.0.1.2", "10.0.1.3"]})
    assert values_found(found) == {name: "IP_ADDRESS"}


PLACES = {
    "lat": ["55.676098", "40.7128", "-33.86882"],
    "lon": ["12.568337", "-74.006", "151.209296"],
}


@pytest.mark.parametrize("type_", [ColumnType.NUMERIC, ColumnType.TEXT])
def test_coordinates_are_personal_beside_people(scanner: Scanner, type_: ColumnType) -> None:
    types = dict.fromkeys(PLACES, type_)
    assert verdicts(scanner, PLACES, types) == []
    found = values_found(verdicts(scanner, {**PLACES, "email": MAILS[:3]}, types))
    assert found == {"lat": "LOCATION", "lon": "LOCATION", "email": "EMAIL_ADDRESS"}
    if type_ is ColumnType.NUMERIC:
        out = masked(scanner, {**PLACES, "email": MAILS[:3]}, types)
        assert out["lat"] == [None] * 3


def test_postal_codes_and_house_numbers_may_be_numbers(scanner: Scanner) -> None:
    homes = {
        "strasse": ["Lindenweg", "Am Markt", "Hauptstr."],
        "hausnummer": ["12", "7", "101"],
        "plz": ["10115", "80331", "20095"],
    }
    types = {"hausnummer": ColumnType.BIGINT, "plz": ColumnType.BIGINT}
    assert values_found(verdicts(scanner, homes, types)) == dict.fromkeys(homes, "LOCATION")
    alone = {"plz": homes["plz"], "einwohner": ["1", "2", "3"]}
    assert verdicts(scanner, alone, dict.fromkeys(alone, ColumnType.BIGINT)) == []


def test_user_names_made_of_names_are_persons(scanner: Scanner) -> None:
    made = [f"{name.lower()}.{family.lower()}" for name in GIVEN[:10] for family in FAMILY]
    assert values_found(verdicts(scanner, {"username": made})) == {"username": "PERSON"}
    handles = ["coolcat99", "zx81fan", "qwop_7", "pixelhop", "mooncheese"]
    assert verdicts(scanner, {"username": handles}) == []
    beside = verdicts(scanner, {"username": handles, "email": MAILS[:5]})
    assert values_found(beside) == {"username": "PERSON", "email": "EMAIL_ADDRESS"}


def test_names_on_address_blocks_are_told_beside_the_address(scanner: Scanner) -> None:
    blocks = [f"{name}\n12 Mill Lane\nLeeds LS1 4DY" for name in full_names(30)]
    found = {each.entity_type: each.scope for each in verdicts(scanner, {"home_address": blocks})}
    assert found == {"LOCATION": Scope.VALUE, "PERSON": Scope.SPAN}
    assert set(masked(scanner, {"home_address": blocks})["home_address"]) == {"***"}


def test_order_numbers_that_pass_a_check_by_chance_stay(scanner: Scanner) -> None:
    chance = random.Random(2)
    numbers = [f"4{chance.randrange(10**14, 10**15)}" for _ in range(400)]
    assert verdicts(scanner, {"c4": numbers}) == []


def test_hardware_addresses_without_signs_are_known_by_name(scanner: Scanner) -> None:
    values = ["001A2B3C4D5E", "A483E7112233", "5C514F1A2B3C"]
    assert values_found(verdicts(scanner, {"mac_address": values})) == {
        "mac_address": "MAC_ADDRESS"
    }
    assert verdicts(scanner, {"batch": values}) == []
