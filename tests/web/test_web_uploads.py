"""Files sent over HTTP: whole or not at all, bounded, and what source-files may then read."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from atlas.connectors import uploads
from atlas.settings import Settings

BASE = "/api/v1/uploads"
CONTENT = b"id,amount\n1,2.50\n"


def _left(settings: Settings) -> list[str]:
    """Names of all files, of whole ones and of parts."""
    root = uploads.directory(settings).parent
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def no_uploads(settings: Settings) -> Iterator[None]:
    yield
    for each in uploads.listed(settings):
        uploads.remove(each.name, settings)


def _put(api: Any, name: str, content: bytes = CONTENT, **options: Any) -> Any:
    return api.call("PUT", f"{BASE}/{name}", data=content, **options)


def test_what_was_sent_may_be_read_over_http(api: Any, settings: Settings) -> None:
    sent = _put(api, "orders.csv")
    assert sent.status_code == 200
    assert (sent.json["name"], sent.json["bytes"]) == ("orders.csv", len(CONTENT))
    path = uploads.directory(settings) / "orders.csv"
    assert (sent.json["path"], path.read_bytes()) == (str(path), CONTENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    config = {"config": {"path": sent.json["path"]}}
    asked = api.post("/api/v1/connectors/source-files/check", json=config)
    assert asked.status_code == 202
    beside = {"config": {"path": str(path.parent.parent)}}  # where parts are
    assert api.post("/api/v1/connectors/source-files/check", json=beside).status_code == 422


def test_they_are_listed_page_by_page_replaced_and_removed(api: Any) -> None:
    for name in ("b.csv", "a.csv", "C.jsonl"):
        assert _put(api, name).status_code == 200
    none = {"CONTENT_LENGTH": "0"}
    assert api.call("PUT", f"{BASE}/a.csv", environ_overrides=none).json["bytes"] == 0
    first = api.get(f"{BASE}?limit=2").json
    assert [item["name"] for item in first["items"]] == ["C.jsonl", "a.csv"]
    assert first["items"][1]["bytes"] == 0
    second = api.get(f"{BASE}?limit=2&cursor={first['next_cursor']}").json
    assert ([item["name"] for item in second["items"]], second["next_cursor"]) == (["b.csv"], None)
    assert api.call("DELETE", f"{BASE}/a.csv").json == {"name": "a.csv"}
    assert api.call("DELETE", f"{BASE}/a.csv").status_code == 404
    assert len(api.get(BASE).json["items"]) == 2


@pytest.mark.parametrize("name", [".hidden", "..", "a b", "%2e%2e%2fup", "x" * 101, "ü.csv"])
def test_a_name_that_is_none(api: Any, settings: Settings, name: str) -> None:
    assert _put(api, name).status_code in (404, 422)
    assert uploads.listed(settings) == []


@pytest.mark.parametrize("announced", [True, False])
def test_one_that_is_too_large_leaves_what_was_there(
    api: Any, app: Flask, settings: Settings, announced: bool
) -> None:
    app.config["ATLAS_SETTINGS"] = replace(settings, max_upload_bytes=100)
    assert _put(api, "a.csv", b"x" * 100).status_code == 200
    if announced:
        refused = _put(api, "a.csv", b"y" * 101)
    else:
        environ = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"y" * 101)}
        refused = api.call("PUT", f"{BASE}/a.csv", environ_overrides=environ)
    assert (refused.status_code, "100 bytes" in refused.json["detail"]) == (413, True)
    assert (uploads.directory(settings) / "a.csv").read_bytes() == b"x" * 100
    assert _left(settings) == ["a.csv"]


def test_one_that_breaks_off_leaves_nothing(settings: Settings) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        uploads.save("a.csv", broken(), settings)
    assert _left(settings) == []


@pytest.mark.parametrize("terminated", [True, False])
def test_a_client_that_goes_away_leaves_what_was_there(
    api: Any, settings: Settings, terminated: bool
) -> None:
    """As gunicorn hands such a body over: what came of it, and then nothing, without an error."""
    assert _put(api, "a.csv").status_code == 200
    environ = {
        "wsgi.input_terminated": terminated,
        "wsgi.input": io.BytesIO(b"12345"),
        "CONTENT_LENGTH": "1000",
    }
    broken = api.call("PUT", f"{BASE}/a.csv", environ_overrides=environ)
    assert (broken.status_code, "broke off" in broken.json["detail"]) == (400, True)
    assert (uploads.directory(settings) / "a.csv").read_bytes() == CONTENT
    assert _left(settings) == ["a.csv"]


def test_a_process_receives_two_at_a_time(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from atlas.web.api import uploads as routes

    monkeypatch.setattr(routes, "_places", threading.BoundedSemaphore(1))
    with routes._places:
        refused = _put(api, "a.csv")
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert _put(api, "a.csv").status_code == 200


def test_where_nothing_can_be_kept(api: Any, app: Flask, settings: Settings, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("no directory")
    app.config["ATLAS_SETTINGS"] = replace(settings, uploads=tmp_path / "file")
    refused = _put(api, "a.csv")
    assert (refused.status_code, "cannot be kept" in refused.json["detail"]) == (500, True)


def test_what_a_killed_process_left_is_removed_after_a_day(settings: Settings) -> None:
    uploads.save("a.csv", [CONTENT], settings)
    folder = uploads.directory(settings).with_name("parts")
    old, young = folder / "old", folder / "young"
    for part in (old, young):
        part.write_bytes(b"x")
    os.utime(old, (time.time() - 90_000,) * 2)
    uploads.save("a.csv", [CONTENT], settings)
    assert (old.exists(), young.exists()) == (False, True)
    young.unlink()


def test_only_who_may_configure_may_send(api: Any) -> None:
    assert _put(api, "a.csv", role="viewer").status_code == 403
    assert api.call("DELETE", f"{BASE}/a.csv", role="viewer").status_code == 403


def test_it_is_sent_as_it_is(api: Any) -> None:
    assert _put(api, "a.csv", headers={"Content-Encoding": "gzip"}).status_code == 415
    unknown = api.call("PUT", f"{BASE}/a.csv")
    assert (unknown.status_code, "Content-Length" in unknown.json["detail"]) == (400, True)
