"""JSON without bounds: many members, deep documents, long numbers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stream import ColumnType
from atlas.pii import parse, policy
from atlas.pii.claims import claim, tokens
from atlas.pii.masker import Masker
from atlas.pii.paths import UNSEARCHED, Node, decode
from atlas.pii.scanner import Scanner
from tests.pii.tables import SECRET, column, masked, table, verdicts

JSONB = {"doc": ColumnType.JSONB}
COLUMNS = [column("doc", ColumnType.JSONB)]
FAMILY = ["Echeverria", "Okonkwo", "Lindqvist", "Bauer", "Santos"]
WIDE: dict[str, Any] = {f"f{i:03}": "v" for i in range(200)}
NAMED: list[dict[str, Any]] = [{"last_name": name} for name in FAMILY]


def _found(found: list[Verdict]) -> list[tuple[str, str, Scope]]:
    return sorted((each.path, each.entity_type, each.scope) for each in found)


def _deep(levels: int) -> str:
    return '{"a":' * levels + '"jane@mail.example.org"' + "}" * levels


DEEP = _deep(1_100)
LONG = '{"email": "jane@mail.example.org", "n": ' + "1" * 4_301 + "}"


def test_a_member_whose_name_claims_something_is_looked_at_among_however_many(
    scanner: Scanner,
) -> None:
    documents = [WIDE | {"g": "v"} | each for each in NAMED]
    expected = [("$.last_name", "PERSON", Scope.VALUE)]
    assert _found(verdicts(scanner, {"doc": documents}, JSONB)) == expected
    out = masked(scanner, {"doc": documents}, JSONB)["doc"]
    assert not [name for name in FAMILY if name in "".join(text or "" for text in out)]


@pytest.mark.parametrize("size", [1, 5, 100])
def test_neither_the_order_of_rows_nor_their_parts_change_the_verdicts(
    scanner: Scanner, size: int
) -> None:
    documents = [{"map": {f"k{i}{j}": f"u{i}@mail.example.org" for j in "abc"}} for i in range(80)]
    documents += [{"map": {"last_name": name}, "other": {"x": "y"}} for name in FAMILY]
    random.Random(size).shuffle(documents)
    studies = []
    for start in range(0, len(documents), size):
        part = scanner.study(COLUMNS, frozenset(), secret=SECRET)
        part.observe(table(COLUMNS, {"doc": documents[start : start + size]}))
        studies.append(part.evidence())
    whole = scanner.study(COLUMNS, frozenset(), secret=SECRET)
    for each in studies:
        whole.merge(each)
    assert _found(whole.verdicts(policy("default"))) == [
        ("$.map.*", "EMAIL_ADDRESS", Scope.VALUE),
        ("$.map.last_name", "PERSON", Scope.VALUE),
    ]
    assert {each["path"] for each in whole.evidence()} == {
        "",
        "$.map.*",
        "$.map.last_name",
        "$.other.x",
    }


def test_members_that_come_to_share_a_node_keep_what_they_had() -> None:
    root, expected = Node("$", ("phone",)), []
    for i in range(300):
        root.gather({f"k{i}x": {"number": 10_000 + i, "of": [f"t{i}"]}})
        expected.append(f"t{i}")
    nodes = {node.path: node for node in root.walk()}
    assert set(nodes) == {"$", "$.*", "$.*.number", "$.*.of", "$.*.of[*]"}
    assert nodes["$.*.of[*]"].texts == expected
    assert len(nodes["$.*.number"].numbers) == 300


def test_a_column_has_a_bounded_number_of_places(scanner: Scanner) -> None:
    chance = random.Random(3)

    def word() -> str:
        return "".join(chance.choices("abcdefghklmnoprstuvw", k=9))

    documents: list[Any] = [
        {word(): {word(): f"{word()}@mail.example.org" for _ in range(20)} for _ in range(20)}
        for _ in range(10)
    ]
    study = scanner.study(COLUMNS, frozenset(), secret=SECRET)
    study.observe(table(COLUMNS, {"doc": documents}))
    assert len(study.evidence()) <= 2_000
    out = masked(scanner, {"doc": documents}, JSONB)["doc"]
    assert "@mail" not in "".join(text or "" for text in out)
    bounds = (tokens.cache_info().maxsize, claim.cache_info().maxsize)
    assert None not in bounds


@pytest.mark.parametrize("text", [DEEP, LONG, '{"email": "jane@mail.example.org"'])
def test_a_document_that_cannot_be_searched_is_masked_whole_and_counted(
    scanner: Scanner, text: str
) -> None:
    documents: list[Any] = [{"a": "fine"}, text, text, None, {"a": "write to bo@mail.example.org"}]
    found = verdicts(scanner, {"doc": documents}, JSONB)
    assert _found(found) == [
        ("", "PERSONAL", Scope.SPAN),
        ("$.a", "EMAIL_ADDRESS", Scope.SPAN),
    ]
    (told,) = (each.evidence for each in found if not each.path)
    assert "cannot be searched" in told["reason"]
    assert (told["values"], told["distinct"], told["scanned"]) == (2, 1, 3)
    out = masked(scanner, {"doc": documents}, JSONB)["doc"]
    assert [None if each is None else json.loads(each) for each in out] == [
        {"a": "fine"},
        "***",
        "***",
        None,
        {"a": "write to <EMAIL_ADDRESS>"},
    ]


def test_documents_that_cannot_be_searched_add_up_over_parts(scanner: Scanner) -> None:
    whole = scanner.study(COLUMNS, frozenset(), secret=SECRET)
    for text in ('{"a": "fine"}', DEEP, LONG):
        part = scanner.study(COLUMNS, frozenset(), secret=SECRET)
        part.observe(table(COLUMNS, {"doc": [text]}))
        whole.merge(part.evidence())
    (found,) = whole.verdicts(policy("default"))
    assert (found.evidence["values"], found.evidence["scanned"]) == (2, 3)


@pytest.mark.parametrize(
    ("how", "operator", "expected"),
    [
        ({"columns": {"doc": "keep"}}, Operator.KEEP, None),
        ({"entities": {"PERSONAL": "keep"}}, Operator.KEEP, LONG),
        ({"entities": {"PERSONAL": "drop"}}, Operator.DROP, None),
        ({"entities": {"PERSONAL": "redact"}}, Operator.REDACT, '""'),
    ],
)
def test_a_policy_says_what_becomes_of_what_cannot_be_searched(
    scanner: Scanner, how: dict[str, Any], operator: Operator, expected: str | None
) -> None:
    documents: list[Any] = [{"a": "write to bo@mail.example.org"}, LONG]
    found = verdicts(scanner, {"doc": documents}, JSONB, how=parse(how))
    assert [each.operator for each in found if not each.path] == [operator]
    masker = Masker(scanner, COLUMNS, found, frozenset(), SECRET)
    if "columns" in how:
        assert not masker.columns
        return
    out = masker.mask(table(COLUMNS, {"doc": documents})).column("doc").to_pylist()
    assert out == ['{"a":"write to <EMAIL_ADDRESS>"}', expected]


def test_the_bound_of_depth_is_the_same_on_every_stack() -> None:
    assert decode(_deep(200)) is not UNSEARCHED
    assert decode(_deep(201)) is UNSEARCHED
    flat = "[" + ",".join(["{}"] * 1_000) + "]"
    assert decode(flat) is not UNSEARCHED

    def below(levels: int) -> Any:
        return decode(_deep(200)) if not levels else below(levels - 1)

    assert below(500) is not UNSEARCHED


def test_a_document_as_deep_as_may_be_is_searched(scanner: Scanner) -> None:
    (out,) = masked(scanner, {"doc": [_deep(200)]}, JSONB)["doc"]
    assert "jane" not in (out or "")
    assert '{"a":' * 200 in (out or "")
