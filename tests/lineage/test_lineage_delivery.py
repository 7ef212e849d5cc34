"""Delivery to the file and to a real HTTP server: whole, private, and honest about failure."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import AtlasError, TerminalError, TransientError, UsageError
from atlas.lineage import deliver
from atlas.lineage.deliver import Delivery
from atlas.lineage.events import EventType, RunInfo, run_event
from atlas.lineage.sinks import sinks
from atlas.settings import Settings
from tests.lineage.conftest import Endpoint
from tests.lineage.validator import validate

EVENT = run_event(
    EventType.START,
    RunInfo("0198c2f0-1111-7000-8000-000000000001", "shop", datetime(2025, 1, 2, tzinfo=UTC), "a"),
    datetime(2025, 1, 2, tzinfo=UTC),
)
KEY = "k-0123456789abcdef"


def _to(settings: Settings) -> Delivery:
    """The only sink of these settings."""
    (sink,) = sinks(settings)
    return Delivery(sink)


def _lines(home: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (home / "lineage" / "events.jsonl").read_bytes().splitlines()
    ]


# --- the file ------------------------------------------------------------------------------------


def test_file_gets_the_event_as_it_is(tmp_path: Path) -> None:
    delivery = _to(Settings(home=tmp_path))
    delivery.deliver(EVENT)
    delivery.deliver(EVENT)
    assert _lines(tmp_path) == [EVENT, EVENT]
    validate(_lines(tmp_path)[0])


def test_file_is_for_its_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        _to(Settings(home=tmp_path)).deliver(EVENT)
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"lineage": 0o700, "events.jsonl": 0o600, "events.lock": 0o600}


_WRITER = """
import sys
from pathlib import Path
from atlas.lineage.deliver import Delivery
from atlas.lineage.sinks import Sink
delivery = Delivery(Sink('file', path=Path(sys.argv[1]) / 'lineage' / 'events.jsonl'))
sys.stdin.readline()  # all start together
for number in range(100):
    delivery.deliver({"who": sys.argv[2], "number": number, "long": sys.argv[2] * 40_000})
