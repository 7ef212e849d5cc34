"""Who holds work whose lease is alive."""

from __future__ import annotations

import sqlalchemy as sa

from atlas.ledger.tables import operation, scan_part, stage_run


def living(conn: sa.Connection, host: str) -> set[int]:
    """Pids of the processes on ``host`` that renewed their lease of a stage, of a part of a
    scan or of an operation in time."""
    now = sa.func.clock_timestamp()
    held = sa.union(
        *(
            sa.select(table.c.holder).where(
                table.c.holder.startswith(f"{host}:", autoescape=True), table.c.lease_until > now
            )
            for table in (stage_run, scan_part, operation)
        )
    )
    return {int(holder.rpartition(":")[2]) for holder in conn.execute(held).scalars()}
