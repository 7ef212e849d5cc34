"""Other keepers of history on the same table, each as its own documentation shows it.

``python history_peers.py dlt|dlt-arrow|dbt URL TABLE COLUMN…`` brings a history of ``TABLE``
(``schema.table``, key ``id``) up to its present, in schema ``dlt``, ``dlt_arrow`` or ``dbt``. File
``seconds`` then says what its work alone took, without the start of its process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from urllib.parse import parse_qs, urlsplit

_HASH = "_atlas_row_hash"
_PROJECT = """
name: bench
version: "1.0.0"
profile: bench
snapshot-paths: [snapshots]
"""
_SNAPSHOT = """
{{% snapshot orders %}}
{{{{ config(target_schema='dbt', unique_key='id', strategy='check', check_cols='all',
            hard_deletes='invalidate') }}}}
select {columns} from {table}
{{% endsnapshot %}}
"""


def _dlt(url: str, table: str, columns: list[str], *, arrow: bool = False) -> float:
    """``sql_table`` with strategy scd2: by default, where dlt hashes the rows, and by way of Arrow
    with a hash that the rows have, which is the fastest that it offers."""
    import dlt
    from dlt.sources.sql_database import sql_table
    from sqlalchemy import create_engine

    schema, name = table.split(".")
    data_set = "dlt_arrow" if arrow else "dlt"
    pipeline = dlt.pipeline(
        data_set, destination=dlt.destinations.postgres(_full(url)), dataset_name=data_set
    )
    rows = sql_table(
        create_engine("postgresql+psycopg2://", creator=lambda: _connect(url)),
        table=name,
        schema=schema,
        backend="pyarrow" if arrow else "sqlalchemy",
        included_columns=[*columns, _HASH] if arrow else columns,
    )
    how = {"disposition": "merge", "strategy": "scd2"}
    if arrow:
        how["row_version_column_name"] = _HASH
    started = perf_counter()
    pipeline.run(rows, write_disposition=how)
    return perf_counter() - started


def _dbt(url: str, table: str, columns: list[str]) -> float:
    """``dbt snapshot`` with strategy check of all columns."""
    home = Path("dbt")
    (home / "snapshots").mkdir(parents=True, exist_ok=True)
    text = _SNAPSHOT.format(columns=", ".join(columns), table=table)
    (home / "snapshots" / "orders.sql").write_text(text)
    (home / "dbt_project.yml").write_text(_PROJECT)
    parts = urlsplit(url)
    place = {
        "type": "postgres",
        "host": parse_qs(parts.query)["host"][0],
        "port": 5432,
        "user": parts.username,
        "password": "none",
        "dbname": parts.path.lstrip("/"),
        "schema": "dbt",
        "threads": 1,
    }
    profile = {"bench": {"target": "dev", "outputs": {"dev": place}}}
    (home / "profiles.yml").write_text(json.dumps(profile))
    dbt = str(Path(sys.executable).with_name("dbt"))
    subprocess.run([dbt, "snapshot", "--profiles-dir", "."], cwd=home, check=True)
    (result,) = json.loads((home / "target" / "run_results.json").read_text())["results"]
    return float(result["execution_time"])


def _full(url: str) -> str:
    """dlt wants a host and a password in a URL; libpq prefers the host behind the question mark."""
    scheme, rest = url.split("://", 1)
    user, _, place = rest.partition("@")
    return f"{scheme}://{user if ':' in user else user + ':none'}@localhost:5432{place}"


def _connect(url: str) -> object:
    import psycopg2

    return psycopg2.connect(url)


if __name__ == "__main__":
    who, given, what, *chosen = sys.argv[1:]
    if who == "dbt":
        taken = _dbt(given, what, chosen)
    else:
        taken = _dlt(given, what, chosen, arrow=who == "dlt-arrow")
    Path("seconds").write_text(str(taken))
