"""Faults now and then, at moments drawn from the seed: those of tests/chaos, one after another."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.chaos.brake import STAGES
from tests.chaos.faults import PLAIN
from tests.chaos.stack import Stack, wait

ANYWHERE = ("child", "worker", "beat", "web", "freeze")
FLUSHING = ("flushall",)
"""Where Redis lets somebody."""
EMBEDDED = ("redis", "postgres")
"""Of a stack that runs its own servers."""


class Trouble:
    """Breaks the stack in a thread while it is open, and mends it before it closes.

    Args:
        gap: seconds between two faults, on average.
        names: those that may happen.
    """

    def __init__(
        self,
        stack: Stack,
        dice: random.Random,
        gap: float,
        *,
        names: Sequence[str],
        tell: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._dice = dice
        self._gap = gap
        self._names = names
        self._tell = tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trouble")
        self.done: Counter[str] = Counter()
        self.error: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the end of the fault that is, and do no more."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._dice.uniform(0.5, 1.5) * self._gap):
            name, stage = self._dice.choice(self._names), self._dice.choice(STAGES)
            try:
                self._do(name, stage)
            except Exception as error:  # noqa: BLE001 - told at the end, which fails for it
                self.error = error
                self._tell(f"{name} went wrong: {type(error).__name__}: {error}")
                return
            self.done[name] += 1

    def _do(self, name: str, stage: str) -> None:
        began = time.monotonic()
        # A process that was killed just before is not there to be killed.
        assert wait(lambda: self._stack.rows("SELECT 1"), 60), "PostgreSQL does not answer"
        fault = PLAIN[name](self._stack, None, [stage])
        fault.prepare()
        fault.inject()
        fault.mend()
        of = f" of {stage}" if name in ("child", "worker", "freeze") else ""
        self._tell(f"fault: {name}{of}, {time.monotonic() - began:.0f} s")
