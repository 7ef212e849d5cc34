"""Every session of Atlas has its limits from its first statement on, and what a limit or an
outage raises is told apart from what no repetition mends."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from atlas.errors import TerminalError, TransientError
from atlas.ledger import database, migrations
from atlas.model.checks import Dimension, OnFailure, Outcome
from atlas.quality.check import Check, Plan
from atlas.quality.soda import SodaHost
from atlas.settings import Settings, parse
from atlas.web import create_app
from atlas.web import database as web_database

LIMITS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "client_connection_check_interval",
)
UP = """
from atlas.cli.stack import prepare
from atlas.settings import settings
prepare(settings().database_url)
"""
WORKER = """
import os, sys
os.environ["ATLAS_REDIS_URL"] = "unix:///nowhere"
from workers.lifecycle import remember_queues
from atlas.ledger.database import round_trip, shared
from atlas.settings import settings
remember_queues(options={"queues": sys.argv[1]})
round_trip(shared(settings()))
"""
CHECKS = "checks for numbers:"
# A login trigger sees each session as it begins, before its first statement.
WATCH = """
CREATE TABLE public.seen (name text, zone text, limits jsonb);
CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.seen VALUES (
        current_setting('application_name'), current_setting('timezone'),
        (SELECT jsonb_object_agg(s.name, s.setting) FROM pg_settings s WHERE s.name = ANY (%s)));
END $$;
CREATE EVENT TRIGGER watch ON login EXECUTE FUNCTION public.watch();
"""


@pytest.fixture
def settings(database_url: str) -> Settings:
    return parse({"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": "s" * 32})


@pytest.fixture
def admin(database_url: str) -> Iterator[Any]:
    """A session of the test's own."""
    opened = psycopg2.connect(database_url, application_name="test")
    opened.autocommit = True
    with opened.cursor() as cursor:
        yield cursor
    opened.close()


def test_every_session_has_limits(settings: Settings, database_url: str, admin: Any) -> None:
    admin.execute("SHOW server_version_num")
    if int(admin.fetchone()[0]) < 170000:
        pytest.skip("PostgreSQL before 17 has no login trigger to see sessions with")
    admin.execute(WATCH, (list(LIMITS),))

    _python("from atlas.cli import main; main()", database_url, "migrate")
    _python(UP, database_url)
    for queues in ("extract", "scan,load"):
        _python(WORKER, database_url, queues)
    with create_app(settings).app_context():
        database.round_trip(web_database.engine())
    admin.execute("CREATE TABLE public.numbers AS SELECT 1 AS n")
    check = Check("rows", Dimension.COMPLETENESS, None, "- row_count > 0", header=CHECKS)
    with SodaHost() as host:
        plan = Plan("numbers", (check,), OnFailure.WARN)
        (result,) = host.scan(database_url, "public", "numbers", plan, 60).results
    assert result.outcome is Outcome.PASS

    admin.execute("SELECT name, zone, limits FROM public.seen")
    seen = admin.fetchall()
    assert {name for name, _, _ in seen} == {
        *("atlas cli", "atlas up", "atlas web", "atlas quality"),
        *("atlas extract", "atlas load,scan"),
    }
    for name, zone, limits in seen:
        assert zone == "UTC", name
        assert all(int(limits[limit]) > 0 for limit in LIMITS), (name, limits)


def test_nothing_else_connects() -> None:
    """A new place where Atlas connects comes into the list above, and here."""
    root = Path(database.__file__).parents[2]
    # Presidio's provider makes engines too, of another kind.
    connecting = re.compile(r"(?<!def )(?<!\)\.)\b(?:psycopg2\.connect|create_engine)\(")
    found = {
        str(path.relative_to(root)): len(connecting.findall(path.read_text()))
        for room in ("atlas", "workers", "alembic")
        for path in (root / room).rglob("*.py")
        if connecting.search(path.read_text())
    }
    assert found == {
        "atlas/ledger/database.py": 1,
        "atlas/quality/host.py": 1,
        # A probe without a statement, and the making of the database.
        "atlas/local/postgres.py": 2,
        # A source's own, which is somebody else's database.
        "atlas/connectors/sources/postgres_connection.py": 1,
    }


def _python(source: str, url: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env=_environment(url),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr


def _environment(url: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}
    return kept | {"ATLAS_DATABASE_URL": url, "ATLAS_SECRET_KEY": "s" * 32}


def test_a_broken_network_is_noticed(settings: Settings) -> None:
    engine = database.engine(settings)
    with engine.connect() as conn:
        given = conn.connection.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
    engine.dispose()
    for name in ("connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout"):
        assert int(given[name]) > 0
    for name in ("tcp_keepalives_idle", "tcp_keepalives_count", "tcp_user_timeout"):
        assert f"-c {name}=" in given["options"]


def test_options_of_the_url_are_kept(settings: Settings, database_url: str) -> None:
    more = "&" if "?" in database_url else "?"
    engine = database.engine(settings, url=f"{database_url}{more}options=-c%20work_mem%3D7MB")
    with engine.connect() as conn:
        assert conn.execute(sa.text("SHOW work_mem")).scalar() == "7MB"
        assert conn.execute(sa.text("SHOW statement_timeout")).scalar() == "1h"
    engine.dispose()


def test_a_process_opens_no_more_than_its_share(settings: Settings, admin: Any) -> None:
    engine = database.engine(settings, pool=2, name="many")
    engine.pool._timeout = 0.2  # type: ignore[attr-defined]
    held = [engine.connect() for _ in range(4)]
    with pytest.raises(TransientError, match="in use"), database.classified():
        engine.connect()
    admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'atlas many'")
    assert admin.fetchone() == (4,)
    for conn in held:
        conn.close()
    engine.dispose()


def test_the_statement_of_a_dead_client_ends(settings: Settings, admin: Any) -> None:
    source = (
        "import sqlalchemy as sa\n"
        "from atlas.ledger.database import engine\n"
        "from atlas.settings import settings\n"
        "with engine(settings(), name='dead').connect() as conn:\n"
        "    conn.execute(sa.text('SELECT pg_sleep(600)'))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", source], env=_environment(str(settings.database_url))
    )
    mine = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'atlas dead'"
    try:
        _until(admin, mine + " AND query LIKE '%%pg_sleep%%' AND state = 'active'", there=True)
    finally:
        child.kill()
        child.wait()
    _until(admin, mine, there=False)


