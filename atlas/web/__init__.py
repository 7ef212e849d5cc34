"""The web process: a thin Flask API that writes requests into the ledger and reads answers there.

Nothing is imported until an application is wanted, so that whoever only needs the room's name (the
command line, gunicorn's master) pays nothing. No engine, no connector library ever enters here.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from atlas.garbage import not_looked_for

if TYPE_CHECKING:
    from flask import Flask

    from atlas.settings import Settings

__all__ = ["create_app"]


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application; nothing is connected to before the first request.

    Args:
        settings: those of the process when left out, read from its environment.

    Raises:
        UsageError: a setting is wrong.
    """
    if "atlas.web.app" not in sys.modules:
        with not_looked_for():
            importlib.import_module("atlas.web.app")
    from atlas.web.app import build

    return build(settings)
