"""PostgreSQL at its limits: a full disk, its timeouts, an outage. The stage is tried again, the
run's document says why, nothing half written stays, and the end is as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from psycopg2 import sql

from atlas.local.postgres import Postgres
from tests.e2e.conftest import Atlas, check_events, source
from tests.e2e.data import layers, row, write

LEASE = 3
OPTIONS: dict[str, Any] = {"state_every": 20, "exclusive": True}


class Guest(Atlas):
    """A stack whose PostgreSQL is another's."""

    @property
    def engine(self) -> sa.Engine:
        """An engine on that database."""
        return sa.create_engine(self.extra["ATLAS_DATABASE_URL"], poolclass=sa.NullPool)


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A file system of 8 MB in memory; None where none may be mounted."""
    place = tmp_path_factory.mktemp("disk")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "atlas-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        yield None
        return
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def server(mounted: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop; gone before its file system is."""
    with Postgres(tmp_path_factory.mktemp("server"), durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def limited(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atlas]:
    """A stack on that server, with tight limits."""
    stack = Guest(
        tmp_path_factory.mktemp("limited"),
        {
            "ATLAS_DATABASE_URL": server.url(),
            "ATLAS_LEASE_SECONDS": str(LEASE),
            "ATLAS_RECOVERY_INTERVAL": "1",
            "ATLAS_RELAY_INTERVAL": "1",
            "ATLAS_REDISPATCH_SECONDS": "5",
            "ATLAS_RETRY_BASE_SECONDS": "0.5",
            "ATLAS_RETRY_MAX_SECONDS": "2",
            "ATLAS_CHECKPOINT_ROWS": "20",
            "ATLAS_STATEMENT_TIMEOUT": "4",
            "ATLAS_LOCK_TIMEOUT": "1",
        },
    )
    stack.run("up", "--detach")
    yield stack
    try:
        check_events(stack)
    finally:
        stack.run("down")


@contextlib.contextmanager
def _admin(server: Postgres) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(server.url(), application_name="test")) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            yield cursor


def _two_syncs(atlas: Atlas, rows: Path, name: str, second: Callable[[], Any]) -> Any:
    write(rows, *(row(n, n) for n in range(1, 31)))
    atlas.apply(source(name, rows, **OPTIONS))
    atlas.sync(name)
    write(rows, *(row(n, 60 + n, amount=n) for n in range(21, 321)))
    second()
    return layers(atlas, name)


@pytest.fixture(scope="module")
def undisturbed(limited: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What two syncs leave when nothing happens to them."""
    rows = tmp_path_factory.mktemp("calm") / "rows.json"
    return _two_syncs(limited, rows, "calm", lambda: limited.sync("calm"))


def _still_open(cursor: Any, transactions: list[Any]) -> Any:
    """Those of the transactions, told by process and start, that have not ended."""
    cursor.execute("SELECT pid, xact_start FROM pg_stat_activity WHERE xact_start IS NOT NULL")
    return set(transactions) & set(cursor.fetchall())


def _stage(document: Any, stage: str) -> Any:
    stages = [*document["stages"], *(s for p in document["streams"] for s in p["stages"])]
    return next((found for found in stages if found["stage"] == stage), {"error": None})


def _tried_again(atlas: Atlas, run_id: str, stage: str, words: str) -> Any:
    """Wait until the run's document says that the stage met this and is to be tried again."""
    return atlas.until(
        lambda: words in (_stage(d := atlas.document(run_id), stage)["error"] or "") and d,
        what=lambda: atlas.document(run_id),
    )


def _committed(atlas: Atlas, name: str) -> Any:
    """Rows in the layers, and those that the ledger knows to be there."""
    return atlas.rows(
        f"SELECT (SELECT count(*) FROM explore.{name}_orders_raw),"
        " (SELECT sum(g.rows) FROM pipeline.segment g"
        "   JOIN pipeline.run_stream s ON s.id = g.run_stream_id"
        "   JOIN pipeline.run r ON r.id = s.run_id WHERE r.connection = :c),"
        f" (SELECT count(*) FROM chart.{name}_orders),"
        f" (SELECT count(*) FROM navigate.{name}_orders)",
        c=name,
    )[0]


class SmallDisk:
    """A tablespace on a file system of its own, which can be filled."""

    def __init__(self, place: Path) -> None:
        self._ballast = place / "ballast"
        self.place = place / "space"

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(4096))

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def disk(server: Postgres, mounted: Path | None) -> SmallDisk:
    """The small file system with tablespace ``small``."""
    if mounted is None:
        pytest.skip("no file system may be mounted here, so none can be filled")
    disk = SmallDisk(mounted)
    disk.place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(disk.place, "nobody")
    with _admin(server) as cursor:
        cursor.execute("CREATE TABLESPACE small LOCATION %s", (str(disk.place),))
    return disk


def _end_sessions(cursor: Any) -> None:
    """So that each process connects anew."""
    cursor.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE application_name LIKE 'atlas%'"
    )


