"""Sending a message by SMTP, as the settings say. A server's words are not kept, only its code.

A connection is made for each message, and is cut when its time is up, whatever drips in: whoever
delivers has others to deliver to.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from atlas.settings import Settings

TIMEOUT = 20.0
"""Seconds that a message may take once there is a connection; a connection may take half."""

_UNAVAILABLE = 421


class Unsent(Exception):
    """The message was not taken.

    Attributes:
        kind: one word for why.
        status: the reply's code, if there was one.
        alone: whether it is about this address, or this message; else about the server.
        over: whether to try again would not help.
    """

    def __init__(
        self, kind: str, status: int | None = None, *, alone: bool = False, over: bool = False
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.alone = alone
        self.over = over


def send(
    settings: Settings, to: str, subject: str, text: str, *, message_id: str, at: datetime
) -> int:
    """Send a message to one address; returns the code of success.

    Args:
        message_id: the same each time that it is sent, so that doubles can be dropped.
        at: when it was made, which is its date.

    Raises:
        Unsent: it was not taken, or could not be sent.
    """
    sender = str(settings.smtp_sender)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("Atlas", addr_spec=sender)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = format_datetime(at.astimezone(UTC))
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    with connected(settings) as server:
        _said(server.mail(sender)[0], "sender", alone=False)
        _said(server.rcpt(to)[0], "recipient", alone=True)
        try:
            code = server.data(message.as_bytes())[0]
        except smtplib.SMTPDataError as error:
            code = error.smtp_code
        return _said(code, "message", alone=True)


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[smtplib.SMTP]:
    """A server that let us in.

    Raises:
        Unsent: it did not, is not there, or is cut off.
    """
    late = threading.Event()
    try:
        with contextlib.ExitStack() as stack:
            server = _let_in(settings, stack, late)
            try:
                yield server
            except Unsent:
                _leave(server)
                raise
            _leave(server)
    except (OSError, smtplib.SMTPException) as error:
        raise _unsent(error, late=late.is_set()) from error


def _let_in(settings: Settings, stack: contextlib.ExitStack, late: threading.Event) -> smtplib.SMTP:
    host = str(settings.smtp_host)
    port = settings.smtp_port or {"tls": 465, "starttls": 587, "none": 25}[settings.smtp_security]
    context = ssl.create_default_context()
    sock = socket.create_connection((host, port), timeout=TIMEOUT / 2)
    stack.callback(sock.close)
    # Of its own, for what TLS wraps is nobody else's any more.
    handle = stack.enter_context(sock.dup())

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(TIMEOUT, cut)
    watch.daemon = True
    watch.start()
    stack.callback(watch.cancel)
    # It would connect by itself, and read the greeting for as long as it drips.
    server = smtplib.SMTP(local_hostname=_literal(sock), timeout=TIMEOUT / 2)
    server._host = host  # type: ignore[attr-defined] # that the certificate must be of
    stack.callback(server.close)
    server.sock = sock
    if settings.smtp_security == "tls":
        server.sock = context.wrap_socket(sock, server_hostname=host)
    code, _ = server.getreply()
    _said(code, "greeting", alone=False)
    if settings.smtp_security == "starttls":
        server.starttls(context=context)
    server.ehlo_or_helo_if_needed()
    if settings.smtp_user is not None:
        _log_in(server, settings.smtp_user, str(settings.smtp_password))
    return server


def _log_in(server: smtplib.SMTP, user: str, password: str) -> None:
    try:
        server.login(user, password)
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        raise Unsent("login", getattr(error, "smtp_code", None)) from error


def _leave(server: smtplib.SMTP) -> None:
    """Say goodbye; whether it is heard changes nothing of what was taken."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        server.docmd("QUIT")


def _said(code: int, what: str, *, alone: bool) -> int:
    if 200 <= code < 300:
        return code
    if code == _UNAVAILABLE or not 400 <= code < 600:
        raise Unsent("unavailable", code)
    raise Unsent(what, code, alone=alone, over=alone and code >= 500)


def _unsent(error: Exception, *, late: bool) -> Unsent:
    # What takes too long reads like an end, to smtplib too.
    if late or isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return Unsent("timeout")
    if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return Unsent("tls")
    if isinstance(error, socket.gaierror):
        return Unsent("name")
    if isinstance(error, smtplib.SMTPResponseException):
        return Unsent("unavailable", error.smtp_code)
    return Unsent("connection")


def _literal(sock: socket.socket) -> str:
    """What this side is called, which needs no resolution of its own name."""
    address = str(sock.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
