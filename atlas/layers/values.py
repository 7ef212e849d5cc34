"""From JSON to typed values: SQL that gives a value or NULL, a reason, and a text to hash.

A value that does not fit its column is never rounded, guessed or dropped in silence: the typed
expression gives NULL, and the reason says why without saying the value. What fits:

- bigint: a whole number in 64 bits, however it is written (``1.0`` and ``1e3`` are whole), or a
  string of one.
- numeric: any finite number, exactly, or a string of one; the strings ``NaN``, ``Infinity`` and
  ``-Infinity``, which are how JSON carries what it lacks.
- boolean: JSON's ``true`` and ``false`` only.
- date, times, timestamps: strings in ISO 8601's calendar forms (extended or basic) as RFC 3339
  profiles them. A timestamp without an offset is UTC. In a column without time zone an offset is
  applied and the value kept as UTC. A date may be a timestamp at midnight UTC. Fractions beyond
  microseconds are rounded to them, as PostgreSQL does.
- text: strings; of any other value its JSON text.
- jsonb: anything.

The session's ``TimeZone`` must be UTC (:func:`atlas.layers.database.settle`).
"""

from __future__ import annotations

from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from atlas.layers.types import TEMPORAL
from atlas.ledger.validity import VALID
from atlas.model.stream import Column, ColumnType

# PostgreSQL's matcher is several times faster without bounds, captures and alternatives, so each
# test starts with a plain one that nearly every value passes.
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DAY_BASIC = r"[0-9]{8}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
_CLOCK_BASIC = r"[0-9]{4}(?:[0-9]{2}(?:\.[0-9]+)?)?"
_OFFSET = r"(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)"
_STAMP = rf"^(?:{_DAY}(?:[Tt ]{_CLOCK}{_OFFSET}?)?|{_DAY_BASIC}(?:T{_CLOCK_BASIC}{_OFFSET}?)?)$"
_STAMP_TAIL = r"^[.][0-9]+(?:Z|[+-][0-9][0-9]:[0-9][0-9])?$"
_STAMP_HEAD = r"^[0-9]+-[0-9]+-[0-9]+T[0-9]+:[0-9]+:[0-9]+"
_DATE = rf"^(?:{_DAY}|{_DAY_BASIC})(?:[Tt ]00:?00(?::?00(?:\.0+)?)?(?:[Zz]|[+-]00(?::?00)?)?)?$"
_TIME = rf"^{_CLOCK}{_OFFSET}?$"
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")

_REASON = {
    ColumnType.BOOLEAN: "not true or false",
    ColumnType.DATE: "not a date of ISO 8601",
    ColumnType.TIME: "not a time of ISO 8601",
    ColumnType.TIMETZ: "not a time of ISO 8601",
    ColumnType.TIMESTAMP: "not a date and time of ISO 8601",
    ColumnType.TIMESTAMPTZ: "not a date and time of ISO 8601",
}
_AS_JSON = frozenset((ColumnType.BOOLEAN, ColumnType.JSONB))


def type_name(kind: ColumnType) -> SQL:
    """The type's name as SQL."""
    return SQL(kind.value)


class Extraction:
    """How the values of ``columns`` come out of a table ``r`` with a column ``data``.

    One pass over each document gives all of them. Attribute ``source`` is what to append to
    ``FROM … r``; :meth:`raw` is a column's value as text, or as jsonb where the JSON type
    matters (booleans, jsonb itself). JSON's null and an absent property are both NULL.
    """

    def __init__(self, columns: tuple[Column, ...]) -> None:
        # a longer name would be cut, and an empty one is no identifier
        fit = [column for column in columns if 0 < len(column.property.encode()) < 64]
        self._fit = {column.property for column in fit}
        definitions = SQL(", ").join(
            SQL("{} {}").format(
                Identifier(column.property),
                SQL("jsonb") if column.type in _AS_JSON else SQL("text"),
            )
            for column in fit
        )
        self.source: Composable = (
            SQL(
                ", LATERAL jsonb_to_record(CASE jsonb_typeof(r.data) WHEN 'object' THEN r.data"
                " ELSE '{{}}' END) AS x({})"
            ).format(definitions)
            if fit
            else SQL("")
        )

    def raw(self, column: Column) -> Composable:
        """The value of ``column`` as it was sent."""
        if column.property in self._fit:
            return SQL("x.{}").format(Identifier(column.property))
        if column.type in _AS_JSON:
            return SQL("nullif(r.data -> {}, 'null')").format(Literal(column.property))
        return SQL("(r.data ->> {})").format(Literal(column.property))


def typed(column: Column, raw: Composable, data: Composable) -> Composable:
    """``raw`` as the column's type, or NULL where it does not fit.

    Args:
        raw: what :meth:`Extraction.raw` names; evaluated several times, so pass a column.
        data: the whole document, looked at only when a text alone does not tell.
    """
    return _typed(column.type, column.property, raw, data)


