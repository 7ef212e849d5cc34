"""Long cells: what is far from what else was found, what a cut would halve, and what has no end.

No test here measures time: each hard text would take hours if an expression were super-linear, so
that a process of its own is given minutes and a text that it does not end in is red.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from atlas.pii.engine import pieces
from atlas.pii.scanner import Scanner
from atlas.pii.spans import _merged
from tests.pii.tables import masked

_PAD = " the parcel was late and the box was open so please look into it again soon" * 9


def test_a_number_before_another_in_a_long_cell_is_masked(scanner: Scanner) -> None:
    text = f"My mobile phone is 2125550199 now.{_PAD} And the office is +1 212 555 0100 as before."
    [told] = masked(scanner, {"note": [text]})["note"]
    assert told == text.replace("2125550199", "<PHONE_NUMBER>").replace(
        "+1 212 555 0100", "<PHONE_NUMBER>"
    )


def test_windows_are_merged_in_order_whatever_order_they_are_found_in() -> None:
    assert _merged([(50, 60), (0, 10), (8, 20), (20, 30), (2, 5)]) == [(0, 30), (50, 60)]


@pytest.mark.parametrize("before", range(1_960, 2_001, 4))
def test_a_name_across_the_cut_of_a_long_text_stands_whole_in_a_piece(before: int) -> None:
    text = ("box open " * 400)[: before - 1] + " Anna Echeverria was the driver" + _PAD * 4
    told = list(pieces(text))
    assert any(" Anna Echeverria was" in f" {piece}" for _, piece in told)
    assert all(text.startswith(piece, offset) for offset, piece in told)
    assert max(len(piece) for _, piece in told) <= 2_000


def test_a_name_across_the_cut_of_a_long_text_is_masked_whole(scanner: Scanner) -> None:
    text = ("box open " * 400)[:1_988] + " Anna Lindqvist was the driver of the van." + _PAD
    [told] = masked(scanner, {"note": [text]})["note"]
    assert told == text.replace("Anna Lindqvist", "<PERSON>")


@pytest.mark.parametrize("text", ["x" * 9_000, "a " + "x" * 9_000, "a b " * 2 + "x" * 9_000])
def test_pieces_of_what_has_no_words_lose_nothing(text: str) -> None:
    at = 0
    for offset, piece in pieces(text):
        assert offset <= at
        assert piece
        at = offset + len(piece)
    assert at == len(text)


_HARD = {
    "line ends behind a street": "'12 Main Street' + chr(10) * n",
    "line ends and a word": "'12 Main Street' + chr(10) * n + 'y'",
    "capitals with full stops": "'Lindenweg 5, ' + 'Aa.' * n + '!'",
    "a long word": "'12 Main Street ' + 'Abc1' * n",
    "small words, a line each": "('a' + chr(10)) * n + ' street 1'",
    "a long word before": "'Aa' * n + ' weg 1'",
    "articles": "'de ' * n + 'weg 1'",
    "elided articles": "chr(108) + chr(39) + (chr(108) + chr(39)) * n + 'Aa 1 street'",
    "capitals": "'12 Main Street, ' + 'Aa ' * n + '1'",
}


def test_the_expressions_for_streets_end() -> None:
    _ends(
        f"""
        import regex
        from atlas.pii.streets import STREETS, street_like, streets
        n = 20_000
        for text in ({", ".join(_HARD.values())}):
            streets(text)
            street_like(text)
            for pattern in STREETS.values():
                list(regex.finditer(pattern, text))
        """
    )


def test_the_traits_of_a_value_end() -> None:
    _ends(
        """
        from atlas.pii.study import _TRAITS
        for text in ("1" + " " * 400_000 + "y", "+1-555" + "-" * 400_000 + "y", "1" * 400_000):
            for holds in _TRAITS.values():
                holds(text)
        """
    )


def _ends(program: str, seconds: int = 500) -> None:
    """Run ``program`` in a process of its own; it fails, or does not end, and the test is red."""
    lines = [line[8:] for line in program.strip("\n").splitlines()]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=seconds)
