"""The errors of Atlas: what a user reads, and whether trying again can help.

An error is classified once, at the edge where it enters (the driver, the connector, the broker,
the user's file), and raised ``from`` its cause. Its message is one line that names the thing and
says what to do, and holds neither a secret nor personal data.
"""

from __future__ import annotations


class AtlasError(Exception):
    """Base of every error that Atlas raises on purpose. ``str()`` is one line for the user."""

    exit_code = 1


class UsageError(AtlasError):
    """The request itself is wrong (a misspelt key, an unknown name); nothing was done."""

    exit_code = 2


class NotFound(UsageError):
    """The named thing does not exist."""


class Conflict(AtlasError):
    """The request is right but cannot be taken now (an active run, a name in use)."""


class ActiveRun(Conflict):
    """The connection already has an active run, named by ``run_id``."""

    def __init__(self, connection: str, run_id: str) -> None:
        super().__init__(
            f"connection {connection} already has an active run, {run_id}: "
            "wait for it to end before you start another"
        )
        self.connection = connection
        self.run_id = run_id


class TransientError(AtlasError):
    """The work failed for a reason that may pass; the ledger schedules another attempt.

    ``max_attempts`` bounds the attempts below the setting where the cause says so
    (Airbyte's ``system_error`` is tried once more).
    """

    def __init__(self, message: str, *, max_attempts: int | None = None) -> None:
        super().__init__(message)
        self.max_attempts = max_attempts


class TerminalError(AtlasError):
    """The work failed for a reason that no repetition mends; the stage ends ``failed``."""


class LostClaim(AtlasError):
    """The fence moved on: somebody else holds this stage now, and nothing more may be written."""
