"""The embedded PostgreSQL: it keeps its data, and starts again whatever befell it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import sqlalchemy

from atlas.errors import AtlasError
from atlas.local import files, leftovers
from atlas.local.postgres import Postgres
from atlas.process import end, spawn


def run(url: str, statement: str, parameters: list[object] | None = None) -> list[tuple]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "home", durable=False)
    yield server
    server.stop()


def test_data_survive_a_restart(server: Postgres) -> None:
    server.start()
    run(server.url(), "CREATE TABLE t AS SELECT 'æ' AS a")
    first = server.pid
    server.stop()
    assert not psutil.pid_exists(first)
    server.start()
    assert run(server.url(), "SELECT a FROM t") == [("æ",)]


def test_what_it_is(tmp_path: Path) -> None:
    with Postgres(tmp_path / "home") as server:
        shown = run(
            server.url(),
            "SELECT current_database(), current_user, current_setting('server_encoding'),"
            " current_setting('timezone'), current_setting('fsync'),"
            " current_setting('synchronous_commit'), current_setting('listen_addresses'),"
            " current_setting('server_version_num')::int / 10000, upper('é')",
        )
        assert shown == [("atlas", "atlas", "UTF8", "UTC", "on", "on", "", 18, "É")]


def test_url_serves_sqlalchemy_whatever_pgport_says(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    server.start()
    engine = sqlalchemy.create_engine(server.url())
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_nobody_else_can_enter(server: Postgres, tmp_path: Path) -> None:
    server.start()
    home = tmp_path / "home"
    for directory in (home, home / "postgres", files.socket_directory(home)):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert psutil.Process(server.pid).net_connections(kind="inet") == []


def test_runs_without_root(
    another_user: tuple[list[str], Path], program: Callable[..., subprocess.Popen[str]]
) -> None:
    prefix, home = another_user
    source = """if True:
        import os, sys, psycopg2
        from pathlib import Path
        from atlas.local.postgres import Postgres
        for _ in range(2):
            with Postgres(Path(sys.argv[1]) / "home", durable=False) as server:
                connection = psycopg2.connect(server.url())
                connection.autocommit = True
                cursor = connection.cursor()
                cursor.execute("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a")
                cursor.execute("INSERT INTO t VALUES (1) RETURNING (SELECT count(*) FROM t)")
                print(os.geteuid() != 0, cursor.fetchone()[0])
                connection.close()
    """
    process = program(source, home, prefix=prefix)
    assert process.communicate(timeout=300)[0].splitlines() == ["True 1", "True 2"]
    assert process.returncode == 0


def test_starts_after_sigkill_of_its_parent(
    server: Postgres, tmp_path: Path, program: Callable[..., subprocess.Popen[str]]
) -> None:
    source = """if True:
        import sys, psycopg2, time
        from pathlib import Path
        from atlas.local.postgres import Postgres
        server = Postgres(Path(sys.argv[1]))
        server.start()
        connection = psycopg2.connect(server.url())
        connection.autocommit = True
        connection.cursor().execute("CREATE TABLE t AS SELECT 42 AS a")
        print(server.pid, flush=True)
        time.sleep(600)
    """
    parent = program(source, tmp_path / "home")
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    server.start()
    assert server.pid != orphan
    assert run(server.url(), "SELECT a FROM t") == [(42,)]


def test_starts_after_sigkill_of_the_server_with_a_busy_backend(server: Postgres) -> None:
    server.start()
    run(server.url(), "CREATE TABLE t AS SELECT 42 AS a")
    connection = psycopg2.connect(server.url())
    pid = connection.info.backend_pid
    busy = threading.Thread(target=_count_for_ever, args=[connection])
    busy.start()
    # It counts, and looks up for nobody: this one outlives its postmaster.
    backend, when = psutil.Process(pid), leftovers.created(pid)
    while backend.cpu_times().user == 0:
        pass
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    server.start()
    assert run(server.url(), "SELECT a FROM t") == [(42,)]
    assert not leftovers.alive(pid, when)
    busy.join()
    connection.close()


def _count_for_ever(connection: psycopg2.extensions.connection) -> None:
    with contextlib.suppress(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM generate_series(1, 1000000000000) AS n")


@pytest.mark.parametrize(
    "content", ["", "{pid}\n{data}\n1700000000\n5432\n{run}\n\n  0 0\nready\n"]
)
def test_stale_pid_file_that_names_somebody_else(
    server: Postgres, tmp_path: Path, content: str
) -> None:
    server.start()
    server.stop()
    # The case PostgreSQL does not see through: a process of its own user has the pid by now.
    other = spawn(["sleep", "600"], unprivileged=True)
    home = tmp_path / "home"
    run_directory = files.socket_directory(home)
    text = content.format(pid=other.pid, data=home / "postgres", run=run_directory)
    (home / "postgres" / "postmaster.pid").write_text(text)
    (run_directory / ".s.PGSQL.5432.lock").write_text(text)
    (run_directory / ".s.PGSQL.5432").touch()
    try:
        server.start()
        assert run(server.url(), "SELECT 1") == [(1,)]
        assert other.poll() is None
    finally:
        end(other, grace=0.0, first=signal.SIGKILL)


def test_initdb_that_was_killed_is_made_anew(server: Postgres, tmp_path: Path) -> None:
    half = tmp_path / "home" / "postgres.new-half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert run(server.url(), "SELECT 1") == [(1,)]
    assert not half.exists()


def test_long_home(tmp_path: Path) -> None:
    home = tmp_path / ("long, and with spaces " + "x" * 150)
    server = Postgres(home, durable=False)
    with server:
        assert run(server.url(), "SELECT 1") == [(1,)]
    stand_in = files.socket_directory(home)
    assert not stand_in.is_relative_to(home)
    assert stat.S_IMODE(stand_in.stat().st_mode) == 0o700
    # Anybody could lay a directory of that name in our way, and listen there.
    stand_in.chmod(0o777)
    try:
        with pytest.raises(AtlasError, match="yours alone"):
            server.start()
    finally:
        stand_in.rmdir()


def test_second_server_of_a_home_is_refused(server: Postgres, tmp_path: Path) -> None:
    server.start()
    with pytest.raises(AtlasError, match="another process runs PostgreSQL"):
        Postgres(tmp_path / "home").start()
    assert run(server.url(), "SELECT 1") == [(1,)]


def test_failure_says_why_in_one_line(server: Postgres, tmp_path: Path) -> None:
    server.start()
    server.stop()
    (tmp_path / "home" / "postgres" / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(AtlasError, match=r"PostgreSQL did not start: .*nonsense") as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert server.pid is None


def test_data_of_another_version(server: Postgres, tmp_path: Path) -> None:
    server.start()
    server.stop()
    (tmp_path / "home" / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(AtlasError, match="made by PostgreSQL 17"):
        server.start()


def test_no_data_in_its_log(
    server: Postgres, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    server.start()
    run(server.url(), "CREATE TABLE t (a int, b text UNIQUE)")
    run(server.url(), "INSERT INTO t VALUES (1, %s)", ["jane@secret.example"])
    for parameters in ([1, "jane@secret.example"], ["jane@secret.example", ""]):
        with pytest.raises(psycopg2.Error):
            run(server.url(), "INSERT INTO t VALUES (%s, %s)", parameters)
    # A crash of a backend, whose statement PostgreSQL would quote.
    connection = psycopg2.connect(server.url())
    timer = threading.Timer(0.2, os.kill, [connection.info.backend_pid, signal.SIGKILL])
    timer.start()
    with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(600), 'jane@secret.example'")
    connection.close()
    timer.join()
    log = tmp_path / "home" / "logs" / "postgres.log"
    eventually(lambda: "was terminated by signal 9" in log.read_text())
    eventually(lambda: log.read_text().count("ready to accept connections") == 2)
    assert "secret.example" not in log.read_text()
