"""Doing one stage: claim it, keep the claim alive, run it, and write down how it ended.

Celery's tasks call this and nothing else; a test may call it without Celery.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Iterator

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atlas.errors import AtlasError, LostClaim, TerminalError, TransientError
from atlas.ledger import claims, outbox, state
from atlas.ledger.claims import Claim, Found
from atlas.ledger.database import classify
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages.work import Work, begin, finish, postpone
from atlas.sync import dispatch

log = logging.getLogger(__name__)


def perform(
    engine: sa.Engine,
    settings: Settings,
    stage: Stage,
    *,
    run_id: str | None = None,
    run_stream_id: int | None = None,
) -> Found:
    """Work on a stage if it is there to be worked on.

    Returns:
        DONE when it has succeeded, now or before: what follows it may go on. HELD when somebody
        else has it or it is to be tried again later. STOPPED when nothing is to follow.

    Raises:
        TransientError: PostgreSQL cannot be reached, so that nothing is known; recovery will see
            to the stage.
    """
    try:
        claim = claims.claim(
            engine,
            stage,
            run_id=run_id,
            run_stream_id=run_stream_id,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            lease=settings.lease_seconds,
            max_attempts=settings.max_attempts,
        )
        if isinstance(claim, Found):
            return claim
        return _work(engine, settings, claim)
    except LostClaim as error:
        log.warning("%s: what was not committed is left to the new holder", error)
        return Found.HELD
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise classify(error, _where(engine)) from error


def _where(engine: sa.Engine) -> str:
    return engine.url.render_as_string()


def _work(engine: sa.Engine, settings: Settings, claim: Claim) -> Found:
    work = Work(
        claim=claim,
        engine=engine,
        settings=settings,
        wake=lambda ids: dispatch.try_deliver(engine, ids),
    )
    started = time.monotonic()
    log.info("stage %s of run %s: attempt %d", claim.stage, claim.run_id, claim.attempt)
    with _lease(engine, settings, work):
        try:
            with work.transaction() as conn:
                begin(conn, settings, claim)
            module = importlib.import_module(f"atlas.stages.{claim.stage.value}")
            module.run(work)
        except LostClaim:
            raise
        except Exception as error:  # noqa: BLE001 - the one place where any failure is recorded
            return _failed(engine, settings, claim, _as_ours(error, _where(engine)))
    log.info(
        "stage %s of run %s: %s in %.1f s",
        claim.stage,
        claim.run_id,
        work.ended,
        time.monotonic() - started,
    )
    return Found.DONE if work.ended is Status.SUCCEEDED else Found.STOPPED


def _as_ours(error: Exception, url: str) -> AtlasError:
    if isinstance(error, AtlasError):
        return error
    if isinstance(error, SQLAlchemyError | psycopg2.Error):
        return classify(error, url)
    # Its message may hold a value of a row: only its kind and place are told.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    log.error("unexpected %s at %s", type(error).__name__, place)
    return TerminalError(
        f"internal error ({type(error).__name__}): the worker's log names the place; "
        "please report it"
    )


def _failed(engine: sa.Engine, settings: Settings, claim: Claim, error: AtlasError) -> Found:
    message = str(error)
    if isinstance(error, TransientError):
        cap = min(settings.max_attempts, error.max_attempts or settings.max_attempts)
        if claim.attempt < cap:
            delay = retry_delay(settings, claim.attempt)
            with claims.transaction(engine, claim) as conn:
                postpone(conn, settings, claim, delay=delay, error=message)
                if claim.run_stream_id is None:
                    outbox.put(conn, "run", claim.run_id, delay=delay)
                else:
                    outbox.put(conn, "stream", str(claim.run_stream_id), delay=delay)
            log.warning(
                "stage %s of run %s: %s; attempt %d follows in %.0f s",
                claim.stage,
                claim.run_id,
                message,
                claim.attempt + 1,
                delay,
            )
            return Found.HELD
        message = f"{message} (after {claim.attempt} attempts)"
    log.error("stage %s of run %s failed: %s", claim.stage, claim.run_id, message)
    with claims.transaction(engine, claim) as conn:
        if claim.stage is Stage.EXPLORE:
            claims.fail_unexplored(conn, claim.run_id, message)
            state.remember(conn, claim.run_id)
        finish(conn, settings, claim, Status.FAILED, error=message)
    return Found.STOPPED


def retry_delay(settings: Settings, attempt: int) -> float:
    """Seconds before the attempt after ``attempt``: doubling, bounded, and spread by a quarter so
    that many failures of one cause do not come back at one moment."""
    delay: float = min(settings.retry_base_seconds * 2 ** (attempt - 1), settings.retry_max_seconds)
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


@contextlib.contextmanager
def _lease(engine: sa.Engine, settings: Settings, work: Work) -> Iterator[None]:
    """Renew the claim from a thread, which dies with the process, until the block ends."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(settings.lease_seconds / 3):
            try:
                held = claims.renew(engine, work.claim, settings.lease_seconds)
            except (SQLAlchemyError, psycopg2.Error) as error:
                # Not lost yet: the fence decides at the next commit.
                log.warning(
                    "lease of stage %s: %s", work.claim.stage, classify(error, _where(engine))
                )
                continue
            if not held and not ended.is_set() and work.ended is None:
                claim = work.claim
                log.warning("stage %s of run %s was taken over", claim.stage, claim.run_id)
                work.lose()
                return

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
