"""``atlas worker-health``: whether workers take work, for supervisors and health checks."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, table
from atlas.errors import AtlasError, UsageError

if TYPE_CHECKING:
    from atlas.settings import Settings
    from atlas.sync.probe import State


@dataclass(frozen=True, slots=True)
class _Worker:
    """A worker to be asked; ``pid`` when it is one of the stack that runs here."""

    name: str
    node: str
    pid: int | None = None
    alive: bool = True


@click.command("worker-health")
@click.argument("name", metavar="[NAME]...", nargs=-1)
@click.option(
    "--timeout",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="Seconds that an answer may take.",
)
@json_option
def worker_health(name: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Ask workers to do a task of nothing, and fail unless each does it or is busy.

    NAME is a process of `atlas status` (worker-scan), or a Celery node (scan@host; scan is the
    one of this host). Without a NAME: all workers of the stack that runs.
    """
    from atlas.settings import settings
    from atlas.sync import probe

    workers = _workers(settings(), name)
    asked = sorted({worker.node for worker in workers if worker.alive})
    states = probe.ask(settings(), asked, timeout) if asked else {}
    found = [(w, states[w.node] if w.alive else probe.State.DEAD) for w in workers]
    problems = [_problem(w, state, timeout) for w, state in found if not state.healthy]
    if as_json:
        emit({"healthy": not problems, "workers": [_shown(w, state) for w, state in found]})
    else:
        table(["worker", "node", "state"], [[w.name, w.node, s.value] for w, s in found])
    if problems and not as_json:
        raise AtlasError("; ".join(problems))
    if problems:
        sys.exit(1)


def _shown(worker: _Worker, state: State) -> dict[str, Any]:
    return {
        "name": worker.name,
        "node": worker.node,
        "pid": worker.pid,
        "healthy": state.healthy,
        "state": state.value,
    }


def _workers(settings: Settings, names: tuple[str, ...]) -> list[_Worker]:
    from atlas.local import leftovers
    from atlas.settings import embedded_state

    ours = {
        entry["name"]: _Worker(
            entry["name"],
            _node(entry["name"]),
            entry["pid"],
            alive=entry["created"] is not None and leftovers.alive(entry["pid"], entry["created"]),
        )
        for entry in embedded_state(settings).get("processes", [])
        if entry["queues"]
    }
    if not names and not ours:
        raise UsageError(
            f"no stack is running in {settings.home}: name the workers to ask, "
            "such as `atlas worker-health scan`"
        )
    by_node = {worker.node: worker for worker in ours.values()}
    chosen = names or tuple(ours)
    return [ours.get(n) or by_node.get(_node(n)) or _Worker(n, _node(n)) for n in chosen]


def _node(name: str) -> str:
    return name if "@" in name else f"{name.removeprefix('worker-')}@{socket.gethostname()}"


_WHAT = {
    "dead": "has ended",
    "silent": "does not answer within {timeout:g} s: it is not running, stopped, or cut off",
    "deaf": "runs and takes no work",
    "stuck": "takes work that its processes do not get on with",
}


def _problem(worker: _Worker, state: State, timeout: float) -> str:
    what = _WHAT[state.value].format(timeout=timeout)
    if worker.pid is None:
        return f"{worker.name} {what}: see its log, and start it anew"
    if not worker.alive:
        return f"{worker.name} {what}: `atlas up` starts it anew; see its log"
    return (
        f"{worker.name} {what}: see its log; after kill -9 {worker.pid} `atlas up` starts it anew"
    )
