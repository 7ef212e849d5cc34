"""The fresh source of the benchmark: labelled, the same each time, in two halves."""

from __future__ import annotations

import sys
from itertools import chain

import pytest
from stdnum import bitcoin, iban, luhn

from bench.pii import __main__ as command
from bench.pii.fresh import lists, row, tables
from bench.pii.model import ENTITIES, Table
from bench.pii.words import Half

HALVES: tuple[Half, Half] = ("dev", "held")


@pytest.fixture(scope="module")
def rare() -> dict[Half, dict[str, Table]]:
    return {half: tables.sparse(half, 5, 0.01) for half in HALVES}


@pytest.fixture(scope="module")
def made() -> dict[Half, list[Table]]:
    return {half: tables.build(half, 5, 40) for half in HALVES}


def test_every_personal_piece_stands_in_its_cell(
    made: dict[Half, list[Table]], rare: dict[Half, dict[str, Table]]
) -> None:
    sparse = (texts.values() for texts in rare.values())
    count = 0
    for table in chain(*made.values(), *sparse):
        for key, found in table.pieces.items():
            for texts, pieces in zip(table.leaves[key], found, strict=True):
                for piece in pieces:
                    assert any(piece.text in text for text in texts), (table.name, key, piece)
                    count += 1
    assert count > 5_000


def test_no_slot_is_left_open(made: dict[Half, list[Table]]) -> None:
    for table in chain(*made.values()):
        for cells in table.cells.values():
            assert not any(
                "{" + slot + "}" in cell for cell in cells if cell for slot in lists.PERSONAL
            )
    for half in HALVES:
        for sentence in lists.sentences(half):
            for slot in lists.SLOT.findall(sentence):
                known = slot in lists.PERSONAL or slot in row.THINGS
                assert known or lists.words(half, slot), sentence


def test_the_same_seed_gives_the_same_and_another_one_other_tables(
    rare: dict[Half, dict[str, Table]],
) -> None:
    for half in HALVES:
        one, again, other = (tables.build(half, seed, 10) for seed in (5, 5, 6))
        assert [table.cells for table in again] == [table.cells for table in one]
        assert all(a.cells != b.cells for a, b in zip(one, other, strict=True))
    again = [*tables.sparse("dev", 5, 0.01).values()]
    assert [table.cells for table in again] == [table.cells for table in rare["dev"].values()]


def test_the_halves_share_no_table_column_or_sentence(made: dict[Half, list[Table]]) -> None:
    dev, held = (made[half] for half in HALVES)
    assert not {table.name for table in dev} & {table.name for table in held}
    columns = [{column for table in half for column in table.cells} for half in (dev, held)]
    assert not columns[0] & columns[1]
    for name in ("us.last", "de.first", "it.street", "pl.city"):
        assert not set(lists.words("dev", name)) & set(lists.words("held", name))
    shared = lists.sentences("dev") & lists.sentences("held")
    assert not [one for one in shared if lists.SLOT.sub("", one)]


def test_there_are_enough_tables_columns_and_entities(made: dict[Half, list[Table]]) -> None:
    for half in HALVES:
        assert len(made[half]) >= 8
        assert sum(len(table.cells) for table in made[half]) >= 140
        units = [unit for table in made[half] for unit in table.units]
        assert {entity for unit in units for entity in unit.truth} >= set(ENTITIES)
        assert 0.4 < sum(not unit.truth for unit in units) / len(units) < 0.7
        cells = chain(*(cells for table in made[half] for cells in table.cells.values()))
        assert max(len(cell) for cell in cells if cell) > 50_000


def test_as_many_sparse_cells_are_personal_as_their_rate_says(
    rare: dict[Half, dict[str, Table]],
) -> None:
    for name, one_in in (("1 %", 100), ("0.1 %", 1_000), ("0.02 %", 5_000)):
        table = rare["held"][name]
        pieces = table.pieces["body", ""]
        assert sum(map(bool, pieces)) == table.rows // one_in


def test_numbers_pass_their_checks(made: dict[Half, list[Table]]) -> None:
    checks = {"CARD": luhn.is_valid, "IBAN": iban.is_valid, "CRYPTO": bitcoin.is_valid}
    seen: set[str] = set()
    for table in chain(*made.values()):
        for piece in chain(*chain(*table.pieces.values())):
            if piece.entity in checks and piece.text.isascii():
                text = "".join(piece.text.replace("%20", "").split())
                assert checks[piece.entity](text), piece
                seen.add(piece.entity)
    assert seen == set(checks)


def test_nobody_looks_at_the_held_half_in_detail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.pii", "--source", "fresh", "--details"])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "--half dev" in capsys.readouterr().err
