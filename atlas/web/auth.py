"""Who asks: API keys in ``Authorization: Bearer``, and what their roles allow."""

from __future__ import annotations

from flask import g, request

from atlas.ledger import keys
from atlas.web.database import single
from atlas.web.problems import Problem

_CHALLENGE = 'Bearer realm="atlas"'


def require(role: str) -> keys.Key:
    """The key of this request, which may do what ``role`` may; it is remembered in ``g.key``.

    Raises:
        Problem: 401 without a valid key, 403 when its role is not enough.
        TransientError: PostgreSQL cannot be asked.
    """
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise Problem(
            "unauthorized",
            "send an API key as `Authorization: Bearer <key>`; `atlas keys create` makes one",
            headers={"WWW-Authenticate": _CHALLENGE},
        )
    with single() as conn:
        key = keys.find(conn, given.token)
    if key is None:
        raise Problem(
            "unauthorized",
            "this API key is unknown, expired or revoked; `atlas keys create` makes a new one",
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
        )
    g.key = key
    if not key.may(role):
        raise Problem(
            "forbidden",
            f"this needs a key of role {role}, and key {key.name!r} has role {key.role}",
            {"required_role": role},
            {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{role}"'},
        )
    return key
