"""What an address is: of mail, of a host, of a service. Settings are read with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|[0-9A-Fa-f:.]+")
_MAILBOX = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")


def mailbox(text: str) -> str:
    """``text`` if it is an address of mail as all servers take it.

    Raises:
        ValueError: it is none.
    """
    if len(text) > 254 or not _MAILBOX.fullmatch(text):
        raise ValueError("must be an address such as atlas@example.org")
    return text


def host(text: str) -> str:
    """``text`` if a host may be called so.

    Raises:
        ValueError: none may.
    """
    if len(text) > 253 or not _HOST.fullmatch(text):
        raise ValueError("must be the name or the address of a host")
    return text


def port(text: str) -> int:
    """The port of a server.

    Raises:
        ValueError: it is none.
    """
    if not 1 <= (value := int(text)) <= 65535:
        raise ValueError("must be a port number, 1 to 65535")
    return value


def listening(text: str) -> int:
    """The port that a server of ours listens on; 0: a free one.

    Raises:
        ValueError: it is none.
    """
    value = int(text)
    if not 0 <= value <= 65535:
        raise ValueError("must be a port number, 0 (any free one) to 65535")
    return value


def url(*schemes: str) -> Callable[[str], str]:
    """What lets a URL of these schemes pass, and raises ValueError for anything else."""

    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
        except ValueError:
            # Not its words: they quote the name and the password.
            raise ValueError(
                "is no URL: write characters of a password that are no ASCII, or [ or ], as %XX"
            ) from None
        if parts.scheme not in schemes:
            raise ValueError(
                "must be a URL that starts with " + " or ".join(f"{s}:" for s in schemes)
            )
        try:
            _ = parts.port
        except ValueError:
            # Not the parser's words: what it takes for a port may be of a password.
            raise ValueError(
                "has a port that is no number: write / @ : ? # of a password as %2F %40 %3A %3F "
                "%23, and several hosts of PostgreSQL as ?host=A:5432&host=B:5432"
            ) from None
        return text

    return parse


def origin(text: str) -> str:
    """Scheme, host and port of a URL that has no more than these.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ValueError("must be a URL that starts with http: or https:")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must be scheme, host and port, and no path")
    return f"{parts.scheme}://{parts.netloc}"


def collector(text: str) -> str:
    """Where a service over HTTP takes what is sent to it.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL that starts with http: or https:")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be without user and query: ATLAS_OTEL_HEADERS is for secrets")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}" + (
        path if path.endswith("/v1/traces") else f"{path}/v1/traces"
    )
