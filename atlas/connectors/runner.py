"""The short questions to a connector: spec, check and discover."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar

from atlas.connectors import catalog, protocol
from atlas.connectors.config import Redactor, one_line, resolve, secrets
from atlas.connectors.install import Connector, directory_of
from atlas.connectors.session import Session, to_json
from atlas.errors import AtlasError, TerminalError, TransientError
from atlas.model.stream import AvailableStream
from atlas.settings import Settings

_Answer = TypeVar("_Answer", bound=protocol.Message)

_known_specs: dict[tuple[object, ...], dict[str, Any]] = {}


class Watch(Protocol):
    """Who has the work done that a connector is asked for."""

    def when_lost(self, stop: Callable[[], None]) -> None:
        """Gets what ends the connector, for it may have to end early."""

    def connector_started(self, verb: str, seconds: float) -> None:
        """Gets how long the connector took to say its first message."""


Changed = Callable[[bytes], None]
"""Called with a config that the connector sends in the place of its own (a rotated token), as JSON;
a secret."""


def spec(connector: Connector, settings: Settings, *, watch: Watch | None = None) -> dict[str, Any]:
    """The JSON schema of the connector's config (its ``connectionSpecification``).

    Asked once of a version of a connector, and kept; of a program of one's own as often as it
    changes.

    Raises:
        TerminalError, TransientError: the connector does not answer.
    """
    known = kept_spec(connector, settings)
    if known is not None:
        return known
    key: tuple[object, ...] = (connector.command,)
    kept = _spec_file(connector, settings)
    if kept is None:  # a program of one's own, which may change
        stat = Path(connector.command[-1]).stat()
        key = (*key, stat.st_mtime_ns, stat.st_size)
        if key in _known_specs:
            return _known_specs[key]
    answer = _ask(connector, "spec", settings, Redactor(), protocol.Spec, watch=watch)
    found = answer.connection_specification
    if kept is None:
        _known_specs[key] = found
    else:
        kept.parent.mkdir(parents=True, exist_ok=True)
        written = kept.with_suffix(f".{os.getpid()}.part")
        written.write_bytes(to_json(found))
        written.replace(kept)
    return found


def kept_spec(connector: Connector, settings: Settings) -> dict[str, Any] | None:
    """The spec as it was kept when the connector was asked first; None: it was not. Reads one
    file."""
    if connector.name in catalog.NATIVE:
        return dict(import_module(catalog.NATIVE[connector.name]).SPEC)
    kept = _spec_file(connector, settings)
    try:
        return None if kept is None else dict(json.loads(kept.read_bytes()))
    except FileNotFoundError:
        return None


def _spec_file(connector: Connector, settings: Settings) -> Path | None:
    """Beside an installed connector, and in a place of its own for an image."""
    if not connector.version:
        return None
    directory = directory_of(connector, settings)
    if directory is not None:
        return directory / "spec.json"
    name = f"{connector.name}-{connector.version}.json"
    return settings.home / "connectors" / "specs" / name


def check(
    connector: Connector,
    config: Mapping[str, Any],
    settings: Settings,
    *,
    spec: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    changed: Changed | None = None,
) -> None:
    """Let the connector try ``config``.

    Args:
        config: with its ``${…}`` references; they are resolved here.
        spec: what :func:`spec` returned, to save asking again.
        changed: gets a config that the connector sends meanwhile.

    Raises:
        TerminalError: the connector says it does not work, in its own (redacted) words.
        TransientError: the connector gave no answer.
    """
    content, redactor, known = prepare(connector, config, settings, spec)
    answer = _ask(
        connector,
        "check",
        settings,
        redactor,
        protocol.ConnectionStatus,
        {"config": content},
        spec=known,
        watch=watch,
        changed=changed,
    )
    if not answer.succeeded:
        reason = one_line(redactor(answer.message)) or "it gives no reason"
        raise TerminalError(f"connector {connector.name}: check failed: {reason}")


def discover(
    connector: Connector,
    config: Mapping[str, Any],
    settings: Settings,
    *,
    spec: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    changed: Changed | None = None,
) -> list[AvailableStream]:
    """The streams that the source offers under ``config``; see :func:`check` for the arguments.

    Raises:
        TerminalError, TransientError: the connector does not answer.
    """
    content, redactor, known = prepare(connector, config, settings, spec)
    answer = _ask(
        connector,
        "discover",
        settings,
        redactor,
        protocol.Catalog,
        {"config": content},
        spec=known,
        watch=watch,
        changed=changed,
    )
    return list(answer.streams)


def prepare(
    connector: Connector,
    config: Mapping[str, Any],
    settings: Settings,
    known_spec: Mapping[str, Any] | None = None,
) -> tuple[bytes, Redactor, Mapping[str, Any] | None]:
    """The config file's content, references resolved, the redactor of all that is secret in it, and
    the spec.

    A connector that cannot tell its spec leaves nobody to say what is secret: then every string
    of the config is.

    Raises:
        TerminalError: a reference cannot be resolved.
    """
    resolved = resolve(config)
    if known_spec is None:
        try:
            known_spec = spec(connector, settings)
        except AtlasError:
            known_spec = None
    redactor = Redactor(resolved.secrets)
    redactor.add(secrets(known_spec, resolved.values))
    return to_json(resolved.values), redactor, known_spec


def learn(redactor: Redactor, spec: Mapping[str, Any] | None, message: protocol.Control) -> None:
    """Have ``redactor`` hide what is secret in a config that the connector sent."""
    redactor.add(secrets(spec, json.loads(message.config)))


def _ask(
    connector: Connector,
    verb: str,
    settings: Settings,
    redactor: Redactor,
    wanted: type[_Answer],
    files: Mapping[str, bytes] | None = None,
    *,
    spec: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    changed: Changed | None = None,
) -> _Answer:
    with Session(
        connector,
        verb,
        settings,
        redactor=redactor,
        files=files,
        deadline=settings.connector_check_timeout,
        on_start=None if watch is None else watch.connector_started,
    ) as session:
        if watch is not None:
            watch.when_lost(session.stop)
        for message in session.messages():
            if isinstance(message, protocol.Control):
                learn(redactor, spec, message)
                if changed is not None:
                    changed(message.config)
            if isinstance(message, wanted):
                return message
        session.raise_for_end()
        raise TransientError(
            f"connector {connector.name}: {verb} gave no answer; is it an Airbyte source?",
            max_attempts=2,
        )
