"""The API of a running stack: request a sync over HTTP, read of it, and be refused rightly."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.connectors import pretend
from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write

CATALOGUED = "source-hardcoded-records"

# Hangs at its first check.
_PROGRAM = """#!/bin/sh
case $1 in
spec) echo '{"type":"SPEC","spec":{"connectionSpecification":{"type":"object"}}}' ;;
*) if mkdir MARKER 2>/dev/null; then sleep 600; fi
   echo '{"type":"CONNECTION_STATUS","connectionStatus":{"status":"SUCCEEDED"}}' ;;
esac
"""


class Api:
    """A client with a key."""

    def __init__(self, atlas: Atlas, role: str | None) -> None:
        self.base = atlas.status["api_url"]
        self.key = None
        if role is not None:
            made = atlas.json("keys", "create", "--name", f"{role}-{id(self)}", "--role", role)
            self.key = made["key"]

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            kind = error.headers["Content-Type"]
            if not kind.startswith("application/problem+json"):
                pytest.fail(f"an error that is no problem document: {kind}")
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def operator(atlas: Atlas) -> Api:
    """A client that may sync."""
    return Api(atlas, "operator")


def test_a_sync_by_http(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 2))
    atlas.apply(source("http", rows))
    status, answer = operator("POST", "/api/v1/connections/http/syncs", {})
    assert status == 202
    assert answer["status"] == "queued"
    document = atlas.wait(answer["run_id"])
    assert document["trigger"] == "api"
    assert operator("GET", f"/api/v1/runs/{answer['run_id']}") == (200, document)
    listed = operator("GET", "/api/v1/runs?connection=http&limit=1")[1]["items"]
    assert [item["run_id"] for item in listed] == [answer["run_id"]]


def test_a_connection_by_http_from_its_beginning_to_its_end(
    atlas: Atlas, operator: Api, tmp_path: Path
) -> None:
    name = CATALOGUED
    pretend.install(atlas.home, name)
    rows = write(tmp_path / "rows.json", row(1, 1), row(2, 2))
    # Asked once, its spec is kept, and the configuration can be checked against it.
    _, asked = operator("POST", f"/api/v1/connectors/{name}/install", {})
    where = f"/api/v1/operations/{asked['operation_id']}"
    atlas.until(lambda: operator("GET", where)[1]["status"] == "succeeded")
    body = {
        "name": "web",
        "connector": name,
        "config": {"records_file": str(rows), "api_key": "hunter2"},
    }
    status, made = operator("POST", "/api/v1/connections", body)
    assert (status, made["config"]["api_key"]) == (201, "********")
    status, made = operator(
        "PATCH", "/api/v1/connections/web", {"config": {**made["config"], "state_every": 1}}
    )
    assert status == 200, made
    _, started = operator("POST", "/api/v1/connections/web/syncs", {})
    assert atlas.wait(started["run_id"])["status"] == "succeeded"
    assert atlas.rows("SELECT id FROM navigate.web_orders ORDER BY id") == [(1,), (2,)]
    # Without its data it begins anew, in the same tables.
    assert atlas.json("connections", "delete", "web")["dropped_tables"] == []
    assert operator("GET", "/api/v1/connections/web")[0] == 404
    assert operator("POST", "/api/v1/connections", body)[0] == 201
    assert atlas.sync("web")["streams"][0]["rows"]["explore"] == 2
    assert atlas.rows("SELECT id FROM navigate.web_orders ORDER BY id") == [(1,), (2,)]
    gone = atlas.json("connections", "delete", "web", "--drop-data")["dropped_tables"]
    assert "navigate.web_orders" in gone
    assert atlas.rows("SELECT count(*) FROM pg_tables WHERE tablename ~ '^web_orders'") == [(0,)]
    # And with them gone, also in other tables of the same names.
    assert operator("POST", "/api/v1/connections", body)[0] == 201
    document = atlas.sync("web")
    assert document["streams"][0]["rows"]["carried"] == 0
    assert atlas.rows("SELECT count(*) FROM explore.web_orders_raw") == [(2,)]


def test_an_operation_outlives_its_worker(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    marker, program = tmp_path / "hung", tmp_path / "program"
    program.write_text(_PROGRAM.replace("MARKER", str(marker)))
    program.chmod(0o755)
    pretend.install(atlas.home, CATALOGUED, program)
    status, asked = operator("POST", f"/api/v1/connectors/{CATALOGUED}/check", {"config": {"a": 1}})
    assert status == 202
    atlas.until(marker.exists)
    atlas.kill("worker-extract")
    where = f"/api/v1/operations/{asked['operation_id']}"
    ended = atlas.until(lambda: (d := operator("GET", where)[1])["finished_at"] and d)
    assert ended["status"] == "succeeded", ended
    assert atlas.rows(
        "SELECT attempt, config FROM pipeline.operation WHERE id = CAST(:id AS uuid)",
        id=asked["operation_id"],
    ) == [(2, None)]


def test_a_second_sync_is_a_conflict(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("busy", rows, sleep_per_record=600))
    _, first = operator("POST", "/api/v1/connections/busy/syncs", {})
    status, problem = operator("POST", "/api/v1/connections/busy/syncs", {})
    assert status == 409
    assert problem["run_id"] == first["run_id"]
    done = atlas.run("sync", "busy", "--no-wait", check=False)
    assert done.returncode == 1
    assert first["run_id"] in done.stderr
    atlas.run("runs", "cancel", first["run_id"])


def test_who_may_what(atlas: Atlas, operator: Api) -> None:
    stranger, viewer = Api(atlas, None), Api(atlas, "viewer")
    assert stranger("GET", "/api/v1/runs")[0] == 401
    assert viewer("GET", "/api/v1/runs")[0] == 200
    assert viewer("POST", "/api/v1/connections/http/syncs", {})[0] == 403
    assert operator("POST", "/api/v1/connections/nowhere/syncs", {})[0] == 404
    status, ready = stranger("GET", "/readyz")
    assert status == 200
    assert ready["checks"]["postgresql"]["round_trip_ms"] > 0
    assert ready["checks"]["redis"]["round_trip_ms"] > 0


def test_a_schedule_fires(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("timed", rows, schedule={"every": "10s"}))
    fired = atlas.until(
        lambda: atlas.rows("SELECT id FROM pipeline.run WHERE connection = 'timed'"), seconds=30
    )
    assert atlas.wait(str(fired[0][0]))["trigger"] == "schedule"
    # Taken out of the file's connection, it fires no more.
    atlas.apply(source("timed", rows))
    assert atlas.rows("SELECT due_at FROM pipeline.connection WHERE name = 'timed'") == [(None,)]
