"""What receivers can be told of."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """A kind of event."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_BLOCKED = "run.blocked"
    RUN_CANCELLED = "run.cancelled"
    SCHEMA_CHANGED = "schema.changed"
    PERSONAL_DATA_FOUND = "personal_data.found"


TEST = "webhook.test"
"""Of a delivery that somebody asked for to see whether it arrives."""
