"""Which table and column a stream and a property become, once and for all.

The mapping is made when a name is first seen, and is kept in ``pipeline.stream_table`` and
``pipeline.stream_column``. A name that is a lower-case ASCII identifier stands unchanged. Any
other is normalised: accents are dropped, camelCase becomes snake_case, and what is left that is no
letter, digit or underscore becomes an underscore. Where the result is taken, reserved, or longer
than 62 bytes, it gets a suffix made of a hash of the full original name, so that it does not
depend on what else happens to be there. The namespace takes part in that hash only: the table of
``crm.users`` is ``<connection>_users`` unless another namespace's ``users`` came first.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg2 import extensions

from atlas.layers import types
from atlas.model.stream import Column, ColumnType, StreamKey

LIMIT = 62
"""Most bytes of a name; PostgreSQL itself cuts at 63."""

RAW = "_raw"
QUARANTINE = "_quarantine"

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)
_RESERVED = frozenset(
    (
        *("surrogate_key", "valid_from", "valid_to", "is_current"),
        # PostgreSQL's system columns
        *("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"),
    )
)
_OURS = "_atlas_"

# One lock for all names of tables: they are unique across connections.
_TABLES_LOCK = 0x41746C61_00000001


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one stream: ``table`` in chart and navigate, ``raw`` in explore,
    ``quarantine`` in chart."""

    key: StreamKey
    table: str
    raw: str
    quarantine: str


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """Columns of a stream, in the order in which they first appeared.

    Attributes:
        active: those that the present schema has.
        all: also those that only earlier schemas had. The tables keep them; they are NULL in
            whatever comes without them. Staging, chart and navigate take these.
    """

    active: tuple[Column, ...]
    all: tuple[Column, ...]


def tables(cur: extensions.cursor, connection: str, key: StreamKey) -> Tables:
    """The tables of a stream; the mapping is made if there is none yet.

    Making it takes a lock that all connections share until the transaction ends: call this in a
    short one.
    """
    found = stored(cur, connection, key)
    if found is not None:
        return found
    cur.execute("SELECT pg_advisory_xact_lock(%s)", (_TABLES_LOCK,))
    found = stored(cur, connection, key)
    if found is not None:
        return found
    identity = "\0".join((connection, key.namespace or "", key.name))
    wish = normalise(f"{connection}_{normalise(key.name)}")
    table, raw = next(
        (table, raw)
        for table, raw in zip(
            _candidates(wish, identity), _candidates(wish, identity, RAW), strict=True
        )
        if not _taken(cur, table) and not _taken(cur, raw, "explore")
    )
    # what had to be changed in the table's name is changed in the quarantine's, too
    plain = table == fitted(wish, identity)
    quarantine = next(
        name
        for name in _candidates(wish, identity, QUARANTINE, always=not plain)
        if name != table and not _taken(cur, name)
    )
    made = Tables(key, table, raw, quarantine)
    # Waits here for whoever forgets keys of tokens, to see in the next statement which are left.
    cur.execute("LOCK TABLE pipeline.stream_table IN ROW EXCLUSIVE MODE")
    cur.execute(
        "INSERT INTO pipeline.stream_table"
        " (connection, namespace, stream, table_name, raw_name, quarantine_name, token_key)"
        # That of new tables is the newest there is.
        " SELECT %s, %s, %s, %s, %s, %s, coalesce(max(substr(name, 8)::int), 1)"
        " FROM pipeline.key_mark WHERE name LIKE 'tokens-%%'",
        (connection, key.namespace or "", key.name, made.table, made.raw, made.quarantine),
    )
    return made


def token_key(cur: extensions.cursor, connection: str, key: StreamKey) -> int:
    """Number of the key that the tokens in a stream's tables come from."""
    cur.execute(
        "SELECT token_key FROM pipeline.stream_table"
        " WHERE connection = %s AND namespace = %s AND stream = %s",
        (connection, key.namespace or "", key.name),
    )
    row = cur.fetchone()
    return 1 if row is None else int(row[0])


def put_token_key(cur: extensions.cursor, connection: str, key: StreamKey, number: int) -> None:
    """From now on the tokens in a stream's tables come from the key with this number."""
    cur.execute(
        "UPDATE pipeline.stream_table SET token_key = %s"
        " WHERE connection = %s AND namespace = %s AND stream = %s",
        (number, connection, key.namespace or "", key.name),
    )


def stored(cur: extensions.cursor, connection: str, key: StreamKey) -> Tables | None:
    """The tables of a stream as they are called; None: it has none yet."""
    cur.execute(
        "SELECT table_name, raw_name, quarantine_name FROM pipeline.stream_table"
        " WHERE connection = %s AND namespace = %s AND stream = %s",
        (connection, key.namespace or "", key.name),
    )
    row = cur.fetchone()
    return None if row is None else Tables(key, *row)


def _taken(cur: extensions.cursor, name: str, schema: str = "chart") -> bool:
    """Whether a stream has ``name`` in ``schema``; chart's names include navigate's."""
    where = "raw_name = %s" if schema == "explore" else "%s IN (table_name, quarantine_name)"
    cur.execute(
        "SELECT EXISTS (SELECT FROM pipeline.stream_table WHERE " + where + ")",  # noqa: S608
        (name,),
    )
    row = cur.fetchone()
    return bool(row and row[0])


