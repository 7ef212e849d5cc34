"""What is wrong with an installation, and what helps: looked for from the outside in.

Nothing is changed, and one thing that is wrong keeps no other from being looked at. What can only
be known with the help of something that is away is left out, not held to be fine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from atlas.errors import AtlasError
from atlas.layers import staging
from atlas.ledger import measures, migrations, outbox, readers, ticks
from atlas.ledger.database import OLDEST, classified, cursor, engine
from atlas.ledger.overview import DEAD
from atlas.ledger.secrets import keys
from atlas.ledger.tables import run_stream
from atlas.settings import Settings, secret_key
from atlas.sync import doctor_host, mail
from atlas.sync.findings import Finding, State, judged, some, tried
from atlas.sync.queues import QUEUES, info, may_evict

_SKEW = 2.0
_OLDEST_REDIS = (6, 2)
_LATE = 120.0
_FULL = 0.9
_WAITED = 900.0


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, in an order in which an earlier thing may explain a later one."""
    yield from doctor_host.examine(settings)
    yield from _mail(settings)
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


def _mail(settings: Settings) -> Iterator[Finding]:
    if settings.smtp_host is None:
        return
    try:
        with mail.connected(settings):
            pass
        yield Finding("mail", State.OK, f"{settings.smtp_host} lets us in")
    except mail.Unsent as error:
        said = error.kind if error.status is None else f"{error.kind} {error.status}"
        seen = f"{settings.smtp_host} does not let us in: {said}"
        yield Finding("mail", State.FAIL, seen, "see to it, or to ATLAS_SMTP_*: people wait for it")


def _redis(settings: Settings) -> Iterator[Finding]:
    server = info(settings)
    if server is None:
        yield Finding("redis", State.FAIL, "does not answer", "start it, or see to ATLAS_REDIS_URL")
        return
    yield from _redis_server(server)
    yield from _redis_kept(settings, server)


def _redis_server(server: dict[str, Any]) -> Iterator[Finding]:
    version = str(server["redis_version"])
    yield judged(
        "redis",
        tuple(map(int, version.split(".")[:2])) >= _OLDEST_REDIS,
        f"version {version}",
        "Atlas needs Redis 6.2 or newer",
    )
    role = server.get("role")
    yield judged(
        "redis role",
        role == "master",
        f"it is a {role}",
        "point ATLAS_REDIS_URL at the one that takes writes",
    )
    yield _clock("clock of redis", "Redis", server["at"], "slots of connectors go by Redis's clock")


def _clock(what: str, whose: str, at: float, why: str) -> Finding:
    skew = abs(time.time() - at)
    return judged(
        what,
        skew <= _SKEW,
        f"this host and {whose} differ by {skew:.1f} s",
        f"set both by NTP: {why}",
        State.WARN,
    )


def _redis_kept(settings: Settings, server: dict[str, Any]) -> Iterator[Finding]:
    limit, policy = server.get("maxmemory", 0), server.get("maxmemory_policy", "unknown")
    yield judged(
        "redis eviction",
        not may_evict(server),
        f"maxmemory {limit}, maxmemory-policy {policy}",
        "set maxmemory-policy noeviction: this one throws messages away when memory is short",
        State.WARN if settings.redis_may_evict else State.FAIL,
    )
    used = int(server.get("used_memory", 0))
    yield judged(
        "redis memory",
        not limit or used < _FULL * limit,
        f"{used >> 20:,} MiB used" + (f" of {limit >> 20:,} MiB" if limit else ""),
        "raise maxmemory: when it is full no message is taken any more",
    )
    failed = [
        which
        for which, key in (
            ("append-only file", "aof_last_write_status"),
            ("snapshot", "rdb_last_bgsave_status"),
        )
        if server.get(key, "ok") != "ok"
    ]
    yield judged(
        "redis disk",
        not failed,
        f"the last write of the {' and the '.join(failed)} failed"
        if failed
        else "what it wrote last is written",
        "see its log and the disk of its `dir`: meanwhile it takes no message",
    )
    kept = bool(server.get("aof_enabled"))
    yield judged(
        "redis persistence",
        kept or settings.embedded,
        "append-only file is on" if kept else "append-only file is off",
        "set appendonly yes: without it a restart of Redis costs the seconds that recovery needs",
        State.WARN,
    )


