"""The process that Soda lives in: requests as JSON lines on stdin, answers on stdout.

Soda keeps its logs and its configuration in globals, prints, writes a file into the home
directory, counts its use over the network and fetches failing rows to show them. Here it can do
none of it: this process gives it no output, no environment, no template variables and no rows.
What leaves the process are counts, outcomes, ids of rows, and messages that hold no value of a row.

A request is ``{"dsn": {…}, "schema", "table", "data_sets": [names], "checks": [SodaCL],
"named": [how many ids are asked of the rows that a check fails for, …], "measures": [metrics],
"whole": a data set of all rows or null, "only": where there is one, the column that is NULL in the
rows of the others, "timeout": seconds}``. In place of schema and table, ``"columns": [[name, type],
…]`` asks of a table that has them and no rows; without either, the checks are only read. The answer
is ``{"checks": [{"outcome", "failed", "metric", "value", "reason", "ids"}, …], "measured":
[numbers], "rows"}`` in the order asked, ``{}`` to checks that were only read, or ``{"error": kind,
"message", "check", "line"}`` with the kind ``syntax`` (the check's own line, from 1), ``missing``
(no such table), ``transient`` or ``internal``. Run by :class:`atlas.quality.soda.SodaHost`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import traceback
from typing import IO, Any

import psycopg2
import psycopg2.errors
from psycopg2 import sql

from atlas.garbage import not_looked_for
from atlas.quality.one_query import OneQuery, canceled, met, transient

_ROWS = "rows"
"""Name of the host's own check, which counts the rows that the scores are shares of."""

