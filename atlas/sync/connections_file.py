"""Reading a connections file: strict, with one clear line for whatever is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from atlas.errors import UsageError
from atlas.model.connection import Connection, selection
from atlas.model.evolution import SchemaPolicy
from atlas.model.stream import StreamSelection, SyncMode
from atlas.sync.entries import mapping
from atlas.sync.quality_block import quality, valid_for
from atlas.sync.schedules import block as schedule

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class _Loader(yaml.SafeLoader):
    """YAML as JSON has it: a key twice is an error, not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            value = self.construct_object(key, deep=True)
            if value in seen:
                raise UsageError(
                    f"line {key.start_mark.line + 1}: key {value!r} stands there twice"
                )
            seen.add(value)
        return super().construct_mapping(node, deep)


# Dates stay as written: a config says "2024-01-01" to its connector, not a Python object.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class File:
    """What a connections file declares. ``policies``: ``entities`` and ``columns`` by name."""

    connections: list[Connection]
    policies: dict[str, dict[str, Any]]


def read(path: Path) -> File:
    """What the file declares.

    Raises:
        UsageError: the file cannot be read, or something in it is wrong; nothing was done.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"cannot read {path}: {reason}") from error
    try:
        return parse(text, base=path.absolute().parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error.__cause__


def parse(text: str, *, base: Path) -> File:
    """What a file's text declares; paths in it are relative to ``base``.

    Raises:
        UsageError: something in it is wrong.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, made stricter
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise UsageError(f"{line}not YAML: {problem}") from error
    top = mapping(document, "the file", {"connections", "policies"})
    policies = _policies(top.get("policies", {}))
    items = top.get("connections", [] if policies else None)
    if not isinstance(items, list):
        raise UsageError("connections: must be a list of connections")
    result = [_connection(item, number, base) for number, item in enumerate(items, 1)]
    names = [connection.name for connection in result]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"connection {name}: the name is used twice; names are unique")
    return File(result, policies)


def read_config(path: Path) -> dict[str, Any]:
    """The configuration of one connector, in a file of YAML or JSON: read as it is in a
    connections file.

    Raises:
        UsageError: the file cannot be read, or something in it is wrong; its content is not told.
    """
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader, made stricter
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"cannot read {path}: {reason}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"{path} is neither YAML nor JSON{where}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    if found is None:
        raise UsageError(f"{path} is empty; write {{}} for a configuration of nothing")
    return _config(found, str(path))


def from_document(document: Mapping[str, Any]) -> Connection:
    """The connection that came as a document, not in a file: nothing in it is a path.

    Shape: as in a file, without ``executable``, and with the SodaCL itself as ``quality.checks``.

    Raises:
        UsageError: something in it is wrong.
    """
    return _connection(dict(document), 1, None)


def changed(before: Connection, changes: Mapping[str, Any]) -> Connection:
    """``before`` with other values for what ``changes`` names, of a shape as
    :func:`from_document`'s; all else stays as it is.

    Raises:
        UsageError: something in it is wrong.
    """
    where = f"connection {before.name}"
    values: dict[str, Any] = {}
    if "connector" in changes:
        values |= {"connector": changes["connector"], "executable": None, "version": None}
    if "version" in changes:
        connector = changes.get("connector", before.connector)
        values["version"] = _version(changes["version"], where, connector)
    if "config" in changes:
        values["config"] = _config(changes["config"], where)
    if "streams" in changes:
        values["streams"] = _streams(changes["streams"], where)
    if "schedule" in changes:
        values["schedule"] = schedule(changes["schedule"], where)
    if "pii" in changes:
        values["pii"] = pii(changes["pii"], where)
    if "schema_changes" in changes:
        values["schema_changes"] = _schema_changes(changes["schema_changes"], where)
    if "quality" in changes:
        values["quality"] = quality(changes["quality"], where, None, None)
    made = replace(before, **values)
    valid_for(made.quality, where, made.streams)
    return made


