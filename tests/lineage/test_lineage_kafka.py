"""Delivery to Kafka: to a broker of the client library's own, over the network."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, Producer

from atlas.errors import TerminalError, TransientError, UsageError
from atlas.lineage.deliver import Delivery
from atlas.lineage.sinks import Sink, sinks
from atlas.settings import Settings

QUIET = {"log_level": 0}
ROOT = {"job": {"namespace": "atlas", "name": "shop"}, "run": {"runId": "r"}}


def _event(number: int, *, child: bool = False) -> dict[str, Any]:
    job = {"namespace": "atlas", "name": "shop.users.chart" if child else "shop"}
    facets = {"parent": {**ROOT, "root": ROOT}} if child else {}
    return {"eventType": "START", "run": {"runId": str(number), "facets": facets}, "job": job}


@pytest.fixture
def broker() -> Iterator[str]:
    """Address of a broker."""
    owner = Producer({"test.mock.num.brokers": 1, **QUIET})
    (found,) = owner.list_topics(timeout=30).brokers.values()
    yield f"{found.host}:{found.port}"
    del owner


@pytest.fixture
def sink(tmp_path: Path) -> Callable[..., Sink]:
    """A sink as a file names it."""

    def made(servers: str, **config: Any) -> Sink:
        transport = {
            "type": "kafka",
            "topic": "lineage",
            "config": {"bootstrap.servers": servers, **QUIET, **config},
        }
        path = tmp_path / "openlineage.yml"
        path.write_text(yaml.safe_dump({"transport": transport}))
        (found,) = sinks(Settings(openlineage_config=path))
        return found

    return made


def _read(broker: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Key and event of the first messages."""
    options = {"group.id": "test", "auto.offset.reset": "earliest", **QUIET}
    consumer = Consumer({"bootstrap.servers": broker, **options})
    try:
        consumer.subscribe(["lineage"])
        messages = consumer.consume(count, timeout=60)
        assert [message.error() for message in messages] == [None] * count
        return [((m.key() or b"").decode(), json.loads(m.value() or b"")) for m in messages]
    finally:
        consumer.close()


def test_events_arrive_in_order_under_the_key_of_their_run(
    broker: str, sink: Callable[..., Sink]
) -> None:
    events = [_event(0), _event(1, child=True), _event(2)]
    delivery = Delivery(sink(broker))
    for event in events:
        delivery.deliver(event)
    delivery.close()
    assert _read(broker, 3) == [("run:atlas/shop", event) for event in events]


def test_what_no_broker_confirms_is_not_delivered(sink: Callable[..., Sink]) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{taken.getsockname()[1]}"
        delivery = Delivery(sink(servers, **{"message.timeout.ms": 500}))
        with pytest.raises(TransientError, match=f"topic lineage of Kafka at {servers} did not"):
            delivery.deliver(_event(0))
        delivery.close()


def test_an_event_that_is_too_large_is_refused(broker: str, sink: Callable[..., Sink]) -> None:
    delivery = Delivery(sink(broker, **{"message.max.bytes": 1000}))
    with pytest.raises(TerminalError, match=r"refused an event \(MSG_SIZE_TOO_LARGE\)"):
        delivery.deliver({**_event(0), "much": "x" * 2000})
    delivery.deliver(_event(1))
    delivery.close()


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"nonsense": "pl4nted"}, "No such configuration property"),
        ({"acks": "pl4nted"}, "Invalid value for configuration property"),
        ({"security.protocol": "ssl", "ssl.ca.location": "/pl4nted"}, "refuses it"),
    ],
)
def test_what_is_set_wrongly_is_named_and_not_quoted(
    sink: Callable[..., Sink], config: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Delivery(sink("127.0.0.1:1", **config))
    assert told in str(caught.value)
    assert "openlineage.yml, transport.config" in str(caught.value)
    assert "pl4nted" not in str(caught.value)
    assert "pl4nted" not in repr(sink("127.0.0.1:1", **config))


def test_where_the_library_is_missing_it_is_said(
    sink: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)
    with pytest.raises(UsageError, match="confluent-kafka is not installed"):
        Delivery(sink("127.0.0.1:1"))
