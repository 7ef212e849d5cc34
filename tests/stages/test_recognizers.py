"""Recognizers of users in the pii stage: what they find is masked; what fails promotes nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from atlas.errors import TerminalError
from atlas.ledger import claims, parts, runs
from atlas.model.stage import Stage
from atlas.settings import Settings
from atlas.stages import pii
from atlas.stages.work import PartWork, Work
from tests.stages.conftest import Source, row

BADGE = {
    "name": "Badges",
    "supported_entity": "BADGE",
    "patterns": [{"name": "badge", "regex": r"\bB-\d{4}\b", "score": 0.8}],
}
MINE = {"name": "Mine", "supported_entities": ["BADGE"]}


def having(shop: Source, *recognizers: dict[str, object]) -> Settings:
    """The settings, with these recognizers."""
    path: Path = shop.directory / f"recognizers{len(list(shop.directory.iterdir()))}.yml"
    path.write_text(yaml.safe_dump({"recognizers": list(recognizers)}))
    return dataclasses.replace(shop.settings, pii_recognizers=path)


def explored(shop: Source, rows: int) -> int:
    """A run whose rows are read; returns the id of its stream."""
    shop.rows["users"] = [row(n, 1 + n % 28, remark=f"fine {n}") for n in range(1, rows + 1)]
    shop.rows["users"][rows // 2]["remark"] = "whisper of B-1234"
    run_id = shop.begin()
    assert shop.attempt(run_id) is None
    with shop.engine.begin() as conn:
        [stream] = runs.streams(conn, run_id)
    return stream.id


def scanning(shop: Source, run_stream_id: int, settings: Settings) -> Work:
    """A claim on the pii stage of the stream."""
    claim = claims.claim(shop.engine, Stage.PII, run_stream_id=run_stream_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    return Work(claim, shop.engine, settings, lambda _: None)


def promoted(shop: Source) -> list[str]:
    """Tables in which a stage after pii, or pii itself, wrote rows of the stream."""
    return shop.column(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname = 'pipeline'"
        " AND tablename LIKE 'staging%%'"
    )


def test_what_they_find_is_masked(shop: Source) -> None:
    stream = explored(shop, 8)
    pii.run(scanning(shop, stream, having(shop, BADGE)))
    [table] = promoted(shop)
    found = shop.column(f"SELECT x::text FROM {table} AS x WHERE x::text LIKE '%%whisper%%'")
    assert len(found) == 1
    assert "whisper of <BADGE>" in found[0]


@pytest.mark.parametrize(
    ("name", "error"), [("Raises", "failed with ValueError"), ("Nonsense", "answered with")]
)
def test_one_that_fails_promotes_nothing(shop: Source, name: str, error: str) -> None:
    stream = explored(shop, 8)
    settings = having(shop, MINE | {"class_name": f"tests.pii.own.{name}"})
    with pytest.raises(TerminalError, match=f"recognizer Mine {error}") as caught:
        pii.run(scanning(shop, stream, settings))
    assert "whisper" not in str(caught.value)
    assert promoted(shop) == []
    assert shop.value("SELECT count(*) FROM pipeline.finding") == 0


def test_a_part_is_not_studied_by_another_scanner(shop: Source) -> None:
    shop.settings = dataclasses.replace(shop.settings, batch_rows=1000, checkpoint_rows=10_000)
    stream = explored(shop, 2500)
    pii.run(scanning(shop, stream, having(shop, BADGE)))
    part = parts.claim(shop.engine, holder="u", lease=60, max_attempts=3)
    assert part is not None
    with pytest.raises(TerminalError, match="start all scan workers anew"):
        pii.run_part(PartWork(part, "u", shop.engine, shop.settings, lambda _: None))
    assert promoted(shop) == []
