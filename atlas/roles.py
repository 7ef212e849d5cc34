"""The roles: what somebody may who asks over HTTP. Everything that names one takes it from here."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may, and more."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    PRIVACY = "privacy"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Place among the roles, from 0: the higher, the more it may."""
        return list(Role).index(self)

    @property
    def about(self) -> str:
        """What it may do, for who chooses one."""
        return _ABOUT[self]


_ABOUT = {
    Role.VIEWER: "reads, masked",
    Role.OPERATOR: "also runs and configures",
    Role.PRIVACY: "also unmasks, exports and erases",
    Role.ADMIN: "everything",
}