def _until(admin: Any, query: str, *, there: bool) -> None:
    deadline = time.monotonic() + 120
    while True:
        admin.execute(query)
        if bool(admin.fetchall()) is there:
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


TRANSIENT = """
    08000 08006 25006 25P03 25P04 40001 40P01 53000 53100 53200 53300 53400 55P03
    57014 57P01 57P02 57P03 57P05 58030 XX000
""".split()
TERMINAL = "22003 23505 42501 42601 42703 54011 P0001".split()


@pytest.mark.parametrize("code", [*TRANSIENT, *TERMINAL])
def test_codes(server_url: str, code: str) -> None:
    engine = database.engine(parse({"ATLAS_DATABASE_URL": server_url}))
    kind = TransientError if code in TRANSIENT else TerminalError
    statement = f"DO $$ BEGIN RAISE 'row of jane@example.org' USING ERRCODE = '{code}'; END $$"
    with (
        pytest.raises(kind, match=code) as raised,
        database.classified(engine.url.render_as_string()),
        engine.begin() as conn,
    ):
        conn.execute(sa.text(statement))
    assert "jane" not in str(raised.value)
    engine.dispose()


def test_the_limits_themselves(database_url: str, admin: Any) -> None:
    tight = {"ATLAS_STATEMENT_TIMEOUT": "0.4", "ATLAS_LOCK_TIMEOUT": "0.2"}
    engine = database.engine(parse({"ATLAS_DATABASE_URL": database_url, **tight}))
    admin.execute("CREATE TABLE public.locked ()")
    with pytest.raises(TransientError, match="ATLAS_STATEMENT_TIMEOUT"), database.classified():
        _execute(engine, "SELECT pg_sleep(60)")
    admin.execute("BEGIN; LOCK TABLE public.locked")
    with pytest.raises(TransientError, match="ATLAS_LOCK_TIMEOUT"), database.classified():
        _execute(engine, "LOCK TABLE public.locked")
    admin.execute("ROLLBACK")
    engine.dispose()


def _execute(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text(statement))


def _end(admin: Any, conn: sa.Connection) -> None:
    pid = conn.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
    admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def _a_statement(conn: sa.Connection, admin: Any) -> None:
    _end(admin, conn)
    conn.execute(sa.text("SELECT 1"))


def _a_cursor_of_the_driver(conn: sa.Connection, admin: Any) -> None:
    cursor = database.cursor(conn)
    _end(admin, conn)
    cursor.execute("SELECT 1")


def _after_a_savepoint_that_may_fail(conn: sa.Connection, admin: Any) -> None:
    with contextlib.suppress(DBAPIError), conn.begin_nested():
        _a_statement(conn, admin)
    conn.execute(sa.text("SELECT 1"))


@pytest.mark.parametrize(
    "use", [_a_statement, _a_cursor_of_the_driver, _after_a_savepoint_that_may_fail]
)
def test_connections_that_end(settings: Settings, admin: Any, use: Any) -> None:
    engine = database.engine(settings)
    with pytest.raises(TransientError), database.classified(), engine.begin() as conn:
        use(conn, admin)
    # What the pool gives next is alive.
    database.round_trip(engine)
    engine.dispose()


def test_a_copy_whose_connection_ends(settings: Settings, admin: Any) -> None:
    engine = database.engine(settings)
    admin.execute("CREATE TABLE public.copied (t text)")

    class Source:
        """Rows, and the end of the connection in their midst."""

        rows = 0

        def read(self, size: int) -> str:
            self.rows += 1
            if self.rows == 3:
                _end(admin, conn)
            return "x" * 60000 + "\n" if self.rows < 200 else ""

    with (
        pytest.raises(TransientError),
        database.classified(),
        engine.begin() as conn,
    ):
        database.cursor(conn).copy_expert("COPY public.copied FROM STDIN", Source())
    admin.execute("SELECT count(*) FROM public.copied")
    assert admin.fetchone() == (0,)
    engine.dispose()


def test_a_migration_that_waits_for_another_ends(database_url: str, admin: Any) -> None:
    admin.execute("SELECT pg_advisory_lock(%s)", (migrations._LOCK,))
    tight = {"ATLAS_DATABASE_URL": database_url, "ATLAS_LOCK_TIMEOUT": "0.2"}
    engine = database.engine(parse(tight))
    with pytest.raises(TransientError, match="ATLAS_LOCK_TIMEOUT"):
        migrations.upgrade(engine)
    engine.dispose()
