"""A source that starts as fast as Python can: one stream, of no rows, a few, or much prose.

What a run costs beside its rows must not hide behind a connector that takes its time; and a search
for personal data that is to be kept busy needs text that a language model has to read, every row
another one: sentences of everyday words, now and then with a person or a place in them. Run as
:mod:`bench.plain` says: what finds the interpreter by its name may take longer than all the rest.

::

    plain_source.py spec | check | discover | read --config FILE [--catalog FILE]

Config: ``rows`` (default 0), ``words`` of prose in each (default 0: only its number), ``edition``
(default 0) of the prose: none has a text of another, for a scanner remembers what it has read.
"""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported at run time is paid for at each start
    from collections.abc import Iterator
    from typing import Any

STREAM = "notes"
_SPEC = {
    "type": "object",
    "properties": {
        "rows": {"type": "integer", "minimum": 0},
        "words": {"type": "integer", "minimum": 0},
        "edition": {"type": "integer", "minimum": 0},
    },
}
_STREAM = {
    "name": STREAM,
    "json_schema": {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "note": {"type": ["null", "string"]}},
    },
    "supported_sync_modes": ["full_refresh"],
    "source_defined_primary_key": [["id"]],
}
_PARTS = (
    ("Yesterday", "On Monday", "Last week", "After lunch", "In the morning", "Before the meeting"),
    ("the customer", "Maria Jensen", "our driver", "a neighbour", "Peter Miller", "the manager"),
    ("called about", "wrote us about", "asked again for", "was not content with", "paid for"),
    ("the broken lamp", "two wooden chairs", "an old invoice", "the late parcel", "her new desk"),
    ("from the warehouse in Hamburg", "from the shop", "from the second order", "of last spring"),
    ("and wants", "and hopes for", "but refused", "and kindly accepted", "and still waits for"),
    ("a refund.", "another delivery.", "an answer by phone.", "a letter from London.", "help."),
)


def main(verb: str, arguments: list[str]) -> None:
    """Run one command of the protocol."""
    if verb == "spec":
        _say({"type": "SPEC", "spec": {"connectionSpecification": _SPEC}})
    elif verb == "check":
        _say({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}})
    elif verb == "discover":
        _say({"type": "CATALOG", "catalog": {"streams": [_STREAM]}})
    elif verb == "read":
        # Not pathlib, which takes as long to import as all the rest.
        with open(arguments[arguments.index("--config") + 1], "rb") as file:  # noqa: PTH123
            config = json.load(file)
        _status("STARTED")
        _read(config.get("rows", 0), config.get("words", 0), config.get("edition", 0))
        _status("COMPLETE")
    else:
        sys.exit(f"unknown command {verb}")


def _read(rows: int, words: int, edition: int) -> None:
    notes = _prose(words, edition) if words else iter(str, None)
    for number in range(1, rows + 1):
        record = {"stream": STREAM, "emitted_at": 0, "data": {"id": number, "note": next(notes)}}
        sys.stdout.write(json.dumps({"type": "RECORD", "record": record}) + "\n")


def _prose(words: int, edition: int) -> Iterator[str]:
    import random

    rng = random.Random(edition)
    number = 0
    while True:
        number += 1
        text = [f"Ticket {edition}-{number}."]
        while len(text) < words:
            text += " ".join(map(rng.choice, _PARTS)).split()
        yield " ".join(text)


def _status(status: str) -> None:
    body = {"stream_descriptor": {"name": STREAM}, "status": status}
    _say(
        {
            "type": "TRACE",
            "trace": {"type": "STREAM_STATUS", "emitted_at": 0, "stream_status": body},
        }
    )


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
