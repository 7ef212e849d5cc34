"""The checks of a stream, made from its schema, its key and its cursor.

What the source itself declares (its key, what it requires, formats, enums, bounds) is held
against its rows, and rows that break it are named. What only a column's name suggests (that
``created_at`` is not after ``updated_at``) warns, and sets nothing aside: a guess must not keep
a row from its reader.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from atlas.errors import TerminalError
from atlas.model.checks import Dimension, OnFailure, RowRule
from atlas.model.quality import Asked
from atlas.model.stream import Column, ColumnType
from atlas.quality.check import Check, Effect, Plan
from atlas.quality.formats import FORMATS, pattern
from atlas.quality.own import own_checks
from atlas.quality.rules import DELETED_AT, EMITTED_AT, ERRORS, data_set, failing, identifier
from atlas.quality.usual import (
    AVERAGE,
    LENGTH,
    MISSING,
    ROWS,
    Measure,
    Measured,
    measures,
    usual,
)

FUTURE_TOLERANCE = timedelta(days=1)
"""How far a time may lie after its emission: clocks differ, and local times pass for UTC."""

EMISSION_AGE = timedelta(days=1)
"""How old a row may be, by its emission, when it is checked."""

_ANY = "when > 0"
_NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)
_TIMES = (ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ)
_CLOCKS = (ColumnType.TIME, ColumnType.TIMETZ)
_PAST = {"created", "updated", "modified", "changed", "inserted", "registered"}
_ORDERED = {
    "created": ("updated", "modified", "changed", "deleted", "closed"),
    "inserted": ("updated", "modified", "changed", "deleted"),
    "start": ("end", "finish"),
    "started": ("ended", "finished", "completed"),
    "opened": ("closed",),
    "valid_from": ("valid_to", "valid_until"),
}


class _Builder:
    """Collects a stream's generated checks under names that are unique and do not change."""

    def __init__(
        self, stream: str, columns: Sequence[Column], gates: Mapping[str, OnFailure]
    ) -> None:
        self.gates = gates
        self.data_set = identifier(data_set(stream))
        self.header = f"checks for {self.data_set}:"
        self.deletions = any(column.name == DELETED_AT for column in columns)
        self.checks: list[Check] = []

    def add(
        self,
        dimension: Dimension,
        what: str,
        check: str,
        settings: dict[str, Any],
        *,
        column: str | None = None,
        effect: Effect = Effect.GATE,
        rule: RowRule | None = None,
        warn: str | None = None,
        whole: bool = False,
    ) -> None:
        name = self.name(dimension, what)
        settings = {"name": name} | settings
        # A user who gives a gate to a guess wants it to close.
        warns = warn is not None and self.gates.get(name, OnFailure.WARN) is OnFailure.WARN
        if warn is not None:
            settings["warn" if warns else "fail"] = warn
        self.checks.append(
            Check(
                name,
                dimension,
                column,
                _item(check, settings),
                effect,
                _named(rule, name),
                self.header,
                whole=whole,
                warns=warns,
            )
        )

    def rows(
        self, dimension: Dimension, what: str, rule: RowRule, *, key: bool = False, **options: Any
    ) -> None:
        """A check that names its rows; only one about the key speaks of deletions too."""
        all_rows = key or not self.deletions
        missing = rule.kind == "not_null" and '"' not in rule.column
        if missing and all_rows and not options.get("warn"):
            check, settings = f"missing_count({identifier(rule.column)}) = 0", {}
        else:
            condition = failing(rule)
            if not all_rows:
                condition = f"({condition}) AND {identifier(DELETED_AT)} IS NULL"
            check, settings = "failed rows", {"fail condition": condition}
        self.add(dimension, what, check, settings, rule=rule, **options)

    def name(self, dimension: Dimension, what: str) -> str:
        base = name = f"{dimension}.{what}"
        taken = {check.name for check in self.checks}
        number = 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name


def _named(rule: RowRule | None, name: str) -> RowRule | None:
    return None if rule is None else RowRule(name, rule.column, rule.kind, rule.argument)


def _item(check: str, settings: dict[str, Any]) -> str:
    text = yaml.safe_dump(
        [{check: settings}], sort_keys=False, allow_unicode=True, width=10_000, indent=2
    )
    return "\n".join("  " + line for line in text.splitlines())


