"""The process that Soda lives in: requests as JSON lines on stdin, answers on stdout.

Soda keeps its logs and its configuration in globals, prints, writes a file into the home
directory, counts its use over the network and fetches failing rows to show them. Here it can do
none of it: this process gives it no output, no environment, no template variables and no rows.
What leaves the process are counts, outcomes, and messages that hold no value of a row.

A request is ``{"dsn": {…}, "schema", "table", "data_sets": [names], "checks": [SodaCL],
"timeout": seconds}``. Its answer is ``{"checks": [{"outcome", "failed", "metric", "value",
"reason"}, …], "rows"}`` in the order of the checks, or ``{"error": kind, "message", "check",
"line"}`` with the kind ``syntax`` (the check's own line, from 1), ``missing`` (no such table),
``transient`` or ``internal``. Run by :class:`atlas.quality.soda.SodaHost`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from typing import IO, Any

import psycopg2
import psycopg2.errors
from psycopg2 import sql

_ROWS = "rows"
"""Name of the host's own check, which counts the rows that the scores are shares of."""

_COUNTS = {"row_count", "missing_count", "invalid_count", "valid_count", "duplicate_count"}
_PERCENTS = {"missing_percent", "invalid_percent", "duplicate_percent"}
_COUNT_ROWS = {
    "UserDefinedFailedRowsCheck",
    "UserDefinedFailedRowsExpressionCheck",
    "ReferenceCheck",
}
_QUERY_CANCELED = "57014"


class _AnswerError(Exception):
    """An answer that is an error."""

    def __init__(self, kind: str, message: str, **where: int) -> None:
        super().__init__(message)
        self.answer: dict[str, Any] = {"error": kind, "message": message, **where}


def main() -> int:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever Soda or a library prints would break the answers, and may hold values.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    logging.disable(logging.CRITICAL)
    try:
        engine = _Engine()
    except ImportError as error:
        _send(answers, {"error": "internal", "message": f"cannot load Soda: {error.name}"})
        return 1
    _send(answers, {"ready": os.getpid()})
    for line in sys.stdin:
        try:
            answer = engine.answer(json.loads(line))
        except _AnswerError as problem:
            answer = problem.answer
        except Exception as error:  # noqa: BLE001 - told, by place and kind only: its text may hold values
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
            answer = {"error": "internal", "message": f"{type(error).__name__} in {place}"}
        _send(answers, answer)
    return 0


