"""Traces: nothing without a collector, nothing lost to one that misbehaves but spans, no values."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from psycopg2.sql import SQL, Identifier, Literal
from sqlalchemy.exc import DBAPIError, OperationalError

from atlas import traces
from atlas.errors import UsageError
from atlas.ledger import claims, database, ends, traced
from atlas.ledger.database import cursor, recording
from atlas.model.stage import Stage, Status
from atlas.settings import Settings, parse
from atlas.sync import dispatch
from atlas.sync.request import record
from atlas.traces import Kind, export
from tests.collector import Collector, Got, collecting
from tests.ledger.conftest import SECRET

CHECKOUT = Path(__file__).parents[1]
RUN = "01a22de6-85e3-73cb-b42f-3ff9cf691050"


def _settings(url: str, **more: str) -> Settings:
    named = {f"ATLAS_{name.upper()}": value for name, value in more.items()}
    return parse({"ATLAS_OTEL_ENDPOINT": url, "ATLAS_SECRET_KEY": "s" * 40, **named})


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that gets the spans of this process."""
    with collecting() as found:
        traces.start(_settings(found.url), "test")
        try:
            yield found
        finally:
            traces.stop()


def _sent(collector: Collector) -> list[Got]:
    """All that was made until now; no more are made."""
    traces.stop(60)
    return collector.spans


# --- off -----------------------------------------------------------------------------------------

_LOOK = """
import json, os, sys
from atlas import traces
from atlas.settings import settings
import atlas.web, atlas.web.app, workers
app = atlas.web.create_app()
atlas.web.app.warm_up()
traces.start(settings(), "web")
app.test_client().get("/api/v1/runs", headers={"traceparent": "00-%s-%s-01" % ("1" * 32, "2" * 16)})
from atlas.ledger.database import engine
made = engine(settings())
print(json.dumps([
    traces.on(),
    # redis looks for the library by itself, but loads nothing that makes or sends spans.
    sorted({"atlas.traces.export", "opentelemetry.sdk.trace", "opentelemetry.exporter"}
           & set(sys.modules)),
    len(list(made.dispatch.commit)) > 0,
]))
traces.stop(0)
"""


@pytest.mark.parametrize("wanted", [False, True])
def test_without_a_collector_it_costs_nothing(tmp_path: Path, wanted: bool) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    # What OpenTelemetry itself would take for a wish is none of Atlas's.
    given = {
        "ATLAS_HOME": str(tmp_path),
        "ATLAS_SECRET_KEY": "s" * 40,
        "ATLAS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nowhere",
        "ATLAS_REDIS_URL": "redis://127.0.0.1:9/0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    if wanted:
        given["ATLAS_OTEL_ENDPOINT"] = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", _LOOK],
        cwd=CHECKOUT,
        env={**kept, **given},
        capture_output=True,
        check=True,
        text=True,
    )
    on, modules, watched = json.loads(done.stdout)
    assert (on, bool(modules), watched) == (wanted, wanted, wanted)


