"""Several sinks: each gets everything, in the order of each run, whatever the others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from atlas.errors import UsageError
from atlas.ledger import connections, deliveries
from atlas.lineage.sinks import Sink, sinks
from atlas.model.connection import Connection
from atlas.settings import Settings
from atlas.sync import delivery
from atlas.sync.delivery import deliver_events
from tests.lineage.conftest import Endpoint
from tests.lineage.told import tell


@pytest.fixture(autouse=True)
def _long_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round ends with what waits, however slow the machine is."""
    monkeypatch.setattr(delivery, "_ROUND", 3600.0)


JOBS = ["shop.explore", "shop.users.chart", "shop.users.navigate"]


def _config(tmp_path: Path, transport: Any) -> Settings:
    path = tmp_path / "openlineage.yml"
    path.write_text(yaml.safe_dump({"transport": transport}, sort_keys=False))
    return Settings(home=tmp_path, openlineage_config=path)


# --- what a file names ---------------------------------------------------------------------------


def test_one_sink_unless_a_file_names_more(tmp_path: Path) -> None:
    (sink,) = sinks(Settings(home=tmp_path))
    assert sink == Sink("file", path=tmp_path / "lineage" / "events.jsonl")
    (sink,) = sinks(Settings(openlineage_url="http://marquez:5000", openlineage_api_key="k"))
    assert (sink.name, sink.url, sink.api_key) == ("http", "http://marquez:5000", "k")


def test_a_composite_is_several(tmp_path: Path) -> None:
    key = "k-0123456789"
    transports = {
        "marquez": {
            "type": "http",
            "url": "http://marquez:5000/",
            "endpoint": "/api/v1/lineage?tenant=t0ken",
            "auth": {"type": "api_key", "apiKey": key},
        },
        "archive": {"type": "file", "log_file_path": "/var/lineage.jsonl", "append": True},
        "shown": {"type": "console"},
    }
    settings = _config(tmp_path, {"type": "composite", "transports": transports})
    marquez, archive, shown = sinks(settings)
    assert (marquez.url, marquez.api_key) == (
        "http://marquez:5000/api/v1/lineage?tenant=t0ken",
        key,
    )
    assert marquez.target == "http://marquez:5000/api/v1/lineage"
    assert key not in repr(marquez)
    assert (archive.name, archive.path) == ("archive", Path("/var/lineage.jsonl"))
    assert (shown.name, shown.target) == ("shown", "the log of the workers")
    (alone,) = sinks(_config(tmp_path, transports["archive"]))
    assert (alone.name, alone.path) == ("file", archive.path)


