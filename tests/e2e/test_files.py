"""Files from `atlas apply` to history: two incremental syncs, a personal column masked in both."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Atlas


def test_files_that_change_become_history(atlas: Atlas, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,email,amount\n1,person1@example.org,1.10\n2,person2@example.org,2.20\n")
    connection = {
        "name": "from_files",
        "connector": "source-files",
        "config": {"path": str(path)},
        "streams": {"people": {"sync_mode": "incremental", "primary_key": [["id"]]}},
    }
    atlas.apply(connection)
    assert atlas.sync("from_files")["streams"][0]["rows"]["explore"] == 2
    assert atlas.sync("from_files")["streams"][0]["rows"]["explore"] == 0
    path.write_text(
        "id,email,amount\n1,person1@example.org,1.10\n2,person2@example.org,2.25\n"
        "3,person3@example.org,3.30\n"
    )
    assert atlas.sync("from_files")["streams"][0]["rows"]["explore"] == 3
    # What was read again unchanged is no new version.
    assert atlas.rows(
        "SELECT id, amount::text, is_current FROM navigate.from_files_people"
        " ORDER BY id, valid_from"
    ) == [(1, "1.10", True), (2, "2.20", False), (2, "2.25", True), (3, "3.30", True)]
    emails = atlas.rows("SELECT email FROM chart.from_files_people")
    assert not any("person" in (email or "") for (email,) in emails)


def test_a_file_sent_over_http_is_synced(atlas: Atlas) -> None:
    """A file, a connection and a run, by nothing but the interface."""
    key = atlas.json("keys", "create", "--name", "sends", "--role", "operator")["key"]

    def call(method: str, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"{atlas.status['api_url']}/api/v1{path}", body)
        request.method = method
        request.add_header("Authorization", f"Bearer {key}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    sent = call("PUT", "/uploads/goods.csv", b"id,price\n1,1.10\n2,2.20\n")
    connection = {
        "name": "sent",
        "connector": "source-files",
        "config": {"path": sent["path"]},
        "streams": {"goods": {"sync_mode": "full_refresh", "primary_key": [["id"]]}},
    }
    call("POST", "/connections", json.dumps(connection).encode())
    run_id = call("POST", "/connections/sent/syncs", b"{}")["run_id"]
    assert atlas.wait(run_id)["status"] == "succeeded"
    assert atlas.rows("SELECT id, price::text FROM chart.sent_goods ORDER BY id") == [
        (1, "1.10"),
        (2, "2.20"),
    ]


def test_what_is_left_out_of_a_file_never_reaches_explore(atlas: Atlas, tmp_path: Path) -> None:
    path = tmp_path / "staff.csv"
    path.write_text("id,salary\n1,100\n")
    connection = {
        "name": "some_columns",
        "connector": "source-files",
        "config": {"path": str(path)},
        "schema_changes": "freeze",
        "streams": {
            "staff": {"sync_mode": "incremental", "primary_key": [["id"]], "exclude": ["salary"]}
        },
    }
    atlas.apply(connection)
    atlas.sync("some_columns")
    path.write_text("id,salary,bonus\n1,100,7\n2,200,8\n")  # frozen: bonus is left out, too
    atlas.sync("some_columns")
    keys = atlas.rows("SELECT DISTINCT jsonb_object_keys(data) FROM explore.some_columns_staff_raw")
    assert {key for (key,) in keys if not key.startswith("_ab_source_file_")} == {"id"}
    assert atlas.rows("SELECT count(*) FROM explore.some_columns_staff_raw") == [(3,)]
