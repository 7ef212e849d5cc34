"""Delivery of recorded events, by the transports of the official client.

One call is one attempt: what did not arrive stays in the ledger, which tries again. An event may
arrive twice (the attempt succeeded and its record was lost); it carries the same run id and time.

The transports are built here from Atlas's settings alone. The client's own set-up would also obey
``OPENLINEAGE_*`` variables and an openlineage.yml of whatever directory a worker started in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import requests
from openlineage.client.transport.console import ConsoleConfig, ConsoleTransport
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.client.transport.http import (
    ApiKeyTokenProvider,
    HttpConfig,
    HttpTransport,
    TokenProvider,
)

from atlas.errors import TerminalError, TransientError, UsageError
from atlas.lineage.kafka import KafkaSink
from atlas.lineage.sinks import Sink

TIMEOUT = 5.0
"""Seconds that an endpoint may take to accept a connection, and to answer."""

_ENDPOINT = "api/v1/lineage"
_RETRIED = frozenset({408, 429})


class _Sink(Protocol):
    def send(self, event: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class Delivery:
    """The way to one sink.

    Raises:
        UsageError: what is set for it cannot be used.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink: _Sink
        if sink.url is not None:
            self._sink = _Http(sink.url, sink)
        elif sink.path is not None:
            self._sink = _File(sink.path)
        elif sink.kafka is not None:
            self._sink = KafkaSink(sink)
        else:
            self._sink = _Console()

    def deliver(self, event: dict[str, Any]) -> None:
        """Deliver one event, once.

        Raises:
            TransientError: it did not arrive, and may do so later.
            TerminalError: the endpoint refuses it.
        """
        self._sink.send(event)

    def close(self) -> None:
        """Close the connection to the endpoint; the next delivery opens another."""
        self._sink.close()


class _Console:
    """A line of the log an event."""

    def __init__(self) -> None:
        self._transport = ConsoleTransport(ConsoleConfig())

    def send(self, event: dict[str, Any]) -> None:
        self._transport.emit(cast(Any, event))

    def close(self) -> None:
        pass


class _File:
    """One line an event, whole whatever happens to the processes that append.

    The client's transport may write a long line in pieces, so writers take turns. What a killed
    one left of a line is cut off by the next: its event was not recorded as delivered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transport = FileTransport(FileConfig(log_file_path=str(path), append=True))

    def send(self, event: dict[str, Any]) -> None:
        try:
            with self._turn():
                size = self._whole()
                try:
                    self._transport.emit(cast(Any, event))
                except BaseException:
                    os.truncate(self._path, size)
                    raise
        except (OSError, RuntimeError) as error:
            # The client wraps what the system said; the reason is below.
            cause = error.__cause__ if isinstance(error, RuntimeError) else error
            reason = cause.strerror if isinstance(cause, OSError) else type(error).__name__
            raise TransientError(
                f"cannot write lineage to {self._path}: {reason}; check its permissions "
                "and the free space"
            ) from error

    def close(self) -> None:
        pass

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own, so that events.jsonl can be moved away while Atlas runs.
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _whole(self) -> int:
        """Make the file if need be, readable by its owner alone, and end it at a line's end.
        Returns its size in bytes."""
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            end = size = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
            return end


class _Http:
    """POST to the endpoint; nothing of the key or of the event gets into an error."""

    def __init__(self, url: str, sink: Sink) -> None:
        parts, api_key = urlsplit(url), sink.api_key
        self._said = sink
        if "@" in parts.netloc:
            raise UsageError(
                f"setting {sink.url_said}: must hold no credentials, "
                f"put a token into {sink.key_said}"
            )
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise UsageError(
                f"setting {sink.key_said}: its value has characters that no header takes"
            )
        # A URL without a path is a server, with one it is the endpoint itself.
        path = "/" + (parts.path.strip("/") or _ENDPOINT)
        if parts.query:
            path += f"?{parts.query}"
        self._session = session = requests.Session()
        # A redirected POST arrives as a GET without its event, and would count as delivered.
        session.max_redirects = 0
        # Else requests puts a login of ~/.netrc in the place of the key.
        session.auth = _keep_headers
        try:
            self._where = parts.hostname or ""
            if parts.port is not None:
                self._where += f":{parts.port}"
            self._transport = HttpTransport(
                HttpConfig(
                    url=f"{parts.scheme}://{parts.netloc}",
                    endpoint=path,
                    timeout=TIMEOUT,
                    auth=(
                        TokenProvider({})
                        if api_key is None
                        else ApiKeyTokenProvider({"api_key": api_key})
                    ),
                    session=session,
                    retry={"total": 0},
                )
            )
        except ValueError as error:
            raise UsageError(
                f"setting {sink.url_said}: is no URL of a server, such as http://marquez:5000"
            ) from error

    def send(self, event: dict[str, Any]) -> None:
        try:
            response = self._transport.emit(cast(Any, event))
        except requests.HTTPError as error:
            status = cast(requests.Response, error.response).status_code
            raise self._refusal(status) from error
        except requests.TooManyRedirects as error:
            raise TerminalError(
                f"lineage endpoint {self._where} redirects; "
                f"set {self._said.url_said} to where it leads"
            ) from error
        except requests.Timeout as error:
            raise TransientError(
                f"lineage endpoint {self._where} did not answer in {TIMEOUT:g} s; delivered later"
            ) from error
        except requests.ConnectionError as error:
            raise TransientError(
                f"cannot reach lineage endpoint {self._where}; delivered later"
            ) from error
        except requests.RequestException as error:
            raise TransientError(
                f"lineage endpoint {self._where} broke off ({type(error).__name__}); "
                "delivered later"
            ) from error
        if response.status_code >= 300:  # one that neither redirects nor counts as an error
            raise self._refusal(response.status_code)

    def _refusal(self, status: int) -> TransientError | TerminalError:
        if status >= 500 or status in _RETRIED:
            return TransientError(
                f"lineage endpoint {self._where} answered {status}; delivered later"
            )
        said = self._said.key_said if status in (401, 403) else self._said.url_said
        return TerminalError(
            f"lineage endpoint {self._where} refused an event with {status}; check {said}"
        )

    def close(self) -> None:
        # The transport's own close would let it make a session without what is set above.
        self._session.close()


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
