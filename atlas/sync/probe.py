"""Whether workers work: a message through a queue of each one's own, a child of its pool, and back.

A worker's parent answers Celery's ``inspect ping`` although it no longer consumes, or though its
children are frozen. So the question goes the way that work goes, and the parent is asked only
where that brought no answer, to tell a pool that is full of living work from one that hangs.

No message expires by a clock, which a worker's host may have wrong: a worker's queue keeps few of
them and not for long, and an answer that nobody fetches goes by itself.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from celery.utils.nodenames import worker_direct
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisError

from atlas.errors import TransientError
from atlas.settings import Settings, redis_url
from atlas.sync.broker import app

TASK = "atlas.probe"

_KEPT = 10
"""Unanswered questions that a worker's queue keeps."""
_QUEUE_SECONDS = 600
"""How long they are kept when nobody asks any more."""
_ANSWER_SECONDS = 60
_PARENT_SECONDS = 5.0
"""How long a worker's parent may take to say what it does."""


class State(Enum):
    """What a worker was found to be."""

    CONSUMING = "consuming"
    BUSY = "busy"
    """Every process of its pool is at work that is alive."""
    DEAD = "dead"
    """Its process has ended."""
    SILENT = "silent"
    """Nobody answers."""
    DEAF = "deaf"
    """It lives and takes no messages."""
    STUCK = "stuck"
    """It takes messages, and its pool does not get on with them."""

    @property
    def healthy(self) -> bool:
        """Whether what is sent to its queue will be worked on."""
        return self in (State.CONSUMING, State.BUSY)


@dataclass(frozen=True, slots=True)
class _Parent:
    """What a worker's parent says: how many processes its pool has, what they are at, and what
    waits for one of them."""

    slots: int
    active: list[dict[str, Any]]
    reserved: list[dict[str, Any]]


def answer(settings: Settings, question: str, node: str) -> None:
    """The worker's side: say that a process of worker ``node`` works.

    Raises:
        TransientError: Redis does not answer.
    """
    with _redis(settings) as client, client.pipeline() as both:
        both.rpush(_key(question), node)
        both.expire(_key(question), _ANSWER_SECONDS)
        both.execute()


def ask(settings: Settings, nodes: Sequence[str], timeout: float) -> dict[str, State]:
    """The state of each worker, by its node name (``scan@host``).

    Args:
        timeout: seconds that an answer may take. Where there is none, the worker's parent and
            the ledger are asked, which may take another ten.

    Raises:
        TransientError: Redis does not answer, or PostgreSQL does not where it had to be asked, so
            that nothing is known.
    """
    with _redis(settings) as client:
        question = uuid.uuid4().hex
        for node in nodes:
            _send(client, question, node)
        answered = _collect(client, question, len(set(nodes)), timeout)
        silent = [node for node in nodes if node not in answered]
        states = dict.fromkeys(answered, State.CONSUMING)
        for node in _without_queue(sorted(answered)):
            states[node] = State.DEAF
        if silent:
            parents = _parents(silent)
            states |= {node: _judge(settings, node, parents.get(node)) for node in silent}
    return states


def _judge(settings: Settings, node: str, parent: _Parent | None) -> State:
    if parent is None:
        return State.SILENT
    # One that has taken the question had a process free for it.
    if any(task["name"] == TASK for task in [*parent.active, *parent.reserved]):
        return State.STUCK
    if len(parent.active) + len(parent.reserved) < parent.slots:
        return State.DEAF
    # Asked by few and slow to import.
    from atlas.ledger import holders
    from atlas.ledger.database import classified, shared

    engine = shared(settings)
    with classified(engine.url.render_as_string()), engine.connect() as conn:
        living = holders.living(conn, node.partition("@")[2])
    # A tick has no lease, nor has a stage in its first moment: it is given the time of one.
    begun = time.time() - settings.lease_seconds
    at_work = [t for t in parent.active if t["worker_pid"] in living or t["time_start"] > begun]
    return State.BUSY if len(at_work) >= parent.slots else State.STUCK


def _queue(node: str) -> str:
    return str(worker_direct(node).name)


def _key(question: str) -> str:
    return f"atlas:probe:{question}"


def _send(client: Redis, question: str, node: str) -> None:
    # Not declared: only the worker itself may make the queue known to the broker.
    app().send_task(TASK, (question, node), queue=worker_direct(node), declare=[])
    with client.pipeline() as both:
        both.ltrim(_queue(node), 0, _KEPT - 1)
        both.expire(_queue(node), _QUEUE_SECONDS)
        both.execute()


def _collect(client: Redis, question: str, count: int, timeout: float) -> set[str]:
    answered: set[str] = set()
    deadline = time.monotonic() + timeout
    while len(answered) < count and (left := deadline - time.monotonic()) > 0:
        # Shorter than the socket's own timeout.
        found = client.blpop([_key(question)], timeout=max(0.01, min(left, 2.0)))
        if found is not None:
            answered.add(str(found[1]))
    return answered


def _inspect(nodes: Iterable[str]) -> Any:
    chosen = list(nodes)
    return app().control.inspect(chosen, timeout=_PARENT_SECONDS, limit=len(chosen))


def _without_queue(nodes: list[str]) -> list[str]:
    """Those of ``nodes`` that consume no queue but the one they are asked through.

    A parent that says nothing is not among them: its worker has answered.
    """
    if not nodes:
        return []
    said = _inspect(nodes).active_queues() or {}
    return [node for node, queues in said.items() if {q["name"] for q in queues} <= {_queue(node)}]


def _parents(nodes: list[str]) -> dict[str, _Parent]:
    stats = _inspect(nodes).stats() or {}
    if not stats:
        return {}
    active, reserved = _inspect(stats).active() or {}, _inspect(stats).reserved() or {}
    return {
        node: _Parent(said["pool"]["max-concurrency"], active.get(node, []), reserved.get(node, []))
        for node, said in stats.items()
    }


@contextlib.contextmanager
def _redis(settings: Settings) -> Iterator[Redis]:
    """A connection of its own, and the errors of both clients as ours."""
    client = Redis.from_url(
        redis_url(settings), socket_timeout=5, socket_connect_timeout=5, decode_responses=True
    )
    try:
        yield client
    except (KombuError, RedisError, OSError) as error:
        raise TransientError(
            f"Redis does not answer ({type(error).__name__}): is it running, "
            "and is ATLAS_REDIS_URL right?"
        ) from error
    finally:
        client.close()
