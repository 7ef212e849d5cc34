"""Somebody who looks at the API and the pages all the time, as a dashboard does."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections import Counter

from tests.chaos.stack import Stack, wait

_PATHS = (
    "/api/v1/runs?limit=20",
    "/api/v1/connections?limit=20",
    "/api/v1/schedules?limit=20",
    "/api/v1/overview",
    "/api/v1/datasets?limit=20",
    "/readyz",
    "/metrics",
)


class Readers:
    """Asks one path after the other in a thread, a few a second."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readers")
        self._answers: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        made = self._stack.json("keys", "create", "--name", "readers", "--role", "operator")
        self._key = str(made["key"])
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def told(self) -> str:
        """How many were answered how."""
        return ", ".join(f"{answer} {n:,}" for answer, n in sorted(self._answers.items()))

    def pause(self, name: str) -> None:
        """Pause the schedule of a connection, as soon as the API answers."""
        path = f"/api/v1/schedules/{name}"
        done = wait(lambda: self._ask(path, b'{"paused": true}') == "200", 120, every=0.5)
        assert done, f"{name} cannot be paused"

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(0.3):
            number += 1
            self._answers[self._ask(_PATHS[number % len(_PATHS)])] += 1

    def _ask(self, path: str, change: bytes | None = None) -> str:
        """The answer's status; ``change``: what a PATCH is to say."""
        try:
            asked = urllib.request.Request(
                f"{self._stack.state['api_url']}{path}",
                data=change,
                method="PATCH" if change else "GET",
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "Content-Type": "application/json",
                },
            )
            with urllib.request.urlopen(asked, timeout=30) as answer:
                answer.read()
                return str(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return str(error.code)
        except (OSError, KeyError):
            return "away"
