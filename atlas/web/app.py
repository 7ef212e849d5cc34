"""The application factory: what is put together, nothing more."""

from __future__ import annotations

from functools import cache

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from atlas.settings import Settings
from atlas.settings import settings as process_settings
from atlas.web import answers, docs, health, openapi, problems, session
from atlas.web.api import (
    access,
    connections,
    connectors,
    datasets,
    lineage,
    live,
    overview,
    pii,
    quality,
    quarantine,
    runs,
    schedules,
    state,
    subjects,
    syncs,
    uploads,
    webhooks,
)
from atlas.web.operations import Operation
from atlas.web.ui import pages, rooms

MAX_BODY = 1024 * 1024


def operations() -> list[Operation]:
    """Every operation of the API, in the order in which it is documented."""
    data = (datasets, pii, subjects, quality, quarantine, lineage, webhooks)
    control = (overview, connectors, uploads, connections, schedules, state, syncs, runs, live)
    parts = (*control, *data, access, health, docs)
    return [operation for part in parts for operation in part.OPERATIONS]


def build(settings: Settings | None) -> Flask:
    """The application with these settings, or those of the process."""
    app = Flask("atlas.web")
    app.config.update(
        ATLAS_SETTINGS=settings or process_settings(),
        MAX_CONTENT_LENGTH=MAX_BODY,
        # An OPTIONS that nobody asked for is an operation that nobody documented; and there is
        # no CORS: another site's script has no business here.
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    # A path is right or wrong: no redirects to one that is spelt better.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    if hops := app.config["ATLAS_SETTINGS"].proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )
    answers.install(app)
    problems.install(app)
    every = operations()
    for operation in every:
        operation.register(app)
    session.install(app)
    pages.install(app, rooms.PAGES)
    docs.install(app)
    # Made when it is asked for: it takes a while, and few do.
    app.config["ATLAS_OPENAPI"] = cache(lambda: openapi.document(every))
    return app


def warm_up() -> None:
    """Import what the first requests need and the factory leaves out, since it takes a while.

    Raises:
        AtlasError: the broker's settings, or the file of the user's recognizers, are wrong.
    """
    import limits.storage  # noqa: F401
    import redis  # noqa: F401

    from atlas.pii.declared import declared
    from atlas.sync import edit, overview, request, state, subjects  # noqa: F401
    from atlas.sync.broker import app as broker
    from atlas.web import health, metrics  # noqa: F401

    declared(process_settings().pii_recognizers)
    broker().finalize()
    health.newest_revision()
