"""What the HTTP interface takes and gives of keys and users, as types."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atlas.roles import Role
from atlas.web.models import NextCursor, RunId, Time

UserName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._@+-]{0,63}$",
        description="What a user logs in with.",
        examples=["ann"],
    ),
]
KeyName = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{1,100}$",
        description="What a key is for.",
        examples=["nightly"],
    ),
]
_Limit = Annotated[int, Meta(ge=1, le=200, description="Most on a page.")]


class AccessFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many at once."""

    limit: _Limit = 50
    cursor: Annotated[
        str | None, Meta(description="`next_cursor` of the page before; left out: the first.")
    ] = None


class Key(msgspec.Struct):
    """A key, without its text."""

    id: RunId
    name: KeyName
    role: Role
    created_at: Time
    expires_at: Annotated[Time | None, Meta(description="Null: never.")]
    revoked_at: Time | None
    last_used_at: Annotated[Time | None, Meta(description="To the minute; null: never.")]


class KeyPage(msgspec.Struct):
    """A page of keys, by name."""

    items: list[Key]
    next_cursor: NextCursor


class KeyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The key that is to be made."""

    name: KeyName
    role: Role
    expires_in_days: Annotated[
        Annotated[int, Meta(ge=1, le=36500)] | None, Meta(description="Null: it never expires.")
    ] = None


class KeyMade(msgspec.Struct):
    """A new key, with its text."""

    id: RunId
    name: KeyName
    role: Role
    key: Annotated[str, Meta(description="Its text, shown this once.")]


class KeyRevoked(msgspec.Struct):
    """The key that is invalid from now on."""

    id: RunId
    revoked: bool


class User(msgspec.Struct):
    """A user."""

    id: RunId
    name: UserName
    role: Role
    created_at: Time
    password_at: Annotated[
        Time | None, Meta(description="When the password was set; null: there is none yet.")
    ]
    last_login_at: Time | None
    disabled_at: Annotated[Time | None, Meta(description="Null: the user may log in.")]
    oidc: Annotated[bool, Meta(description="Whether the login comes from an identity provider.")]


class UserPage(msgspec.Struct):
    """A page of users, by name."""

    items: list[User]
    next_cursor: NextCursor


class UserRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The user that is to be made."""

    name: UserName
    role: Role


class UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change; null: it stays."""

    role: Annotated[Role | None, Meta(description="Ends the user's sessions.")] = None
    disabled: Annotated[
        bool | None, Meta(description="Whether the user is shut out, at once and everywhere.")
    ] = None


class Invitation(msgspec.Struct):
    """A user, and a link with which they choose a password."""

    user: User
    link: Annotated[
        str, Meta(description="Shown this once; works once, for 24 hours. The one before is void.")
    ]
