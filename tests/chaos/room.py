"""A stack for trials: made when the first one comes, and anew after one that failed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from tests.chaos import brake, stack, trial
from tests.chaos.stack import Stack, Wires
from tests.chaos.world import Picture

KINDS = ("plain", "wired")
"""With its own servers; or reaching them through proxies, with a clock that can be set."""


class Room:
    """A context manager around at most one stack of a kind at a time."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._opened = contextlib.ExitStack()
        self._stack: Stack | None = None
        self._want: Picture | None = None
        self.wires: Wires | None = None

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the stack and forget it: what is wrong with it must not show in the next trial."""
        self._stack = self._want = None
        self._opened.close()

    @property
    def stack(self) -> Stack:
        """The stack, which runs."""
        if self._stack is None:
            home = Path(tempfile.mkdtemp(prefix="atlas-chaos-"))
            self._opened.callback(shutil.rmtree, home, ignore_errors=True)
            if self._kind == "plain":
                made = self._opened.enter_context(stack.plain(home))
            else:
                made, self.wires = self._opened.enter_context(stack.wired(home))
            brake.install(made)
            self._stack = made
        return self._stack

    @property
    def sources(self) -> Path:
        """Where sources of this stack find their rows."""
        return self.stack.home / "sources"

    @property
    def want(self) -> Picture:
        """What two syncs leave in this stack, whose tokens are its own, when nothing happens."""
        if self._want is None:
            self._want = trial.calm(self.stack, self.sources)
        return self._want
