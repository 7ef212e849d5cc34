"""``/metrics``: exact, complete, documented; and what alerts and the dashboard ask is there."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import redis
import sqlalchemy as sa
import yaml
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from atlas.ledger import claims, ends, measures, runs, webhooks
from atlas.ledger.ticks import NAMES
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.model.webhooks import Event
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import webhooks as use
from atlas.sync.queues import QUEUES
from atlas.web import create_app, database

USERS = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)


@pytest.fixture(autouse=True)
def _none_counted(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("TRUNCATE pipeline.measurement, pipeline.measurement_total"))


def _families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def _scrape(api: Any) -> dict[str, Metric]:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    return _families(answer.text)


def _values(family: Metric, suffix: str = "") -> dict[tuple[str, ...], float]:
    """Values by those of the labels, in the order of these."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in family.samples
        if sample.name.endswith(suffix)
    }


def _one_of_all(engine: sa.Engine) -> str:
    """A run that has seen everything that is counted; its id."""
    with engine.begin() as conn:
        for name, labels in (
            (measures.RUNS, {"trigger": "cli", "status": "succeeded"}),
            (measures.ROWS, {"outcome": "promoted"}),
            (measures.FINDINGS, {"entity_type": "EMAIL_ADDRESS"}),
            (measures.CONNECTOR_START_SECONDS, {"command": "read"}),
            (measures.STAGE_SECONDS, {"stage": "chart", "outcome": "lost"}),
            (measures.STAGE_SECONDS, {"stage": "chart", "outcome": "succeeded"}),
            (measures.OPERATION_SECONDS, {"kind": "check", "outcome": "succeeded"}),
        ):
            measures.put(conn, name, 2.0, **labels)
        run_id = runs.create(
            conn, connection="shop", trigger="cli", selected=None, full_refresh=False
        )
        runs.stamp_extraction(conn, run_id)
        runs.add_streams(conn, run_id, [(USERS, True)], ORDER)
        conn.execute(
            sa.text("UPDATE pipeline.run SET status = 'succeeded', finished_at = clock_timestamp()")
        )
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.quality_score (run_stream_id, dimension, score)"
                " SELECT id, 'overall', 0.75 FROM pipeline.run_stream"
            )
        )
        conn.execute(
            sa.text("INSERT INTO pipeline.worker (name, queues) VALUES ('w@h', :queues)"),
            {"queues": list(QUEUES)},
        )
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.tick (name, at) SELECT unnest(:names), clock_timestamp()"
                " ON CONFLICT (name) DO UPDATE SET at = excluded.at"
            ),
            {"names": list(NAMES)},
        )
    return run_id


@pytest.fixture
def told(
    api: Any,
    shop: str,
    engine: sa.Engine,
    settings: Settings,
    add_connection: Callable[[str], str],
) -> dict[str, Metric]:
    """All families, each with a sample; of stages at work one is held; of connections one's last
    run failed and another's was blocked; and the API has answered with an error."""
    _one_of_all(engine)
    with engine.begin() as conn:
        for status in (Status.FAILED, Status.BLOCKED):
            other = add_connection(f"shop_{status}")
            ended = runs.create(
                conn, connection=other, trigger="cli", selected=None, full_refresh=False
            )
            conn.execute(
                sa.text(
                    "UPDATE pipeline.run SET status = :status, finished_at = clock_timestamp()"
                    " WHERE id = :id"
                ),
                {"status": status, "id": ended},
            )
        run_id = runs.create(
            conn, connection=shop, trigger="cli", selected=None, full_refresh=False
        )
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    api.get("/healthz")
    assert _without_postgresql(settings).get("/metrics").status_code == 503
    return _scrape(api)


def _without_postgresql(settings: Settings) -> FlaskClient:
    away = dataclasses.replace(
        settings, metrics_open=True, database_url="postgresql://nobody@127.0.0.1:9/nowhere"
    )
    return create_app(away).test_client()


def test_all_is_told_and_documented(told: dict[str, Metric], checkout: Path) -> None:
    assert [name for name, family in told.items() if not family.samples] == []
    rows = re.findall(
        r"^\| `(atlas_\w+)` \| (\w+) \|([^|]*)\|",
        (checkout / "docs" / "monitoring.md").read_text(),
        re.MULTILINE,
    )
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    exported = {}
    for family in told.values():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        # When a series of the client's own began; the client leaves it out beside files.
        if not name.endswith("_created"):
            exported[name] = (family.type, labels)
    assert exported == documented


