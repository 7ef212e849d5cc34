"""``atlas quality fix``, ``override``, ``reprocess``, ``discard``: what they take and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import chart, explore, names
from atlas.ledger import connections, runs
from atlas.ledger.database import cursor
from atlas.ledger.tables import run as run_table
from atlas.ledger.tables import stage_run
from atlas.model.connection import Connection
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.stages import ORDER
from tests.cli.test_bad_input import KEY, atlas, refused

Run = Callable[..., Any]
USERS = StreamKey("users")
SCHEMA = {
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "minimum": 0},
        "Full Name": {"type": "string"},
    }
}


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> sa.Engine:
    """A database where two rows of dataset ``shop_users`` are set aside, 1 and 2."""
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, KEY.encode(), shop)
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        stream = ConfiguredStream(USERS, SCHEMA, SyncMode.FULL_REFRESH, primary_key=(("id",),))
        runs.add_streams(conn, run_id, [(stream, True)], ORDER)
        cur = cursor(conn)
        tables = names.tables(cur, "shop", USERS)
        explore.ensure(cur, tables)
        chart.ensure(cur, tables, names.columns(cur, "shop", USERS, SCHEMA).all, {}, (("id",),))
        conn.execute(run_table.update().values(status="succeeded"))
        conn.execute(stage_run.update().values(status="succeeded"))
        for number in (1, 2):
            values = {"r": run_id, "n": number}
            conn.execute(
                sa.text(
                    "INSERT INTO explore.shop_users_raw (_atlas_run_id, _atlas_emitted_at, data)"
                    " VALUES (:r, now(), jsonb_build_object('id', CAST(:n AS int), 'total', -1))"
                ),
                values,
            )
            conn.execute(
                sa.text(
                    "INSERT INTO chart.shop_users_quarantine (id, total, _atlas_id, _atlas_run_id,"
                    " _atlas_emitted_at, _atlas_checks)"
                    " VALUES (:n, -1, :n, :r, now(), '{accuracy.total.range}')"
                ),
                values,
            )
    return engine


@pytest.fixture
def run(engine: sa.Engine, database_url: str, tmp_path: Path) -> Run:
    """Runs a command of ``atlas quality``."""
    environ = {"ATLAS_DATABASE_URL": database_url, "ATLAS_SECRET_KEY": KEY}
    return lambda *args, **more: atlas(tmp_path, "quality", *args, **environ, **more)


def _chosen(engine: sa.Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as conn:
        return [
            tuple(each)
            for each in conn.execute(
                sa.text("SELECT of_id, mended, waived FROM pipeline.reprocessed_row ORDER BY 1")
            )
        ]


def _over(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(run_table.update().values(status="failed"))


def test_a_row_is_put_right_or_overridden(run: Run, engine: sa.Engine, tmp_path: Path) -> None:
    fixed = run("fix", "shop_users", "1", "--set", "total=12.50", "--set", 'full_name="Jane"')
    assert fixed.returncode == 0, fixed.stderr
    run_id = fixed.stdout.strip()
    assert "rows taken up: 1" in fixed.stderr
    assert _chosen(engine) == [(1, ["Full Name", "total"], None)]
    with engine.connect() as conn:
        made = conn.execute(
            sa.text("SELECT data->>'total' FROM explore.shop_users_raw WHERE _atlas_run_id = :r"),
            {"r": run_id},
        ).scalar()
    assert made == "12.50"
    again = run("reprocess", "shop_users", "--all")
    refused(again, 1, f"already has an active run, {run_id}")
    _over(engine)
    overridden = run(
        *("override", "shop_users", "2", "--check", "accuracy.total.range"),
        *("--why", "a refund", "--json"),
    )
    assert json.loads(overridden.stdout)["status"] == "queued"
    assert _chosen(engine)[1] == (2, None, ["accuracy.total.range"])


def test_rows_are_put_right_from_a_file(run: Run, engine: sa.Engine, tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text(
        '{"row": 1, "set": {"total": 0.10000000000000000001}}\n\n{"row": 2, "set": {"total": 3}}\n'
    )
    done = run("fix", "shop_users", "--file", str(lines), "--why", "a bug of theirs")
    assert done.returncode == 0, done.stderr
    with engine.connect() as conn:
        made = conn.execute(
            sa.text(
                "SELECT data->>'total' FROM explore.shop_users_raw WHERE data->>'total' <> '-1'"
                " ORDER BY _atlas_id"
            )
        ).scalars()
        assert list(made) == ["0.10000000000000000001", "3"]
    lines.write_text('{"row": 1, "set": {"total": jane}}\n')
    wrong = run("fix", "shop_users", "--file", str(lines))
    refused(wrong, 2, "line 1")
    assert "jane" not in wrong.stderr
    lines.write_bytes(b'{"row": 1, "set": {"total": "jane\xff"}}\n')
    wrong = run("fix", "shop_users", "--file", str(lines))
    refused(wrong, 2, "row 1: total: the value is no JSON")
    assert "jane" not in wrong.stderr


def test_rows_are_discarded(run: Run, engine: sa.Engine) -> None:
    gone = run("discard", "shop_users", "1", "--why", "a test", "--json")
    assert json.loads(gone.stdout) == {"dataset": "shop_users", "discarded": 1}
    assert "rows discarded: 1" in run("discard", "shop_users", "--all", "--why", "old").stdout
    assert json.loads(run("quarantine", "shop_users", "--json").stdout) == {"items": []}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reprocess", "shop_users"], "say which rows"),
        (["reprocess", "shop_users", "1", "--all"], "say which rows"),
        (["reprocess", "shop_users", "7"], "row 7 is not in the quarantine"),
        (["reprocess", "nowhere", "--all"], "there is no dataset 'nowhere'"),
        (["fix", "shop_users", "1"], "name a row and what to --set"),
        (["fix", "shop_users", "--set", "total=1"], "name a row and what to --set"),
        (["fix", "shop_users", "1", "--set", "total"], "PROPERTY=VALUE"),
        (["fix", "shop_users", "1", "--set", "totl=1"], "did you mean total"),
        (["fix", "shop_users", "1", "--set", "full_name=Jane"], "full_name: the value is no JSON"),
        (["fix", "shop_users", "1", "--set", 'full_name="\udcff"'], "the value is no JSON"),
        (["override", "shop_users", "1", "--check", "validity.types", "--why", "x"], "cannot be"),
        (["override", "shop_users", "1", "--check", "any", "--why", "x"], "no check 'any'"),
        (["discard", "shop_users", "1", "--why", " "], "say why"),
        (["discard", "shop_users", "7", "--why", "x"], "row 7 is not in the quarantine"),
    ],
)
def test_what_is_refused(run: Run, engine: sa.Engine, words: list[str], message: str) -> None:
    refused(run(*words), 2, message)
    assert _chosen(engine) == []
