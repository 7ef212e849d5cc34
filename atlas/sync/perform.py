"""Doing one stage, or one part of one: claim it, keep the claim alive, run it, write down how it
ended.

Celery's tasks call this and nothing else; a test may call it without Celery.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atlas import logs, traces
from atlas.errors import NO_ROOM, AtlasError, LostClaim, TerminalError, TransientError
from atlas.ledger import claims, ends, outbox, parts, runs, state
from atlas.ledger.claims import Claim, Found
from atlas.ledger.database import classified, classify
from atlas.ledger.parts import Part, PartStatus
from atlas.ledger.traced import attempt_id, of_part
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.stages.work import PartWork, Work, at_work, begin, finish, hand_back, postpone
from atlas.sync import dispatch
from atlas.sync.lease import kept
from atlas.sync.slots import Slots

log = logging.getLogger(__name__)

ROUNDS = 20
"""Times ``max_attempts`` that a stage may be begun: for an outage, or however often it got on."""


_OUTAGE_DELAY = 10.0


def perform(
    engine: sa.Engine,
    settings: Settings,
    stage: Stage,
    *,
    run_id: str | None = None,
    run_stream_id: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Found:
    """Work on a stage if it is there to be worked on.

    Args:
        stopping: whether this worker is to stop; then the work is ended soon, or handed back.

    Returns:
        DONE when it has succeeded, now or before: what follows it may go on. HELD when somebody
        else has it or it is to be tried again later. STOPPED when nothing is to follow.

    Raises:
        TransientError: PostgreSQL cannot be reached, so that nothing is known; recovery will see
            to the stage.
    """
    try:
        with contextlib.ExitStack() as stack:
            slot = None
            if stage is Stage.EXPLORE:
                slot = slots(os.getpid(), settings), str(uuid.uuid4())
                if not slot[0].take(slot[1]):
                    return wait_for_slot(engine, run_id)
                stack.callback(slot[0].release, slot[1])
            claim = claims.claim(
                engine,
                stage,
                run_id=run_id,
                run_stream_id=run_stream_id,
                holder=holder_name(),
                lease=settings.lease_seconds,
                max_attempts=settings.max_attempts,
            )
            if isinstance(claim, Found):
                return claim
            ids = {"run": claim.run_id, "stage": claim.stage.value, "attempt": claim.attempt}
            stack.enter_context(logs.about(**ids))
            known = attempt_id(claim.run_id, claim.stage_run_id, claim.since)
            stack.enter_context(traces.under(claim.run_id, known))
            return _work(engine, settings, claim, stopping, slot)
    except LostClaim as error:
        log.warning("%s: what was not committed is left to the new holder", error)
        return Found.HELD
    except (SQLAlchemyError, psycopg2.Error) as error:
        raise classify(error, _where(engine)) from error


@functools.cache
def slots(pid: int, settings: Settings) -> Slots:
    """The connectors' slots, as process ``pid`` reaches them."""
    # One a process: connections must not be inherited over a fork.
    return Slots(settings)


def wait_for_slot(engine: sa.Engine, run_id: str | None) -> Found:
    """All connectors that may run do: ask again soon, and leave this process to others.

    Not where another message of the run is on its way: where many runs wait, messages wait for
    long and are sent again, and if each brought the next there would be ever more of them.
    """
    with engine.begin() as conn:
        if not outbox.taken_up(conn, str(run_id)):
            outbox.put(conn, "run", str(run_id), delay=random.uniform(1.0, 3.0))  # noqa: S311
    return Found.HELD


def perform_part(
    engine: sa.Engine, settings: Settings, *, stopping: Callable[[], bool] = lambda: False
) -> bool:
    """Work on the part of a stream that is next, and on those that only this process masks fast;
    whether there was one.

    Raises:
        TransientError: PostgreSQL cannot be reached; recovery will see to the part.
    """
    part = _take_part(engine, settings)
    if part is None:
        return False
    while part is not None:
        masks = part.status is PartStatus.TO_MASK
        try:
            with (
                logs.about(stage=Stage.PII.value, part=part.position),
                _traced(engine, part),
            ):
                _work_part(engine, settings, part, stopping)
        except LostClaim as error:
            log.warning("%s: it is left to the new holder", error)
        except (SQLAlchemyError, psycopg2.Error) as error:
            raise classify(error, _where(engine)) from error
        part = _take_part(engine, settings, own=True) if masks and not stopping() else None
    return True