def test_what_was_counted_is_exact_summed_up_or_not(api: Any, shop: str, engine: sa.Engine) -> None:
    def seconds(conn: sa.Connection, value: float) -> None:
        measures.put(conn, measures.STAGE_SECONDS, value, stage="pii", outcome="succeeded")

    with engine.begin() as conn:
        for value in (0.05, 0.1, 7.0, 20_000.0):
            seconds(conn, value)
    with engine.connect() as conn:
        seconds(conn, 1.0)  # and is rolled back
    wanted = {"0.1": 2, "0.25": 2, "5.0": 2, "10.0": 3, "14400.0": 3, "+Inf": 4}
    for _ in range(3):
        found = _scrape(api)["atlas_stage_seconds"]
        buckets = {
            sample.labels["le"]: sample.value
            for sample in found.samples
            if sample.name.endswith("_bucket")
        }
        assert {bound: buckets[bound] for bound in wanted} == wanted
        assert _values(found, "_sum") == {("succeeded", "pii"): pytest.approx(20_007.15)}
        measures.sum_up(engine)
    with engine.begin() as conn:
        seconds(conn, 0.2)
    measures.sum_up(engine)
    assert _values(_scrape(api)["atlas_stage_seconds"], "_count") == {("succeeded", "pii"): 5}
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM pipeline.measurement")).scalar() == 0


def test_many_count_and_sum_up_at_once(engine: sa.Engine) -> None:
    def count() -> None:
        for _ in range(50):
            with engine.begin() as conn:
                measures.put(conn, measures.ROWS, 3, outcome="promoted")
            measures.sum_up(engine)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as conn:
        (total,) = measures.totals(conn)[measures.ROWS]
    assert (total.count, total.sum) == (200, 600.0)


def _end(engine: sa.Engine, run_id: str, promoted: int, status: Status) -> None:
    """The run's explore, and with it the run, whose stream has so many rows by now."""
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.run_stream SET rows_promoted = :n, rows_explore = 10,"
                " status = 'succeeded', explored_at = clock_timestamp()"
            ),
            {"n": promoted},
        )
    with claims.transaction(engine, claim) as conn:
        ends.finish(conn, claim, status)


def test_a_run_counts_where_it_ends_and_its_rows_once(
    api: Any, shop: str, engine: sa.Engine
) -> None:
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="api", selected=None, full_refresh=False
        )
        runs.add_streams(conn, run_id, [(USERS, True)], ORDER)
    _end(engine, run_id, 4, Status.FAILED)
    found = _scrape(api)
    assert _values(found["atlas_runs"], "_total") == {("failed", "api"): 1}
    assert _values(found["atlas_rows"], "_total") == {
        ("explore", "explore"): 10,
        ("chart", "promoted"): 4,
    }
    assert _values(found["atlas_stage_seconds"], "_count") == {("failed", "explore"): 1}
    with engine.begin() as conn:
        ends.reopen(conn, run_id, explore=True, keep={})
    _end(engine, run_id, 9, Status.SUCCEEDED)
    found = _scrape(api)
    assert _values(found["atlas_runs"], "_total") == {
        ("failed", "api"): 1,
        ("succeeded", "api"): 1,
    }
    assert _values(found["atlas_rows"], "_total") == {
        ("explore", "explore"): 10,
        ("chart", "promoted"): 9,
    }


def test_without_redis_that_is_all_that_is_said(
    app: Flask, api: Any, queue: redis.Redis, settings: Settings, shop: str
) -> None:
    assert {"atlas_queue_messages", "atlas_queue_oldest_seconds"} <= set(_scrape(api))
    away = dataclasses.replace(settings, redis_url="redis://127.0.0.1:9/0")
    app.config["ATLAS_SETTINGS"] = away
    found = _scrape(api)
    assert _values(found["atlas_redis_up"]) == {(): 0.0}
    assert not {name for name in found if "queue" in name or "evicted" in name}


