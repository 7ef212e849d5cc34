"""``/readyz`` is 200 only when all is there, and says what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from atlas.ledger import migrations
from atlas.settings import Settings
from atlas.web import create_app


def _ready(settings: Settings) -> Any:
    return create_app(settings).test_client().get("/readyz")


def _not_ready(settings: Settings) -> dict[str, Any]:
    answer = _ready(settings)
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    document: dict[str, Any] = answer.json
    assert document["type"] == "/api/docs#not-ready"
    return document


def test_ready(settings: Settings) -> None:
    answer = _ready(settings)
    assert answer.status_code == 200
    checks = answer.json["checks"]
    assert checks["postgresql"]["revision"] == migrations.head()
    for check in checks.values():
        assert check["ok"] is True
        assert 0 < check["round_trip_ms"] < 1000


def test_an_empty_database(settings: Settings, database_url: str) -> None:
    problem = _not_ready(replace(settings, database_url=database_url))
    assert "postgresql: is at migration nothing" in problem["detail"]
    assert problem["checks"]["postgresql"]["round_trip_ms"] > 0
    assert problem["checks"]["redis"]["ok"] is True


def test_a_database_of_another_version(settings: Settings, database_url: str) -> None:
    engine = sa.create_engine(database_url)
    migrations.upgrade(engine)
    assert _ready(replace(settings, database_url=database_url)).status_code == 200
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.alembic_version SET version_num = '9999'"))
    # The revision is asked for anew each time.
    problem = _not_ready(replace(settings, database_url=database_url))
    assert "9999" in problem["detail"]
    engine.dispose()


def test_nothing_there_and_nothing_told(settings: Settings) -> None:
    away = replace(
        settings,
        database_url="postgresql://someone:hidden@127.0.0.1:9/nowhere",
        redis_url="redis://:hidden@127.0.0.1:9/0",
    )
    problem = _not_ready(away)
    assert problem["checks"]["postgresql"]["ok"] is False
    assert problem["checks"]["redis"]["ok"] is False
    assert not {"hidden", "someone", "127.0.0.1"} & set(str(problem).replace("@", " ").split())
    assert "hidden" not in str(problem)
    assert "127.0.0.1" not in str(problem)


def test_no_stack_at_all(settings: Settings, tmp_path: Path) -> None:
    problem = _not_ready(replace(settings, home=tmp_path, database_url=None, redis_url=None))
    assert problem["checks"]["postgresql"]["ok"] is False
    assert problem["checks"]["redis"]["ok"] is False
