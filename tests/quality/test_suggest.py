"""Checks that data suggest."""

from __future__ import annotations

import yaml

from atlas.model.checks import Dimension
from atlas.model.profile import ColumnProfile
from atlas.model.stream import ColumnType
from atlas.quality.suggest import document, suggestions

TEXT, BIGINT = ColumnType.TEXT, ColumnType.BIGINT


def _told(column: ColumnProfile, rows: int = 60, **options: object) -> dict[str, str]:
    given: dict[str, object] = {"masked": (), "checked": (), "full_refresh": False} | options
    found = suggestions(rows, [column], **given)  # type: ignore[arg-type]
    return {each.check: each.why for each in found}


def test_what_holds_for_all_rows_is_suggested_with_its_reason() -> None:
    assert _told(ColumnProfile("n", TEXT, 60, 40, shortest=1, longest=9)) == {
        '- missing_count("n") = 0': "none of 60 rows is without a value"
    }
    numbers = _told(ColumnProfile("n", BIGINT, 60, 60))
    assert '- duplicate_count("n") = 0' in numbers
    assert '- invalid_count("n") = 0:\n    valid min: 0' in numbers
    codes = _told(ColumnProfile("n", TEXT, 60, 50, shortest=4, longest=4))
    assert '- invalid_count("n") = 0:\n    valid length: 4' in codes
    mails = _told(
        ColumnProfile("n", TEXT, 60, 50, shortest=4, longest=9, matching={"uri": 59, "email": 60})
    )
    assert "all of 60 texts are written as email" in mails.values()
    few = _told(ColumnProfile("n", TEXT, 60, 2, values={"a": 57, "b": 3}))
    assert '- invalid_count("n") = 0:\n    valid values:\n    - a\n    - b' in few


def test_what_does_not_is_not() -> None:
    assert _told(ColumnProfile("n", TEXT, 59, 40, shortest=1, longest=9)) == {}
    assert _told(ColumnProfile("n", BIGINT, 59, 40, negative=1)) == {}
    # A value that came once or twice may be a mistake.
    assert (
        _told(ColumnProfile("n", TEXT, 59, 2, shortest=1, longest=2, values={"a": 57, "b": 2}))
        == {}
    )
    # A text of any length that never comes twice is prose.
    assert _told(ColumnProfile("n", TEXT, 59, 59, shortest=1, longest=900)) == {}
    # Of few rows nothing is known.
    assert _told(ColumnProfile("n", TEXT, 49, 4, shortest=1, longest=9), rows=49) == {}


def test_of_masked_columns_only_that_they_have_values() -> None:
    column = ColumnProfile("n", TEXT, 60, 2, values={"***": 60})
    assert list(_told(column, masked=("n",))) == ['- missing_count("n") = 0']


def test_what_is_checked_is_not_suggested_again() -> None:
    column = ColumnProfile("n", BIGINT, 60, 60)
    checked = {(Dimension.COMPLETENESS, "n"), (Dimension.UNIQUENESS, "n")}
    assert list(_told(column, checked=checked)) == ['- invalid_count("n") = 0:\n    valid min: 0']


def test_the_file_is_sodacl_and_says_why() -> None:
    column = ColumnProfile("odd: name", TEXT, 60, 2, values={"it's": 30, "- so": 30})
    found = suggestions(60, [column], masked=(), checked=(), full_refresh=True)
    text = document("users", found)
    parsed = yaml.safe_load(text)
    assert [*parsed] == ["checks for users"]
    assert len(parsed["checks for users"]) == len(found) == 3
    assert all(f"  # {each.why}\n" in text for each in found)
    assert parsed["checks for users"][0] == "row_count > 0"
