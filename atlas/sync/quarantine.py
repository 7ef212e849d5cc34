"""What people do about rows that were set aside: put right, override, reprocess, discard.

A row is put right and reprocessed in one go: its corrected record is written into explore with the
request, as a row of the run that takes it up, and nowhere else. So no value waits in the control
plane, and what reaches rows of explore (an erasure, a retention) reaches this one.
"""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from atlas.errors import ActiveRun, NotFound, UsageError
from atlas.layers import database, marks, names, quarantine, reprocess
from atlas.layers.names import Tables
from atlas.layers.reprocess import Chosen
from atlas.ledger import audit, backlog, connections, datasets, runs
from atlas.ledger.database import classified, cursor
from atlas.model.stream import StreamKey
from atlas.quality.plan import plan
from atlas.settings import Settings, secret_key
from atlas.stages.reprocess import overridable
from atlas.sync import dispatch

MOST = 1000
"""Most rows that are named in one request."""

_LONGEST = 1000
_TOLD = 10_000  # ids in one entry of the audit log


class Asked(NamedTuple):
    """What came of a request to reprocess."""

    run_id: str
    rows: int


@dataclass(frozen=True, slots=True)
class Request:
    """Which rows are to be reprocessed, and how.

    Attributes:
        rows: ids of rows in the quarantine.
        check: instead of ids: all rows that failed this check.
        every: instead of ids: all rows.
        values: what is put right: JSON texts by property, by the id of the row.
        overrides: names of checks that are not to set these rows aside.
        why: the reason; an override needs one.
    """

    rows: Sequence[int] = ()
    check: str | None = None
    every: bool = False
    values: Mapping[int, Mapping[str, str]] = field(default_factory=dict, repr=False)
    overrides: Sequence[str] = ()
    why: str | None = None

    def chosen(self) -> Chosen:
        """The rows.

        Raises:
            UsageError: nothing says which, or too much does.
        """
        return choice([*self.rows, *self.values], self.check, every=self.every)


def choice(rows: Sequence[int], check: str | None, *, every: bool) -> Chosen:
    """The rows that are meant by ids, by a check, or all of them.

    Raises:
        UsageError: not one of the three says which, or too many rows are named.
    """
    ids = tuple(dict.fromkeys(rows))
    if bool(ids) + (check is not None) + every != 1:
        raise UsageError("say which rows: by their ids, by the check that they failed, or all")
    if len(ids) > MOST:
        raise UsageError(f"{len(ids)} rows are too many to be named: up to {MOST} at once")
    if any(not 0 <= number < 2**63 for number in ids):
        raise UsageError("a row's id is a whole number, as the list of the quarantine has it")
    return Chosen(ids, check)


def record_reprocess(
    conn: sa.Connection, settings: Settings, name: str, asked: Request, *, actor: str
) -> Asked:
    """Write down that rows of a dataset's quarantine are to go through the stages again, in the
    caller's transaction; nothing of them has changed until the run promotes them.

    Args:
        actor: who asks, such as ``api: nightly``.

    Returns:
        The run, whose id is to be given to :func:`dispatch.start` after the commit, and how many
        rows it takes up.

    Raises:
        NotFound: there is no such dataset, connection or row. UsageError: it does not make sense;
            the message says why, and holds no value. ActiveRun: a run of the connection is active.
    """
    chosen = asked.chosen()
    why = None if asked.why is None and not asked.overrides else _reason(asked.why)
    connection, key, tables = _find(conn, name)
    cur = cursor(conn)
    values = _by_property(conn, connection, key, asked.values)
    _known_checks(conn, settings, connection, key, asked.overrides)
    # First, for from now on no other run touches the quarantine.
    run_id = runs.create(
        conn, connection=connection, trigger=runs.REPROCESS, selected=[str(key)], full_refresh=False
    )
    rows = reprocess.choose(cur, tables, run_id, chosen)
    if (missing := reprocess.missing(cur, tables, run_id, chosen.ids)) is not None:
        raise NotFound(missing)
    if not rows:
        which = "is in" if asked.check is None else f"failed {asked.check[:200]!r} in"
        raise NotFound(f"no row that can be reprocessed {which} the quarantine of {name}")
    if values:
        reprocess.mend(cur, tables, run_id, values)
    if asked.overrides:
        stranger = reprocess.waive(cur, tables, run_id, asked.overrides)
        if stranger is not None:
            raise UsageError(
                f"row {stranger} did not fail {' or '.join(asked.overrides)}: there is nothing to "
                "override"
            )
    told = {
        "run_id": run_id,
        "rows": rows,
        "ids": list(chosen.ids) or None,
        "check": asked.check,
        "mended": {str(number): sorted(each) for number, each in values.items()} or None,
        "overrides": list(asked.overrides) or None,
        "why": why,
    }
    audit.put(
        conn, actor, "quality.reprocess", name, {k: v for k, v in told.items() if v is not None}
    )
    return Asked(run_id, rows)


