"""The processes of the stack beside its servers, as plain data, and what they see of the world."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from atlas.errors import AtlasError
from atlas.settings import PREFIX, Settings

QUEUES = ("extract", "scan", "load", "control")


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the stack: its name in ``atlas status``, its command, the queues it serves."""

    name: str
    argv: tuple[str, ...]
    queues: tuple[str, ...] = ()


def children(settings: Settings, workers: int = 1) -> list[Child]:
    """The processes of the whole stack, in the order in which they start.

    Args:
        settings: with the ports decided (:func:`with_ports`).
        workers: how many worker processes serve queue ``scan``, which burns CPU. The others
            wait for connectors and SQL: one each, as wide as its setting of concurrency says.
    """
    # -P: a module of the user's that happens to lie in the current directory is not ours.
    python = (sys.executable, "-P", "-m")
    celery = (*python, "celery", "-A", "workers")
    level = f"--loglevel={settings.log_level}"
    web = Child(
        "web",
        (
            *(*python, "gunicorn", "--config", "python:atlas.web.gunicorn"),
            *("--bind", f"{_bracketed(settings.host)}:{settings.port}"),
            "atlas.web:create_app()",
        ),
    )
    pool = [
        Child(
            f"worker-{node}",
            (
                *(*celery, "worker", "-Q", queue, "-n", f"{node}@%h"),
                f"--concurrency={getattr(settings, f'{queue}_concurrency')}",
                level,
                # Workers need not know each other: revoked tasks and clocks, which these two
                # exchange, play no part (the ledger does), and mingling costs each start a
                # second. Heartbeats and task events stay, Flower lives on them.
                *("--without-gossip", "--without-mingle"),
            ),
            (queue,),
        )
        for queue in QUEUES
        for node in _numbered(queue, workers if queue == "scan" else 1)
    ]
    beat = Child(
        "beat",
        # In memory: what is due is in the ledger, so beat has nothing to remember.
        (*celery, "beat", "--scheduler=celery.beat:Scheduler", level),
    )
    flower = Child(
        "flower",
        (
            *(*celery, "flower", "--address=127.0.0.1", f"--port={settings.flower_port}"),
            # Of its own 100,000 it would grow for hours; what has been, the ledger knows.
            "--max_tasks=2000",
        ),
    )
    return [web, *pool, beat, flower]


def _numbered(kind: str, count: int) -> list[str]:
    return [kind, *(f"{kind}-{number}" for number in range(2, count + 1))]


def environment(settings: Settings, servers: Mapping[str, str]) -> dict[str, str]:
    """What the children see: this process's environment with ``settings`` in place of its own.

    Args:
        servers: settings of the embedded servers (``database_url``, ``redis_url``); their
            values are paths of sockets and hold no secret.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        # Flower's own switch would open its API to every user of the machine.
        if not name.startswith(PREFIX) and name != "FLOWER_UNAUTHENTICATED_API"
    }
    ours = {}
    for spec in fields(settings):
        value = getattr(settings, spec.name)
        if value != spec.default:
            ours[PREFIX + spec.name.upper()] = _said(value)
    ours |= {PREFIX + name.upper(): value for name, value in servers.items()}
    # Celery must know before it is imported that SIGTERM asks its workers for a soft shutdown.
    return {**inherited, **ours, "PYTHONUNBUFFERED": "1"}


def _said(value: Any) -> str:
    """A setting's value as its variable has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:  # of a limit that is switched off
        return "off"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def with_ports(settings: Settings) -> Settings:
    """``settings`` with free ports in place of 0.

    Raises:
        AtlasError: a port cannot be listened on; names the setting.
    """
    return replace(
        settings,
        port=_free_port(settings.host, settings.port, "PORT"),
        flower_port=_free_port("127.0.0.1", settings.flower_port, "FLOWER_PORT"),
    )


def base_url(settings: Settings) -> str:
    """Where the web process is reached from this machine."""
    every = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared only
    return f"http://{_bracketed(every.get(settings.host, settings.host))}:{settings.port}"


def ask(url: str) -> str:
    """What an HTTP address of this machine answers: its status, or why there is none."""
    # No proxy of the environment's: this is between us.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10.0) as response:
            return str(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return str(error.code)
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _free_port(host: str, port: int, setting: str) -> int:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise AtlasError(
                f"cannot listen on {host}, which is no address of this machine: set {PREFIX}HOST"
            ) from error
        why = "is in use" if error.errno == errno.EADDRINUSE else f"is refused ({error.strerror})"
        raise AtlasError(
            f"port {port} {why}: set {PREFIX}{setting} to another one (0 for any that is free)"
        ) from error
