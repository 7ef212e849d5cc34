"""Columns and texts as they come from systems that nobody had seen when the rules were made."""

from __future__ import annotations

import pytest

from atlas.pii import people
from atlas.pii.claims import abbreviated, claim, prefix
from atlas.pii.introduced import introduced, written
from atlas.pii.patterns import date_like, day, ip_personal, name_like, postcode_like, user_like
from atlas.pii.scanner import Scanner
from atlas.pii.streets import street_like


def test_columns_of_old_systems_are_read_behind_the_letters_of_their_table() -> None:
    names = ["KDNR", "KDNAM1", "KDSTR", "KDPLZ", "KDORT", "KDTEL1", "KDGEBD", "KDKZ7"]
    before = prefix(names)
    assert before == "KD"
    said = {name: claim(abbreviated(name, before)) for name in names}
    parts = {name: found and found.part for name, found in said.items()}
    assert parts == {
        "KDNR": None,
        "KDNAM1": "name",
        "KDSTR": "street",
        "KDPLZ": "postal code",
        "KDORT": "city",
        "KDTEL1": "telephone",
        "KDGEBD": "date",
        "KDKZ7": None,
    }


@pytest.mark.parametrize(
    "names",
    [
        ["status", "street", "stock", "stage", "sta"],  # words, one too short to be cut
        ["userId", "userName", "userMail", "userCity", "userZip"],
        ["kdnr", "kdstr", "kdplz", "name"],
        ["KDNR", "KDSTR", "KDPLZ"],
    ],
)
def test_other_names_are_read_whole(names: list[str]) -> None:
    assert prefix(names) == ""


@pytest.mark.parametrize(
    ("text", "iso"),
    [("19401212", "1940-12-12"), ("05APR90", "1990-04-05"), ("5-Apr-1990", "1990-04-05")],
)
def test_days_without_marks(text: str, iso: str) -> None:
    found = day(text)
    assert found is not None
    assert found.isoformat() == iso
    assert date_like(text)


@pytest.mark.parametrize("text", ["19401332", "05ABC90", "99991231", "1940121"])
def test_what_is_no_day(text: str) -> None:
    assert day(text) is None


@pytest.mark.parametrize("text", ["MEYER/ANNA MRS", "VAN DER BERG/PETER MR", "MEYER ANNA"])
def test_a_passenger_is_a_name(text: str) -> None:
    assert name_like(text)
    assert people.full(text)


@pytest.mark.parametrize("text", ["TEXT/CSV", "INPUT/OUTPUT ERROR", "src/main"])
def test_a_path_is_none(text: str) -> None:
    assert not people.full(text)


def test_a_rare_surname_beside_a_given_name_is_nearly_a_name() -> None:
    assert people.nearly("Anna Quattrocchi")
    assert people.nearly("ZYWIEC ANNA")
    assert not people.nearly("Order received")
    assert not people.nearly("Anna")


@pytest.mark.parametrize("text", ["anna.meyer", "meyer7", "anna_schmidt"])
def test_user_names_have_what_words_have_not(text: str) -> None:
    assert user_like(text)


@pytest.mark.parametrize("text", ["Anna", "page_view", "tap_cta", "lon-fw-01", "anna"])
def test_words_are_no_user_names(text: str) -> None:
    assert not user_like(text)


def test_the_version_of_a_browser_is_nobodys_address() -> None:
    before = "Mozilla/5.0 (X11; Linux) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
    assert not ip_personal("118.0.93.70", before, supported=False)
    assert ip_personal("118.10.5.70", "login from backend/", supported=False)


def test_postal_codes() -> None:
    codes = ["M1 1AA", "12345", "1234 AB", "12-345", "123 45", "12345-678"]
    assert all(map(postcode_like, codes))
    assert not postcode_like("A-12")