def _postgresql(conn: sa.Connection) -> Iterator[Finding]:
    version = conn.connection.dbapi_connection.server_version  # type: ignore[union-attr]
    yield judged(
        "postgresql",
        version >= OLDEST,
        f"version {version // 10000}.{version % 10000}",
        f"Atlas needs PostgreSQL {OLDEST // 10000} or newer",
    )
    row = conn.execute(
        sa.text(
            "SELECT pg_encoding_to_char(encoding) AS encoding,"
            " has_database_privilege(current_database(), 'CREATE') AS may,"
            " pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
            " AS read_only,"
            " current_setting('autovacuum')::boolean AS vacuums,"
            " pg_database_size(current_database()) AS bytes,"
            # Of all databases, which takes no right to see whose they are.
            " (SELECT sum(numbackends)::int FROM pg_stat_database) AS sessions,"
            " current_setting('max_connections')::int"
            "   - current_setting('superuser_reserved_connections')::int AS most,"
            " extract(epoch FROM clock_timestamp())::float8 AS at FROM pg_database"
            " WHERE datname = current_database()"
        )
    ).one()
    yield judged(
        "encoding", row.encoding == "UTF8", row.encoding, "create the database with encoding UTF8"
    )
    yield judged(
        "privileges",
        row.may,
        "may create schemas" if row.may else "may not create schemas",
        "GRANT CREATE ON DATABASE … TO the role of ATLAS_DATABASE_URL",
    )
    yield judged(
        "writes",
        not row.read_only,
        "are refused" if row.read_only else "are taken",
        "point ATLAS_DATABASE_URL at the server that takes writes; this one is a standby, or its "
        "default_transaction_read_only is on",
    )
    yield judged(
        "autovacuum",
        row.vacuums,
        "on" if row.vacuums else "off",
        "switch it on: the ledger's tables are updated all the time, and grow without",
        State.WARN,
    )
    yield judged(
        "sessions",
        row.sessions < _FULL * row.most,
        f"{row.sessions} of {row.most}",
        "raise max_connections, or run fewer processes (docs/sizing.md has the sum)",
        State.WARN,
    )
    yield Finding("database size", State.OK, f"{row.bytes >> 20:,} MiB")
    yield _clock(
        "clock",
        "PostgreSQL",
        row.at,
        "leases and schedules go by PostgreSQL's clock, logs by the host's",
    )


def _ledger(bound: sa.Engine, settings: Settings) -> Iterator[Finding]:
    at, newest = migrations.current(bound), migrations.head()
    yield judged(
        "migrations",
        at == newest,
        f"at {at or 'nothing'}, this version is {newest}",
        "run `atlas migrate`",
    )
    if at != newest:
        return
    with bound.connect() as conn:
        yield tried(
            "secret key",
            lambda: keys(conn, secret_key(settings)),
            "opens what is stored",
            "put the key back that the data were stored with",
        )
    with bound.connect() as conn:
        state = measures.state(conn, dead=DEAD)
        yield from _work(settings, state)
        yield from _runs(conn)
        yield judged(
            "reader role",
            readers.exists(conn),
            f"{readers.ROLE} is there" if readers.exists(conn) else f"{readers.ROLE} is not there",
            f"have `CREATE ROLE {readers.ROLE}` said by one who may, then `atlas migrate`",
            State.WARN,
        )
        yield from _orphans(conn)


def _work(settings: Settings, state: dict[str, dict[str | None, float]]) -> Iterator[Finding]:
    alive = state.get("workers", {})
    idle = [queue for queue in QUEUES if not alive.get(queue)]
    yield judged(
        "workers",
        not idle,
        "every queue is served" if not idle else f"nobody serves {', '.join(idle)}",
        "start a worker for each: `atlas up`, or as Procfile has it",
    )
    ages = state.get("tick_age", {})
    patience = {name: max(_LATE, 3 * ticks.interval(settings, name)) for name in ticks.NAMES}
    late = [name for name, most in patience.items() if ages.get(name, most) >= most]
    yield judged(
        "ticks",
        not late,
        "are done in their time" if not late else f"not done in their time: {', '.join(late)}",
        "a worker on queue control does them",
    )
    dead = int(state.get("leases_dead", {}).get(None, 0))
    yield judged(
        "leases",
        not dead,
        f"{dead} stages have lost their worker",
        "recovery takes them up within seconds, if a worker on queue control runs",
        State.WARN,
    )
    waiting = int(state.get("outbox", {}).get(None, 0))
    oldest = state.get("outbox_oldest", {}).get(None, 0.0)
    yield judged(
        "outbox",
        oldest < _LATE,
        f"{waiting} messages wait, the oldest for {oldest:.0f} s",
        "Redis is away, or no worker on queue control relays",
        State.WARN,
    )


def _runs(conn: sa.Connection) -> Iterator[Finding]:
    waiting = outbox.forsaken(conn, _WAITED)
    yield judged(
        "runs",
        not waiting,
        f"nobody has taken up for {_WAITED / 60:.0f} min: {some(waiting)}"
        if waiting
        else "none waits for long",
        "workers are too few, or stuck: `atlas status` and Flower show what they do; "
        "`atlas runs cancel RUN` frees the connection",
        State.WARN,
    )


def _orphans(conn: sa.Connection) -> Iterator[Finding]:
    there = set(staging.left(cursor(conn)))
    known = set(
        conn.execute(sa.select(run_stream.c.id).where(run_stream.c.id.in_(there))).scalars()
    )
    lost = len(there - known)
    yield judged(
        "staging tables",
        not lost,
        f"{len(there) - lost} in use, {lost} of streams that no run knows",
        "drop pipeline.staging_N of those: they hold copies of raw rows",
        State.WARN,
    )
