"""source-files: CSV, JSON Lines and Parquet files that the worker can read.

A stream is a set of files. It is read incrementally by the files' modification times: its state
says which files were read and how old they were then; a file that is new or was changed is read,
whole. A file that changes while it is read is read again.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atlas.connectors.sources import formats, speak
from atlas.connectors.sources.endings import KINDS, stem
from atlas.connectors.sources.formats import Options
from atlas.connectors.sources.parquet_rows import TEXT
from atlas.connectors.sources.speak import Selected, SourceError

PATH, ROW, MODIFIED = "_ab_source_file_url", "_ab_source_file_row", "_ab_source_file_last_modified"
_OURS: dict[str, dict[str, Any]] = {
    PATH: {"type": ["null", "string"]},
    ROW: {"type": ["null", "integer"]},
    MODIFIED: {
        "type": ["null", "string"],
        "format": "date-time",
        "airbyte_type": "timestamp_with_timezone",
    },
}
_REMEMBERED = 10_000
"""Files whose times a state holds; those that are older than all of them count as read."""
_STATE_ROWS = 10_000
_STATE_SHARE = 20
"""A state is said after so many rows, or when a twentieth of the files is new to it."""
_SAMPLED = 100
"""Files of a stream whose first rows say what its columns are."""

_ONE: dict[str, Any] = {
    "format": {
        "type": "string",
        "enum": ["csv", "jsonl", "parquet"],
        "title": "Format",
        "description": "Left out: by the ending of the file's name.",
    },
    "delimiter": {
        "type": "string",
        "minLength": 1,
        "maxLength": 1,
        "title": "Delimiter",
        "description": "Of CSV. Left out: found out.",
    },
    "quote": {"type": "string", "minLength": 1, "maxLength": 1, "default": '"'},
    "header": {
        "type": "boolean",
        "default": True,
        "description": "Whether the first line of a CSV file names the columns.",
    },
    "encoding": {
        "type": "string",
        "default": "utf-8",
        "description": "Of texts: utf-8, latin-1, utf-16 and so on.",
    },
    "null_values": {
        "type": "array",
        "items": {"type": "string"},
        "default": [""],
        "description": "Texts of a CSV file that stand for no value.",
    },
}

SPEC: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Files",
    "type": "object",
    "required": ["path"],
    "additionalProperties": False,
    "properties": {
        "path": {
            "type": "string",
            "title": "Path",
            "description": "A directory, or one file: absolute, as the worker sees it.",
        },
        "streams": {
            "type": "array",
            "title": "Streams",
            "description": "Left out: one a file, named as the file is without its ending.",
            "items": {
                "type": "object",
                "required": ["name", "glob"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "glob": {
                        "type": "string",
                        "minLength": 1,
                        "description": "Below path, such as orders/**/*.csv.",
                    },
                    **_ONE,
                },
            },
        },
        **_ONE,
    },
}


@dataclass(frozen=True, slots=True)
class Found:
    """A file: where it is, how it is called below the path, when it was changed."""

    path: Path
    name: str
    modified: int

    @property
    def time(self) -> str:
        """When it was changed, with all the digits there are."""
        seconds, rest = divmod(self.modified, 1_000_000_000)
        whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{whole}.{rest:09d}Z"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the config: its files in the order of their changes, and how they are read."""

    name: str
    files: tuple[Found, ...]
    options: Options


class Files(speak.Source):
    """The source."""

    spec = SPEC

    def check(self, config: dict[str, Any]) -> None:
        """See that there are files, and that the first one of some stream can be read."""
        broken: list[SourceError | None] = []
        for stream in _streams(config):
            if not stream.files:
                raise SourceError(f"stream {stream.name}: no file is there")
            _, error = formats.infer(stream.files[0].path, stream.options)
            broken.append(error)
        # One that cannot be read holds back no other: read says what it lacks.
        if broken[0] is not None and all(broken):
            raise broken[0]

    def discover(self, config: dict[str, Any]) -> list[dict[str, Any]]:
        """The streams, with columns and types as the first rows of their files show them."""
        return [
            {
                "name": stream.name,
                "json_schema": {"type": "object", "properties": _properties(stream)},
                "supported_sync_modes": ["full_refresh", "incremental"],
                "source_defined_cursor": True,
                "default_cursor_field": [MODIFIED],
            }
            for stream in _streams(config)
        ]

    def read(
        self,
        config: dict[str, Any],
        streams: Sequence[Selected],
        states: dict[tuple[str, str | None], dict[str, Any]],
    ) -> None:
        """Read stream by stream; one whose files cannot be read holds back no other."""
        known = {stream.name: stream for stream in _streams(config)}
        for selected in streams:
            speak.status(selected, "STARTED")
            speak.status(selected, "RUNNING")
            try:
                seen = states.get((selected.name, selected.namespace), {})
                history = _History(seen if selected.incremental else {})
                _read(known.get(selected.name), selected, history)
            except SourceError as error:
                speak.failure(error, selected)
                speak.status(selected, "INCOMPLETE")
            else:
                speak.status(selected, "COMPLETE")