@pytest.mark.parametrize(
    ("url", "posted"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("https://c/otlp/", "https://c/otlp/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_where_spans_are_posted(url: str, posted: str) -> None:
    assert _settings(url).otel_endpoint == posted


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("otel_endpoint", "c:4317", "http: or https:"),
        ("otel_endpoint", "https://user:pl4nted@c", "ATLAS_OTEL_HEADERS is for secrets"),
        ("otel_endpoint", "https://c/?key=pl4nted", "ATLAS_OTEL_HEADERS is for secrets"),
        ("otel_headers", "pl4nted", "must be headers"),
        ("otel_headers", "X-A=pl4nted\r\nX-B: c", "must be headers"),
    ],
)
def test_what_is_no_collector_is_refused_by_name(name: str, value: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse({f"ATLAS_{name.upper()}": value})
    assert f"ATLAS_{name.upper()}" in str(caught.value)
    assert why in str(caught.value)
    assert name == "otel_endpoint" or "pl4nted" not in str(caught.value)


# --- a collector that misbehaves -----------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    ["hangs", "garbage", "breaks off", "refuses", "is busy", "leads elsewhere", "is not there"],
)
def test_a_collector_that_misbehaves_costs_only_spans(
    answer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[OTLPSpanExporter] = []

    class Exporter(OTLPSpanExporter):
        def __init__(self, **of: Any) -> None:
            super().__init__(**of)
            made.append(self)

    monkeypatch.setattr(export, "OTLPSpanExporter", Exporter)
    monkeypatch.setattr(export, "_PATIENCE", 0.2)
    monkeypatch.setattr(export, "_EVERY", 10.0)
    caplog.set_level(logging.INFO)
    with collecting() as collector:
        url = "http://127.0.0.1:9" if answer == "is not there" else collector.url
        collector.answer = answer
        traces.start(_settings(url), "test")
        try:
            # Far more than are kept: whoever makes them never waits, whatever becomes of them.
            for _ in range(3 * export.MOST):
                traces.put(traces.Span("lost", 1, 2, None, 3, 4))
            assert answer == "is not there" or collector.asked.wait(120)
            _until(lambda: "takes no spans" in caplog.text)
            if answer != "is not there":
                # On a busy machine the collector may take its time: now that is no misbehaviour.
                made[0]._timeout = 120.0
                collector.answer = "takes"
                collector.released.set()
                _until(lambda: "takes spans again" in caplog.text)
                assert len(collector.spans) <= export.MOST + 1024
                traces.put(traces.Span("kept", 1, 5, None, 3, 4))
        finally:
            traces.stop(60)
        assert answer == "is not there" or collector.spans[-1].name == "kept"
    assert "/elsewhere" not in collector.paths
    # Said once, in our own words.
    assert caplog.text.count("takes no spans") == 1
    assert "pl4nted" not in caplog.text
    assert "Traceback" not in caplog.text


def test_the_end_of_a_process_waits_for_so_long_at_most() -> None:
    with collecting() as collector:
        collector.answer = "hangs"
        traces.start(_settings(collector.url), "test")
        traces.put(traces.Span("lost", 1, 2, None, 3, 4))
        assert collector.asked.wait(120)
        traces.stop(0.01)  # returns, although the collector is not done with it
        assert not collector.released.is_set()
        assert not traces.on()


def _until(true: Callable[[], Any]) -> None:
    for _ in range(1200):
        if true():
            return
        # Whatever is sent next, is sent.
        traces.put(traces.Span("more", 1, 6, None, 3, 4))
        _PAUSE.wait(0.1)
    pytest.fail("not within two minutes")


_PAUSE = threading.Event()


def test_a_forked_process_begins_anew(collector: Collector) -> None:
    traces.put(traces.Span("of the parent", 1, 2, None, 3, 4))
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        try:
            inherited = traces.on()
            traces.start(_settings(collector.url), "child")
            traces.put(traces.Span("of the child", 1, 3, None, 3, 4))
            traces.stop(60)
            os._exit(int(inherited))
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert traces.on()
    found = {(span.name, span.process["atlas.process"]) for span in _sent(collector)}
    assert found == {("of the parent", "test"), ("of the child", "child")}


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "links"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", 1),
        (f"cc-{'a' * 32}-{'b' * 16}-01-what-comes-later", 1),
        (f"ff-{'a' * 32}-{'b' * 16}-01", 0),
        (f"00-{'0' * 32}-{'b' * 16}-01", 0),
        (f"00-{'a' * 32}-{'0' * 16}-01", 0),
        (f"00-{'A' * 32}-{'b' * 16}-01", 0),
        ("00-abc", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_caller_is_linked_by_what_is_valid(text: str | None, links: int) -> None:
    assert len(traces.linked(text)) == links


def test_what_a_request_did_before_it_made_a_run_is_in_its_trace(collector: Collector) -> None:
    traces.begin("POST", Kind.SERVER, holds=True)
    with traces.span("before", {}):
        pass
    open_meanwhile = traces.Open("meanwhile")
    traces.join(RUN)
    traces.join(str(uuid.uuid4()))  # of several, the first
    open_meanwhile.close()
    with traces.span("after", {}), traces.span("deeper", {}):
        pass
    traces.end({})
    with traces.span("nobody's", {}):
        pass
    traces.begin("task", Kind.CONSUMER)
    with traces.span("about nothing", {}):
        pass
    traces.end({})
    traces.begin("GET", Kind.SERVER, holds=True)
    for _ in range(2000):
        with traces.span("held", {}):
            pass
    traces.end({}, failed=True)
    spans = _sent(collector)
    run = [span for span in spans if span.trace == RUN.replace("-", "")]
    assert {span.name for span in run} == {"POST", "before", "meanwhile", "after", "deeper"}
    (post,) = (span for span in run if span.name == "POST")
    assert post.parent == RUN.replace("-", "")[16:]
    assert {span.parent for span in run if span.name != "POST"} == {post.id}
    others = [span for span in spans if span not in run]
    assert {span.name for span in others} == {"GET", "held"}
    assert len(others) <= 1 + 500
    assert {(span.failed, span.parent) for span in others if span.name == "GET"} == {(True, "")}


# --- the ledger ----------------------------------------------------------------------------------


@pytest.fixture
def engine(
    collector: Collector, database_url: str, migrated_database: str, tmp_path: Path
) -> Iterator[sa.Engine]:
    """An engine whose statements are spans."""
    plain = database_url.replace("postgresql+psycopg2:", "postgresql:")
    made = database.engine(
        _settings(collector.url, home=str(tmp_path), database_url=plain), name="test"
    )
    yield made
    made.dispose()


@pytest.fixture
def run_id(engine: sa.Engine) -> str:
    """A queued run."""
    from atlas.ledger import connections
    from atlas.model.connection import Connection

    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, SECRET, shop)
        return record(conn, "shop", trigger="cli", actor="test")


def test_statements_are_told_as_they_are_written(engine: sa.Engine, collector: Collector) -> None:
    database.round_trip(engine)  # what a new connection asks first is none of ours
    traces.begin("task", Kind.CONSUMER)
    traces.join(RUN)
    with Path(os.devnull).open("w") as null, engine.begin() as conn:
        conn.execute(sa.text("SELECT :v AS one"), {"v": "pl4nted-bound"})
        cur = cursor(conn)
        cur.execute("CREATE TEMPORARY TABLE two (v text)")
        literal = SQL("-- why\n  SELECT {}, {} FROM two WHERE v = %s")
        composed = literal.format(Identifier("v"), Literal("pl4nted-literal"))
        recording(conn).execute(composed, ["pl4nted-value"])
        cur.execute(cur.mogrify("SELECT %s AS three", ["pl4nted-mogrified"]))
        cur.executemany("INSERT INTO two VALUES (%s)", [["pl4nted-many"], ["b"]])
        cur.copy_expert("COPY two TO STDOUT", null)
        with pytest.raises(psycopg2.Error), conn.begin_nested():
            cur.execute("SELECT v::int FROM two WHERE v = %s", ["pl4nted-many"])
    with traces.unseen(), engine.begin() as conn:
        conn.execute(sa.text("SELECT 'unseen'"))
    traces.end({})
    spans = [span for span in _sent(collector) if span.name not in {"SAVEPOINT", "ROLLBACK"}]
    told = [(span.name, span.about.get("db.query.text")) for span in spans]
    assert told == [
        ("SELECT", "SELECT %(v)s AS one"),
        ("CREATE", "CREATE TEMPORARY TABLE two (v text)"),
        ("SELECT", '-- why\n  SELECT "v", %s FROM two WHERE v = %s'),
        ("SQL", None),
        ("INSERT", "INSERT INTO two VALUES (%s)"),
        ("COPY", "COPY two TO STDOUT"),
        ("SELECT", "SELECT v::int FROM two WHERE v = %s"),
        ("task", None),
    ]
    (failed,) = (span for span in spans if span.failed)
    assert failed.about["error.type"] == "22P02"
    assert b"pl4nted" not in b"".join(span.raw for span in spans)
    assert {span.parent for span in spans[:-1]} == {spans[-1].id}


def test_only_what_is_committed_is_told(
    engine: sa.Engine, run_id: str, collector: Collector
) -> None:
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    with engine.connect() as conn:
        ends.finish(conn, claim, Status.FAILED, error="pl4nted")
    with engine.begin() as conn:
        with conn.begin_nested():
            conn.execute(sa.text("SELECT 1"))
        undone = conn.begin_nested()
        ends.finish(conn, claim, Status.CANCELLED)
        undone.rollback()
    with engine.begin() as conn:
        for statement in (
            "CREATE TABLE public.late (v int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO public.late VALUES (1)",
        ):
            conn.execute(sa.text(statement))
    with engine.connect() as conn:
        ends.finish(conn, claim, Status.BLOCKED)
        conn.execute(sa.text("INSERT INTO public.late VALUES (1)"))
        with pytest.raises(DBAPIError):
            conn.commit()
    with engine.begin() as conn:
        conn.execute(sa.text("SELECT 1"))
    with engine.begin() as conn:
        ends.finish(conn, claim, Status.SUCCEEDED, rows=7)
    spans = _sent(collector)
    assert [span.name for span in spans] == ["stage explore", "run"]
    assert [span.about["atlas.outcome"] for span in spans[:1]] == ["succeeded"]
    attempt, run = spans
    assert attempt.parent == run.id
    assert attempt.id == f"{traced.attempt_id(run_id, claim.stage_run_id, claim.since):016x}"
    assert (attempt.about["atlas.rows"], run.about["atlas.status"]) == (7, "succeeded")


@pytest.mark.parametrize("nested", [True, False])
def test_a_connection_that_breaks_fails_as_it_would(
    engine: sa.Engine, run_id: str, collector: Collector, nested: bool
) -> None:
    claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)

    def broken() -> None:
        with engine.begin() as conn, conn.begin_nested() if nested else contextlib.nullcontext():
            ends.finish(conn, claim, Status.FAILED)
            conn.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(OperationalError) as caught:
        broken()
    assert caught.value.connection_invalidated
    with engine.begin() as conn:
        ends.finish(conn, claim, Status.SUCCEEDED)
    assert [span.about.get("atlas.outcome") for span in _sent(collector)] == ["succeeded", None]


def test_who_takes_up_a_lost_stage_tells_of_the_attempt(
    engine: sa.Engine, run_id: str, collector: Collector
) -> None:
    for holder in ("a", "b"):
        claim = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder=holder, lease=0)
        assert isinstance(claim, claims.Claim)
    with claims.transaction(engine, claim) as conn:
        claims.retry_later(conn, claim, delay=60, error="pl4nted", cause="transient")
    lost, tried = _sent(collector)
    told = ("atlas.outcome", "atlas.attempt", "atlas.holder", "error.type")
    assert [lost.about[name] for name in told] == ["lost", 1, "a", "lost"]
    assert [tried.about[name] for name in told] == ["retry", 2, "b", "transient"]
    assert lost.failed
    assert tried.failed
    assert b"pl4nted" not in lost.raw + tried.raw


def test_a_run_that_is_started_gets_the_request(
    engine: sa.Engine, run_id: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_send_run", lambda _: None)  # no broker here
    traces.begin("POST", Kind.SERVER, holds=True)
    dispatch.start(engine, [run_id])
    traces.end({})
    (span,) = _sent(collector)
    assert span.trace == run_id.replace("-", "")
