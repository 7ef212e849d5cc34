"""What becomes of a source's schema when it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from atlas.model.stream import StreamKey


class SchemaPolicy(StrEnum):
    """What a connection does with changes of its source's schema."""

    EVOLVE = "evolve"
    """It takes them in: columns are added, types widened."""
    FREEZE = "freeze"
    """It leaves out what is new."""
    FAIL = "fail"
    """It reads nothing until somebody has accepted them."""


class Change(StrEnum):
    """A change of what a source offers."""

    ADDED = "added"
    REMOVED = "removed"
    RETURNED = "returned"
    TYPE = "type"
    KEY = "key"
    LEFT_OUT = "left_out"
    STREAM_ADDED = "stream_added"
    STREAM_REMOVED = "stream_removed"
    STREAM_RETURNED = "stream_returned"
    STREAM_LEFT_OUT = "stream_left_out"


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One change; ``property`` is None where it is one of the whole stream."""

    stream: StreamKey
    change: Change
    property: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """In words, without the stream."""
        told = {
            Change.ADDED: f"column {self.property} is new",
            Change.REMOVED: f"column {self.property} is gone",
            Change.RETURNED: f"column {self.property} is there again",
            Change.LEFT_OUT: f"new column {self.property} is left out",
            Change.STREAM_ADDED: "it is new",
            Change.STREAM_REMOVED: "it is gone",
            Change.STREAM_RETURNED: "it is there again",
            Change.STREAM_LEFT_OUT: "it is new and left out",
        }
        if self.change is Change.TYPE:
            return f"column {self.property} is {self.detail['to']} and was {self.detail['from']}"
        if self.change is Change.KEY:
            return f"its primary key is {self.detail['to']} and was {self.detail['from']}"
        return told[self.change]
