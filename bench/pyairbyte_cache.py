"""PyAirbyte's own loader as a program: a stream into its PostgresCache, as its users run it.

``python -m bench.pyairbyte_cache`` reads one JSON document on standard input (``executable``,
``config``, ``stream``, ``database_url``, the latter as libpq reads it) and prints one:
``seconds``, ``rows`` in its table, ``peak_bytes``.

The clock starts when PyAirbyte is imported, the source is made and the cache is connected to, and
runs over what a sync is: discover, read, load, merge into the final table.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

import sqlalchemy as sa


def load(task: dict[str, Any]) -> dict[str, Any]:
    """Load the stream; returns the answer."""
    from airbyte import get_source
    from airbyte.caches import PostgresCache
    from airbyte.secrets.base import SecretString

    class SocketCache(PostgresCache):
        """The same cache, whose server listens on a Unix socket, which its own URL cannot say."""

        def get_sql_alchemy_url(self) -> SecretString:
            return SecretString(task["database_url"])

    cache = SocketCache(
        host="", port=5432, username="", password="", database=task["database_url"].split("?")[0]
    )
    with cache.get_sql_engine().connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    source = get_source("source-faker", config=task["config"], local_executable=task["executable"])
    started = time.perf_counter()
    source.select_streams([task["stream"]])
    source.read(cache=cache)
    seconds = time.perf_counter() - started
    with cache.get_sql_engine().connect() as connection:
        table = sa.table(task["stream"], schema=cache.schema_name)
        rows = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "rows": rows,
        "peak_bytes": peak * (1 if sys.platform == "darwin" else 1024),
    }


def main() -> None:
    """Answer on standard output, and let nothing else onto it: PyAirbyte prints its progress."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    json.dump(load(json.load(sys.stdin)), answer)
    answer.close()


if __name__ == "__main__":
    main()