def request_reprocess(
    engine: sa.Engine, settings: Settings, name: str, asked: Request, *, actor: str
) -> Asked:
    """:func:`record_reprocess` in a transaction of its own, then try to wake a worker.

    Raises:
        As :func:`record_reprocess`, and TransientError when PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        made = record_reprocess(conn, settings, name, asked, actor=actor)
    dispatch.start(engine, [made.run_id])
    return made


def discard(
    conn: sa.Connection,
    name: str,
    chosen: Chosen,
    *,
    actor: str,
    why: str,
    most: int | None = None,
) -> int:
    """Take rows out of a dataset's quarantine for good, of many the ``most`` oldest; returns how
    many. Their raw rows stay in explore, their number in the accounts of the run that set them
    aside, and who did it and why in the audit log.

    Raises:
        NotFound: there is no such dataset or row. UsageError: no reason is given.
        ActiveRun: a run is at work on the quarantine.
    """
    why = _reason(why)
    connection, _, tables = _find(conn, name)
    see_idle(conn, connection, before="rows of its quarantine are discarded")
    gone = quarantine.discard(cursor(conn), tables, chosen, most=most)
    left = sorted(set(chosen.ids) - {number for number, _ in gone})
    if left:
        raise NotFound(f"row {left[0]} is not in the quarantine of {name}")
    for start in range(0, len(gone), _TOLD):
        some = gone[start : start + _TOLD]
        checks: dict[str, int] = {}
        for _, failed in some:
            for check in failed:
                checks[check] = checks.get(check, 0) + 1
        audit.put(
            conn,
            actor,
            "quality.discard",
            name,
            {"rows": len(some), "ids": [n for n, _ in some], "checks": checks, "why": why},
        )
    return len(gone)


def see_idle(conn: sa.Connection, connection: str, *, before: str) -> None:
    """See that no run is at work on old rows of a connection, and that none begins until the
    transaction ends; a sync has only rows of its own.

    Args:
        before: what is to be done, for the error.

    Raises:
        ActiveRun: one is.
    """
    with contextlib.suppress(NotFound):  # a connection that was deleted has no runs any more
        connections.lock(conn, connection)
    active = runs.active_of_name(conn, connection)
    if active is not None and not runs.get(conn, active).syncs:
        raise ActiveRun(connection, active, before=before)


def expire(conn: sa.Connection, name: str, days: int, *, most: int) -> int:
    """Discard of what has been in the quarantine of a dataset for more than ``days`` days the
    ``most`` oldest rows; returns how many.

    Raises:
        ActiveRun: a run is at work on the quarantine.
    """
    connection, key = datasets.find(conn, name)
    if not quarantine.count(cursor(conn), connection, key, Chosen(days=days)):
        return 0
    why = f"expired: set aside more than {days} days ago"
    return discard(conn, name, Chosen(days=days), actor="atlas", why=why, most=most)


def _find(conn: sa.Connection, name: str) -> tuple[str, StreamKey, Tables]:
    connection, key = datasets.find(conn, name)
    cur = cursor(conn)
    tables = names.stored(cur, connection, key)
    if tables is None or not database.exists(cur, "chart", tables.quarantine):
        raise NotFound(f"dataset {name} has no quarantine: it has not come to chart yet")
    return connection, key, tables


def _reason(why: str | None) -> str:
    text = " ".join((why or "").split())
    if not text or len(text) > _LONGEST:
        raise UsageError(f"say why, in up to {_LONGEST} characters: others will read it")
    return text


def _by_property(
    conn: sa.Connection,
    connection: str,
    key: StreamKey,
    values: Mapping[int, Mapping[str, str]],
) -> dict[int, dict[str, str]]:
    """What is put right, by property also where it was said by column.

    Raises:
        UsageError: the stream has no such property, or a value is no JSON.
    """
    if not values:
        return {}
    columns = names.columns(cursor(conn), connection, key, {}).all
    known = {column.name: column.property for column in columns}
    known |= {column.property: column.property for column in columns}
    found: dict[int, dict[str, str]] = {}
    for number, each in values.items():
        if not each:
            raise UsageError(f"row {number}: say which property gets which value")
        for name, text in each.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(known))}"
                raise UsageError(f"row {number}: the stream has no property {name[:100]!r}: {hint}")
            try:
                json.loads(text)
                text.encode()  # half a character, or bytes that were none
            except (ValueError, RecursionError):
                # not "from error": its text quotes the value
                raise UsageError(
                    f"row {number}: {name}: the value is no JSON; a text stands in double quotes"
                ) from None
            mended = found.setdefault(number, {})
            if known[name] in mended:
                raise UsageError(
                    f"row {number}: {known[name][:100]!r} is said twice, once by its column's name"
                )
            mended[known[name]] = text
    return found


def _known_checks(
    conn: sa.Connection,
    settings: Settings,
    connection: str,
    key: StreamKey,
    overrides: Sequence[str],
) -> None:
    """See that people may override these checks of a stream.

    Raises:
        UsageError: one of them says whether a row has a place in its table at all, or is none.
    """
    if not overrides:
        return
    last = next((item for item in backlog.promoted(conn, connection) if item.key == key), None)
    if last is None:
        raise UsageError(f"stream {key} has not come to chart yet")
    configured = last.configured
    columns = names.columns(cursor(conn), connection, key, configured.json_schema).all
    named = {column.property: column.name for column in columns}
    held = connections.get(conn, secret_key(settings), connection).connection
    checks = plan(
        key.name,
        columns,
        tuple(named.get(path[0], path[0]) for path in configured.primary_key),
        named.get(configured.cursor_field[0]) if configured.cursor_field else None,
        asked=held.quality.of(key),
    )
    allowed = overridable(checks)
    for check in overrides:
        if check in allowed:
            continue
        if marks.unconditional(check) or any(each.name == check for each in checks.checks):
            raise UsageError(
                f"check {check} cannot be overridden: a row that fails it has no place in its "
                "table; put its values right, or discard it"
            )
        raise UsageError(
            f"the stream has no check {check[:200]!r} any more: reprocess the rows as they are"
        )
