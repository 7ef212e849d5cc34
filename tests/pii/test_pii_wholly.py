"""What a policy says of a place holds for all of it; what it keeps hides nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atlas.errors import UsageError
from atlas.model.personal import Operator, Override, Says, Scope, Verdict
from atlas.model.stream import ColumnType
from atlas.pii import parse
from atlas.pii.agreement import with_earlier
from atlas.pii.decide import settled
from atlas.pii.overrides import overridden
from atlas.pii.scanner import Scanner
from atlas.settings import Settings
from tests.pii.tables import AT, column, masked, table, verdicts

JSONB = {"doc": ColumnType.JSONB}
MAIL = "jane.roe@example.com"


def _documents(scanner: Scanner, documents: list[Any], how: dict[str, Any]) -> list[Any]:
    out = masked(scanner, {"doc": documents}, JSONB, how=parse(how))["doc"]
    return [json.loads(text or "null") for text in out]


def test_a_dropped_object_goes_with_what_else_was_found_in_it(scanner: Scanner) -> None:
    notes = [f"only member {n}" if n else f"write to {MAIL}" for n in range(30)]
    documents = [{"address": {"note": note, "floor": 3}, "id": n} for n, note in enumerate(notes)]
    out = _documents(scanner, documents, {"columns": {"doc.address": "drop"}})
    assert out == [{"address": {"note": None, "floor": None}, "id": n} for n in range(30)]


def test_a_redacted_array_goes_with_all_its_elements(scanner: Scanner) -> None:
    documents = [{"tags": [f"secret-{n}", f"mail jane{n}@example.com"]} for n in range(30)]
    for place in ("doc.tags", "doc.tags[*]"):
        out = _documents(scanner, documents, {"columns": {place: "redact"}})
        assert out == [{"tags": ["", ""]}] * 30


def test_members_of_a_root_array_can_be_named(scanner: Scanner) -> None:
    documents = [["alpha", {"pin": 4711}], [170]]
    out = _documents(scanner, documents, {"columns": {"doc[*].pin": "mask"}})
    assert out == [["alpha", {"pin": None}], [170]]
    out = _documents(scanner, documents, {"columns": {"doc[*]": "redact"}})
    assert out == [["", {"pin": None}], [None]]


def test_names_of_members_that_are_data_go_too(scanner: Scanner) -> None:
    (out,) = _documents(scanner, [{"x": {"1234567": 1, "n": 2}}], {"columns": {"doc.x": "mask"}})
    (token,) = out["x"].keys() - {"n"}
    assert token.startswith("tok_")
    assert out["x"]["n"] is None


def test_the_innermost_word_counts(scanner: Scanner) -> None:
    document = {"address": {"city": "Upper Slaughter", "zip": {"code": "12345"}}}
    how = {"columns": {"doc.address": "drop", "doc.address.city": "keep"}}
    out = _documents(scanner, [document] * 3, how)
    assert out == [{"address": {"city": "Upper Slaughter", "zip": {"code": None}}}] * 3


def test_what_holds_for_any_member_holds_for_those_with_a_verdict_of_their_own(
    scanner: Scanner,
) -> None:
    columns = [column("doc", ColumnType.JSONB)]
    own = [{"zulu": {"note": f"call {MAIL} {n}"}} for n in range(30)]
    # So many members that some share a place.
    many = [{f"m{n:03}": {"mail": f"m{n}@example.com"} for n in range(230)}]
    study, other = scanner.study(columns, frozenset()), scanner.study(columns, frozenset())
    study.observe(table(columns, {"doc": own}))
    other.observe(table(columns, {"doc": many}))
    study.merge(other.evidence())
    found = study.verdicts(parse(None))
    assert {"$.zulu.note", "$.*.mail"} <= {each.path for each in found}
    from atlas.pii.masker import Masker
    from tests.pii.tables import SEALING, SECRET

    masker = Masker(scanner, columns, found, frozenset(), SECRET, SEALING)
    document = {"zulu": {"mail": MAIL, "note": f"call {MAIL}"}}
    out = masker.mask(table(columns, {"doc": [document]})).column("doc").to_pylist()
    assert json.loads(out[0]) == {"zulu": {"mail": "***@***", "note": "call <EMAIL_ADDRESS>"}}


IPS = [f"10.{100 + n}.{50 + n}.7" for n in range(90)]


def test_an_entity_type_that_is_kept_leaves_others_in_the_column_masked(scanner: Scanner) -> None:
    data = {"source": [*IPS, *(f"jane{n}@example.com" for n in range(8))]}
    out = masked(scanner, data, how=parse({"entities": {"IP_ADDRESS": "keep"}}))["source"]
    assert out[:90] == IPS
    assert set(out[90:]) == {"<EMAIL_ADDRESS>"}


def test_a_column_that_is_kept_is_kept(scanner: Scanner) -> None:
    data = {"source": [*IPS, MAIL]}
    assert masked(scanner, data, how=parse({"columns": {"source": "keep"}})) == {}


def _verdict(entity: str, scope: Scope, operator: Operator) -> Verdict:
    return Verdict("source", "", entity, 0.9, scope, operator, 0.5, {})


def test_an_earlier_verdict_that_is_kept_displaces_none_of_this_run() -> None:
    how = parse({"entities": {"IP_ADDRESS": "keep"}})
    now = [_verdict("EMAIL_ADDRESS", Scope.SPAN, Operator.MASK)]
    before = [_verdict("IP_ADDRESS", Scope.VALUE, Operator.MASK)]
    found = with_earlier(now, before, how, frozenset())
    assert [(each.entity_type, each.operator) for each in found] == [
        ("EMAIL_ADDRESS", Operator.MASK),
        ("IP_ADDRESS", Operator.KEEP),
    ]
    kept = [_verdict("IP_ADDRESS", Scope.VALUE, Operator.KEEP)]
    names = [_verdict("PERSON", Scope.VALUE, Operator.MASK)]
    found = with_earlier(kept, names, how, frozenset())
    assert [each.entity_type for each in found] == ["PERSON"]
    assert with_earlier(kept, before, how, frozenset()) == kept


def test_a_word_that_a_column_is_what_is_kept_hides_nothing_else() -> None:
    word = Override("source", "", Says.IS, "IP_ADDRESS", None, "somebody", "for a reason", AT)
    mails = [_verdict("EMAIL_ADDRESS", Scope.SPAN, Operator.MASK)]
    found = overridden(mails, [word], parse({"entities": {"IP_ADDRESS": "keep"}}), frozenset())
    assert [each.entity_type for each in found] == ["IP_ADDRESS", "EMAIL_ADDRESS"]


def test_what_the_threshold_turns_away_hides_nothing_else(scanner: Scanner) -> None:
    handles = [f"{a}_{b}{n}" for n in range(10) for a in ("blue", "mad", "sad") for b in "xyz"]
    data = {"c1": [*handles, MAIL], "email": [f"p{n}@example.com" for n in range(91)]}
    for threshold in (0.5, 0.65, 0.95):
        strict = Scanner(Settings(pii_threshold=threshold))
        assert MAIL not in str(masked(strict, data).get("c1", data["c1"])), threshold


def test_numbers_are_telephones_where_the_same_texts_are(scanner: Scanner) -> None:
    numbers = [str(2_125_550_100 + n) for n in range(85)] + [str(100 + n) for n in range(15)]
    for kind in (ColumnType.TEXT, ColumnType.BIGINT):
        (found,) = verdicts(scanner, {"phone": numbers}, {"phone": kind})
        assert (found.entity_type, found.scope) == ("PHONE_NUMBER", Scope.VALUE)


@pytest.mark.parametrize("operator", ["mask", "drop"])
def test_a_place_in_a_column_that_is_no_json_is_all_of_it(scanner: Scanner, operator: str) -> None:
    data = {"doc": ['{"first_name": "Zebulon"}', '{"first_name": "Quill"}']}
    out = masked(scanner, data, how=parse({"columns": {"doc.first_name": operator}}))["doc"]
    assert out == [{"mask": "***", "drop": None}[operator]] * 2


@pytest.mark.parametrize("place", ["doc.first name", "doc[1]", 'doc["a', "doc.", "doc..a"])
def test_what_is_no_place_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="names no place"):
        parse({"columns": {place: "mask"}})


def test_a_sample_below_the_threshold_does_not_settle(scanner: Scanner) -> None:
    study = scanner.study([column("c1")], frozenset())
    study.observe(table([column("c1")], {"c1": IPS}))
    (leaf,) = study._leaves.values()
    assert settled(leaf, 0.5) == {"IP_ADDRESS"}
    assert settled(leaf, 1.1) == frozenset()