def plan(
    stream: str,
    columns: Sequence[Column],
    primary_key: Sequence[str],
    cursor: str | None,
    *,
    asked: Asked,
    expected_rows: int | None = None,
    full_refresh: bool = False,
    history: Sequence[Measured] = (),
    masked: Collection[str] = (),
) -> Plan:
    """The checks of ``stream``, at least one in each dimension that it offers something to check.

    Args:
        stream: its name; ``checks for <stream>`` in the texts of ``asked`` are its own.
        columns: the columns of its staging table, but for those of Atlas.
        primary_key: names of its key's columns; empty: it has none.
        cursor: name of its cursor's column, or None.
        expected_rows: rows that the run's ledger counts for it.
        full_refresh: whether the run reads all of it, so that no row at all is remarkable.
        asked: what its connection asks of it.
        history: what earlier runs of its kind measured, the last one first.
        masked: names of columns whose values are masked.

    Raises:
        TerminalError: a text of checks cannot be read (the message names the line), a key's or
            cursor's column is not among ``columns``, or a gate is for no check or not for this.
    """
    known = {column.name: column for column in columns}
    for name in (*primary_key, *([cursor] if cursor else ())):
        if name not in known:
            raise TerminalError(
                f"stream {stream} has no column {name}, which is its primary key or cursor: "
                "correct the connection's primary_key or cursor_field"
            )
    builder = _Builder(stream, columns, asked.gates)
    _completeness(builder, columns, primary_key, cursor, full_refresh=full_refresh)
    _uniqueness(builder, columns, primary_key)
    _timeliness(builder, columns, known[cursor] if cursor else None, asked.freshness)
    _validity(builder, columns)
    _accuracy(builder, columns)
    _consistency(builder, columns, expected_rows)
    left_out = (*primary_key, *([cursor] if cursor else ()), DELETED_AT)
    measured = measures(columns, left_out, expected_rows, masked)
    # Of no rows nothing can be averaged.
    _usual(builder, measured if expected_rows != 0 else (), history, full_refresh=full_refresh)
    checks = builder.checks
    for origin, text in asked.checks:
        taken = {check.name for check in checks}
        checks += own_checks(text, stream, columns, taken, origin)
    # Whatever a run with more rows would measure.
    ever = measures(columns, left_out, None, masked)
    not_yet = {f"{_OF_METRIC[m][0]}.{column}.usual_{m}" for column, m, _ in ever}
    not_yet |= {"completeness.usual_rows", "completeness.table"}
    gated = _gated(checks, asked, not_yet)
    return Plan(stream, gated, asked.on_failure, measured, builder.deletions)


def _gated(checks: Sequence[Check], asked: Asked, not_yet: Collection[str]) -> tuple[Check, ...]:
    """The checks with their gates. ``not_yet``: names of checks that only other runs have."""
    by_name = {check.name: check for check in checks}
    for name, gate in asked.gates.items():
        here = f"{asked.origin}.gates: {name}"
        if name not in by_name and name in not_yet:
            continue
        if name not in by_name:
            # Not passed over: somebody relies on it.
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]}?" if near else "`atlas quality show` lists the checks"
            raise TerminalError(f"{here} is no check of this stream: {hint}")
        check = by_name[name]
        allowed = _GATES[check.effect]
        if gate not in allowed:
            raise TerminalError(f"{here} cannot be {gate}, only {' or '.join(allowed)}")
        by_name[name] = replace(check, gate=gate)
    return tuple(by_name.values())


_GATES = {
    Effect.GATE: tuple(OnFailure),
    # What does not fit its column, or has no key, has no place in chart.
    Effect.SET_ASIDE: (OnFailure.BLOCK, OnFailure.QUARANTINE),
    Effect.BLOCK: (OnFailure.BLOCK,),
}


