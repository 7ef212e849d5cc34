"""Ticks: one that is not due is looked at and not touched, and one that nobody does is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import TransientError
from atlas.settings import Settings
from atlas.sync import ticks


def _version(engine: sa.Engine) -> tuple[str, str, str]:
    """Where the tick's row stands, who wrote it, and who has locked it since."""
    with engine.connect() as conn:
        row = conn.execute(
            sa.text(
                "SELECT CAST(ctid AS text), CAST(xmin AS text), CAST(xmax AS text)"
                " FROM pipeline.tick WHERE name = 'fire'"
            )
        ).one()
        return tuple(row)


def test_a_tick_that_was_done_is_not_even_locked(engine: sa.Engine, database_url: str) -> None:
    settings = replace(Settings(), database_url=database_url, relay_interval=3600.0)
    assert ticks.do(engine, settings, "fire")
    done = _version(engine)
    assert not ticks.do(engine, settings, "fire", after=2.0)
    assert _version(engine) == done
    assert ticks.do(engine, replace(settings, relay_interval=0.0), "fire")
    assert _version(engine) != done


def test_a_keeper_sees_at_one_glance_what_nobody_does(engine: sa.Engine, database_url: str) -> None:
    settings = replace(
        Settings(), database_url=database_url, relay_interval=3600.0, recovery_interval=3600.0
    )
    assert ticks._older(engine, settings, 2.0) == set(ticks._WORK)
    assert ticks.do(engine, settings, "fire")
    assert ticks._older(engine, settings, 2.0) == set(ticks._WORK) - {"fire"}
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.tick SET at = at - interval '119 minutes'"))
    assert "fire" not in ticks._older(engine, settings, 2.0)
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.tick SET at = at - interval '2 minutes'"))
    assert "fire" in ticks._older(engine, settings, 2.0)


def test_a_tick_that_fails_holds_up_no_other(
    engine: sa.Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(Settings(), database_url=database_url)
    done: list[str] = []

    def away(engine: sa.Engine, settings: Settings) -> None:
        raise TransientError("Redis does not answer")

    monkeypatch.setitem(ticks._WORK, "relay", away)
    for name in ("recover", "fire"):
        monkeypatch.setitem(ticks._WORK, name, lambda engine, settings, n=name: done.append(n))
    ticks.do_due(engine, settings)
    assert done == ["recover", "fire"]
    ticks.do_due(engine, settings)
    assert done == ["recover", "fire"]
