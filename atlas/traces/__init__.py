"""Spans of what this process does, for a collector of OpenTelemetry where one is set.

All that belongs to a run is one trace, whose id is the run's: whichever process works on it, and
however often, needs nothing but that id to add to it. A span is made when it has ended, so nothing
is kept of one whose process dies; what the ledger knows of runs and attempts is told from there
(:mod:`atlas.ledger.traced`), whoever ends them.

What is handed in are names, ids, counts and statements without their values: never a value of a
row, a secret, or the text of an error. Without a collector this module keeps nothing, and the
libraries that speak to one (:mod:`atlas.traces.export`) are not even imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

from atlas.settings import Settings

Attributes = Mapping[str, str | int | float | bool]
"""What is told of a span: names, ids, counts."""

_NONE: Attributes = {}
_HALF = (1 << 64) - 1
_MOST_HELD = 500
"""Spans of a request that are kept until it is known which trace they belong to."""


class Kind(Enum):
    """How a span stands to others, as OpenTelemetry has it."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    CONSUMER = "consumer"


@dataclass(slots=True)
class Span:
    """Something that ended.

    Attributes:
        began, ended: nanoseconds of Unix time.
        links: traces and spans that it has to do with, without being part of them.
    """

    name: str
    trace: int
    id: int
    parent: int | None
    began: int
    ended: int
    kind: Kind = Kind.INTERNAL
    failed: bool = False
    attributes: Attributes = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Scope:
    """A request or a task, from its beginning to its end; its trace is 0 until it is known."""

    span: Span
    holds: bool
    held: list[Span] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Here:
    """Where what this thread does belongs: spans hang on ``parent``."""

    scope: _Scope | None
    trace: int
    parent: int


_here: ContextVar[_Here | None] = ContextVar("traced", default=None)
_sink: Callable[[Span], None] | None = None
_stop: Callable[[float], None] | None = None


def start(settings: Settings, process: str) -> None:
    """Have spans of this process sent to the collector of the settings, if there is one.

    In the process that makes them, not before a fork: the thread that sends them does not survive
    it.

    Args:
        process: what it is: ``web``, or the queues of a worker.
    """
    global _sink, _stop
    if settings.otel_endpoint is None:
        return
    from atlas.traces.export import Export

    stop()
    export = Export(settings, process)
    _sink, _stop = export.put, export.stop


def stop(seconds: float = 3.0) -> None:
    """Send what there is, for so long at most, and make no more spans."""
    global _sink, _stop
    ending, _sink, _stop = _stop, None, None
    if ending is not None:
        ending(seconds)


def _forget() -> None:
    global _sink, _stop
    _sink = _stop = None


os.register_at_fork(after_in_child=_forget)


def on() -> bool:
    """Whether spans of this process are wanted."""
    return _sink is not None


def put(span: Span) -> None:
    """Send a span, if they are wanted; never waits."""
    if _sink is not None:
        _sink(span)


# --- ids -----------------------------------------------------------------------------------------


def trace_of(run_id: str) -> int:
    """The trace of a run: its id."""
    return uuid.UUID(run_id).int


def root_of(run_id: str) -> int:
    """The span of a run itself: the second half of its id."""
    return uuid.UUID(run_id).int & _HALF


def known_id(*parts: object) -> int:
    """The id of a span that whoever ends it, or adds to it, can tell by itself."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _new_id() -> int:
    return random.getrandbits(64) or 1


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.A)


def linked(traceparent: str | None) -> list[tuple[int, int]]:
    """The caller's own span, by a ``traceparent`` of W3C Trace Context; none if it is none."""
    found = _TRACEPARENT.fullmatch((traceparent or "")[:200])
    if found is None or traceparent is None or traceparent.startswith("ff"):
        return []
    trace, span = int(found[1], 16), int(found[2], 16)
    return [(trace, span)] if trace and span else []


# --- requests and tasks --------------------------------------------------------------------------


def begin(
    name: str, kind: Kind, *, holds: bool = False, links: list[tuple[int, int]] | None = None
) -> None:
    """What this thread does from now on, until :func:`end`, is this request or task.

    Args:
        holds: keep what it does until it is known which trace that belongs to; else it is left
            out.
    """
    if _sink is None:
        return
    span = Span(name, 0, _new_id(), None, time.time_ns(), 0, kind, links=links or [])
    _here.set(_Here(_Scope(span, holds), 0, span.id))


