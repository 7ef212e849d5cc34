"""The generated tables are what the benchmark says they are."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest

from bench.pii import numbers, people, prose, sentences, sparse, tables, words
from bench.pii.model import ENTITIES, Table
from bench.pii.words import LOCALES, Half

HALVES: tuple[Half, ...] = ("dev", "held")


@pytest.fixture(scope="module", params=HALVES)
def half(request: pytest.FixtureRequest) -> Half:
    found: Half = request.param
    return found


@pytest.fixture(scope="module")
def made(half: Half) -> list[Table]:
    return tables.build(half, 3, 60)


def _pieces(made: list[Table], entity: str) -> set[str]:
    return {
        piece.text
        for table in made
        for found in table.pieces.values()
        for row in found
        for piece in row
        if piece.entity == entity
    }


def test_the_same_seed_gives_the_same_tables_and_another_one_others(
    half: Half, made: list[Table]
) -> None:
    assert [table.cells for table in tables.build(half, 3, 60)] == [one.cells for one in made]
    assert all(
        one.cells != other.cells for one, other in zip(tables.build(half, 4, 60), made, strict=True)
    )


def test_there_are_enough_tables_columns_and_entities(made: list[Table]) -> None:
    assert len(made) >= 12
    assert sum(len(table.cells) for table in made) >= 100
    assert {entity for table in made for unit in table.units for entity in unit.truth} >= set(
        ENTITIES
    )


def test_half_of_the_columns_hold_nothing_personal(made: list[Table]) -> None:
    units = [unit for table in made for unit in table.units]
    assert 0.35 < sum(not unit.truth for unit in units) / len(units) < 0.65


def test_every_personal_piece_stands_in_its_cell(made: list[Table]) -> None:
    count = 0
    for table in [*made, *sparse.build("dev", 1, 0.02).values()]:
        for key, found in table.pieces.items():
            for texts, pieces in zip(table.leaves[key], found, strict=True):
                for piece in pieces:
                    assert any(piece.text in text for text in texts), (table.name, key)
                    count += 1
    assert count > 5_000


def test_leaves_of_json_are_those_of_the_cell(made: list[Table]) -> None:
    table = next(table for table in made if table.name == "orders")
    nested = next(unit for unit in table.units if unit.path == "$.address.street")
    for cell, leaf in zip(table.cells[nested.column], table.leaves[nested.key], strict=True):
        assert cell is not None
        assert f'"{leaf[0]}"' in cell


def test_some_columns_are_almost_all_null_and_some_cells_are_long(half: Half) -> None:
    made = tables.build(half, 3, 210)
    nulls = [cells.count(None) / len(cells) for table in made for cells in table.cells.values()]
    assert sum(share > 0.9 for share in nulls) >= 2
    lengths = [
        len(cell)
        for table in made
        for cells in table.cells.values()
        for cell in cells
        if cell is not None
    ]
    assert max(lengths) > 50_000


def test_cards_accounts_and_coins_pass_their_checks(made: list[Table]) -> None:
    cards = {card.replace(" ", "").replace("-", "") for card in _pieces(made, "CARD")}
    assert len(cards) > 30
    assert all(map(numbers.luhn, cards))
    ibans = {iban.replace(" ", "") for iban in _pieces(made, "IBAN")}
    assert len({iban[:2] for iban in ibans}) >= 6
    assert all(map(numbers.iban_valid, ibans))
    coins = _pieces(made, "CRYPTO")
    assert len({coin[0] for coin in coins}) == 3
    assert all(map(numbers.coin_valid, coins))


def test_the_checks_refuse_what_is_off_by_one_digit() -> None:
    assert numbers.luhn("4111111111111111")
    assert not numbers.luhn("4111111111111112")
    assert numbers.iban_valid("GB82WEST12345698765432")
    assert not numbers.iban_valid("GB82WEST12345698765433")
    assert numbers.coin_valid("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq")
    assert not numbers.coin_valid("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp")
    assert numbers.coin_valid("1BoatSLRHtKNngkdXEeobR76b53LETtpyT")
    assert numbers.nhs_valid("943 476 5919")
    assert not numbers.nhs_valid("943 476 5918")


def test_national_numbers_pass_their_checks() -> None:
    rng = Random(5)
    for _ in range(200):
        assert numbers.nhs_valid(numbers.nhs(rng))
        cpr = numbers.cpr(rng)
        dt.datetime.strptime(cpr[:6], "%d%m%y")  # noqa: DTZ007 - it is a day
        nif = numbers.nif(rng)
        digits = int(nif[:-1].replace("X", "0"))
        assert nif[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[digits % 23]
        pesel = [int(digit) for digit in numbers.pesel(rng)]
        weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
        assert sum(a * b for a, b in zip(pesel, weights, strict=True)) % 10 == 0
        assert len(set(numbers.steuer_id(rng)[:10])) == 9


def test_known_identifiers_of_other_countries_are_made_by_the_rules() -> None:
    assert len(numbers.fiscal(Random(1))) == 16
    hetu = numbers.hetu(Random(1))
    assert hetu[-1] == "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(hetu[:6] + hetu[7:10]) % 31]


def test_look_alikes_fail_the_checks(made: list[Table]) -> None:
    orders = next(table for table in made if table.name == "orders")
    found = [cell for cell in next(iter(list(orders.cells.values())[1:2])) if cell]
    assert {len(cell) for cell in found} == {16}
    assert not any(map(numbers.luhn, found))


def test_the_halves_share_no_word_and_no_fragment() -> None:
    kinds = ("first_f", "first_m", "last", "street", "city")
    for name in [f"{locale}.{kind}" for locale in LOCALES for kind in kinds] + ["product", "job"]:
        dev, held = (set(words.words(half, name)) for half in HALVES)
        assert dev
        assert held
        assert not dev & held, name
    for language in prose.LOCALES_OF:
        for kind in ("fact", *words.kinds(language)):
            dev, held = (set(words.fragments(half, language, kind)) for half in HALVES)
            assert dev
            assert held
            assert not dev & held, (language, kind)


def test_the_halves_share_few_names_of_columns() -> None:
    dev, held = (
        {(table.name, column) for table in tables.build(half, 1, 2) for column in table.cells}
        for half in HALVES
    )
    assert len(dev & held) < len(dev) / 50


def test_free_texts_are_of_great_variety(half: Half) -> None:
    table = sparse.build(half, 1, 0.1)["0.02 %"]
    texts = [row[0] for row in table.leaves["comment", ""]]
    assert len(set(texts)) > len(texts) / 3


def test_no_slot_of_a_fragment_is_left_open(half: Half) -> None:
    for table in sparse.build(half, 1, 0.1).values():
        for row in table.leaves["comment", ""]:
            assert "{" not in row[0], row


@pytest.mark.parametrize(("name", "one_in"), [("1 %", 100), ("0.1 %", 1_000), ("0.02 %", 5_000)])
def test_sparse_texts_are_as_sparse_as_they_say(name: str, one_in: int) -> None:
    table = sparse.build("dev", 1, 0.25)[name]
    personal = sum(bool(pieces) for pieces in table.pieces["comment", ""])
    assert personal == table.rows // one_in


def test_mail_addresses_are_ascii_whatever_the_name_is() -> None:
    rng = Random(2)
    for _ in range(300):
        assert people.person(rng, "held").email.isascii()


def test_sentences_are_split_by_template_and_their_spans_lie_in_them() -> None:
    dev, held = (sentences.load(half) for half in HALVES)
    assert min(len(dev), len(held)) > 300
    assert not {one.template for one in dev} & {one.template for one in held}
    for one in dev + held:
        assert all(0 <= span.start < span.end <= len(one.text) for span in one.spans)
