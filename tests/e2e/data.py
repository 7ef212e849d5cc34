"""A small world of rows to sync: people, orders; and what a layer holds of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Atlas

STREAM = {
    "schema": {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "integer"},
            "email": {"type": ["null", "string"]},
            "city_code": {"type": ["null", "string"]},
            "amount": {"type": ["null", "number"]},
            "updated_at": {"type": "string", "format": "date-time"},
        },
    },
    "primary_key": [["id"]],
    "cursor_field": ["updated_at"],
    "supports_incremental": True,
}


def row(number: int, minute: int, *, amount: Any = 1.5, code: str | None = "A1") -> dict[str, Any]:
    """A person's order; ``minute`` is when the source changed it last."""
    return {
        "id": number,
        "email": f"person{number}@example{number % 7}.org",
        "city_code": code,
        "amount": amount,
        "updated_at": f"2026-01-01T{minute // 60:02d}:{minute % 60:02d}:00Z",
    }


def write(path: Path, *rows: dict[str, Any], stream: str = "orders", **more: Any) -> Path:
    """The source's rows from now on."""
    path.write_text(json.dumps({"streams": {stream: {**STREAM, "records": rows, **more}}}))
    return path


def history(atlas: Atlas, table: str) -> list[Any]:
    """The history by key and time, with times as the number of the run that set them."""
    runs = {
        stamp: number
        for number, (stamp,) in enumerate(
            atlas.rows(
                "SELECT extracted_at FROM pipeline.run WHERE connection = :c ORDER BY seq",
                c=table.removesuffix("_orders"),
            ),
            1,
        )
    }
    return [
        (key, amount, runs[since], until and runs[until], current)
        for key, amount, since, until, current in atlas.rows(
            "SELECT id, CAST(amount AS text), valid_from, valid_to, is_current"
            f" FROM navigate.{table} ORDER BY id, valid_from"
        )
    ]


def layers(atlas: Atlas, connection: str, stream: str = "orders") -> dict[str, Any]:
    """All that a sync leaves in the layers and the ledger, without ids and times of its own."""
    table = f"{connection}_{stream}"
    own = "id, email, city_code, amount, updated_at"
    return {
        "explore": atlas.rows(f"SELECT CAST(data AS text) FROM explore.{table}_raw ORDER BY 1"),
        "chart": atlas.rows(f"SELECT {own}, _atlas_row_hash FROM chart.{table} ORDER BY id"),
        "navigate": atlas.rows(
            f"SELECT {own}, is_current, valid_to IS NULL, _atlas_row_hash"
            f" FROM navigate.{table} ORDER BY id, valid_from"
        ),
        "state": atlas.rows(
            "SELECT s.stream, s.type, s.state->'stream'->'stream_state'->>'cursor'"
            " FROM pipeline.connector_state s"
            " JOIN pipeline.connection c ON c.id = s.connection_id WHERE c.name = :c ORDER BY 1",
            c=connection,
        ),
        "findings": atlas.rows(
            "SELECT f.column_name, f.path, f.entity_type, f.operator FROM pipeline.finding f"
            " JOIN pipeline.run_stream s ON s.id = f.run_stream_id"
            " JOIN pipeline.run r ON r.id = s.run_id WHERE r.connection = :c ORDER BY 1, 2",
            c=connection,
        ),
        "checks": atlas.rows(
            "SELECT k.name, k.outcome, k.score FROM pipeline.check_result k"
            " JOIN pipeline.run_stream s ON s.id = k.run_stream_id"
            " JOIN pipeline.run r ON r.id = s.run_id WHERE r.connection = :c ORDER BY 1",
            c=connection,
        ),
        "staging": atlas.rows(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'pipeline'"
            " AND tablename LIKE 'staging%' ORDER BY 1"
        ),
    }
