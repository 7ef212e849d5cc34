"""Webhooks: who is told of what, signed and once, and what a receiver that misbehaves comes to."""

from __future__ import annotations

import base64
import datetime as dt
import email.utils
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import ends, rotation, runs, webhooks
from atlas.ledger import webhook_turns as turns
from atlas.model.stage import Status
from atlas.settings import Settings
from atlas.sync import webhook_post
from atlas.sync import webhooks as use
from atlas.sync.webhook_post import Refused, checked, post
from tests.sync.receivers import Receiver

SECRET = b"s" * 40


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def settings() -> Settings:
    return Settings(secret_key=SECRET.decode(), webhook_private=True)


@pytest.fixture
def hook(engine: sa.Engine, settings: Settings, receiver: Receiver) -> str:
    """A webhook of the receiver for all kinds of ends; its secret."""
    events = ["run.succeeded", "run.failed", "run.cancelled", "run.blocked"]
    with engine.begin() as conn:
        made = use.create(conn, settings, "pager", receiver.url, events, actor="test")
    return str(made["secret"])


def _run(engine: sa.Engine, status: Status = Status.CANCELLED) -> str:
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.connection (name, connector, config, document, fingerprint)"
                " SELECT 'shop', 'source-faker', '', '{}', '' ON CONFLICT DO NOTHING"
            )
        )
        run_id = runs.create(
            conn, connection="shop", trigger="api", selected=None, full_refresh=False
        )
        if status is Status.CANCELLED:
            ends.cancel_run(conn, run_id)
        else:
            conn.execute(
                sa.text("UPDATE pipeline.stage_run SET status = :s, error = 'jane@example.org'"),
                {"s": status.value},
            )
            assert ends.end_run(conn, run_id) is status
    return run_id


