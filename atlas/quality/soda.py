"""Soda's scan of a staging table, in a child process that is kept warm.

Loading Soda takes a second and it keeps its state in globals, so it has a process of its own
(:mod:`atlas.quality.host`), which dies with this one, can be killed when it takes too long, and is
replaced now and then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import parse_dsn

from atlas import process
from atlas.errors import TerminalError, TransientError
from atlas.ledger.database import limits
from atlas.model.checks import CheckResult, OnFailure, Outcome
from atlas.model.stream import Column
from atlas.quality.check import Check, Plan
from atlas.quality.rules import DELETED_AT, EMITTED_AT, ERRORS, data_set, identifier
from atlas.quality.usual import MISSING, ROWS

_OURS = [["_atlas_id", "bigint"], [EMITTED_AT, "timestamptz"], [ERRORS, "jsonb"]]
_WHOLE = ("_atlas_whole", "_atlas_whole_", "_atlas_whole__")
"""What a stream's rows are called with those that mark deletions; it has two names at most."""

MOST_SET_ASIDE = 1_000_000
"""Most rows that a check may set aside without a rule."""

MOST_TOLD = 100
"""How many of the rows are told that a check fails for and that are not set aside."""

_START_SECONDS = 120.0
_SCANS_OF_A_HOST = 500
_GRACE_SECONDS = 2.0

# Nothing of Atlas's settings goes with it: it needs no secret but the database's, which it is told
# on stdin. PG…: where libpq looks for certificates, services and passwords files.
_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH",
    "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGSYSCONFDIR",
    "PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL",
    "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


class Scanned(NamedTuple):
    """What a scan found.

    Attributes:
        results: one for each of the plan's checks, in their order.
        measured: what the plan's measures came to, by column and metric; of missing values, how
            many.
        rows: how many rows there were.
    """

    results: list[CheckResult]
    measured: dict[tuple[str, str], float]
    rows: int

    def missing(self) -> dict[str, int]:
        """Missing values of each column that was measured."""
        found = self.measured.items()
        return {column: int(value) for (column, metric), value in found if metric == MISSING}

    def comparable(self) -> dict[tuple[str, str], float]:
        """What was measured as runs are compared: missing values as a share, and the rows."""
        if not self.rows:
            return {("", ROWS): 0.0}
        shares = {(column, MISSING): n / self.rows for column, n in self.missing().items()}
        return self.measured | shares | {("", ROWS): float(self.rows)}


