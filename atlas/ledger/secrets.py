"""The keys at work: what stored configurations are encrypted with, and what tokens come from.

The secret key of the settings encrypts nothing but the keys at work, which stand in the ledger in
a slot of its own (``pipeline.secret_slot``). So another secret key can take its place while the
*identity* (row hashes, fingerprints and encrypted values are derived from it) stays what it is for
as long as the data. What tokens come from can be replaced, with the tokens. How one key replaces
another is :mod:`atlas.ledger.rotation`'s. Whoever opens the keys sees that they are those of
before, by marks of them that stand in ``pipeline.key_mark``: with others, tokens would change their
meaning without anybody noticing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy.dialects.postgresql import insert

from atlas.errors import LostKeys, TerminalError, WrongSecretKey
from atlas.ledger.tables import connection, key_mark, run, secret_slot

_LOCK = 0x61746C61735F6B  # "atlas_k"
_IDENTITY = "identity"
_TOKENS = "tokens-"
_MARK = sa.select(key_mark.c.mark).where(key_mark.c.name == _IDENTITY).scalar_subquery()
_TOKEN_MARKS = (
    sa.select(sa.func.jsonb_object_agg(key_mark.c.name, key_mark.c.mark))
    .where(key_mark.c.name.startswith(_TOKENS, autoescape=True))
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys at work.

    Attributes:
        identity: row hashes, fingerprints and what is encrypted come from it; never another one.
        config: encrypts what is stored; another one after each rotation.
        tokens: what tokens come from, by number: the newest, and those before it of which tokens
            may be left in tables. The first comes from the identity.
    """

    identity: bytes = field(repr=False)
    config: bytes = field(repr=False)
    tokens: Mapping[int, bytes] = field(repr=False)

    @property
    def newest(self) -> int:
        """The number of the newest key of tokens."""
        return max(self.tokens)

    def token_key(self, number: int) -> bytes:
        """The key of tokens with this number.

        Raises:
            LostKeys: it is not there any more.
        """
        if number not in self.tokens:
            raise LostKeys(f"key {number} of tokens is gone, and there are tokens of it")
        return self.tokens[number]


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one ``purpose``, so that no two uses share a key (HMAC-SHA256 as KDF)."""
    return hmac.new(secret, b"atlas/" + purpose.encode(), hashlib.sha256).digest()


def encrypt(conn: sa.Connection, secret: bytes, document: dict[str, Any]) -> bytes:
    """``document`` as encrypted JSON.

    Raises:
        WrongSecretKey: as :func:`keys`.
    """
    hold(conn)
    return _fernet(keys(conn, secret).config).encrypt(json.dumps(document).encode())


def reader(conn: sa.Connection, secret: bytes) -> Reader:
    """What decrypts until the transaction ends. Call it before you select what is encrypted.

    Raises:
        WrongSecretKey: as :func:`keys`.
    """
    hold(conn)
    return Reader(keys(conn, secret))


class Reader:
    """Decrypts what :func:`encrypt` made."""

    __slots__ = ("_fernet",)

    def __init__(self, opened: Keys) -> None:
        self._fernet = _fernet(opened.config)

    def __call__(self, token: bytes) -> dict[str, Any]:
        """What :func:`encrypt` was given.

        Raises:
            TerminalError: it was encrypted with other keys than those at work.
        """
        try:
            return dict(json.loads(self._fernet.decrypt(token)))
        except InvalidToken as error:
            raise TerminalError(
                "a stored configuration cannot be decrypted: it is not of this database; "
                "apply the connection again"
            ) from error


def fingerprint(conn: sa.Connection, secret: bytes, document: Any) -> str:
    """A keyed hash that tells whether ``document`` changed, and nothing else about it.

    Raises:
        WrongSecretKey: as :func:`keys`.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    key = derive(keys(conn, secret).identity, "fingerprint")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def keys(conn: sa.Connection, secret: bytes) -> Keys:
    """The keys at work, opened with ``secret``; made when there are none yet.

    Raises:
        WrongSecretKey: ``secret`` opens none.
        LostKeys: they are gone, or others than those that this database's data were made with.
    """
    found = _open(conn, secret)
    if found is None:
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key + 1)"), {"key": _LOCK})
        found = _open(conn, secret) or _first(conn, secret)
    if found is None:
        raise WrongSecretKey
    return found


