"""The format of server-sent events, and the places that their ids name.

Ids come from the ledger, so that a watcher that comes back, to whatever process, goes on where it
was: of a run the number of the last line of its log that was told, with a digest of the progress
that was told last; of all runs the ledger's time.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

RETRY = b"retry: 2000\n\n"
"""After how many milliseconds a watcher whose stream has ended comes back."""

LATER = b"retry: 5000\n\n"
"""The same for one that got no stream, but what there was to tell."""

BEAT = b": still here\n\n"
"""A comment: whoever stands between sees that the connection is alive."""

END = "end"

_PLACE = re.compile(r"(\d{1,18})(?:-([0-9a-f]{8}|end))?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a watcher of a run stands.

    Attributes:
        line: number of the last line that it has.
        digest: of the progress that it has; "end": it knows that the run has ended; "": none.
    """

    line: int
    digest: str = ""

    @property
    def id(self) -> str:
        """As an event's id."""
        return f"{self.line}-{self.digest}" if self.digest else str(self.line)

    def at(self, line: int) -> Place:
        """The place after a line."""
        return replace(self, line=line)


def place(text: str) -> Place | None:
    """The place that an event's id names; None: it names none."""
    found = _PLACE.fullmatch(text)
    return None if found is None else Place(int(found[1]), found[2] or "")


def moment(text: str) -> datetime | None:
    """The time of the ledger that an event's id names; None: it names none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        return None
    return datetime.fromtimestamp(int(text) / 1_000_000, UTC)


def moment_id(at: datetime) -> str:
    """A time of the ledger as an event's id."""
    return str(int(at.timestamp() * 1_000_000))


def event(kind: str, identity: str, document: Any) -> bytes:
    """An event with a JSON document, which has no line breaks."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (
        kind.encode(),
        identity.encode(),
        orjson.dumps(document),
    )


def digest(document: Any) -> str:
    """Tells one document from another."""
    return hashlib.blake2b(orjson.dumps(document), digest_size=4).hexdigest()
