"""Names in paths: one that can be of no connection is looked for nowhere."""

from __future__ import annotations

import re

from atlas.errors import NotFound

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def connection(name: str) -> str:
    """``name``, if a connection can be called so.

    Raises:
        NotFound: none can.
    """
    if not _NAME.fullmatch(name):
        raise NotFound(f"there is no connection {name[:100]!r}: names are {_NAME.pattern}")
    return name
