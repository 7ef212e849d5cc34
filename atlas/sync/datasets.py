"""The catalog of datasets: what there is, what is known and said of it, and how it looks.

A dataset is a stream's data, called as its table in chart and navigate. Each layer has it as a
table: ``chart.shop_users`` is one of them, ``shop_users`` stands for all.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import sqlalchemy as sa

from atlas.errors import NotAllowed, NotFound, UsageError
from atlas.layers import sample as look
from atlas.ledger import audit, catalog, checks, dataset_notes, datasets, results
from atlas.ledger.catalog import LAYERS, Facts, Place, Table
from atlas.ledger.database import cursor
from atlas.ledger.dataset_notes import Note
from atlas.roles import Role

MOST = 100
"""Rows of a sample."""

LONGEST = 5000
"""Characters of a description."""

_WORDS = 1000
_OWNER = 200
_WHY = 1000
_TAGS = 50
_RUNS = 5

_TAG = re.compile(r"[a-z0-9][a-z0-9._:-]{0,49}")


class Changes(TypedDict, total=False):
    """What to say of a dataset from now on; what is left out stays. A text that is None or empty
    takes back what was said."""

    description: str | None
    owner: str | None
    tags: Sequence[str]
    """All tags there shall be; ``tag`` adds to them, ``untag`` takes away."""
    tag: Sequence[str]
    untag: Sequence[str]
    columns: Mapping[str, str | None]
    """Descriptions of columns."""


class _Found(NamedTuple):
    """A dataset, and those of its tables that are meant and there."""

    id: int
    name: str
    tables: list[Table]

    @property
    def table(self) -> Table:
        return self.tables[0]


# --- what there is -------------------------------------------------------------------------------


def listed(
    conn: sa.Connection,
    *,
    limit: int,
    after: str | None = None,
    layer: str | None = None,
    connection: str | None = None,
    words: str | None = None,
    tag: str | None = None,
    owner: str | None = None,
    sort: str | None = None,
) -> dict[str, Any]:
    """A page of tables that hold datasets: by name or, with ``words`` and without ``sort``, the
    best match first.

    Args:
        after: ``next_cursor`` of the page before.
        words: as in a web search: all of them, ``"a phrase"``, ``-not``, ``this or that``.
        sort: ``name``, or ``-name``, the other way.

    Returns: ``{"items": [{"dataset", "layer", "name", …}], "next_cursor": str | None}``.

    Raises:
        NotFound: there is no such layer. UsageError: the words or the cursor make no sense.
    """
    if layer is not None:
        _layer(layer)
    if words is not None:
        words = _text(words, "search", _WORDS)
        if words is None or not catalog.has_words(conn, words):
            raise UsageError("search: there is no word in it; leave it out to list all datasets")
    found = catalog.listed(
        conn,
        limit=limit + 1,
        after=None if after is None else _place(after),
        words=words,
        layer=layer,
        connection=None if connection is None else _text(connection, "connection", _OWNER),
        tag=None if tag is None else _text(tag, "tag", _OWNER),
        owner=None if owner is None else _text(owner, "owner", _OWNER),
        sort=sort,
    )
    page = found[:limit]
    known = catalog.facts(conn, sorted({table.id for table, _ in page}))
    return {
        "items": [_item(table, known.get(table.id, catalog.NOTHING)) for table, _ in page],
        "next_cursor": _cursor(page[-1][1]) if len(found) > limit else None,
    }


def _item(table: Table, facts: Facts) -> dict[str, Any]:
    return {
        "dataset": table.dataset,
        "layer": table.layer,
        "name": table.name,
        "connection": table.connection,
        "stream": table.stream,
        "namespace": table.namespace,
        "description": table.description,
        "owner": table.owner,
        "tags": table.tags,
        "estimated_rows": table.estimated_rows,
        "loaded_at": facts.loaded_at[table.layer],
        "status": facts.status,
        "quality_score": facts.score,
        "personal": list(facts.personal),
    }


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place(given: str) -> Place:
    try:
        rank, name, layer = json.loads(base64.urlsafe_b64decode(given.encode("ascii")))
        place = Place(float(rank), _storable(name), _storable(layer))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(_NO_PLACE) from error
    if not math.isfinite(place.rank):
        raise UsageError(_NO_PLACE)
    return place


_NO_PLACE = "cursor: not one that a list returned; leave it out to begin anew"


# --- one of them ---------------------------------------------------------------------------------


def show(conn: sa.Connection, name: str, layer: str | None = None) -> dict[str, Any]:
    """All that is known and said of a dataset.

    Args:
        name: ``shop_users``, ``chart.shop_users``, or a table's name where ``layer`` is given.

    Raises:
        NotFound: there is no such dataset, or it has no table in that layer.
    """
    return _document(conn, _find(conn, name, layer))


def _document(conn: sa.Connection, found: _Found) -> dict[str, Any]:
    connection, key = datasets.find(conn, found.name)
    schema = catalog.schema(conn, connection, key)
    said = dataset_notes.notes(conn, found.id)
    whole = said.get("", Note())
    facts = catalog.facts(conn, [found.id]).get(found.id, catalog.NOTHING)
    source = dataset_notes.described(schema)
    return {
        "dataset": found.name,
        "connection": connection,
        "stream": key.name,
        "namespace": key.namespace,
        "description": whole.description or source,
        "source_description": source,
        "owner": whole.owner,
        "tags": list(whole.tags),
        "described_by": whole.actor,
        "described_at": whole.at,
        "layers": [_in_layer(conn, table, facts) for table in found.tables],
        "columns": _columns(conn, found, schema, said, facts),
        "personal": list(facts.personal),
        "quality": _quality(conn, found),
        "status": facts.status,
        "runs": catalog.last_runs(conn, connection, key, limit=_RUNS),
    }


def _in_layer(conn: sa.Connection, table: Table, facts: Facts) -> dict[str, Any]:
    with cursor(conn) as cur:
        rows = look.count(cur, table.layer, table.name)
    return {
        "layer": table.layer,
        "name": table.name,
        "rows": rows,
        "estimated_rows": table.estimated_rows,
        "loaded_at": facts.loaded_at[table.layer],
    }


def _columns(
    conn: sa.Connection,
    found: _Found,
    schema: dict[str, Any],
    said: Mapping[str, Note],
    facts: Facts,
) -> list[dict[str, Any]]:
    personal: dict[str, list[dict[str, Any]]] = {}
    for each in [] if facts.scanned is None else results.findings(conn, facts.scanned):
        personal.setdefault(each.column, []).append(
            {
                "column": each.column + each.path[1:],
                "entity_type": each.entity_type,
                "operator": each.operator.value,
            }
        )
    columns = []
    for column in catalog.columns(conn, found.table.connection, found.table.key):
        source = dataset_notes.described(schema, column.property)
        note = said.get(column.column_name, Note())
        columns.append(
            {
                "name": column.column_name,
                "property": column.property,
                "type": column.column_type,
                "description": note.description or source,
                "source_description": source,
                "described_by": note.actor,
                "described_at": note.at,
                "personal": personal.get(column.column_name, []),
            }
        )
    return columns


def _quality(conn: sa.Connection, found: _Found) -> dict[str, Any] | None:
    last = checks.of_dataset(conn, found.table.connection, found.table.key)
    if not last:
        return None
    scores = checks.scores(conn, [last[0].run_stream_id])[last[0].run_stream_id]
    return {
        "score": scores.get("overall"),
        "run_id": last[0].run_id,
        "checked_at": last[0].at,
        "status": last[0].status,
    }


# --- its rows ------------------------------------------------------------------------------------


def sample(
    conn: sa.Connection,
    name: str,
    layer: str | None = None,
    *,
    limit: int,
    actor: str,
    may_unmask: bool,
    why: str | None = None,
) -> dict[str, Any]:
    """Some rows of a dataset: of chart, unless ``name`` or ``layer`` says another.

    What stands in chart and navigate is masked. Rows of explore are as their source sent them: who
    looks at them and why is written into the audit trail, so the transaction must be committed
    before they are shown to anybody.

    Raises:
        NotFound: there is no such dataset, or it has no table in that layer.
        NotAllowed: these are unmasked, and whoever asks may not see that.
        UsageError: these are unmasked, and nobody says why they are wanted.
    """
    if layer is None and "." not in name:
        layer = "chart"
    found = _find(conn, name, layer)
    table = found.table
    raw = table.layer == "explore"
    if raw and not may_unmask:
        raise NotAllowed(
            Role.PRIVACY,
            f"rows of {table.layer} are as their source sent them, which chart.{found.name} shows "
            "masked",
        )
    why = " ".join((why or "").split()) if raw else None
    if raw and not why:
        raise UsageError("why: say why you look at what is not masked; others will read it")
    if why:
        why = _text(why, "why", _WHY)
    with cursor(conn) as cur:
        rows = look.rows(cur, table.layer, table.name, limit)
    if raw:
        audit.put(
            conn,
            actor,
            "datasets.sample",
            f"{table.layer}.{table.name}",
            {"why": why, "rows": [row["row"]["_atlas_id"] for row in rows]},
        )
    return {
        "dataset": found.name,
        "layer": table.layer,
        "name": table.name,
        "masked": not raw,
        "items": rows,
    }


# --- what people say of it -----------------------------------------------------------------------


def describe(
    conn: sa.Connection,
    name: str,
    changes: Changes,
    layer: str | None = None,
    *,
    actor: str,
    seen: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Say what a dataset is; that holds for all its layers and every later run, and wins over what
    its source says. That it was said, not what, stands in the audit trail. Returns the dataset.

    Args:
        seen: gets the dataset as it was, once nobody else can say anything of it; may refuse by
            an exception.

    Raises:
        NotFound: there is no such dataset or column.
        UsageError: a text or tag cannot be kept, or nothing is to be said.
    """
    found = _find(conn, name, layer)
    connection, key = datasets.find(conn, found.name)
    if not changes:
        raise UsageError("say a description, an owner or a tag; `atlas datasets show` shows them")
    columns = {
        column: _text(text, f"description of column {column[:100]}", LONGEST)
        for column, text in changes.get("columns", {}).items()
    }
    for column in columns:
        datasets.has_column(conn, connection, key, _known(column, "column"))
    dataset_notes.hold(conn, found.id)
    if seen is not None:
        seen(_document(conn, found))
    said = dataset_notes.notes(conn, found.id)
    wanted = {"": _whole(said.get("", Note()), changes)}
    wanted |= {column: Note(description=text) for column, text in columns.items()}
    changed = {}
    for column, note in wanted.items():
        before = said.get(column, Note())
        other = [part for part in _PARTS if getattr(before, part) != getattr(note, part)]
        if other:
            dataset_notes.put(conn, found.id, column, note, actor=actor)
            changed[column] = other
    if changed:
        dataset_notes.index(conn, connection, key, catalog.schema(conn, connection, key))
        audit.put(
            conn,
            actor,
            "datasets.describe",
            found.name,
            {"changed": changed.pop("", []), "columns": sorted(changed)},
        )
    return _document(conn, found)


