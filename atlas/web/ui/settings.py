"""Who may use Atlas: users and keys, for admins. What is shown once stands in the answer to the
form that made it, and nowhere else."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

from flask import Response, g, request

from atlas.errors import Conflict, UsageError
from atlas.ledger import keys, users
from atlas.roles import Role
from atlas.web import session
from atlas.web.database import transaction
from atlas.web.ui.pages import Page, go, render

_USERS, _KEYS = "/settings/users", "/settings/keys"
_DAYS = re.compile(r"[1-9][0-9]{0,4}")
_ROLES = [(role.value, f"{role}: {role.about}") for role in Role]
_KEY_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def show_settings() -> Response:
    """Where settings begin: an admin's with the users, everybody else's with their own."""
    return _users() if g.key.may(Role.ADMIN) else render("settings.html")


def show_users() -> Response:
    """The users."""
    return _users()


def create_user() -> Response:
    """Make a user, and show the link with which they choose a password."""
    name, role = request.form.get("name", "").strip(), request.form.get("role", "")
    try:
        with transaction() as conn:
            users.create(conn, name, role, actor=g.key.actor)
            link = users.link(conn, name, actor=g.key.actor)
    except UsageError as error:
        return _users(422, error=str(error), given={"name": name, "role": role})
    return _users(link=session.link(link), of=name)


def set_role(name: str) -> Response:
    """Give a user another role."""
    found = session.current()
    own = found if found is not None and found.asker.name == name else None
    try:
        with transaction() as conn:
            token = users.set_role(
                conn,
                name,
                request.form.get("role", ""),
                actor=g.key.actor,
                session_id=own.id if own else None,
            )
    except (UsageError, Conflict) as error:
        return go(_USERS, f"Not changed: {error}.", "fail")
    response = go(_USERS if own is None else "/settings", f"The role of {name} is changed.")
    if token is not None:
        session.give(response, token)
    return response


def disable(name: str) -> Response:
    """Shut a user out."""
    try:
        with transaction() as conn:
            users.disable(conn, name, actor=g.key.actor)
    except Conflict as error:
        return go(_USERS, f"Not disabled: {error}.", "fail")
    return go(_USERS, f"{name} is shut out.")


def enable(name: str) -> Response:
    """Let a user in again."""
    with transaction() as conn:
        users.enable(conn, name, actor=g.key.actor)
    return go(_USERS, f"{name} may log in again.")


def make_link(name: str) -> Response:
    """Show a new link with which a user chooses a password."""
    try:
        with transaction() as conn:
            link = users.link(conn, name, actor=g.key.actor)
    except Conflict as error:
        return go(_USERS, f"No link: {error}.", "fail")
    return _users(link=session.link(link), of=name)


def show_keys() -> Response:
    """The keys."""
    return _keys()


def create_key() -> Response:
    """Make a key, and show it."""
    name, role = request.form.get("name", "").strip(), request.form.get("role", "")
    days = request.form.get("days", "").strip()
    given = {"name": name, "role": role, "days": days}
    try:
        if not _KEY_NAME.fullmatch(name):
            return _keys(422, error="name: say what the key is for", given=given)
        if days and not _DAYS.fullmatch(days):
            return _keys(422, error="days: a whole number, or nothing for never", given=given)
        with transaction() as conn:
            made = keys.create(
                conn,
                name,
                role,
                timedelta(days=int(days)) if days else None,
                actor=g.key.actor,
            )
    except UsageError as error:
        return _keys(422, error=str(error), given=given)
    return _keys(made=made)


def revoke_key(key_id: uuid.UUID) -> Response:
    """Make a key invalid."""
    with transaction() as conn:
        keys.revoke(conn, str(key_id), actor=g.key.actor)
    return go(_KEYS, "The key is revoked.")


def _users(status: int = 200, **more: Any) -> Response:
    with transaction() as conn:
        items = users.all_users(conn)
    context = {"given": {}, "error": None, "link": None, "of": None, **more}
    return render("settings_users.html", status, users=items, roles=_ROLES, **context)


def _keys(status: int = 200, **more: Any) -> Response:
    with transaction() as conn:
        items = sorted(keys.all_keys(conn), key=lambda each: str(each["name"]))
    context = {"given": {}, "error": None, "made": None, **more}
    return render("settings_keys.html", status, keys=items, roles=_ROLES, **context)


PAGES = [
    Page("/settings", Role.VIEWER, show_settings),
    Page(_USERS, Role.ADMIN, show_users),
    Page(_USERS, Role.ADMIN, create_user, ("POST",)),
    Page(f"{_USERS}/<name>/role", Role.ADMIN, set_role, ("POST",)),
    Page(f"{_USERS}/<name>/disable", Role.ADMIN, disable, ("POST",)),
    Page(f"{_USERS}/<name>/enable", Role.ADMIN, enable, ("POST",)),
    Page(f"{_USERS}/<name>/link", Role.ADMIN, make_link, ("POST",)),
    Page(_KEYS, Role.ADMIN, show_keys),
    Page(_KEYS, Role.ADMIN, create_key, ("POST",)),
    Page(f"{_KEYS}/<uuid:key_id>/revoke", Role.ADMIN, revoke_key, ("POST",)),
]
