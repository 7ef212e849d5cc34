"""The short questions to a connector: spec, check and discover."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from atlas.connectors import protocol
from atlas.connectors.config import Redactor, one_line, resolve, secrets
from atlas.connectors.install import Connector, directory_of
from atlas.connectors.session import OnLog, Session, to_json
from atlas.errors import AtlasError, TerminalError, TransientError
from atlas.model.stream import AvailableStream
from atlas.settings import Settings

_Answer = TypeVar("_Answer", bound=protocol.Message)

_known_specs: dict[tuple[object, ...], dict[str, Any]] = {}


def spec(connector: Connector, settings: Settings) -> dict[str, Any]:
    """The JSON schema of the connector's config (its ``connectionSpecification``).

    Asked once of an installed connector and kept beside it; of a program of one's own as often as
    it changes.

    Raises:
        TerminalError, TransientError: the connector does not answer.
    """
    directory = directory_of(connector, settings)
    kept = None if directory is None else directory / "spec.json"
    key: tuple[object, ...] = (connector.command,)
    if kept is not None:
        try:
            return dict(json.loads(kept.read_bytes()))
        except FileNotFoundError:
            pass
    else:
        stat = Path(connector.command[-1]).stat()
        key = (*key, stat.st_mtime_ns, stat.st_size)
        if key in _known_specs:
            return _known_specs[key]
    answer = _ask(connector, "spec", settings, Redactor(), protocol.Spec)
    found = answer.connection_specification
    if kept is not None:
        written = kept.with_suffix(".part")
        written.write_bytes(to_json(found))
        written.replace(kept)
    else:
        _known_specs[key] = found
    return found


def check(
    connector: Connector,
    config: Mapping[str, Any],
    settings: Settings,
    *,
    spec: Mapping[str, Any] | None = None,
) -> None:
    """Let the connector try ``config``.

    Args:
        config: with its ``${…}`` references; they are resolved here.
        spec: what :func:`spec` returned, to save asking again.

    Raises:
        TerminalError: the connector says it does not work, in its own (redacted) words.
        TransientError: the connector gave no answer.
    """
    content, redactor, _ = prepare(connector, config, settings, spec)
    answer = _ask(
        connector, "check", settings, redactor, protocol.ConnectionStatus, {"config": content}
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
) -> list[AvailableStream]:
    """The streams that the source offers under ``config``; see :func:`check` for the arguments.

    Raises:
        TerminalError, TransientError: the connector does not answer.
    """
    content, redactor, _ = prepare(connector, config, settings, spec)
    answer = _ask(connector, "discover", settings, redactor, protocol.Catalog, {"config": content})
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


def _ask(
    connector: Connector,
    verb: str,
    settings: Settings,
    redactor: Redactor,
    wanted: type[_Answer],
    files: Mapping[str, bytes] | None = None,
    on_log: OnLog | None = None,
) -> _Answer:
    with Session(
        connector,
        verb,
        settings,
        redactor=redactor,
        files=files,
        deadline=settings.connector_check_timeout,
        on_log=on_log,
    ) as session:
        for message in session.messages():
            if isinstance(message, wanted):
                return message
        session.raise_for_end()
        raise TransientError(
            f"connector {connector.name}: {verb} gave no answer; is it an Airbyte source?",
            max_attempts=2,
        )
