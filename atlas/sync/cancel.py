"""Cancelling a run: over at once in the ledger, and then wherever it is being worked on."""

from __future__ import annotations

import itertools
import logging

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from atlas import traces
from atlas.errors import RunEnded
from atlas.ledger import audit, ends, runs, state
from atlas.ledger.database import classified
from atlas.settings import Settings
from atlas.stages.work import cancelled, drop_staging, gave_way

log = logging.getLogger(__name__)

_ATTEMPTS = 100


def cancel(engine: sa.Engine, settings: Settings, run_id: str, *, actor: str) -> None:
    """End an active run as ``cancelled``; what it has committed stays.

    From here on no worker can write for it. Each notices within a second or so, and ends its
    connector and its statements. The connection is free for the next run. ``actor`` is who does it,
    for the audit log.

    Raises:
        NotFound: there is no such run. RunEnded: it has ended.
        TransientError: PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()):
        for attempt in itertools.count(1):
            try:
                with engine.begin() as conn:
                    run = runs.get(conn, run_id)
                    run_id = run.id
                    ended, stages = ends.cancel_run(conn, run_id)
                    if ended is not None:
                        raise RunEnded(run_id, ended.value)
                    state.remember(conn, run_id)
                    cancelled(conn, settings, run_id, stages)
                    audit.put(conn, actor, "run.cancel", run.connection, {"run_id": run_id})
                break
            except (DBAPIError, psycopg2.Error) as error:
                # A worker that commits locks in another order, and this one yields.
                if not gave_way(error) or attempt == _ATTEMPTS:
                    raise
        log.info("run %s: cancelled", run_id)
        traces.join(run_id)
        try:
            _tidy_up(engine, run_id)
        except (SQLAlchemyError, psycopg2.Error):
            log.info("run %s: its staging tables are still in use; recovery drops them", run_id)


def _tidy_up(engine: sa.Engine, run_id: str) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
        drop_staging(conn, runs.stream_ids(conn, run_id))
