"""Where lineage events go: one endpoint or file, or several as a file in the official client's
format (openlineage.yml) names them. Each is called by a name, under which the ledger keeps what it
has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from atlas.errors import UsageError
from atlas.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_KEYS = {
    "http": {"type", "url", "endpoint", "auth"},
    "file": {"type", "log_file_path", "append"},
    "console": {"type"},
    "kafka": {"type", "topic", "config", "messageKey", "flush"},
}


@dataclass(frozen=True, slots=True)
class Kafka:
    """A topic: ``config`` is the producer's, and may hold a password."""

    topic: str
    config: dict[str, Any] = field(repr=False)
    message_key: str | None = None


@dataclass(frozen=True, slots=True)
class Sink:
    """A place that events go to.

    Attributes:
        name: what it is called.
        url: of an HTTP endpoint.
        api_key: for it, sent as a bearer token.
        path: of a file.
        kafka: a topic of Kafka. None of these three: the worker's log.
        url_said, key_said: where a person set these, for errors.
    """

    name: str
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    path: Path | None = None
    kafka: Kafka | None = None
    url_said: str = "ATLAS_OPENLINEAGE_URL"
    key_said: str = "ATLAS_OPENLINEAGE_API_KEY"

    @property
    def target(self) -> str:
        """Where it is, without anything secret."""
        if self.url is not None:
            parts = urlsplit(self.url)
            # Neither a login nor a token in the query.
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if self.kafka is not None:
            servers = self.kafka.config.get("bootstrap.servers", "brokers that are not named")
            return f"topic {self.kafka.topic} of Kafka at {servers}"
        return "the log of the workers" if self.path is None else str(self.path)


def sinks(settings: Settings) -> tuple[Sink, ...]:
    """All places that events go to, at least one.

    Raises:
        UsageError: the file that names them is wrong, or something else names one as well.
    """
    if settings.openlineage_config is not None:
        if settings.openlineage_url is not None or settings.openlineage_api_key is not None:
            raise UsageError(
                "setting ATLAS_OPENLINEAGE_CONFIG: ATLAS_OPENLINEAGE_URL or _API_KEY is set as "
                "well; name the endpoint in the file, or unset one of them"
            )
        return _of_file(settings.openlineage_config)
    if settings.openlineage_url is not None:
        return (Sink("http", settings.openlineage_url, settings.openlineage_api_key),)
    return (Sink("file", path=settings.home / "lineage" / "events.jsonl"),)


def _of_file(path: Path) -> tuple[Sink, ...]:
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"setting ATLAS_OPENLINEAGE_CONFIG: {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        # Not "from error": its text quotes the file, which may hold a key.
        raise UsageError(f"{path}{where}: is no YAML") from None
    if not isinstance(document, dict) or set(document) != {"transport"}:
        raise UsageError(f"{path}: must have the key transport, and no other")
    transport = document["transport"]
    if not (isinstance(transport, dict) and transport.get("type") == "composite"):
        return (_sink(path, "transport", transport),)
    if set(transport) != {"type", "transports"} or not transport["transports"]:
        raise UsageError(f"{path}: transport: a composite has transports, and nothing else")
    inner = transport["transports"]
    if not isinstance(inner, dict):
        raise UsageError(f"{path}: transport.transports: must be transports by name")
    return tuple(_sink(path, f"transport.transports.{name}", inner[name], name) for name in inner)


def _sink(path: Path, place: str, given: Any, name: Any = None) -> Sink:
    kind = given.get("type") if isinstance(given, dict) else None
    if kind not in _KEYS:
        raise UsageError(f"{path}: {place}.type: must be one of {', '.join(_KEYS)}, or composite")
    if strange := set(given) - _KEYS[kind]:
        raise UsageError(
            f"{path}: {place}.{min(map(str, strange))}: is no key of type {kind} that Atlas "
            f"knows; there are {', '.join(sorted(_KEYS[kind]))}"
        )
    name = kind if name is None else name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(f"{path}: {place}: a name has up to 40 of a-z, 0-9, - and _")
    if kind == "http":
        return _http(path, place, given, name)
    if kind == "file":
        if given.get("append", True) is not True:
            raise UsageError(f"{path}: {place}.append: must be true: Atlas overwrites no events")
        return Sink(name, path=Path(_text(path, place, given, "log_file_path")).absolute())
    if kind == "kafka":
        return _kafka(path, place, given, name)
    return Sink(name)


def _kafka(path: Path, place: str, given: dict[str, Any], name: str) -> Sink:
    config = given.get("config")
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise UsageError(
            f"{path}: {place}.config: must be what the producer is set with, such as "
            "{bootstrap.servers: kafka:9092}"
        )
    if given.get("flush", True) is not True:
        raise UsageError(
            f"{path}: {place}.flush: must be true: an event is delivered when it is confirmed"
        )
    key = None if "messageKey" not in given else _text(path, place, given, "messageKey")
    kafka = Kafka(_text(path, place, given, "topic"), config, key)
    said = f"{path}, {place}"
    return Sink(name, kafka=kafka, url_said=said, key_said=f"{said}.config")


def _http(path: Path, place: str, given: dict[str, Any], name: str) -> Sink:
    url, key = _text(path, place, given, "url"), None
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{path}: {place}.url: must start with http: or https:")
    if "endpoint" in given:
        url = f"{url.rstrip('/')}/{_text(path, place, given, 'endpoint').lstrip('/')}"
    if "auth" in given:
        auth = given["auth"]
        if not isinstance(auth, dict) or auth.get("type") != "api_key":
            raise UsageError(f"{path}: {place}.auth.type: must be api_key")
        key = _text(path, f"{place}.auth", auth, "apiKey")
    said = f"{path}, {place}"
    return Sink(name, url, key, url_said=f"{said}.url", key_said=f"{said}.auth.apiKey")


def _text(path: Path, place: str, given: dict[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{path}: {place}.{key}: must be a text that is not empty")
    return value
