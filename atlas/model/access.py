"""Who asks for something over HTTP, and what that allows."""

from __future__ import annotations

from dataclasses import dataclass

ROLES = ("viewer", "operator", "privacy", "admin")
"""Each may do what those before it may, and more."""


@dataclass(frozen=True, slots=True)
class Asker:
    """An API key that is valid now, or somebody who is logged in.

    Attributes:
        id: UUID of the key or the account.
        kind: ``key`` or ``user``.
    """

    id: str
    name: str
    role: str
    kind: str = "key"

    @property
    def actor(self) -> str:
        """What the audit log calls it."""
        return f"{'api' if self.kind == 'key' else 'user'}: {self.name}"

    def may(self, role: str) -> bool:
        """Whether its role includes ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)
