"""Stages of the pipeline and the states that runs, streams and stages pass through."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """A kind of work. Their order is :data:`atlas.stages.ORDER`."""

    EXPLORE = "explore"
    PII = "pii"
    QUALITY = "quality"
    CHART = "chart"
    NAVIGATE = "navigate"
    LINEAGE = "lineage"


class Layer(StrEnum):
    """Where data are stored; each is a PostgreSQL schema of the same name."""

    EXPLORE = "explore"
    CHART = "chart"
    NAVIGATE = "navigate"


class Status(StrEnum):
    """State of a run, of one of its streams, or of a stage run (where ``queued`` is "pending")."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self not in (Status.QUEUED, Status.RUNNING)


SEVERITY: tuple[Status, ...] = (
    Status.SUCCEEDED,
    Status.BLOCKED,
    Status.CANCELLED,
    Status.FAILED,
)
"""Ended states from best to worst: a run's status is the worst of its streams'."""


def worst(statuses: list[Status]) -> Status:
    """The worst of ended ``statuses``; of none, ``succeeded`` (a run that had nothing to do)."""
    return max(statuses, key=SEVERITY.index, default=Status.SUCCEEDED)