def _connection(item: Any, number: int, base: Path | None) -> Connection:
    known = {
        *("name", "connector", "version", "executable", "manifest", "config"),
        *("streams", "schedule", "schema_changes", "pii", "quality"),
    }
    where = f"connection {number}"
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        where = f"connection {item['name']}"
    entry = mapping(item, where, known)
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: name must be a lower-case letter, then up to 39 letters, digits or _"
        )
    connector, executable = _source(entry, where, base)
    streams = _streams(entry.get("streams"), where)
    return Connection(
        name=name,
        connector=connector,
        executable=executable,
        config=_config(entry.get("config"), where),
        streams=streams,
        schedule=schedule(entry.get("schedule"), where),
        pii=pii(entry.get("pii"), where),
        quality=quality(entry.get("quality"), where, base, streams),
        version=_version(entry.get("version"), where, connector),
        schema_changes=_schema_changes(entry.get("schema_changes"), where),
    )


def _source(entry: dict[str, Any], where: str, base: Path | None) -> tuple[str | None, str | None]:
    """Connector and executable; a manifest is an executable, as it is run like one."""
    given = [
        word for word in ("connector", "executable", "manifest") if entry.get(word) is not None
    ]
    if len(given) != 1:
        raise UsageError(f"{where}: give either connector, executable or manifest")
    (word,) = given
    value = entry[word]
    if not isinstance(value, str):
        raise UsageError(f"{where}: {word} must be text")
    if word == "connector":
        return value, None
    if base is None:
        raise UsageError(f"{where}: {word} is accepted from the command line only")
    is_manifest = Path(value).suffix in (".yaml", ".yml")
    if is_manifest != (word == "manifest"):
        raise UsageError(
            f"{where}: {value} is "
            + (
                "a manifest: write manifest"
                if is_manifest
                else "no manifest: its name ends in .yaml"
            )
        )
    return None, str((base / value).resolve())


def _version(value: Any, where: str, connector: str | None) -> str | None:
    if value is None:
        return None
    if connector is None:
        raise UsageError(f"{where}: version belongs to connector")
    if not isinstance(value, str):
        raise UsageError(f'{where}: version must be text such as "7.2.1"')
    return value


def _config(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{where}: config must be a mapping of the connector's options")
    return value


def _streams(value: Any, where: str) -> dict[str, StreamSelection] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = dict.fromkeys(value)
    if not isinstance(value, dict) or not value:
        raise UsageError(f"{where}: streams must name at least one stream, or be left out for all")
    result = {}
    for name, chosen in value.items():
        here = f"{where}: stream {name}"
        entry = dict(mapping(chosen or {}, here, _OF_A_STREAM))
        if "sync_mode" in entry and entry["sync_mode"] not in list(SyncMode):
            raise UsageError(f"{here}: sync_mode must be full_refresh or incremental")
        if "cursor_field" in entry:
            entry["cursor_field"] = _path(entry["cursor_field"], f"{here}: cursor_field")
        if "primary_key" in entry:
            key = entry["primary_key"]
            if not isinstance(key, list) or not key:
                raise UsageError(f"{here}: primary_key must be a list such as [[id]]")
            entry["primary_key"] = [_path(part, f"{here}: primary_key") for part in key]
        if "columns" in entry and "exclude" in entry:
            raise UsageError(f"{here}: give either columns or exclude")
        for word in ("columns", "exclude"):
            if word in entry:
                entry[word] = _path(entry[word], f"{here}: {word}")
        result[str(name)] = selection(entry)
    return result


_OF_A_STREAM = {"sync_mode", "cursor_field", "primary_key", "columns", "exclude"}


def _schema_changes(value: Any, where: str) -> SchemaPolicy:
    if value is None:
        return SchemaPolicy.EVOLVE
    if value not in list(SchemaPolicy):
        raise UsageError(f"{where}: schema_changes must be evolve, freeze or fail")
    return SchemaPolicy(value)


def _path(value: Any, where: str) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        raise UsageError(f"{where} must be a list of names such as [updated_at]")
    return value


def _policies(value: Any) -> dict[str, dict[str, Any]]:
    from atlas.pii.policy import named

    if not isinstance(value, dict):
        raise UsageError("policies: must be a mapping of names to policies")
    for name, document in value.items():
        named(str(name), document)
    return {str(name): dict(document or {}) for name, document in value.items()}


def pii(value: Any, where: str) -> dict[str, Any]:
    """A connection's block ``pii``. Whether there is the policy that it names is for the ledger to
    say.

    Raises:
        UsageError: something in it is wrong.
    """
    from atlas.pii.policy import asked

    try:
        asked(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return dict(value or {})
