"""Celery and Flask with nothing of Atlas in them: what the machinery is measured against.

Run by :mod:`bench.peers`, in processes of their own. Celery has its own defaults, which do less
than Atlas asks of it: a message is acknowledged before its task runs, and nobody is told of events.
The endpoint inserts one row through a connection that its thread keeps, and sends one task.

Environment: ``BENCH_BROKER`` (Celery's URL of a Redis database), ``BENCH_REDIS`` (redis-py's of the
same), ``BENCH_DATABASE`` (PostgreSQL, with a table ``request``).
"""

from __future__ import annotations

import os
import threading
import uuid
from functools import cache

import psycopg2
from celery import Celery, chain
from flask import Flask
from psycopg2 import extensions
from redis import Redis

TASKS = 6
_PATIENCE = 60
app = Celery("bare", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
_thread = threading.local()


@app.task(name="bare.empty")
def empty() -> None:
    """Do nothing."""


@app.task(name="bare.last")
def last(token: str) -> None:
    """Do nothing, and say so to who waits for the chain."""
    redis().rpush(token, "done")


@cache
def redis() -> Redis:
    """Where the end of a chain is told."""
    return Redis.from_url(os.environ["BENCH_REDIS"], socket_timeout=_PATIENCE + 10)


def run_chain() -> None:
    """Six empty tasks, one after the other; returns when the last has run."""
    token = str(uuid.uuid4())
    chain(*(empty.si() for _ in range(TASKS - 1)), last.si(token), app=app).apply_async()
    if redis().blpop([token], timeout=_PATIENCE) is None:
        raise TimeoutError(f"a chain of empty tasks took more than {_PATIENCE} s")


def web() -> Flask:
    """The application for gunicorn."""
    flask = Flask("bare")

    @flask.post("/requests/<name>")
    def insert(name: str) -> tuple[dict[str, str], int]:
        row = str(uuid.uuid4())
        with _connection() as conn, conn.cursor() as cursor:
            cursor.execute("INSERT INTO request (id, name) VALUES (%s, %s)", (row, name))
        empty.delay()
        return {"id": row, "status": "queued"}, 202

    return flask


def _connection() -> extensions.connection:
    kept: extensions.connection | None = getattr(_thread, "connection", None)
    if kept is None:
        kept = _thread.connection = psycopg2.connect(os.environ["BENCH_DATABASE"])
    return kept
