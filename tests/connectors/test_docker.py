"""Connectors in images: what the engine is told, and that its container does not outlive Atlas.

No engine runs where the tests do: a program named ``docker`` stands in for the client, and runs the
scripted connector as its container.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from atlas.connectors import docker, install, runner, workspace
from atlas.connectors.reader import Reader
from atlas.errors import TerminalError, TransientError
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings
from tests.connectors.conftest import SCRIPTED

_ENGINE = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
log = Path({{log!r}})
with log.open("a") as file:
    file.write(json.dumps({{{{"argv": sys.argv[1:], "environ": dict(os.environ)}}}}) + "\\n")
if sys.argv[1] == "image":
    sys.exit(log.with_name("pulled").read_text() != sys.argv[-1])
if sys.argv[1] == "pull":
    if sys.argv[-1].endswith(":0"):
        sys.exit("no such image")
    log.with_name("pulled").write_text(sys.argv[-1])
if sys.argv[1] in ("version", "pull"):
    sys.exit(0)
if sys.argv[1] == "run":
    image = next(i for i, word in enumerate(sys.argv) if word.startswith("airbyte/"))
    os.execv({str(SCRIPTED)!r}, [{str(SCRIPTED)!r}, *sys.argv[image + 1 :]])
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client that logs what it is told."""
    log = tmp_path / "docker.log"
    log.with_name("pulled").write_text("")
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(_ENGINE.format(log=str(log)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def _calls(log: Path, verb: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [call for call in found if call["argv"][0] == verb]


def _until(true: Any) -> Any:
    deadline = time.monotonic() + 120
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_an_image_is_read_like_any_connector(settings: Settings, engine: Path) -> None:
    connector = install.resolve("source-mysql", None, settings, version="3.1")
    config = {"api_key": "very secret", "streams": {"a": {"records": [{"id": 1}]}}}
    spec = runner.spec(connector, settings)
    assert "api_key" in spec["properties"]
    assert runner.kept_spec(connector, settings) == spec
    runner.check(connector, config, settings, spec=spec)
    (stream,) = runner.discover(connector, config, settings, spec=spec)
    wanted = ConfiguredStream(StreamKey("a"), stream.json_schema, SyncMode.FULL_REFRESH)
    with Reader(connector, config, [wanted], [], settings, spec=spec) as reader:
        rows = [json.loads(row) for part in reader for row in getattr(part, "data", [])]
    assert rows == [{"id": 1}]
    names = set()
    for call in _calls(engine, "run"):
        line = shlex.join(call["argv"])
        assert "airbyte/source-mysql:3.1" in line
        assert f"--user {os.getuid()}:{os.getgid()}" in line
        assert "very secret" not in json.dumps(call)
        directory = call["argv"][call["argv"].index("--volume") + 1].partition(":")[0]
        assert Path(directory).parent == settings.home / "tmp"
        assert not Path(directory).exists()
        names.add(call["argv"][call["argv"].index("--name") + 1])
    assert len(names) == 4


def test_the_engine_that_answered_is_the_one_that_runs_it(
    settings: Settings, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certificates")
    runner.spec(install.resolve("source-mysql", None, settings), settings)
    for verb in ("version", "run"):
        (call,) = _calls(engine, verb)
        assert call["environ"]["DOCKER_HOST"] == "tcp://engine.example:2376"
        assert call["environ"]["DOCKER_CERT_PATH"] == "/certificates"
    # Whoever runs here, not in a container, is told nothing of it.
    assert "DOCKER_HOST" not in workspace.environment(settings.home)


def test_a_container_ends_with_its_client(settings: Settings, engine: Path) -> None:
    connector = install.resolve("source-mysql", None, settings)
    config = {"hang_after": 0, "streams": {"a": {"records": [{"id": 1}]}}}
    wanted = ConfiguredStream(StreamKey("a"), {"type": "object"}, SyncMode.FULL_REFRESH)
    with Reader(connector, config, [wanted], [], settings) as reader:
        call = _until(lambda: [c for c in _calls(engine, "run") if "read" in c["argv"]])[0]
        os.killpg(reader.pid, signal.SIGKILL)
        name = call["argv"][call["argv"].index("--name") + 1]
        _until(lambda: [c for c in _calls(engine, "rm") if c["argv"] == ["rm", "--force", name]])


def test_an_image_is_pulled_once_and_before_the_connector_is_timed(
    settings: Settings, engine: Path
) -> None:
    for _ in range(2):
        connector = install.resolve("source-mysql", None, settings, version="3.1")
    (pulled,) = _calls(engine, "pull")
    assert pulled["argv"] == ["pull", "--quiet", "airbyte/source-mysql:3.1"]
    runner.spec(connector, settings)
    with pytest.raises(TransientError, match=r"try `docker pull airbyte/source-mysql:0`"):
        install.resolve("source-mysql", None, settings, version="0")


def test_without_an_engine(settings: Settings, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TerminalError, match=r"needs a Docker engine .*: install Docker there"):
        install.resolve("source-mysql", None, settings)
    dead = tmp_path / "docker"
    dead.write_text("#!/bin/sh\nexit 1\n")
    dead.chmod(0o755)
    with pytest.raises(TerminalError, match="none answers: start it there, or set DOCKER_HOST"):
        install.resolve("source-mysql", None, settings)


def test_what_the_engine_is_told() -> None:
    line = docker.run_arguments("airbyte/x:1", "atlas-1", Path("/home/tmp/1"), ["spec"])
    assert line[:2] == ["docker", "run"]
    assert line[-2:] == ["airbyte/x:1", "spec"]
    assert "/home/tmp/1:/home/tmp/1" in line
    assert "--rm" in line
