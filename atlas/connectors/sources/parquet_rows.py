"""The rows of Parquet files as the text of JSON objects: their types are exact, and are kept."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from atlas.connectors.sources.speak import SourceError

TEXT: dict[str, Any] = {"type": ["null", "string"]}
OURS = "_ab_source_file_"
"""What names begin with that the source gives itself: a file's own of that kind are left out."""

_BATCH_ROWS = 5_000

Row = tuple[int, str]
"""Number of the row in its file, from 1, and its properties as JSON text without braces."""

_quoted: Callable[[str], str] = json.JSONEncoder(ensure_ascii=False).encode


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name}: cannot be read as Parquet") from error
    names = file.schema_arrow.names
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SourceError(f"{path.name}: column {min(twice)} is there twice; rename one of them")
    return file


def infer(path: Path) -> dict[str, dict[str, Any]]:
    """Properties of the file and their JSON schemas.

    Raises:
        SourceError: the file is no Parquet file, or has columns of one name.
    """
    return {field.name: _of_arrow(field.type) for field in _parquet(path).schema_arrow}


def _of_arrow(kind: Any) -> dict[str, Any]:
    from pyarrow import types

    if types.is_boolean(kind):
        return {"type": ["null", "boolean"]}
    if types.is_integer(kind):
        big = {"airbyte_type": "big_integer"} if types.is_uint64(kind) else {}
        return {"type": ["null", "integer"], **big}
    if types.is_floating(kind) or types.is_decimal(kind):
        return {"type": ["null", "number"]}
    if types.is_date(kind):
        return {"type": ["null", "string"], "format": "date"}
    if types.is_timestamp(kind):
        said = "timestamp_without_timezone" if kind.tz is None else "timestamp_with_timezone"
        return {"type": ["null", "string"], "format": "date-time", "airbyte_type": said}
    if types.is_time(kind):
        return {"type": ["null", "string"], "airbyte_type": "time_without_timezone"}
    if types.is_dictionary(kind):
        return _of_arrow(kind.value_type)
    if types.is_struct(kind) or types.is_map(kind):
        return {"type": ["null", "object"]}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return {"type": ["null", "array"]}
    return TEXT


def rows(path: Path) -> Iterator[Row]:
    """The file's rows.

    Raises:
        SourceError: the file is damaged, or a value of it has no text.
    """
    import pyarrow as pa

    file = _parquet(path)
    names = [name for name in file.schema_arrow.names if not name.startswith(OURS)]
    keys = [json.dumps(name, ensure_ascii=False) for name in names]
    number = 0
    try:
        for batch in file.iter_batches(_BATCH_ROWS, columns=names):
            columns = [_texts(path, name, batch.column(name)) for name in names]
            for values in zip(*columns, strict=True) if columns else ((),) * batch.num_rows:
                number += 1
                yield number, ",".join([f"{k}:{v}" for k, v in zip(keys, values, strict=True)])
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path.name}: damaged after row {number}") from error


def _texts(path: Path, name: str, column: Any) -> list[str]:
    """The values of a column as JSON."""
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        return _texts(path, name, column.dictionary_decode())
    if types.is_timestamp(kind) and kind.unit == "ns":
        # Python's own times end at the microsecond.
        return _times(column)
    try:
        # Without it an empty map could not be told from an empty list.
        return [_json(value) for value in column.to_pylist(maps_as_pydicts="lossy")]
    except (ValueError, OverflowError) as error:
        # And at the year 9999.
        if types.is_timestamp(kind) or types.is_date(kind):
            return _times(column)
        raise SourceError(f"{path.name}: column {name} has a value that cannot be told") from error


def _times(column: Any) -> list[str]:
    """Days and moments as Arrow writes them, whatever their year."""
    import pyarrow as pa
    from pyarrow import types

    zone = ""
    if types.is_timestamp(column.type) and column.type.tz is not None:
        zone, column = "Z", column.cast(pa.timestamp(column.type.unit))
    texts = column.cast(pa.string()).to_pylist()
    return ["null" if text is None else f'"{text.replace(" ", "T")}{zone}"' for text in texts]


def _json(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(str(k))}:{_json(v)}" for k, v in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            if math.isfinite(value):
                return repr(value)
            return '"NaN"' if math.isnan(value) else f'"{"-" if value < 0 else ""}Infinity"'
        case Decimal():
            return f"{value:f}" if value.is_finite() else f'"{value}"'
        case datetime() | date() | time():
            return f'"{value.isoformat()}"'
        case bytes():
            return f'"{base64.b64encode(value).decode()}"'
    return _quoted(str(value))
