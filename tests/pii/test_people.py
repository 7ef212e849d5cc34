"""Persons in texts, by their words: in languages the model does not read, and not where a thing is
called like somebody."""

from __future__ import annotations

import pytest

from atlas.pii import people
from atlas.pii.introduced import introduced


def found(text: str) -> list[str]:
    words = people.words(text)
    persons = people.people(text, words, people.languages(words))
    return [text[person.start : person.end] for person in persons]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Die Ware ging gestern an Wolfgang Bauer zurück.", ["Wolfgang Bauer"]),
        ("La cita con María del Carmen López fue ayer", ["María del Carmen López"]),
        ("Mødet med Søren Kjærgaard er flyttet til i morgen", ["Søren Kjærgaard"]),
        ("Le colis est pour Amélie Chevalier, merci", ["Amélie Chevalier"]),
        ("Bitte melden Sie sich bei Frau Prof. Dr. Großmann", ["Großmann"]),
        ("please call J. Smith about the refund", ["J. Smith"]),
        ("follow up with patricia fernandez in a month", ["patricia fernandez"]),
        ("It is under Shane M Culpepper now", ["Shane M Culpepper"]),
        ("Regards, Olivia Espinoza No answer so far", ["Olivia Espinoza"]),
        ("We met Ainhoa Echeverría García there", ["Ainhoa Echeverría García"]),
        ("Thomas Miller signed; later Thomas came back", ["Thomas Miller", "Thomas"]),
        ("i libri d'Elena Ferrari e Giulia Rossi", ["Elena Ferrari", "Giulia Rossi"]),
        ("i complimenti vanno a Emanuela Verdi, come sempre", ["Emanuela Verdi"]),
        ("Grace Church called about the bill", ["Grace Church"]),
        ("der Brief kam von Frau\nGroßmann aus Kiel", ["Großmann"]),
    ],
)
def test_people_are_found_by_their_names(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "Will call back on Monday, the rose garden is open",
        "The Grace period ends in April",
        "two pots of Charlotte Armchair in grey",
        "Der Artikel Madison Bookcase ist nicht lieferbar",
        "a bottle of Jack Daniel's broke",
        "transferred from the St. Mary ward",
        "payment to Johnson Consulting is late",
        "Rechnung der Lindner GmbH fehlt",
        "she was tested for Addison disease",
        "Herren und Damen, die Exploración war gut",
        "the Victoria line is closed",
        "EL PRODUCTO NO LLEGA",
        "a box of Earl Grey Tea, please",
        "le conseil de madame Butterfly",
        "die Pizza von Dr. Oetker war kalt",
        "der Drucker von Hewlett Packard",
        "Macon Packard is a firm",
        "ga maar naar de Albert Huis, daar is het goedkoper",
        "Hej,\nForsyningen er lukket i dag",
        "Zugang zu Jira für die Abteilung",
        "la fattura è di Lambert Frères SARL, come sempre",
    ],
)
def test_a_thing_that_is_called_like_somebody_is_nobody(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("consegnare in via Roma 3, citofono Bianchi.", ["Bianchi"]),
        ("het pakje ligt bij familie de Vries", ["de Vries"]),
        ("intestatario Manlio Lombardi, come sopra", ["Manlio Lombardi"]),
        ("Kunden Sudhir Gill vill bli uppringd", ["Sudhir Gill"]),
        ("contact Customer Service about it", []),
        ("the household Waste is collected", []),
        ("Tenant: Hewlett Packard", []),
    ],
)
def test_who_stands_on_a_door_or_holds_an_account(text: str, names: list[str]) -> None:
    words = people.words(text)
    persons = introduced(text, words, people.languages(words))
    assert [text[person.start : person.end] for person in persons] == names


def test_a_name_that_only_begins_like_a_thing_is_somebody() -> None:
    assert found("Harry Potterton called, and Jane Eyres") == ["Harry Potterton", "Jane Eyres"]


def test_the_language_of_a_text_is_told_by_its_frequent_words() -> None:
    def languages(text: str) -> list[str]:
        bits = people.languages(people.words(text))
        return [name for n, name in enumerate(people.LANGUAGES) if bits >> n & 1]

    assert languages("Der Kunde will sein Geld zurück und wartet noch") == ["de"]
    assert languages("please send it to the office when you can") == ["en"]
    assert len(languages("Xyzzy")) == len(people.LANGUAGES)


@pytest.mark.parametrize(
    "text", ["Anna Schmidt", "Schmidt, Anna", "Dr. Anna M. Schmidt", "ANNA SCHMIDT", "Jürgen Weiß"]
)
def test_a_full_name_is_one_however_it_is_written(text: str) -> None:
    assert people.full(text)


@pytest.mark.parametrize(
    "text", ["Jasmine Garden Table", "Anna 5", "Blue Lamp", "anna@example.org"]
)
def test_what_is_no_full_name(text: str) -> None:
    assert not people.full(text)


def test_a_city_is_known_without_its_accents() -> None:
    assert people.place("München")
    assert people.place("Munchen")
    assert not people.place("Lampe")


def test_a_run_of_letters_without_an_end_is_no_word() -> None:
    """Each of its letters costs the same, however many there are."""
    assert people.words("y" * 100_000 + " Anna") == people.words(" " * 100_000 + " Anna")


@pytest.mark.parametrize(
    "written", ["Doe;Jane", "DOE|JANE", "Doe/Jane", "Doe\tJane", "Jane Doe / John Roe"]
)
def test_a_column_of_people_is_told_whatever_stands_between_their_names(written: str) -> None:
    text = written.replace("Doe", "Miller").replace("DOE", "MILLER").replace("Roe", "Baker")
    assert people.full_alone(text)


def test_an_initial_needs_no_dot_in_a_column() -> None:
    assert people.initialled("Miller J")
    assert not people.initialled_form("Miller")
