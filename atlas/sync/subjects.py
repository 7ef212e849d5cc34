"""A person's data, asked for by the person: found, given out, erased.

Each of the three goes through all streams that have tables, stream by stream, each in a transaction
of its own, and stands in the audit log under keyed hashes of the identifiers. What an erasure has
done in a stream and that it has done it commit together; a process that dies between two streams
leaves the rest to :func:`resume`, or to whoever asks for the same again.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from atlas.errors import ActiveRun, AtlasError, NotFound, UsageError
from atlas.layers import names, staging, subjects
from atlas.layers.hashing import hash_key
from atlas.layers.subjects import LAYERS, Sought, Subject
from atlas.ledger import audit, connections, erasures, runs
from atlas.ledger.database import classified, cursor
from atlas.ledger.secrets import derive, hold, keys
from atlas.model.stream import StreamKey
from atlas.pii.sealing import Sealing
from atlas.pii.tokens import Tokens
from atlas.settings import Settings, secret_key

log = logging.getLogger(__name__)

MOST = 100
"""Most identifiers of one request."""

LONGEST = 1000
"""Longest identifier, in characters."""

SHORTEST = 5
"""A shorter one says too little to be looked for everywhere."""


@dataclass(frozen=True, slots=True)
class Request:
    """Whom it is about.

    Attributes:
        identifiers: what the person is known by, trimmed, each once.
        contains: whether they may stand in the midst of a longer text.
        connection: the only connection to look in; None: all.
        columns: the only columns to look in; empty: everywhere.
    """

    identifiers: tuple[str, ...] = field(repr=False)
    contains: bool = False
    connection: str | None = None
    columns: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The request as JSON values."""
        return {
            "identifiers": list(self.identifiers),
            "contains": self.contains,
            "connection": self.connection,
            "columns": list(self.columns),
        }

    @staticmethod
    def restore(document: Mapping[str, Any]) -> Request:
        """The request that :meth:`document` told."""
        return Request(
            tuple(document["identifiers"]),
            document["contains"],
            document["connection"],
            tuple(document["columns"]),
        )

    def told(self) -> dict[str, Any]:
        """What of it may stand in the audit log: of what people type, only how much."""
        return {
            "identifiers": len(self.identifiers),
            "contains": self.contains,
            "connection": self.connection,
            "columns": len(self.columns),
        }


def request(
    identifiers: Iterable[str],
    *,
    contains: bool = False,
    connection: str | None = None,
    columns: Iterable[str] = (),
) -> Request:
    """A request for what is called so; empty lines are nothing.

    Raises:
        UsageError: it is none; the message holds no identifier.
    """
    trimmed = (text.strip() for text in identifiers)
    known = tuple(dict.fromkeys(text for text in trimmed if text))
    columns = tuple(sorted(set(columns)))
    if not known:
        raise UsageError("say at least one identifier")
    if len(known) > MOST:
        raise UsageError(f"{len(known)} identifiers are too many: up to {MOST} at once")
    for number, text in enumerate(known, 1):
        which = f"identifier {number} of {len(known)}"
        if len(text) > LONGEST:
            raise UsageError(f"{which} is longer than {LONGEST} characters")
        if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
            raise UsageError(f"{which} holds a character that no text holds")
        if len(text) < SHORTEST and (contains or not columns):
            raise UsageError(
                f"{which} has fewer than {SHORTEST} characters, and could be anybody's: say in "
                "which columns it stands, whole"
            )
    return Request(tuple(sorted(known)), contains, connection, columns)


@dataclass(frozen=True, slots=True)
class _Secrets:
    """What comes of the keys at work."""

    rows: bytes = field(repr=False)
    tokens: tuple[Tokens, ...] = field(repr=False)
    sealing: Sealing = field(repr=False)
    marks: bytes = field(repr=False)

    def subjects(self, request: Request) -> tuple[str, ...]:
        """Keyed hashes of the identifiers: what the audit log calls the person."""
        return tuple(
            "sub_"
            + hmac.digest(self.marks, (t.lower() if "@" in t else t).encode(), "sha256")[:16].hex()
            for t in (unicodedata.normalize("NFC", each) for each in request.identifiers)
        )

    def hide(self, text: str) -> tuple[str, ...]:
        """What a value reads as where it is hidden, but stays equal to itself."""
        # Where a raw row is gone, a later key's token may be of an earlier one's.
        tokens: list[str] = []
        for each in self.tokens:
            tokens += [each.token(former) for former in (text, *tokens)]
        return *tokens, self.sealing.seal(text)

    def sought(self, request: Request) -> Sought:
        """What to look for in the layers."""
        # A token is of what was sent: of the ways to write it, the likely ones.
        forms = {
            form
            for t in request.identifiers
            for text in ((t, t.lower()) if "@" in t else (t,))
            for form in (text, *(unicodedata.normalize(name, text) for name in ("NFC", "NFD")))
        }
        return Sought(
            request.identifiers,
            tuple(sorted(hidden for form in forms for hidden in self.hide(form))),
            request.contains,
            request.columns,
        )


