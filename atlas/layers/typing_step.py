"""One statement that types the rows of a segment into a staging table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg2.sql import SQL, Composable, Identifier, Literal

from atlas.layers.hashing import keyed_hash
from atlas.layers.names import Tables
from atlas.layers.values import Extraction, hashed, reason, type_name, typed
from atlas.ledger.validity import VALID
from atlas.model.stream import Column, ColumnType

TOMBSTONE = "_ab_cdc_deleted_at"
"""Airbyte's mark of a deleted row: not null."""

# Where a row stood in the source's log or files, and since when, is no value of the row.
NOT_BUSINESS = ("_ab_cdc_", "_ab_source_file_")
"""Beginnings of the names of properties that a row's hash leaves out."""

_MOST_ARGUMENTS = 90  # of a function; PostgreSQL's limit is 100
_MOST_ENTRIES = 1600  # of a SELECT, beside our own; PostgreSQL's limit is 1,664
# column, value, typed value, reason if that is NULL and the value is not (None: cannot be)
_Check = tuple[str, Composable, Composable, Composable | None]


@dataclass(frozen=True, slots=True)
class Twin:
    """The masked twin of a column: its name in staging, and its type."""

    name: str
    type: ColumnType


def insert(
    staging: Composable,
    tables: Tables,
    rows: Composable,
    columns: tuple[Column, ...],
    twinned: Mapping[str, Twin],
    formerly: Mapping[str, ColumnType],
) -> Composable:
    """INSERT … SELECT in steps, so that each value is extracted, typed and made text only once.

    ``rows`` is the condition on the raw rows, which are called ``r``.

    A step gives the values as ``v<n>``, typed as ``t<n>``, as text to hash as ``h<n>``, and the
    masks as ``m<n>`` and ``u<n>``. PostgreSQL lets a step give 1,664 of them: for wider streams
    the last step does all at once, and does some of it twice.
    """
    extraction = Extraction(columns)
    data = Identifier("data")
    raws = [Identifier(f"v{n}") for n in range(len(columns))]
    masks = [Identifier(f"m{n}") for n in range(len(twinned))]
    extracted: list[Composable] = [SQL("r._atlas_id, r._atlas_emitted_at, r.data")]
    extracted += _named(raws, (extraction.raw(column) for column in columns))
    extracted += _named(masks, (SQL("m.{}").format(mask) for mask in masks))
    source: Composable = SQL(
        "(SELECT {values} FROM {raw} r{masked}{source} WHERE {rows} OFFSET 0) e"
    ).format(
        values=SQL(", ").join(extracted),
        raw=Identifier("explore", tables.raw),
        masked=SQL(" JOIN pg_temp._atlas_masked m ON m._atlas_id = r._atlas_id")
        if twinned
        else SQL(""),
        source=extraction.source,
        rows=rows,
    )

    def step(prefix: str, values: list[Composable]) -> list[Composable]:
        """Give ``values`` names in a step of their own, if there is room."""
        nonlocal source
        if 3 * len(columns) + 2 * len(twinned) > _MOST_ENTRIES or not values:
            return values
        names: list[Composable] = [Identifier(f"{prefix}{n}") for n in range(len(values))]
        source = SQL("(SELECT {} FROM {} OFFSET 0) {}").format(
            SQL(", ").join([SQL("*"), *_named(names, values)]), source, Identifier(prefix)
        )
        return names

    pairs = list(zip(columns, raws, strict=True))
    values = step("t", [typed(column, raw, data) for column, raw in pairs])
    fitted = step(
        "u", [fit(mask, twin.type) for mask, twin in zip(masks, twinned.values(), strict=True)]
    )
    texts = step(
        "h",
        [
            hashed(column, value, raw, data, formerly.get(column.name))
            for (column, raw), value in zip(pairs, values, strict=True)
        ],
    )
    failed: list[_Check] = [
        (column.name, raw, value, reason(column, raw))
        for (column, raw), value in zip(pairs, values, strict=True)
    ]
    failed += [
        (column, mask, value, Literal("its mask does not fit its type"))
        for column, mask, value in zip(twinned, masks, fitted, strict=True)
        if twinned[column].type is not ColumnType.TEXT
    ]
    return SQL("INSERT INTO {staging} ({names}) SELECT {values} FROM {source}").format(
        staging=staging,
        names=SQL(", ").join(
            [
                SQL(
                    "_atlas_id, _atlas_emitted_at, _atlas_row_hash, _atlas_deleted, _atlas_errors,"
                    " _atlas_failed"
                ),
                *(Identifier(column.name) for column in columns),
                *(Identifier(twin.name) for twin in twinned.values()),
            ]
        ),
        values=SQL(", ").join(
            [
                SQL("_atlas_id, _atlas_emitted_at"),
                _hash(columns, texts),
                SQL("coalesce(jsonb_typeof({} -> {}) <> 'null', false)").format(
                    data, Literal(TOMBSTONE)
                ),
                _errors(failed),
                SQL("'{{}}'").format(),
                *values,
                *fitted,
            ]
        ),
        source=source,
    )


