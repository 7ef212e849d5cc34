"""One message to one receiver: signed, to an address that was looked at, and never any further.

The name is resolved once. Each address it has must be one that the world can reach; one of them is
then connected to as it is, so that nobody can have the name mean another one in between. Redirects
are not followed, proxies not used, and of the answer nothing but its status is read, and when it
says so for how long to leave the receiver alone.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import email.utils
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson

from atlas import __version__
from atlas.errors import UsageError

TIMEOUT = 10.0
"""Seconds that a delivery may take, from the first packet to the answer's status."""
LONGEST_URL = 2000

# Addresses of IPv6 that stand for one of IPv4: what counts is where they lead.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


# Statuses that say "later"; of a redirect the header means something else.
_LATER = {429, 503}


class Refused(Exception):
    """The message was not taken; ``kind`` is one word for why, ``status`` the answer's, if any,
    ``wait`` the seconds in which the receiver wants nothing more."""

    def __init__(self, kind: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.wait = wait


def checked(url: str, *, private: bool) -> str:
    """``url`` if a receiver may be there.

    Args:
        private: whether http, and addresses of a private network, are allowed.

    Raises:
        UsageError: it may not.
    """
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise UsageError("url: it is none") from error
    schemes = {"https", "http"} if private else {"https"}
    if split.scheme not in schemes or not split.hostname or port == 0:
        raise UsageError("url: it must be an https:// URL with a host")
    if split.username is not None or split.password is not None or split.fragment:
        raise UsageError("url: no user, password or fragment may stand in it")
    if len(url) > LONGEST_URL or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise UsageError(f"url: at most {LONGEST_URL} visible ASCII characters")
    with contextlib.suppress(ValueError):
        if not (private or _public(ipaddress.ip_address(split.hostname))):
            raise UsageError(
                "url: its address is one of a private network; ATLAS_WEBHOOK_PRIVATE=true "
                "allows that"
            )
    return url


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """What `webhook-signature` says, by the Standard Webhooks specification."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def post(
    url: str, secret: bytes, message_id: str, payload: dict[str, Any], *, private: bool
) -> int:
    """Send ``payload``, signed; returns the status, which is one of success.

    Raises:
        Refused: it was not taken, or could not be sent.
    """
    body = orjson.dumps(payload)
    timestamp = int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    return _send(url, body, headers, private=private)


def say(url: str, text: str, *, private: bool) -> int:
    """Send ``text`` to where Slack, or what is like it, takes it; returns the status.

    Raises:
        Refused: it was not taken, or could not be sent.
    """
    # By these three, and no others, text is told from markup.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _send(url, orjson.dumps({"text": escaped}), {}, private=private)


def _send(url: str, body: bytes, more: dict[str, str], *, private: bool) -> int:
    try:
        checked(url, private=private)
    except UsageError as error:  # the setting is another one than when it was made
        raise Refused("address-refused") from error
    split = urlsplit(url)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Atlas/{__version__}",
        **more,
        "Connection": "close",
    }
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    host = str(split.hostname)
    port = split.port or (443 if split.scheme == "https" else 80)
    address = _address(host, port, private=private)
    try:
        with _connected(host, port, address, tls=split.scheme == "https") as connection:
            connection.request("POST", target, body, headers)
            with connection.getresponse() as answer:
                status, later = answer.status, answer.headers["Retry-After"]
    except ssl.SSLError as error:
        raise Refused("tls") from error
    except TimeoutError as error:
        raise Refused("timeout") from error
    except http.client.HTTPException as error:
        raise Refused("no-http") from error
    except OSError as error:
        raise Refused("connection") from error
    if not 200 <= status < 300:
        kind = "redirect" if 300 <= status < 400 else "status"
        raise Refused(kind, status, _wait(later) if status in _LATER else 0.0)
    return status


def _wait(text: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, which may be infinite; 0: none, or it is none."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # a courtesy: without it the usual delay holds
        return 0.0
    if until.tzinfo is None:  # "-0000", which is UTC
        until = until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds())


def _address(host: str, port: int, *, private: bool) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused("name") from error
    addresses = [str(each[4][0]) for each in found]
    if not private and not all(_public(ipaddress.ip_address(each)) for each in addresses):
        raise Refused("address-refused")
    return addresses[0]


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


@contextlib.contextmanager
def _connected(
    host: str, port: int, address: str, *, tls: bool
) -> Iterator[http.client.HTTPConnection]:
    """A connection to exactly ``address``, which is cut when the time is up, whatever drips in."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    connection.sock = socket.create_connection((address, port), timeout=TIMEOUT)
    late = threading.Event()

    def cut() -> None:
        late.set()
        with contextlib.suppress(OSError):
            # Below TLS, which would say goodbye first.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    watch = threading.Timer(TIMEOUT, cut)
    watch.daemon = True
    watch.start()
    try:
        if tls:
            context = ssl.create_default_context()
            wrapped = context.wrap_socket(
                connection.sock, server_hostname=host, do_handshake_on_connect=False
            )
            connection.sock = wrapped
            wrapped.do_handshake()
        yield connection
        if late.is_set():  # what was cut off reads like an end
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError from error
        raise
    finally:
        watch.cancel()
        connection.close()
