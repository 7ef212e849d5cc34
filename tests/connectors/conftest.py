"""Fixtures of the connectors' tests: a home of their own, the scripted connector, source-faker."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlas.connectors import install
from atlas.connectors.install import Connector
from atlas.settings import Settings, parse

SCRIPTED = Path(__file__).with_name("scripted.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def make_settings(home: Path) -> Callable[..., Settings]:
    """Settings of this test's home, with fields replaced."""

    def make(**changed: Any) -> Settings:
        return dataclasses.replace(parse({"ATLAS_HOME": str(home)}), **changed)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def scripted(settings: Settings) -> Connector:
    """The connector that does what its config says."""
    return install.resolve(None, str(SCRIPTED), settings)


@pytest.fixture(scope="session")
def faker_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a home that the session shares, for installing takes seconds."""
    return parse({"ATLAS_HOME": str(tmp_path_factory.mktemp("faker_home"))})


@pytest.fixture(scope="session")
def faker_installations(faker_settings: Settings) -> list[tuple[Connector, list[str]]]:
    """Two threads that installed source-faker at once: what each got, and its lines of progress."""
    results: list[tuple[Connector, list[str]]] = []

    def work() -> None:
        lines: list[str] = []
        results.append((install.install("source-faker", faker_settings, lines.append), lines))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(scope="session")
def faker(faker_installations: list[tuple[Connector, list[str]]]) -> Connector:
    """The real source-faker, installed."""
    return faker_installations[0][0]
