"""Keys and users: who may use Atlas, and what they may do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from flask import Response, g

from atlas.errors import NotFound
from atlas.ledger import keys, paging, users
from atlas.roles import Role
from atlas.web import session
from atlas.web.access_models import (
    AccessFilter,
    Invitation,
    KeyMade,
    KeyPage,
    KeyRequest,
    KeyRevoked,
    User,
    UserChange,
    UserPage,
    UserRequest,
)
from atlas.web.answers import answer
from atlas.web.database import transaction
from atlas.web.models import NoOptions
from atlas.web.operations import Operation, Returns

_AT = "2025-03-01T09:00:01Z"
_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
_KEY = {
    "id": _ID,
    "name": "nightly",
    "role": "operator",
    "created_at": _AT,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": _AT,
}
_USER = {
    "id": _ID,
    "name": "ann",
    "role": "operator",
    "created_at": _AT,
    "password_at": None,
    "last_login_at": None,
    "disabled_at": None,
    "oidc": False,
}
_INVITATION = {"user": _USER, "link": "https://atlas.example.org/setup?token=…"}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


def list_keys(query: AccessFilter) -> Response:
    """A page of keys."""
    with transaction() as conn:
        return answer(_page(sorted(keys.all_keys(conn), key=_name), query))


def create_key(body: KeyRequest) -> Response:
    """Make a key."""
    days = body.expires_in_days
    with transaction() as conn:
        made = keys.create(
            conn,
            body.name,
            body.role.value,
            None if days is None else timedelta(days=days),
            actor=g.key.actor,
        )
    return answer(made, 201)


def revoke_key(key_id: str) -> Response:
    """Make a key invalid."""
    with transaction() as conn:
        keys.revoke(conn, key_id, actor=g.key.actor)
    return answer({"id": key_id, "revoked": True})


def list_users(query: AccessFilter) -> Response:
    """A page of users."""
    with transaction() as conn:
        return answer(_page(users.all_users(conn), query))


def get_user(user: str) -> Response:
    """One user."""
    with transaction() as conn:
        return answer(users.get(conn, _known(user)))


def create_user(body: UserRequest) -> Response:
    """Make a user, who chooses a password by the link."""
    with transaction() as conn:
        users.create(conn, body.name, body.role.value, actor=g.key.actor)
        made = _invited(conn, body.name)
    return answer(made, 201, {"Location": f"/api/v1/users/{body.name}"})


def change_user(user: str, body: UserChange) -> Response:
    """Give a user another role, shut them out or let them in again."""
    kept = session.current() if g.key.kind == "user" and g.key.name == user else None
    token = None
    with transaction() as conn:
        if body.role is not None:
            token = users.set_role(
                conn,
                _known(user),
                body.role.value,
                actor=g.key.actor,
                session_id=kept.id if kept else None,
            )
        if body.disabled is not None:
            change = users.disable if body.disabled else users.enable
            change(conn, _known(user), actor=g.key.actor)
        found = users.get(conn, _known(user))
    response = answer(found)
    if token is not None:
        session.give(response, token)
    return response


def link_user(user: str, body: NoOptions) -> Response:
    """A new link with which a user chooses a password."""
    with transaction() as conn:
        return answer(_invited(conn, _known(user)), 201)


def _invited(conn: sa.Connection, name: str) -> dict[str, Any]:
    text = users.link(conn, name, actor=g.key.actor)
    return {"user": users.get(conn, name), "link": session.link(text)}


def _known(user: str) -> str:
    if not _NAME.fullmatch(user):
        raise NotFound(f"there is no user {user[:80]!r}")
    return user


def _page(items: list[dict[str, Any]], query: AccessFilter) -> dict[str, Any]:
    # There are as many as people and programs: they are read whole.
    after = query.cursor
    left = [each for each in items if after is None or each["name"] > after]
    return paging.page(left, query.limit, "name")


def _name(item: dict[str, Any]) -> str:
    return str(item["name"])


def _operation(method: str, path: str, handler: Any, summary: str, **more: Any) -> Operation:
    return Operation(
        method=method,
        path=f"/api/v1/{path}",
        role=Role.ADMIN,
        tag="Access",
        summary=summary,
        handler=handler,
        **more,
    )


OPERATIONS = [
    _operation(
        "GET",
        "keys",
        list_keys,
        "List the keys",
        order="by name",
        about="Also expired and revoked ones, without their text.",
        query=AccessFilter,
        returns={200: Returns(KeyPage, "A page.", example={"items": [_KEY], "next_cursor": None})},
    ),
    _operation(
        "POST",
        "keys",
        create_key,
        "Make a key",
        about="Its text is in the answer and nowhere else: Atlas keeps the hash.",
        body=KeyRequest,
        body_example={"name": "nightly", "role": "operator", "expires_in_days": 90},
        returns={
            201: Returns(
                KeyMade,
                "The key.",
                example={"id": _ID, "name": "nightly", "role": "operator", "key": "atlas_…"},
            )
        },
        problems=_BODY,
    ),
    _operation(
        "DELETE",
        "keys/<key_id>",
        revoke_key,
        "Make a key invalid",
        about="At once; a second time changes nothing.",
        returns={200: Returns(KeyRevoked, "It is.", example={"id": _ID, "revoked": True})},
        problems=("not-found",),
    ),
    _operation(
        "GET",
        "users",
        list_users,
        "List the users",
        order="by name",
        query=AccessFilter,
        returns={
            200: Returns(UserPage, "A page.", example={"items": [_USER], "next_cursor": None})
        },
    ),
    _operation(
        "POST",
        "users",
        create_user,
        "Make a user",
        about="With the link in the answer they choose their own password.",
        body=UserRequest,
        body_example={"name": "ann", "role": "operator"},
        returns={
            201: Returns(
                Invitation, "The user.", headers={"Location": "The user."}, example=_INVITATION
            )
        },
        problems=_BODY,
    ),
    _operation(
        "GET",
        "users/<user>",
        get_user,
        "Get a user",
        returns={200: Returns(User, "The user.", example=_USER)},
        problems=("not-found",),
    ),
    _operation(
        "PATCH",
        "users/<user>",
        change_user,
        "Give a user another role, shut them out or let them in",
        about="Another role, or being shut out, ends the user's sessions. The last admin who has a "
        "password stays one.",
        body=UserChange,
        body_example={"role": "privacy"},
        returns={200: Returns(User, "The user.", example=_USER)},
        problems=(*_BODY, "not-found", "conflict"),
    ),
    _operation(
        "POST",
        "users/<user>/link",
        link_user,
        "Make a link with which a user chooses a password",
        about="The present password holds until the link is used.",
        body=NoOptions,
        body_example={},
        returns={201: Returns(Invitation, "The link.", example=_INVITATION)},
        problems=(*_BODY, "not-found", "conflict"),
    ),
]
