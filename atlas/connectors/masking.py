"""Configurations that come and go over HTTP: secrets masked going out, put back coming in.

What the mask stands for is the stored value at the same place. References to the environment and
to files are for whoever may use the machine, that is, the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlas.connectors import uploads
from atlas.connectors.config import REFERENCE, secret_paths
from atlas.errors import UsageError
from atlas.settings import Settings

MASK = "********"
_DEEPEST = 64
_NOTHING = object()


def masked(spec: Mapping[str, Any] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` with :data:`MASK` for every value that ``spec`` marks as secret; for every value
    without a spec, for then nobody knows which are."""
    paths = {()} if spec is None else set(secret_paths(spec, config))

    def walk(value: Any, path: tuple[str | int, ...], secret: bool) -> Any:
        secret = secret or path in paths
        if isinstance(value, Mapping):
            return {name: walk(item, (*path, name), secret) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index), secret) for index, item in enumerate(value)]
        return MASK if secret and value is not None and not isinstance(value, bool) else value

    return dict(walk(config, (), secret=False))


def unmasked(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """``sent`` with the stored value wherever it has :data:`MASK`.

    Raises:
        UsageError: nothing is stored there, or ``sent`` has a reference that is not stored just
            so; the message names the place.
    """
    return dict(_restored(sent, stored, "config", 0))


def literal(sent: Mapping[str, Any]) -> None:
    """See that a configuration with nothing stored behind it has no mask and no reference.

    Raises:
        UsageError: it has; the message names the place.
    """
    _restored(sent, _NOTHING, "config", 0)


def within_roots(connector: str | None, config: Mapping[str, Any], settings: Settings) -> None:
    """See that files which are read for somebody on the network are meant to be.

    Raises:
        UsageError: source-files, or Airbyte's source-file, is pointed at something outside of
            ``ATLAS_FILES_ROOTS`` and of what was uploaded.
    """
    provider = config.get("provider")
    if connector == "source-files":
        name = "path"
    elif connector == "source-file" and isinstance(provider, Mapping):
        # Any other storage is somewhere else.
        if str(provider.get("storage")).lower() != "local":
            return
        name = "url"
    else:
        return
    given = Path(str(config.get(name, "")))
    path = given.resolve()
    # What is not absolute, or begins with ~, the source may take for another place than this.
    roots = [uploads.directory(settings), *map(Path, settings.files_roots)]
    if not given.is_absolute() or not any(path.is_relative_to(root.resolve()) for root in roots):
        raise UsageError(
            f"config.{name}: over HTTP only uploads and files below ATLAS_FILES_ROOTS may be read, "
            "and this is neither; send the file (PUT /api/v1/uploads/NAME), set ATLAS_FILES_ROOTS "
            "where web and workers run, or configure the connection with `atlas apply`"
        )


def _restored(sent: Any, stored: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise UsageError(f"{where[:100]}…: deeper than {_DEEPEST} levels")
    if isinstance(sent, Mapping):
        known = stored if isinstance(stored, Mapping) else {}
        return {
            name: _restored(item, known.get(name, _NOTHING), f"{where}.{name}", depth + 1)
            for name, item in sent.items()
        }
    if isinstance(sent, list):
        # In a list of another length nobody can tell which of them a mask stands for.
        same = isinstance(stored, list) and len(stored) == len(sent)
        return [
            _restored(item, stored[index] if same else _NOTHING, f"{where}[{index}]", depth + 1)
            for index, item in enumerate(sent)
        ]
    if sent == MASK:
        if stored is _NOTHING or stored is None or isinstance(stored, Mapping | list):
            raise UsageError(
                f"{where}: {MASK} stands for the value that is stored there, and there is none"
            )
        return stored
    if isinstance(sent, str) and REFERENCE.search(sent) and sent != stored:
        raise UsageError(
            f"{where}: ${{env:…}} and ${{file:…}} are accepted from the command line only"
        )
    return sent
