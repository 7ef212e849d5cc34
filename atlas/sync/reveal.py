"""Reading what operator ``encrypt`` made: who does it, of what and why is written down first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import audit, datasets
from atlas.ledger.secrets import derive, keys
from atlas.pii.sealing import Sealing

MOST = 100
"""Values at once."""

_LONGEST = 1000


def reveal(
    conn: sa.Connection,
    secret: bytes,
    name: str,
    column: str,
    values: Sequence[str],
    *,
    actor: str,
    why: str,
) -> list[str]:
    """The values as they were before they were encrypted; an entry of the audit trail says so. The
    transaction must be committed before they are shown to anybody.

    Args:
        name: the dataset that they are from.
        column: its column.
        values: what stands there, each with something encrypted in it.
        actor: who wants to know.
        why: the reason, for others to read.

    Raises:
        NotFound: there is no such dataset or column.
        UsageError: a value was not encrypted by this database; nothing is said of any then.
        WrongSecretKey: as it says.
    """
    connection, stream = datasets.find(conn, name)
    datasets.has_column(conn, connection, stream, column)
    why = " ".join(why.split())
    if not why or len(why) > _LONGEST:
        raise UsageError(f"say why, in up to {_LONGEST} characters: others will read it")
    if not 0 < len(values) <= MOST:
        raise UsageError(f"values: give 1 to {MOST} at once")
    sealing = Sealing(derive(keys(conn, secret).identity, "encrypt"))
    found = [sealing.open(value) for value in values]
    audit.put(
        conn,
        actor,
        "pii.decrypt",
        f"{name}.{column}",
        {"why": why, "count": len(values), "values": [_mark(value) for value in values]},
    )
    return found


def _mark(value: str) -> str:
    """Which value it was, for whoever has it; it says nothing of what is in it."""
    return hashlib.sha256(value.encode()).hexdigest()[:16]
