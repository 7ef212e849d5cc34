"""What is wrong with an installation, and what helps: looked for from the outside in.

Nothing is changed, and one thing that is wrong keeps no other from being looked at. What can only
be known with the help of something that is away is left out, not held to be fine.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from atlas.errors import AtlasError
from atlas.layers import staging
from atlas.ledger import measures, migrations, ticks
from atlas.ledger.database import OLDEST, classified, cursor, engine
from atlas.ledger.overview import DEAD
from atlas.ledger.secrets import keys
from atlas.ledger.tables import run_stream
from atlas.lineage.sinks import sinks
from atlas.pii import installed
from atlas.settings import Settings, secret_key
from atlas.sync.queues import QUEUES, info, may_evict

_SKEW = 2.0
_LITTLE = 1 << 30
_OLDEST_REDIS = (6, 2)
_LATE = 120.0


class State(StrEnum):
    """How something is: ``warn`` is fine for now."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was seen, and what to do where it is not fine."""

    what: str
    state: State
    seen: str
    remedy: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, in an order in which an earlier thing may explain a later one."""
    yield from _home(settings)
    yield from _files(settings)
    yield from _redis(settings)
    bound = None
    try:
        bound = engine(settings, pool=1, name="doctor")
        with classified(bound.url.render_as_string(hide_password=True)):
            with bound.connect() as conn:
                yield from _postgresql(conn)
            yield from _ledger(bound, settings)
    except AtlasError as error:
        yield Finding(
            "postgresql", State.FAIL, str(error), "start it, or see to ATLAS_DATABASE_URL"
        )
    finally:
        if bound is not None:
            bound.dispose()


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    if not home.is_dir():
        yield Finding("home", State.WARN, f"{home} is not there", "`atlas up` makes it")
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", State.FAIL, f"{home} cannot be written", "give it to this user")
        return
    yield Finding("home", State.OK, str(home))
    free = shutil.disk_usage(home).free
    yield _judged(
        "disk",
        free >= _LITTLE,
        f"{free >> 20:,} MiB free in {home}",
        "make room: connectors and logs need it, and with the embedded PostgreSQL all data",
    )
    yield from _private(home)


def _private(home: Path) -> Iterator[Finding]:
    """Whether what holds secrets is for its owner alone."""
    for path in (home / "secret.key", home / "tmp"):
        if path.exists():
            open_to = stat.S_IMODE(path.stat().st_mode) & 0o077
            yield _judged(
                "permissions",
                not open_to,
                f"{path} is {stat.filemode(path.stat().st_mode)}",
                f"chmod go-rwx {path}",
            )


def _files(settings: Settings) -> Iterator[Finding]:
    yield _tried(
        "model",
        lambda: installed.see(settings),
        "the model and the recognizers that are asked for are there",
        "workers on queue scan do not start",
    )
    yield _tried(
        "lineage",
        lambda: ", ".join(sink.target for sink in sinks(settings)),
        "",
        "see ATLAS_OPENLINEAGE_*",
    )


def _redis(settings: Settings) -> Iterator[Finding]:
    server = info(settings)
    if server is None:
        yield Finding("redis", State.FAIL, "does not answer", "start it, or see to ATLAS_REDIS_URL")
        return
    version = str(server["redis_version"])
    yield _judged(
        "redis",
        tuple(map(int, version.split(".")[:2])) >= _OLDEST_REDIS,
        f"version {version}",
        "Atlas needs Redis 6.2 or newer",
    )
    limit, policy = server.get("maxmemory", 0), server.get("maxmemory_policy", "unknown")
    yield _judged(
        "redis eviction",
        not may_evict(server),
        f"maxmemory {limit}, maxmemory-policy {policy}",
        "set maxmemory-policy noeviction: this one throws messages away when memory is short",
        State.WARN if settings.redis_may_evict else State.FAIL,
    )
    kept = bool(server.get("aof_enabled"))
    yield _judged(
        "redis persistence",
        kept or settings.embedded,
        "append-only file is on" if kept else "append-only file is off",
        "set appendonly yes: without it a restart of Redis costs the seconds that recovery needs",
        State.WARN,
    )


def _postgresql(conn: sa.Connection) -> Iterator[Finding]:
    version = conn.connection.dbapi_connection.server_version  # type: ignore[union-attr]
    yield _judged(
        "postgresql",
        version >= OLDEST,
        f"version {version // 10000}.{version % 10000}",
        f"Atlas needs PostgreSQL {OLDEST // 10000} or newer",
    )
    row = conn.execute(
        sa.text(
            "SELECT pg_encoding_to_char(encoding) AS encoding,"
            " has_database_privilege(current_database(), 'CREATE') AS may,"
            " extract(epoch FROM clock_timestamp())::float8 AS at FROM pg_database"
            " WHERE datname = current_database()"
        )
    ).one()
    yield _judged(
        "encoding", row.encoding == "UTF8", row.encoding, "create the database with encoding UTF8"
    )
    yield _judged(
        "privileges",
        row.may,
        "may create schemas" if row.may else "may not create schemas",
        "GRANT CREATE ON DATABASE … TO the role of ATLAS_DATABASE_URL",
    )
    skew = abs(time.time() - row.at)
    yield _judged(
        "clock",
        skew <= _SKEW,
        f"this host and PostgreSQL differ by {skew:.1f} s",
        "set both by NTP: leases and schedules go by PostgreSQL's clock, logs by the host's",
        State.WARN,
    )


def _ledger(bound: sa.Engine, settings: Settings) -> Iterator[Finding]:
    at, newest = migrations.current(bound), migrations.head()
    yield _judged(
        "migrations",
        at == newest,
        f"at {at or 'nothing'}, this version is {newest}",
        "run `atlas migrate`",
    )
    if at != newest:
        return
    with bound.connect() as conn:
        yield _tried(
            "secret key",
            lambda: keys(conn, secret_key(settings)),
            "opens what is stored",
            "put the key back that the data were stored with",
        )
    with bound.connect() as conn:
        state = measures.state(conn, dead=DEAD)
        yield from _work(settings, state)
        yield from _orphans(conn)


def _work(settings: Settings, state: dict[str, dict[str | None, float]]) -> Iterator[Finding]:
    alive = state.get("workers", {})
    idle = [queue for queue in QUEUES if not alive.get(queue)]
    yield _judged(
        "workers",
        not idle,
        "every queue is served" if not idle else f"nobody serves {', '.join(idle)}",
        "start a worker for each: `atlas up`, or as Procfile has it",
    )
    ages = state.get("tick_age", {})
    patience = {name: max(_LATE, 3 * ticks.interval(settings, name)) for name in ticks.NAMES}
    late = [name for name, most in patience.items() if ages.get(name, most) >= most]
    yield _judged(
        "ticks",
        not late,
        "are done in their time" if not late else f"not done in their time: {', '.join(late)}",
        "a worker on queue control does them",
    )
    dead = int(state.get("leases_dead", {}).get(None, 0))
    yield _judged(
        "leases",
        not dead,
        f"{dead} stages have lost their worker",
        "recovery takes them up within seconds, if a worker on queue control runs",
        State.WARN,
    )
    waiting = int(state.get("outbox", {}).get(None, 0))
    oldest = state.get("outbox_oldest", {}).get(None, 0.0)
    yield _judged(
        "outbox",
        oldest < _LATE,
        f"{waiting} messages wait, the oldest for {oldest:.0f} s",
        "Redis is away, or no worker on queue control relays",
        State.WARN,
    )


def _orphans(conn: sa.Connection) -> Iterator[Finding]:
    there = set(staging.left(cursor(conn)))
    known = set(
        conn.execute(sa.select(run_stream.c.id).where(run_stream.c.id.in_(there))).scalars()
    )
    lost = len(there - known)
    yield _judged(
        "staging tables",
        not lost,
        f"{len(there) - lost} in use, {lost} of streams that no run knows",
        "drop pipeline.staging_N of those: they hold copies of raw rows",
        State.WARN,
    )


def _judged(
    what: str, fine: bool, seen: str, remedy: str, otherwise: State = State.FAIL
) -> Finding:
    return Finding(what, State.OK, seen) if fine else Finding(what, otherwise, seen, remedy)


def _tried(what: str, look: Callable[[], Any], seen: str, remedy: str) -> Finding:
    try:
        found = look()
    except AtlasError as error:
        return Finding(what, State.FAIL, str(error), remedy)
    return Finding(what, State.OK, seen or str(found))