def _completeness(
    builder: _Builder,
    columns: Sequence[Column],
    primary_key: Sequence[str],
    cursor: str | None,
    *,
    full_refresh: bool,
) -> None:
    for name in primary_key:
        # A key that is NULL names no row: always set aside.
        rule = RowRule("", name, "not_null")
        builder.rows(
            Dimension.COMPLETENESS, name, rule, key=True, column=name, effect=Effect.SET_ASIDE
        )
    for column in columns:
        name = column.name
        if name in primary_key:
            continue
        rule = RowRule("", name, "not_null")
        if not column.nullable:
            builder.rows(Dimension.COMPLETENESS, name, rule, column=name)
        elif name == cursor:
            builder.rows(Dimension.COMPLETENESS, name, rule, column=name, warn=_ANY)
    if columns:
        empty = " AND ".join(f"{identifier(column.name)} IS NULL" for column in columns)
        settings = {"fail condition": empty}
        builder.add(Dimension.COMPLETENESS, "row", "failed rows", settings, warn=_ANY)
    if full_refresh:
        # An incremental sync that brings nothing is an ordinary one; this may be a source gone.
        builder.add(Dimension.COMPLETENESS, "table", "row_count", {}, warn="when = 0")


def _uniqueness(builder: _Builder, columns: Sequence[Column], primary_key: Sequence[str]) -> None:
    """Rows whose key comes again. They warn: within one sync a key may come more than once (a
    cursor's boundary, a change during the read) and the last one wins, so that ``chart`` is
    unique by construction; but a share of them that grows tells of a wrong key."""
    names = list(primary_key) or [column.name for column in columns]
    if not names:
        return
    given = " AND ".join(f"{identifier(name)} IS NOT NULL" for name in primary_key) or "TRUE"
    groups = (
        f"SELECT COUNT(*) AS times FROM {builder.data_set} WHERE {given} "  # noqa: S608 - quoted
        f"GROUP BY {', '.join(map(identifier, names))} HAVING COUNT(*) > 1"
    )
    query = f"SELECT COALESCE(SUM(times - 1), 0) FROM ({groups}) AS repeated"  # noqa: S608
    builder.add(
        Dimension.UNIQUENESS,
        "+".join(primary_key) or "row",
        "repeated_rows",
        {"repeated_rows query": query},
        column=names[0] if len(primary_key) == 1 else None,
        warn=_ANY,
    )


def _timeliness(
    builder: _Builder,
    columns: Sequence[Column],
    cursor: Column | None,
    freshness: timedelta | None,
) -> None:
    seconds = int(FUTURE_TOLERANCE.total_seconds())
    for column in columns:
        if column.type in _TIMES and (column is cursor or _stem(column.name) in _PAST):
            rule = RowRule("", column.name, "not_future", seconds)
            builder.rows(Dimension.TIMELINESS, column.name, rule, column=column.name, warn=_ANY)
    if cursor is not None and cursor.type in _TIMES and freshness is not None:
        builder.add(
            Dimension.TIMELINESS,
            f"{cursor.name}.freshness",
            f"freshness({identifier(cursor.name)})",
            {"fail": f"when > {_duration(freshness)}"},
            column=cursor.name,
        )
    emitted = identifier(EMITTED_AT)
    age = int(EMISSION_AGE.total_seconds())
    late = f"{emitted} < now() - INTERVAL '{age} seconds'"
    early = f"{emitted} > now() + INTERVAL '{seconds} seconds'"
    builder.add(
        Dimension.TIMELINESS,
        "emission",
        "failed rows",
        {"fail condition": f"{late} OR {early}"},
        warn=_ANY,
    )


def _validity(builder: _Builder, columns: Sequence[Column]) -> None:
    rule = RowRule("", ERRORS, "typed")
    builder.rows(Dimension.VALIDITY, "types", rule, effect=Effect.SET_ASIDE)
    for column in columns:
        allowed = _allowed(column)
        if allowed:
            rule = RowRule("", column.name, "in_set", allowed)
            builder.rows(Dimension.VALIDITY, column.name, rule, column=column.name)
        elif column.type is ColumnType.TEXT and column.format in FORMATS:
            rule = RowRule("", column.name, "format", FORMATS[column.format])
            builder.rows(Dimension.VALIDITY, column.name, rule, column=column.name)


