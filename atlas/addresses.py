"""What an address is: of mail, of a host, of a service. Settings are read with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

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


_NUMBER = re.compile(r"[0-9]{1,9}")
_TLS = {
    *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    *("ssl_ciphers", "ssl_cert_reqs", "ssl_check_hostname"),
}
_WORDS = {
    "ssl_cert_reqs": {"none", "optional", "required"},
    "ssl_check_hostname": {"true", "false"},
}


def redis(text: str) -> str:
    """``text`` if it is a URL of Redis that means the same to both who read it: redis-py, and
    kombu, which workers get their messages by and which knows less.

    Raises:
        ValueError: it is none; nothing of it is quoted.
    """
    parts = urlsplit(url("redis", "rediss", "unix")(text))
    if parts.fragment or not text.startswith(f"{parts.scheme}://"):
        raise ValueError(f"must be {parts.scheme}://… with no # (of a password %23)")
    given = parse_qsl(parts.query, keep_blank_values=True)
    if parts.scheme == "unix":
        database = dict(given).get("db", "0")
        if parts.hostname or parts.path in {"", "/"} or {name for name, _ in given} - {"db"}:
            raise ValueError(
                "must be unix:///PATH or unix://USER:PASSWORD@/PATH, with ?db=1 at most"
            )
    else:
        database = parts.path.removeprefix("/") or "0"
        _see_options(parts.scheme, given)
    if not _NUMBER.fullmatch(database):
        where = "?db=0" if parts.scheme == "unix" else f"such as {parts.scheme}://host:6379/0"
        raise ValueError(
            f"must end in the number of a database, {where}; / ? # of a password are %2F %3F %23"
        )
    return text


def _see_options(scheme: str, given: list[tuple[str, str]]) -> None:
    if scheme == "redis" and given:
        raise ValueError(
            "must have nothing behind a ?: the database is behind the slash, such as "
            "redis://host:6379/0; ? of a password is %3F"
        )
    for name, value in given:
        if name not in _TLS or not value or value not in _WORDS.get(name, {value}):
            raise ValueError(
                f"must have nothing behind the ? but {', '.join(sorted(_TLS))}, and the database "
                "behind the slash, such as rediss://host:6379/0?ssl_ca_certs=/etc/ca.pem; "
                "? of a password is %3F"
            )


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
