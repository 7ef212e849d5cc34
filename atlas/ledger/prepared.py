"""Statements that PostgreSQL reads and plans once a session: those that requests ask each time.

To plan one with several tables costs the server more than to carry it out. Such a statement is
known to the session, so it needs one that lasts: behind a pooler that changes sessions between
transactions, which Atlas does not run with anyway, it would not be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

_KNOWN = "atlas.prepared"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A statement that is prepared at its first use in each session.

    Attributes:
        prepare: ``PREPARE name (types) AS …``, with ``$1`` and so on for its values.
        execute: ``EXECUTE name (…)``, with the values bound.
    """

    prepare: sa.TextClause
    execute: sa.TextClause

    def run(self, conn: sa.Connection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """Carry it out with ``values``, in the caller's transaction."""
        # What is kept with a session goes with it, also when the pool opens another in its place.
        known: set[Prepared] = conn.info.setdefault(_KNOWN, set())
        if self not in known:
            try:
                conn.execute(self.prepare)
            except BaseException:
                # Interrupted, nobody knows whether the session has it; and twice it takes none.
                conn.invalidate()
                raise
            known.add(self)
        return conn.execute(self.execute, values)