def columns(
    cur: extensions.cursor, connection: str, key: StreamKey, json_schema: dict[str, Any]
) -> StreamColumns:
    """The columns of a stream whose records follow ``json_schema`` from now on.

    Properties seen for the first time are appended to the mapping; a type that the new schema
    contradicts is widened (:func:`types.widen`). Nothing is written when nothing is new.
    """
    properties = json_schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    wanted = {name: types.column_type(schema) for name, schema in properties.items()}
    stored = _stored_columns(cur, connection, key)
    if _behind(stored, wanted):
        cur.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            ("\0".join((connection, key.namespace or "", key.name)).replace("\0", "\x1f"),),
        )
        stored = _stored_columns(cur, connection, key)
        _update(cur, connection, key, stored, wanted)
    required = json_schema.get("required")
    required = set(required) if isinstance(required, list) else set()
    known = [
        _column(name, *stored[name], properties.get(name), name in required) for name in stored
    ]
    return StreamColumns(
        active=tuple(column for column in known if column.property in properties),
        all=tuple(known),
    )


def known(cur: extensions.cursor, connection: str, key: StreamKey) -> dict[str, ColumnType]:
    """The properties of a stream that have a column, gone ones included, and its type."""
    return {name: kind for name, (_, kind) in _stored_columns(cur, connection, key).items()}


def _stored_columns(
    cur: extensions.cursor, connection: str, key: StreamKey
) -> dict[str, tuple[str, ColumnType]]:
    cur.execute(
        "SELECT property, column_name, column_type FROM pipeline.stream_column"
        " WHERE connection = %s AND namespace = %s AND stream = %s ORDER BY position",
        (connection, key.namespace or "", key.name),
    )
    return {name: (column, ColumnType(kind)) for name, column, kind in cur.fetchall()}


def _behind(stored: dict[str, tuple[str, ColumnType]], wanted: dict[str, ColumnType]) -> bool:
    return any(
        name not in stored or types.widen(stored[name][1], kind) != stored[name][1]
        for name, kind in wanted.items()
    )


def _update(
    cur: extensions.cursor,
    connection: str,
    key: StreamKey,
    stored: dict[str, tuple[str, ColumnType]],
    wanted: dict[str, ColumnType],
) -> None:
    """Widen and append in the ledger and in ``stored``."""
    where = (connection, key.namespace or "", key.name)
    for name, kind in wanted.items():
        if name in stored and (wider := types.widen(stored[name][1], kind)) != stored[name][1]:
            cur.execute(
                "UPDATE pipeline.stream_column SET column_type = %s WHERE connection = %s"
                " AND namespace = %s AND stream = %s AND property = %s",
                (wider.value, *where, name),
            )
            stored[name] = (stored[name][0], wider)
    fresh = [name for name in wanted if name not in stored]
    assigned = assign(fresh, taken={column for column, _ in stored.values()})
    for name in fresh:
        cur.execute(
            "INSERT INTO pipeline.stream_column (connection, namespace, stream, property,"
            " column_name, column_type, position) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (*where, name, assigned[name], wanted[name].value, len(stored)),
        )
        stored[name] = (assigned[name], wanted[name])


def assign(properties: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Names of columns for ``properties`` beside those ``taken``.

    Properties that can keep their name choose first, whatever their order.
    """
    used = set(taken)
    result: dict[str, str] = {}
    for name in sorted(properties, key=lambda name: not _IDENTIFIER.fullmatch(name)):
        result[name] = _free(
            normalise(name),
            name,
            lambda column: column in used or column in _RESERVED or column.startswith(_OURS),
        )
        used.add(result[name])
    return result


def _free(wish: str, identity: str, taken: Callable[[str], bool]) -> str:
    if wish.startswith(_OURS):
        wish = fitted(wish.lstrip("_"), identity, always=True)
    return next(name for name in _candidates(wish, identity) if not taken(name))


def _candidates(
    wish: str, identity: str, suffix: str = "", *, always: bool = False
) -> Iterator[str]:
    """``wish`` with ``suffix``, then with hashes of growing length between them."""
    if not always:
        yield fitted(wish, identity, suffix)
    for size in range(8, 48, 8):
        yield fitted(wish, identity, suffix, always=True, size=size)


def fitted(
    name: str, identity: str, suffix: str = "", *, always: bool = False, size: int = 8
) -> str:
    """``name`` and ``suffix`` in at most :data:`LIMIT` bytes, by a hash of ``identity``.

    The hash stands there only if it must, or ``always``.
    """
    if not always and len(name) + len(suffix) <= LIMIT:
        return name + suffix
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:size]
    room = LIMIT - len(suffix) - len(digest) - 1
    return f"{name[:room].rstrip('_') or 'x'}_{digest}{suffix}"


def normalise(name: str) -> str:
    """``name`` as a lower-case ASCII identifier, of any length; itself if it is one."""
    if _IDENTIFIER.fullmatch(name):
        return name
    text = unicodedata.normalize("NFKD", name)
    text = "".join(char for char in text if not unicodedata.combining(char))
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
    text = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)
    text = re.sub(r"[^a-z0-9_]+", "_", text.casefold())
    if not text.strip("_"):
        return "unnamed"
    return f"_{text}" if text[0].isdigit() else text


def _column(name: str, column: str, kind: ColumnType, schema: Any, required: bool) -> Column:
    if not isinstance(schema, dict):
        return Column(property=name, name=column, type=kind)
    said = schema.get("format")
    return Column(
        property=name,
        name=column,
        type=kind,
        nullable=not required or types.nullable(schema),
        format=said if isinstance(said, str) else None,
        enum=types.enum(schema),
        minimum=_bound(schema.get("minimum")),
        maximum=_bound(schema.get("maximum")),
        pattern=pattern if isinstance(pattern := schema.get("pattern"), str) else None,
    )


def _bound(value: Any) -> Decimal | None:
    return Decimal(str(value)) if type(value) in (int, float) else None
