"""The errors of Atlas: what a user reads, and whether trying again can help.

An error is classified once, at the edge where it enters (the driver, the connector, the broker,
the user's file), and raised ``from`` its cause. Its message is one line that names the thing and
says what to do, and holds neither a secret nor personal data.
"""

from __future__ import annotations

import errno

from atlas.roles import Role

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""``errno`` of an OSError: no room on the disk, in the quota, or for a file of that size."""


class AtlasError(Exception):
    """Base of every error that Atlas raises on purpose. ``str()`` is one line for the user."""

    exit_code = 1

    def __str__(self) -> str:
        # Names that a source chose may have line breaks.
        return " ".join(super().__str__().split())


class UsageError(AtlasError):
    """The request itself is wrong (a misspelt key, an unknown name); nothing was done."""

    exit_code = 2


class NotFound(UsageError):
    """The named thing does not exist."""


class NotAllowed(AtlasError):
    """Whoever asks may not have this done; a key of role ``role`` may."""

    def __init__(self, role: Role, what: str) -> None:
        super().__init__(f"{what}, which needs a key of role {role}")
        self.role = role


class Conflict(AtlasError):
    """The request is right but cannot be taken now (an active run, a name in use)."""


class ActiveRun(Conflict):
    """The connection already has an active run, named by ``run_id``; ``before``: what has to wait
    for its end."""

    def __init__(self, connection: str, run_id: str, *, before: str = "you start another") -> None:
        super().__init__(
            f"connection {connection} already has an active run, {run_id}: "
            f"wait for it to end before {before}"
        )
        self.connection = connection
        self.run_id = run_id


class RunEnded(Conflict):
    """The run has ended, so there is nothing to cancel."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id} has ended already: it is {status}")
        self.run_id = run_id
        self.status = status


class NotInstalled(Conflict):
    """The connector has to be installed before it can be said what it accepts."""

    def __init__(self, connector: str) -> None:
        super().__init__(
            f"connector {connector} is not installed, so nobody can say what its configuration "
            f"must be: install it (POST /api/v1/connectors/{connector}/install), then ask again"
        )


class TransientError(AtlasError):
    """The work failed for a reason that may pass; the ledger schedules another attempt.

    ``max_attempts`` bounds the attempts below the setting where the cause says so
    (Airbyte's ``system_error`` is tried once more). An ``outage`` is no fault of the work: it is
    waited for, far beyond the setting.
    """

    def __init__(
        self, message: str, *, max_attempts: int | None = None, outage: bool = False
    ) -> None:
        super().__init__(message)
        self.max_attempts = max_attempts
        self.outage = outage

    @property
    def cause(self) -> str:
        """Errors of one cause are counted together against their cap."""
        if self.outage:
            return "outage"
        return "transient" if self.max_attempts is None else "bounded"


class WrongSecretKey(TransientError):
    """The secret key opens nothing in this database, now. Worth a second look, at the key's file
    too: it may have been replaced between the two."""

    def __init__(self) -> None:
        super().__init__(
            "the secret key is not the one of this database: set ATLAS_SECRET_KEY to that one, or "
            "bring back its secret.key",
            max_attempts=2,
        )


class TerminalError(AtlasError):
    """The work failed for a reason that no repetition mends; the stage ends ``failed``."""


class LostKeys(TerminalError):
    """The keys at work are gone, or are others than the stored data were made with."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: with other keys every token would change its meaning and every row its hash, "
            "and nothing encrypted could be read. Restore table pipeline.secret_slot, and the "
            "secret key, from the backup that the data are from"
        )


class LostClaim(AtlasError):
    """The fence moved on: somebody else holds this stage now, and nothing more may be written."""
