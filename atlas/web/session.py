"""The session of a browser: its cookie, and that what it asks for was asked by a page of Atlas.

A browser sends its cookies with whatever any site makes it ask. So a request that changes something
counts only with a token that the page got, which another site cannot read; and, where the browser
says what page it comes from, only if that is one of ours.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

from flask import Flask, Response, g, request
from markupsafe import Markup

from atlas.ledger import sessions
from atlas.ledger.logins import Browser
from atlas.web.database import settings, single
from atlas.web.problems import Problem

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
_COOKIE = "atlas"
_FORM_COOKIE = "atlas_form"
_READING = {"GET", "HEAD", "OPTIONS"}
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


def install(app: Flask) -> None:
    """Give the templates of ``app`` what their forms need."""
    app.jinja_env.globals.update(csrf_field=csrf_field, csrf_token=csrf_token)
    app.after_request(_finish)


def current() -> sessions.Session | None:
    """The session of this request, or None."""
    if "session" not in g:
        token = request.cookies.get(_name(_COOKIE))
        g.session = None
        if token:
            with single() as conn:
                g.session = sessions.find(conn, token, idle())
    return cast("sessions.Session | None", g.session)


def idle() -> timedelta:
    """How long a session may go unused."""
    return timedelta(seconds=settings().session_idle_seconds)


def browser() -> Browser:
    """Where this request comes from, for a session that is about to begin."""
    return Browser(
        address=request.remote_addr or "",
        agent=request.headers.get("User-Agent"),
        life=timedelta(seconds=settings().session_seconds),
        before=request.cookies.get(_name(_COOKIE)),
    )


def give(response: Response, token: str) -> None:
    """Have the browser keep the session with this token."""
    _set(response, _COOKIE, token)
    g.session = None


def take(response: Response) -> None:
    """Have the browser forget its session, and what it keeps of pages."""
    forget(response, _COOKIE)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    g.session = None


def lend(response: Response, name: str, value: str, seconds: int) -> None:
    """Have the browser keep a value of ours for a while, under ``name``."""
    _set(response, name, value, seconds)


def lent(name: str) -> str | None:
    """What the browser keeps under ``name``."""
    return request.cookies.get(_name(name))


def forget(response: Response, name: str) -> None:
    """Have the browser forget what it keeps under ``name``."""
    response.delete_cookie(_name(name), path="/", secure=secure(), httponly=True, samesite="Lax")


def link(text: str) -> str:
    """Address of the page that a link with ``text`` leads to."""
    base = settings().public_url or request.host_url.rstrip("/")
    return f"{base}/setup?token={text}"


def secure() -> bool:
    """Whether browsers reach Atlas by https."""
    return request.is_secure or (settings().public_url or "").startswith("https:")


def csrf_token() -> str:
    """What a form of the page that is being made must send back, bound to the session or, before
    there is one, to a cookie of the browser's."""
    if "Authorization" in request.headers:
        return ""  # a key has no use for one, and gets no cookie
    found = current()
    if found is not None:
        return _token_of(found.token)
    if "form_cookie" not in g:
        g.form_cookie = request.cookies.get(_name(_FORM_COOKIE)) or secrets.token_urlsafe(32)
    return _token_of(g.form_cookie)


def csrf_field() -> Markup:
    """The hidden field of a form with :func:`csrf_token`."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, csrf_token())


def see_own_page(found: sessions.Session) -> None:
    """See that a page of Atlas made the browser of this session ask what it asks.

    Raises:
        Problem: it did not.
    """
    if request.method in _READING:
        # A link from elsewhere may lead to a page. No document is read from there.
        if request.path.startswith("/api/"):
            _see_origin()
        return
    _see_origin()
    _see_token(found.token)


def see_own_form() -> None:
    """The same of a form that needs no session, such as that of the login.

    Raises:
        Problem: it was no page of Atlas.
    """
    _see_origin()
    found = current()
    kept = found.token if found is not None else request.cookies.get(_name(_FORM_COOKIE))
    if not kept:
        raise _strange("your browser sent no cookie with the form: allow cookies of this site")
    _see_token(kept)


def _see_origin() -> None:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise _strange(f"the browser says that it was asked for by a page that is {site}")
        return
    origin = request.headers.get("Origin")
    ours = {request.host, urlsplit(settings().public_url or "").netloc}
    if origin is not None and urlsplit(origin).netloc not in ours - {""}:
        raise _strange("the browser says that a page of another site asked for it")


def _see_token(kept: str) -> None:
    given = request.headers.get(HEADER)
    # To the API a form says nothing: its body is not read as one.
    if given is None and request.mimetype in _FORMS and not request.path.startswith("/api/"):
        given = request.form.get(FIELD)
    if not hmac.compare_digest((given or "").encode(), _token_of(kept).encode()):
        raise _strange(
            f"the page's token is missing or of an older session: load the page again; "
            f"programs send it as `{HEADER}`"
        )


def _strange(detail: str) -> Problem:
    return Problem("cross-site", detail)


def _token_of(kept: str) -> str:
    # Tells nothing of the session's own token, which it is made with.
    return base64.urlsafe_b64encode(hmac.digest(kept.encode(), b"atlas form", "sha256")).decode()


def _name(name: str) -> str:
    # With this prefix a browser takes it from https only, and from no other host of the domain.
    return f"__Host-{name}" if secure() else name


def _set(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    response.set_cookie(
        _name(name),
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=secure(),
    )


def _finish(response: Response) -> Response:
    if secure():
        # Browsers that came by https once do not come by http again.
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    made = g.get("form_cookie")
    if made is not None and made != request.cookies.get(_name(_FORM_COOKIE)):
        _set(response, _FORM_COOKIE, made)
    return response
