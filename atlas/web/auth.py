"""Who asks: an API key in ``Authorization: Bearer``, or the session of somebody who is logged in;
and what their roles allow.

A program sends its key, and no cookie plays a part. A browser sends the cookie of its session with
whatever any site makes it ask; :mod:`atlas.web.session` sees that a page of Atlas did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import sqlalchemy as sa
from flask import Response, after_this_request, g, request

from atlas.errors import AtlasError
from atlas.ledger import keys, sessions
from atlas.ledger.database import classified
from atlas.model.access import Asker
from atlas.roles import Role
from atlas.web import rates, session
from atlas.web.database import engine, single
from atlas.web.problems import CHALLENGE, Problem

log = logging.getLogger(__name__)


def require(role: Role) -> Asker:
    """Who asks, if they may do what ``role`` may; they are remembered in ``g.key``.

    Raises:
        Problem: 401 without a valid key or session, 403 when the role is not enough, or when a
            session asks for something that no page of Atlas asked for.
        TransientError: PostgreSQL cannot be asked.
    """
    asker = _by_key() if "Authorization" in request.headers else _by_session()
    g.key = asker
    if not asker.may(role):
        what = "key" if asker.kind == "key" else "user"
        raise Problem(
            "forbidden",
            f"this needs role {role}, and {what} {asker.name!r} has role {asker.role}",
            {"required_role": role},
            {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{role}"'},
        )
    return asker


def admit(role: Role | None, *, counted: bool = True) -> None:
    """See that whoever asks may do what ``role`` may (None: everybody may), and has not asked too
    often.

    Args:
        counted: whether the request counts against the limits of whoever asks.

    Raises:
        Problem: as :func:`require`; 429, it is one too many.
    """
    if role is None:
        if counted:
            rates.count_address()
        return
    try:
        require(role)
    except Problem as problem:
        if problem.kind == "unauthorized":
            rates.count_address()
        raise
    finally:
        if counted and "key" in g:
            rates.count_asker()


def _by_key() -> Asker:
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise _nobody("send an API key as `Authorization: Bearer <key>`")
    with single() as conn:
        found = keys.find(conn, given.token)
    if found is None:
        raise Problem(
            "unauthorized",
            "this API key is unknown, expired or revoked; `atlas keys create` makes a new one",
            headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'},
        )
    asker, stale = found
    if stale:
        _afterwards(lambda conn: keys.touch(conn, asker.id))
    return asker


def _by_session() -> Asker:
    found = session.current()
    if found is None:
        raise _nobody(
            "send an API key as `Authorization: Bearer <key>`, which `atlas keys create` makes; "
            "or log in at /login"
        )
    session.see_own_page(found)
    if found.stale:
        _afterwards(lambda conn: sessions.touch(conn, found.id))
    return found.asker


def _nobody(detail: str) -> Problem:
    return Problem("unauthorized", detail)


def _afterwards(touch: Callable[[sa.Connection], None]) -> None:
    """Write down that a key or session is used, once the answer is on its way: nobody waits."""
    pool = engine()

    def write() -> None:
        try:
            with classified(pool.url.render_as_string()), pool.begin() as conn:
                touch(conn)
        except AtlasError as error:
            log.warning("that a key is used could not be written down: %s", error)

    @after_this_request
    def _(response: Response) -> Response:
        response.call_on_close(write)
        return response
