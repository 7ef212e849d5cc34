"""Other loaders on the same table, each as its own documentation shows it, in their environment.

``python postgres_peers.py sling|sling-columns|dlt SOURCE_URL TARGET_URL`` loads ``orders`` into
schema ``copied`` of the target: sling as JSON, which is what a raw layer holds, or as columns.
"""

from __future__ import annotations

import functools
import os
import sys

_AS_JSON = "SELECT row_to_json(o)::jsonb AS data FROM public.orders o"


def _sling(source: str, target: str, query: str | None = _AS_JSON) -> None:
    # The last version whose program came as a package too; later ones fetch it when first run.
    from sling_linux_amd64 import SLING_BIN

    os.environ["SLING_BINARY"] = SLING_BIN
    from sling import Mode, Replication, ReplicationStream

    Replication(
        source=source,
        target=target,
        streams={
            "public.orders": ReplicationStream(
                object="copied.orders", mode=Mode.FULL_REFRESH, sql=query
            )
        },
    ).run()


def _dlt(source: str, target: str) -> None:
    import dlt
    from dlt.sources.sql_database import sql_database
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg2://", creator=lambda: _connect(source))
    pipeline = dlt.pipeline(
        "copied", destination=dlt.destinations.postgres(_full(target)), dataset_name="copied"
    )
    pipeline.run(sql_database(engine).with_resources("orders"))


def _full(url: str) -> str:
    """dlt wants a host and a password in a URL; libpq prefers the host behind the question mark."""
    scheme, rest = url.split("://", 1)
    user, _, place = rest.partition("@")
    return f"{scheme}://{user if ':' in user else user + ':none'}@localhost:5432{place}"


def _connect(url: str) -> object:
    import psycopg2

    return psycopg2.connect(url)


if __name__ == "__main__":
    as_columns = functools.partial(_sling, query=None)
    loaders = {"sling": _sling, "sling-columns": as_columns, "dlt": _dlt}
    loaders[sys.argv[1]](*sys.argv[2:])
