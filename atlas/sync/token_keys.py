"""Another key for tokens: made, brought to every table by runs that mask anew, and the old one
forgotten."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from atlas.errors import ActiveRun, NotFound, UsageError
from atlas.ledger import audit, rotation
from atlas.ledger.database import classified
from atlas.settings import Settings, secret_key
from atlas.sync.request import request_remask


def rotate(engine: sa.Engine, settings: Settings, *, actor: str) -> dict[str, Any]:
    """Make a new key of tokens, and have all tables masked anew with it.

    Returns:
        As :func:`finish`, with the number of the new key as ``token_key``.

    Raises:
        UsageError: the secret key is being replaced. WrongSecretKey, LostKeys: as they say.
        TransientError: PostgreSQL cannot be reached.
    """
    with classified(engine.url.render_as_string()), engine.begin() as conn:
        number = rotation.add_token_key(conn, secret_key(settings))
        audit.put(conn, actor, "pii.tokens.rotate", f"key {number}")
    return {"token_key": number, **finish(engine, settings, actor=actor)}


def finish(engine: sa.Engine, settings: Settings, *, actor: str) -> dict[str, Any]:
    """Have all tables that may hold tokens of an older key masked anew, and forget the keys of
    which no token is left. It may be asked for again at any time.

    Returns:
        ``{"keys": int, "runs": {connection: run id}, "left": {connection: why not}}``; ``keys``:
        how many there are, one when all is done.

    Raises:
        As :func:`rotate`.
    """
    secret, url = secret_key(settings), engine.url.render_as_string()
    started: dict[str, str] = {}
    left: dict[str, str] = {}
    with classified(url), engine.begin() as conn:
        names = rotation.behind(conn, secret)
    for name in names:
        try:
            with classified(url), engine.begin() as conn:
                rotation.skip_unused(conn, secret, name)
        except NotFound:
            left[name] = (
                "it was deleted, and its tables were kept: apply it again, then ask for this "
                "again, or delete it with --drop-data"
            )
    with classified(url), engine.begin() as conn:
        names = rotation.behind(conn, secret)
    for name in names:
        if name in left:
            continue
        try:
            started[name] = request_remask(engine, name, actor=actor)
        except (ActiveRun, UsageError) as error:
            left[name] = str(error)
    with classified(url), engine.begin() as conn:
        keys, forgotten = rotation.forget_token_keys(conn, secret)
        for number in forgotten:
            audit.put(conn, actor, "pii.tokens.forget", f"key {number}")
    return {"keys": len(keys), "runs": started, "left": left}
