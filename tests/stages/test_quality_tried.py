"""What is asked of data is refused before it is stored, where it can be known to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import runs
from atlas.ledger.tables import run, stage_run
from atlas.model.checks import OnFailure
from atlas.model.quality import Quality, StreamQuality
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.quality.soda import SodaHost
from atlas.stages import ORDER
from atlas.sync.quality_tried import try_out
from tests.stages import pipeline
from tests.stages.conftest import Source

ROWS = [{"id": n, "price": n, "updated_at": f"2026-01-0{n}"} for n in range(1, 4)]
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "price": {"type": "number"},
        "updated_at": {"type": "string"},
    },
}


@pytest.fixture
def synced(shop: Source, database_url: str) -> Source:
    pipeline.ready(shop, database_url)
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {"users": ROWS}
    pipeline.sync(shop)
    return shop


def _try(shop: Source, checks: str | None = None, **of_users: Any) -> None:
    streams = {"users": StreamQuality(**of_users)} if of_users else {}
    _try_all(shop, Quality(checks=checks, streams=streams))


def _try_all(shop: Source, quality: Quality) -> None:
    shop.quality = quality
    with shop.engine.begin() as conn:
        try_out(conn, shop.settings, shop.connection)


GOOD = """\
checks for users:
  - row_count > 0
  - avg(price) between 1 and 2
  - missing_count(price) = 0
  - failed rows:
      fail query: SELECT * FROM users WHERE 1 / id = 0
"""


def test_what_can_be_evaluated_is_taken(synced: Source) -> None:
    _try(synced, GOOD, gates={"completeness.id": OnFailure.BLOCK, "avg(price) between 1 and 2": W})
    # Names that only later runs, or runs of another kind, have.
    names = ["completeness.usual_rows", "completeness.price.usual_missing", "completeness.table"]
    _try(synced, gates=dict.fromkeys(names, OnFailure.BLOCK))


W = OnFailure.WARN


WRONG = [
    ("missing_count(prize) = 0", 3, 'column "prize" does not exist'),
    ("row_count is 3", 3, "row_count"),
    ("failed rows:\n      fail condition: price >", 3, "syntax error"),
    ("failed rows:\n      fail condition: price > 1 / 0", 3, "DivisionByZero"),
    ("failed rows:\n      fail query: SELECT setval('x', 1)", 3, "does not exist"),
    ("failed rows:\n      fail query: DELETE FROM users", 3, "syntax error"),
    ("failed rows:\n      fail query: SELECT * FROM other", 3, "does not exist"),
    ("invalid_count(id) = 0:\n      valid regexp: a", 4, "valid regexp"),
]


def test_what_cannot_is_refused_with_its_line(synced: Source) -> None:
    for number, (check, line, told) in enumerate(WRONG):
        text = f"checks for users:\n  - row_count > 0\n  - {check}\n"
        own = StreamQuality(checks=text, gates={"row_count > 0": W})
        origin, asked = (
            ("quality.checks", Quality(checks=text)),
            ("quality.streams.users.checks", Quality(streams={"users": own})),
        )[number % 2]
        with pytest.raises(UsageError) as caught:
            _try_all(synced, asked)
        assert f"connection shop: {origin}, line {line}: " in str(caught.value)
        assert told in str(caught.value)


def test_each_stream_of_a_name_is_tried(synced: Source) -> None:
    schema = {"properties": {"id": {"type": "integer"}, "amount": {"type": "number"}}}
    other = ConfiguredStream(StreamKey("users", "other"), schema, SyncMode.FULL_REFRESH)
    with synced.engine.begin() as conn:
        run_id = conn.execute(sa.select(run.c.id)).scalar_one()
        runs.add_streams(conn, run_id, [(other, True)], ORDER)
        conn.execute(sa.update(stage_run).values(status="succeeded"))
    _try(synced, "checks for users:\n  - avg(id) between 1 and 2\n")
    for of_one_alone in ("price", "amount"):
        with pytest.raises(UsageError, match=of_one_alone):
            _try(synced, f"checks for users:\n  - avg({of_one_alone}) between 1 and 2\n")


def test_a_gate_of_no_check_is_refused(synced: Source) -> None:
    with pytest.raises(UsageError, match=r"validity\.typs is no check .* validity\.types"):
        _try(synced, gates={"validity.typs": OnFailure.BLOCK})


def test_before_the_first_run_checks_are_only_read(shop: Source, database_url: str) -> None:
    pipeline.ready(shop, database_url)
    _try(shop, GOOD.replace("price", "whatever"), gates={"nonsense": W})
    with pytest.raises(UsageError, match=r"quality\.checks, line 2: "):
        _try(shop, "checks for users:\n  - row_count is 3\n")


def test_what_is_stored_is_not_tried_again(synced: Source, monkeypatch: Any) -> None:
    synced.quality = Quality(checks=GOOD)
    synced.apply()
    monkeypatch.setattr(SodaHost, "_start", lambda _: pytest.fail("Soda was started"))
    with synced.engine.begin() as conn:
        try_out(conn, synced.settings, synced.connection)
