"""What ``atlas doctor`` sees of a host: each thing is broken, and seen."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from atlas.connectors import workspace
from atlas.settings import Settings
from atlas.sync import doctor_host
from atlas.sync.findings import Finding, State


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return dataclasses.replace(Settings(), home=tmp_path / "home")


@pytest.fixture(autouse=True)
def home(settings: Settings) -> Path:
    settings.home.mkdir(mode=0o700)
    return settings.home


def _unwell(settings: Settings) -> dict[str, Finding]:
    found = list(doctor_host.examine(settings))
    assert all((each.remedy is None) == (each.state is State.OK) for each in found)
    return {each.what: each for each in found if each.state is not State.OK}


def test_a_host_that_is_well(settings: Settings) -> None:
    assert _unwell(settings) == {}


def test_a_library_that_is_not_the_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "click-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: click\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = _unwell(settings)["packages"]
    assert found.state is State.FAIL
    assert found.seen.startswith("click is 1.0, not >=")


def test_a_model_that_is_not_there(settings: Settings) -> None:
    found = _unwell(dataclasses.replace(settings, pii_model="xx_no_such_model"))["model"]
    assert "xx_no_such_model" in found.seen


@pytest.fixture
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
def test_a_process_may_open_few_files(settings: Settings) -> None:
    assert "ulimit -n 1024" in str(_unwell(settings)["open files"].remedy)


@pytest.mark.parametrize("name", ["_LITTLE", "_FEW_INODES"])
def test_a_disk_that_is_full(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As it would be with less room than there is."""
    if name == "_FEW_INODES" and not os.statvfs(settings.home).f_files:
        pytest.skip("a file system without a number of inodes")
    monkeypatch.setattr(doctor_host, name, 1 << 60)
    assert _unwell(settings)["disk"].state is State.FAIL


def test_directories_that_are_not_there(settings: Settings, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    asked = dataclasses.replace(settings, uploads=Path(gone), files_roots=(gone,))
    unwell = _unwell(asked)
    assert unwell["uploads"].seen == f"{gone} is not there"
    assert unwell["files"].seen == f"{gone} is not there"


def test_what_a_killed_connector_left(settings: Settings, home: Path) -> None:
    with workspace.workspace(settings):  # of one that lives
        assert "temporary files" not in _unwell(settings)
        (home / "tmp" / "elsewhere@1-1.00.abc").mkdir()  # of another host
        assert "temporary files" not in _unwell(settings)
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        left = home / "tmp" / f"{platform.node()}@{ended.pid}-1.00.abc"
        left.mkdir()
        assert left.name in _unwell(settings)["temporary files"].seen
        assert workspace.sweep(settings) == 1
        assert "temporary files" not in _unwell(settings)
    elsewhere = home / "tmp" / "elsewhere@1-1.00.abc"
    assert elsewhere.exists()
    # A container that is made anew is another host, and its files hold secrets for ever.
    os.utime(elsewhere, (0, 0))
    assert elsewhere.name in _unwell(settings)["temporary files"].seen
    assert workspace.sweep(settings) == 1
    assert not elsewhere.exists()


def test_a_connector_whose_worker_is_gone(settings: Settings, home: Path) -> None:
    program = home / "connectors" / "source-x" / "run.py"
    program.parent.mkdir(parents=True)
    program.write_text("import time\ntime.sleep(600)\n")
    start = (
        "import subprocess, sys\n"
        "nothing = subprocess.DEVNULL\n"
        "child = subprocess.Popen([sys.executable, sys.argv[1]], stdout=nothing, stderr=nothing)\n"
        "print(child.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start, str(program)], capture_output=True, text=True, check=True
    )
    process = psutil.Process(int(done.stdout))
    try:
        if process.ppid() != 1:
            pytest.skip("orphans of this machine are not handed to its first process")
        deadline = time.monotonic() + 30
        while str(program) not in process.cmdline():  # between fork and exec it is its parent's
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert str(process.pid) in _unwell(settings)["processes"].seen
    finally:
        process.kill()


def test_a_first_process_that_is_not_ours_to_see(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, or where /proc is mounted with hidepid."""

    def refuse(process: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cmdline", refuse)
    assert "processes" not in _unwell(settings)


def _installed(home: Path, script: str | None) -> None:
    root = home / "connectors"
    program = root / "source-x" / "1.0-0" / "bin" / "source-x"
    program.parent.mkdir(parents=True)
    if script is not None:
        program.write_text(script)
        program.chmod(0o755)
    marker = {"name": "source-x", "version": "1.0", "command": [str(program)]}
    for path in (root / "source-x.json", root / "source-x" / "1.0.json"):
        path.write_text(json.dumps(marker))


def test_connectors_that_can_be_run(settings: Settings, home: Path) -> None:
    _installed(home, f"#!{sys.executable} -P\n")
    assert _unwell(settings) == {}


@pytest.mark.parametrize(
    ("script", "why"),
    [(None, "is gone"), ("#!/nowhere/bin/python\n", "/nowhere/bin/python is gone")],
)
def test_connectors_that_cannot(
    settings: Settings, home: Path, script: str | None, why: str
) -> None:
    _installed(home, script)
    found = _unwell(settings)["connectors"]
    assert found.seen.count("source-x 1.0") == 1
    assert why in found.seen


@pytest.mark.parametrize("marker", ["", "[]", '{"name": "source-x", "version": "1.0"}'])
def test_what_says_of_a_connector_that_it_is_there_is_broken(
    settings: Settings, home: Path, marker: str
) -> None:
    _installed(home, f"#!{sys.executable} -P\n")
    path = home / "connectors" / "source-x.json"
    path.write_text(marker)
    assert f"source-x ({path} cannot be read)" in _unwell(settings)["connectors"].seen
