"""The process that Soda lives in: it is ended, it dies, it says nothing, and it comes again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from psycopg2 import sql

from atlas.errors import TransientError
from atlas.model.checks import CheckResult, Outcome
from atlas.quality.soda import SodaHost
from tests.quality.quality_staging import Staging, users_plan

SLEEPS = """
checks for users:
  - failed rows:
      name: sleeps
      fail query: SELECT * FROM users, pg_sleep(60)
"""


@pytest.fixture
def own_host() -> Iterator[SodaHost]:
    """A host of the test's own, to be killed."""
    with SodaHost() as soda:
        yield soda


def _wait(url: str, sought: str, *, there: bool = True) -> None:
    """Until a statement with ``sought`` runs (or no longer runs) in the database."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    deadline = time.monotonic() + 120
    with contextlib.closing(connection), connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE %s",
                (f"%{sought}%",),
            )
            if bool(cursor.fetchone()[0]) is there:  # type: ignore[index]
                return
            time.sleep(0.02)
    pytest.fail(f"{sought} is {'not ' if there else ''}running")


def test_a_killed_host_is_a_transient_error_and_the_next_scan_starts_another(
    staging: Staging, own_host: SodaHost
) -> None:
    staging.user(1)
    own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
    first = own_host.pid
    assert first is not None

    def kill() -> None:
        _wait(staging.url, "pg_sleep")
        os.kill(first, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TransientError, match="ended with status -9"):
        own_host.scan(staging.url, "pipeline", "staging_1", users_plan(checks=SLEEPS), 60)
    killer.join()
    # Nobody waits for the answer, so the server does not go on working for it.
    _wait(staging.url, "pg_sleep", there=False)
    results = own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60).results
    assert {result.outcome for result in results} == {Outcome.PASS}
    assert own_host.pid != first


def test_a_host_that_was_killed_between_two_scans_is_replaced(
    staging: Staging, own_host: SodaHost
) -> None:
    own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
    first = own_host.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(first)], timeout=60)
    own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
    assert own_host.pid != first


def test_a_host_that_hangs_is_ended_at_the_timeout(staging: Staging, own_host: SodaHost) -> None:
    staging.user(1)
    own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
    first = own_host.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(TransientError, match=r"longer than 0\.5 s"):
        own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 0.5)
    assert not psutil.pid_exists(first)
    own_host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)


def test_a_check_that_runs_for_ever_is_an_error_and_the_others_are_answered(
    staging: Staging, host: SodaHost
) -> None:
    staging.user(1)
    results = host.scan(staging.url, "pipeline", "staging_1", users_plan(checks=SLEEPS), 3).results
    slept = next(result for result in results if result.name == "sleeps")
    assert slept.outcome is Outcome.ERROR
    assert slept.detail["reason"] == "QueryCanceled, SQLSTATE 57014"
    assert {result.outcome for result in results if result.name != "sleeps"} == {Outcome.PASS}


def test_a_lost_connection_is_transient_not_a_failed_check(
    staging: Staging, host: SodaHost
) -> None:
    staging.user(1)

    def end() -> None:
        _wait(staging.url, "pg_sleep")
        staging.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'atlas quality'"
        )

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(TransientError, match="lost the database"):
        host.scan(staging.url, "pipeline", "staging_1", users_plan(checks=SLEEPS), 60)
    ender.join()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT * FROM users WHERE pg_read_file('not there') = ''", "58P01"),
        ("SELECT md5(n::text) FROM generate_series(1, 1000000) AS s (n) ORDER BY 1", "53400"),
    ],
)
def test_what_a_query_asks_of_the_server_in_vain_is_its_own_error_not_a_lost_database(
    staging: Staging, scan: Callable[..., dict[str, CheckResult]], query: str, code: str
) -> None:
    staging.user(1)
    database = staging.connection.info.dbname
    staging.execute(
        sql.SQL("ALTER DATABASE {} SET temp_file_limit = '1MB'").format(sql.Identifier(database))
    )
    checks = f"checks for users:\n  - failed rows:\n      name: asks\n      fail query: {query}\n"
    results = scan(staging, checks=checks)
    asks = results.pop("asks")
    assert asks.outcome is Outcome.ERROR
    assert f"SQLSTATE {code}" in asks.detail["reason"]
    assert {result.outcome for result in results.values()} == {Outcome.PASS}


def test_it_writes_no_file_and_knows_no_secret(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ATLAS_SECRET_KEY", "s" * 40)
    monkeypatch.setenv("ATLAS_DATABASE_URL", staging.url)
    with SodaHost() as soda:
        soda.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
        child = psutil.Process(soda.pid)
        told = " ".join(child.environ()) + " ".join(child.cmdline())
        sockets = [c for c in child.net_connections() if c.family.name != "AF_UNIX"]
    assert not any(name in told for name in ("ATLAS", "postgres"))
    assert list(tmp_path.iterdir()) == []
    assert sockets == []


def test_the_host_dies_with_the_process_that_started_it(staging: Staging) -> None:
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from atlas.quality.soda import SodaHost\n"
        "from quality_staging import users_plan\n"
        "host = SodaHost()\n"
        f"host.scan({staging.url!r}, 'pipeline', 'staging_1', users_plan(), 60)\n"
        "print(host.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        gone, _ = psutil.wait_procs([child], timeout=60)
    assert gone


def test_it_leaves_no_connection_and_does_not_grow(
    staging: Staging,
    host: SodaHost,
    scan: Callable[..., dict[str, CheckResult]],
) -> None:
    for number in range(100):
        staging.user(number, email="nobody")

    def resident() -> int:
        return int(psutil.Process(host.pid).memory_info().rss)

    times = []
    for _ in range(20):
        start = time.perf_counter()
        scan(staging)
        times.append(time.perf_counter() - start)
    before = resident()
    for _ in range(100):
        scan(staging)
    growth = resident() - before
    print(f"warm scan {sorted(times)[10] * 1000:.0f} ms, 100 scans grow {growth / 2**20:.1f} MiB")
    assert growth < 16 * 2**20
    with staging.connection.cursor() as cursor:
        # A server process needs a moment to end after its client has gone.
        for _ in range(200):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s "
                "AND datname = current_database()",
                ("atlas quality",),
            )
            left = cursor.fetchone()
            if left == (0,):
                break
            time.sleep(0.05)
        assert left == (0,)


def test_failing_rows_are_counted_by_the_server_not_fetched(
    staging: Staging, host: SodaHost
) -> None:
    staging.execute(
        "INSERT INTO pipeline.staging_1 (id, name, _atlas_emitted_at) "
        "SELECT i, repeat('x', 1000), now() FROM generate_series(1, 50000) i"
    )
    own = """
checks for users:
  - failed rows:
      name: q
      fail query: SELECT * FROM users
  - failed rows:
      name: c
      fail condition: id > 0
  - invalid_count(name) = 0:
      valid length: 3
  - duplicate_count(name) = 0
"""
    host.scan(staging.url, "pipeline", "staging_1", users_plan(), 60)
    before = psutil.Process(host.pid).memory_info().rss
    results = host.scan(staging.url, "pipeline", "staging_1", users_plan(checks=own), 60).results
    assert {r.failed_rows for r in results if r.name in "qc"} == {50_000}
    assert psutil.Process(host.pid).memory_info().rss - before < 20 * 2**20
