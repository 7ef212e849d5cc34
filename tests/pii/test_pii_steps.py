"""What a search costs, counted in calls and not in seconds: texts of any length, columns of any
kind."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from atlas.pii import screen as screening
from atlas.pii.recognizers import PlannedPhoneRecognizer
from atlas.pii.scanner import Scanner
from atlas.pii.screen import Part, screen
from atlas.settings import settings


def _calls(work: Callable[[], object]) -> int:
    """How many calls ``work`` makes, of functions in Python and in C."""
    made = Counter[str]()
    sys.setprofile(lambda _frame, event, _what: made.update((event,)))
    try:
        work()
    finally:
        sys.setprofile(None)
    return made["call"] + made["c_call"]


@pytest.mark.parametrize(
    "piece",
    [
        "Besuch in der Musterstraße {}, 10115 Berlin; danach frei. ",
        "Reach me on +44 20 7946 0{}, or jane.{}@example.com. ",
        "Last seen from 178.152.{}.7 and 84.1.2.{}. ",
        "Anna Schmidt{} met Peter Jensen and Maria Garcia. ",
    ],
)
def test_the_cost_of_a_text_grows_as_its_length(piece: str) -> None:
    finder = Scanner(settings()).finder

    def text(pieces: int) -> str:
        return "".join(piece.replace("{}", str(100 + n % 100)) for n in range(pieces))

    finder.find([text(3)], [True], None)  # what is made once is made here
    short, long = (
        _calls(lambda given=given: finder.find([given], [True], None))
        for given in (text(60), text(240))
    )
    assert long < 5.5 * short


def test_columns_are_screened_together(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[str] = []
    real = screening.pc.match_substring_regex

    def counted(values: Any, pattern: str) -> Any:
        passes.append(pattern)
        return real(values, pattern)

    monkeypatch.setattr(screening.pc, "match_substring_regex", counted)
    columns = [
        ["a@example.com", "nothing", "12"],
        ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "2024-01-31"],
        ["call +45 20 30 40 50", "42"],
        [],
    ]
    parts = [Part(pa.array(values, pa.string()), None, read=True) for values in columns]
    found = screen(parts)
    assert [one.texts for one in found] == [["a@example.com"], [], ["call +45 20 30 40 50"], []]
    assert [one.indices for one in found] == [[0], [], [0], []]
    assert [one.prose for one in found] == [[False], [], [True], []]
    assert len(passes) == len(set(passes))
    alone = [screen([part])[0] for part in parts]
    assert alone == found


def test_what_is_no_telephone_number_asks_no_numbering_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        PlannedPhoneRecognizer, "analyze", lambda _self, text, *_: asked.append(text) or []
    )
    finder = Scanner(settings()).finder
    for text in (
        "2023/05131",
        "178.152.219.109",
        "2024-01-31 12:00",
        "order 4259298527463",
        "Moved from 2024-05-17 on, charged 430 for 12 units, batch 3091662.",
    ):
        finder.find([text], [False], None)
    assert asked == []
    # With words for it, or the form of one, it is asked.
    for text in ("Ring på 2175 0197.", "0161 617 7970"):
        finder.find([text], [False], None)
    assert asked == ["Ring på 2175 0197.", "0161 617 7970"]
