"""Filling a staging table: rows typed from the raw layer, beside their masked twins."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pyarrow as pa
from psycopg2 import extensions
from psycopg2.sql import SQL
from pyarrow import csv

from atlas.errors import TerminalError
from atlas.layers import database, staging
from atlas.layers.explore import within
from atlas.layers.hashing import hash_key
from atlas.layers.names import Tables
from atlas.layers.typing_step import Twin, insert
from atlas.model.stream import Column, Segment

__all__ = ["hash_key", "load_masked", "write"]


def write(
    cur: extensions.cursor,
    run_stream_id: int,
    tables: Tables,
    run_id: str | None,
    columns: tuple[Column, ...],
    segment: Segment,
    masked: pa.Table | None = None,
) -> int:
    """Type the rows of ``segment`` into the table.

    Args:
        run_id: of the run that read them; None: whichever did.
        columns: those the table was created with.
        masked: ``_atlas_id`` and, as texts, the masked columns, for each row of the segment.

    Returns: the number of rows.

    Raises:
        TerminalError: the raw rows or the masked ones are not all there.
    """
    database.settle(cur)
    twinned = staging.twins(cur, run_stream_id)
    if twinned:
        if masked is None or masked.num_rows != segment.rows:
            raise TerminalError(
                f"stream {tables.key}: {0 if masked is None else masked.num_rows} masked rows for "
                f"{segment.rows} raw ones; nothing is promoted unmasked"
            )
        load_masked(cur, masked, twinned)
    formerly = {
        column: now.formerly or now.type
        for column, now in database.existing(cur, "chart", tables.table).items()
    }
    rows = within(segment, run_id)
    cur.execute(insert(staging.table(run_stream_id), tables, rows, columns, twinned, formerly))
    written = cur.rowcount
    if twinned:
        cur.execute("DROP TABLE pg_temp._atlas_masked")
    if written != segment.rows:
        raise TerminalError(
            f"stream {tables.key}: {segment.rows} rows were read and {written} are there; "
            f"explore.{tables.raw} was changed while the run went on: sync again"
        )
    return written


def load_masked(cur: extensions.cursor, masked: pa.Table, twinned: Mapping[str, Twin]) -> None:
    """A temporary table of ``_atlas_id`` and, as texts ``m<n>``, the masked columns."""
    chosen = masked.select(["_atlas_id", *twinned])
    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_masked")
    cur.execute(
        SQL("CREATE TEMP TABLE _atlas_masked (_atlas_id bigint NOT NULL{}) ON COMMIT DROP").format(
            SQL("").join(SQL(", m{} text").format(SQL(str(n))) for n in range(len(twinned)))
        )
    )
    buffer = io.BytesIO()
    # all strings are quoted and nulls are bare, which is how COPY tells them apart
    csv.write_csv(chosen, buffer, csv.WriteOptions(include_header=False))
    buffer.seek(0)
    cur.copy_expert("COPY pg_temp._atlas_masked FROM STDIN (FORMAT csv)", buffer, size=1 << 20)