def _named(names: Iterable[Composable], values: Iterable[Composable]) -> list[Composable]:
    return [SQL("{} AS {}").format(value, name) for name, value in zip(names, values, strict=True)]


def fit(mask: Composable, kind: ColumnType) -> Composable:
    """A mask, given as text, as ``kind``; NULL if it is none."""
    if kind is ColumnType.TEXT:
        return mask
    return SQL("CASE WHEN {valid}({m}, {name}) THEN {m}::{kind} END").format(
        m=mask, valid=VALID, name=Literal(kind.value), kind=type_name(kind)
    )


def _hash(columns: tuple[Column, ...], texts: list[Composable]) -> Composable:
    """HMAC over the values that are there, by property: name and value, each with its length.

    What is NULL contributes nothing, and the order is that of the names: so neither a new column
    nor another order of columns changes a row's hash.
    """
    pieces: list[Composable] = []
    for column, text in sorted(zip(columns, texts, strict=True), key=lambda pair: pair[0].property):
        if column.property.startswith(NOT_BUSINESS):
            continue
        pieces.append(
            SQL("{said} || octet_length({text}) || ':' || {text}").format(
                said=Literal(f"{len(column.property.encode())}:{column.property}"), text=text
            )
        )
    while len(pieces) > 1:
        pieces = [
            SQL("concat({})").format(SQL(", ").join(pieces[start : start + _MOST_ARGUMENTS]))
            for start in range(0, len(pieces), _MOST_ARGUMENTS)
        ]
    return keyed_hash(pieces[0] if pieces else SQL("''"))


def _errors(failed: list[_Check]) -> Composable:
    """jsonb of column → reason for the values that are there and do not fit, or NULL."""
    # A masked column stands here twice; its value's reason goes before its mask's. As two keys of
    # one name the latter would win, also where it is NULL.
    conditions: dict[str, list[tuple[Composable, Composable]]] = {}
    for column, value, typed_value, why in failed:
        if why is not None:
            misfit = SQL("({} IS NOT NULL AND {} IS NULL)").format(value, typed_value)
            conditions.setdefault(column, []).append((misfit, why))
    no_object = SQL("(jsonb_typeof(data) <> 'object')").format()
    conditions[""] = [(no_object, Literal("the record is no JSON object"))]
    return SQL(
        "CASE WHEN {any} THEN jsonb_strip_nulls(jsonb_object(ARRAY[{names}], ARRAY[{reasons}])) END"
    ).format(
        any=SQL(" OR ").join(misfit for pairs in conditions.values() for misfit, _ in pairs),
        names=SQL(", ").join(map(Literal, conditions)),
        reasons=SQL(", ").join(
            SQL("CASE {} END").format(
                SQL(" ").join(SQL("WHEN {} THEN {}").format(misfit, why) for misfit, why in pairs)
            )
            for pairs in conditions.values()
        ),
    )