def _secrets(conn: sa.Connection, settings: Settings) -> _Secrets:
    opened = keys(conn, secret_key(settings))
    identity = opened.identity
    return _Secrets(
        derive(identity, "rows"),
        # Of each key of which a token may be left in some table.
        tuple(Tokens(opened.tokens[number]) for number in sorted(opened.tokens)),
        Sealing(derive(identity, "encrypt")),
        derive(identity, "subjects"),
    )


@contextlib.contextmanager
def _transaction(engine: sa.Engine, settings: Settings) -> Iterator[sa.Connection]:
    """A transaction with the patience of the settings: what is searched may be large."""
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        patience = sa.text("SELECT set_config('statement_timeout', :ms, true)")
        conn.execute(patience, {"ms": str(int(settings.statement_timeout * 1000))})
        yield conn


def _scope(conn: sa.Connection, asked: Request) -> list[tuple[str, StreamKey]]:
    found = erasures.streams(conn, asked.connection)
    if asked.connection is not None and not found:
        connections.selects(conn, asked.connection)  # raises NotFound if there is none
    return found


def _subject(
    conn: sa.Connection, known: _Secrets, asked: Request, connection: str, key: StreamKey
) -> tuple[Subject, dict[str, int]]:
    """The person's rows in a stream, and how many they are by layer."""
    cur = cursor(conn)
    hash_key(cur, known.rows)
    subjects.seek(cur, known.sought(asked))
    last = erasures.latest(conn, connection, key)
    subject = Subject(
        cur,
        connection,
        names.tables(cur, connection, key),
        names.columns(cur, connection, key, last.configured.json_schema if last else {}).all,
        last.configured.primary_key if last else (),
        last.configured.cursor_field if last else (),
    )
    return subject, subject.search(asked.columns, known.hide)


def _named(connection: str, key: StreamKey, rows: Mapping[str, int]) -> dict[str, Any]:
    return {
        "connection": connection,
        "stream": key.name,
        "namespace": key.namespace,
        "rows": dict(rows),
    }


