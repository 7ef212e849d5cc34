"""What receivers can be told of, and of what kinds they are."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """A kind of event."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_BLOCKED = "run.blocked"
    RUN_CANCELLED = "run.cancelled"
    RUN_RECOVERED = "run.recovered"
    SCHEMA_CHANGED = "schema.changed"
    PERSONAL_DATA_FOUND = "personal_data.found"


class Kind(StrEnum):
    """How a receiver is told: a program of each event, people of what happened in one message."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    EMAIL = "email"


TEST = "webhook.test"
"""Of a delivery that somebody asked for to see whether it arrives."""
DIGEST = "digest"
"""Of a message to people, which tells of several events."""