def _deliveries(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.begin() as conn:
        return webhooks.deliveries(conn, "pager", limit=50)


def _hook(engine: sa.Engine) -> dict[str, Any]:
    with engine.begin() as conn:
        return webhooks.get(conn, "pager")


def _now(engine: sa.Engine) -> None:
    """Whatever waits is due."""
    with engine.begin() as conn:
        for table in ("webhook", "webhook_delivery"):
            conn.execute(sa.text(f"UPDATE pipeline.{table} SET next_attempt_at = now()"))


def test_an_end_is_told_signed(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    run_id = _run(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    ((headers, body),) = receiver.got
    told = json.loads(body)
    assert (told["type"], told["data"]["run_id"]) == ("run.cancelled", run_id)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(hook.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["host"] == f"127.0.0.1:{receiver.server.server_port}"
    (delivery,) = _deliveries(engine)
    assert (delivery["status"], delivery["message_id"]) == ("delivered", headers["webhook-id"])
    assert [(each["status"], each["error"]) for each in delivery["log"]] == [(204, None)]
    assert use.deliver_webhooks(engine, settings) == 0


def test_no_error_text_is_told(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    _run(engine, Status.FAILED)
    assert use.deliver_webhooks(engine, settings) == 1
    assert b"jane" not in receiver.got[0][1]
    assert json.loads(receiver.got[0][1])["type"] == "run.failed"


def test_what_is_rolled_back_is_not_told(engine: sa.Engine, settings: Settings, hook: str) -> None:
    run_id = _run(engine)
    with engine.connect() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'running'"))
        ends.cancel_run(conn, run_id)
        conn.rollback()
    assert len(_deliveries(engine)) == 1


def test_only_who_listens_is_told(engine: sa.Engine, settings: Settings, hook: str) -> None:
    with engine.begin() as conn:
        use.change(conn, settings, "pager", {"events": ["schema.changed"]}, actor="test")
    _run(engine)
    with engine.begin() as conn:
        use.change(
            conn, settings, "pager", {"events": ["run.cancelled"], "enabled": False}, actor="test"
        )
    _run(engine)
    assert _deliveries(engine) == []


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (Receiver.status(500), "status", 500),
        (Receiver.status(302, Location="http://127.0.0.1:1/"), "redirect", 302),
        (lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"), "no-http", None),
        (lambda handler: handler.connection.close(), "no-http", None),
        (lambda handler: threading.Event().wait(30), "timeout", None),
    ],
)
def test_what_is_not_taken_is_tried_again(
    engine: sa.Engine,
    settings: Settings,
    hook: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[Any], None],
    error: str,
    status: int | None,
) -> None:
    # What does answer has its time, on a busy machine too.
    monkeypatch.setattr(webhook_post, "TIMEOUT", 1.0 if error == "timeout" else 60.0)
    receiver.answer = answer
    _run(engine)
    assert use.deliver_webhooks(engine, settings) == 0
    (delivery,) = _deliveries(engine)
    assert [(each["status"], each["error"]) for each in delivery["log"]] == [(status, error)]
    assert (delivery["status"], _hook(engine)["failed_attempts"]) == ("waiting", 1)
    # Not before its time; then under the same id, and all is well again.
    receiver.answer = Receiver.status(200)
    assert use.deliver_webhooks(engine, settings) == 0
    _now(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len(receiver.got) == 2
    assert (_hook(engine)["failed_attempts"], _hook(engine)["failing_since"]) == (0, None)


@pytest.mark.parametrize("kind", ["webhook", "slack"])
def test_a_receiver_that_asks_for_time_gets_it(
    engine: sa.Engine, settings: Settings, receiver: Receiver, kind: str
) -> None:
    more = {} if kind == "webhook" else {"group_seconds": 0}
    with engine.begin() as conn:
        events = ["run.cancelled"]
        use.create(conn, settings, "pager", receiver.url, events, actor="test", kind=kind, **more)
    _run(engine)
    at = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1900), True)
    for code, said, least, most in (
        (429, "1800", 1800, 1800),
        (503, at, 1800, 1900),
        (429, "9" * 400, 3600, 3600),
        # As if nothing were said: what is in the past, no time, or about something else.
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 1, 300),
        (429, "soon", 1, 300),
        (500, "1800", 1, 300),
    ):
        receiver.answer = Receiver.status(code, **{"Retry-After": said})
        _now(engine)
        before = _clock(engine)
        assert use.deliver_webhooks(engine, settings) == 0
        after = _clock(engine)
        (waits,) = [each for each in _deliveries(engine) if each["status"] == "waiting"]
        for until in (waits["next_attempt_at"], _hook(engine)["next_attempt_at"]):
            assert before + dt.timedelta(seconds=least) <= until, said
            assert until <= after + dt.timedelta(seconds=most), said


def _clock(engine: sa.Engine) -> dt.datetime:
    with engine.connect() as conn:
        now: dt.datetime = conn.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return now


def test_an_error_that_nobody_thought_of_is_one_of_its_message_alone(
    engine: sa.Engine,
    settings: Settings,
    hook: str,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks(*_: object, **__: object) -> int:
        raise RuntimeError("whatever stood in the message")

    with monkeypatch.context() as patch:
        patch.setattr(use, "post", breaks)
        _run(engine)
        assert use.deliver_webhooks(engine, settings) == 0
    (delivery,) = _deliveries(engine)
    assert [each["error"] for each in delivery["log"]] == ["internal"]
    assert "RuntimeError" in caplog.text
    assert "whatever" not in caplog.text
    _now(engine)
    assert use.deliver_webhooks(engine, settings) == 1


def test_an_answer_that_drips_is_cut_off(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_post, "TIMEOUT", 1.0)
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not stop.wait(0.1):
            try:
                handler.wfile.write(b"a")
            except OSError:
                return

    receiver.answer = drip
    try:
        with pytest.raises(Refused, match="timeout"):
            post(receiver.url, b"k", "id", {}, private=True)
    finally:
        stop.set()


def test_who_fails_for_long_is_disabled_and_that_is_said(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    receiver.answer = Receiver.status(503)
    _run(engine)
    _run(engine)
    use.deliver_webhooks(engine, settings)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.webhook SET failing_since = now() - interval '4d'"))
    _now(engine)
    use.deliver_webhooks(engine, settings)
    found = _hook(engine)
    assert (found["enabled"], found["waiting"]) == (False, 0)
    assert "3 days" in found["reason"]
    assert {each["status"] for each in _deliveries(engine)} == {"given_up"}
    with engine.begin() as conn:
        assert (
            "webhooks.disable"
            in conn.execute(sa.text("SELECT action FROM pipeline.audit")).scalars().all()
        )
        again = use.change(conn, settings, "pager", {"enabled": True}, actor="test")
    assert (again["enabled"], again["reason"], again["failed_attempts"]) == (True, None, 0)


def test_who_is_gone_is_disabled_at_once(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    receiver.answer = Receiver.status(410)
    _run(engine)
    use.deliver_webhooks(engine, settings)
    assert _hook(engine)["enabled"] is False


def test_a_message_is_given_up_after_so_many_attempts(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    receiver.answer = Receiver.status(500)
    _run(engine)
    for _ in range(turns.MOST_ATTEMPTS + 1):
        _now(engine)
        use.deliver_webhooks(engine, settings)
    (delivery,) = _deliveries(engine)
    assert (delivery["status"], len(delivery["log"])) == ("given_up", turns.MOST_ATTEMPTS)
    assert len(receiver.got) == turns.MOST_ATTEMPTS


def test_who_wakes_up_too_late_writes_nothing(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    _run(engine)
    with engine.begin() as conn:
        turn = turns.take(conn, SECRET)
        assert turn is not None
        due = turns.next_due(conn, turn)
        assert due is not None
        assert turns.take(conn, SECRET) is None
        conn.execute(sa.text("UPDATE pipeline.webhook SET lease_until = now()"))
    _now(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    with engine.begin() as conn:
        assert not turns.failed(conn, turn, due, {"status": None}, gone=True)
        assert not turns.arrived(conn, turn, due, {"status": 200})
    assert _hook(engine)["enabled"] is True
    assert len(_deliveries(engine)[0]["log"]) == 1


@pytest.mark.parametrize("change", [{"url": "https://hooks.example.org/new"}, {"enabled": False}])
def test_who_delivers_to_it_as_it_was_writes_nothing(
    engine: sa.Engine, settings: Settings, hook: str, change: dict[str, Any]
) -> None:
    _run(engine)
    with engine.begin() as conn:
        turn = turns.take(conn, SECRET)
        assert turn is not None
        due = turns.next_due(conn, turn)
        assert due is not None
        webhooks.change(conn, "pager", change, actor="test")
        assert not turns.failed(conn, turn, due, {"status": None}, gone=True)
        assert not turns.arrived(conn, turn, due, {"status": 200})
    assert _hook(engine)["failed_attempts"] == 0
    assert _deliveries(engine)[0]["log"] == []


def test_one_that_is_being_deleted_fails_nobody_who_tells(
    engine: sa.Engine, settings: Settings, hook: str
) -> None:
    """The run whose end is told waits for the deletion, and ends."""
    ended: list[str] = []
    with engine.begin() as conn:
        webhooks.delete(conn, "pager", actor="test")
        thread = threading.Thread(target=lambda: ended.append(_run(engine)))
        thread.start()
        _wait_for_a_lock(engine)
    thread.join(60)
    assert len(ended) == 1
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM pipeline.webhook_delivery")).scalar() == 0


def _wait_for_a_lock(engine: sa.Engine) -> None:
    waits = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with engine.connect() as conn:
            if conn.execute(waits).scalar():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def test_what_was_delivered_long_ago_is_forgotten_while_more_is_delivered(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    old = _run(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    with engine.begin() as conn:
        conn.execute(
            sa.text("UPDATE pipeline.webhook_delivery SET settled_at = now() - interval '1 year'")
        )
    new = _run(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    (kept,) = _deliveries(engine)
    assert kept["payload"]["data"]["run_id"] == new != old


def test_a_secret_is_encrypted_and_survives_another_secret_key(
    engine: sa.Engine, settings: Settings, hook: str, receiver: Receiver
) -> None:
    with engine.begin() as conn:
        stored = conn.execute(sa.text("SELECT secret FROM pipeline.webhook")).scalar()
        assert hook.encode() not in bytes(stored)
        assert hook not in json.dumps(webhooks.listed(conn), default=str)
        rotation.admit(conn, SECRET, b"n" * 40)
        rotation.finish(conn, b"n" * 40)
    _run(engine)
    assert use.deliver_webhooks(engine, replace(settings, secret_key="n" * 40)) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://",
        "https://user:pw@hooks.example.org/",
        "https://hooks.example.org/#part",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[fe80::1]/",
        "https://0.0.0.0/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/\r\nX: y",
    ],
)
def test_where_no_receiver_may_be(url: str) -> None:
    with pytest.raises(UsageError, match="url"):
        checked(url, private=False)


def test_a_name_of_a_private_address_is_refused_and_nothing_is_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://hooks.example.org:{receiver.server.server_port}/"
    given = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1))
        for address in ("93.184.215.14", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: given)
    with pytest.raises(Refused, match="address-refused"):
        post(url, b"k", "id", {}, private=False)
    assert receiver.got == []


def test_the_address_that_was_looked_at_is_the_one_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def once(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))]

    connected = []

    def connect(address: tuple[str, int], **kwargs: Any) -> Any:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", once)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Refused, match="connection"):
        post("https://hooks.example.org/", b"k", "id", {}, private=False)
    assert (asked, connected) == (["hooks.example.org"], [("93.184.215.14", 443)])
