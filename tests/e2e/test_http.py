"""The API of a running stack: request a sync over HTTP, read of it, and be refused rightly."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Atlas, source
from tests.e2e.data import row, write


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
            with urllib.request.urlopen(request, timeout=30) as answer:
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


def test_a_second_sync_is_a_conflict(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", row(1, 1))
    atlas.apply(source("busy", rows, sleep_per_record=1.5))
    _, first = operator("POST", "/api/v1/connections/busy/syncs", {})
    status, problem = operator("POST", "/api/v1/connections/busy/syncs", {})
    assert status == 409
    assert problem["run_id"] == first["run_id"]
    done = atlas.run("sync", "busy", "--no-wait", check=False)
    assert done.returncode == 1
    assert first["run_id"] in done.stderr
    atlas.wait(first["run_id"])


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
