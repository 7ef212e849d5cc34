"""A stack that somebody started by hand, as docs/operations.md says: its processes are known by
what `start.sh` writes below `logs`, and it is broken and looked at like any other."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import psutil

from atlas.local.children import base_url
from atlas.settings import PREFIX, parse
from tests.chaos.stack import Stack

BROKER = "SOAK_REDIS_URL"
"""Variable: the same Redis as a user who may FLUSHALL, which Atlas's own may not. Without it nobody
does."""


class ByHand(Stack):
    """The stack of this process's environment.

    Args:
        home: of that stack.
        extra: further variables of the commands that are run beside it.
    """

    def __init__(self, home: Path, extra: dict[str, str]) -> None:
        found = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        settings = parse(found)
        super().__init__(home, found | extra)
        self.database = settings.database_url
        self.broker = os.environ.get(BROKER) or settings.redis_url
        self._url = base_url(settings)
        self._pids: dict[str, int] = {}

    @property
    def state(self) -> dict[str, Any]:
        """As stack.json has it of `atlas up`."""
        for path in (self.home / "logs").glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):  # just being written: as it was
                # The first of its kind has the kind's name.
                self._pids[re.sub("-1$", "", path.stem)] = int(path.read_text())
        pids = dict(self._pids)
        return {
            "up_pid": pids.pop("start", None),
            "processes": [{"name": name, "pid": pid} for name, pid in sorted(pids.items())],
            "api_url": self._url,
        }

    def processes(self) -> list[psutil.Process]:
        """As of any stack, without what this process was started by in the same environment."""
        ours = {parent.pid for parent in psutil.Process().parents()}
        return [process for process in super().processes() if process.pid not in ours]
