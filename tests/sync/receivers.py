"""Those who are told things: an HTTP server and a mail server, which behave as they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Receiver:
    """An HTTP server that answers as it is told to, and keeps what it was sent."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.status(204)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/in?x=1"

    @staticmethod
    def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(code)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()

        return answer

    def close(self) -> None:
        """Be away."""
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """An SMTP server, in a thread of its own.

    Attributes:
        got: who got what.
        says: replies to RCPT by address, and to ``DATA``, where they are no 250.
        held: what it does before it replies to DATA.
    """

    def __init__(
        self, *, security: str = "none", context: ssl.SSLContext | None = None, login: bool = False
    ) -> None:
        self.got: list[tuple[str, EmailMessage]] = []
        self.says: dict[str, str] = {}
        self.held: Callable[[], None] = lambda: None
        self.drops = False
        self.logins: list[str] = []
        self._loop = asyncio.new_event_loop()
        options: dict[str, Any] = {"hostname": "mail.test", "loop": self._loop}
        if security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if login:
            # Of TLS from the first byte it knows nothing: it is offered, no more.
            secured = security != "tls"
            options |= {"auth_required": secured, "auth_require_tls": secured}
            options |= {"authenticator": self._authenticate}
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        made = self._loop.create_server(
            lambda: SMTP(self, **options),
            "127.0.0.1",
            0,
            ssl=context if security == "tls" else None,
        )
        self._server = asyncio.run_coroutine_threadsafe(made, self._loop).result(60)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _authenticate(self, server: Any, session: Any, envelope: Any, kind: str, data: Any) -> Any:
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password == b"right", handled=False)

    async def handle_RCPT(  # noqa: N802 - as aiosmtpd calls it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """One address."""
        if address in self.says:
            return self.says[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """One message."""
        await self._loop.run_in_executor(None, self.held)
        if "DATA" in self.says:
            return self.says["DATA"]
        message = message_from_bytes(envelope.original_content or b"", policy=default)
        assert isinstance(message, EmailMessage)
        self.got += [(address, message) for address in envelope.rcpt_tos]
        if self.drops:
            assert server.transport is not None
            server.transport.abort()
        return "250 OK"

    def close(self) -> None:
        """Be away."""

        async def end() -> None:
            self._server.close()
            tasks = [each for each in asyncio.all_tasks() if each is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


@contextlib.contextmanager
def nobody() -> Iterator[int]:
    """A port that is bound and not listened at: no server of another test gets it meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """A context with a certificate for ``host``, signed by itself: ``folder / 'ca.pem'``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    try:
        other: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        other = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "ca.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context
