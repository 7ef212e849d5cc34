"""Numbers that PostgreSQL cannot hold end no run."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from atlas.connectors.repair import unstorable
from tests.stages.conftest import Source, row


@pytest.mark.parametrize(
    ("data", "mended"),
    [
        ('{"a": 1e200000}', '{"a": "1e200000"}'),
        (
            '{"a": -1.5E-20000, "b": [1e999999999999]}',
            '{"a": "-1.5E-20000", "b": ["1e999999999999"]}',
        ),
        ('{"a": 1e131071, "b": 0.1e-16382}', None),
        ('{"a": 0.00001e131076, "b": 0e200000}', None),
        ('{"a": 0.00001e131077}', '{"a": "0.00001e131077"}'),
        ('{"1e200000": "1e200000", "b\\"1e200000": 1}', None),
    ],
)
def test_only_what_is_too_large_is_mended(data: str, mended: str | None) -> None:
    found, repairs = unstorable(data.encode())
    assert found.decode() == (mended or data)
    assert (repairs > 0) == (mended is not None)


def _record(stream: str, data: str) -> str:
    return (
        f'{{"type": "RECORD", "record": {{"stream": "{stream}", "emitted_at": 1, "data": {data}}}}}'
    )


def test_the_run_goes_on_with_all_other_rows(shop: Source) -> None:
    schema: dict[str, Any] = {"properties": {"id": {"type": "integer"}, "n": {"type": "number"}}}
    shop.extra["users"] = {"schema": schema}
    shop.rows["users"] = [row(2, 2, n=1.5)]
    shop.options["raw_lines"] = [
        _record("users", '{"id": 1, "updated_at": "2026-01-01", "n": 1e200000}')
    ]
    shop.run()
    found = shop.column("SELECT data ->> 'n' FROM explore.shop_users_raw ORDER BY _atlas_id")
    assert found == ["1e200000", "1.5"]
    assert (
        shop.value("SELECT jsonb_typeof(data -> 'n') FROM explore.shop_users_raw LIMIT 1")
        == "string"
    )
    assert shop.value("SELECT repaired FROM pipeline.run") == 1


@pytest.mark.parametrize(
    "number",
    [
        *("1e131071", "1e131072", "9.9e131071", "0.00001e131076", "0.00001e131077"),
        *("1e-16383", "1e-16384", "0.1e-16382", "0.1e-16383", "0e200000", "0.0e-20000"),
        *("0e999999999999", "1e-999999999999", "1e2147483648", "0e1073741823", "0e1073741824"),
    ],
)
def test_postgresql_is_of_the_same_opinion(engine: sa.Engine, number: str) -> None:
    data = f'{{"a": {number}}}'
    _, repairs = unstorable(data.encode())
    with engine.connect() as conn:
        stored = conn.execute(
            sa.text("SELECT pg_input_is_valid(:data, 'jsonb')"), {"data": data}
        ).scalar_one()
    assert stored == (repairs == 0)