class _History:
    """Which files were read, and when those had been changed."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._files: dict[str, str] = dict(state.get("files") or {})
        self._before: str = str(state.get("before") or "")

    def has(self, file: Found) -> bool:
        """Whether the file was read as it is now."""
        known = self._files.get(file.name)
        return file.time <= self._before if known is None else known == file.time

    def add(self, file: Found) -> None:
        """Remember that it was read, and forget the oldest if there are too many."""
        self._files[file.name] = file.time
        while len(self._files) > _REMEMBERED:
            oldest = min(self._files, key=lambda name: self._files[name])
            self._before = max(self._before, self._files.pop(oldest))

    def __len__(self) -> int:
        return len(self._files)

    def state(self) -> dict[str, Any]:
        """As a state holds it."""
        return {"files": self._files, **({"before": self._before} if self._before else {})}


def _read(stream: Stream | None, selected: Selected, history: _History) -> None:
    if stream is None:
        raise SourceError(f"stream {selected.name}: no file is there any more")
    if not stream.files and not history:
        # Complete, a full refresh would remove every row; a mount that is not there looks just so.
        raise SourceError(
            f"stream {selected.name}: no file is there; to have its rows removed, put one without "
            "rows in their place"
        )
    out = sys.stdout.buffer
    head = f'{{"type":"RECORD","record":{{"stream":{json.dumps(selected.name)},'
    if selected.namespace:
        head += f'"namespace":{json.dumps(selected.namespace)},'
    count = files = 0
    for file in stream.files:
        if history.has(file):
            continue
        extra = [
            f"{json.dumps(name)}:{json.dumps(value)}"
            for name, value in ((PATH, file.name), (MODIFIED, file.time))
            if name in selected.properties
        ]
        numbered = ROW in selected.properties
        for number, row in formats.rows(file.path, stream.options, selected.properties):
            parts = [row] if row else []
            parts += extra
            if numbered:
                parts.append(f'"{ROW}":{number}')
            line = f'{head}"emitted_at":{speak.now()},"data":{{{",".join(parts)}}}}}}}\n'
            out.write(line.encode())
            count += 1
        history.add(file)
        files += 1
        # A state names every file. One a file would make of many files many times as much state.
        if count >= _STATE_ROWS or files * _STATE_SHARE >= len(history):
            speak.state(selected, history.state(), count)
            count = files = 0
    speak.state(selected, history.state(), count)


def _properties(stream: Stream) -> dict[str, Any]:
    found: dict[str, formats.Schema] = {}
    for file in stream.files[-_SAMPLED:]:
        for name, schema in formats.infer(file.path, stream.options)[0].items():
            found[name] = formats.merged(found.get(name), schema)
    # Where no value is anywhere, text holds whatever comes.
    return {name: TEXT if said is None else said for name, said in found.items()} | _OURS


def _streams(config: dict[str, Any]) -> list[Stream]:
    root = Path(str(config.get("path", "")))
    if not root.is_absolute():
        raise SourceError(f"path {root} must be absolute: it is read where the worker runs")
    if not root.exists():
        raise SourceError(f"path {root} is not there, as the worker sees it")
    options = _options(config, Options())
    listed = config.get("streams")
    if listed:
        names = [str(item["name"]) for item in listed]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise SourceError(f"stream {min(twice)} is there twice; rename one of them")
        return [_listed(root, item, options) for item in listed]
    if root.is_file():
        return [Stream(stem(root.name), tuple(_found(root.parent, [root])), options)]
    by_name: dict[str, list[Path]] = {}
    for path in sorted(root.iterdir()):
        if path.is_file() and formats.kind_of(path, options):
            by_name.setdefault(stem(path.name), []).append(path)
    if not by_name:
        raise SourceError(f"path {root} holds no file that ends in {', '.join(KINDS)}")
    return [Stream(name, tuple(_found(root, paths)), options) for name, paths in by_name.items()]


def _listed(root: Path, item: dict[str, Any], options: Options) -> Stream:
    glob = str(item["glob"])
    if Path(glob).is_absolute() or ".." in Path(glob).parts:
        raise SourceError(f"stream {item['name']}: glob {glob} must stay below path")
    if root.is_file():
        raise SourceError("path must be a directory where streams are listed")
    paths = [path for path in root.glob(glob) if path.is_file()]
    mine = _options(item, options)
    strange = [path.name for path in paths if formats.kind_of(path, mine) is None]
    if strange:
        raise SourceError(f"stream {item['name']}: set format: {min(strange)} does not tell it")
    return Stream(str(item["name"]), tuple(_found(root, paths)), mine)


def _found(root: Path, paths: list[Path]) -> Iterator[Found]:
    found = [
        Found(path, path.relative_to(root).as_posix(), path.stat().st_mtime_ns) for path in paths
    ]
    yield from sorted(found, key=lambda file: (file.modified, file.name))


def _options(given: dict[str, Any], base: Options) -> Options:
    encoding = str(given.get("encoding", base.encoding))
    try:
        # Beside encodings of text Python has others, such as hex.
        "".encode(encoding)
    except (LookupError, ValueError) as error:
        raise SourceError(f"encoding {encoding} is none that Python knows") from error
    return Options(
        format=given.get("format", base.format),
        delimiter=given.get("delimiter", base.delimiter),
        quote=given.get("quote", base.quote),
        header=given.get("header", base.header),
        # A byte order mark is no part of the first column's name.
        encoding="utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding,
        null_values=tuple(given.get("null_values", base.null_values)),
    )


if __name__ == "__main__":
    sys.exit(speak.run(Files(), sys.argv[1:]))
