"""The overview: what the ledger tells, and what waits in the broker's queues."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.ledger import overview as ledger
from atlas.settings import Settings
from atlas.sync.queues import queues


def overview(engine: sa.Engine, settings: Settings) -> dict[str, Any]:
    """All that the first page shows: :func:`atlas.ledger.overview.overview` and ``queues``
    (:func:`atlas.sync.queues.queues`).

    Raises:
        sqlalchemy.exc.SQLAlchemyError: PostgreSQL cannot be asked.
    """
    with engine.connect() as conn:
        found = ledger.overview(conn)
    return {**found, "queues": queues(settings)}