def _summed(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    total = dict.fromkeys(LAYERS, 0)
    for each in found:
        for layer, rows in (each["rows"] or {}).items():
            total[layer] += rows
    return total


def find(
    engine: sa.Engine, settings: Settings, asked: Request, *, actor: str, action: str = "pii.find"
) -> dict[str, Any]:
    """How many rows of a person each stream has, layer by layer; streams without any are left out.

    Raises:
        NotFound: there is no such connection.
    """
    return _gather(engine, settings, asked, actor=actor, action=action, whole=False)


def export(engine: sa.Engine, settings: Settings, asked: Request, *, actor: str) -> dict[str, Any]:
    """What :func:`find` finds, with the rows themselves as raw JSON, numbers exact.

    Raises:
        NotFound: there is no such connection.
    """
    return _gather(engine, settings, asked, actor=actor, action="pii.export", whole=True)


def _gather(
    engine: sa.Engine,
    settings: Settings,
    asked: Request,
    *,
    actor: str,
    action: str,
    whole: bool,
) -> dict[str, Any]:
    with _transaction(engine, settings) as conn:
        known = _secrets(conn, settings)
        scope = _scope(conn, asked)
    streams = []
    for connection, key in scope:
        with _transaction(engine, settings) as conn:
            subject, rows = _subject(conn, known, asked, connection, key)
            if not any(rows.values()):
                continue
            told = _named(connection, key, rows)
            if whole:
                told["data"] = {
                    layer: [msgspec.Raw(text) for text in subject.documents(layer)]
                    for layer in LAYERS
                }
            streams.append(told)
    names_ = known.subjects(asked)
    counts = [{k: v for k, v in each.items() if k != "data"} for each in streams]
    with _transaction(engine, settings) as conn:
        audit.put(conn, actor, action, " ".join(names_), {**asked.told(), "streams": counts})
    return {"subjects": list(names_), "streams": streams, "total": _summed(counts)}


def erase(
    engine: sa.Engine,
    settings: Settings,
    asked: Request,
    *,
    actor: str,
    begun: Callable[[sa.Connection, int], None] | None = None,
) -> dict[str, Any]:
    """Erase a person's rows in every layer; returns the erasure (:func:`erasure`).

    Args:
        begun: called with its number in the transaction that makes it so: from then on it goes on
            to its end, whatever happens to this process.

    Raises:
        NotFound: there is no such connection.
        ActiveRun: a connection with rows of the person has an active run; nothing was erased.
    """
    found = find(engine, settings, asked, actor=actor, action="pii.erase.search")
    within = [
        (each["connection"], StreamKey(each["stream"], each["namespace"]))
        for each in found["streams"]
    ]
    with _transaction(engine, settings) as conn:
        for connection in sorted({connection for connection, _ in within}):
            # From here on no raw row goes by its age, by which what is hidden is found.
            with contextlib.suppress(NotFound):
                connections.lock(conn, connection)
            _idle(conn, connection)
        number = erasures.begin(
            conn,
            secret_key(settings),
            actor=actor,
            subjects=tuple(found["subjects"]),
            request=asked.document(),
            within=within,
        )
        if begun is not None:
            begun(conn, number)
        audit.put(
            conn,
            actor,
            "pii.erase",
            " ".join(found["subjects"]),
            {"erasure": number, **asked.told(), "streams": found["streams"]},
        )
    _go_on(engine, settings, number, asked, actor)
    with _transaction(engine, settings) as conn:
        return erasure(conn, number)


def erasure(conn: sa.Connection, number: int) -> dict[str, Any]:
    """An erasure with its streams, of which one that could not be done yet has no ``rows``."""
    told = erasures.document(conn, number)
    return {**told, "total": _summed(told["streams"])}


def resume(engine: sa.Engine, settings: Settings) -> None:
    """Go on with erasures that somebody began and did not end. What cannot be done now, because a
    run of the connection is active, is done another time."""
    older = settings.redispatch_seconds
    with _transaction(engine, settings) as conn:
        if not erasures.any_left(conn, older):
            return
        found = erasures.unfinished(conn, secret_key(settings), older=older)
    for each in found:
        try:
            _go_on(engine, settings, each.id, Request.restore(each.request), each.actor)
        except AtlasError as error:
            log.error("erasure %d cannot be gone on with: %s", each.id, type(error).__name__)


def _go_on(engine: sa.Engine, settings: Settings, number: int, asked: Request, actor: str) -> None:
    """Do what is left of an erasure, but for streams whose connections have an active run."""
    with _transaction(engine, settings) as conn:
        left = erasures.left(conn, number)
    failed: AtlasError | None = None
    for connection, key in left:
        try:
            _erase_in(engine, settings, number, asked, actor, connection, key)
        except ActiveRun as error:
            log.info("erasure %d waits for the end of run %s", number, error.run_id)
        except AtlasError as error:  # one that cannot be done keeps no other from being
            failed = failed or error
    with _transaction(engine, settings) as conn:
        if erasures.finish(conn, number):
            told = erasures.document(conn, number)
            audit.put(
                conn,
                actor,
                "pii.erase.end",
                " ".join(told["subjects"]),
                {"erasure": number, "rows": _summed(told["streams"])},
            )
    if failed is not None:
        raise failed


def _erase_in(
    engine: sa.Engine,
    settings: Settings,
    number: int,
    asked: Request,
    actor: str,
    connection: str,
    key: StreamKey,
) -> None:
    """Erase the person in one stream.

    Raises:
        ActiveRun: a run of the connection is active.
    """
    with _transaction(engine, settings) as conn:
        hold(conn)
        if not erasures.take(conn, number, connection, key):
            return
        _idle(conn, connection)
        known = _secrets(conn, settings)
        seen, subject = runs.seen(conn, connection), None
        # A search may take minutes, and whoever wants to sync meanwhile shall not wait for it.
        if (connection, key) in erasures.streams(conn, connection):
            subject = _subject(conn, known, asked, connection, key)[0]
        with contextlib.suppress(NotFound):  # a connection that was deleted has no runs any more
            connections.lock(conn, connection)
        _idle(conn, connection)
        rows = dict.fromkeys(LAYERS, 0)
        # The tables may have been dropped meanwhile.
        if subject is not None and (connection, key) in erasures.streams(conn, connection):
            if runs.seen(conn, connection) != seen:
                subject = _subject(conn, known, asked, connection, key)[0]
            subject.remember(number)
            rows = _forget(conn, connection, key, subject)
        erasures.done(conn, number, connection, key, rows)
        audit.put(
            conn,
            actor,
            "pii.erase.stream",
            " ".join(known.subjects(asked)),
            {"erasure": number, **_named(connection, key, rows)},
        )


def _forget(
    conn: sa.Connection, connection: str, key: StreamKey, subject: Subject
) -> dict[str, int]:
    """Delete the rows, and have all that counts them count what is left; returns how many there
    were in each layer."""
    run_streams = erasures.run_streams(conn, connection, key)
    # Under the lock of their runs nobody drops their staging tables.
    runs.lock_runs_of(conn, sorted(set(staging.left(cursor(conn))) & set(run_streams)))
    for run_stream_id in sorted(set(staging.left(cursor(conn))) & set(run_streams)):
        if runs.get(conn, runs.stream(conn, run_stream_id).run_id).remasks:
            staging.drop(cursor(conn), run_stream_id)  # a retry makes it anew
            continue
        erasures.discount_carried(conn, run_stream_id, subject.withdraw(run_stream_id))
    erasures.forget_parts(conn, run_streams)
    rows, gone = subject.erase()
    erasures.discount(conn, key, gone)
    return rows


def _idle(conn: sa.Connection, connection: str) -> None:
    active = runs.active_of_name(conn, connection)
    if active is not None:
        raise ActiveRun(connection, active, before="data in it can be erased")
