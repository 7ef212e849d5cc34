"""The rows of CSV, JSON Lines and Parquet files as JSON objects, exact, in flat memory.

What Parquet needs of its own is in :mod:`parquet_rows`.

A row is the text of its properties without braces, so that whoever asked can add some. A number is
written as the digits that stand in the file: none passes through a float.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from atlas.connectors.sources import parquet_rows
from atlas.connectors.sources.endings import KINDS
from atlas.connectors.sources.parquet_rows import OURS, TEXT, Row
from atlas.connectors.sources.speak import SourceError

_SAMPLE_ROWS = 10_000
_LONGEST_FIELD = 64 * 1024 * 1024
_BIGINT = range(-(2**63), 2**63)

_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_BOOLEAN = re.compile(r"true|false", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_LOCAL = re.compile(_TIME, re.ASCII)
_INSTANT = re.compile(_TIME + r"(?:Z|[+-]\d\d:?\d\d)", re.ASCII)

_WHOLE: dict[str, Any] = {"type": ["null", "integer"]}
_SCHEMAS: list[tuple[re.Pattern[str], dict[str, Any]]] = [
    (_INTEGER, _WHOLE),
    (_NUMBER, {"type": ["null", "number"]}),
    (_BOOLEAN, {"type": ["null", "boolean"]}),
    (_DATE, {"type": ["null", "string"], "format": "date"}),
    (
        _LOCAL,
        {
            "type": ["null", "string"],
            "format": "date-time",
            "airbyte_type": "timestamp_without_timezone",
        },
    ),
    (
        _INSTANT,
        {
            "type": ["null", "string"],
            "format": "date-time",
            "airbyte_type": "timestamp_with_timezone",
        },
    ),
]
BIG: dict[str, Any] = {"type": ["null", "integer"], "airbyte_type": "big_integer"}
ANY: dict[str, Any] = {}

Schema = dict[str, Any] | None
"""JSON schema of a property; None: no value of it was seen, so that it may be anything."""

_UNREADABLE = (UnicodeError, OSError, EOFError, zlib.error)


@dataclass(frozen=True, slots=True)
class Options:
    """How the files of a stream are read; ``delimiter`` and ``header`` None: found out."""

    format: str | None = None
    delimiter: str | None = None
    quote: str = '"'
    header: bool | None = None
    encoding: str = "utf-8-sig"
    null_values: tuple[str, ...] = ("",)


def kind_of(path: Path, options: Options) -> str | None:
    """``csv``, ``jsonl`` or ``parquet``; None for a file that is none of them."""
    if options.format is not None:
        return options.format
    name = path.name.lower().removesuffix(".gz")
    return KINDS.get(Path(name).suffix)


def infer(path: Path, options: Options) -> tuple[dict[str, Schema], SourceError | None]:
    """Properties of the file and their JSON schemas, from its first rows.

    Of a file that cannot be read as what it is they are those of the rows before, beside the error.
    """
    found: dict[str, Schema] = {}
    try:
        match kind_of(path, options):
            case "csv":
                _infer_csv(path, options, found)
            case "jsonl":
                _infer_jsonl(path, options, found)
            case _:
                found.update(parquet_rows.infer(path))
    except SourceError as error:
        return found, error
    except _UNREADABLE as error:
        return found, _broken(path, error)
    return found, None


def rows(path: Path, options: Options, properties: dict[str, Any]) -> Iterator[Row]:
    """The file's rows, with all their properties: what discover did not see must not be lost.

    Args:
        properties: schemas of those that are known.

    Raises:
        SourceError: the file cannot be read as what it is; the message names the line.
    """
    try:
        match kind_of(path, options):
            case "csv":
                yield from _rows_csv(path, options, properties)
            case "jsonl":
                yield from _rows_jsonl(path, options)
            case _:
                yield from parquet_rows.rows(path)
    except _UNREADABLE as error:
        raise _broken(path, error) from error


def merged(one: Schema, other: Schema) -> Schema:
    """The schema that allows what both allow."""
    if one is None or one == other:
        return other
    if other is None:
        return one
    if one.get("type") == other.get("type") == ["null", "integer"]:
        return BIG
    kinds = {kind for said in (one, other) for kind in said.get("type", ["any"])} - {"null"}
    if kinds == {"integer", "number"}:
        return {"type": ["null", "number"]}
    return ANY if "any" in kinds or kinds & {"object", "array"} else TEXT


# --- texts ----------------------------------------------------------------------------------------


def _open(path: Path, options: Options) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding=options.encoding, newline="")
    return path.open(encoding=options.encoding, newline="")


def _broken(path: Path, error: Exception, line: int | None = None) -> SourceError:
    where = path.name if line is None else f"{path.name}, line {line}"
    if isinstance(error, UnicodeError):
        return SourceError(f"{where}: not in its encoding; set encoding, for example latin-1")
    if isinstance(error, OSError):
        reason = error.strerror or "it is damaged"
        return SourceError(f"{where}: cannot be read: {reason}")
    if isinstance(error, zlib.error | EOFError):
        return SourceError(f"{where}: cannot be read: what is packed is damaged")
    return SourceError(f"{where}: {error}")


# --- CSV ------------------------------------------------------------------------------------------


class _Table:
    """An open CSV file: its header, and its rows with the lines on which they end."""

    def __init__(self, path: Path, options: Options, file: IO[str]) -> None:
        self._path = path
        csv.field_size_limit(_LONGEST_FIELD)
        delimiter, header = _dialect(path, options)
        self._reader = csv.reader(
            file, delimiter=delimiter, quotechar=options.quote, strict=True, doublequote=True
        )
        first = next(self._lines(), None)
        self._pending = None if header else first
        self.header: list[str] = []
        if first is not None:
            names = first if header else [""] * len(first)
            self.header = [name.strip() or f"column_{n}" for n, name in enumerate(names, 1)]
        twice = {name for name in self.header if self.header.count(name) > 1}
        if twice:
            raise SourceError(
                f"{path.name}: column {min(twice)} is there twice; rename one of them"
            )

    def _lines(self) -> Iterator[list[str]]:
        try:
            for row in self._reader:
                if row:
                    yield row
        except (csv.Error, *_UNREADABLE) as error:
            raise _broken(self._path, error, self._reader.line_num + 1) from error

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.header)
        if self._pending is not None:
            yield self._pending
        for row in self._lines():
            if len(row) != width:
                raise SourceError(
                    f"{self._path.name}, line {self._reader.line_num}: {len(row)} fields where "
                    f"the first line has {width}"
                )
            yield row


def _dialect(path: Path, options: Options) -> tuple[str, bool]:
    """Delimiter, and whether there is a header."""
    if options.delimiter is not None:
        return options.delimiter, options.header is not False
    if ".tsv" in path.suffixes:
        return "\t", options.header is not False
    import duckdb

    try:
        found = duckdb.execute(
            "SELECT Delimiter, HasHeader FROM sniff_csv(?, quote := ?, ignore_errors := true)",
            [str(path), options.quote],
        ).fetchone()
    except duckdb.Error:
        found = (
            None  # of another encoding, for one: the commonest dialect, and what it says decides
        )
    delimiter = str(found[0]) if found and len(str(found[0])) == 1 else ","
    # A file of texts only looks as if it had no header: one is there unless somebody says not.
    return delimiter, options.header is not False


def _infer_csv(path: Path, options: Options, found: dict[str, Schema]) -> None:
    with _open(path, options) as file:
        table = _Table(path, options, file)
        columns: list[set[str]] = [set() for _ in table.header]
        try:
            for row, _ in zip(table, range(_SAMPLE_ROWS), strict=False):
                for values, value in zip(columns, row, strict=True):
                    values.add(value)
        finally:
            for name, values in zip(table.header, columns, strict=True):
                found[name] = _of_texts(values.difference(options.null_values))


def _of_texts(values: set[str]) -> Schema:
    """The narrowest schema that all the texts fit; a code with leading zeros is no number."""
    if not values:
        return None
    for pattern, schema in _SCHEMAS:
        if all(pattern.fullmatch(value) for value in values):
            if "format" in schema and not all(map(_is_time, values)):
                return TEXT
            return BIG if pattern is _INTEGER and any(map(_is_big, values)) else schema
    return TEXT


def _is_time(text: str) -> bool:
    """Whether there is such a day and hour: 1234-56-78 is a code."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_big(digits: str) -> bool:
    # Longer ones than that Python reads slowly, or not at all.
    return len(digits) > 20 or int(digits) not in _BIGINT


