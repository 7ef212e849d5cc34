"""The sidebar: which pages there are, in their groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from atlas.roles import Role


class Asker(Protocol):
    """Who asks: a key, or a user with a session."""

    def may(self, role: Role) -> bool:
        """Whether their role includes ``role``."""


@dataclass(frozen=True, slots=True)
class Item:
    """A link: its words, where it leads, the least role that may follow it, its icon."""

    title: str
    path: str
    role: Role
    icon: str


NAVIGATION: tuple[tuple[str, tuple[Item, ...]], ...] = (
    ("", (Item("Overview", "/", Role.VIEWER, "overview"),)),
    (
        "Sources",
        (
            Item("Connectors", "/connectors", Role.VIEWER, "plug"),
            Item("Connections", "/connections", Role.VIEWER, "link"),
            Item("Files", "/files", Role.VIEWER, "file"),
        ),
    ),
    (
        "Syncs",
        (
            Item("Runs", "/runs", Role.VIEWER, "runs"),
            Item("Schedules", "/schedules", Role.VIEWER, "clock"),
        ),
    ),
    (
        "Data",
        (
            Item("Catalog", "/catalog", Role.VIEWER, "table"),
            Item("Quality", "/quality", Role.VIEWER, "check"),
            Item("Lineage", "/lineage", Role.VIEWER, "graph"),
        ),
    ),
    (
        "Governance",
        (
            Item("Personal data", "/personal-data", Role.VIEWER, "shield"),
            Item("Quarantine", "/quarantine", Role.VIEWER, "box"),
            Item("Audit", "/audit", Role.PRIVACY, "list"),
        ),
    ),
    ("", (Item("Settings", "/settings", Role.VIEWER, "settings"),)),
)


def groups(who: Asker, path: str, has_page: Callable[[str], bool]) -> list[dict[str, Any]]:
    """What ``who`` may follow: ``[{"title", "entries": [{"title", "path", "icon", "current"}]}]``.

    The entry of the page ``path``, or of one below it, is the current one.
    """
    if path.startswith("/drafts/"):  # a connection in the making
        path = "/connections/new"
    found = []
    for title, items in NAVIGATION:
        entries = [
            {
                "title": item.title,
                "path": item.path,
                "icon": item.icon,
                "current": path == item.path
                or (item.path != "/" and path.startswith(item.path + "/")),
            }
            for item in items
            if has_page(item.path) and who.may(item.role)
        ]
        if entries:
            found.append({"title": title, "entries": entries})
    return found