def test_receivers_that_take_nothing_are_told(
    api: Any, engine: sa.Engine, settings: Settings
) -> None:
    near = dataclasses.replace(settings, webhook_private=True)

    def told() -> tuple[float, float]:
        found = _scrape(api)
        names = ("failing", "oldest_seconds")
        failing, oldest = (_values(found[f"atlas_webhooks_{name}"])[()] for name in names)
        return failing, oldest // 3600

    def do(statement: str) -> None:
        with engine.begin() as conn:
            conn.execute(sa.text(statement))

    with engine.begin() as conn:
        for kind, more in (("slack", {"group_seconds": 60}), ("webhook", {})):
            url = "http://127.0.0.1:9/"  # nobody is there
            use.create(conn, near, kind, url, ["run.failed"], actor="t", kind=kind, **more)
        webhooks.tell(conn, Event.RUN_FAILED, {"run_id": "r", "connection": "shop"})
    assert told() == (0, 0)
    # Of people it is held, until their quiet hours end; a program's is due.
    do("UPDATE pipeline.webhook_delivery SET created_at = now() - '2h'::interval")
    do("UPDATE pipeline.webhook SET next_attempt_at = now() + '8h'::interval WHERE kind = 'slack'")
    assert told() == (0, 2)
    do("UPDATE pipeline.webhook_delivery SET settled_at = now() WHERE status = 'waiting'")
    assert told() == (0, 0)
    do("UPDATE pipeline.webhook SET next_attempt_at = now()")
    assert told() == (0, 2)
    assert use.deliver_webhooks(engine, near) == 0
    assert told() == (1, 0)
    do("UPDATE pipeline.webhook_delivery SET created_at = now() - '2h'::interval")
    assert told() == (1, 2)
    # Whoever was disabled for it still takes nothing; nothing waits for him.
    do("UPDATE pipeline.webhook SET failing_since = failing_since - '4d'::interval")
    do("UPDATE pipeline.webhook SET next_attempt_at = now()")
    do("UPDATE pipeline.webhook_delivery SET next_attempt_at = now()")
    assert use.deliver_webhooks(engine, near) == 0
    assert told() == (1, 0)
    with engine.begin() as conn:
        use.change(conn, near, "slack", {"enabled": True}, actor="t")
    assert told() == (0, 0)


def test_the_pool_tells_what_is_used_of_it(app: Flask, api: Any) -> None:
    _scrape(api)

    def pool() -> list[float]:
        found = _scrape(api)
        return [_values(found[f"atlas_web_pool_{name}"])[()] for name in ("used", "limit")]

    most = database.THREADS + 2
    assert pool() == [0, most]
    with app.app_context(), database.transaction(), database.single():
        assert pool() == [2, most]
    assert pool() == [0, most]
    before = _values(_scrape(api)["atlas_web_pool_opened"], "_total")[()]
    with app.app_context():
        database.engine().dispose()
    assert _values(_scrape(api)["atlas_web_pool_opened"], "_total")[()] == before + 1


def test_who_may(app: Flask, settings: Settings) -> None:
    assert app.test_client().get("/metrics").status_code == 401
    opened = create_app(dataclasses.replace(settings, metrics_open=True))
    assert opened.test_client().get("/metrics").status_code == 200


def test_without_postgresql_there_is_no_half_of_it(settings: Settings) -> None:
    answer = _without_postgresql(settings).get("/metrics")
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")


def _expressions(checkout: Path) -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((checkout / "deploy" / "prometheus" / "alerts.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((checkout / "deploy" / "grafana" / "atlas.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("vector_selector", "expr", "lhs", "rhs", "param"):
        inner = getattr(node, name, None)
        if inner is not None and type(inner).__module__.startswith("promql_parser"):
            yield from _selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from _selectors(inner)


def _words(matcher: Any) -> list[str]:
    """The values that a matcher names, each as a pattern: those of ``a|b`` are two."""
    if matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe):
        return str(matcher.value).split("|")
    return [re.escape(matcher.value)]


def test_every_alert_and_panel_asks_for_what_is_told(
    told: dict[str, Metric], checkout: Path
) -> None:
    samples: dict[str, dict[str, set[str]]] = {"up": {"job": {"atlas"}}}
    for family in told.values():
        for sample in family.samples:
            labels = samples.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    expressions = list(_expressions(checkout))
    assert len(expressions) > 30
    asked = set()
    for where, text in expressions:
        found = list(_selectors(promql_parser.parse(text)))
        assert found, where
        for selector in found:
            assert selector.name in samples, (where, selector.name)
            asked.add(selector.name)
            for matcher in selector.matchers.matchers:
                assert matcher.name in samples[selector.name], (where, matcher.name)
                values = samples[selector.name][matcher.name]
                for word in _words(matcher):
                    assert any(re.fullmatch(word, value) for value in values), (where, word)
    assert {"atlas_redis_up", "atlas_stage_seconds_bucket", "atlas_workers"} <= asked


_PARTS = ["**Means.**", "**See.**", "**Do.**", "**Over when**"]


def test_every_alert_has_its_runbook(checkout: Path) -> None:
    text = (checkout / "docs" / "runbooks.md").read_text()
    found = re.split(r"^## (\w+)$", text, flags=re.MULTILINE)[1:]
    sections = dict(zip(found[::2], found[1::2], strict=True))
    rules = yaml.safe_load((checkout / "deploy" / "prometheus" / "alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert [rule["alert"] for rule in alerts] == list(sections)
    for rule in alerts:
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    for name, section in sections.items():
        parts = re.findall(r"^\*\*[A-Z][a-z ]+\.?\*\*", section, re.MULTILINE)
        assert parts == _PARTS, name
        assert "```sh" in section, name
