"""What is found in a text is the same whatever stands around it and whoever read before."""

from __future__ import annotations

import pyarrow as pa
import pytest

from atlas.model.personal import Scope, Verdict
from atlas.pii import policy
from atlas.pii.masker import Masker
from atlas.pii.scanner import Scanner
from atlas.settings import Settings
from tests.pii.tables import SECRET, column, masked, table, verdicts

FRAMES = [
    "Yesterday %s called and asked about the refund of order number %d",
    "%s told me that the delivery %d was late again, please help",
    "I spoke with %s about the broken screen %d this morning",
]
STRANGE = [FRAMES[i % 3] % ("Zephyrine Quillonde", i) for i in range(12)]
BUILDS = [f"The nightly run of Bettina stopped at step {i} again today" for i in range(60)]
COLUMNS = [column("note")]


def _masked(reader: Scanner, found: list[Verdict], texts: list[str]) -> list[str]:
    masker = Masker(reader, COLUMNS, found, frozenset(), SECRET)
    out: pa.Table = masker.mask(table(COLUMNS, {"note": texts}))
    return list(out.column("note").to_pylist()) if "note" in out.column_names else texts


def test_somebody_of_a_strange_name_is_found_however_often_the_name_recurs(
    scanner: Scanner,
) -> None:
    cold = Scanner(Settings())
    out = masked(cold, {"note": STRANGE})["note"]
    assert [text for text in out if "Zephyrine" in (text or "")] == []
    warm = Scanner(Settings())
    verdicts(warm, {"other": STRANGE[:6]})
    assert masked(warm, {"note": STRANGE})["note"] == out


@pytest.mark.parametrize("seen", [0, 3, 30])
def test_a_word_that_recurs_all_over_a_column_is_nobody_in_any_worker_and_any_batch(
    seen: int,
) -> None:
    texts = [*BUILDS, "Then Bettina asked whether Olivia Whitfield could look at it"]
    (found,) = verdicts(Scanner(Settings()), {"note": texts})
    assert (found.entity_type, found.scope, found.evidence["found"]) == ("PERSON", Scope.SPAN, 1)
    other = Scanner(Settings())
    other.finder.find(texts[:seen], [True] * seen, None)
    for size in (1, 7, 61):
        out = [
            text
            for start in range(0, len(texts), size)
            for text in _masked(other, [found], texts[start : start + size])
        ]
        assert out[:-1] == BUILDS
        assert out[-1] == "Then Bettina asked whether <PERSON> could look at it"


def test_a_column_of_nothing_but_recurring_words_has_no_verdict(scanner: Scanner) -> None:
    assert verdicts(scanner, {"note": BUILDS}) == []
    few = verdicts(scanner, {"note": BUILDS[:5]})
    assert [each.entity_type for each in few] == ["PERSON"]


def test_parts_recur_together(scanner: Scanner) -> None:
    evidence = []
    for start in range(0, 12, 4):
        part = scanner.study(COLUMNS, frozenset(), secret=SECRET)
        part.observe(table(COLUMNS, {"note": BUILDS[start : start + 4]}))
        assert part.verdicts(policy("default")) != []
        evidence.append(part.evidence())
    whole = scanner.study(COLUMNS, frozenset(), secret=SECRET)
    for each in evidence:
        whole.merge(each)
    assert whole.verdicts(policy("default")) == []
    assert "Bettina" not in repr(evidence)


def test_without_the_key_a_recurring_word_is_masked(scanner: Scanner) -> None:
    study = scanner.study(COLUMNS, frozenset())
    study.observe(table(COLUMNS, {"note": BUILDS}))
    found = study.verdicts(policy("default"))
    assert all("<PERSON>" in text for text in _masked(scanner, found, BUILDS))
