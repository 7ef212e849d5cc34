"""Keys that are gone, or are others than the data were made with, are not replaced in silence."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from atlas.errors import LostKeys, WrongSecretKey
from atlas.ledger import connections, rotation, secrets
from atlas.ledger.tables import connection, key_mark, secret_slot
from atlas.model.connection import Connection
from tests.ledger.conftest import SECRET

OTHER = b"o" * 40


def _identity(engine: sa.Engine, secret: bytes = SECRET) -> bytes:
    with engine.begin() as conn:
        return secrets.keys(conn, secret).identity


def _slots(engine: sa.Engine) -> list[tuple[str, bytes]]:
    with engine.connect() as conn:
        query = sa.select(secret_slot.c.key_id, secret_slot.c.sealed)
        return [(row.key_id, bytes(row.sealed)) for row in conn.execute(query)]


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_an_empty_table_of_slots_gets_no_new_keys(engine: sa.Engine, secret: bytes) -> None:
    _identity(engine)
    with engine.begin() as conn:
        conn.execute(sa.delete(secret_slot))
    with pytest.raises(LostKeys, match="secret_slot is empty"):
        _identity(engine, secret)
    assert _slots(engine) == []


def test_not_even_where_no_connection_is_left_to_tell(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        shop = Connection("shop", connector="source-faker", executable=None, config={})
        connections.put(conn, SECRET, shop)
        conn.execute(sa.delete(connection))
        conn.execute(sa.delete(secret_slot))
    with pytest.raises(LostKeys):
        _identity(engine)


def test_slots_of_another_database_are_known_for_that(engine: sa.Engine) -> None:
    """As when one table is restored from another backup: the secret key opens it all the same."""
    _identity(engine)
    with engine.begin() as conn:
        secrets.seal(conn, SECRET, secrets.Keys(b"i" * 32, b"c" * 32, {1: b"t" * 32}))
    with pytest.raises(LostKeys, match="are not those of this database"):
        _identity(engine)


def test_a_damaged_slot_is_said_as_what_it_is(engine: sa.Engine) -> None:
    _identity(engine)
    with engine.begin() as conn:
        conn.execute(sa.update(secret_slot).values(sealed=b"nothing"))
    with pytest.raises(LostKeys, match="damaged"):
        _identity(engine)


def test_another_secret_key_is_wrong_and_changes_nothing(engine: sa.Engine) -> None:
    before, slots = _identity(engine), _slots(engine)
    with pytest.raises(WrongSecretKey):
        _identity(engine, OTHER)
    assert (_identity(engine), _slots(engine)) == (before, slots)


def test_a_rotation_keeps_the_mark_and_the_token_key(engine: sa.Engine) -> None:
    before = _identity(engine)
    with engine.begin() as conn:
        rotation.admit(conn, SECRET, OTHER)
    with engine.begin() as conn:
        rotation.finish(conn, OTHER)
    assert _identity(engine, OTHER) == before


def test_a_database_from_before_marks_gets_one(engine: sa.Engine) -> None:
    before = _identity(engine)
    with engine.begin() as conn:
        conn.execute(sa.delete(key_mark))
    assert _identity(engine) == before
    with engine.begin() as conn:
        assert before.hex() not in conn.execute(sa.select(key_mark.c.mark)).scalar_one()
        conn.execute(sa.delete(secret_slot))
    with pytest.raises(LostKeys):
        _identity(engine)
