#!/usr/bin/env python3
"""A source that costs next to nothing: it prints as many rows as its config says, standard library
only, some 300 bytes each, with a STATE after every 10,000.

A measurement of memory or of rows per second must see Atlas, not the source. Names repeat as in
life; e-mail addresses and codes are distinct in every row, and a note (free text, now and then with
a person or an address in it) stands in four, for distinct values are what costs.

::

    fast_source.py spec | check | discover | read --config FILE [--catalog FILE] [--state FILE]

Config: ``rows``, ``state_every`` (default 10,000), ``rows_per_note`` (default 4).
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

STREAM = "people"
_SPEC = {
    "type": "object",
    "required": ["rows"],
    "properties": {
        "rows": {"type": "integer", "minimum": 0},
        "state_every": {"type": "integer", "minimum": 1},
        "rows_per_note": {"type": "integer", "minimum": 1},
    },
}
_TEXT = {"type": ["null", "string"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": _TEXT,
        "email": _TEXT,
        "code": _TEXT,
        "city": _TEXT,
        "status": _TEXT,
        "note": _TEXT,
        "amount": {"type": ["null", "number"]},
        "active": {"type": ["null", "boolean"]},
        "updated_at": {"type": ["null", "string"], "format": "date-time"},
    },
}
_RECORD = (
    '{"type":"RECORD","record":{"stream":"people","emitted_at":%d,"data":{"id":%d,"name":"%s %s",'
    '"email":"%s.%s%d@%s","code":"ref-%x-%x","city":"%s","status":"%s","note":"%s","amount":%d.%02d,'
    '"active":%s,"updated_at":"2024-%02d-%02dT%02d:%02d:%02dZ"}}}\n'
)
# fmt: off
_FIRST = [
    "Anna", "Bruno", "Carla", "David", "Elena", "Frank", "Greta", "Henry", "Irene", "Jonas",
    "Karen", "Louis", "Maria", "Nadia", "Oscar", "Paula", "Quinn", "Rosa", "Simon", "Tina",
    "Ulrich", "Vera", "Walter", "Xenia", "Yann", "Zoe", "Astrid", "Benjamin", "Clara", "Dennis",
]
_LAST = [
    "Andersen", "Bauer", "Carter", "Dubois", "Evans", "Fischer", "Garcia", "Hansen", "Ivanov",
    "Jensen", "Keller", "Larsen", "Martin", "Nielsen", "Olsen", "Petersen", "Quist", "Richter",
    "Schmidt", "Thomsen", "Urban", "Vogel", "Weber", "Young", "Zimmer", "Baker", "Cooper",
    "Dawson", "Elliott", "Foster", "Graham", "Hughes", "Jordan", "Kennedy", "Lambert", "Mason",
    "Norton", "Parker", "Reed",
]
_HOSTS = [
    "example.com", "example.org", "example.net", "mail.example.com", "post.example.org",
]
_CITIES = [
    "Aarhus", "Berlin", "Chicago", "Dublin", "Esbjerg", "Florence", "Geneva", "Hamburg",
    "Istanbul", "Lisbon",
]
_STATUS = [
    "open", "closed", "pending", "cancelled",
]
# fmt: on
_NOTES = (
    "asked for a later delivery of parcel %d, the door is at the back of the house",
    "the invoice %d was paid twice and one of the payments has been sent back today",
    "wants to speak with somebody about order %d before the end of the week, please call back",
    "ticket %d is closed, the customer was content with the answer and had no further questions",
    "returned item %d because it was broken, a new one leaves the warehouse tomorrow morning",
    "subscription %d ends with the year unless it is renewed before the end of December",
    "Peter Miller in London signed for shipment %d, the receipt is in the usual folder",
    "write to jane.doe@example.com about contract %d, she has been away since Monday",
)


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _status(status: str) -> None:
    body = {"stream_descriptor": {"name": STREAM}, "status": status}
    trace = {"type": "STREAM_STATUS", "emitted_at": time.time() * 1000, "stream_status": body}
    say({"type": "TRACE", "trace": trace})


def _state(last: int, count: int) -> None:
    stream = {"stream_descriptor": {"name": STREAM}, "stream_state": {"id": last}}
    state = {"type": "STREAM", "stream": stream, "sourceStats": {"recordCount": float(count)}}
    say({"type": "STATE", "state": state})


def lines(first: int, last: int, repeat: int) -> str:
    """The rows ``first`` to ``last``; the same ones whoever asks."""
    count = last - first + 1
    rng = random.Random(first)
    at = time.time_ns() // 1_000_000
    names, families = rng.choices(_FIRST, k=count), rng.choices(_LAST, k=count)
    hosts, cities = rng.choices(_HOSTS, k=count), rng.choices(_CITIES, k=count)
    states = rng.choices(_STATUS, k=count)
    parts = []
    for number in range(count):
        key = first + number
        name, family, note = names[number], families[number], key // repeat
        parts.append(
            _RECORD
            % (
                *(at, key, name, family),
                *(name.lower(), family.lower(), key, hosts[number]),
                *(key, key * 2654435761 % 4294967296),
                *(cities[number], states[number], _NOTES[note % len(_NOTES)] % (note * 7 + 11)),
                *(key % 5000, key % 100, "true" if key % 3 else "false"),
                *(key % 12 + 1, key % 28 + 1, key % 24, key % 60, key % 59),
            )
        )
    return "".join(parts)


def _read(config: dict[str, Any], state: Any) -> None:
    rows, step = config["rows"], config.get("state_every", 10_000)
    repeat = config.get("rows_per_note", 4)
    done = 0
    for entry in state or []:
        done = entry["stream"]["stream_state"].get("id", 0)
    _status("STARTED")
    _status("RUNNING")
    while done < rows:
        last = min(done + step, rows)
        sys.stdout.write(lines(done + 1, last, repeat))
        _state(last, last - done)
        done = last
    _state(done, 0)
    _status("COMPLETE")


def main(verb: str, arguments: list[str]) -> None:
    """Run one command of the protocol."""
    given = {
        name.removeprefix("--"): json.loads(Path(path).read_text())
        for name, path in zip(arguments[::2], arguments[1::2], strict=True)
    }
    if verb == "spec":
        say({"type": "SPEC", "spec": {"connectionSpecification": _SPEC}})
    elif verb == "check":
        say({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}})
    elif verb == "discover":
        stream = {
            "name": STREAM,
            "json_schema": SCHEMA,
            "supported_sync_modes": ["full_refresh", "incremental"],
            "source_defined_cursor": True,
            "default_cursor_field": ["id"],
            "source_defined_primary_key": [["id"]],
        }
        say({"type": "CATALOG", "catalog": {"streams": [stream]}})
    elif verb == "read":
        _read(given["config"], given.get("state"))
    else:
        sys.exit(f"unknown command {verb}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
