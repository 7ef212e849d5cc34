"""Every page, module by module."""

from __future__ import annotations

from atlas.web.ui import (
    audit,
    catalog,
    connections,
    connectors,
    entry,
    files,
    lineage,
    overview,
    pages,
    personal,
    persons,
    policies,
    quality,
    quarantine,
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
    *catalog.PAGES,
    *quality.PAGES,
    *quarantine.PAGES,
    *lineage.PAGES,
    *personal.PAGES,
    *policies.PAGES,
    *persons.PAGES,
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
