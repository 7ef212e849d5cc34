"""What an address is: of mail, of a host. Of no room, as settings are read with it."""

from __future__ import annotations

import re

_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
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
