"""A staging table to fill, and Soda in its process, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atlas.model.checks import CheckResult
from atlas.model.stream import Column
from atlas.quality.check import Plan
from atlas.quality.soda import SodaHost
from tests.quality.quality_staging import USERS, Staging, users_plan


@pytest.fixture
def make_staging(database_url: str) -> Iterator[Callable[..., Staging]]:
    made: list[Staging] = []

    def make(columns: tuple[Column, ...] = USERS) -> Staging:
        made.append(Staging(database_url, columns))
        return made[-1]

    yield make
    for staging in made:
        staging.connection.close()


@pytest.fixture
def staging(make_staging: Callable[..., Staging]) -> Staging:
    return make_staging()


@pytest.fixture(scope="session")
def host() -> Iterator[SodaHost]:
    with SodaHost() as soda:
        yield soda


@pytest.fixture
def scan(host: SodaHost) -> Callable[..., dict[str, CheckResult]]:
    """Scan a staging table; results by name."""

    def run(
        staging: Staging, planned: Plan | None = None, **options: Any
    ) -> dict[str, CheckResult]:
        planned = planned or users_plan(**options)
        results = host.scan(staging.url, "pipeline", "staging_1", planned, 60).results
        return {result.name: result for result in results}

    return run
