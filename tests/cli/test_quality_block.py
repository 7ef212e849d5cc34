"""The block ``quality`` of a connections file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import UsageError
from atlas.model.checks import Dimension, OnFailure
from atlas.model.quality import Quality
from atlas.model.stream import StreamKey
from atlas.sync import connections_file
from atlas.sync.quality_block import quality

CHECKS = "checks for users:\n  - row_count > 0\n"


def _block(value: Any, base: Path | None = None) -> Quality:
    return quality(value, "connection shop", base, ["users", "orders"])


def test_all_of_it_and_back(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(CHECKS)
    (tmp_path / "b.yml").write_text(CHECKS.replace("0", "1"))
    made = _block(
        {
            "on_failure": "warn",
            "checks": "a.yml",
            "max_quarantined": 0.5,
            "freshness": "1d",
            "weights": {"timeliness": 0},
            "streams": {
                "users": {
                    "on_failure": "block",
                    "checks": "b.yml",
                    "max_quarantined": 0,
                    "freshness": "2h",
                    "gates": {"validity.email": "quarantine"},
                },
                "orders": None,
            },
        },
        tmp_path,
    )
    assert made.weights == {Dimension.TIMELINESS: 0}
    users, orders = made.of(StreamKey("users")), made.of(StreamKey("orders"))
    assert users.on_failure is OnFailure.BLOCK
    assert orders.on_failure is OnFailure.WARN
    assert (users.max_quarantined, orders.max_quarantined) == (0, 0.5)
    assert (users.freshness, orders.freshness) == (timedelta(hours=2), timedelta(days=1))
    assert users.gates == {"validity.email": OnFailure.QUARANTINE}
    assert [key for key, _ in users.checks] == ["quality.checks", "quality.streams.users.checks"]
    assert Quality.restore(made.document()) == made


def test_a_connection_that_asks_nothing_is_stored_as_ever() -> None:
    assert _block(None).document() == {"on_failure": "quarantine", "checks": None}


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"max_quarantined": 2}, "quality.max_quarantined must be a share"),
        ({"max_quarantined": True}, "must be a share"),
        ({"freshness": "soon"}, "quality.freshness must be at least 10s"),
        ({"weights": {"validty": 1}}, "did you mean validity?"),
        ({"weights": {"validity": -1}}, "quality.weights must be numbers"),
        ({"weights": dict.fromkeys(Dimension, 0)}, "must be more than 0"),
        ({"streams": {"user": {}}}, "there is no stream user (there are orders, users)"),
        ({"streams": ["users"]}, "quality.streams must be a mapping"),
        ({"streams": {"users": {"gate": {}}}}, "did you mean gates?"),
        ({"streams": {"users": {"gates": {"a": "stop"}}}}, "gates: a must be block"),
        ({"streams": {"users": {"weights": {}}}}, "unknown key 'weights'"),
        (
            {"streams": {"users": {"checks": CHECKS.replace("users", "orders")}}},
            "quality.streams.users.checks: line 1: there is no stream orders",
        ),
    ],
)
def test_what_is_wrong_is_named(block: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        _block(block)
    assert str(caught.value).startswith("connection shop: quality")
    assert told in str(caught.value)


def test_streams_that_go_are_missed() -> None:
    document = {
        "name": "shop",
        "connector": "source-faker",
        "streams": ["users"],
        "quality": {"streams": {"users": {"max_quarantined": 0.1}}},
    }
    before = connections_file.from_document(document)
    with pytest.raises(UsageError, match="there is no stream users"):
        connections_file.changed(before, {"streams": ["orders"]})
