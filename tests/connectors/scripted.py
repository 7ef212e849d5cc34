#!/usr/bin/env python3
"""A source that does what its config says: a small connector of our own, for tests.

It speaks the Airbyte protocol with the standard library alone and can be run as it is::

    scripted.py spec | check | discover | read --config FILE [--catalog FILE] [--state FILE]

Config (all optional):

``streams``
    ``{name: {schema, primary_key, cursor_field, records, namespace, supports_incremental, name}}``;
    ``name`` inside overrides the key, for two streams of one name in two namespaces.
``records_file``
    A JSON document ``{"streams": …}``, or JSON Lines of ``{"stream": name, "data": {…}}`` whose
    records are added to ``streams``; read anew at each run, so that a test changes the source
    between two syncs.
``api_key``, ``log_api_key``
    A secret, and whether to print it (in a LOG, on standard error, and in every error).
``state_every``, ``emit_state``, ``state_type``
    A STATE after so many records of a stream, and one at its end (unless ``emit_state`` is
    false); ``state_type`` is STREAM (default), GLOBAL or LEGACY.
``exclusive``
    Whether a read that goes on leaves out what stands at the state's cursor (default false).
``statuses``
    Whether stream statuses are said (default true). ``incomplete``: names that end INCOMPLETE.
``estimates``, ``control_config``
    Whether ESTIMATEs are said; a config to send back in a CONTROL message.
``sleep_per_record``, ``sleep_after: {records, seconds}``
    Delays.
``raw_lines``, ``raw_lines_after``
    Lines printed as they are, before the records (or after so many of them).
``raw_end``
    Text printed at the very end (also before a failure's exit), without a newline.
``stderr_bytes``
    So many bytes on standard error, before the records.
``fail_after``, ``exit_code``, ``trace_error``, ``hang_after``, ``kill_after``
    After so many records: say ``trace_error`` (an AirbyteErrorTraceMessage) if there is one and
    exit with ``exit_code`` (default 1); or print nothing any more; or SIGKILL oneself.
    ``trace_error`` or ``exit_code`` alone come into force after the last record.
``fail_once_marker``
    A path: the misbehaviour of the line above happens only while that file does not exist, and
    makes it.
``check_error``, ``check_fails``
    ``check`` says FAILED with this message; or says nothing and exits 1.
``spawn_child``
    Start a child that sleeps for long, and write its process id to this path.
``environment_file``
    Write argv, environment, the modes of the config file and of its directory to this path.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

SPEC = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Scripted",
    "type": "object",
    "additionalProperties": True,
    "properties": {
        "streams": {"type": "object"},
        "records_file": {"type": "string"},
        "api_key": {"type": "string", "airbyte_secret": True},
        "log_api_key": {"type": "boolean"},
        "state_every": {"type": "integer", "minimum": 1},
        "emit_state": {"type": "boolean"},
        "state_type": {"type": "string", "enum": ["STREAM", "GLOBAL", "LEGACY"]},
        "statuses": {"type": "boolean"},
        "fail_after": {"type": "integer"},
        "exit_code": {"type": "integer"},
        "hang_after": {"type": "integer"},
        "sleep_per_record": {"type": "number"},
    },
}


def say(message: dict) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


def log(level: str, text: str) -> None:
    say({"type": "LOG", "log": {"level": level, "message": text}})


def trace(kind: str, **body: object) -> None:
    now = time.time() * 1000
    say({"type": "TRACE", "trace": {"type": kind, "emitted_at": now, kind.lower(): body}})


def options(arguments: list[str]) -> dict[str, object]:
    found = {}
    for name, path in zip(arguments[::2], arguments[1::2], strict=True):
        found[name.removeprefix("--")] = json.loads(Path(path).read_text())
        found[name.removeprefix("--") + "_path"] = path
    return found


def streams_of(config: dict) -> dict[tuple[str, str | None], dict]:
    streams = dict(config.get("streams", {}))
    path = config.get("records_file")
    if path:
        text = Path(path).read_text()
        try:
            document = json.loads(text) if text.strip() else {}
        except json.JSONDecodeError:
            document = None
        if isinstance(document, dict) and ("streams" in document or not document):
            streams |= document.get("streams", {})
        else:
            for line in text.splitlines():
                if line.strip():
                    entry = json.loads(line)
                    stream = streams.setdefault(entry["stream"], {})
                    stream["records"] = [*stream.get("records", []), entry["data"]]
    return {
        (stream.get("name", name), stream.get("namespace")): stream
        for name, stream in streams.items()
    }


def schema_of(stream: dict) -> dict:
    if "schema" in stream:
        return stream["schema"]
    names = {name: {} for record in stream.get("records", []) for name in record}
    return {"type": "object", "properties": names}


def incremental(stream: dict) -> bool:
    return bool(stream.get("supports_incremental", bool(stream.get("cursor_field"))))


def discover(config: dict) -> None:
    found = []
    for (name, namespace), stream in streams_of(config).items():
        modes = ["full_refresh"] + (["incremental"] if incremental(stream) else [])
        entry = {
            "name": name,
            "json_schema": schema_of(stream),
            "supported_sync_modes": modes,
            "source_defined_cursor": bool(incremental(stream) and stream.get("cursor_field")),
            "default_cursor_field": stream.get("cursor_field", []),
            "source_defined_primary_key": stream.get("primary_key", []),
        }
        if namespace is not None:
            entry["namespace"] = namespace
        found.append(entry)
    say({"type": "CATALOG", "catalog": {"streams": found}})


class Misbehaviour:
    """Counts records and does at the set one what the config says."""

    def __init__(self, config: dict) -> None:
        self.config = config
        self.count = 0
        marker = config.get("fail_once_marker")
        self.armed = marker is None or not Path(marker).exists()

    def fire(self) -> None:
        marker = self.config.get("fail_once_marker")
        if marker is not None:
            Path(marker).touch()

    def fail(self) -> None:
        self.fire()
        error = self.config.get("trace_error")
        if error is not None:
            error = dict(error)
            if self.config.get("log_api_key"):
                error["message"] = f"{error.get('message', '')} {self.config.get('api_key')}"
            trace("ERROR", **error)
        elif self.config.get("log_api_key"):
            sys.stderr.write(f"fatal: refused with {self.config.get('api_key')}\n")
        sys.stdout.write(self.config.get("raw_end", ""))
        sys.stdout.flush()
        raise SystemExit(self.config.get("exit_code", 1))

    def before_record(self) -> None:
        config = self.config
        if config.get("raw_lines_after") == self.count:
            self.raw()
        if self.armed and config.get("hang_after") == self.count:
            self.fire()
            sys.stdout.flush()
            while True:
                signal.pause()
        if self.armed and config.get("kill_after") == self.count:
            self.fire()
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.armed and config.get("fail_after") == self.count:
            self.fail()
        rest = config.get("sleep_after") or {}
        if rest and rest.get("records") == self.count:
            sys.stdout.flush()
            time.sleep(rest["seconds"])
        if config.get("sleep_per_record"):
            sys.stdout.flush()
            time.sleep(config["sleep_per_record"])

    def raw(self) -> None:
        for line in self.config.get("raw_lines", []):
            sys.stdout.flush()
            sys.stdout.buffer.write(line.encode(errors="surrogatepass") + b"\n")
            sys.stdout.buffer.flush()

    def at_end(self) -> None:
        config = self.config
        self.before_record()
        if (
            self.armed
            and "fail_after" not in config
            and ("trace_error" in config or "exit_code" in config)
        ):
            self.fail()


def states_in(given: object) -> dict[tuple[str, str | None], dict]:
    """Cursor states by stream from any of the three kinds of state file."""
    if isinstance(given, dict):  # LEGACY
        return {(name, None): state for name, state in given.items()}
    found = {}
    for message in given or []:
        if message.get("type") == "GLOBAL":
            entries = message["global"]["stream_states"]
        elif message.get("type") == "LEGACY":
            return states_in(message["data"])
        else:
            entries = [message["stream"]]
        for entry in entries:
            descriptor = entry["stream_descriptor"]
            key = (descriptor["name"], descriptor.get("namespace"))
            found[key] = entry.get("stream_state") or {}
    return found


def descriptor_of(key: tuple[str, str | None]) -> dict:
    name, namespace = key
    return {"name": name} | ({} if namespace is None else {"namespace": namespace})


def say_state(config: dict, states: dict, key: tuple[str, str | None], count: int) -> None:
    if not config.get("emit_state", True):
        return
    kind = config.get("state_type", "STREAM")
    state: dict = {"type": kind, "sourceStats": {"recordCount": float(count)}}

    def entry(one: tuple[str, str | None]) -> dict:
        return {"stream_descriptor": descriptor_of(one), "stream_state": states[one]}

    if kind == "STREAM":
        state["stream"] = entry(key)
    elif kind == "GLOBAL":
        total = sum(1 for _ in states)
        state["global"] = {
            "shared_state": {"streams": total},
            "stream_states": [entry(one) for one in states],
        }
    else:
        state["data"] = {name: value for (name, _), value in states.items()}
    say({"type": "STATE", "state": state})


def read_stream(
    config: dict,
    key: tuple[str, str | None],
    stream: dict,
    configured: dict,
    states: dict,
    misbehaviour: Misbehaviour,
) -> None:
    name, namespace = key
    records = list(stream.get("records", []))
    cursor = (configured.get("cursor_field") or stream.get("cursor_field") or [None])[0]
    by_cursor = configured["sync_mode"] == "incremental" and cursor is not None
    if by_cursor:
        records.sort(key=lambda record: record[cursor])
        since = states.get(key, {}).get("cursor")
        if since is not None:
            exclusive = config.get("exclusive", False)
            records = [
                record
                for record in records
                if record[cursor] > since or (record[cursor] == since and not exclusive)
            ]
    if config.get("statuses", True):
        trace("STREAM_STATUS", stream_descriptor=descriptor_of(key), status="STARTED")
        trace("STREAM_STATUS", stream_descriptor=descriptor_of(key), status="RUNNING")
    if config.get("estimates"):
        trace("ESTIMATE", name=name, namespace=namespace, type="STREAM", row_estimate=len(records))
    since_state = 0
    states.setdefault(key, {})
    for record in records:
        misbehaviour.before_record()
        body = {"stream": name, "data": record, "emitted_at": time.time_ns() // 1_000_000}
        if namespace is not None:
            body["namespace"] = namespace
        say({"type": "RECORD", "record": body})
        misbehaviour.count += 1
        since_state += 1
        if by_cursor:
            states[key] = {"cursor": record[cursor]}
        if by_cursor and config.get("state_every") and since_state >= config["state_every"]:
            say_state(config, states, key, since_state)
            sys.stdout.flush()
            since_state = 0
    if by_cursor:
        say_state(config, states, key, since_state)
    if config.get("statuses", True):
        ending = "INCOMPLETE" if name in config.get("incomplete", []) else "COMPLETE"
        trace("STREAM_STATUS", stream_descriptor=descriptor_of(key), status=ending)
    sys.stdout.flush()


def read(config: dict, catalog: dict, state: object) -> None:
    misbehaviour = Misbehaviour(config)
    if "raw_lines_after" not in config:
        misbehaviour.raw()
    if config.get("stderr_bytes"):
        line = "x" * 99 + "\n"
        for _ in range(config["stderr_bytes"] // 100):
            sys.stderr.write(line)
    if config.get("control_config"):
        body = {"type": "CONNECTOR_CONFIG", "emitted_at": time.time() * 1000}
        body["connectorConfig"] = {"config": config["control_config"]}
        say({"type": "CONTROL", "control": body})
    streams = streams_of(config)
    states = states_in(state)
    for configured in catalog["streams"]:
        wanted = configured["stream"]
        key = (wanted["name"], wanted.get("namespace"))
        if key not in streams:
            descriptor = descriptor_of(key)
            trace(
                "ERROR",
                message=f"no stream {key[0]}",
                failure_type="config_error",
                stream_descriptor=descriptor,
            )
            raise SystemExit(1)
        read_stream(config, key, streams[key], configured, states, misbehaviour)
    misbehaviour.at_end()
    if config.get("raw_end"):
        sys.stdout.write(config["raw_end"])
    sys.stdout.flush()


def tell_environment(config: dict, config_path: str) -> None:
    path = Path(config_path)
    told = {
        "argv": sys.argv,
        "environ": dict(os.environ),
        "cwd": str(Path.cwd()),
        "config_mode": stat.S_IMODE(path.stat().st_mode),
        "directory_mode": stat.S_IMODE(path.parent.stat().st_mode),
        "directory": str(path.parent),
    }
    Path(config["environment_file"]).write_text(json.dumps(told))


def main(verb: str, arguments: list[str]) -> None:
    if verb == "spec":
        return say({"type": "SPEC", "spec": {"connectionSpecification": SPEC}})
    given = options(arguments)
    config = given["config"]
    if config.get("environment_file"):
        tell_environment(config, given["config_path"])
    if config.get("spawn_child"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(config["spawn_child"]).write_text(str(child.pid))
    if config.get("log_api_key"):
        log("INFO", f"using key {config.get('api_key')}")
        sys.stderr.write(f"stderr has {config.get('api_key')} too\n")
    if verb == "check":
        if config.get("check_fails"):
            raise SystemExit("no idea")
        error = config.get("check_error")
        if error is not None and config.get("log_api_key"):
            error = f"{error} {config.get('api_key')}"
        status = (
            {"status": "SUCCEEDED"} if error is None else {"status": "FAILED", "message": error}
        )
        return say({"type": "CONNECTION_STATUS", "connectionStatus": status})
    if verb == "discover":
        return discover(config)
    if verb == "read":
        return read(config, given["catalog"], given.get("state"))
    raise SystemExit(f"unknown command {verb}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
