"""The twenty connections of a soak, and time going by in their sources."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.soak import rows

SOURCE = Path(__file__).with_name("soak_source.py")
FAILING = "broken"
"""This connection's source now and then says that it cannot go on: its runs may fail."""

# Name, kinds of streams, schedule.
_CONNECTIONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("orders_a", ("orders",), "10s"),
    ("people_a", ("people",), "20s"),
    ("aside", ("entries",), "15s"),
    ("flaky", ("orders",), "20s"),
    (FAILING, ("orders",), "20s"),
    ("stock_a", ("stock",), "15s"),
    ("notes_a", ("notes",), "10s"),
    ("rates_a", ("rates",), "20s"),
    ("mixed_a", ("orders", "people", "notes", "rates"), "30s"),
    ("slow", ("orders",), "30s"),
    ("orders_b", ("orders",), "20s"),
    ("orders_c", ("orders",), "30s"),
    ("orders_d", ("orders",), "45s"),
    ("stock_b", ("stock",), "30s"),
    ("stock_c", ("stock", "rates"), "60s"),
    ("notes_b", ("notes",), "30s"),
    ("notes_c", ("notes",), "45s"),
    ("rates_b", ("rates",), "30s"),
    ("mixed_b", ("entries", "stock"), "60s"),
    ("minutely", ("orders", "stock"), "* * * * *"),
)
NAMES = tuple(name for name, _, _ in _CONNECTIONS)
_EXTRAS: dict[str, dict[str, Any]] = {
    "flaky": {
        "fail_after": 3,
        "trace_error": {"message": "try later", "failure_type": "transient_error"},
    },
    # At a state: what a run that failed has read is not sent again.
    FAILING: {
        "fail_after": 5,
        "trace_error": {"message": "no access", "failure_type": "config_error"},
    },
    # So that faults meet it while it reads.
    "slow": {"pace": 0.05},
    "people_a": {"pace": 0.01},
}


class World:
    """The sources of a soak in ``directory``: of the connections ``names``."""

    def __init__(self, directory: Path, names: Sequence[str], dice: random.Random) -> None:
        self._directory = directory
        self._dice = dice
        self._chosen = [each for each in _CONNECTIONS if each[0] in names]
        self.versions = {name: 0 for name, _, _ in self._chosen}
        self.streams = {name: list(kinds) for name, kinds, _ in self._chosen}
        directory.mkdir(parents=True)
        for name in self.versions:
            self._write(name)

    def connections(self) -> list[dict[str, Any]]:
        """The connections, as `atlas apply` takes them."""
        return [self._connection(*each) for each in self._chosen]

    def go_on(self) -> None:
        """Have a moment pass: some sources change, and some that failed may fail again."""
        for name in self.versions:
            if self._dice.random() < 0.3:
                self.versions[name] += 1
                self._write(name)
            if "fail_after" in _EXTRAS.get(name, {}) and self._dice.random() < 0.05:
                self._marker(name).unlink(missing_ok=True)

    def mend(self) -> None:
        """Have no source fail any more."""
        for name in self.versions:
            self._marker(name).touch()

    def _connection(self, name: str, kinds: tuple[str, ...], schedule: str) -> dict[str, Any]:
        modes = {
            kind: {"sync_mode": "incremental" if rows.KINDS[kind].incremental else "full_refresh"}
            for kind in kinds
        }
        return {
            "name": name,
            "executable": str(SOURCE),
            "config": {
                "holds": str(self._directory / f"{name}.json"),
                "state_every": 5,
                # So each record is sent once, and explore can be compared.
                "exclusive": True,
                **_EXTRAS.get(name, {}),
                "fail_once_marker": str(self._marker(name)),
            },
            "streams": modes,
            "schedule": {"cron": schedule} if "*" in schedule else {"every": schedule},
            "pii": {"entities": {"EMAIL_ADDRESS": "tokenize", "PERSON": "tokenize"}},
        }

    def _marker(self, name: str) -> Path:
        return self._directory / f"{name}.failed"

    def _write(self, name: str) -> None:
        """At once: a source that is just being asked reads one version or the other."""
        path = self._directory / f"{name}.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(dict.fromkeys(self.streams[name], self.versions[name])))
        beside.replace(path)