def _rows_csv(path: Path, options: Options, properties: dict[str, Any]) -> Iterator[Row]:
    nulls = frozenset(options.null_values)
    with _open(path, options) as file:
        table = _Table(path, options, file)
        columns = [
            (n, json.dumps(name, ensure_ascii=False), _writer(properties.get(name, TEXT)))
            for n, name in enumerate(table.header)
            if not name.startswith(OURS)
        ]
        for number, row in enumerate(table, 1):
            yield (
                number,
                ",".join(
                    [
                        f"{key}:{'null' if row[n] in nulls else write(row[n])}"
                        for n, key, write in columns
                    ]
                ),
            )


def _writer(schema: dict[str, Any]) -> Callable[[str], str]:
    """From a CSV field to JSON; what does not fit its type stays the text it is."""
    kinds = set(schema.get("type") or ()) - {"null"}
    pattern = {"integer": _INTEGER, "number": _NUMBER}.get(next(iter(kinds), ""))
    if pattern is not None:
        match = pattern.fullmatch
        return lambda text: text if match(text) else _quoted(text)
    if kinds == {"boolean"}:
        return lambda text: text.lower() if _BOOLEAN.fullmatch(text) else _quoted(text)
    return _quoted


_quoted: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode


# --- JSON Lines -----------------------------------------------------------------------------------


