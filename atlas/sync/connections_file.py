"""Reading a connections file: strict, with one clear line for whatever is wrong in it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from croniter import croniter

from atlas.errors import UsageError
from atlas.ledger.schedules import interval, next_due
from atlas.model.checks import OnFailure
from atlas.model.connection import Connection, selection
from atlas.model.stream import StreamSelection, SyncMode
from atlas.quality import own

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


def read(path: Path) -> list[Connection]:
    """The connections that the file declares.

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


def parse(text: str, *, base: Path) -> list[Connection]:
    """The connections of a file's text; paths in it are relative to ``base``.

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
    top = _mapping(document, "the file", {"connections"})
    items = top.get("connections")
    if not isinstance(items, list):
        raise UsageError("connections: must be a list of connections")
    result = [_connection(item, number, base) for number, item in enumerate(items, 1)]
    names = [connection.name for connection in result]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"connection {name}: the name is used twice; names are unique")
    return result


def _connection(item: Any, number: int, base: Path) -> Connection:
    known = {"name", "connector", "executable", "config", "streams", "schedule", "pii", "quality"}
    where = f"connection {number}"
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        where = f"connection {item['name']}"
    entry = _mapping(item, where, known)
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{where}: name must be a lower-case letter, then up to 39 letters, digits or _"
        )
    connector, executable = entry.get("connector"), entry.get("executable")
    if (connector is None) == (executable is None):
        raise UsageError(f"{where}: give either connector or executable")
    source = connector if executable is None else executable
    if not isinstance(source, str):
        raise UsageError(f"{where}: connector and executable are text")
    quality = _mapping(entry.get("quality") or {}, f"{where}: quality", {"on_failure", "checks"})
    streams = _streams(entry.get("streams"), where)
    return Connection(
        name=name,
        connector=connector,
        executable=None if executable is None else str((base / executable).resolve()),
        config=_config(entry.get("config"), where),
        streams=streams,
        schedule=_schedule(entry.get("schedule"), where),
        pii=_pii(entry.get("pii"), where),
        on_failure=_on_failure(quality.get("on_failure"), where),
        checks=_checks(quality.get("checks"), where, base, streams),
    )


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
        entry = dict(_mapping(chosen or {}, here, {"sync_mode", "cursor_field", "primary_key"}))
        if "sync_mode" in entry and entry["sync_mode"] not in list(SyncMode):
            raise UsageError(f"{here}: sync_mode must be full_refresh or incremental")
        if "cursor_field" in entry:
            entry["cursor_field"] = _path(entry["cursor_field"], f"{here}: cursor_field")
        if "primary_key" in entry:
            key = entry["primary_key"]
            if not isinstance(key, list) or not key:
                raise UsageError(f"{here}: primary_key must be a list such as [[id]]")
            entry["primary_key"] = [_path(part, f"{here}: primary_key") for part in key]
        result[str(name)] = selection(entry)
    return result


def _path(value: Any, where: str) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        raise UsageError(f"{where} must be a list of names such as [updated_at]")
    return value


def _schedule(value: Any, where: str) -> dict[str, Any] | None:
    if value is None:
        return None
    here = f"{where}: schedule"
    entry = _mapping(value, here, {"cron", "every", "timezone"})
    if ("cron" in entry) == ("every" in entry):
        raise UsageError(f'{here}: give either cron ("*/15 * * * *") or every (10m)')
    if "every" in entry:
        if "timezone" in entry:
            raise UsageError(f"{here}: a timezone belongs to cron, not to every")
        try:
            interval(str(entry["every"]))
        except ValueError as error:
            raise UsageError(f"{here}: every {error}") from error
        return {"every": str(entry["every"])}
    timezone = str(entry.get("timezone", "UTC"))
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"{here}: unknown timezone {timezone!r}: write one such as Europe/Copenhagen"
        ) from error
    if len(str(entry["cron"]).split()) != 5 or not croniter.is_valid(str(entry["cron"])):
        raise UsageError(f"{here}: {entry['cron']!r} is no cron expression of five fields")
    schedule = {"cron": str(entry["cron"]), "timezone": timezone}
    try:
        next_due(schedule, datetime.now(UTC))
    except ValueError as error:
        raise UsageError(f"{here}: {entry['cron']!r} is never due") from error
    return schedule


def _pii(value: Any, where: str) -> dict[str, Any]:
    from atlas.pii.policy import parse as parse_policy

    try:
        parse_policy(value)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    return dict(value or {})


def _on_failure(value: Any, where: str) -> OnFailure:
    if value is None:
        return OnFailure.QUARANTINE
    if value not in list(OnFailure):
        raise UsageError(f"{where}: quality.on_failure must be block, quarantine or warn")
    return OnFailure(value)


def _checks(
    value: Any, where: str, base: Path, streams: dict[str, StreamSelection] | None
) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"{where}: quality.checks must be the path of a SodaCL file")
    try:
        text = (base / value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: quality.checks: cannot read {value}") from error
    try:
        own.validate(text, streams)
    except UsageError as error:
        raise UsageError(f"{where}: {value}: {error}") from error
    return text


def _mapping(value: Any, where: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a mapping with {', '.join(sorted(known))}")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise UsageError(f"{where}: unknown key {key!r}: {hint}")
    return value
