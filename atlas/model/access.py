"""Who asks for something over HTTP, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass

from atlas.errors import UsageError
from atlas.roles import Role


@dataclass(frozen=True, slots=True)
class Asker:
    """An API key that is valid now, or somebody who is logged in.

    Attributes:
        id: UUID of the key or the account.
        kind: ``key`` or ``user``.
    """

    id: str
    name: str
    role: Role
    kind: str = "key"

    @property
    def actor(self) -> str:
        """What the audit log calls it."""
        return f"{'api' if self.kind == 'key' else 'user'}: {self.name}"

    def may(self, role: Role | str) -> bool:
        """Whether its role includes ``role``; templates name it."""
        return self.role.rank >= Role(role).rank


def named(role: str) -> Role:
    """The role of this name.

    Raises:
        UsageError: there is none.
    """
    if role not in set(Role):
        raise UsageError(f"role {role!r}: must be one of {', '.join(Role)}")
    return Role(role)