_PARTS = ("description", "owner", "tags")


def _whole(before: Note, changes: Changes) -> Note:
    note = before
    if "description" in changes:
        note = note._replace(description=_text(changes["description"], "description", LONGEST))
    if "owner" in changes:
        owner = " ".join((changes["owner"] or "").split())
        note = note._replace(owner=_text(owner, "owner", _OWNER))
    tags = {_tag(each) for each in changes["tags"]} if "tags" in changes else set(before.tags)
    tags |= {_tag(each) for each in changes.get("tag", ())}
    tags -= {_tag(each) for each in changes.get("untag", ())}
    if len(tags) > _TAGS:
        raise UsageError(f"tags: a dataset takes up to {_TAGS}")
    return note._replace(tags=tuple(sorted(tags)))


def _tag(given: str) -> str:
    if not _TAG.fullmatch(given):
        raise UsageError(
            f"tag {given[:100]!r}: up to 50 lower-case letters, digits and . _ : -, the first a "
            "letter or digit"
        )
    return given


# --- names and texts -----------------------------------------------------------------------------


def _find(conn: sa.Connection, name: str, layer: str | None) -> _Found:
    table = name
    if layer is None and "." in name:
        layer, _, table = name.partition(".")
    if layer is not None:
        _layer(layer)
    table = _known(table, "dataset")
    row = datasets.named(conn, table, raw=layer == "explore")
    if row is None:
        raise NotFound(
            f"there is no dataset {name[:150]!r}: `atlas datasets list` shows those there are, "
            "each as its table is called in its layer"
        )
    there = catalog.tables(conn, row.id)
    found = [each for each in there if layer in (None, each.layer)]
    if not found:
        raise NotFound(
            f"dataset {row.table_name} has no table" + (f" in {layer}" if layer else "") + " yet: "
            f"`atlas sync {row.connection}` fills it"
        )
    return _Found(row.id, row.table_name, found)


def _layer(layer: str) -> None:
    if layer not in LAYERS:
        raise NotFound(f"there is no layer {layer[:100]!r}: they are {', '.join(LAYERS)}")


def _known(name: str, what: str) -> str:
    try:
        return _storable(name)
    except ValueError as error:
        raise NotFound(f"there is no {what} {name[:100]!r}") from error


def _text(text: str | None, what: str, longest: int) -> str | None:
    """``text`` without space around it; None where nothing is left."""
    text = (text or "").strip()
    if len(text) > longest:
        raise UsageError(f"{what}: it has {len(text)} characters, and up to {longest} are taken")
    try:
        return _storable(text) or None
    except ValueError as error:
        raise UsageError(
            f"{what}: it has a character that is none (NUL, or half of one)"
        ) from error


def _storable(text: Any) -> str:
    """``text``, if PostgreSQL takes it.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(text, str) or dataset_notes.storable(text) != text:
        raise ValueError("not storable")
    return text
