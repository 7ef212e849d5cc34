"""Small tables for the tests of atlas.pii, with people of the tests' own."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from atlas.model.personal import Scope, Verdict
from atlas.model.stream import Column, ColumnType
from atlas.pii import Policy, policy
from atlas.pii.masker import Masker
from atlas.pii.scanner import Scanner
from atlas.pii.sealing import Sealing

AT = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = b"a secret of the tests, long enough"
SEALING = Sealing(b"another secret of the tests, as long")
GIVEN = [
    "Astrid",
    "Henrik",
    "Mary",
    "Olivia",
    "Peter",
    "Sofia",
    "Thomas",
    "Emma",
    "Lucas",
    "Anna",
    "Victor",
    "Clara",
    "Hugo",
    "Ida",
    "Oscar",
    "Maya",
    "Felix",
    "Nora",
    "Simon",
    "Laura",
    "Jonas",
    "Helena",
    "Martin",
    "Eva",
    "Daniel",
    "Julia",
    "Robert",
    "Alice",
    "Paul",
    "Ruth",
]
FAMILY = [
    "Nielsen",
    "Okafor",
    "Whitfield",
    "Marchetti",
    "Lindqvist",
    "Abernathy",
    "Kowalski",
    "Delacroix",
    "Yamamoto",
    "Ferreira",
    "Haugen",
    "Osborne",
    "Petrov",
    "Castellano",
    "Brandt",
]


def full_names(count: int, seed: int = 7) -> list[str]:
    """``count`` full names."""
    chance = random.Random(seed)
    return [f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}" for _ in range(count)]


def column(name: str, type: ColumnType = ColumnType.TEXT) -> Column:  # noqa: A002
    """A column that is called the same at the source."""
    return Column(name, name, type)


def table(columns: list[Column], data: dict[str, list[Any]], start: int = 1) -> pa.Table:
    """A batch of ``data`` by column name: values as text, documents as JSON text."""
    rows = len(next(iter(data.values())))
    arrays: dict[str, pa.Array] = {"_atlas_id": pa.array(range(start, start + rows), pa.int64())}
    for each in columns:
        arrays[each.name] = pa.array(
            [
                value
                if value is None or isinstance(value, str)
                else json.dumps(value, ensure_ascii=False)
                for value in data[each.name]
            ],
            pa.string(),
        )
    return pa.table(arrays)


def verdicts(
    scanner: Scanner,
    data: dict[str, list[Any]],
    types: dict[str, ColumnType] | None = None,
    keys: frozenset[str] = frozenset(),
    how: Policy | None = None,
) -> list[Verdict]:
    """The verdicts on a table of one batch."""
    columns = [column(name, (types or {}).get(name, ColumnType.TEXT)) for name in data]
    how = how or policy("default")
    study = scanner.study(columns, keys, kept=how.kept, secret=SECRET)
    study.observe(table(columns, data))
    return study.verdicts(how)


def masked(
    scanner: Scanner,
    data: dict[str, list[Any]],
    types: dict[str, ColumnType] | None = None,
    keys: frozenset[str] = frozenset(),
    how: Policy | None = None,
) -> dict[str, list[str | None]]:
    """The masked columns of a table, studied and masked under ``how``, without the id."""
    columns = [column(name, (types or {}).get(name, ColumnType.TEXT)) for name in data]
    found = verdicts(scanner, data, types, keys, how)
    batch = table(columns, data)
    out = Masker(scanner, columns, found, keys, SECRET, SEALING).mask(batch)
    assert out.column("_atlas_id").equals(batch.column("_atlas_id"))
    return {name: out.column(name).to_pylist() for name in out.column_names if name != "_atlas_id"}


def values_found(found: list[Verdict]) -> dict[str, str]:
    """Entity type by "column path" of the verdicts on whole values."""
    return {
        f"{each.column}{each.path[1:]}": each.entity_type
        for each in found
        if each.scope is Scope.VALUE
    }
