"""Starting and ending :mod:`bench.bare` beside a stack, on the stack's own PostgreSQL and Redis.

A database of its own in each: nothing of one is in the other's way but the machine.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psycopg2

from bench.stack import CHECKOUT, BenchError, Stack

_START_SECONDS = 60.0
_DATABASE = 1


@contextlib.contextmanager
def bare_worker(atlas: Stack) -> Iterator[ModuleType]:
    """A Celery worker with nothing of Atlas; gives :mod:`bench.bare` to send it chains."""
    celery = [sys.executable, "-m", "celery", "-A", "bench.bare", "worker", "--concurrency=4"]
    environ = _environ(atlas)
    with _process([*celery, "-n", "bare@%h", "--without-gossip", "--without-mingle"], environ):
        os.environ |= {name: environ[name] for name in environ if name.startswith("BENCH_")}
        bare = importlib.import_module("bench.bare")
        # The first chain waits until the worker is up.
        bare.run_chain()
        try:
            yield bare
        finally:
            bare.redis().flushdb()


@contextlib.contextmanager
def bare_web(atlas: Stack) -> Iterator[str]:
    """The bare endpoint under Atlas's own gunicorn settings; gives its base URL."""
    with atlas.database("bare") as url, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        connection = psycopg2.connect(url)
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE request (id uuid PRIMARY KEY, name text NOT NULL)")
        connection.close()
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:atlas.web.gunicorn"]
        argv = [*gunicorn, "--bind", f"127.0.0.1:{port}", "bench.bare:web()"]
        with _process(argv, _environ(atlas) | {"BENCH_DATABASE": url}):
            _wait(port)
            yield f"http://127.0.0.1:{port}"


def _environ(atlas: Stack) -> dict[str, str]:
    path = atlas.redis_url.removeprefix("unix://").partition("?")[0]
    return atlas.environ | {
        "BENCH_REDIS": f"unix://{path}?db={_DATABASE}",
        "BENCH_BROKER": f"redis+socket://{path}?virtual_host={_DATABASE}",
        "BENCH_DATABASE": atlas.database_url,
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def _process(argv: list[str], environ: dict[str, str]) -> Iterator[None]:
    log = Path(environ["ATLAS_HOME"]).parent / f"bare-{argv[2]}.log"
    with log.open("wb") as file:
        running = subprocess.Popen(
            argv, env=environ, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield
    except Exception as error:
        if running.poll() is None:
            raise
        said = log.read_text(errors="replace")[-2000:]
        raise BenchError(f"{' '.join(argv[1:4])} ended: {said}") from error
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _wait(port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            asking.request("GET", "/")
            asking.getresponse()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
        finally:
            asking.close()
