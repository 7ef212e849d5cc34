"""The one sentence that a page shows about what was just done: in a signed cookie, for a minute."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Response, request
from itsdangerous import BadData, URLSafeTimedSerializer

from atlas.ledger.secrets import derive
from atlas.settings import secret_key
from atlas.web.database import settings

_COOKIE = "atlas_flash"
_SECONDS = 60
_KINDS = ("ok", "warn", "fail")
_MOST = 500


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence, and whether it is good news: ``ok``, ``warn`` or ``fail``."""

    kind: str
    message: str


def keep(response: Response, message: str, kind: str = "ok") -> None:
    """Have the next page show ``message``, which holds no personal data."""
    response.set_cookie(
        _COOKIE,
        _serializer().dumps([kind, message[:_MOST]]),
        max_age=_SECONDS,
        httponly=True,
        secure=request.is_secure,
        samesite="Lax",
        path="/",
    )


def waiting() -> Flash | None:
    """The message that waits for a page; None: none, or one that is not ours or too old."""
    given = request.cookies.get(_COOKIE)
    if not given:
        return None
    try:
        kind, message = _serializer().loads(given, max_age=_SECONDS)
    except (BadData, ValueError):
        return None
    return Flash(kind, message) if kind in _KINDS else None


def forget(response: Response) -> None:
    """The message was shown."""
    response.delete_cookie(_COOKIE, path="/")


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(derive(secret_key(settings()), "flash"), salt="flash")
