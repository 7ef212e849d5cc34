"""One of the two clients of ``COPY | COPY``: ``postgres_pipe.py out|in URL``."""

from __future__ import annotations

import sys

import psycopg2


def main(side: str, url: str) -> None:
    """Copy rows as JSON to standard output, or documents from standard input."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        if side == "out":
            query = "COPY (SELECT row_to_json(o) FROM orders o) TO STDOUT"
            cursor.copy_expert(query, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            cursor.copy_expert("COPY raw (data) FROM STDIN", sys.stdin.buffer, size=1 << 20)


if __name__ == "__main__":
    main(*sys.argv[1:])
