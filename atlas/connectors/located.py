"""Which table or which files a stream of Atlas's own sources is, where a config says so for sure.

Nothing is asked and nothing resolved: what a ``${…}`` reference stands for is known only where the
connector runs, and is not to be told elsewhere. Of a config only what names the data is taken,
never a user, a password or an option.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from atlas.connectors.config import REFERENCE
from atlas.connectors.sources.endings import stem
from atlas.model.stream import StreamKey

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view of a PostgreSQL database; ``host`` is a name, an IPv4 or an IPv6 address."""

    host: str
    port: int
    database: str
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Files:
    """Files of the machine that reads them: the absolute path of one, of a directory all of whose
    files they are, or with a pattern in it, as the config has it."""

    path: str


def located(
    connector: str | None, config: Mapping[str, Any], stream: StreamKey
) -> Table | Files | None:
    """What ``stream`` is at its source; None: not known, or not for sure.

    Args:
        connector: its name in the catalog; None: a program of the user's own.
        config: one that the connector's spec allows, as it is stored.
    """
    match connector:
        case "source-postgres":
            return _table(config, stream)
        case "source-files":
            return _files(config, stream)
    return None


def _table(config: Mapping[str, Any], stream: StreamKey) -> Table | None:
    host, port = _text(config.get("host")), config.get("port", 5432)
    if host is None or not _one_host(host):
        return None
    if type(port) is not int or not 0 < port <= 65535:
        return None
    database, schema = _text(config.get("database")), stream.namespace or "public"
    # They are told with dots between them: with one inside, two tables could have one name.
    if database is None or any("." in name for name in (database, schema, stream.name)):
        return None
    return Table(host, port, database, schema, stream.name)


def _one_host(host: str) -> bool:
    """Whether it is one host of the network: no socket, no list of which any may have answered."""
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return ipaddress.IPv6Address(host).scope_id is None
    except ValueError:
        return False


def _files(config: Mapping[str, Any], stream: StreamKey) -> Files | None:
    root, listed = _path(config.get("path")), config.get("streams")
    if root is None or not root.is_absolute():
        return None
    if not listed:
        # One file whose stream is called like it. Which file of a directory is the stream, only
        # the directory says.
        return Files(str(root)) if stem(root.name) == stream.name != root.name else None
    globs = [item["glob"] for item in listed if item["name"] == stream.name]
    glob = _path(globs[0]) if len(globs) == 1 else None
    if glob is None or glob.is_absolute():
        return None
    parts = list(glob.parts)
    if parts[-1:] == ["*"]:
        # Whatever lies in a directory is that directory, with or without those below it.
        del parts[-2 if parts[-2:-1] == ["**"] else -1 :]
    return Files(str(root.joinpath(*parts)))


def _path(given: Any) -> PurePosixPath | None:
    text = _text(given)
    if text is None:
        return None
    # Two slashes at its beginning are one, though POSIX leaves that open.
    path = PurePosixPath(re.sub("^//+", "/", text))
    return None if ".." in path.parts else path


def _text(given: Any) -> str | None:
    return given if isinstance(given, str) and given and not REFERENCE.search(given) else None
