"""The sidebar: which pages there are, in their groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Asker(Protocol):
    """Who asks: a key, or a user with a session."""

    def may(self, role: str) -> bool:
        """Whether their role includes ``role``."""


@dataclass(frozen=True, slots=True)
class Item:
    """A link: its words, where it leads, the least role that may follow it, its icon."""

    title: str
    path: str
    role: str
    icon: str


NAVIGATION: tuple[tuple[str, tuple[Item, ...]], ...] = (
    ("", (Item("Overview", "/", "viewer", "overview"),)),
    (
        "Sources",
        (
            Item("Connectors", "/connectors", "viewer", "plug"),
            Item("Connections", "/connections", "viewer", "link"),
        ),
    ),
    (
        "Syncs",
        (
            Item("Runs", "/runs", "viewer", "runs"),
            Item("Schedules", "/schedules", "viewer", "clock"),
        ),
    ),
    (
        "Data",
        (
            Item("Catalog", "/catalog", "viewer", "table"),
            Item("Quality", "/quality", "viewer", "check"),
            Item("Lineage", "/lineage", "viewer", "graph"),
        ),
    ),
    (
        "Governance",
        (
            Item("Personal data", "/personal-data", "viewer", "shield"),
            Item("Quarantine", "/quarantine", "viewer", "box"),
            Item("Audit", "/audit", "privacy", "list"),
        ),
    ),
    ("", (Item("Settings", "/settings", "viewer", "settings"),)),
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