def _objects(path: Path, options: Options) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Number, property → untouched JSON text, and the whole line."""
    import msgspec

    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    number = 0
    with _open(path, options) as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield number, decoder.decode(line), line
        except _UNREADABLE as error:
            raise _broken(path, error, number + 1) from error
        except msgspec.MsgspecError as error:
            # Its text may quote a value.
            raise SourceError(f"{path.name}, line {number}: not a JSON object") from error


def _infer_jsonl(path: Path, options: Options, found: dict[str, Schema]) -> None:
    from genson import SchemaBuilder

    builder = SchemaBuilder()
    texts: dict[str, set[str]] = {}
    big: set[str] = set()
    try:
        for (_, values, line), _ in zip(_objects(path, options), range(_SAMPLE_ROWS), strict=False):
            builder.add_object(json.loads(line, parse_float=lambda _: 0.5, parse_int=lambda _: 1))
            for name, value in values.items():
                raw = bytes(value)
                if raw[:1] == b'"':
                    texts.setdefault(name, set()).add(json.loads(raw))
                elif len(raw) > 18 and _INTEGER.fullmatch(raw.decode()) and _is_big(raw.decode()):
                    big.add(name)
    finally:
        for name, schema in (builder.to_schema().get("properties") or {}).items():
            said = _with_null(schema, texts.get(name, set()))
            found[name] = BIG if name in big and said == _WHOLE else said


def _with_null(schema: dict[str, Any], texts: set[str]) -> Schema:
    kind = schema.get("type")
    kinds = [kind] if isinstance(kind, str) else list(kind or [])
    kinds = [item for item in kinds if item != "null"]
    if kinds == ["string"]:
        said = _of_texts(texts)
        return said if said and "format" in said else TEXT
    if len(kinds) != 1:
        return None if not kinds and "anyOf" not in schema else ANY
    return {**schema, "type": ["null", kinds[0]]}


def _rows_jsonl(path: Path, options: Options) -> Iterator[Row]:
    keys: dict[str, str] = {}
    for number, values, _ in _objects(path, options):
        parts = []
        for name, value in values.items():
            if name not in keys and not name.startswith(OURS):
                keys[name] = json.dumps(name, ensure_ascii=False)
            if name in keys:
                parts.append(f"{keys[name]}:{bytes(value).decode()}")
        yield number, ",".join(parts)
