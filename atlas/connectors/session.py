"""One run of a connector's command: its files, its messages, and what its end means."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from atlas import traces
from atlas.connectors import docker, protocol, workspace
from atlas.connectors.child import Child, describe_exit
from atlas.connectors.config import Redactor, one_line
from atlas.connectors.install import Connector
from atlas.connectors.protocol import Batch, BrokenRecord, MalformedError
from atlas.connectors.wire import Envelope
from atlas.errors import TerminalError, TransientError
from atlas.model.stream import StreamKey
from atlas.settings import Settings

logger = logging.getLogger(__name__)

OnLog = Callable[[str, str], None]
"""Called with the level and the redacted text (one line, bounded) of a connector's log line."""

OnStart = Callable[[str, float], None]
"""Called once, at a connector's first message, with the verb and the seconds since its start."""

_SEVERE = ("FATAL", "ERROR")
_KINDS = ("transient_error", "system_error", "config_error")
_LONGEST_KEPT = 64 * 1024


class Session:
    """Runs ``connector verb`` with its files and reads what it prints.

    A context manager: at its end the process group and the files are gone. LOG, TRACE ERROR,
    ESTIMATE and ANALYTICS messages end here; all others come out of :meth:`messages`.

    Attributes:
        failures: the TRACE ERRORs so far, at most 100.
        estimates: expected rows by stream, where the connector says.
        garbage: lines that were no message.
        repaired: repairs made (see :func:`atlas.connectors.repair.repair`).
    """

    def __init__(
        self,
        connector: Connector,
        verb: str,
        settings: Settings,
        *,
        redactor: Redactor,
        files: Mapping[str, bytes] | None = None,
        deadline: float | None = None,
        on_log: OnLog | None = None,
        on_start: OnStart | None = None,
    ) -> None:
        self.name = connector.name
        self._verb = verb
        self._on_start = on_start
        self._silent = True
        self.redactor = redactor
        self.failures: list[protocol.Failure] = []
        self.estimates: dict[StreamKey, int] = {}
        self.garbage = 0
        self.repaired = 0
        self._on_log = on_log
        self._severe: str | None = None
        self._lines: deque[str] = deque(maxlen=20)
        with ExitStack() as stack:
            directory = stack.enter_context(workspace.workspace(settings))
            arguments: list[str] = []
            for option, content in (files or {}).items():
                path = workspace.write(directory / f"{option}.json", content)
                arguments += [f"--{option}", str(path)]
            self._started = time.monotonic()
            self._traced = traces.Open(
                f"connector {verb}",
                {"atlas.connector": connector.name, "atlas.connector.version": connector.version},
            )
            stack.push(self._over)
            self._child = stack.enter_context(
                Child(
                    [*connector.command, verb, *arguments],
                    name=connector.name,
                    env=workspace.environment(directory, engine=docker.is_image(connector.command)),
                    cwd=directory,
                    idle_timeout=settings.connector_idle_timeout,
                    max_line=settings.max_record_bytes,
                    deadline=deadline,
                )
            )
            self._stack = stack.pop_all()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc or (None, None, None))

    def _over(self, kind: type[BaseException] | None, *_: object) -> None:
        """The process has ended, or never began. One that has answered is ended, which is no
        failure."""
        child = getattr(self, "_child", None)
        about = {} if child is None else {"process.exit.code": child.exit_code or 0}
        self._traced.close(about, failed=kind is not None)

    @property
    def pid(self) -> int:
        """Id of the connector's process group."""
        return self._child.pid

    def stop(self) -> None:
        """End the process group; from any thread."""
        self._child.stop()

    def chunks(self) -> Iterator[list[Batch | Envelope | BrokenRecord]]:
        """Yield the messages as they come, in lists (a chunk of output each), RECORDs in batches.

        Raises:
            TransientError, TerminalError: as :meth:`atlas.connectors.child.Child.chunks`; and a
                broken message, which is worth one more attempt.
        """
        for found, repairs in self._child.chunks(_taken_apart):
            self.repaired += repairs
            envelopes: list[Batch | Envelope | BrokenRecord] = []
            for item in found:
                if isinstance(item, Batch | Envelope | BrokenRecord):
                    self._speaks()
                    envelopes.append(item)
                elif isinstance(item, bytes):
                    self.garbage += 1
                    self._log("INFO", item.decode(errors="replace"))
                else:
                    yield envelopes
                    if self._child.unfinished:
                        self.raise_for_end()  # why it broke off says more than that it did
                    raise self.malformed(item) from item
            yield envelopes

    def _speaks(self) -> None:
        if self._silent:
            self._silent = False
            seconds = time.monotonic() - self._started
            self._traced.note({"atlas.connector.start_seconds": seconds})
            if self._on_start is not None:
                self._on_start(self._verb, seconds)

    def take(self, envelope: Envelope) -> protocol.Message | None:
        """The message in ``envelope``, or None if it was the session's own business."""
        try:
            message = protocol.interpret(envelope)
        except protocol.MalformedError as error:
            raise self.malformed(error) from error
        match message:
            case protocol.Log():
                self._log(message.level.upper(), message.message)
            case protocol.Failure():
                self._log("ERROR", f"{message.message} {message.internal_message}")
                if len(self.failures) < 100:
                    self.failures.append(message)
            case protocol.Estimate():
                if message.stream is not None and message.rows is not None:
                    self.estimates[message.stream] = message.rows
            case protocol.Analytics():
                pass
            case _:
                return message
        return None

    def messages(self) -> Iterator[protocol.Message]:
        """Yield every message that is not the session's own business; for short answers."""
        for envelopes in self.chunks():
            for envelope in envelopes:
                if not isinstance(envelope, Envelope) or envelope.type == "RECORD":
                    continue
                if (message := self.take(envelope)) is not None:
                    yield message

    def malformed(self, error: protocol.MalformedError) -> TransientError:
        """What a broken message means: the output cannot be trusted, and may be whole next time."""
        where = "its output breaks off: " if self._child.unfinished else ""
        return TransientError(
            f"connector {self.name}: {where}{one_line(self.redactor(str(error)))}", max_attempts=2
        )

    def raise_for_end(self) -> None:
        """Classify the end of a run whose messages have all been read.

        TRACE ERRORs about single streams fail nothing by themselves at exit 0.

        Raises:
            TerminalError: all errors were config_error.
            TransientError: anything else went wrong; tried at most twice unless the connector
                said transient_error.
        """
        if self._child.stopped:
            raise TransientError(f"connector {self.name}: was stopped")
        code = self._child.exit_code or 0
        failures = self.failures
        if code == 0:
            failures = [failure for failure in failures if failure.stream is None]
        # The CDK ends a sync of several streams with a config_error that sums up the others,
        # whatever they were, so the kind that promises most from another attempt decides.
        for kind in _KINDS:
            for failure in failures:
                if (failure.kind if failure.kind in _KINDS else "system_error") == kind:
                    raise self._error(failure, kind)
        if code != 0:
            tail = self._last_words()
            raise TransientError(
                f"connector {self.name}: {describe_exit(code)}" + (f": {tail}" if tail else ""),
                max_attempts=2,
            )

    def describe(self, failure: protocol.Failure) -> str:
        """``failure`` as one redacted line."""
        text = failure.message or failure.internal_message or "it gave no reason"
        if failure.kind == "system_error" and failure.internal_message not in ("", text):
            # Here the message is the CDK's "Something went wrong in the connector".
            text = f"{text} ({failure.internal_message})"
        return one_line(self.redactor(text))

    def _error(self, failure: protocol.Failure, kind: str) -> TerminalError | TransientError:
        stream = f"stream {failure.stream}: " if failure.stream else ""
        line = f"connector {self.name}: {stream}{self.describe(failure)}"
        if kind == "config_error":
            return TerminalError(line)
        return TransientError(line, max_attempts=None if kind == "transient_error" else 2)

    def _log(self, level: str, text: str) -> None:
        if len(text) > _LONGEST_KEPT:
            # Cut in the middle: what is shown comes from either end, where no secret is halved.
            half = _LONGEST_KEPT // 2
            text = f"{text[:half]}\n…\n{text[-half:]}"
        if level in _SEVERE:
            self._severe = text
        self._lines.append(text)
        if self._on_log is not None:
            self._on_log(level, one_line(self.redactor(text), 2000))
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s: %s", self.name, one_line(self.redactor(text), 2000))

    def _last_words(self) -> str:
        """The line that most likely says what went wrong, redacted."""
        candidates = (
            self._severe,
            self._child.stderr_tail(),
            self._lines[-1] if self._lines else None,
        )
        for text in candidates:
            if text is not None:
                lines = [line for line in self.redactor(text).splitlines() if line.strip()]
                if lines:
                    return one_line(lines[-1])
        return ""


_OBJECT_BYTES = 200
"""About what a message takes in memory beside its own bytes, and a record half of it."""


def _taken_apart(
    chunk: bytes,
) -> tuple[int, tuple[list[Batch | Envelope | bytes | MalformedError], int]]:
    decoded, repairs = protocol.decode_chunk(chunk)
    gathered = protocol.gather(decoded)
    size = len(chunk) + (len(gathered) + len(decoded)) * _OBJECT_BYTES // 2
    return size, (gathered, repairs)


def to_json(value: Any) -> bytes:
    """``value`` as the bytes of a file for a connector."""
    return json.dumps(value).encode()
