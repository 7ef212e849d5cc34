"""A whole running Atlas, started as a user starts it, and hands to work with it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
import yaml

from tests import command
from tests.collector import Collector, collecting

SCRIPTED = Path(__file__).parents[1] / "connectors" / "scripted.py"

OIDC_SECRET = "pl4nted-0idc-s3cret"
OTEL_SECRET = "pl4nted-0tel-s3cret"


@dataclass
class Atlas:
    """A stack under a home of its own."""

    home: Path
    extra: dict[str, str] = field(default_factory=dict)
    _engine: sa.Engine | None = field(default=None, init=False)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a user of this stack, without settings from outside."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
        return {**kept, "ATLAS_HOME": str(self.home), "ATLAS_PORT": "0", **self.extra}

    def run(
        self, *args: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``atlas`` with ``args``."""
        done = command.run(*args, env=self.environ, stdin=stdin)
        if check:
            assert done.returncode == 0, f"atlas {' '.join(args)}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *args: str, check: bool = True) -> Any:
        """Run ``atlas`` with ``args --json`` and read its answer."""
        return json.loads(self.run(*args, "--json", check=check).stdout)

    @property
    def status(self) -> Any:
        """What ``atlas status --json`` says."""
        return self.json("status", check=False)

    @property
    def engine(self) -> sa.Engine:
        """An engine on the stack's database, whose connections are kept: tests poll."""
        if self._engine is None:
            url = json.loads((self.home / "stack.json").read_text())["database_url"]
            self._engine = sa.create_engine(url, pool_pre_ping=True, pool_size=2, max_overflow=-1)
        return self._engine

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of a query."""
        with self.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(sa.text(query), values)]

    def apply(self, *connections: dict[str, Any]) -> Any:
        """Apply connections."""
        path = self.home / "connections.yml"
        path.write_text(yaml.safe_dump({"connections": list(connections)}))
        return self.json("apply", "-f", str(path))

    def sync(self, name: str, *args: str, ok: bool = True) -> Any:
        """Sync and wait; returns the run's document."""
        done = self.run("sync", name, "--wait", "--json", *args, check=False)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        if ok:
            assert document["status"] == "succeeded", json.dumps(document, indent=1)
            assert done.returncode == 0
        return document

    def start(self, name: str, *args: str) -> str:
        """Sync without waiting; returns the run's id."""
        return str(self.json("sync", name, "--no-wait", *args)["run_id"])

    def wait(self, run_id: str, seconds: float = 400) -> Any:
        """Wait for the run's end; returns its document."""
        return self.until(
            lambda: (d := self.document(run_id))["finished_at"] and d,
            seconds,
            lambda: self.document(run_id),
        )

    def document(self, run_id: str) -> Any:
        """The run's document, read from the ledger."""
        from atlas.ledger import run_documents

        with self.engine.connect() as conn:
            return run_documents.document(conn, run_id)

    def until(
        self, true: Callable[[], Any], seconds: float = 240, what: Callable[[], Any] = lambda: ""
    ) -> Any:
        """Poll until ``true()`` is; returns what it gave."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = true()
            if found:
                return found
            time.sleep(0.1)
        pytest.fail(f"not within {seconds} s: {what()}")

    def kill(self, name: str) -> None:
        """SIGKILL a process of the stack with all its descendants' parent first."""
        pid = next(p["pid"] for p in self.status["processes"] if p["name"] == name)
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


def source(name: str, records_file: Path, **more: Any) -> dict[str, Any]:
    """A connection to the scripted connector, whose rows stand in ``records_file``."""
    options = {k: more.pop(k) for k in ("streams", "quality", "pii", "schedule") if k in more}
    return {
        "name": name,
        "executable": str(SCRIPTED),
        "config": {"records_file": str(records_file), **more},
        **options,
    }


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Gets the traces of the stack."""
    with collecting() as found:
        yield found


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Atlas]:
    """A running stack for the session, with short intervals."""
    stack = Atlas(
        tmp_path_factory.mktemp("atlas"),
        {
            "ATLAS_LEASE_SECONDS": "3",
            "ATLAS_RECOVERY_INTERVAL": "2",
            "ATLAS_RELAY_INTERVAL": "2",
            "ATLAS_REDISPATCH_SECONDS": "5",
            "ATLAS_RETRY_BASE_SECONDS": "0.5",
            "ATLAS_CHECKPOINT_ROWS": "5",
            "ATLAS_BATCH_ROWS": "50",
            "ATLAS_SHUTDOWN_SECONDS": "4",
            # Each look starts a process; what they see is tests/local's.
            "ATLAS_PROBE_INTERVAL": "60",
            # Planted: tests/e2e/test_secrets.py looks for it. Without an issuer it does nothing.
            "ATLAS_OIDC_CLIENT_SECRET": OIDC_SECRET,
            "ATLAS_OTEL_ENDPOINT": collector.url,
            "ATLAS_OTEL_HEADERS": f"X-Planted={OTEL_SECRET}",
        },
    )
    stack.run("up", "--detach")
    yield stack
    try:
        check_events(stack)
    finally:
        stack.run("down")


def check_events(stack: Atlas) -> None:
    """Every lineage event that all these tests made is as the official schemas say, names no
    personal value, and belongs together with the others."""
    from tests.lineage.semantics import wrong
    from tests.lineage.validator import validate

    # As of one moment: schedules of these tests may go on making runs, which end meanwhile.
    with stack.engine.connect() as conn:
        conn = conn.execution_options(isolation_level="REPEATABLE READ")
        events = conn.execute(sa.text("SELECT event FROM pipeline.lineage_event")).scalars().all()
        running = sa.text("SELECT CAST(id AS text) FROM pipeline.run WHERE finished_at IS NULL")
        unfinished = set(conn.execute(running).scalars())
    assert events
    for event in events:
        validate(event)
        assert "@example" not in json.dumps(event)
    assert wrong(events, unfinished) == []
