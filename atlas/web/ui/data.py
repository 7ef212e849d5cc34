"""The pages of data and governance, all of them."""

from __future__ import annotations

from atlas.web.ui import catalog, quality, quarantine

PAGES = [page for room in (catalog, quality, quarantine) for page in room.PAGES]