_COUNTS = {"row_count", "missing_count", "invalid_count", "valid_count", "duplicate_count"}
_PERCENTS = {"missing_percent", "invalid_percent", "duplicate_percent"}
_COUNT_ROWS = {
    "UserDefinedFailedRowsCheck",
    "UserDefinedFailedRowsExpressionCheck",
    "ReferenceCheck",
}
_MEASURE = "measure "


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
        with not_looked_for():
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
        from soda.common.undefined_instance import undefined
        from soda.data_sources.postgres_data_source import PostgresDataSource
        from soda.execution.check.user_defined_failed_rows_expression_check import (
            UserDefinedFailedRowsExpressionCheck,
        )
        from soda.execution.metric.derived_metric import DerivedMetric
        from soda.execution.query.group_evolution_query import GroupEvolutionQuery
        from soda.execution.query.reference_query import ReferenceQuery
        from soda.execution.query.sample_query import SampleQuery
        from soda.execution.query.user_defined_failed_rows_expression_query import (
            UserDefinedFailedRowsExpressionQuery,
        )
        from soda.execution.query.user_defined_failed_rows_query import UserDefinedFailedRowsQuery
        from soda.sodacl.sodacl_parser import SodaCLParser

        engine = self
        # Its own connection knows no options, and is never closed.
        PostgresDataSource.connect = lambda source: setattr(
            source, "connection", engine._connection
        )
        # It quotes no quotes: a value or pattern with one would end the string and become SQL.
        PostgresDataSource.escape_string = lambda _, value: value.replace("'", "''")
        PostgresDataSource.escape_regex = lambda _, value: value.replace("'", "''")
        # Here it has quotes around the pattern, which would be doubled.
        PostgresDataSource.cast_text_to_number = lambda _, column, __: (
            f"CAST(NULLIF(REPLACE(REGEXP_REPLACE({column}, '[^-0-9.,]', '', 'g'), ',', '.'), '')"
            " AS FLOAT)"
        )
        # What has a format that it does not know it takes as valid, whatever stands there.
        read_valid = SodaCLParser._SodaCLParser__parse_missing_and_valid

        def know_format(parser: Any, key: str, value: Any, config: Any) -> None:
            known = PostgresDataSource.DEFAULT_FORMATS
            if key.endswith(" format") and isinstance(value, str) and value not in known:
                problem = f"{key}: Soda knows no format {value}"
                parser.logs.error(problem, location=parser.location)
            read_valid(parser, key, value, config)

        SodaCLParser._SodaCLParser__parse_missing_and_valid = know_format
        # Rows are not fetched, here or for samples: a query of failing rows is counted by the
        # server.
        SampleQuery.execute = lambda _: None
        UserDefinedFailedRowsExpressionQuery.execute = lambda _: None
        UserDefinedFailedRowsExpressionCheck.get_failed_rows_sql = lambda _: ""

        def count(query: Any) -> None:
            query.asked = query.sql.rstrip("; \n")
            query.sql = f"SELECT COUNT(*) FROM ({query.asked}\n) AS failed"  # noqa: S608
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
            if transient(query.exception, engine._connection) or canceled(query.exception):
                return
            pairs = zip(query.select_expressions, query.metrics, strict=True)
            query.instead = []
            for expression, metric in pairs:
                single = self._aggregation(query.partition, 0)
                query.instead.append(single)
                single.add_metric(expression, metric)
                together(single)

        self._aggregation.execute = aggregate
        # A share of what could not be counted is 0 % to it, and the check passes.
        derive = DerivedMetric.compute_derived_metric_values

        def derive_of_counts(metric: Any) -> None:
            if all(count.value is not undefined for count in _counts(metric)):
                derive(metric)

        DerivedMetric.compute_derived_metric_values = derive_of_counts
        # These take no answer for one, and their own error ends the scan of all others.
        for query in (ReferenceQuery, GroupEvolutionQuery):
            query.execute = _alone(query.execute)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Scan a table.

        Raises:
            _AnswerError: it could not be scanned.
        """
        if "table" not in request and "columns" not in request:
            self._read(request)
            return {}
        self._connection = _connect(request)
        try:
            return self._scan(request)
        finally:
            self._connection.close()
            self._connection = None

    def _read(self, request: dict[str, Any]) -> Any:
        """A scan of the checks, not yet begun."""
        scan = self._scan_class()
        scan.sampler = self._sampler
        scan.set_data_source_name("atlas")
        scan._configuration.data_source_properties_by_name["atlas"] = {"type": "postgres"}
        for number, text in enumerate(request["checks"]):
            scan.add_sodacl_yaml_str(text, str(number))
            _refuse_syntax(scan, number)
        return scan

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        scan = self._read(request)
        texts: list[str] = request["checks"]
        all_rows = request["whole"] or request["data_sets"][0]
        heading = "checks for " + json.dumps(all_rows, ensure_ascii=False)
        scan.add_sodacl_yaml_str(f"{heading}:\n  - row_count >= 0", _ROWS)
        for number, metric in enumerate(request["measures"]):
            # Of no interest is how it compares, but there is no check without.
            scan.add_sodacl_yaml_str(f"{heading}:\n  - {metric} >= 0", f"{_MEASURE}{number}")
        scan.execute()
        for query in _asked(scan):
            if query.exception is not None and transient(query.exception, self._connection):
                raise _AnswerError("transient", f"lost the database ({met(query.exception)})")
        if self._connection.closed:
            raise _AnswerError("transient", "lost the database")
        reasons = _reasons(scan)
        found: dict[str, dict[str, Any]] = {}
        measured: dict[str, float | None] = {}
        for check in scan._checks:
            if check is None:
                continue
            file = check.check_cfg.location.file_path.removesuffix(".yml")
            if file.startswith(_MEASURE):
                measured[file] = _finite(check.check_value)
            else:
                found[file] = self._result(check, reasons)
                most = 0 if file == _ROWS else request["named"][int(file)]
                if most:
                    found[file]["ids"] = self._ids(scan, check, most)
        missing = [number for number in range(len(texts)) if str(number) not in found]
        if missing:
            raise _AnswerError("syntax", "Soda sees no check here", check=missing[0], line=0)
        return {
            "checks": [found[str(number)] for number in range(len(texts))],
            "measured": [
                measured.get(f"{_MEASURE}{number}") for number in range(len(request["measures"]))
            ],
            "rows": found[_ROWS]["value"],
        }

    def _result(self, check: Any, reasons: dict[int, str]) -> dict[str, Any]:
        """What may be told of an evaluated check: its outcome, and counts."""
        outcome = check.outcome.value if check.outcome is not None else "error"
        metric = getattr(check.check_cfg, "metric_name", None)
        failed = value = reason = None
        if outcome == "error":
            asked = [each for own in check.metrics.values() for each in (own, *_counts(own))]
            reason = next((reasons[id(each)] for each in asked if id(each) in reasons), None)
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
            "ids": None,
        }

    def _ids(self, scan: Any, check: Any, most: int) -> list[int] | None:
        """Ids of rows that an own check fails for, one more than ``most`` at most; None where it
        speaks of no single rows, or could not be evaluated."""
        query = self._failing(scan, check) if check.outcome is not None else None
        if query is None:
            return None
        if check.outcome.value != "fail":
            return []
        # Only ids of these rows leave the database, whatever the check selects.
        table = check.partition.table.qualified_table_name
        statement = (
            f"SELECT DISTINCT own._atlas_id FROM ({query}\n) AS failed LEFT JOIN {table} AS own"  # noqa: S608 - quoted
            f" ON own._atlas_id = failed._atlas_id LIMIT {most + 1}"
        )
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)
                ids = [row[0] for row in cursor.fetchall()]
        except psycopg2.Error as error:
            self._connection.rollback()
            if transient(error, self._connection):
                raise _AnswerError("transient", f"lost the database ({met(error)})") from error
            return None  # a query of one's own that selects no _atlas_id
        # It failed: where it names no row, all would be promoted, and where a row of its has no id
        # here, that one.
        return sorted(ids) if ids and None not in ids else None

    def _failing(self, scan: Any, check: Any) -> str | None:
        """The query of the rows that ``check`` fails for, where not one may."""
        config = check.check_cfg
        kind = type(check).__name__
        threshold = getattr(config, "fail_threshold_cfg", None)
        if kind == "UserDefinedFailedRowsCheck":
            asked: list[str] = [
                query.asked
                for query in scan._queries
                if hasattr(query, "asked") and query.metric in check.metrics.values()
            ]
            return asked[0] if asked and threshold is None else None
        if kind == "UserDefinedFailedRowsExpressionCheck":
            condition = config.fail_condition_sql_expr if threshold is None else None
        else:
            condition = self._condition(check)
        if condition is None:
            return None
        parts = [f"({condition}\n)"]
        if check.partition.sql_partition_filter:
            parts.append(f"({check.partition.sql_partition_filter}\n)")
        table = check.partition.table.qualified_table_name
        return f"SELECT _atlas_id FROM {table} WHERE {' AND '.join(parts)}"  # noqa: S608 - quoted

    def _condition(self, check: Any) -> str | None:
        """What is true of the rows that a count of none counts: Soda's own words, taken where it
        writes them into the count."""
        config = check.check_cfg
        name = getattr(config, "metric_name", None)
        threshold = getattr(config, "fail_threshold_cfg", None)
        if name not in ("missing_count", "invalid_count") or threshold is None:
            return None
        if threshold.is_bad(0) or not threshold.is_bad(1):
            return None
        metric = check.metrics.get(name)
        source = metric.data_source_scan.data_source if metric is not None else None
        if source is None:
            return None
        source.expr_count_conditional = lambda condition: condition
        try:
            return str(metric.get_sql_aggregation_expression())
        finally:
            del source.expr_count_conditional


def _counts(metric: Any) -> list[Any]:
    """The counts that a share is made of; none of other metrics."""
    formula = getattr(metric, "derived_formula", None)
    return [] if formula is None else [*formula.metric_dependencies.values()]


def _alone(execute: Any) -> Any:
    """``execute`` of a query, whose failure is its own: it is told by ``query.exception``."""

    def run(query: Any) -> None:
        try:
            execute(query)
        except Exception:
            if query.exception is None:
                raise

    return run


def _connect(request: dict[str, Any]) -> Any:
    """A connection that can only read, whose session has the table under the stream's names."""
    try:
        connection = psycopg2.connect(**request["dsn"])
    except psycopg2.OperationalError as error:
        raise _AnswerError("transient", f"cannot connect to PostgreSQL ({met(error)})") from error
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SET standard_conforming_strings = on")
            table = _table(cursor, request)
            every = sql.SQL("SELECT * FROM {}").format(table)
            some = every
            if request["only"] is not None:
                some += sql.SQL(" WHERE {} IS NULL").format(sql.Identifier(request["only"]))
            views = dict.fromkeys(request["data_sets"], some)
            if request["whole"] is not None:
                views[request["whole"]] = every
            for name, rows in views.items():
                statement = sql.SQL("CREATE TEMPORARY VIEW {} AS {}")
                cursor.execute(statement.format(sql.Identifier(name), rows))
            cursor.execute(OneQuery.PREPARE)
        connection.set_session(readonly=True)
        connection.cursor_factory = OneQuery
    except psycopg2.errors.UndefinedTable as error:
        connection.close()
        name = f"{request.get('schema')}.{request.get('table')}"
        raise _AnswerError("missing", f"there is no table {name}") from error
    except psycopg2.Error as error:
        connection.close()
        raise _AnswerError("transient", f"cannot read the staging table ({met(error)})") from error
    return connection


