"""The pages of data and governance, all of them."""

from __future__ import annotations

from atlas.web.ui import catalog, lineage, quality, quarantine

PAGES = [page for room in (catalog, quality, quarantine, lineage) for page in room.PAGES]
