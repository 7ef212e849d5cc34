"""Which token takes the place of which, while a stream is masked anew under another key of tokens.

Each value that a raw row shows has its former token written down beside its new one. A row whose
raw row is gone has tokens only: those that stand here get the token that their value has now, and
so stay equal to it. The table stands beside the staging table, and goes with that one. Parts write
it side by side: a token may stand in it several times, always with the same successor.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping

from psycopg2 import extensions
from psycopg2.sql import SQL, Identifier

from atlas.layers import staging


def _table(run_stream_id: int) -> Identifier:
    return Identifier("pipeline", staging.name(run_stream_id) + staging.RENEWED)


def create(cur: extensions.cursor, run_stream_id: int) -> None:
    """Create the table; :func:`staging.create` has dropped an earlier attempt's."""
    cur.execute(
        SQL("CREATE TABLE {} (former text NOT NULL, token text NOT NULL)").format(
            _table(run_stream_id)
        )
    )


def put(cur: extensions.cursor, run_stream_id: int, tokens: Mapping[str, str]) -> None:
    """Write down new tokens by their former ones."""
    rows = "".join(f"{former},{token}\n" for former, token in tokens.items())
    cur.copy_expert(
        SQL("COPY {} FROM STDIN (FORMAT csv)").format(_table(run_stream_id)), io.StringIO(rows)
    )


def index(cur: extensions.cursor, run_stream_id: int) -> None:
    """Make ready for :func:`known`, once all is written."""
    cur.execute(
        SQL("CREATE INDEX IF NOT EXISTS {} ON {} (former)").format(
            Identifier(f"{staging.name(run_stream_id)}{staging.RENEWED}$former"),
            _table(run_stream_id),
        )
    )


def known(cur: extensions.cursor, run_stream_id: int, former: Collection[str]) -> dict[str, str]:
    """The new tokens of those of ``former`` that have one."""
    cur.execute(
        SQL("SELECT DISTINCT former, token FROM {} WHERE former = ANY(%s)").format(
            _table(run_stream_id)
        ),
        (list(former),),
    )
    return dict(cur.fetchall())
