"""A secret stands in the connector's own file while it runs, and nowhere else: a marker is planted
in a connection and in an operation, and looked for wherever Atlas leaves anything."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import sqlalchemy as sa

from tests.connectors import pretend
from tests.e2e.conftest import OIDC_SECRET, OTEL_SECRET, Atlas, source
from tests.e2e.data import row, write
from tests.e2e.test_http import Api
from tests.stages.test_backup import _tool

MARKER = "pl4nted-s3cret-m4rker"
NAME = "source-hardcoded-records"
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


@pytest.fixture
def operator(atlas: Atlas) -> Iterator[Api]:
    """A client that may ask connectors."""
    pretend.install(atlas.home, NAME)
    yield Api(atlas, "operator")
    (atlas.home / "connectors" / f"{NAME}.json").unlink()


def _processes(atlas: Atlas) -> bytes:
    """Arguments and environment of everything that the stack runs now."""
    found = b""
    for told in atlas.status["processes"]:
        parent = psutil.Process(told["pid"])
        for process in [parent, *parent.children(recursive=True)]:
            for what in ("cmdline", "environ"):
                try:
                    found += (Path("/proc") / str(process.pid) / what).read_bytes()
                except OSError:  # it has ended
                    continue
    return found


def _redis(atlas: Atlas) -> bytes:
    """Every key and value, and what is base64 in them."""
    url = json.loads((atlas.home / "stack.json").read_text())["redis_url"]
    readers: dict[bytes, Any] = {
        b"string": lambda c, k: c.get(k),
        b"list": lambda c, k: c.lrange(k, 0, -1),
        b"hash": lambda c, k: c.hgetall(k),
        b"set": lambda c, k: c.smembers(k),
        b"zset": lambda c, k: c.zrange(k, 0, -1),
    }
    found = b""
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter():
            kind = client.type(key)
            if kind in readers:  # else it went away meanwhile
                found += key + str(readers[kind](client, key)).encode()
    for run in _BASE64.findall(found):
        try:
            found += base64.b64decode(run)
        except binascii.Error:
            continue
    return found


def _database(atlas: Atlas) -> str:
    """Every row of every table."""
    with atlas.engine.connect() as conn:
        tables = conn.execute(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname IN ('pipeline', 'explore', 'chart', 'navigate')"
            )
        ).scalars()
        found = ""
        for table in list(tables):
            for text in conn.execute(sa.text(f"SELECT CAST(t AS text) FROM {table} t")).scalars():
                # What is encrypted reads as hexadecimal digits; a secret that is not, too.
                found += text
    return found


def _files(atlas: Atlas, marker: str = MARKER) -> list[str]:
    """Files under ATLAS_HOME with the marker; among them PostgreSQL's own, its log and its WAL."""
    found = []
    for path in atlas.home.rglob("*"):
        try:
            if path.is_file() and marker.encode() in path.read_bytes():
                found.append(str(path.relative_to(atlas.home)))
        except OSError:  # it went away meanwhile
            continue
    return found


def _nowhere(atlas: Atlas) -> None:
    text = _database(atlas)
    for spelt in (MARKER, MARKER.encode().hex(), base64.b64encode(MARKER.encode()).decode()):
        assert spelt not in text
    assert MARKER.encode() not in _redis(atlas)
    assert MARKER.encode() not in _processes(atlas)


def test_a_secret_of_a_connection(atlas: Atlas, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", *(row(n, n) for n in range(1, 5)))
    options = {"api_key": MARKER, "log_api_key": True, "sleep_per_record": 2.0}
    told = tmp_path / "environment.json"
    atlas.apply(source("planted", rows, environment_file=str(told), **options))
    (atlas.home / "connections.yml").unlink()  # the user's own file
    run_id = atlas.start("planted")
    # While the connector reads: its file has the secret, and nothing else.
    atlas.until(lambda: "read" in told.read_text() if told.exists() else False)
    assert MARKER not in told.read_text()
    (config,) = atlas.until(lambda: _files(atlas))
    assert re.fullmatch(r"tmp/[^/]+/config\.json", config)
    _nowhere(atlas)
    assert atlas.wait(run_id)["status"] == "succeeded"
    _nowhere(atlas)
    assert _files(atlas) == []
    # And where it fails, saying it.
    atlas.apply(source("planted", rows, exit_code=3, api_key=MARKER, log_api_key=True))
    (atlas.home / "connections.yml").unlink()
    document = atlas.sync("planted", ok=False)
    assert document["status"] == "failed"
    assert MARKER not in json.dumps(document)
    _nowhere(atlas)
    assert _files(atlas) == []


def test_a_secret_of_an_operation(atlas: Atlas, operator: Api, tmp_path: Path) -> None:
    told = tmp_path / "environment.json"
    config = {"api_key": MARKER, "log_api_key": True, "environment_file": str(told)}

    def ask(kind: str, **more: Any) -> Any:
        path = f"/api/v1/connectors/{NAME}/{kind}"
        status, accepted = operator("POST", path, {"config": {**config, **more}})
        assert status == 202
        where = f"/api/v1/operations/{accepted['operation_id']}"
        return atlas.until(lambda: (d := operator("GET", where)[1])["finished_at"] and d)

    checked = ask("check")
    assert checked["status"] == "succeeded", checked
    assert MARKER not in told.read_text()
    refused = ask("check", check_error="this key is not known:")
    assert refused["status"] == "failed"
    assert "this key is not known: ***" in refused["error"]
    streams = {f"of {MARKER}": {"records": [{"id": 1}]}}
    discovered = ask("discover", streams=streams)
    assert [stream["stream"] for stream in discovered["result"]["streams"]] == ["of ***"]
    assert MARKER not in json.dumps([checked, refused, discovered])
    _nowhere(atlas)
    assert _files(atlas) == []


class _Browser:
    """Keeps cookies, and sends forms with the token of their page; ``seen``: what it was told."""

    def __init__(self, base: str) -> None:
        self.jar = CookieJar()
        self._base = base
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.seen = ""

    def get(self, path: str) -> str:
        return self._open(path, None)

    def post(self, path: str, page: str, **form: str) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page))
        assert found, page
        return self._open(path, urllib.parse.urlencode({**form, "csrf_token": found[1]}).encode())

    def _open(self, path: str, data: bytes | None) -> str:
        request = urllib.request.Request(self._base + path, data, {"Accept": "text/html"})
        with self._opener.open(request, timeout=120) as answer:
            text: str = answer.read().decode()
        self.seen += text
        return text

    @property
    def session(self) -> str:
        (cookie,) = (each for each in self.jar if each.name == "atlas")
        return str(cookie.value)


