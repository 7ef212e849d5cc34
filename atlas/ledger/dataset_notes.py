"""What people say of datasets, and the words by which datasets are found.

What a dataset is found by is written down with whatever it is made of: at the start of every run,
which brings names and descriptions of the source, and with what people say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import REGCONFIG, insert

from atlas.ledger.tables import dataset_index, dataset_note, stream_column, stream_table
from atlas.model.stream import StreamKey

LONGEST = 2000
"""Most characters that are kept of a description of the source."""

_SEARCHED = 100_000
"""Most characters that are searched of each kind of text: PostgreSQL's documents end at 1 MB."""

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")


class Note(NamedTuple):
    """What people say of a dataset or, where owner and tags say nothing, of a column."""

    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    actor: str | None = None
    at: datetime | None = None


def notes(conn: sa.Connection, dataset: int) -> dict[str, Note]:
    """All that people say of a dataset: by column, of the dataset as a whole under ``""``.

    Args:
        dataset: id of its row in ``stream_table``.
    """
    rows = conn.execute(sa.select(dataset_note).where(dataset_note.c.stream_table_id == dataset))
    return {
        row.column_name: Note(row.description, row.owner, tuple(row.tags), row.actor, row.at)
        for row in rows
    }


_OF_TABLE = (
    sa.select(dataset_note)
    .join(stream_table, stream_table.c.id == dataset_note.c.stream_table_id)
    .where(stream_table.c.table_name == sa.bindparam("table"), dataset_note.c.column_name == "")
)


def of_table(conn: sa.Connection, table: str) -> Note:
    """What people say, as a whole, of the dataset whose table in chart and navigate is called
    ``table``: one query, as every lineage event asks."""
    row = conn.execute(_OF_TABLE, {"table": table}).one_or_none()
    if row is None:
        return Note()
    return Note(row.description, row.owner, tuple(row.tags), row.actor, row.at)


def used(conn: sa.Connection, *, limit: int = 200) -> tuple[list[str], list[str]]:
    """The tags and the owners that people gave datasets, each by the alphabet."""
    tags = sa.select(sa.func.unnest(dataset_note.c.tags).label("word")).subquery()
    owners = sa.select(dataset_note.c.owner.label("word")).subquery()
    found = [
        sa.select(words.c.word).where(words.c.word.is_not(None)).distinct().order_by("word")
        for words in (tags, owners)
    ]
    return (
        list(conn.execute(found[0].limit(limit)).scalars()),
        list(conn.execute(found[1].limit(limit)).scalars()),
    )


def hold(conn: sa.Connection, dataset: int) -> None:
    """Keep others from saying something of the dataset, or from indexing it, until the transaction
    ends: what is read from here on is what they left."""
    conn.execute(insert(dataset_index).values(stream_table_id=dataset).on_conflict_do_nothing())
    conn.execute(
        sa.select(dataset_index.c.stream_table_id)
        .where(dataset_index.c.stream_table_id == dataset)
        .with_for_update()
    )


def put(conn: sa.Connection, dataset: int, column: str, note: Note, *, actor: str) -> None:
    """Have this be what people say; a note that says nothing is none. Call :func:`hold` before."""
    if not (note.description or note.owner or note.tags):
        conn.execute(
            dataset_note.delete().where(
                dataset_note.c.stream_table_id == dataset, dataset_note.c.column_name == column
            )
        )
        return
    values = {
        "description": note.description,
        "owner": note.owner,
        "tags": list(note.tags),
        "actor": actor,
        "at": sa.func.clock_timestamp(),
    }
    conn.execute(
        insert(dataset_note)
        .values(stream_table_id=dataset, column_name=column, **values)
        .on_conflict_do_update(
            index_elements=[dataset_note.c.stream_table_id, dataset_note.c.column_name],
            set_=values,
        )
    )


def index(conn: sa.Connection, connection: str, key: StreamKey, schema: dict[str, Any]) -> None:
    """Have a stream's dataset be found by what holds now; nothing is written when it is already.

    Args:
        schema: the JSON schema that the source gives of the stream.
    """
    of_stream = (connection, key.namespace or "", key.name)
    table = conn.execute(
        sa.select(stream_table).where(
            sa.tuple_(stream_table.c.connection, stream_table.c.namespace, stream_table.c.stream)
            == of_stream
        )
    ).one()
    hold(conn, table.id)
    columns = conn.execute(
        sa.select(stream_column.c.column_name, stream_column.c.property)
        .where(
            sa.tuple_(stream_column.c.connection, stream_column.c.namespace, stream_column.c.stream)
            == of_stream
        )
        .order_by(stream_column.c.position)
    ).all()
    said = notes(conn, table.id)
    whole = said.pop("", Note())
    names = [connection, key.name, key.namespace or "", table.table_name, table.raw_name]
    places = [f"{layer}.{table.table_name}" for layer in ("chart", "navigate")]
    texts: dict[str, list[str | None]] = {
        "A": [*_split(names), *places, f"explore.{table.raw_name}"],
        "B": [whole.description, whole.owner, *whole.tags, *_split(whole.tags), described(schema)],
        "C": [*_split(name for column in columns for name in column)],
        "D": [
            *(note.description for note in said.values()),
            *(described(schema, column.property) for column in columns),
        ],
    }
    wanted: dict[str, Any] = {"description": described(schema), "search": _document(texts)}
    conn.execute(
        dataset_index.update()
        .where(
            dataset_index.c.stream_table_id == table.id,
            sa.or_(
                dataset_index.c.description.is_distinct_from(wanted["description"]),
                dataset_index.c.search.is_distinct_from(wanted["search"]),
            ),
        )
        .values(**wanted)
    )


def described(schema: dict[str, Any], column: str | None = None) -> str | None:
    """What the source's schema says of the stream, or of a property of it; None: nothing."""
    of: Any = schema
    if column is not None:
        properties = schema.get("properties")
        of = properties.get(column) if isinstance(properties, dict) else None
    text = of.get("description") if isinstance(of, dict) else None
    if not isinstance(text, str):
        return None
    return storable(text).strip()[:LONGEST] or None


def storable(text: str) -> str:
    """``text`` with NUL and lone surrogates, which PostgreSQL does not take, replaced."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _split(names: Iterable[str]) -> list[str]:
    """Each name as it stands, and its words: ``lastLogin`` is found by ``login``."""
    found = []
    for name in names:
        found += [name, " ".join(_BOUNDARY.split(name))]
    return found


def _document(texts: dict[str, list[str | None]]) -> sa.ColumnElement[Any]:
    """The texts by weight as one document. Each word stands there as it is, and as English has it
    without its ending: who searches in another language finds whole words."""
    parts = [
        sa.func.setweight(sa.func.to_tsvector(sa.cast(config, REGCONFIG), text), weight)
        for weight, found in texts.items()
        for text in [storable(" ".join(each for each in found if each))[:_SEARCHED]]
        for config in ("simple", "english")
    ]
    document: sa.ColumnElement[Any] = parts[0]
    for part in parts[1:]:
        document = document.op("||")(part)
    return document