def seal(conn: sa.Connection, secret: bytes, opened: Keys) -> None:
    """Have ``secret`` open these keys, in place of whatever it opened before."""
    content = json.dumps(
        {
            "identity": opened.identity.hex(),
            "config": opened.config.hex(),
            "tokens": {number: key.hex() for number, key in opened.tokens.items()},
        }
    )
    conn.execute(sa.delete(secret_slot).where(secret_slot.c.key_id == key_id(secret)))
    conn.execute(
        sa.insert(secret_slot).values(
            key_id=key_id(secret), sealed=_fernet(derive(secret, "slot")).encrypt(content.encode())
        )
    )


def key_id(secret: bytes) -> str:
    """Which secret key it is, and nothing else about it."""
    return derive(secret, "id").hex()[:16]


def hold(conn: sa.Connection, *, alone: bool = False) -> None:
    """Keep the configuration key from being replaced until the transaction ends; ``alone``: to
    replace it."""
    how = "" if alone else "_shared"
    conn.execute(sa.text(f"SELECT pg_advisory_xact_lock{how}(:key)"), {"key": _LOCK})


def _open(conn: sa.Connection, secret: bytes) -> Keys | None:
    row = conn.execute(
        sa.select(
            secret_slot.c.sealed, _MARK.label("mark"), _TOKEN_MARKS.label("token_marks")
        ).where(secret_slot.c.key_id == key_id(secret))
    ).one_or_none()
    if row is None:
        return None
    try:
        content = json.loads(_fernet(derive(secret, "slot")).decrypt(bytes(row.sealed)))
    except InvalidToken as error:
        raise LostKeys("a row of pipeline.secret_slot is damaged") from error
    identity = bytes.fromhex(content["identity"])
    # Slots from before tokens had a key of their own say nothing of them.
    tokens = {int(n): bytes.fromhex(key) for n, key in content.get("tokens", {}).items()}
    opened = Keys(
        identity, bytes.fromhex(content["config"]), tokens or {1: first_token_key(identity)}
    )
    if row.mark is None:  # from before there were marks
        _remember(conn, opened.identity)
    elif row.mark != _mark(opened.identity):
        raise LostKeys("the keys in pipeline.secret_slot are not those of this database")
    for name, mark in (row.token_marks or {}).items():
        key = opened.tokens.get(int(name.removeprefix(_TOKENS)))
        if key is None or mark != _mark(key):
            raise LostKeys("pipeline.secret_slot lacks a key of tokens that are in this database")
    return opened


def _first(conn: sa.Connection, secret: bytes) -> Keys | None:
    """The keys of a database that has no slot yet."""
    if conn.execute(sa.select(secret_slot.c.id).limit(1)).scalar() is not None:
        return None
    if conn.execute(sa.select(_MARK)).scalar() is not None:
        raise LostKeys("pipeline.secret_slot is empty, although this database had keys")
    stored = conn.execute(sa.select(connection.c.config).limit(1)).scalar()
    if stored is None and conn.execute(sa.select(run.c.id).limit(1)).scalar() is None:
        identity, config = secrets.token_bytes(32), secrets.token_bytes(32)
    else:
        # From before there were slots: all came straight from the secret key.
        identity, config = secret, derive(secret, "config")
    made = Keys(identity, config, {1: first_token_key(identity)})
    if stored is not None:
        try:
            _fernet(made.config).decrypt(bytes(stored))
        except InvalidToken:
            return None
    seal(conn, secret, made)
    _remember(conn, made.identity)
    return made


def _remember(conn: sa.Connection, identity: bytes) -> None:
    conn.execute(
        insert(key_mark)
        .values(name=_IDENTITY, mark=_mark(identity))
        .on_conflict_do_nothing(index_elements=[key_mark.c.name])
    )


def first_token_key(identity: bytes) -> bytes:
    """The key that all tokens came from before it could be replaced."""
    return derive(identity, "tokens")


def remember_token_keys(conn: sa.Connection, tokens: Mapping[int, bytes]) -> None:
    """Have these, and no others, be the keys of tokens that this database is known by."""
    conn.execute(sa.delete(key_mark).where(key_mark.c.name.startswith(_TOKENS, autoescape=True)))
    for number, key in tokens.items():
        conn.execute(sa.insert(key_mark).values(name=f"{_TOKENS}{number}", mark=_mark(key)))


def _mark(key: bytes) -> str:
    return derive(key, "mark").hex()


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