def _arguments(atlas: Atlas) -> bytes:
    found = b""
    for told in atlas.status["processes"]:
        parent = psutil.Process(told["pid"])
        for process in [parent, *parent.children(recursive=True)]:
            try:
                found += (Path("/proc") / str(process.pid) / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
    return found


@pytest.fixture
def nothing_left(atlas: Atlas) -> Iterator[None]:
    """The users of the test go again, for other tests may want to be the first; and its webhook."""
    yield
    with atlas.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM pipeline.account WHERE name IN ('planted', 'invited')"))
        conn.execute(sa.text("DELETE FROM pipeline.webhook WHERE name = 'planted'"))


_TRIED = """SELECT d.attempts FROM pipeline.webhook_delivery d
 JOIN pipeline.webhook w ON w.id = d.webhook_id WHERE w.name = 'planted' AND d.attempts > 0"""


def test_what_lets_somebody_in_and_what_signs(
    atlas: Atlas, nothing_left: None, tmp_path: Path
) -> None:
    password, other = "pl4nted-p4ssword-one", "pl4nted-p4ssword-two"
    atlas.run("users", "create", "--name", "planted", "--role", "admin", stdin=password + "\n")
    browser = _Browser(atlas.status["api_url"])
    browser.post("/login", "/login", name="planted", password=password, next="/account")
    first = browser.session
    made = browser.post("/settings/keys", "/settings/keys", name="planted", role="viewer", days="")
    (key,) = re.findall(r"atlas_[\w-]{43}", made)
    invited = browser.post("/settings/users", "/settings/users", name="invited", role="viewer")
    (link,) = re.findall(r"/setup\?token=([\w-]+)", invited)
    # It is on its way with a signature before its address turns out to be none that may be.
    hook = {"name": "planted", "url": "https://localhost/in", "event": "run.blocked"}
    hooked = browser.post("/settings/webhooks", "/settings/webhooks", **hook)
    (signs,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]{44}", html.unescape(hooked)))
    browser.seen = ""
    browser.post("/settings/webhooks/planted/test", "/settings/webhooks/planted")
    atlas.until(lambda: atlas.rows(_TRIED))
    form = {"present": password, "password": other, "again": other}
    browser.post("/account/password", "/account", **form)
    assert browser.session != first
    with urllib.request.urlopen(  # the key is used, the link looked at
        urllib.request.Request(
            f"{browser._base}/api/v1/runs", headers={"Authorization": f"Bearer {key}"}
        )
    ) as answer:
        answer.read()
    browser.get("/login?next=/")
    for page in ("/", "/audit", "/settings/keys", "/settings/users", "/account", "/connections"):
        browser.get(page)
    assert "localhost" in browser.get("/settings/webhooks/planted")
    told = [atlas.run("webhooks", *which).stdout for which in (["list"], ["deliveries", "planted"])]
    secrets = [password, other, first, browser.session, key, link, OIDC_SECRET, OTEL_SECRET]
    secrets += [signs, signs.removeprefix("whsec_")]
    url = json.loads((atlas.home / "stack.json").read_text())["database_url"]
    dump = tmp_path / "pipeline.sql"
    _tool("pg_dump", "--schema=pipeline", f"--file={dump}", url)
    places = {
        "a page": html.unescape(browser.seen),
        "the command line": "".join(told),
        "a copy of the control plane": dump.read_text(),
        "the database": _database(atlas),
        "Redis": _redis(atlas).decode(errors="replace"),
        "arguments": _arguments(atlas).decode(errors="replace"),
    }
    assert "argon2id" in places["a copy of the control plane"]
    assert "argon2id" not in browser.seen
    for secret in secrets:
        for place, text in places.items():
            for spelt in (secret, secret.encode().hex()):
                assert spelt not in text, f"{secret[:12]}… is in {place}"
        assert _files(atlas, secret) == []
    # The link of the first user, which `atlas up` prints, is in no log of a detached one.
    assert _files(atlas, "setup?token=") == []