def _table(cursor: Any, request: dict[str, Any]) -> sql.Composable:
    """The table that is asked of; one without rows is made."""
    if "table" in request:
        return sql.Identifier(request["schema"], request["table"])
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind))
        for name, kind in request["columns"]
    ]
    cursor.execute(
        sql.SQL("CREATE TEMPORARY TABLE _atlas_asked ({})").format(sql.SQL(", ").join(columns))
    )
    return sql.Identifier("pg_temp", "_atlas_asked")


def _refuse_syntax(scan: Any, number: int) -> None:
    errors = scan.get_error_logs()
    if errors:
        line = next((log.location.line for log in errors if log.location), None)
        cause = errors[0].exception
        message = " ".join(errors[0].message.split())
        if cause is not None and getattr(cause, "problem", None):
            message += f" ({cause.problem})"
        raise _AnswerError("syntax", message, check=number, line=line or 0)


def _finite(value: Any) -> float | None:
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def _asked(scan: Any) -> list[Any]:
    """The queries whose answers count: of one that failed those that came in its place."""
    return [each for query in scan._queries for each in getattr(query, "instead", [query])]


def _reasons(scan: Any) -> dict[int, str]:
    """Why a metric has no value, by the metric's id: what its query met, or that it has none."""
    reasons: dict[int, str] = {}
    asked: set[int] = set()
    for query in _asked(scan):
        metrics = getattr(query, "metrics", None) or [getattr(query, "metric", None)]
        asked.update(map(id, metrics))
        if query.exception is not None:
            reasons |= {id(metric): met(query.exception) for metric in metrics}
    for check in scan._checks:
        for metric in [] if check is None else check.metrics.values():
            if type(metric).__name__ == "NumericQueryMetric" and id(metric) not in asked:
                reasons[id(metric)] = f"Soda knows no metric {metric.name}"
    return reasons


if __name__ == "__main__":
    sys.exit(main())