def _typed(kind: ColumnType, name: str, raw: Composable, data: Composable) -> Composable:
    parts = {"v": raw, "is_string": _is(data, name, "string"), "valid": VALID}
    match kind:
        case ColumnType.BOOLEAN:
            text = "CASE {v} WHEN 'true' THEN true WHEN 'false' THEN false END"
        case ColumnType.BIGINT:
            parts |= {"number": Literal(_NUMBER)}
            text = (
                "CASE WHEN {v} ~ '^-?[0-9]+$' AND length({v}) < 19 THEN {v}::bigint"
                " WHEN {v} ~ {number} AND {valid}({v}, 'numeric') THEN"
                " CASE WHEN {v}::numeric = trunc({v}::numeric) AND {v}::numeric BETWEEN"
                " -9223372036854775808 AND 9223372036854775807 THEN {v}::numeric::bigint END END"
            )
        case ColumnType.NUMERIC:
            parts |= {"number": Literal(_NUMBER), "others": _list(_NOT_FINITE)}
            text = (
                "CASE WHEN {v} ~ '^-?[0-9]+[.]?[0-9]*$' AND length({v}) < 1000 THEN {v}::numeric"
                " WHEN {v} ~ {number} AND {valid}({v}, 'numeric') THEN {v}::numeric"
                " WHEN {v} IN ({others}) AND {is_string} THEN {v}::numeric END"
            )
        case ColumnType.DATE:
            parts |= {"form": Literal(_DATE)}
            text = (
                "CASE WHEN {v} ~ {form} AND (length({v}) > 8 OR {is_string})"
                " AND {valid}({v}, 'date') THEN {v}::date END"
            )
        case ColumnType.TIMESTAMP | ColumnType.TIMESTAMPTZ:
            parts |= {
                "head": Literal(_STAMP_HEAD),
                "tail": Literal(_STAMP_TAIL),
                "form": Literal(_STAMP),
                "value": SQL(
                    "{v}::timestamptz"
                    if kind is ColumnType.TIMESTAMPTZ
                    else "({v}::timestamptz AT TIME ZONE 'UTC')"
                ).format(v=raw),
            }
            text = (
                "CASE WHEN (({v} LIKE '____-__-__T__:__:__%' AND {v} ~ {head}"
                " AND (substr({v}, 20) IN ('', 'Z', '+00:00') OR substr({v}, 20) ~ {tail}))"
                " OR ({v} ~ {form} AND (length({v}) > 8 OR {is_string})))"
                " AND {valid}({v}, 'timestamptz') THEN {value} END"
            )
        case ColumnType.TIME | ColumnType.TIMETZ:
            parts |= {
                "form": Literal(_TIME),
                "value": SQL(
                    "{v}::timetz"
                    if kind is ColumnType.TIMETZ
                    else "({v}::timetz AT TIME ZONE 'UTC')::time"
                ).format(v=raw),
            }
            text = "CASE WHEN {v} ~ {form} AND {valid}({v}, 'timetz') THEN {value} END"
        case _:
            return raw
    return SQL(text).format(**parts)


def reason(column: Column, raw: Composable) -> Composable | None:
    """Why ``raw`` does not fit, or None if everything fits the column's type."""
    if column.type is ColumnType.BIGINT:
        return SQL(
            "CASE WHEN {v} ~ {number} THEN CASE WHEN {v} ~ '^[+-]?[0-9]+$'"
            " THEN 'out of the range of bigint' ELSE 'not a whole number of 64 bits' END"
            " ELSE 'not a number' END"
        ).format(v=raw, number=Literal(_NUMBER))
    if column.type is ColumnType.NUMERIC:
        return SQL(
            "CASE WHEN {v} ~ {number} THEN 'out of the range of numeric' ELSE 'not a number' END"
        ).format(v=raw, number=Literal(_NUMBER))
    text = _REASON.get(column.type)
    return None if text is None else Literal(text)


def written(kind: ColumnType, value: Composable) -> Composable:
    """A typed value as the one text that all spellings of it share: numbers without zeros at their
    end, times in ISO's form, instants in UTC."""
    if kind is ColumnType.NUMERIC:
        return SQL("trim_scale({})::text").format(value)
    return SQL("({})::text").format(value)


def hashed(
    column: Column,
    value: Composable,
    raw: Composable,
    data: Composable,
    formerly: ColumnType | None,
) -> Composable:
    """A text that is the same for the same value, whatever type the column has or had.

    1 hashes alike as bigint, numeric, text and jsonb; an instant alike however it is written.
    Where texts stand in what was a column of dates or times (``formerly``), those that still read
    as such hash as such: a wider type is no new value.
    """
    parts = {"t": value, "v": raw, "j": SQL("{} -> {}").format(data, Literal(column.property))}
    text: Composable
    match column.type:
        case ColumnType.TEXT:
            # '10.0' is the number 10 if it was sent as a number, and itself as a string
            text = SQL(
                "CASE WHEN right({v}, 1) = '0' AND jsonb_typeof({j}) = 'number'"
                " THEN trim_scale({v}::numeric)::text ELSE {v} END"
            ).format(**parts)
        case ColumnType.JSONB:
            text = SQL(
                "CASE jsonb_typeof({v}) WHEN 'string' THEN {v} #>> '{{}}'"
                " WHEN 'number' THEN trim_scale({v}::numeric)::text ELSE {v}::text END"
            ).format(**parts)
        case _:
            text = written(column.type, value)
    if formerly in TEMPORAL and column.type in (ColumnType.TEXT, ColumnType.JSONB):
        as_text = SQL("({} #>> '{{}}')").format(raw) if column.type is ColumnType.JSONB else raw
        return SQL("coalesce(({})::text, {})").format(
            _typed(formerly, column.property, as_text, data), text
        )
    return text


def convert(value: Composable, old: ColumnType, new: ColumnType) -> Composable:
    """``value`` of type ``old`` as the wider type ``new``."""
    if old == new:
        return value
    if new is ColumnType.JSONB:
        return SQL("to_jsonb({})").format(value)
    return SQL("({})::{}").format(value, type_name(new))


def _is(data: Composable, name: str, kind: str) -> Composed:
    return SQL("jsonb_typeof({} -> {}) = {}").format(data, Literal(name), Literal(kind))


def _list(values: tuple[str, ...]) -> Composed:
    return SQL(", ").join(Literal(value) for value in values)