def _accuracy(builder: _Builder, columns: Sequence[Column]) -> None:
    """Bounds and patterns of the schema; and for every number and time, that the column holds
    exactly what the source gave."""
    for column in columns:
        name = column.name
        if column.type in (*_NUMBERS, *_TIMES, *_CLOCKS):
            rule = RowRule("", name, "typed")
            builder.rows(Dimension.ACCURACY, name, rule, column=name, effect=Effect.SET_ASIDE)
        if column.type in _NUMBERS and (column.minimum is not None or column.maximum is not None):
            rule = RowRule("", name, "range", (column.minimum, column.maximum))
            builder.rows(Dimension.ACCURACY, f"{name}.range", rule, column=name)
        elif column.type is ColumnType.NUMERIC:
            condition = f"{identifier(name)} IN ('NaN', 'Infinity', '-Infinity')"
            builder.add(
                Dimension.ACCURACY,
                f"{name}.finite",
                "failed rows",
                {"fail condition": condition},
                column=name,
                warn=_ANY,
            )
        expression = pattern(column.pattern) if column.pattern else None
        if column.type is ColumnType.TEXT and expression:
            rule = RowRule("", name, "format", expression)
            builder.rows(Dimension.ACCURACY, f"{name}.pattern", rule, column=name)


def _consistency(builder: _Builder, columns: Sequence[Column], expected_rows: int | None) -> None:
    if expected_rows is not None:
        # A staging table that lost rows must not be taken for the source's present.
        builder.add(
            Dimension.CONSISTENCY,
            "rows",
            f"row_count = {expected_rows}",
            {},
            effect=Effect.BLOCK,
        )
    for earlier, later in _pairs(columns):
        condition = f"{identifier(earlier)} > {identifier(later)}"
        builder.add(
            Dimension.CONSISTENCY,
            f"{earlier}.{later}",
            "failed rows",
            {"fail condition": condition},
            column=earlier,
            warn=_ANY,
        )


_OF_METRIC = {
    MISSING: (Dimension.COMPLETENESS, "missing_percent", 100),
    AVERAGE: (Dimension.CONSISTENCY, "avg", 1),
    LENGTH: (Dimension.CONSISTENCY, "avg_length", 1),
}
"""Dimension, metric of Soda, and what a measured value is multiplied with to be that."""


def _usual(
    builder: _Builder,
    measured: Sequence[Measure],
    history: Sequence[Measured],
    *,
    full_refresh: bool,
) -> None:
    """Checks against earlier runs. They warn: what is unusual need not be wrong."""
    found = usual(history, "", ROWS, full_refresh=full_refresh)
    if found is not None:
        # Half a row is no row.
        most = _number(math.ceil(found.greatest))
        warn = f"when not between {_number(math.floor(found.least))} and {most}"
        builder.add(Dimension.COMPLETENESS, "usual_rows", "row_count", {}, warn=warn)
    for column, metric, _ in measured:
        found = usual(history, column, metric, full_refresh=full_refresh)
        if found is None or (metric == MISSING and found == (0, 1)):
            continue
        dimension, soda, times = _OF_METRIC[metric]
        builder.add(
            dimension,
            f"{column}.usual_{metric}",
            f"{soda}({identifier(column)})",
            {},
            column=column,
            warn=f"when not between {_number(found.least * times)} and "
            f"{_number(found.greatest * times)}",
            whole=True,
        )


def _number(value: float) -> str:
    """As SodaCL takes a number: without an exponent."""
    return f"{Decimal(repr(float(value))).normalize():f}"


def _pairs(columns: Sequence[Column]) -> Iterable[tuple[str, str]]:
    """Columns of one type whose names say that the first is not after the second."""
    times = [(column, _stem(column.name)) for column in columns if column.type in _TIMES]
    for earlier, stem in times:
        for later, other in times:
            if other in _ORDERED.get(stem, ()) and earlier.type is later.type:
                yield earlier.name, later.name


def _stem(name: str) -> str:
    """ "updated" of "updated_at", "date_updated", "last_updated_on"."""
    name = re.sub(r"_(at|on|date|time|timestamp|datetime)$", "", name.lower())
    return re.sub(r"^(date|time|last|is)_", "", name)


def _allowed(column: Column) -> tuple[str, ...]:
    """The values of the schema's enum that the column's type can hold."""
    if column.type is ColumnType.TEXT:
        return column.enum
    if column.type in _NUMBERS:
        return tuple(value for value in column.enum if _is_number(value))
    return ()


def _is_number(value: str) -> bool:
    try:
        return Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _duration(value: timedelta) -> str:
    return f"{max(1, round(value.total_seconds() / 60))}m"
