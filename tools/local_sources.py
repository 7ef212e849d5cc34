"""Sources on this machine for connectors that can read one: what was put there has to come out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.connectors import runner
from atlas.connectors.install import Connector
from atlas.connectors.installer import pip_as_uv
from atlas.connectors.reader import Reader, Records
from atlas.model.stream import ConfiguredStream, SyncMode
from atlas.settings import Settings

ROWS = [{"id": n, "name": f"næme {n}", "amount": n + 0.5} for n in range(1, 101)]
_BUCKET = "atlas-check"


@dataclass(frozen=True)
class Local:
    """A configuration, the stream to read, and what its records are to be."""

    config: dict[str, Any]
    stream: str
    rows: list[dict[str, Any]] | int


def reads(connector: Connector, local: Local, settings: Settings) -> str:
    """Read the stream and say how many records came, and whether they are those.

    Raises:
        AtlasError: the connector cannot read it.
    """
    spec = runner.spec(connector, settings)
    runner.check(connector, local.config, settings, spec=spec)
    streams = runner.discover(connector, local.config, settings, spec=spec)
    (found,) = (stream for stream in streams if stream.key.name == local.stream)
    wanted = ConfiguredStream(found.key, found.json_schema, SyncMode.FULL_REFRESH)
    with Reader(connector, local.config, [wanted], [], settings, spec=spec) as reader:
        rows = [
            json.loads(data) for part in reader if isinstance(part, Records) for data in part.data
        ]
    if isinstance(local.rows, int):
        as_put = len(rows) == local.rows
    else:
        # As texts: a connector may leave the fields of a CSV file what they are.
        got, wanted_rows = (
            sorted([str(row.get(name)) for name in local.rows[0]] for row in found_rows)
            for found_rows in (rows, local.rows)
        )
        as_put = got == wanted_rows
    return f"{len(rows)} records, {'as' if as_put else 'NOT as'} they were put there"


def _csv() -> str:
    lines = [f"{row['id']},{row['name']},{row['amount']}" for row in ROWS]
    return "\n".join(["id,name,amount", *lines]) + "\n"


@contextmanager
def _file(directory: Path) -> Iterator[Local]:
    path = directory / "people.csv"
    path.write_text(_csv(), encoding="utf-8")
    config = {
        "dataset_name": "people",
        "format": "csv",
        "url": str(path),
        "provider": {"storage": "local"},
    }
    yield Local(config, "people", ROWS)


@contextmanager
def _hardcoded(directory: Path) -> Iterator[Local]:
    yield Local({"count": 250}, "dummy_fields", 250)


@contextmanager
def _s3(directory: Path) -> Iterator[Local]:
    """moto's server, in an environment of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    uv = Path(sys.executable).with_name("uv")
    environ = {**os.environ, **pip_as_uv(listing, os.environ)}
    with (directory / "moto.log").open("wb") as log:
        server = subprocess.Popen(
            [uv, "tool", "run", "--from", "moto[server]", "moto_server", "-p", str(port)],
            env=environ,
            stdout=log,
            stderr=log,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _put(endpoint, f"/{_BUCKET}", b"", server)
        _put(endpoint, f"/{_BUCKET}/people.csv", _csv().encode(), server)
        config = {
            "bucket": _BUCKET,
            "endpoint": endpoint,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "streams": [
                {"name": "people", "globs": ["*.csv"], "format": {"filetype": "csv"}},
            ],
        }
        yield Local(config, "people", ROWS)
    finally:
        server.terminate()
        server.wait()


def _put(endpoint: str, path: str, body: bytes, server: subprocess.Popen[bytes]) -> None:
    # Without a type of its own urllib calls it a form, which the server would take apart.
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(  # noqa: S310 - here
        f"{endpoint}{path}", data=body, headers=headers, method="PUT"
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


SOURCES: dict[str, Callable[[Path], AbstractContextManager[Local]]] = {
    "source-file": _file,
    "source-hardcoded-records": _hardcoded,
    "source-s3": _s3,
}
"""The connectors that are read from, each with what sets its source up below a directory."""
