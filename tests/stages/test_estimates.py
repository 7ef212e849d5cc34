"""What a source expects becomes per cent of what it has sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from atlas.ledger import run_documents
from tests.stages.conftest import Source, row


def _stream(shop: Source, run_id: str) -> tuple[Any, Any]:
    with shop.engine.begin() as conn:
        [stream] = run_documents.document(conn, run_id)["streams"]
    return stream["estimated_rows"], stream["percent"]


def test_while_it_is_read_and_at_its_end(shop: Source) -> None:
    shop.rows = {"users": [row(n, n) for n in range(1, 9)]}
    marker = str(shop.directory / "failed")
    shop.options = {"estimates": True, "state_every": 2, "exclusive": True}
    shop.options |= {"fail_after": 6, "fail_once_marker": marker}
    run_id = shop.begin()
    shop.attempt(run_id)
    assert _stream(shop, run_id) == (8, 75)
    with shop.engine.begin() as conn:
        for table in ("run", "stage_run", "run_stream"):
            conn.exec_driver_sql(f"UPDATE pipeline.{table} SET status = 'queued'")
    # It goes on: two are left, and the six that stand are not sent again.
    assert shop.attempt(run_id) is None
    assert _stream(shop, run_id) == (8, 100)


def test_without_an_estimate_nobody_knows(shop: Source) -> None:
    shop.rows = {"users": [row(1, 1), row(2, 2)]}
    shop.options = {"state_every": 1, "fail_after": 1}
    run_id = shop.begin()
    shop.attempt(run_id)
    assert _stream(shop, run_id) == (None, None)


def test_more_than_expected_is_not_the_end(shop: Source) -> None:
    shop.rows = {"users": [row(n, n) for n in range(1, 5)]}
    line = (
        '{"type": "TRACE", "trace": {"type": "ESTIMATE", "emitted_at": 1, "estimate":'
        ' {"name": "users", "type": "STREAM", "row_estimate": 2}}}'
    )
    shop.options = {"raw_lines": [line], "raw_lines_after": 0, "state_every": 1, "fail_after": 3}
    run_id = shop.begin()
    shop.attempt(run_id)
    assert _stream(shop, run_id) == (2, 99)


def test_without_a_state_it_is_told_with_the_rows(shop: Source) -> None:
    shop.settings = replace(shop.settings, buffer_bytes=1)
    shop.rows = {"users": [row(n, n) for n in range(1, 5)]}
    shop.options = {"estimates": True, "emit_state": False, "fail_after": 3}
    run_id = shop.begin()
    shop.attempt(run_id)
    assert _stream(shop, run_id) == (4, 75)
