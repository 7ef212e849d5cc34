"""What people say of columns wins over what a scan found, and nothing else slips through by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from atlas.model.personal import Operator, Override, Says, Scope, Verdict
from atlas.pii.agreement import agreed
from atlas.pii.overrides import asked_for, denied, overridden, searched
from atlas.pii.policy import parse
from atlas.pii.scanner import Scanner
from tests.pii.tables import FAMILY, GIVEN, column, table

AT = datetime(2026, 1, 1, tzinfo=UTC)
NO_KEYS: frozenset[str] = frozenset()


def _word(
    says: Says,
    column: str = "note",
    path: str = "",
    entity_type: str | None = None,
    operator: Operator | None = None,
) -> Override:
    return Override(column, path, says, entity_type, operator, "somebody", "for a reason", AT)


def _found(column: str, path: str, entity: str, scope: Scope = Scope.SPAN) -> Verdict:
    return Verdict(column, path, entity, 0.9, scope, Operator.MASK, 0.5, {"found": 3})


FOUND = [
    _found("note", "", "PERSON", Scope.VALUE),
    _found("note", "", "EMAIL_ADDRESS"),
    _found("other", "", "PERSON"),
]


def _of(verdicts: list[Verdict]) -> list[tuple[Any, ...]]:
    return [(v.column, v.path, v.entity_type, v.scope, v.operator) for v in verdicts]


def test_what_is_denied_is_gone_and_nothing_beside_it() -> None:
    denied = overridden(FOUND, [_word(Says.IS_NOT, entity_type="PERSON")], parse(None), NO_KEYS)
    assert _of(denied) == _of([FOUND[2], FOUND[1]])
    all_of_it = overridden(FOUND, [_word(Says.IS_NOT)], parse(None), NO_KEYS)
    assert _of(all_of_it) == _of([FOUND[2]])


def test_what_is_said_to_be_is_all_of_the_column() -> None:
    said = _word(Says.IS, entity_type="PHONE_NUMBER")
    (other, verdict) = overridden(FOUND, [said], parse(None), NO_KEYS)
    assert other == FOUND[2]
    assert (verdict.entity_type, verdict.scope, verdict.score) == ("PHONE_NUMBER", Scope.VALUE, 1.0)
    assert verdict.operator is Operator.MASK
    assert verdict.evidence["override"]["actor"] == "somebody"
    (new,) = overridden([], [said], parse({"entities": {"PHONE_NUMBER": "drop"}}), NO_KEYS)
    assert new.operator is Operator.DROP
    (key,) = overridden([], [said], parse(None), frozenset({"note"}))
    assert key.operator is Operator.TOKENIZE


def test_a_word_on_a_leaf_comes_after_one_on_its_column() -> None:
    leaves = [_found("doc", "$.a", "PERSON"), _found("doc", "$.b", "PERSON")]
    words = [
        _word(Says.IS, "doc", "$.b", "EMAIL_ADDRESS"),
        _word(Says.IS_NOT, "doc"),
    ]
    (left,) = overridden(leaves, words, parse(None), NO_KEYS)
    assert (left.path, left.entity_type) == ("$.b", "EMAIL_ADDRESS")


def test_an_operator_wins_over_the_connections() -> None:
    base = parse({"columns": {"note": "keep", "doc.a": "drop"}})
    words = [
        _word(Says.OPERATOR, operator=Operator.REDACT),
        _word(Says.OPERATOR, "doc", "$.a", operator=Operator.KEEP),
    ]
    asked = asked_for(base, words)
    assert asked.explicit("note") is Operator.REDACT
    assert asked.explicit("doc", "$.a") is Operator.KEEP
    shown = overridden(FOUND, words, asked, NO_KEYS)
    assert [("override" in v.evidence) for v in shown] == [False, True, True]


@pytest.mark.parametrize("says_no", [True, False])
def test_a_column_that_somebody_denies_is_searched_whole(scanner: Scanner, says_no: bool) -> None:
    """The sample would settle it as names; an address far behind is what only a search finds."""
    names = [f"{a} {b} {c}" for b in GIVEN[:20] for a in GIVEN for c in FAMILY]
    values = [*names, "write to someone.rare@example.org today"]
    columns = [column("full_name")]
    words = [_word(Says.IS_NOT, "full_name", entity_type="PERSON")] if says_no else []
    study = scanner.study(columns, NO_KEYS, (), searched(words))
    study.observe(table(columns, {"full_name": values}))
    now = study.verdicts(parse(None), denied(words))
    found = overridden(now, words, parse(None), NO_KEYS)
    entities = {verdict.entity_type for verdict in found}
    assert ("PERSON" in entities) != says_no
    assert ("EMAIL_ADDRESS" in entities) == says_no


def test_what_is_denied_does_not_keep_out_what_this_run_found() -> None:
    """The run before took the column for names, which would hold on and stand for all of it."""
    before = [_found("note", "", "PERSON", Scope.VALUE)]
    now = [_found("note", "", "EMAIL_ADDRESS")]
    words = (_word(Says.IS_NOT, entity_type="PERSON"),)
    assert _of(agreed(now, before, (), parse(None), NO_KEYS)) == _of(before)
    assert _of(agreed(now, before, words, parse(None), NO_KEYS)) == _of(now)