@pytest.mark.parametrize(
    ("transport", "said"),
    [
        (None, r"transport\.type: must be one of http, file, console, kafka, or composite"),
        ({"type": "datazone"}, r"transport\.type: must be one of"),
        ({"type": "kafka", "topic": "t"}, r"transport\.config: must be what"),
        ({"type": "kafka", "config": {}}, r"transport\.topic: must be a text"),
        ({"type": "kafka", "topic": "t", "config": {}, "flush": False}, r"flush: must be true"),
        ({"type": "http"}, r"transport\.url: must be a text"),
        ({"type": "http", "url": "ftp://x"}, "must start with http: or https:"),
        ({"type": "http", "url": "http://x", "timeout": 1}, r"transport\.timeout: is no key"),
        ({"type": "http", "url": "http://x", "auth": {"type": "jwt"}}, r"auth\.type: must be api_"),
        ({"type": "http", "url": "http://x", "auth": {"type": "api_key"}}, r"auth\.apiKey: must"),
        ({"type": "file", "log_file_path": "x", "append": False}, "overwrites no events"),
        ({"type": "composite", "transports": {}}, "a composite has transports"),
        ({"type": "composite", "transports": [1]}, "must be transports by name"),
        ({"type": "composite", "transports": {"A b": {"type": "console"}}}, "a name has up to 40"),
        (
            {"type": "composite", "transports": {"a": {"type": "composite"}}},
            r"transport\.transports\.a\.type: must be one of",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, transport: Any, said: str) -> None:
    with pytest.raises(UsageError, match=rf"openlineage\.yml: .*{said}"):
        sinks(_config(tmp_path, transport))


def test_a_file_that_is_none_and_two_places_for_one_thing(tmp_path: Path) -> None:
    settings = _config(tmp_path, {"type": "console"})
    path = tmp_path / "openlineage.yml"
    with pytest.raises(UsageError, match="ATLAS_OPENLINEAGE_URL or _API_KEY is set as well"):
        sinks(Settings(openlineage_config=path, openlineage_url="http://x"))
    path.write_text("transport: {apiKey: s3cret: x}")
    with pytest.raises(UsageError, match="line 1: is no YAML") as caught:
        sinks(settings)
    assert "s3cret" not in str(caught.value)
    path.write_text("transport: {type: console}\nfacets: {}")
    with pytest.raises(UsageError, match="must have the key transport, and no other"):
        sinks(settings)


# --- who has what --------------------------------------------------------------------------------


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine on a database with a connection ``shop``."""
    engine = sa.create_engine(database_url)
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, b"s" * 40, shop)
    yield engine
    engine.dispose()


def _run(engine: sa.Engine) -> str:
    with engine.begin() as conn:
        return tell(conn)


def _due(engine: sa.Engine) -> None:
    """The time of all that is to be tried later has come."""
    with engine.begin() as conn:
        for table in ("lineage_sink", "lineage_delivery"):
            conn.execute(
                sa.text(
                    f"UPDATE pipeline.{table} SET next_attempt_at = now() - interval '1 second'"
                    " WHERE next_attempt_at IS NOT NULL"
                )
            )


def _listed(engine: sa.Engine) -> dict[str, dict[str, Any]]:
    with engine.begin() as conn:
        return {each["name"]: each for each in deliveries.listed(conn)}


def _whole(engine: sa.Engine) -> int:
    """How many events all sinks have."""
    with engine.connect() as conn:
        query = "SELECT count(*) FROM pipeline.lineage_event WHERE delivered_at IS NOT NULL"
        return int(conn.execute(sa.text(query)).scalar_one())


def _jobs(bodies: list[bytes]) -> list[str]:
    return [json.loads(body)["job"]["name"] for body in bodies]


def _got(endpoint: Endpoint) -> list[bytes]:
    return [body for *_, body in endpoint.got]


@pytest.fixture
def both(tmp_path: Path, endpoint: Endpoint) -> Settings:
    """An endpoint and a file."""
    transports = {
        "endpoint": {"type": "http", "url": endpoint.url},
        "archive": {"type": "file", "log_file_path": str(tmp_path / "got" / "archive.jsonl")},
    }
    return _config(tmp_path, {"type": "composite", "transports": transports})


def _archived(tmp_path: Path) -> list[str]:
    return _jobs((tmp_path / "got" / "archive.jsonl").read_bytes().splitlines())


def test_one_that_is_away_holds_up_no_other_and_gets_all_later(
    engine: sa.Engine, both: Settings, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.status = 503
    _run(engine)
    assert deliver_events(engine, both) == 3
    assert _archived(tmp_path) == JOBS
    assert (len(endpoint.got), _whole(engine)) == (1, 0)
    now = _listed(engine)
    assert (now["archive"]["waiting"], now["archive"]["error"]) == (0, None)
    away = now["endpoint"]
    assert (away["waiting"], away["refused"], away["failed_attempts"]) == (3, 0, 1)
    assert "answered 503" in away["error"]
    assert away["waiting_since"] is not None
    # It is left alone for a while, all of its events are.
    _run(engine)
    assert deliver_events(engine, both) == 3
    assert len(endpoint.got) == 1
    # The same for any other reason; then it is there again, and gets all in their order.
    endpoint.status = 201
    endpoint.got.clear()
    _due(engine)
    assert deliver_events(engine, both) == 6
    assert _jobs(_got(endpoint)) == JOBS * 2
    assert _whole(engine) == 6
    now = _listed(engine)
    assert [(each["waiting"], each["failed_attempts"], each["error"]) for each in now.values()] == [
        (0, 0, None)
    ] * 2
    assert deliver_events(engine, both) == 0


def test_what_is_refused_holds_up_its_run_and_no_other(
    engine: sa.Engine, both: Settings, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.refuses = b'"shop.users.chart"'
    refused = _run(engine)
    assert deliver_events(engine, both) == 1 + 3
    assert _jobs(_got(endpoint)) == JOBS[:2]
    assert _archived(tmp_path) == JOBS
    # Its turn has not come yet; that of a later event of its run has not either.
    endpoint.got.clear()
    endpoint.refuses = None
    _run(engine)
    assert deliver_events(engine, both) == 3 + 3
    assert {refused} & {json.loads(body)["run"]["runId"] for body in _got(endpoint)} == set()
    assert _jobs(_got(endpoint)) == JOBS
    now = _listed(engine)["endpoint"]
    assert (now["waiting"], now["refused"], now["failed_attempts"]) == (2, 1, 0)
    assert "refused an event with 422" in now["error"]
    with engine.begin() as conn:
        told = [each["deliveries"] for each in deliveries.events(conn, refused)]
    assert [{one["sink"] for one in each} for each in told] == [
        {"archive", "endpoint"},
        {"archive", "endpoint"},
        {"archive"},
    ]
    endpoint.got.clear()
    _due(engine)
    assert deliver_events(engine, both) == 2
    assert _jobs(_got(endpoint)) == JOBS[1:]
    assert _whole(engine) == 6


def test_what_is_refused_for_ever_does_not_hold_up_its_run_for_ever(
    engine: sa.Engine, both: Settings, endpoint: Endpoint
) -> None:
    endpoint.refuses = b'"shop.users.chart"'
    _run(engine)
    for _ in range(deliveries.HELD - 1):
        deliver_events(engine, both)
        _due(engine)
    assert JOBS[2] not in _jobs(_got(endpoint))
    deliver_events(engine, both)
    assert _jobs(_got(endpoint))[-2:] == JOBS[1:]
    now = _listed(engine)["endpoint"]
    assert (now["waiting"], now["refused"]) == (1, 1)


def test_a_sink_that_is_taken_away_is_waited_for_no_more_and_a_new_one_gets_what_waits(
    engine: sa.Engine, both: Settings, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.status = 503
    _run(engine)
    deliver_events(engine, both)
    assert _whole(engine) == 0
    archive = {"type": "file", "log_file_path": str(tmp_path / "got" / "archive.jsonl")}
    one = {"type": "composite", "transports": {"archive": archive}}
    assert deliver_events(engine, _config(tmp_path, one)) == 0
    assert (_whole(engine), list(_listed(engine))) == (3, ["archive"])
    _run(engine)
    new = {"type": "file", "log_file_path": str(tmp_path / "got" / "new.jsonl")}
    two = {"type": "composite", "transports": {"archive": archive, "new": new}}
    assert deliver_events(engine, _config(tmp_path, two)) == 6
    assert _jobs((tmp_path / "got" / "new.jsonl").read_bytes().splitlines()) == JOBS
    assert _whole(engine) == 6


def test_a_sink_that_is_elsewhere_now_is_asked_at_once(
    engine: sa.Engine, both: Settings, endpoint: Endpoint, tmp_path: Path
) -> None:
    # One that refused an event, and one that could not be reached.
    endpoint.refuses = b'"shop.users.chart"'
    _run(engine)
    deliver_events(engine, both)
    endpoint.status = 503
    _run(engine)
    deliver_events(engine, both)
    before = _listed(engine)["endpoint"]
    assert (before["refused"], before["failed_attempts"]) == (1, 1)
    transports = {
        "endpoint": {"type": "file", "log_file_path": str(tmp_path / "got" / "moved.jsonl")},
        "archive": {"type": "file", "log_file_path": str(tmp_path / "got" / "archive.jsonl")},
    }
    moved = _config(tmp_path, {"type": "composite", "transports": transports})
    assert deliver_events(engine, moved) == 2 + 3
    got = (tmp_path / "got" / "moved.jsonl").read_bytes().splitlines()
    assert _jobs(got) == JOBS[1:] + JOBS
    assert _listed(engine)["endpoint"]["error"] is None
    assert _whole(engine) == 6


def test_a_sink_that_comes_back_elsewhere_owes_nothing_of_where_it_was(engine: sa.Engine) -> None:
    _run(engine)
    with engine.begin() as conn:
        deliveries.use(conn, {"endpoint": "x", "archive": "y"})
        deliveries.away(conn, "endpoint", "cannot be reached")
        event = deliveries.waiting(conn, "endpoint")[0]
        deliveries.refused(conn, "endpoint", event, "refused")
        deliveries.use(conn, {"archive": "y"})
        deliveries.use(conn, {"endpoint": "z", "archive": "y"})
        assert event.id in [each.id for each in deliveries.waiting(conn, "endpoint")]
    back = _listed(engine)["endpoint"]
    assert (back["failed_attempts"], back["refused"], back["error"]) == (0, 0, None)


def test_the_console_is_the_log(
    engine: sa.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _run(engine)
    with caplog.at_level("INFO"):
        assert deliver_events(engine, _config(tmp_path, {"type": "console"})) == 3
    assert [json.loads(line)["job"]["name"] for line in caplog.messages] == JOBS


def test_one_delivers_at_a_time(engine: sa.Engine, both: Settings, endpoint: Endpoint) -> None:
    _run(engine)
    with engine.begin() as conn:
        deliveries.use(conn, {"endpoint": "x", "archive": "y"})
    with engine.begin() as conn:
        assert deliveries.take(conn, "archive")
        assert deliver_events(engine, both) == 0
    assert deliver_events(engine, both) == 6
    assert len(endpoint.got) == 3


def test_what_is_wrong_with_one_sink_is_said_of_it_alone(
    engine: sa.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transports = {
        "wrong": {"type": "http", "url": "http://ann:s3cret@lineage.test"},
        "archive": {"type": "file", "log_file_path": str(tmp_path / "got" / "archive.jsonl")},
    }
    settings = _config(tmp_path, {"type": "composite", "transports": transports})
    _run(engine)
    assert deliver_events(engine, settings) == 3
    said = "transport.transports.wrong.url: must hold no credentials"
    assert said in caplog.text
    assert said in _listed(engine)["wrong"]["error"]
    caplog.clear()
    assert deliver_events(engine, settings) == 0
    assert said not in caplog.text  # it is left alone for a while
    assert "s3cret" not in caplog.text + json.dumps(_listed(engine), default=str)