"""


def test_four_processes_write_whole_lines(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), who], stdin=subprocess.PIPE, text=True
        )
        for who in "abcd"
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    events = _lines(tmp_path)
    assert all(event["long"] == event["who"] * 40_000 for event in events)
    for who in "abcd":
        assert [e["number"] for e in events if e["who"] == who] == list(range(100))


@pytest.mark.parametrize("before", [b"", b'{"whole": 1}\n', b'{"whole": 1}\n' * 9000])
def test_what_a_killed_writer_left_of_a_line_is_cut_off(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "lineage" / "events.jsonl"
    path.parent.mkdir()
    path.write_bytes(before + b'{"half": "' + b"x" * 200_000)
    _to(Settings(home=tmp_path)).deliver(EVENT)
    assert path.read_bytes()[: len(before)] == before
    assert _lines(tmp_path)[-1] == EVENT
    assert len(_lines(tmp_path)) == before.count(b"\n") + 1


def test_full_disk_leaves_no_half_line_and_can_be_tried_again(tmp_path: Path) -> None:
    import resource

    delivery = _to(Settings(home=tmp_path))
    delivery.deliver(EVENT)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "lineage" / "events.jsonl").stat().st_size
    # Room for a part of the event: the write stops in its midst, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, limits[1]))
    try:
        with pytest.raises(TransientError, match=r"events\.jsonl.*free space"):
            delivery.deliver({"long": "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert _lines(tmp_path) == [EVENT]
    delivery.deliver(EVENT)
    assert _lines(tmp_path) == [EVENT, EVENT]


def test_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "lineage").write_text("in the way")
    with pytest.raises(TransientError, match=r"lineage/events\.jsonl: "):
        _to(Settings(home=tmp_path)).deliver(EVENT)


def test_clients_own_configuration_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    (tmp_path / "openlineage.yml").write_text(
        f"transport: {{type: file, log_file_path: {elsewhere}, append: true}}"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "console")
    _to(Settings(home=tmp_path / "home")).deliver(EVENT)
    assert _lines(tmp_path / "home") == [EVENT]
    assert not elsewhere.exists()


# --- HTTP ----------------------------------------------------------------------------------------


@pytest.fixture
def opened() -> Iterator[list[Delivery]]:
    """Deliveries to close at the end, with their connections."""
    deliveries: list[Delivery] = []
    yield deliveries
    for delivery in deliveries:
        delivery.close()


def _delivery(opened: list[Delivery], url: str, key: str | None = KEY) -> Delivery:
    delivery = _to(Settings(openlineage_url=url, openlineage_api_key=key))
    opened.append(delivery)
    return delivery


def test_event_is_posted_with_the_key(endpoint: Endpoint, opened: list[Delivery]) -> None:
    delivery = _delivery(opened, endpoint.url)
    delivery.deliver(EVENT)
    delivery.close()
    delivery.deliver(EVENT)
    for method, path, authorization, body in endpoint.got:
        assert (method, path) == ("POST", "/api/v1/lineage")
        assert authorization == f"Bearer {KEY}"
        assert json.loads(body) == EVENT
    assert len(endpoint.got) == 2


def test_without_a_key_none_is_sent(
    endpoint: Endpoint,
    opened: list[Delivery],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A login of the user's own is not for this endpoint.
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    _delivery(opened, endpoint.url, None).deliver(EVENT)
    _delivery(opened, endpoint.url).deliver(EVENT)
    assert [authorization for _, _, authorization, _ in endpoint.got] == [None, f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("/", "/api/v1/lineage"),
        ("/openapi/openlineage/api/v1/lineage", "/openapi/openlineage/api/v1/lineage"),
        ("//other.test/x?tenant=1", "/other.test/x?tenant=1"),
    ],
)
def test_path_of_the_url_is_the_endpoint(
    endpoint: Endpoint, opened: list[Delivery], suffix: str, path: str
) -> None:
    _delivery(opened, endpoint.url + suffix).deliver(EVENT)
    assert [got[1] for got in endpoint.got] == [path]


def _refused(delivery: Delivery, kind: type[AtlasError], match: str) -> None:
    with pytest.raises(AtlasError, match=match) as caught:
        delivery.deliver(EVENT)
    assert type(caught.value) is kind
    assert "127.0.0.1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, TransientError),
        (503, TransientError),
        (408, TransientError),
        (429, TransientError),
        (400, TerminalError),
        (401, TerminalError),
        (404, TerminalError),
        (422, TerminalError),
        (304, TerminalError),
    ],
)
def test_answer_says_whether_to_try_again(
    endpoint: Endpoint, opened: list[Delivery], status: int, kind: type[AtlasError]
) -> None:
    endpoint.status = status
    _refused(_delivery(opened, endpoint.url), kind, str(status))
    # Trying again is the ledger's business, so one attempt is one request.
    assert len(endpoint.got) == 1


def test_redirect_is_no_delivery(endpoint: Endpoint, opened: list[Delivery]) -> None:
    endpoint.status, endpoint.location = 302, "/elsewhere"
    delivery = _delivery(opened, endpoint.url)
    _refused(delivery, TerminalError, "redirects")
    delivery.close()
    _refused(delivery, TerminalError, "redirects")
    assert [method for method, *_ in endpoint.got] == ["POST", "POST"]


def test_nobody_listening_is_transient(opened: list[Delivery]) -> None:
    with socket.socket() as taken:  # bound and not listening: no other process gets the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        _refused(_delivery(opened, url), TransientError, "cannot reach")


def test_silent_endpoint_is_given_up(
    endpoint: Endpoint, opened: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT", 0.2)
    endpoint.silent = True
    _refused(_delivery(opened, endpoint.url), TransientError, "did not answer")
    assert len(endpoint.got) == 1


def test_endpoint_that_breaks_off_is_transient(opened: list[Delivery]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        _refused(_delivery(opened, url), TransientError, "127")
        thread.join()


@pytest.mark.parametrize(
    ("url", "key", "setting"),
    [
        ("http://ann:s3cret@lineage.test", None, "ATLAS_OPENLINEAGE_URL"),
        ("http://", None, "ATLAS_OPENLINEAGE_URL"),
        ("http://lineage.test:port", None, "ATLAS_OPENLINEAGE_URL"),
        ("http://lineage.test", "s3cret\r\nX-More: 1", "ATLAS_OPENLINEAGE_API_KEY"),
        ("http://lineage.test", "s3crét", "ATLAS_OPENLINEAGE_API_KEY"),
    ],
)
def test_setting_that_cannot_work_is_named(url: str, key: str | None, setting: str) -> None:
    with pytest.raises(UsageError, match=setting) as caught:
        _to(Settings(openlineage_url=url, openlineage_api_key=key))
    assert "s3cr" not in str(caught.value)
