"""Further hosts of a soak's stack: a worker of each queue, supervised as `atlas up` does it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from atlas.local import stack as local
from atlas.local.children import Child, children
from atlas.settings import parse
from tests.chaos.stack import Stack


@contextlib.contextmanager
def further(stack: Stack, workers: int) -> Iterator[list[Path]]:
    """One more worker a queue for each beyond the first; gives the homes of their supervisors."""
    with contextlib.ExitStack() as opened:
        homes = []
        for number in range(2, workers + 1):
            home = stack.home / f"host-{number}"
            environ = {k: v for k, v in stack.process_environ.items() if k.startswith("ATLAS_")}
            settings = replace(parse({**environ, "ATLAS_PORT": "0"}), home=home)
            opened.enter_context(local.Stack(settings, processes=_workers(settings, number)))
            homes.append(home)
        yield homes


def _workers(settings: local.Settings, number: int) -> list[Child]:
    """The workers of `atlas up`, by names of their own: hosts of one machine have one name."""
    found = []
    for child in children(settings):
        if child.queues:
            (queue,) = child.queues
            argv = tuple(
                f"{queue}-{number}@%h" if part == f"{queue}@%h" else part for part in child.argv
            )
            found.append(Child(f"{child.name}-{number}", argv, child.queues))
    return found
