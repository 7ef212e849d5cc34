"""The pages of data and governance, all of them."""

from __future__ import annotations

from atlas.web.ui import catalog, lineage, personal, persons, policies, quality, quarantine

_ROOMS = (catalog, quality, quarantine, lineage, personal, policies, persons)

PAGES = [page for room in _ROOMS for page in room.PAGES]