def _send(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class _Engine:
    """Soda, loaded once and kept from what it must not do."""

    def __init__(self) -> None:
        self._keep_quiet()
        from soda.execution.check.freshness_check import FreshnessCheck
        from soda.execution.query.aggregation_query import AggregationQuery
        from soda.sampler.sampler import Sampler
        from soda.scan import Scan

        class NoSampler(Sampler):  # type: ignore[misc]
            """Soda asks ``if sampler`` before it fetches rows to sample."""

            def __bool__(self) -> bool:
                return False

            def store_sample(self, sample_context: Any) -> Any:
                raise NotImplementedError

        self._scan_class = Scan
        self._sampler = NoSampler()
        self._aggregation: Any = AggregationQuery
        self._freshness = FreshnessCheck
        self._dsn: dict[str, str] = {}
        self._connection: Any = None
        self._mend()

    @staticmethod
    def _keep_quiet() -> None:
        """No file in the home directory, no count of use, no template that reads anything."""
        from soda.common.config_helper import ConfigHelper

        ConfigHelper._ConfigHelper__config = {
            "send_anonymous_usage_stats": False,
            "user_cookie_id": "",
        }
        from soda.common.jinja import Jinja

        Jinja.resolve = staticmethod(lambda template, *_, **__: template)

    def _mend(self) -> None:
        """Replace what Soda 3.5 does wrongly for us, each with its reason."""
        from soda.data_sources.postgres_data_source import PostgresDataSource
        from soda.execution.check.user_defined_failed_rows_expression_check import (
            UserDefinedFailedRowsExpressionCheck,
        )
        from soda.execution.query.sample_query import SampleQuery
        from soda.execution.query.user_defined_failed_rows_expression_query import (
            UserDefinedFailedRowsExpressionQuery,
        )
        from soda.execution.query.user_defined_failed_rows_query import UserDefinedFailedRowsQuery

        engine = self
        # Its own connection knows no options, and is never closed.
        PostgresDataSource.connect = lambda source: setattr(
            source, "connection", engine._connection
        )
        # It quotes no quotes: a value or pattern with one would end the string and become SQL.
        PostgresDataSource.escape_string = lambda _, value: value.replace("'", "''")
        PostgresDataSource.escape_regex = lambda _, value: value.replace("'", "''")
        # Rows are not fetched, here or for samples: a query of failing rows is counted by the
        # server.
        SampleQuery.execute = lambda _: None
        UserDefinedFailedRowsExpressionQuery.execute = lambda _: None
        UserDefinedFailedRowsExpressionCheck.get_failed_rows_sql = lambda _: ""

        def count(query: Any) -> None:
            query.sql = f"SELECT COUNT(*) FROM ({query.sql.rstrip('; ')}\n) AS failed"  # noqa: S608
            query.fetchone()
            if query.row:
                query.metric.set_value(query.row[0])

        UserDefinedFailedRowsQuery.execute = count
        # It asks for up to fifty metrics in one statement, and one that cannot be evaluated takes
        # the others with it: then each is asked alone.
        together = self._aggregation.execute

        def aggregate(query: Any) -> None:
            together(query)
            if query.exception is None or len(query.metrics) == 1:
                return
            if _transient(query.exception, engine._connection) or _canceled(query.exception):
                return
            pairs = zip(query.select_expressions, query.metrics, strict=True)
            for expression, metric in pairs:
                single = self._aggregation(query.partition, 0)
                single.add_metric(expression, metric)
                together(single)

        self._aggregation.execute = aggregate

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Scan a table.

        Raises:
            _AnswerError: it could not be scanned.
        """
        self._connection = _connect(request)
        try:
            return self._scan(request)
        finally:
            self._connection.close()
            self._connection = None

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        scan = self._scan_class()
        scan.sampler = self._sampler
        scan.set_data_source_name("atlas")
        scan._configuration.data_source_properties_by_name["atlas"] = {"type": "postgres"}
        texts: list[str] = request["checks"]
        for number, text in enumerate(texts):
            scan.add_sodacl_yaml_str(text, str(number))
            _refuse_syntax(scan, number)
        heading = "checks for " + json.dumps(request["data_sets"][0], ensure_ascii=False)
        scan.add_sodacl_yaml_str(f"{heading}:\n  - row_count >= 0", _ROWS)
        scan.execute()
        for query in scan._queries:
            if query.exception is not None and _transient(query.exception, self._connection):
                raise _AnswerError("transient", f"lost the database ({_kind(query.exception)})")
        if self._connection.closed:
            raise _AnswerError("transient", "lost the database")
        reasons = _reasons(scan)
        found: dict[str, dict[str, Any]] = {}
        for check in scan._checks:
            if check is not None:
                file = check.check_cfg.location.file_path.removesuffix(".yml")
                found[file] = self._result(check, reasons)
        missing = [number for number in range(len(texts)) if str(number) not in found]
        if missing:
            raise _AnswerError("syntax", "Soda sees no check here", check=missing[0], line=0)
        return {
            "checks": [found[str(number)] for number in range(len(texts))],
            "rows": found[_ROWS]["value"],
        }

    def _result(self, check: Any, reasons: dict[int, str]) -> dict[str, Any]:
        """What may be told of an evaluated check: its outcome, and counts."""
        outcome = check.outcome.value if check.outcome is not None else "error"
        metric = getattr(check.check_cfg, "metric_name", None)
        failed = value = reason = None
        if outcome == "error":
            known = (reasons.get(id(metric)) for metric in check.metrics.values())
            reason = next((text for text in known if text), "Soda could not evaluate it")
        elif isinstance(check, self._freshness):
            metric = "freshness"
            age = (check.freshness_values or {}).get("freshness")
            # Of no row it cannot be said that it is late.
            outcome = outcome if age is not None else "pass"
            value = None if age is None else round(age.total_seconds())
        elif type(check).__name__ in _COUNT_ROWS or metric == "repeated_rows":
            failed = value = int(check.check_value)
        elif metric in _COUNTS:
            value = int(check.check_value)
            failed = value if metric in ("missing_count", "invalid_count") else None
        elif metric in _PERCENTS:
            value = float(check.check_value)
            failed = (check.formula_values or {}).get(metric.replace("percent", "count"))
            failed = failed if metric != "duplicate_percent" else None
        return {
            "outcome": outcome,
            "metric": metric,
            "value": value,
            "failed": failed,
            "reason": reason,
        }


def _connect(request: dict[str, Any]) -> Any:
    """A connection that can only read, whose session has the table under the stream's names."""
    try:
        connection = psycopg2.connect(**request["dsn"])
    except psycopg2.OperationalError as error:
        raise _AnswerError("transient", f"cannot connect to PostgreSQL ({_kind(error)})") from error
    table = sql.Identifier(request["schema"], request["table"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET standard_conforming_strings = on")
            for name in request["data_sets"]:
                statement = sql.SQL("CREATE TEMPORARY VIEW {} AS SELECT * FROM {}")
                cursor.execute(statement.format(sql.Identifier(name), table))
        connection.set_session(readonly=True)
    except psycopg2.errors.UndefinedTable as error:
        connection.close()
        name = f"{request['schema']}.{request['table']}"
        raise _AnswerError("missing", f"there is no table {name}") from error
    except psycopg2.Error as error:
        connection.close()
        raise _AnswerError(
            "transient", f"cannot read the staging table ({_kind(error)})"
        ) from error
    return connection


def _refuse_syntax(scan: Any, number: int) -> None:
    errors = scan.get_error_logs()
    if errors:
        line = next((log.location.line for log in errors if log.location), None)
        cause = errors[0].exception
        message = " ".join(errors[0].message.split())
        if cause is not None and getattr(cause, "problem", None):
            message += f" ({cause.problem})"
        raise _AnswerError("syntax", message, check=number, line=line or 0)


def _reasons(scan: Any) -> dict[int, str]:
    """Why a metric has no value, by the metric's id: the last thing that its query met."""
    reasons: dict[int, str] = {}
    for query in scan._queries:
        if query.exception is not None:
            metrics = getattr(query, "metrics", None) or [getattr(query, "metric", None)]
            for metric in metrics:
                reasons[id(metric)] = _kind(query.exception)
    return reasons


def _kind(error: BaseException) -> str:
    """What happened, without what it happened to: a server's message quotes the values it met,
    but for those about names and syntax (class 42), which quote the check."""
    code = getattr(error, "pgcode", None)
    if code is None:
        return type(error).__name__
    if code.startswith("42"):
        return " ".join(str(error.diag.message_primary).split())  # type: ignore[attr-defined]
    return f"{type(error).__name__}, SQLSTATE {code}"


def _canceled(error: BaseException) -> bool:
    return getattr(error, "pgcode", None) == _QUERY_CANCELED


def _transient(error: BaseException, connection: Any) -> bool:
    """Whether the database, not the check, is the reason."""
    if connection.closed or isinstance(error, psycopg2.InterfaceError):
        return True
    if not isinstance(error, psycopg2.OperationalError) or _canceled(error):
        return False
    # Deadlocks and lost serialisations (40), a server that is full (53), going or gone (57, 08), a
    # disk that fails (58), a table that is locked.
    code = error.pgcode
    return code is None or code[:2] in ("08", "40", "53", "57", "58") or code == "55P03"


if __name__ == "__main__":
    sys.exit(main())
