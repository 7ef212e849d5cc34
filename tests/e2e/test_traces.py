"""A run as one trace on a running stack: whole, whatever happens to it, and without a value."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector, Got
from tests.e2e.conftest import OTEL_SECRET, Atlas, source
from tests.e2e.data import write
from tests.e2e.held import STAGES, Source, held
from tests.e2e.test_http import Api

CALLER = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
MARKER = "pl4ntedv4lue"
WORKER = {"explore": "worker-extract", "pii": "worker-scan"}


def _whole(atlas: Atlas, collector: Collector, run_id: str, *names: str) -> list[Got]:
    """The run's trace, once it has these spans and the parents of all."""

    def looked() -> list[Got]:
        found = collector.trace(run_id)
        ids = {span.id for span in found} | {""}
        there = {span.name for span in found}
        whole = {"run", *names} <= there and {span.parent for span in found} <= ids
        return found if whole else []

    def missing() -> Any:
        found = collector.trace(run_id)
        ids = {span.id for span in found} | {""}
        orphans = [(span.name, span.parent) for span in found if span.parent not in ids]
        return Counter(span.name for span in found), orphans, atlas.document(run_id)

    spans: list[Got] = atlas.until(looked, 60, missing)
    assert [span.name for span in spans if not span.parent] == ["run"]
    assert len({span.id for span in spans}) == len(spans)
    return spans


def _named(spans: list[Got], name: str) -> list[Got]:
    return sorted((span for span in spans if span.name == name), key=lambda span: span.began)


