"""What people are told: several events as one message, in plain words. No I/O.

Names, ids and counts, what to do and where; no value of a row, no error's text, and no names of
columns, which a source may make of its data.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from atlas.model.webhooks import TEST, Event

MOST = 100
"""Most events that one message names; it counts them all."""
_MOST_NAMES = 5
_LONGEST_NAME = 80

# What is worst comes first, and is named when there is not room for all.
_ORDER = (
    Event.RUN_FAILED,
    Event.RUN_BLOCKED,
    Event.SCHEMA_CHANGED,
    Event.PERSONAL_DATA_FOUND,
    Event.RUN_RECOVERED,
    Event.RUN_CANCELLED,
    Event.RUN_SUCCEEDED,
)
_TITLES = {
    Event.RUN_FAILED: "Failed",
    Event.RUN_BLOCKED: "Stopped by a quality check",
    Event.SCHEMA_CHANGED: "The source changed",
    Event.PERSONAL_DATA_FOUND: "New personal data",
    Event.RUN_RECOVERED: "Recovered",
    Event.RUN_CANCELLED: "Cancelled",
    Event.RUN_SUCCEEDED: "Succeeded",
}
_ABOUT_ONE = {
    Event.RUN_FAILED: "{} failed",
    Event.RUN_BLOCKED: "{} was stopped by a quality check",
    Event.SCHEMA_CHANGED: "the source of {} changed",
    Event.PERSONAL_DATA_FOUND: "new personal data in {}",
    Event.RUN_RECOVERED: "{} recovered",
    Event.RUN_CANCELLED: "{} was cancelled",
    Event.RUN_SUCCEEDED: "{} succeeded",
}
_ABOUT_MANY = {
    Event.RUN_FAILED: "{} failed",
    Event.RUN_BLOCKED: "{} stopped by quality checks",
    Event.SCHEMA_CHANGED: "{} changes of sources",
    Event.PERSONAL_DATA_FOUND: "{} finds of personal data",
    Event.RUN_RECOVERED: "{} recovered",
    Event.RUN_CANCELLED: "{} cancelled",
    Event.RUN_SUCCEEDED: "{} succeeded",
}
_REMEDIES = {
    Event.RUN_FAILED: "The run says what failed and why; once that is mended, retry it. While it "
    "goes on you are told again once a day, and when it is over if you asked for that.",
    Event.RUN_BLOCKED: "The run says which checks: mend the data at the source, or the checks.",
    Event.SCHEMA_CHANGED: "See what changed: `atlas connections changes NAME`, or its page.",
    Event.PERSONAL_DATA_FOUND: "See whether what was found, and what becomes of it, is right: "
    "`atlas pii show DATASET`, or the pages of personal data.",
}


def gather(payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a message is made of: ``counts`` by kind, and the worst ``events``, oldest first.

    Args:
        payloads: what programs are told, oldest first: ``type``, ``timestamp``, ``data``.
    """
    told = [_event(each) for each in payloads]
    recovered = {each["run_id"] for each in told if each["kind"] == Event.RUN_RECOVERED}
    # That a run recovered says that it succeeded.
    same = [each["kind"] == Event.RUN_SUCCEEDED and each["run_id"] in recovered for each in told]
    events = [each for each, left_out in zip(told, same, strict=True) if not left_out]
    counts = Counter(each["kind"] for each in events)
    events.sort(key=lambda each: _ORDER.index(Event(each["kind"])))
    return {"counts": dict(counts), "events": events[:MOST]}


def _event(payload: Mapping[str, Any]) -> dict[str, Any]:
    data = payload["data"]
    told = {
        "kind": payload["type"],
        "at": payload["timestamp"],
        "run_id": data["run_id"],
        "connection": data["connection"],
    }
    if "failing_since" in data:
        told["since"] = data["failing_since"]
        told["first"] = data["failed_run_id"] == data["run_id"]
    if "count" in data:
        told["count"] = data["count"]
    if "changes" in data:
        told["streams"] = sorted({each["stream"] for each in data["changes"]})
    if "found" in data:
        told["streams"] = [data["stream"]]
        told["entities"] = sorted({each["entity_type"] for each in data["found"]})
    return told


def subject(kind: str, data: Mapping[str, Any]) -> str:
    """One line of what a message says."""
    if kind == TEST:
        return "a test"
    counts = {each: data["counts"].get(each.value, 0) for each in _ORDER}
    of = {each["connection"] for each in data["events"]}
    parts = [each for each, count in counts.items() if count]
    if len(of) == 1 and sum(counts.values()) <= MOST:
        (name,) = of
        return ", ".join(_ABOUT_ONE[each].format(name) for each in parts)
    return ", ".join(_ABOUT_MANY[each].format(counts[each]) for each in parts)


def text(kind: str, data: Mapping[str, Any], public_url: str | None) -> str:
    """What a message says, in lines.

    Args:
        public_url: where browsers reach Atlas; None: commands are named instead.
    """
    if kind == TEST:
        return "This is a test: messages of Atlas arrive here.\n"
    blocks = []
    for each in _ORDER:
        count = data["counts"].get(each.value, 0)
        if not count:
            continue
        named = [event for event in data["events"] if event["kind"] == each.value]
        lines = [f"{_TITLES[each]} ({count})"]
        lines += [f"- {_line(each, event, public_url)}" for event in named]
        if count > len(named):
            lines.append(f"- and {count - len(named)} more: {_all(each, public_url)}")
        if each in _REMEDIES:
            lines.append(_REMEDIES[each])
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _line(kind: Event, event: Mapping[str, Any], public_url: str | None) -> str:
    said = [f"{event['connection']}, {_at(event['at'])}"]
    if kind is Event.RUN_RECOVERED or not event.get("first", True):
        verb = "had failed" if kind is Event.RUN_RECOVERED else "has failed"
        said.append(f"{verb} since {_at(event['since'])}")
    if kind is Event.SCHEMA_CHANGED:
        said.append(f"{event['count']} of streams or columns, in {_names(event['streams'])}")
    if kind is Event.PERSONAL_DATA_FOUND:
        where = f"{event['count']} in stream {_names(event['streams'])}"
        said.append(f"{where} ({_names(event['entities'])})")
    return f"{'; '.join(said)}: {_where(event['run_id'], public_url)}"


def _where(run_id: str, public_url: str | None) -> str:
    return f"`atlas runs show {run_id}`" if public_url is None else f"{public_url}/runs/{run_id}"


def _all(kind: Event, public_url: str | None) -> str:
    status = kind.value.partition(".")[2]
    if kind not in (Event.RUN_FAILED, Event.RUN_BLOCKED):
        return "`atlas runs list`" if public_url is None else f"{public_url}/runs"
    if public_url is None:
        return f"`atlas runs list --status {status}`"
    return f"{public_url}/runs?status={status}"


def _at(timestamp: str) -> str:
    """An instant in UTC, to the minute."""
    return f"{datetime.fromisoformat(timestamp).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _names(names: Sequence[str]) -> str:
    shown = [_name(each) for each in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        shown.append(f"{len(names) - _MOST_NAMES} more")
    return ", ".join(shown)


def _name(name: str) -> str:
    """A name that a source gave, in one line."""
    clean = re.sub(r"[^\w .:$/-]", "?", name)
    return clean if len(clean) <= _LONGEST_NAME else clean[: _LONGEST_NAME - 1] + "…"
