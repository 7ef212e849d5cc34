"""The catalog, installing for real, and resolving what a connection names."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from atlas.connectors import catalog, install, runner
from atlas.connectors.install import Connector
from atlas.connectors.installer import pip_as_uv, uv_says
from atlas.errors import NotFound, TerminalError, TransientError, UsageError
from atlas.settings import Settings


def test_a_name_is_checked_before_anything_is_made(settings: Settings) -> None:
    for name in ("source-nothing-like-it", "../../etc", ""):
        with pytest.raises(UsageError):
            install.install(name, settings)
    assert not settings.home.exists()


def test_two_who_install_at_once_get_one_installation(
    faker_installations: list[tuple[Connector, list[str]]], faker_settings: Settings
) -> None:
    (one, its_lines), (other, others_lines) = faker_installations
    assert one == other == install.installed("source-faker", faker_settings)
    assert sorted([bool(its_lines), bool(others_lines)]) == [False, True]
    root = faker_settings.home / "connectors" / "source-faker"
    # Each attempt takes a directory of its own.
    assert len([path for path in root.iterdir() if path.is_dir()]) == 1
    assert install.versions("source-faker", faker_settings) == [one.version]


def _pretend(settings: Settings, version: str, *, current: bool) -> Path:
    """A version that is installed, as far as its markers say."""
    root = settings.home / "connectors" / "source-faker"
    program = root / f"{version}-0" / "bin" / "source-faker"
    program.parent.mkdir(parents=True)
    program.touch()
    marker = {"name": "source-faker", "version": version, "command": [str(program)]}
    (root / f"{version}.json").write_text(json.dumps(marker))
    if current:
        (root.parent / "source-faker.json").write_text(json.dumps(marker))
    return program


def test_versions_stand_side_by_side(settings: Settings) -> None:
    old, new = _pretend(settings, "1.0", current=True), _pretend(settings, "2.0", current=False)
    assert install.versions("source-faker", settings) == ["1.0", "2.0"]
    for version, program in ((None, old), ("1.0", old), ("2.0", new)):
        found = install.resolve("source-faker", None, settings, version=version)
        assert found.command == (str(program),)
    with pytest.raises(TerminalError, match="not installed"):
        install.resolve("source-faker", None, settings, version="3.0")
    # What is there is made current, not installed again.
    assert install.upgrade("source-faker", settings, version="2.0").command == (str(new),)
    assert install.resolve("source-faker", None, settings).version == "2.0"
    with pytest.raises(UsageError, match=r"--version 1\.0"):
        install.uninstall("source-faker", settings, "2.0")
    assert install.uninstall("source-faker", settings, "1.0") == ["1.0"]
    assert (old.exists(), new.exists()) == (False, True)
    assert install.uninstall("source-faker", settings) == ["2.0"]
    assert install.installed("source-faker", settings) is None
    assert not new.exists()
    with pytest.raises(NotFound):
        install.uninstall("source-faker", settings)


@pytest.mark.parametrize("name", ["", ".", "..", "x/../../y", "../connectors", "specs/."])
def test_what_is_no_name_uninstalls_nothing(settings: Settings, name: str) -> None:
    program = _pretend(settings, "1.0", current=True)
    beside = settings.home / "connectors" / "specs" / "source-mysql-3.1.json"
    beside.parent.mkdir()
    beside.write_text("{}")
    before = sorted(settings.home.rglob("*"))
    with pytest.raises(NotFound, match="is not installed"):
        install.uninstall(name, settings)
    assert sorted(settings.home.rglob("*")) == before
    assert install.resolve("source-faker", None, settings).command == (str(program),)


@pytest.mark.parametrize("version", ["../../x", "", "1.0 --index-url=x", "-1"])
def test_a_version_that_is_none(settings: Settings, version: str) -> None:
    for work in (install.install, install.upgrade):
        with pytest.raises(UsageError, match="is no version"):
            work("source-faker", settings, version=version)


def test_what_is_no_package_is_not_installed(settings: Settings) -> None:
    for name, why in (("source-mysql", "image is pulled"), ("source-jenkins", "has no source")):
        with pytest.raises(UsageError, match=why):
            install.install(name, settings)
    with pytest.raises(UsageError, match="cannot be run: Airbyte has no source for Jenkins"):
        install.resolve("source-jenkins", None, settings)


def test_installed_without_its_environment_is_not_installed(settings: Settings) -> None:
    marker = settings.home / "connectors" / "source-faker.json"
    marker.parent.mkdir(parents=True)
    content = {"name": "source-faker", "version": "1", "command": ["/no/such/program"]}
    marker.write_text(json.dumps(content))
    assert install.installed("source-faker", settings) is None


_INSTALL = """
import sys
from atlas.connectors import catalog, install, runner
from atlas.settings import parse
install.install("source-faker", parse({"ATLAS_HOME": sys.argv[1]}))
"""


def _until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_a_killed_and_a_failed_install_leave_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = settings.home / "connectors"
    installer = subprocess.Popen([sys.executable, "-c", _INSTALL, str(settings.home)])
    with installer:
        _until(lambda: list(root.glob("source-faker/*/.venv-*")), "no environment is made")
        installer.kill()

    def strangers() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if str(settings.home) in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    _until(lambda: not strangers(), "uv goes on")
    assert install.installed("source-faker", settings) is None

    empty = settings.home / "index"
    empty.mkdir()
    monkeypatch.setenv("UV_DEFAULT_INDEX", empty.as_uri())
    with pytest.raises(TransientError) as caught:
        install.install("source-faker", settings)
    said = str(caught.value)
    assert said.startswith("connector source-faker: cannot be installed: ")
    assert "airbyte-source-faker" in said
    assert "\n" not in said
    assert install.installed("source-faker", settings) is None
    assert not root.joinpath("source-faker.json").exists()
    assert [path.name for path in root.rglob("*") if path.is_file()] == [".source-faker.lock"]


def test_resolve(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="not executable"):
        install.resolve(None, str(program), settings)
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert install.resolve(None, "./mine", settings) == Connector("mine", (str(program),), "")
    script = tmp_path / "mine.py"
    script.write_text("")
    assert install.resolve(None, "mine.py", settings).command == (sys.executable, str(script))
    with pytest.raises(UsageError, match="no such file"):
        install.resolve(None, "absent", settings)
    with pytest.raises(UsageError, match="either"):
        install.resolve(None, None, settings)
    with pytest.raises(UsageError, match="either"):
        install.resolve("source-faker", "./mine", settings)
    with pytest.raises(TerminalError, match="`atlas connectors install source-faker`"):
        install.resolve("source-faker", None, settings)
    with pytest.raises(NotFound):
        install.resolve("source-fakr", None, settings)


def test_uv_uses_the_indexes_of_pip(tmp_path: Path) -> None:
    listing = (
        ":env:.find-links='/not/there'\n"
        f"global.find-links='{tmp_path}'\n"
        "global.index-url='https://one.example/simple'\n"
        "install.index-url='https://two.example/simple'\n"
        "global.extra-index-url='https://three.example/simple\\nfile:///four'\n"
        "global.trusted-host='three.example'\n"
    )
    assert pip_as_uv(listing, {}) == {
        "UV_DEFAULT_INDEX": "https://two.example/simple",
        "UV_INDEX": "https://three.example/simple file:///four",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "three.example",
    }
    assert pip_as_uv(f"global.find-links='{tmp_path}'\n", {}) == {"UV_FIND_LINKS": str(tmp_path)}
    assert pip_as_uv(listing, {"UV_DEFAULT_INDEX": "https://mine.example"}) == {}
    assert pip_as_uv("", {}) == {}


def test_uvs_error_becomes_one_line_without_a_password() -> None:
    said = (
        "Using Python 3.11.7 environment at: x\n"
        "  \N{MULTIPLICATION SIGN} No solution found when resolving dependencies:\n"
        "  ╰─▶ Because a was not found in https://me:hush@index.example and you\n"
        "      require a, your requirements are unsatisfiable.\n"
    )
    assert uv_says(said) == (
        "No solution found when resolving dependencies: Because a was not found in "
        "https://***@index.example and you require a, your requirements are unsatisfiable."
    )


def test_small_connectors_of_the_catalog_run(settings: Settings) -> None:
    """Beside source-faker: three more, the last of which runs only with the catalog's overrides."""
    for name, stream in (
        ("source-hardcoded-records", "products"),
        ("source-smoke-test", "basic_types"),
    ):
        connector = install.install(name, settings)
        assert connector.version == catalog.get(name).version
        found = {item.key.name for item in runner.discover(connector, {}, settings)}
        assert stream in found, name
        assert install.installed(name, settings) == connector
    # One that a connection pins does not become what all others run, though it came first.
    pinned = install.resolve(
        "source-pendo",
        None,
        settings,
        install_missing=True,
        version=catalog.get("source-pendo").version,
    )
    assert install.installed("source-pendo", settings) is None
    assert install.versions("source-pendo", settings) == [pinned.version]
    pendo = install.install("source-pendo", settings)
    assert pendo == pinned == install.installed("source-pendo", settings)
    assert "api_key" in runner.spec(pendo, settings)["properties"]