@pytest.fixture(scope="module")
def trace(
    atlas: Atlas, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> list[Got]:
    """The trace of a run that was asked for over HTTP, and failed once on its way."""
    directory = tmp_path_factory.mktemp("traced")
    rows = [
        {"id": n, "updated_at": f"2026-01-{n:02d}", "email": f"{MARKER}{n}@example.org"}
        for n in range(1, 13)
    ]
    write(directory / "rows.json", *rows)
    there = source(
        "traced",
        directory / "rows.json",
        state_every=5,
        api_key=f"{MARKER}-key",
        fail_after=7,
        fail_once_marker=str(directory / "failed"),
        trace_error={"message": f"{MARKER} is no row", "failure_type": "transient_error"},
    )
    atlas.apply(there)
    api = Api(atlas, "operator")
    status, answer = api(
        "POST",
        "/api/v1/connections/traced/syncs",
        {},
        traceparent=f"00-{CALLER[0]}-{CALLER[1]}-01",
    )
    assert status == 202
    assert atlas.wait(answer["run_id"])["status"] == "succeeded"
    return _whole(
        atlas,
        collector,
        answer["run_id"],
        "POST /api/v1/connections/<name>/syncs",
        "connector check",
        "connector discover",
        "deliver lineage",
        *(f"stage {stage}" for stage in STAGES),
        *(f"task atlas.{stage}" for stage in STAGES),
    )


def test_request_tasks_stages_and_sql_hang_together(trace: list[Got]) -> None:
    by_id = {span.id: span for span in trace}
    (run,) = _named(trace, "run")
    assert run.id == run.trace[16:]
    (request,) = _named(trace, "POST /api/v1/connections/<name>/syncs")
    assert (request.parent, request.links) == (run.id, [CALLER])
    assert request.about["http.response.status_code"] == 202
    assert {span.name for span in trace if span.parent == request.id} >= {"EXECUTE"}
    for stage in STAGES:
        for attempt in _named(trace, f"stage {stage}"):
            task = by_id[attempt.parent]
            assert (task.name, task.parent) == (f"task atlas.{stage}", run.id)
            assert [span for span in trace if span.parent == attempt.id], stage
    assert {span.process["atlas.process"] for span in trace} >= {"web", "extract", "scan", "load"}
    assert {span.process["service.name"] for span in trace} == {"atlas"}


def test_attempts_say_what_became_of_them(trace: list[Got]) -> None:
    first, second = _named(trace, "stage explore")
    assert (first.failed, first.about["atlas.outcome"], first.about["atlas.attempt"]) == (
        True,
        "retry",
        1,
    )
    assert first.about["error.type"] == "transient"
    assert (second.failed, second.about["atlas.outcome"], second.about["atlas.attempt"]) == (
        False,
        "succeeded",
        2,
    )
    (chart,) = _named(trace, "stage chart")
    assert (chart.about["atlas.stream"], chart.about["atlas.rows"]) == ("orders", 12)
    broken, read = _named(trace, "connector read")
    assert (broken.parent, read.parent) == (first.id, second.id)
    assert (broken.failed, read.failed) == (True, False)
    assert read.about["atlas.connector.start_seconds"] > 0
    (run,) = _named(trace, "run")
    assert (run.failed, run.about["atlas.rows.promoted"]) == (False, 12)
    assert run.ended >= chart.ended >= chart.began >= run.began


def test_statements_have_no_values(trace: list[Got], collector: Collector) -> None:
    texts = [span.about.get("db.query.text", "") for span in trace]
    assert any("%(" in text for text in texts)
    assert any(text.startswith("COPY") and "traced_orders_raw" in text for text in texts)
    assert any("navigate" in text and "%s" in text for text in texts)
    # Of all that this stack did, whatever the test.
    everything = b"".join(span.raw for span in list(collector.spans))
    for value in (MARKER, "@example", OTEL_SECRET):
        assert value.encode() not in everything


def test_the_collector_gets_its_headers(trace: list[Got], collector: Collector) -> None:
    assert collector.paths == {"/v1/traces"}
    assert {headers["X-Planted"] for headers in collector.headers} == {OTEL_SECRET}


def test_other_requests_are_traces_of_their_own(atlas: Atlas, collector: Collector) -> None:
    api = Api(atlas, "viewer")
    caller = ("1" * 32, "2" * 16)
    api("GET", "/api/v1/runs", traceparent=f"00-{caller[0]}-{caller[1]}-00")
    api("GET", "/readyz", traceparent=f"00-{'3' * 32}-{'4' * 16}-00")
    found = atlas.until(lambda: [span for span in collector.spans if caller in span.links])
    ((request,),) = (found,)
    assert (request.name, request.parent) == ("GET /api/v1/runs", "")
    assert request.trace not in {caller[0], "0" * 32}
    assert [span for span in collector.spans if span.parent == request.id]
    assert not [span for span in collector.spans if "readyz" in span.name]


@pytest.mark.parametrize("stage", ["explore", "pii"])
def test_a_killed_worker_leaves_no_hole(
    atlas: Atlas, collector: Collector, tmp_path: Path, stage: str
) -> None:
    name = f"traced_{stage}"
    there = Source(tmp_path)
    there.first()
    atlas.apply(there.connection(name, **(there.stalls() if stage == "explore" else {})))
    with held(atlas, name, stage, lambda: atlas.start(name)) as run_id:
        if stage == "explore":  # its source stalls, and will not again
            atlas.until((tmp_path / "stalled").exists)
        atlas.kill(WORKER[stage])
    assert atlas.wait(run_id)["status"] == "succeeded"
    spans = _whole(atlas, collector, run_id, *(f"stage {each}" for each in STAGES))
    lost, again = _named(spans, f"stage {stage}")
    assert (lost.failed, lost.about["atlas.outcome"]) == (True, "lost")
    assert (again.failed, again.about["atlas.outcome"]) == (False, "succeeded")
    assert again.began >= lost.began


def test_a_run_that_is_cancelled_and_resumed_stays_one_trace(
    atlas: Atlas, collector: Collector, tmp_path: Path
) -> None:
    there = Source(tmp_path)
    there.first()
    atlas.apply(there.connection("traced_twice"))
    api = Api(atlas, "operator")
    with held(atlas, "traced_twice", "pii", lambda: atlas.start("traced_twice")) as run_id:
        assert api("POST", f"/api/v1/runs/{run_id}/cancel")[0] == 200
    assert api("POST", f"/api/v1/runs/{run_id}/retry")[0] == 202
    assert atlas.wait(run_id)["status"] == "succeeded"
    spans = _whole(
        atlas,
        collector,
        run_id,
        "run resumed",
        "POST /api/v1/runs/<run_id>/cancel",
        "POST /api/v1/runs/<run_id>/retry",
    )
    (run,) = _named(spans, "run")
    (resumed,) = _named(spans, "run resumed")
    assert run.about["atlas.status"] == "cancelled"
    assert (resumed.parent, resumed.about["atlas.status"]) == (run.id, "succeeded")
    cancelled, done = _named(spans, "stage pii")
    assert cancelled.about["atlas.outcome"] == "cancelled"
    assert done.about["atlas.outcome"] == "succeeded"
    assert json.dumps(run.about).count("traced_twice") == 1