def join(run_id: str) -> None:
    """The request or task that is under way is about this run; of several, the first one has it."""
    here = _here.get()
    if here is None or here.scope is None or here.scope.span.trace:
        return
    scope = here.scope
    scope.span.trace, scope.span.parent = trace_of(run_id), root_of(run_id)
    _here.set(_Here(scope, scope.span.trace, here.parent))
    _let_go(scope)


def join_operation(operation_id: str) -> None:
    """The task that is under way does this operation: a trace of its own, that begins with it."""
    here = _here.get()
    if here is None or here.scope is None:
        return
    here.scope.span.trace = trace_of(operation_id)
    _here.set(_Here(here.scope, here.scope.span.trace, here.parent))


def end(attributes: Attributes, *, failed: bool = False) -> None:
    """The request or task is over. A task that was about nothing that is traced leaves nothing."""
    here = _here.get()
    _here.set(None)
    if here is None or here.scope is None:
        return
    scope = here.scope
    if not scope.span.trace:
        if not scope.holds:
            return
        scope.span.trace = random.getrandbits(128) or 1
        _let_go(scope)
    scope.span.ended = time.time_ns()
    scope.span.failed = failed
    scope.span.attributes = attributes
    put(scope.span)


def _let_go(scope: _Scope) -> None:
    for span in scope.held:
        span.trace = scope.span.trace
        put(span)
    scope.held.clear()


# --- within them ---------------------------------------------------------------------------------


@contextlib.contextmanager
def under(run_id: str, parent: int) -> Iterator[None]:
    """What is done within the block hangs on this span of the run, which is told by others."""
    if _sink is None:
        yield
        return
    join(run_id)
    here = _here.get()
    token = _here.set(_Here(here.scope if here else None, trace_of(run_id), parent))
    try:
        yield
    finally:
        _here.reset(token)


def parent_in(run_id: str, of: int) -> int:
    """What a span of the run that is told by its id hangs on: the task that is at work on it in
    this thread, else the run."""
    here = _here.get()
    if here is not None and here.parent == of and here.scope is not None:
        task = here.scope.span
        return task.id if task.trace == trace_of(run_id) else root_of(run_id)
    return root_of(run_id)


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """What is done within the block is told by no span: it only looks after what others do."""
    token = _here.set(None)
    try:
        yield
    finally:
        _here.reset(token)


def recording() -> bool:
    """Whether what this thread does now belongs to a span."""
    here = _here.get()
    if here is None or _sink is None:
        return False
    return bool(here.trace or (here.scope is not None and here.scope.holds))


class Open:
    """A span that has begun, of what is done in this thread or ends in another one."""

    def __init__(
        self, name: str, attributes: Attributes = _NONE, kind: Kind = Kind.INTERNAL
    ) -> None:
        here = _here.get() if recording() else None
        self._scope = here.scope if here else None
        self._span: Span | None = None
        if here is not None:
            now = time.time_ns()
            self._span = Span(
                name, here.trace, _new_id(), here.parent, now, 0, kind, attributes=attributes
            )

    def note(self, attributes: Attributes) -> None:
        """Have it tell this, too."""
        if self._span is not None:
            self._span.attributes = {**self._span.attributes, **attributes}

    def close(self, attributes: Attributes = _NONE, *, failed: bool = False) -> None:
        """It has ended. A second time does nothing."""
        self.note(attributes)
        span, self._span = self._span, None
        if span is None:
            return
        span.ended, span.failed = time.time_ns(), failed
        if not span.trace and self._scope is not None:
            span.trace = self._scope.span.trace
        if span.trace:
            put(span)
        elif self._scope is not None and len(self._scope.held) < _MOST_HELD:
            self._scope.held.append(span)


@contextlib.contextmanager
def span(
    name: str,
    attributes: Attributes,
    kind: Kind = Kind.INTERNAL,
    *,
    run_id: str | None = None,
) -> Iterator[None]:
    """A span of what is done within the block; it has failed if an error leaves it.

    Args:
        run_id: the run that it belongs to, if not to what is under way in this thread.
    """
    with under(run_id, root_of(run_id)) if run_id and on() else contextlib.nullcontext():
        made = Open(name, attributes, kind)
        try:
            yield
        except BaseException as error:
            made.close({"error.type": type(error).__name__}, failed=True)
            raise
        made.close()
