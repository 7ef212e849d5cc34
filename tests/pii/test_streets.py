"""Streets with numbers, as they are written in many languages, and what only looks like one."""

from __future__ import annotations

import pytest

from atlas.pii.streets import street_like, streets


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Neue Anschrift: Gartenstraße 76c, 94554 Passau", "Gartenstraße 76c, 94554 Passau"),
        ("nach Breite Straße 26, 24972 Quern gezogen", "Breite Straße 26, 24972 Quern"),
        ("nach An der Mühle 9, 57334 Laasphe", "An der Mühle 9, 57334 Laasphe"),
        ("vive en Calle Mayor 5, 2º B, 28013 Madrid ahora", "Calle Mayor 5, 2º B, 28013 Madrid"),
        ("au 12 bis rue de la Paix, 75002 Paris", "12 bis rue de la Paix, 75002 Paris"),
        ("bor Strandvejen 12, st. tv, 2900 Hellerup", "Strandvejen 12, st. tv, 2900 Hellerup"),
        ("in Via Garibaldi, 12, 20121 Milano", "Via Garibaldi, 12, 20121 Milano"),
        ("ul. Polna 5/7, 00-590 Warszawa", "ul. Polna 5/7, 00-590 Warszawa"),
        ("naar Kerkstraat 45, 1017 GC Amsterdam", "Kerkstraat 45, 1017 GC Amsterdam"),
        ("to 329 Maple Street, Salem, OR 97301 please", "329 Maple Street, Salem, OR 97301"),
        ("at 24b Kingsgate, Leeds LS7 1WA since", "24b Kingsgate, Leeds LS7 1WA"),
        ("Unit 4719 Box 7394\nDPO AP 70942", "Unit 4719 Box 7394\nDPO AP 70942"),
        ("postcode: 3520", "postcode: 3520"),
    ],
)
def test_an_address_is_found_to_its_end(text: str, address: str) -> None:
    assert [match.group() for match in streets(text)] == [address]


@pytest.mark.parametrize(
    "text",
    [
        "we met 3 times on the way home in 2 hours",
        "My route has 5 stops",
        "500 GB hard drive",
        "version 12 of it",
        "the street is closed",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert list(streets(text)) == []


def test_a_value_that_begins_with_a_street_is_like_one() -> None:
    assert street_like("Gartenstraße 7")
    assert not street_like("Delivered to Gartenstraße 7")