class SodaHost:
    """The warm process. Started by the first scan, and again after it died or was killed.

    For one thread at a time, which must live as long as the process does: the host ends with it.
    A fork does not inherit it, but starts its own.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._scans = 0
        self._unread = b""

    def __enter__(self) -> SodaHost:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the host, None while there is none."""
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """Break off a scan, from any thread: it ends as that of a host that died."""
        child = self._process
        if child is not None and self._owner == os.getpid() and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    def close(self) -> None:
        """End the host, if there is one."""
        child, self._process = self._process, None
        if child is None or self._owner != os.getpid():
            return
        process.end(child, grace=_GRACE_SECONDS)
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()

    def scan(
        self, database_url: str, schema: str, table: str, plan: Plan, timeout: float
    ) -> Scanned:
        """Evaluate the checks of ``plan`` on ``schema.table``, within ``timeout`` seconds.

        One statement may take half of the time; a check that needs more has the outcome
        ``error``, as has any check that cannot be evaluated.

        Raises:
            TransientError: the database could not be reached, the time was over, or the host
                died. The next scan starts a new one.
            TerminalError: a check is no SodaCL (the message names its line), or the table is
                missing.
        """
        place = {"schema": schema, "table": table}
        return self._scan(database_url, place, plan, timeout)

    def try_out(
        self, database_url: str, columns: Sequence[Column], plan: Plan, timeout: float
    ) -> Scanned:
        """Evaluate the checks of ``plan`` on a staging table of ``columns`` that has no rows.

        Raises:
            TransientError, TerminalError: as of :meth:`scan`.
        """
        typed = [[column.name, column.type.value] for column in columns]
        return self._scan(database_url, {"columns": [*typed, *_OURS]}, plan, timeout)

    def read(self, plan: Plan, timeout: float) -> None:
        """See that the checks of ``plan`` are SodaCL.

        Raises:
            TerminalError: one is not; the message names its line. TransientError: the host died.
        """
        answer = self._ask({"checks": _texts(plan)}, timeout)
        if "error" in answer:
            raise _error(answer, plan)

    def _scan(
        self, database_url: str, place: dict[str, Any], plan: Plan, timeout: float
    ) -> Scanned:
        # A heading of one's own without quotes is SQL's name in lower case.
        names = [data_set(plan.stream), data_set(plan.stream.lower())]
        apart = {name.encode()[:63].decode(errors="ignore"): name for name in reversed(names)}
        free = (name for name in _WHOLE if name not in apart)
        whole = next(free) if plan.deletions else None
        request = {
            "dsn": _connection(database_url, timeout),
            **place,
            "data_sets": [*reversed(apart.values())],
            "whole": whole,
            "only": None if whole is None else DELETED_AT,
            "checks": _texts(plan, whole),
            "named": [_most_ids(check, plan) for check in plan.checks],
            "measures": [measure.soda for measure in plan.measures],
            "timeout": timeout,
        }
        answer = self._ask(request, timeout)
        if "error" in answer:
            raise _error(answer, plan)
        rows = answer["rows"]
        if rows is None:
            raise TransientError(
                f"quality scan of stream {plan.stream}: its rows could not be counted within "
                f"{timeout / 2:g} s: raise ATLAS_QUALITY_TIMEOUT"
            )
        pairs = zip(plan.checks, answer["checks"], strict=True)
        results = [_result(check, plan.gate(check), found, rows) for check, found in pairs]
        measured = {
            (measure.column, measure.metric): value
            for measure, value in zip(plan.measures, answer["measured"], strict=True)
            if value is not None
        }
        return Scanned(results, measured, rows)

    def _ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        if self._owner != os.getpid():
            self._process = None  # the parent's, after a fork
        if self._process is not None and (
            self._scans >= _SCANS_OF_A_HOST or self._process.poll() is not None
        ):
            self.close()
        if self._process is None:
            self._start()
        self._scans += 1
        return self._exchange(json.dumps(request).encode() + b"\n", timeout)

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"OTEL_SDK_DISABLED": "true", "DO_NOT_TRACK": "1", "PYTHONUTF8": "1"}
        self._process = process.spawn(
            [sys.executable, "-m", "atlas.quality.host"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._owner = os.getpid()
        self._scans = 0
        self._unread = b""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        os.set_blocking(self._process.stdin.fileno(), False)
        greeting = self._exchange(b"", _START_SECONDS)
        if "ready" not in greeting:
            self.close()
            raise TerminalError(f"the quality host does not start: {greeting.get('message')}")

    def _exchange(self, request: bytes, timeout: float) -> dict[str, Any]:
        """Send ``request`` and read one line, or kill the host and say why."""
        try:
            return dict(json.loads(self._converse(request, time.monotonic() + timeout)))
        except TimeoutError as error:
            self._kill()
            raise TransientError(
                f"the quality scan took longer than {timeout:g} s and was ended: "
                "raise ATLAS_QUALITY_TIMEOUT"
            ) from error
        except (OSError, EOFError, ValueError) as error:
            status = self._kill()
            raise TransientError(f"the quality host ended with status {status}") from error
        except BaseException:
            # An interruption leaves an answer unread, which the next scan would take for its own.
            self._kill()
            raise

    def _converse(self, request: bytes, deadline: float) -> bytes:
        child = self._process
        assert child is not None and child.stdin is not None and child.stdout is not None  # noqa: S101, PT018
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        if request:
            poll.register(child.stdin, select.POLLOUT)
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == child.stdin.fileno():
                    request = request[os.write(descriptor, request) :]
                    if not request:
                        poll.unregister(descriptor)
                else:
                    data = os.read(descriptor, 1 << 16)
                    if not data:
                        raise EOFError
                    self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _kill(self) -> int | None:
        child = self._process
        if child is None:
            return None
        status = child.poll()
        if status is None:
            status = process.end(child, grace=0, first=9)
        self.close()
        return status


def _texts(plan: Plan, whole: str | None = None) -> list[str]:
    """The checks by themselves; ``whole``: what generated ones are for instead, which leave out by
    their own words what rows that mark deletions do not say."""
    instead = None if whole is None else f"checks for {identifier(whole)}:"
    return [
        f"{(check.line is None and instead) or check.header}\n{check.sodacl}"
        for check in plan.checks
    ]


def _most_ids(check: Check, plan: Plan) -> int:
    """How many ids of failing rows Soda is to tell: all that are to be set aside, some of others,
    none where a rule names them."""
    if check.line is None or check.rule is not None:
        return 0
    return MOST_SET_ASIDE if plan.gate(check) is OnFailure.QUARANTINE else MOST_TOLD


def _connection(database_url: str, timeout: float) -> dict[str, Any]:
    """The parts of a connection URL, with the password that the environment may hold, and the
    limits of a session for a scan of ``timeout`` seconds."""
    try:
        parts: dict[str, Any] = parse_dsn(database_url)
    except psycopg2.ProgrammingError as error:
        raise TerminalError(
            "the database URL cannot be read: correct ATLAS_DATABASE_URL"
        ) from error
    if "password" not in parts and "PGPASSWORD" in os.environ:
        parts["password"] = os.environ["PGPASSWORD"]
    # Half of the time for one statement: a check that runs for ever leaves the others theirs.
    most = max(timeout / 2, 0.001)
    return parts | limits(
        name="atlas quality",
        statement=most,
        lock=most,
        idle=timeout,
        options=parts.get("options", ""),
    )


def _error(answer: dict[str, Any], plan: Plan) -> Exception:
    message = f"quality scan of stream {plan.stream}: {answer['message']}"
    match answer["error"]:
        case "syntax":
            check = plan.checks[answer["check"]]
            if check.line is None:
                return TerminalError(f"{message} (check {check.name})")
            # The line counts from the header that was put before the check.
            inside = max(0, answer["line"] - 1 - (check.header.count("\n") + 1))
            return TerminalError(
                f"{check.origin}, line {check.line + inside}: {answer['message']} "
                f"(stream {plan.stream})"
            )
        case "missing":
            return TerminalError(message)
        case "transient":
            return TransientError(message)
        case _:
            return TransientError(message, max_attempts=2)


def _result(check: Check, gate: OnFailure, found: dict[str, Any], rows: int) -> CheckResult:
    outcome = Outcome(found["outcome"])
    ids: list[int] | None = found["ids"]
    failed: int | None = None if check.whole else found["failed"]
    if outcome is Outcome.ERROR:
        score = 0.0
    elif failed is not None:
        score = max(0.0, 1 - failed / rows) if rows else 1.0
    else:
        score = 1.0 if outcome is Outcome.PASS else 0.0
    if check.warns and outcome is not Outcome.ERROR:
        gate = OnFailure.WARN
    told = ("metric", "value", "reason")
    detail = {key: found[key] for key in told if found[key] is not None} | {"rows": rows}
    return CheckResult(
        name=check.name,
        dimension=check.dimension,
        column=check.column,
        outcome=outcome,
        score=score,
        failed_rows=failed,
        definition=check.sodacl,
        gate=gate,
        rows=None if ids is None or len(ids) > MOST_SET_ASIDE else tuple(ids),
        detail=detail,
    )
