"""Every page, module by module."""

from __future__ import annotations

from atlas.web.ui import (
    audit,
    connections,
    connectors,
    data,
    entry,
    files,
    overview,
    pages,
    runs,
    schedules,
    settings,
    state,
    webhooks,
    wizard,
)

PAGES: list[pages.Page] = [
    *pages.PAGES,
    *entry.PAGES,
    *overview.PAGES,
    *data.PAGES,
    *connectors.PAGES,
    *files.PAGES,
    *wizard.PAGES,
    *connections.PAGES,
    *runs.PAGES,
    *audit.PAGES,
    *settings.PAGES,
    *webhooks.PAGES,
    *schedules.PAGES,
    *state.PAGES,
]