@pytest.mark.parametrize("stage", ["explore", "pii", "chart"])
def test_a_full_disk(
    limited: Atlas,
    server: Postgres,
    disk: SmallDisk,
    undisturbed: Any,
    tmp_path: Path,
    stage: str,
) -> None:
    name = f"full_{stage}"
    table = {
        "explore": sql.Identifier("explore", f"{name}_orders_raw"),
        "chart": sql.Identifier("chart", f"{name}_orders"),
    }.get(stage)

    def second() -> None:
        before = _committed(limited, name)
        with _admin(server) as cursor:
            if table is not None:
                cursor.execute(sql.SQL("ALTER TABLE {} SET TABLESPACE small").format(table))
            else:  # the staging table, which is not there yet
                cursor.execute("ALTER DATABASE atlas SET default_tablespace = 'small'")
                _end_sessions(cursor)
        disk.fill()
        try:
            run_id = limited.start(name)
            found = _tried_again(limited, run_id, stage, "its disk is full: free space there")
            assert found["status"] == "running"
            raw, known, chart, history = _committed(limited, name)
            assert raw == known
            assert (chart, history) == before[2:]
        finally:
            disk.free()
        document = limited.wait(run_id)
        assert document["status"] == "succeeded", document
        assert _stage(document, stage)["attempt"] > 1
        with _admin(server) as cursor:
            cursor.execute("ALTER DATABASE atlas RESET default_tablespace")
            _end_sessions(cursor)

    assert _two_syncs(limited, tmp_path / "rows.json", name, second) == undisturbed


def test_a_statement_that_takes_too_long(
    limited: Atlas, server: Postgres, undisturbed: Any, tmp_path: Path
) -> None:
    def second() -> None:
        before = _committed(limited, "slow")
        with _admin(server) as cursor:
            cursor.execute(
                "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql"
                " AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';"
                "CREATE TRIGGER slow BEFORE INSERT ON chart.slow_orders"
                " EXECUTE FUNCTION public.slow()"
            )
            run_id = limited.start("slow")
            _tried_again(limited, run_id, "chart", "ATLAS_STATEMENT_TIMEOUT")
            assert _committed(limited, "slow")[2:] == before[2:]
            cursor.execute("DROP FUNCTION public.slow CASCADE")
        assert limited.wait(run_id)["status"] == "succeeded"

    assert _two_syncs(limited, tmp_path / "rows.json", "slow", second) == undisturbed


def test_a_lock_that_is_not_given(
    limited: Atlas, server: Postgres, undisturbed: Any, tmp_path: Path
) -> None:
    def second() -> None:
        with _admin(server) as cursor:
            cursor.execute("BEGIN; LOCK TABLE chart.locked_orders IN SHARE MODE")
            run_id = limited.start("locked")
            _tried_again(limited, run_id, "chart", "ATLAS_LOCK_TIMEOUT")
            cursor.execute("ROLLBACK")
        assert limited.wait(run_id)["status"] == "succeeded"

    assert _two_syncs(limited, tmp_path / "rows.json", "locked", second) == undisturbed


def _in_the_midst(atlas: Atlas, run_id: str, stage: str) -> bool:
    return bool(
        atlas.rows(
            "SELECT 1 FROM pipeline.stage_run WHERE run_id = :r AND stage = :s"
            " AND status = 'running' AND (stage <> 'explore' OR EXISTS ("
            "  SELECT FROM pipeline.segment g JOIN pipeline.run_stream p"
            "  ON p.id = g.run_stream_id WHERE p.run_id = :r))",
            r=run_id,
            s=stage,
        )
    )


@pytest.mark.parametrize("stage", ["explore", "chart"])
@pytest.mark.parametrize("outages", [1, 10])
def test_postgresql_is_gone(
    limited: Atlas,
    server: Postgres,
    undisturbed: Any,
    tmp_path: Path,
    stage: str,
    outages: int,
) -> None:
    """Once for twice the lease, or ten times for a moment."""
    name = f"gone_{stage}_{outages}"
    rows = tmp_path / "rows.json"

    def second() -> None:
        if stage == "explore":
            marker = str(tmp_path / "stalled")
            stall = {"sleep_after": {"records": 100, "seconds": 2.0}, "fail_once_marker": marker}
            limited.apply(source(name, rows, **OPTIONS, **stall))
        else:
            with _admin(server) as cursor:
                cursor.execute(
                    "CREATE OR REPLACE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql"
                    " AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END'"
                )
                cursor.execute(
                    sql.SQL(
                        "CREATE TRIGGER dawdle BEFORE INSERT ON {} EXECUTE FUNCTION public.dawdle()"
                    ).format(sql.Identifier("chart", f"{name}_orders"))
                )
        run_id = limited.start(name)
        limited.until(lambda: _in_the_midst(limited, run_id, stage))
        assert limited.document(run_id)["finished_at"] is None
        for _ in range(outages):
            server.stop()
            if outages == 1:
                time.sleep(2 * LEASE)
            server.start()
            time.sleep(0.3)
        document = limited.wait(run_id)
        assert document["status"] == "succeeded", document
        # Moments may all fall between explore's transactions, and then cost it nothing.
        if outages == 1 or stage == "chart":
            assert _stage(document, stage)["attempt"] > 1

    assert _two_syncs(limited, rows, name, second) == undisturbed
    # A stack at work is between two statements now and then; a transaction that leaked stays so.
    with _admin(server) as cursor:
        cursor.execute(
            "SELECT pid, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        )
        idle = cursor.fetchall()
        # PostgreSQL ends it after 15 s or more, which must not pass for its own end.
        limited.until(lambda: not _still_open(cursor, idle), 8, what=lambda: idle)
