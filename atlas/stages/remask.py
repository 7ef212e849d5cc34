"""What the stages do in a run that asks no source, but makes the masked layers anew from explore.

It goes through the ordinary chain. Explore names the streams that have come to chart. Pii studies
and masks all their raw rows, in parts as ever, and then what stands in rows whose raw row is gone.
Quality has nothing to check. Chart writes what differs into chart, its quarantine and navigate, in
one transaction: a key that is masked otherwise must not be one thing here and another there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from atlas.errors import TerminalError
from atlas.layers import names, orphans, renewed
from atlas.layers.remask import remask
from atlas.ledger import backlog, outbox, rotation, runs
from atlas.ledger.database import cursor
from atlas.ledger.runs import Run
from atlas.ledger.secrets import hold, keys
from atlas.model.personal import Operator, Verdict
from atlas.pii.sealing import SEALED
from atlas.pii.tokens import TOKEN, Tokens
from atlas.settings import secret_key
from atlas.stages import ORDER
from atlas.stages.context import Context
from atlas.stages.work import Work

if TYPE_CHECKING:  # they bring Presidio, which only pii needs
    from atlas.pii.masker import Masker
    from atlas.pii.study import Study


def plan(work: Work, this: Run) -> None:
    """Explore: the streams of the run, each as it was when it last came to chart; nothing is read.

    Raises:
        TerminalError: none of them has come to chart.
    """
    with work.transaction() as conn:
        found = [
            item.configured
            for item in backlog.promoted(conn, this.connection)
            if this.selected is None or {item.key.name, str(item.key)} & set(this.selected)
        ]
        if not found:
            raise TerminalError(f"connection {this.connection}: none of its streams is in chart")
        runs.add_streams(conn, this.id, [(item, False) for item in found], ORDER)
        # That key is not forgotten before it stands in the run.
        hold(conn)
        newest = keys(conn, secret_key(work.settings)).newest
        # Earlier runs are not retried any more, now that there is this one.
        rotation.skip_empty(conn, this.connection, newest)
        messages = []
        for item in runs.streams(conn, this.id):
            # One for all of its parts and attempts, whatever key comes after it.
            runs.count(conn, item.id, token_key=newest)
            runs.explored(conn, item.id)
            messages.append(outbox.put(conn, "stream", str(item.id)))
        work.finish(conn, rows=0)
    work.wake(messages)


def mask_orphans(
    work: Work,
    context: Context,
    study: Study,
    agreed: Callable[[Study], list[Verdict]],
    masker: Callable[[list[Verdict]], Masker],
) -> None:
    """Pii: after the raw rows, what stands in rows whose raw row is gone.

    It is studied by itself: no raw row need be left that shows what it is. An attempt that breaks
    off begins with it anew.

    Args:
        study: a new one of the stream.
        agreed: the verdicts that come of it, with those on the raw rows.
        masker: one that knows values which were masked before.

    Raises:
        TerminalError: nobody knows what the key of a present row is to be from now on.
    """
    stream = context.stream
    with work.transaction() as conn:
        rows = orphans.gather(cursor(conn), context.tables, stream.id)
    if not rows:
        return
    for batch in _batches(work, context, rows):
        study.observe(batch)
    made = masker(agreed(study))
    anew = None if context.former_tokens is None else Tokens(context.tokens)
    with work.transaction() as conn:
        cur = cursor(conn)
        once = orphans.with_tokens(cur, context.tables)
        columns = made.columns if anew is None else {**once, **made.columns}
        orphans.add_twins(cur, stream.id, columns)
        if anew is not None:
            renewed.index(cur, stream.id)
    keys = [name for name in context.key if name in once]
    for batch in _batches(work, context, rows) if columns or keys else ():
        known, present = None, batch
        if anew is not None:
            with work.reading() as conn:
                known = renewed.known(cursor(conn), stream.id, _tokens(batch, once))
            for name in once:
                present = _replace(present, name, partial(anew.renew, known=known))
        lost = _lost(batch, keys, made.operators, known)
        masked = made.mask(present)
        for name in columns.keys() - made.columns.keys():
            masked = masked.append_column(name, present.column(name))
        with work.transaction() as conn:
            orphans.keys_hold(cursor(conn), context.tables, stream.id, lost)
            if columns:
                orphans.write(cursor(conn), stream.id, masked)


def _tokens(batch: pa.Table, columns: Iterable[str]) -> set[str]:
    """The tokens in these columns."""
    return {
        token
        for name in columns
        for text in batch.column(name).unique().to_pylist()
        for token in TOKEN.findall(text or "")
    }


def _lost(
    batch: pa.Table,
    keys: Iterable[str],
    operators: Mapping[str, Collection[Operator]],
    known: Mapping[str, str] | None,
) -> list[int]:
    """The numbers of the rows whose key is not what a sync would make of its value.

    Args:
        keys: the key's columns.
        operators: what is done to each column.
        known: the tokens that have another now; None: all stay what they are.
    """

    def is_lost(text: str, does: Collection[Operator]) -> bool:
        tokens = TOKEN.findall(text)
        if tokens and Operator.TOKENIZE not in does:
            return True
        if known is not None and not known.keys() >= set(tokens):
            return True
        if not SEALED.search(text) or Operator.ENCRYPT in does:
            return False
        # Encrypted as a whole it is read, and gets its token.
        return Operator.TOKENIZE not in does or not SEALED.fullmatch(text)

    lost: list[int] = []
    for name in keys:
        does = operators.get(name, ())
        texts = [
            text
            for text in batch.column(name).unique().to_pylist()
            if text is not None and is_lost(text, does)
        ]
        where = pc.is_in(batch.column(name), pa.array(texts, pa.string()))
        lost += batch.column("_atlas_id").filter(where).to_pylist()
    return lost


def _replace(batch: pa.Table, name: str, one: Callable[[str], str]) -> pa.Table:
    """``batch`` with ``one`` of each value of a column."""
    encoded = batch.column(name).combine_chunks().dictionary_encode()
    texts = pa.array(map(one, encoded.dictionary.to_pylist()), pa.string())
    place = batch.column_names.index(name)
    return batch.set_column(place, name, texts.take(encoded.indices))


def _batches(work: Work, context: Context, rows: int) -> Iterator[pa.Table]:
    size = work.settings.batch_rows
    for first in range(1, rows + 1, size):
        with work.reading() as conn:
            batch = orphans.read(
                cursor(conn),
                context.tables,
                context.stream.id,
                first,
                first + size - 1,
                context.columns,
            )
        yield batch


def refuse_two_keys(raw: list[Verdict], agreed: list[Verdict], context: Context) -> None:
    """See that what is found in rows without a raw row asks for no other masks of a key column:
    the raw rows are masked already, and the next sync would go by their verdicts.

    Args:
        raw: the verdicts on raw rows.
        agreed: those that come of all rows.

    Raises:
        TerminalError: it does; a word on the column settles it for both.
    """
    known = {(item.column, item.path, item.scope, item.operator) for item in raw}
    for item in agreed:
        mask = (item.column, item.path, item.scope, item.operator)
        if item.column in context.key and item.operator is not Operator.KEEP and mask not in known:
            table, column = context.tables.table, item.column
            raise TerminalError(
                f"chart.{table}: column {column} of the key holds {item.entity_type} in rows whose "
                "raw row is gone, and not in the others: say what it is (`atlas pii override "
                f"{table} {column} --is {item.entity_type}`, or --operator keep), then mask anew"
            )


def chart(work: Work, context: Context) -> None:
    """Chart: all masked tables of the stream at once; how many rows differ stands in the run."""
    stream = context.stream
    with work.transaction() as conn:
        cur = cursor(conn)
        changed = remask(
            cur, context.tables, stream.id, context.columns, stream.configured.primary_key
        )
        runs.count(
            conn,
            stream.id,
            remasked={**changed, "without_raw": orphans.counts(cur, stream.id)},
        )
        if stream.token_key is not None:
            names.put_token_key(cur, context.run.connection, stream.key, stream.token_key)
        work.finish(conn, rows=sum(changed.values()))


def nothing(work: Work) -> None:
    """Quality and navigate have nothing to do."""
    with work.transaction() as conn:
        work.finish(conn, rows=0)