@contextlib.contextmanager
def _traced(engine: sa.Engine, part: Part) -> Iterator[None]:
    """The work on a part as a span, below that of its stage."""
    where = of_part(engine, part.run_stream_id)
    if where is None:
        yield
        return
    done = "mask" if part.status is PartStatus.TO_MASK else "study"
    about = {"atlas.part": part.position, "atlas.rows": part.segment.rows}
    with traces.under(*where), traces.span(f"{done} part", about):
        yield


def _take_part(engine: sa.Engine, settings: Settings, *, own: bool = False) -> Part | None:
    with classified(_where(engine)):
        return parts.claim(
            engine,
            holder=holder_name(),
            lease=settings.lease_seconds,
            max_attempts=settings.max_attempts,
            own=own,
        )


def holder_name() -> str:
    """What this process is called in the ledger."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _where(engine: sa.Engine) -> str:
    return engine.url.render_as_string()


def _work(
    engine: sa.Engine,
    settings: Settings,
    claim: Claim,
    stopping: Callable[[], bool],
    slot: tuple[Slots, str] | None,
) -> Found:
    work = Work(claim, engine, settings, lambda ids: dispatch.try_deliver(engine, ids))
    started = time.monotonic()
    name = f"stage {claim.stage} of run {claim.run_id}"
    log.info("%s: attempt %d", name, claim.attempt)

    told = False

    def renew() -> bool:
        nonlocal told
        if slot is not None:
            slot[0].renew(slot[1])
        renewed = claims.renew(engine, claim, settings.lease_seconds)
        if renewed and not told:
            told = at_work(engine, settings, claim)
        return renewed or bool(work.ended) or work.parked

    with kept(
        work,
        name,
        renew=renew,
        held=lambda: claims.held(engine, claim) or bool(work.ended) or work.parked,
        hand_back=lambda: _hand_back(engine, settings, claim),
        stopping=stopping,
        halts=claim.stage is Stage.EXPLORE,
    ):
        try:
            with work.transaction() as conn:
                begin(conn, settings, claim)
            module = importlib.import_module(f"atlas.stages.{claim.stage.value}")
            module.run(work)
        except LostClaim:
            raise
        except Exception as error:
            if work.lost:
                raise LostClaim(f"{name} is no longer this worker's") from error
            if work.halting:
                _hand_back(engine, settings, claim)
                return Found.HELD
            return _failed(engine, settings, claim, as_ours(error, _where(engine)))
    if work.parked:
        log.info("%s: parked until its parts are done", name)
        return Found.HELD
    log.info("%s: %s in %.1f s", name, work.ended, time.monotonic() - started)
    return Found.DONE if work.ended is Status.SUCCEEDED else Found.STOPPED


def _hand_back(engine: sa.Engine, settings: Settings, claim: Claim) -> None:
    with claims.transaction(engine, claim) as conn:
        hand_back(conn, settings, claim)
        message = _message(conn, claim)
    dispatch.try_deliver(engine, [message])


def _message(conn: sa.Connection, claim: Claim, delay: float = 0.0) -> int:
    """Have the stage's message sent again."""
    if claim.run_stream_id is None:
        return outbox.put(conn, "run", claim.run_id, delay=delay)
    return outbox.put(conn, "stream", str(claim.run_stream_id), delay=delay)


