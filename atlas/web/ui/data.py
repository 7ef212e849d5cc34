"""The pages of data and governance, all of them."""

from __future__ import annotations

from atlas.web.ui import catalog

PAGES = [page for room in (catalog,) for page in room.PAGES]
