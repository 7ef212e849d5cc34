"""The measures give the known answers on examples small enough to count by hand."""

from __future__ import annotations

import pytest

from bench.pii import measures
from bench.pii.model import Builder, Outcome, Piece, Table, Text, disputed, mine
from bench.pii.sentences import Sentence, Span, outside, score


def _table() -> Table:
    types = {"id": "bigint", "mail": "text", "note": "text", "town": "text", "doc": "jsonb"}
    builder = Builder("example", "id", types)
    for number, (mail, note, pieces) in enumerate(
        [
            ("ann@post.net", "call Ann Leary", (Piece("PERSON", "Ann Leary", "en"),)),
            ("bo@post.net", "broken lamp", ()),
            ("cy@post.net", "mail cy@post.net", (Piece("EMAIL", "cy@post.net", "en"),)),
            (None, "late again", ()),
        ]
    ):
        builder.add(
            {
                "id": number,
                "mail": mail and mine("EMAIL", mail),
                "note": Text(note, pieces),
                "town": disputed("Ulm"),
                "doc": {"to": [mine("PHONE", f"020 7946 000{number}")], "n": number},
            }
        )
    return builder.table()


def _outcome(table: Table, **changes: list[tuple[str, ...]]) -> Outcome:
    masked = dict(table.leaves)
    masked.update({(name, ""): cells for name, cells in changes.items()})
    return Outcome({}, masked)


def test_truth_is_told_by_the_pieces() -> None:
    units = {str(unit): unit for unit in _table().units}
    assert set(units) == {"id", "mail", "note", "town", "doc.to[*]", "doc.n"}
    assert units["mail"].truth == {"EMAIL"}
    assert units["mail"].plain
    assert units["note"].truth == {"EMAIL", "PERSON"}
    assert not units["note"].plain
    assert units["doc.to[*]"].plain
    assert not units["town"].judged
    assert not units["id"].truth


def test_f1_of_columns() -> None:
    table = _table()
    verdicts = {
        ("mail", ""): {"EMAIL"},  # right
        ("note", ""): {"PERSON", "CARD"},  # one right, one wrong, e-mail missed
        ("town", ""): {"LOCATION"},  # nobody judges it
        ("doc", "$.n"): {"DATE_TIME"},  # no entity of the vocabulary; the telephone is missed
    }
    found = measures.columns([(table, Outcome(verdicts, table.leaves))])
    assert found.counts == {
        "EMAIL": (1, 0, 1),
        "PERSON": (1, 0, 0),
        "CARD": (0, 1, 0),
        "PHONE": (0, 0, 1),
    }
    assert found.micro == pytest.approx(4 / 7)
    assert found.macro == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert measures.overlooked([(table, Outcome(verdicts, table.leaves))]) == [
        "example.doc.to[*] (PHONE)"
    ]


def test_first_names_may_be_overlooked_and_full_names_may_not() -> None:
    builder = Builder("t", "id", {"id": "bigint", "first": "text", "full": "text"})
    builder.add({"id": 1, "first": mine("PERSON", "Ann"), "full": mine("PERSON", "Ann Leary")})
    table = builder.table()
    assert measures.overlooked([(table, Outcome({}, table.leaves))]) == ["t.full (PERSON)"]


def test_leaks_and_over_masking_are_counted_by_cell() -> None:
    table = _table()
    outcome = _outcome(
        table,
        mail=[("a***",), ("b***",), ("cy@post.net",), ()],  # one of three stands
        note=[("call <PERSON> Leary",), ("<PERSON> lamp",), ("mail <EMAIL>",), ("late again",)],
    )
    whole, partly = measures.leaks([(table, outcome)])
    columns, shapes = whole[measures.COLUMNS], whole[measures.SHAPES]
    assert (columns.hits, columns.total) == (1 + 4, 3 + 4)  # the telephones of the document stand
    assert (shapes.hits, shapes.total) == (1, 4)
    assert (whole[measures.TEXT].hits, whole[measures.TEXT].total) == (0, 1)
    assert (partly[measures.TEXT].hits, partly[measures.TEXT].total) == (1, 1)  # "Leary"
    over = whole[measures.OVER]
    assert (over.hits, over.total) == (1, 4 + 2 + 4)  # id, two notes, doc.n