def test_a_street_in_capitals_is_a_street() -> None:
    assert street_like("LINDENSTRASSE 12")
    assert not street_like("ERROR 12")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("hallo, ich heiße ingrid meyer und warte", ["ingrid meyer"]),
        ("you can ask for peter fernandez there", ["peter fernandez"]),
        ("Merci de rappeler Mme de La Tour ce soir", ["de La Tour"]),
        ("Il signor De Rossi attende una risposta", ["De Rossi"]),
        ("Tenant: Xyliana Quorbeck, of full age", ["Xyliana Quorbeck"]),
        ("The consent was signed by Xyliana Quorbeck today", ["Xyliana Quorbeck"]),
        ("Gesprochen mit Meyer, Anna wegen der Ware", ["Meyer, Anna"]),
        ("please tell Anna that it is here", ["Anna"]),
    ],
)
def test_people_are_found_by_what_introduces_them(text: str, names: list[str]) -> None:
    words = people.words(text)
    found = introduced(text, words, people.languages(words))
    assert [text[each.start : each.end] for each in found] == names


@pytest.mark.parametrize(
    "text",
    [
        "you can ask for help there",
        "ask for a refund please",
        "c'est la vie, merci",
        "Customer: New Order received",
        "The client Meyer Logistics Ltd called",
        "We ship to Oslo, Anna Meyer lives there",
        "please tell Support that it is here",
        "signed by Monday",
    ],
)
def test_what_is_introduced_is_not_always_somebody(text: str) -> None:
    words = people.words(text)
    assert introduced(text, words, people.languages(words)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Xyliana Quorbeck <xq@example.org>", "Xyliana Quorbeck"),
        ("Signed-off-by: Anna Meyer <anna@example.org>", "Anna Meyer"),
        ("INFO login ok user=anna_meyer src=10.0.0.1", "anna_meyer"),
        ("Failed password for invalid user ameyer from 10.1.2.3 port 22", "ameyer"),
    ],
)
def test_signs_around_a_name_tell_it(text: str, name: str) -> None:
    assert [text[start:end] for start, end in written(text)] == [name]


@pytest.mark.parametrize("text", ["user=root src=10.0.0.1", "user=batch_load", "a < b@c > d"])
def test_signs_around_other_words_tell_nothing(text: str) -> None:
    assert list(written(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Storm Clara cut power to the north",
        "meet us in room Martin at noon",
        "the paper was due 25 Jul 2020",
        "J'ai bien reçu le colis",
        "a walk along the coast of Victoria",
    ],
)
def test_the_kind_of_a_thing_before_its_name(text: str) -> None:
    words = people.words(text)
    assert people.people(text, words, people.languages(words)) == []


@pytest.mark.parametrize(
    ("text", "entity", "piece"),
    [
        ("Please contact me, contact 5127559038", "PHONE_NUMBER", "5127559038"),
        ("chiede di essere richiamato al 333.5618736", "PHONE_NUMBER", "333.5618736"),
        ("DEBUG form phone=303-818-6302 step=2", "PHONE_NUMBER", "303-818-6302"),
        ("The van stood before 24 Juniper Court.", "LOCATION", "24 Juniper Court."),
        ("Rimborso%20per%20Anna%20Meyer%20in%20corso", "PERSON", "Anna%20Meyer"),
        ("Jemand rief an, Pr&uuml;fung durch Anna Meyer l&auml;uft", "PERSON", "Anna Meyer"),
    ],
)
def test_spans_as_systems_write_them(text: str, entity: str, piece: str, scanner: Scanner) -> None:
    (spans,) = scanner.finder.find([text], [True], None)
    assert (entity, piece) in [(each.entity, text[each.start : each.end]) for each in spans]


@pytest.mark.parametrize(
    "text", ["Deploy is stuck again, Doppler says disk full", "Hold it, then Kowalski of left leg"]
)
def test_a_surname_alone_needs_more_than_a_model(text: str) -> None:
    words = people.words(text)
    at = next(word for word in words if word.folded in ("doppler", "kowalski"))
    assert people.vouched(text, words, at.start, at.end, people.languages(words)) is None


def test_a_surname_that_acts_is_somebody() -> None:
    text = "Then Kowalski called about it"
    words = people.words(text)
    assert people.vouched(text, words, 5, 13, people.languages(words)) == (5, 13)
