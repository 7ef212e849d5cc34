"""Logging in and out, the link that sets a password, and one's own account."""

from __future__ import annotations

import logging
import uuid

from flask import Response, g, request

from atlas.errors import Conflict, NotFound, TransientError, UsageError
from atlas.ledger import audit, logins, passwords, sessions, users
from atlas.roles import Role
from atlas.settings import secret_key
from atlas.web import oidc, session
from atlas.web.database import engine, settings, transaction
from atlas.web.ui.pages import Page, go, local, render

_OIDC = "atlas_oidc"
log = logging.getLogger(__name__)


def show_login() -> Response:
    """The form; whoever is logged in is sent on."""
    target = local(request.args.get("next"))
    if session.current() is not None:
        return go(target)
    return _login(target)


def log_in() -> Response:
    """Begin a session."""
    session.see_own_form()
    target, name = local(request.form.get("next")), request.form.get("name", "")
    try:
        token = logins.by_password(
            engine(),
            secret_key(settings()),
            name,
            request.form.get("password", ""),
            session.browser(),
        )
    except logins.Refused:
        return _login(target, name, "The name or the password is wrong.", 401)
    except logins.TooMany as error:
        minutes = -(-error.seconds // 60)
        answer = _login(
            target, name, f"Too many passwords were tried. Try again in {minutes} minutes.", 429
        )
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    answer = go(target)
    session.give(answer, token)
    return answer


def log_out() -> Response:
    """End this session."""
    found = session.current()
    if found is not None:
        session.see_own_form()
        with transaction() as conn:
            sessions.drop(conn, found.token)
            audit.put(conn, found.asker.actor, "logout", found.asker.name)
    answer = go("/login")
    session.take(answer)
    return answer


def begin_oidc() -> Response:
    """Send the browser to the identity provider."""
    target = local(request.args.get("next"))
    _see_provider()
    try:
        url, kept = oidc.begin(settings(), target)
    except (oidc.Refused, TransientError) as error:
        return _login(target, "", _sentence(error), 503)
    # Not by go(): it leads out of this site.
    answer = Response(status=303, headers={"Location": url})
    session.lend(answer, _OIDC, kept, oidc.PATIENCE)
    return answer


def end_oidc() -> Response:
    """Begin a session for whom the identity provider sends back."""
    _see_provider()
    try:
        person, target = oidc.end(settings(), request.args, session.lent(_OIDC))
        with transaction() as conn:
            account_id = users.from_provider(
                conn, person.issuer, person.subject, person.name, person.role
            )
            token = logins.enter(conn, account_id, "oidc", session.browser())
    except logins.Refused:
        answer = _login("/", "", "You are shut out here: ask whoever runs Atlas.", 403)
    except oidc.Refused as error:
        log.info("a login by OpenID Connect is refused: %s", error)
        answer = _login("/", "", _sentence(error), 401)
    except TransientError as error:
        log.warning("%s", error)
        answer = _login("/", "", _sentence(error), 503)
    else:
        answer = go(target)
        session.give(answer, token)
    session.forget(answer, _OIDC)
    return answer


def _see_provider() -> None:
    if not oidc.configured(settings()):
        raise NotFound("there is no identity provider: ATLAS_OIDC_ISSUER names one")


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def show_setup() -> Response:
    """The form of a link that sets a password."""
    return _setup(request.args.get("token", ""))


def set_up() -> Response:
    """Use the link up, and begin a session."""
    session.see_own_form()
    token, name = request.form.get("token", ""), request.form.get("name", "").strip()
    try:
        with transaction() as conn:
            account_id = users.use_link(conn, token, name, _chosen())
            begun = logins.enter(conn, account_id, "link", session.browser())
    except NotFound:
        return _setup("", status=410)
    except UsageError as error:
        return _setup(token, name, str(error), 422)
    answer = go("/")
    session.give(answer, begun)
    return answer


def show_account() -> Response:
    """Who one is, and where one is logged in."""
    return _account()


def change_password() -> Response:
    """Give oneself another password; all other sessions end."""
    found = session.current()
    if found is None:
        raise _people_only()
    secret = secret_key(settings())
    try:
        with transaction() as conn:
            logins.see(conn, secret, found.id)
        with transaction() as conn:
            kept = users.kept_password(conn, found.asker.id)
        if not passwords.fits(kept, request.form.get("present", "")):
            return _account("the present password is wrong", 422)
        with transaction() as conn:
            token = users.set_password(
                conn,
                found.asker.name,
                _chosen(),
                actor=found.asker.actor,
                session_id=found.id,
            )
            logins.forget(conn, secret, found.asker.name, session_id=found.id)
    except (UsageError, logins.TooMany) as error:
        return _account(str(error), 422 if isinstance(error, UsageError) else 429)
    answer = go("/account")
    session.give(answer, token or "")
    return answer


def end_session(session_id: uuid.UUID) -> Response:
    """End one of one's own sessions."""
    if session.current() is None:
        raise _people_only()
    with transaction() as conn:
        sessions.end(conn, g.key.id, str(session_id))
        audit.put(conn, g.key.actor, "logout.elsewhere", g.key.name)
    return go("/account")


def log_out_everywhere() -> Response:
    """End all of one's own sessions."""
    if session.current() is None:
        raise _people_only()
    with transaction() as conn:
        sessions.end_all(conn, g.key.id)
        audit.put(conn, g.key.actor, "logout.everywhere", g.key.name)
    answer = go("/login")
    session.take(answer)
    return answer


def _chosen() -> str:
    password = request.form.get("password", "")
    if password != request.form.get("again", ""):
        raise UsageError("password: the two are not the same")
    return password


def _login(target: str, name: str = "", error: str | None = None, status: int = 200) -> Response:
    with transaction() as conn:
        nobody = not users.any_user(conn)
    return render(
        "login.html",
        status,
        next=target,
        name=name,
        error=error,
        nobody=nobody,
        oidc=oidc.configured(settings()),
    )


def _setup(token: str, name: str = "", error: str | None = None, status: int = 200) -> Response:
    with transaction() as conn:
        found = users.linked(conn, token) if token else None
    return render(
        "setup.html",
        410 if found is None else status,
        void=found is None,
        known=found and found["name"],
        token=token,
        name=name,
        error=error,
        shortest=passwords.SHORTEST,
    )


def _account(error: str | None = None, status: int = 200) -> Response:
    found = session.current()
    if found is None:
        raise _people_only()
    with transaction() as conn:
        return render(
            "account.html",
            status,
            sessions=sessions.of(conn, found.asker.id, session.idle()),
            session_id=found.id,
            has_password=users.kept_password(conn, found.asker.id) is not None,
            error=error,
            shortest=passwords.SHORTEST,
        )


def _people_only() -> Conflict:
    return Conflict("this page is of somebody who is logged in: a key has no account")


PAGES = [
    Page("/login", None, show_login),
    Page("/login", None, log_in, ("POST",)),
    Page("/logout", None, log_out, ("POST",)),
    Page("/login/oidc", None, begin_oidc),
    Page(oidc.CALLBACK, None, end_oidc),
    Page("/setup", None, show_setup),
    Page("/setup", None, set_up, ("POST",)),
    Page("/account", Role.VIEWER, show_account),
    Page("/account/password", Role.VIEWER, change_password, ("POST",)),
    Page("/account/sessions/<uuid:session_id>/end", Role.VIEWER, end_session, ("POST",)),
    Page("/account/logout-everywhere", Role.VIEWER, log_out_everywhere, ("POST",)),
]