def test_nothing_leaks_from_what_became_null() -> None:
    table = _table()
    note = next(unit for unit in table.units if unit.column == "note")
    outcome = _outcome(table, note=[(), (), (), ()])
    assert measures.of_unit(table, outcome, note) == (0, 2, [])


def test_sparse_text_counts_found_and_flagged_cells() -> None:
    table = _table()
    note = next(unit for unit in table.units if unit.column == "note")
    outcome = _outcome(
        table, note=[("call Ann Leary",), ("<PERSON> lamp",), ("mail <EMAIL>",), ("late again",)]
    )
    found = measures.sparse(table, outcome, note)
    shares = {name: (share.hits, share.total) for name, share in found.recall.items()}
    assert shares == {
        "all": (1, 2),
        "PERSON": (0, 1),
        "PERSON in en": (0, 1),
        "e-mail and checksums": (1, 1),
        "EMAIL": (1, 1),
        "EMAIL in en": (1, 1),
    }
    assert (found.precision.hits, found.precision.total) == (1, 2)
    both = measures.merged([found, found])
    assert (both.recall["all"].hits, both.recall["all"].total) == (2, 4)


def test_a_shape_does_not_say_what_it_is_of() -> None:
    assert measures.shape(Piece("PHONE", "+45 Ål 12")) == "PHONE '+99 Xx 99'"


def test_spans_are_scored_by_overlap_and_type() -> None:
    text = "Ann Leary of Ulm, ann@post.net"
    true = (Span(0, 9, "PERSON"), Span(13, 16, "LOCATION"), Span(18, 30, "EMAIL"))
    found = [Span(0, 3, "PERSON"), Span(13, 16, "PERSON"), Span(18, 30, "EMAIL")]
    result = score([Sentence(text, 1, true)], [found])
    assert result.precision == pytest.approx(2 / 3)
    assert result.recall == pytest.approx(2 / 3)
    assert result.f1 == pytest.approx(2 / 3)
    assert result.covered == pytest.approx(2 / 3)  # of the name three letters of eight
    assert score([Sentence(text, 1, true)], [found], "EMAIL").f1 == 1


def test_of_the_first_rows_only_what_they_hold_is_true() -> None:
    head = _table().head(2)
    units = {str(unit): unit for unit in head.units}
    assert head.rows == 2
    assert units["note"].truth == {"PERSON"}  # the e-mail stands in the third
    assert units["mail"].truth == {"EMAIL"}
    assert [len(found) for found in head.leaves.values()] == [2] * len(head.units)


def test_cities_and_countries_can_be_left_aside() -> None:
    true = (Span(0, 3, "PERSON"), Span(7, 10, "LOCATION"))
    sentence = Sentence("Ann of Ulm, Bo", 1, true, regions=true[1:])
    found = outside([sentence], [[Span(7, 10, "PERSON"), Span(12, 14, "PERSON")]])
    assert found == [[Span(12, 14, "PERSON")]]
    result = score([sentence.without_regions()], found)
    assert (result.precision, result.recall) == (0, 0)


def test_the_renamed_table_has_the_same_cells_and_truth() -> None:
    table = _table()
    other = table.renamed()
    assert list(other.cells) == ["c1", "c2", "c3", "c4", "c5"]
    assert other.key == "c1"
    assert list(other.cells.values()) == list(table.cells.values())
    assert [unit.truth for unit in other.units] == [unit.truth for unit in table.units]
    assert other.leaves["c5", "$.n"] == table.leaves["doc", "$.n"]