def _work_part(
    engine: sa.Engine, settings: Settings, part: Part, stopping: Callable[[], bool]
) -> None:
    from atlas.stages import pii  # loads models

    work = PartWork(
        part, holder_name(), engine, settings, lambda ids: dispatch.try_deliver(engine, ids)
    )
    name = f"part {part.position} of stream {part.run_stream_id}"
    started = time.monotonic()

    def give_back(delay: float = 0.0, error: str | None = None, *, failed: bool = False) -> None:
        with engine.begin() as conn:
            messages = parts.give_back(conn, part, delay=delay, error=error, failed=failed)
        dispatch.try_deliver(engine, messages)

    with kept(
        work,
        name,
        renew=lambda: parts.renew(engine, part, settings.lease_seconds) or work.done,
        held=lambda: parts.held(engine, part) or work.done,
        hand_back=give_back,
        stopping=stopping,
    ):
        try:
            pii.run_part(work)
        except LostClaim:
            raise
        except Exception as cause:
            if work.lost:
                raise LostClaim(f"{name} is no longer this worker's") from cause
            error = as_ours(cause, _where(engine))
            again = part.failures + 1 < settings.max_attempts
            if isinstance(error, TransientError) and (again or error.outage):
                delay = retry_delay(settings, part.failures + 1, outage=error.outage)
                give_back(delay, str(error), failed=not error.outage)
                log.warning("%s: %s; it is tried again in %.0f s", name, error, delay)
                return
            _part_failed(engine, settings, part, error)
            return
    log.info("%s: %s, %.1f s", name, part.status, time.monotonic() - started)


def _part_failed(engine: sa.Engine, settings: Settings, part: Part, error: AtlasError) -> None:
    """A part that cannot be done fails its stage; one that has yet to begin tries it again."""
    log.error("part %d of stream %d failed: %s", part.position, part.run_stream_id, error)
    with engine.begin() as conn:
        # Its row is locked before it is seen whether the part is still ours.
        stage = claims.lock_unended(conn, part.run_stream_id, Stage.PII)
        if stage is None or not parts.is_held(conn, part):
            raise LostClaim(f"a part of stream {part.run_stream_id} is no longer this worker's")
        stage_run_id, parked = stage
        if not parked:
            parts.spoil(conn, part, error=str(error), max_attempts=settings.max_attempts)
            return
        claim = claims.seize(conn, stage_run_id, holder_name())
        if claim is not None:
            finish(conn, settings, claim, Status.FAILED, error=str(error))


def as_ours(error: Exception, url: str) -> AtlasError:
    """``error`` as one of Atlas's, in words that hold no value."""
    if isinstance(error, AtlasError):
        return error
    if isinstance(error, SQLAlchemyError | psycopg2.Error):
        return classify(error, url)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return TransientError(
            f"a disk of host {socket.gethostname()} is full: free space there, below ATLAS_HOME "
            "first (`atlas doctor` says where)",
            outage=True,
        )
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
        with claims.transaction(engine, claim) as conn:
            # What is to be tried so many times is not tried oftener for having got on.
            ever = error.max_attempts is not None
            failed = claims.failures(conn, claim, error.cause, ever=ever) + 1
            most = ROUNDS * settings.max_attempts * (1 + runs.get(conn, claim.run_id).retries)
            cap = min(settings.max_attempts, error.max_attempts or settings.max_attempts)
            again = failed < (most if error.outage else cap) and claim.attempt < most
            if again:
                delay = retry_delay(settings, failed, outage=error.outage)
                postpone(conn, settings, claim, delay=delay, error=message, cause=error.cause)
                _message(conn, claim, delay)
        if again:
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
            ends.fail_unexplored(conn, claim.run_id, message)
            state.remember(conn, claim.run_id)
        finish(conn, settings, claim, Status.FAILED, error=message)
    return Found.STOPPED


def retry_delay(settings: Settings, attempt: int, *, outage: bool = False) -> float:
    """Seconds before the attempt after ``attempt``: doubling, bounded, and spread by a quarter so
    that many failures of one cause do not come back at one moment. An outage is bounded closely,
    for work is to move soon after its end."""
    longest = min(settings.retry_max_seconds, _OUTAGE_DELAY if outage else float("inf"))
    delay: float = min(settings.retry_base_seconds * 2 ** (min(attempt, 30) - 1), longest)
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
