"""Delivery to a Kafka topic, where ``confluent-kafka`` is installed.

The client's transport takes an event that has been queued for one that has been sent, and only logs
what becomes of it; here an event is delivered once a broker has confirmed it.
"""

from __future__ import annotations

from typing import Any

from openlineage.client.serde import Serde
from openlineage.client.transport.kafka import KafkaConfig, KafkaTransport

from atlas.errors import TerminalError, TransientError, UsageError
from atlas.lineage.sinks import Sink

TIMEOUT = 5.0
"""Seconds within which a broker has to confirm an event."""

_NOT_INSTALLED = "confluent-kafka is not installed where the control workers run: install it there"


class KafkaSink:
    """Messages to one topic; those of a run have one key, so that they stay in order.

    Raises:
        UsageError: confluent-kafka is missing, or refuses what is set.
    """

    def __init__(self, sink: Sink) -> None:
        assert sink.kafka is not None  # noqa: S101 - by whoever chose this
        try:
            from confluent_kafka import KafkaException
        except ImportError as error:
            raise UsageError(f"setting {sink.url_said}: {_NOT_INSTALLED}") from error
        self._where = sink.target
        config = {
            "message.timeout.ms": int(TIMEOUT * 1000),
            # Below that it writes each failed try to connect to the worker's log.
            "log_level": 2,
            **sink.kafka.config,
        }
        try:
            self._transport = KafkaTransport(
                KafkaConfig(config=config, topic=sink.kafka.topic, flush=False)
            )
        except (KafkaException, TypeError, ValueError) as error:
            # Not "from error": its text may hold what is set, such as a password.
            raise UsageError(f"setting {sink.key_said}: {_problem(error)}") from None
        self._key = sink.kafka.message_key

    def send(self, event: dict[str, Any]) -> None:
        """Produce one event, and wait for what becomes of it.

        Raises:
            TransientError: no broker has confirmed it in time. TerminalError: it is refused.
        """
        from confluent_kafka import KafkaError, KafkaException

        errors: list[KafkaError | None] = []
        producer: Any = self._transport.producer
        try:
            producer.produce(
                self._transport.topic,
                key=self._key or _key(event),
                value=Serde.to_json(event).encode(),
                on_delivery=lambda error, _: errors.append(error),
            )
        except KafkaException as error:
            raise self._failure(error.args[0]) from error
        producer.flush(TIMEOUT + 1)
        if not errors:
            # It must not arrive after what is to come before it.
            producer.purge()
            producer.flush(0)
            raise TransientError(f"{self._where} did not confirm an event in time; delivered later")
        if errors[0] is not None:
            raise self._failure(errors[0])

    def _failure(self, error: Any) -> TransientError | TerminalError:
        from confluent_kafka import KafkaError

        name = error.name()
        if error.code() in (
            KafkaError.MSG_SIZE_TOO_LARGE,
            KafkaError.INVALID_MSG,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.TOPIC_EXCEPTION,
        ):
            return TerminalError(f"{self._where} refused an event ({name})")
        return TransientError(f"{self._where} did not take an event ({name}); delivered later")

    def close(self) -> None:
        """Let go of the brokers; nothing is waiting."""
        self._transport.producer = None


def _key(event: dict[str, Any]) -> str:
    """As the client makes it: of the job at the root of the run."""
    parent = event["run"].get("facets", {}).get("parent", {})
    job = parent.get("root", parent).get("job", event["job"])
    return f"run:{job['namespace']}/{job['name']}"


def _problem(error: Exception) -> str:
    told = error.args[0].str() if error.args and hasattr(error.args[0], "str") else ""
    # Of a wrong value it tells the property alone; of anything else, say that it is refused.
    if told.startswith(("No such configuration property", "Invalid value for configuration")):
        return str(told)
    return "confluent-kafka refuses it"
