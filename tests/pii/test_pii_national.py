"""National identifiers: by form and check, by the words before, and by the share of a column."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from atlas.errors import UsageError
from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii.national import COUNTRIES, SCHEMES, Identifiers
from atlas.pii.policy import ENTITIES
from atlas.pii.scanner import Scanner
from atlas.settings import Settings, parse
from tests.pii.tables import masked, values_found, verdicts

ALL = Identifiers(COUNTRIES)
VALID = {
    "US_ITIN": "912-78-1234",
    "UK_NHS": "943 476 5919",
    "UK_NINO": "AB 12 34 56 C",
    "UK_DRIVING_LICENCE": "MORGA657054SM9IJ",
    "DE_TAX_ID": "86095742719",
    "DE_SOCIAL_SECURITY": "65170839J003",
    "FR_NIR": "2 95 10 99 126 111 93",
    "ES_NIF": "12345678Z",
    "ES_NIE": "X1234567L",
    "IT_FISCAL_CODE": "RSSMRA85T10A562S",
    "PL_PESEL": "44051401359",
    "FI_PERSONAL_IDENTITY_CODE": "131052-308T",
    "SE_PERSONNUMMER": "811228-9874",
    "DK_CPR": "211062-5629",
    "NL_BSN": "111222333",
    "PT_NIF": "123456789",
    "NO_FODSELSNUMMER": "151086 95088",
    "BE_NATIONAL_NUMBER": "85.07.30-033.28",
    "CH_AHV": "756.9217.0769.85",
    "AT_SVNR": "1237 010180",
    "IE_PPSN": "6433435F",
    "BR_CPF": "390.533.447-05",
    "CA_SIN": "123-456-782",
    "CZ_BIRTH_NUMBER": "710319/2745",
    "PT_CC": "00000000 0 ZZ4",
}
BY_FORM = [scheme.entity for scheme in SCHEMES if scheme.alone]
BY_WORDS = [scheme.entity for scheme in SCHEMES if not scheme.alone]
ANNOUNCED = {
    "UK_NHS": "NHS number",
    "DE_TAX_ID": "Steuer-ID",
    "PL_PESEL": "PESEL",
    "NL_BSN": "BSN",
    "PT_NIF": "contribuinte",
    "AT_SVNR": "SVNR",
    "IE_PPSN": "PPSN",
    "CA_SIN": "SIN",
}


def _other(text: str) -> str:
    """``text`` with its last digit, or the letter behind it, changed."""
    at = max(place for place, char in enumerate(text) if char.isdigit())
    return text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :]


def test_an_example_of_each_is_here() -> None:
    assert set(VALID) == {scheme.entity for scheme in SCHEMES}


@pytest.mark.parametrize("entity", VALID)
def test_a_valid_one_counts_and_one_with_a_wrong_digit_does_not(entity: str) -> None:
    assert ALL.count([VALID[entity]])[entity] == 1
    if entity not in ("US_ITIN", "UK_NINO", "UK_DRIVING_LICENCE", "DK_CPR"):  # no check digit
        assert ALL.count([_other(VALID[entity])])[entity] == 0


@pytest.mark.parametrize("entity", BY_FORM)
def test_a_telling_form_stands_in_any_text(entity: str) -> None:
    text = f"They wrote {VALID[entity]} on the form."
    found = ALL.find(text, None)
    assert [(each.entity, text[each.start : each.end]) for each in found] == [
        (entity, VALID[entity])
    ]


@pytest.mark.parametrize("entity", BY_WORDS)
def test_bare_digits_stand_only_behind_words_that_say_so(entity: str) -> None:
    assert [each.entity for each in ALL.find(f"It is {VALID[entity]} here.", None)] == []
    found = ALL.find(f"The {ANNOUNCED[entity]} is {VALID[entity]} here.", None)
    assert entity in [each.entity for each in found]


def test_numbers_of_orders_that_begin_with_a_day_stay() -> None:
    assert ALL.find("see order no. 240612-0001 and Faktura: 230112-0042", None) == []
    assert [each.entity for each in ALL.find("her number is 240662-0003", None)] == ["DK_CPR"]


def test_passports_are_known_by_the_words_before_them() -> None:
    text = "Her passport number is P1234567; parcel P7654321 has come."
    found = ALL.find(text, None)
    assert [(each.entity, text[each.start : each.end]) for each in found] == [
        ("NATIONAL_ID", "P1234567")
    ]


def test_only_the_countries_asked_for_count() -> None:
    spanish = Identifiers(["ES"])
    assert spanish.count([VALID["ES_NIF"]])["ES_NIF"] == 1
    assert spanish.count([VALID["IT_FISCAL_CODE"]]).total() == 0
    assert spanish.find(VALID["IT_FISCAL_CODE"], None) == []
    scanner = Scanner(Settings(pii_locales=("ES",)))
    found = verdicts(scanner, {"note": [f"code {VALID['IT_FISCAL_CODE']}, {VALID['ES_NIF']}"]})
    assert [each.entity_type for each in found] == ["ES_NIF"]


def test_the_setting_knows_the_same_countries() -> None:
    assert set(parse({"ATLAS_PII_LOCALES": "dk, gb"}).pii_locales) == {
        "DK",
        "GB",
    }
    names = ",".join(COUNTRIES)
    assert parse({"ATLAS_PII_LOCALES": names}).pii_locales == COUNTRIES
    with pytest.raises(UsageError, match="ATLAS_PII_LOCALES"):
        parse({"ATLAS_PII_LOCALES": "DK,XX"})


def test_each_has_a_policy() -> None:
    assert {scheme.entity for scheme in SCHEMES} <= ENTITIES.keys()


def _pesels(count: int) -> list[str]:
    chance, made = random.Random(5), []
    while len(made) < count:
        born = date(1940, 1, 1) + timedelta(days=chance.randrange(20_000))
        digits = born.strftime("%y%m%d") + f"{chance.randrange(10_000):04}"
        weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
        total = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
        made.append(f"{digits}{-total % 10}")
    return made


def _cprs(count: int, first: date, days: int) -> list[str]:
    chance = random.Random(6)
    moments = [first + timedelta(days=chance.randrange(days)) for _ in range(count)]
    return [f"{each:%d%m%y}{chance.randrange(1000):04}" for each in moments]


@pytest.mark.parametrize("name", ["c7", "pesel", "customer_number"])
def test_a_column_of_valid_numbers_is_known_whatever_its_name(scanner: Scanner, name: str) -> None:
    values = _pesels(200)
    assert values_found(verdicts(scanner, {name: values})) == {name: "PL_PESEL"}
    assert set(masked(scanner, {name: values})[name]) == {"***"}


def test_a_weak_check_needs_nearly_all_of_a_column(scanner: Scanner) -> None:
    chance = random.Random(7)
    numbers = [str(chance.randrange(10**8, 10**9)) for _ in range(5_000)]
    valid = [each for each in numbers if ALL.count([each])["NL_BSN"]][:300]
    assert values_found(verdicts(scanner, {"c3": valid})) == {"c3": "NL_BSN"}
    assert verdicts(scanner, {"c3": valid[:240] + numbers[:60]}) == []
    assert verdicts(scanner, {"c3": valid[:4]}) == []


def test_dates_of_birth_make_cpr_numbers_and_days_of_orders_do_not(scanner: Scanner) -> None:
    born = _cprs(300, date(1931, 1, 1), 25_000)
    assert values_found(verdicts(scanner, {"c2": born})) == {"c2": "DK_CPR"}
    ordered = _cprs(300, date(2021, 1, 1), 1_300)
    assert verdicts(scanner, {"c2": ordered}) == []
    assert verdicts(scanner, {"c2": [f"{each[:6]}-{each[6:]}" for each in ordered]}) == []
    assert values_found(verdicts(scanner, {"cpr": ordered})) == {"cpr": "DK_CPR"}


@pytest.mark.parametrize(
    "values",
    [
        [f"SK{number}A" for number in range(100_001, 100_200)],
        [f"98765{number:04}" for number in range(200)],
        [f"{number * 7919:06}-{number * 31:04}" for number in range(20, 120)],
        [f"86{number * 104_729:013}" for number in range(1, 200)],
    ],
)
def test_numbers_of_things_in_the_form_of_identifiers_stay(
    scanner: Scanner, values: list[str]
) -> None:
    assert verdicts(scanner, {"c2": values}) == []


def test_identifiers_of_several_countries_are_told_in_one_column(scanner: Scanner) -> None:
    chance = random.Random(3)
    numbers = [f"{chance.randrange(10**8, 10**9)}" for _ in range(3_000)]
    bsns = [each for each in numbers if ALL.count([each])["NL_BSN"]][:100]
    letters = "TRWAGMYFPDXBNJZSQVHLCKE"
    dnis = [f"{each[:8]}{letters[int(each[:8]) % 23]}" for each in numbers[:100]]
    cprs = [f"{each[:6]}-{each[6:]}" for each in _cprs(100, date(1931, 1, 1), 25_000)]
    assert values_found(verdicts(scanner, {"c4": bsns + dnis + cprs})) == {"c4": "NATIONAL_ID"}
    found = verdicts(scanner, {"c4": bsns[:60] + dnis[:60] + cprs[:60] + numbers[-120:]})
    assert not values_found(found)


def test_citizens_and_foreigners_share_a_column(scanner: Scanner) -> None:
    letters = "TRWAGMYFPDXBNJZSQVHLCKE"
    citizens = [f"{number}{letters[number % 23]}" for number in range(30_000_000, 30_000_180)]
    others = [f"X{number}{letters[number % 23]}" for number in range(1_000_000, 1_000_080)]
    assert values_found(verdicts(scanner, {"c4": citizens + others})) == {"c4": "ES_NIF"}


def test_numbers_of_a_numeric_column_count_where_it_is_called_so(scanner: Scanner) -> None:
    numbers = {"pesel": _pesels(50), "amount": _pesels(50)}
    found = verdicts(scanner, numbers, dict.fromkeys(numbers, ColumnType.BIGINT))
    assert values_found(found) == {"pesel": "PL_PESEL"}


def test_what_no_check_proves_is_known_by_its_column(scanner: Scanner) -> None:
    values = ["C01X00T47", "PA1234567", "204567890"]
    found = verdicts(scanner, {"reisepassnummer": values})
    assert values_found(found) == {"reisepassnummer": "NATIONAL_ID"}


def test_spans_in_free_text_are_masked_in_place(scanner: Scanner) -> None:
    texts = ["Hinterlegt: Steuer-ID 86095742719, bitte prüfen.", "Nummer 86095742719 prüfen."]
    assert masked(scanner, {"bemerkung": texts})["bemerkung"] == [
        "Hinterlegt: Steuer-ID <DE_TAX_ID>, bitte prüfen.",
        texts[1],
    ]
    found = verdicts(scanner, {"bemerkung": texts})
    assert [each.scope for each in found] == [Scope.SPAN]
