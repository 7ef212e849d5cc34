"""Columns of addresses and numbers in forms that no recognizer takes as a whole."""

from __future__ import annotations

import pytest

from atlas.model.stream import ColumnType
from atlas.pii.patterns import mail_like, mail_spelled, trunk
from atlas.pii.scanner import Scanner
from tests.pii.tables import full_names, values_found, verdicts

NAMES = full_names(60)


def _found(scanner: Scanner, values: list[str], name: str = "c4") -> str | None:
    return values_found(verdicts(scanner, {name: values})).get(name)


@pytest.mark.parametrize(
    "text",
    ["jane [at] corp.internal", "jane(at)web.de", "jane at web dot de", "jane @ acme.example"],
)
def test_addresses_that_are_spelled_out(text: str) -> None:
    assert mail_spelled(text)
    assert mail_like(text)


@pytest.mark.parametrize("text", ["10 @ 5.00 each", "Lunch at noon", "n/a", "verified", "core@3"])
def test_what_is_no_address_spelled_out(text: str) -> None:
    assert not mail_spelled(text)


def test_addresses_that_are_spelled_out_are_masked(scanner: Scanner) -> None:
    spelled = [f"{name.lower().replace(' ', '.')} [at] acme.example" for name in NAMES]
    assert _found(scanner, spelled) == "EMAIL_ADDRESS"
    said = [one.replace(" [at] ", " at ") for one in spelled]
    assert _found(scanner, said, "eposta") == "EMAIL_ADDRESS"
    assert _found(scanner, ["verified", "bounced", "pending"] * 20, "eposta") is None


def test_numbers_behind_a_trunk_prefix_are_telephone_numbers(scanner: Scanner) -> None:
    numbers = [f"0{301 + n}/{7916082 + 7 * n}" for n in range(60)]
    assert _found(scanner, numbers) == "PHONE_NUMBER"
    assert trunk("(0301) 791 6082")
    assert not trunk("01-234-55")
    assert not trunk("01.02.1990")
    parts = [f"{n:02d}-{1000 + 37 * n}-{n:03d}" for n in range(60)]
    assert _found(scanner, parts) is None


def test_cards_before_their_expiry_and_as_numbers(scanner: Scanner) -> None:
    cards = ["4111111111111111 07/27", "5555555555554444 1126", "4012888888881881 02/29"]
    found = verdicts(scanner, {"c7": cards * 10})
    assert [each.entity_type for each in found] == ["CREDIT_CARD"]
    numbers = [str(4000001234567000 + 11 * n) for n in range(40)]
    found = verdicts(scanner, {"ccnum": numbers}, {"ccnum": ColumnType.NUMERIC})
    assert values_found(found) == {"ccnum": "CREDIT_CARD"}
