"""Mail goes to a server that is who it says, and one that misbehaves costs its time and no more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import UsageError
from atlas.settings import Settings, parse
from atlas.sync import mail
from atlas.sync.mail import Unsent
from tests.sync.receivers import MailServer, certificate, nobody

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _settings(port: int, **more: Any) -> Settings:
    given = {"smtp_security": "none", "smtp_sender": "atlas@example.org", **more}
    return Settings(smtp_host="127.0.0.1", smtp_port=port, **given)


def _send(settings: Settings, text: str = "Hello.\n") -> int:
    return mail.send(
        settings, "ops@example.org", "Atlas: shop failed", text, message_id="17", at=AT
    )


def _refused(settings: Settings) -> tuple[str, int | None, bool, bool]:
    with pytest.raises(Unsent) as refused:
        _send(settings)
    error = refused.value
    return error.kind, error.status, error.alone, error.over


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_way_is_secured_and_we_log_in(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path, "127.0.0.1")
    with closing(MailServer(security=security, context=context, login=True)) as server:
        login = {"smtp_user": "atlas", "smtp_password": "right", "smtp_security": security}
        # Nobody vouches for it.
        assert _refused(_settings(server.port, **login)) == ("tls", None, False, False)
        assert server.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert _send(_settings(server.port, **login), "Grüße.\n.\n") == 250
        ((to, message),) = server.got
        assert (to, message["Subject"]) == ("ops@example.org", "Atlas: shop failed")
        assert (message["Message-ID"], message["Auto-Submitted"]) == (
            "<17@example.org>",
            "auto-generated",
        )
        assert message["Date"].datetime == AT
        assert message.get_content().splitlines() == ["Grüße.", "."]
        assert server.logins == ["atlas"]
        wrong = _settings(server.port, **{**login, "smtp_password": "wrong"})
        assert _refused(wrong) == ("login", 535, False, False)
        assert len(server.got) == 1


def test_a_certificate_of_somebody_else_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = certificate(tmp_path, "mail.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with closing(MailServer(security="tls", context=context)) as server:
        refused = _refused(_settings(server.port, smtp_security="tls"))
        assert refused == ("tls", None, False, False)
        assert server.got == []


def test_a_server_that_offers_no_tls_gets_nothing() -> None:
    with closing(MailServer()) as server:
        refused = _refused(_settings(server.port, smtp_security="starttls"))
        assert refused == ("tls", None, False, False)
        assert server.got == []


def test_what_a_server_says_of_one_address_is_about_that_alone() -> None:
    with closing(MailServer()) as server:
        for reply, told in {
            "450 later": ("recipient", 450, True, False),
            "550 never": ("recipient", 550, True, True),
            "421 going": ("unavailable", 421, False, False),
        }.items():
            server.says = {"ops@example.org": reply}
            assert _refused(_settings(server.port)) == told
        for reply, told in {
            "452 full": ("message", 452, True, False),
            "554 spam": ("message", 554, True, True),
        }.items():
            server.says = {"DATA": reply}
            assert _refused(_settings(server.port)) == told
        assert server.got == []


@contextmanager
def _rude(do: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A server that does this with a connection; its port."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    do(connection, over)
                except OSError:  # cut off
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join(60)


def _hangs(connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def _drips(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        connection.sendall(b"220-")


def _talks(connection: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        connection.sendall(b"220-more\r\n")


def _drops(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"220 mail.test\r\n")


def _is_full(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"554 no service here\r\n")


def _speaks_http(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("security", ["none", "tls"])
@pytest.mark.parametrize(
    ("does", "kind"),
    [(_hangs, "timeout"), (_drips, "timeout"), (_talks, "timeout"), (_drops, "connection")],
)
def test_a_server_that_is_slow_or_leaves_is_left(
    does: Callable[[socket.socket, threading.Event], None],
    kind: str,
    security: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mail, "TIMEOUT", 1.0 if kind == "timeout" else 60.0)
    with _rude(does) as port:
        told = _refused(_settings(port, smtp_security=security))
    # What is no TLS is refused as that, as soon as it is said, unless it is gone by then.
    secured = {_hangs: {"timeout"}, _drops: {"tls", "connection"}}.get(does, {"tls"})
    assert told[0] in ({kind} if security == "none" else secured)
    assert told[1:] == (None, False, False)


def test_a_server_that_is_none_is_told_from_one_that_refuses() -> None:
    with _rude(_is_full) as port:
        assert _refused(_settings(port)) == ("greeting", 554, False, False)
    with _rude(_speaks_http) as port:
        assert _refused(_settings(port))[0] in {"unavailable", "connection"}
    with nobody() as port:
        assert _refused(_settings(port))[0] == "connection"


def test_a_wrong_setting_of_mail_is_named() -> None:
    server = {"ATLAS_SMTP_HOST": "mail.example.org", "ATLAS_SMTP_SENDER": "atlas@example.org"}
    login = {"ATLAS_SMTP_USER": "atlas", "ATLAS_SMTP_PASSWORD": "hunter2"}
    assert parse({**server, **login}).smtp_security == "starttls"
    assert "hunter2" not in repr(parse({**server, **login}))
    for given, named in [
        ({**server, "ATLAS_SMTP_HOST": "smtp://mail.example.org"}, "ATLAS_SMTP_HOST"),
        ({**server, "ATLAS_SMTP_PORT": "0"}, "ATLAS_SMTP_PORT"),
        ({**server, "ATLAS_SMTP_PORT": "65536"}, "ATLAS_SMTP_PORT"),
        ({**server, "ATLAS_SMTP_SECURITY": "ssl"}, "ATLAS_SMTP_SECURITY"),
        ({**server, "ATLAS_SMTP_SENDER": "Atlas"}, "ATLAS_SMTP_SENDER"),
        ({"ATLAS_SMTP_HOST": "mail.example.org"}, "ATLAS_SMTP_SENDER"),
        (login, "ATLAS_SMTP_USER"),
        ({**server, "ATLAS_SMTP_USER": "atlas"}, "ATLAS_SMTP_PASSWORD"),
        ({**server, "ATLAS_SMTP_PASSWORD": "hunter2"}, "ATLAS_SMTP_PASSWORD"),
        ({**server, **login, "ATLAS_SMTP_SECURITY": "none"}, "ATLAS_SMTP_SECURITY"),
        # Each would stop whoever delivers, when it comes to it.
        ({**server, **login, "ATLAS_SMTP_PASSWORD": "hunter2ä"}, "ATLAS_SMTP_PASSWORD"),
        ({**server, **login, "ATLAS_SMTP_USER": "jürgen"}, "ATLAS_SMTP_USER"),
        ({**server, "ATLAS_SMTP_HOST": "a" * 64 + ".example.org"}, "ATLAS_SMTP_HOST"),
    ]:
        with pytest.raises(UsageError) as refused:
            parse(given)
        assert named in str(refused.value)
        assert "hunter2" not in str(refused.value)
