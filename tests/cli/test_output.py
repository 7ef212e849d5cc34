"""Tables for people: what stands in a cell can be copied."""

from __future__ import annotations

import pytest

from atlas.cli.output import table


def test_what_is_nested_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    table(["", ""], [["streams", {"users": {"key": [["id"]], "checks": None}}]])
    assert '{"users": {"key": [["id"]], "checks": null}}' in capsys.readouterr().out
