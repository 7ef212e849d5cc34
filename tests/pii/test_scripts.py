"""Names, numbers and addresses in other scripts, and with other spaces, hyphens and marks."""

from __future__ import annotations

import unicodedata

import pytest

from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii.folding import as_read, fold
from atlas.pii.paths import is_data
from atlas.pii.patterns import many_digits, name_like, no_name
from atlas.pii.people import words
from atlas.pii.scanner import Scanner
from tests.pii.tables import masked, verdicts

NAMES = {
    "Hindi": ["राहुल", "प्रिया", "अमित", "सुनीता"],
    "Thai": ["สมชาย", "น้ำฝน", "ปิ่น", "กิตติ"],
    "Tamil": ["மணி", "ரவி", "சுரேஷ்", "லட்சுமி"],
    "Bengali": ["রহিম", "সুমন", "করিম", "জাহাঙ্গীর"],
    "Arabic with vowels": ["عَلِيّ", "مُحَمَّد", "فَاطِمَة", "زَيْنَب"],
    "Persian with joiners": ["علی\u200cرضا", "امیر\u200cحسین", "می\u200cنا", "گل\u200cناز"],  # noqa: RUF001
    "German, decomposed": ["Mu\u0308ller", "Gro\u0308\u00dfe", "Ju\u0308rgens", "Scha\u0308fer"],
    "with a flourish": ["O\u2019Brien \u2618", "Smith (née Jones)", "Anne\u2728", "Lee 2nd"],
}


@pytest.mark.parametrize("script", NAMES)
@pytest.mark.parametrize("column", ["first_name", "last_name"])
def test_a_name_in_any_script_is_masked_where_the_column_says_so(
    scanner: Scanner, column: str, script: str
) -> None:
    [found] = verdicts(scanner, {column: NAMES[script]})
    assert (found.entity_type, found.scope) == ("PERSON", Scope.VALUE)


@pytest.mark.parametrize("values", [["1024", "2048", "77"], ["a/b", "c=d"], ["", "-", "7 x 9"]])
def test_what_is_no_name_stays_whatever_the_column_is_called(
    scanner: Scanner, values: list[str]
) -> None:
    assert verdicts(scanner, {"last_name": values}) == []


def test_letters_with_marks_are_of_one_word() -> None:
    assert name_like("राहुल शर्मा")
    assert name_like("Jose\u0301 Garci\u0301a")
    assert not name_like("\u0301")
    assert [word.folded for word in words("Jose\u0301 Garci\u0301a")] == ["jose", "garcia"]
    assert not no_name("สมชาย")
    assert no_name("see the annex of the report that we sent on Monday evening")


def test_a_decomposed_name_in_a_text_is_masked_whole(scanner: Scanner) -> None:
    text = unicodedata.normalize("NFD", "please call José García back before noon")
    assert masked(scanner, {"note": [text]})["note"] == ["please call <PERSON> back before noon"]


@pytest.mark.parametrize(
    ("written", "entity"),
    [
        ("4111\u00a01111\u00a01111\u00a01111", "CREDIT_CARD"),
        ("४१११ ११११ ११११ ११११", "CREDIT_CARD"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "IBAN_CODE"),
        ("FR14\u202f2004\u202f1010\u202f0505\u202f0001\u202f3M02\u202f606", "IBAN_CODE"),
        ("+33\u00a06\u00a012\u00a034\u00a056\u00a078", "PHONE_NUMBER"),
        ("212\u2013555\u20130199", "PHONE_NUMBER"),
        ("+1\u2011212\u2011555\u20110199", "PHONE_NUMBER"),
        ("+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "PHONE_NUMBER"),
        ("219\u201109\u20119999", "US_SSN"),
        ("jane\u200e@example.com", "EMAIL_ADDRESS"),
        ("jane\u2063@example.com", "EMAIL_ADDRESS"),
        ("jane\u180e@example.com", "EMAIL_ADDRESS"),
        ("andr%E9%40example.com", "EMAIL_ADDRESS"),
        ("jane%2540example.com", "EMAIL_ADDRESS"),
        ("jane&amp;#64;example.com", "EMAIL_ADDRESS"),
        ("jane=40example.com", "EMAIL_ADDRESS"),
    ],
)
def test_what_is_written_with_other_signs_is_masked(
    scanner: Scanner, written: str, entity: str
) -> None:
    texts = [written, f"please take {written} for it"]
    assert masked(scanner, {"c9": [*texts, *(f"item {n}" for n in range(20))]})["c9"][:2] == [
        f"<{entity}>",
        f"please take <{entity}> for it",
    ]


@pytest.mark.parametrize(
    ("column", "values", "entity"),
    [
        ("ssn", ["219\u201109\u20119999", "219\u201109\u20119998"], "US_SSN"),
        ("credit_card", ["4111\u00a01111\u00a01111\u00a01111"], "CREDIT_CARD"),
        ("iban", ["DE89\u00b73704\u00b70044\u00b70532\u00b70130\u00b700"], "IBAN_CODE"),
        ("phone", ["06\u202f12\u202f34\u202f56\u202f78"], "PHONE_NUMBER"),
        ("phone", ["06*12*34*56*78", "06*12*34*56*79"], "PHONE_NUMBER"),
        ("ssn", ["219_09_9999", "219_09_9998"], "US_SSN"),
    ],
)
def test_a_number_in_a_form_that_nobody_reads_is_what_the_column_says(
    scanner: Scanner, column: str, values: list[str], entity: str
) -> None:
    [found] = verdicts(scanner, {column: values})
    assert (found.entity_type, found.scope) == (entity, Scope.VALUE)


def test_what_is_not_a_number_is_none_whatever_the_column_is_called(scanner: Scanner) -> None:
    assert not many_digits("Galaxy S21 (2021)")
    assert verdicts(scanner, {"phone": ["Galaxy S21", "Pixel 8 (2023)", "none"]}) == []


def test_dashes_between_words_and_a_parameter_stay() -> None:
    assert as_read("Mon\u2013Fri \u2013 2\u20133 \u2014 ok") == "Mon\u2013Fri \u2013 2-3 \u2014 ok"
    assert fold("?width=40px&h=40.jpg") is None


def test_names_of_members_that_read_as_addresses_are_data(scanner: Scanner) -> None:
    assert is_data("jane%40example.com")
    assert is_data("john\uff20example.com")
    assert not is_data("discount%20rate")
    keys = {"jane%40example.com": 1, "john\uff20example.com": 2, "ann@example.com": 3}
    [told] = masked(scanner, {"doc": [{"by": keys}]}, {"doc": ColumnType.JSONB})["doc"]
    assert told is not None
    assert "example.com" not in told
