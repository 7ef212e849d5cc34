"""Another secret key takes over; what is stored stays readable, and what comes of the identity
stays what it was."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from atlas.errors import TransientError, UsageError
from atlas.ledger import connections, migrations, rotation, secrets
from atlas.ledger.secrets import Keys
from atlas.ledger.tables import connection, key_mark, metadata, secret_slot
from atlas.local import secret_file
from atlas.model.connection import Connection
from tests import command
from tests.ledger.conftest import wait_until_blocked

OLD, NEW = b"o" * 40, b"n" * 40
SHOP = Connection("shop", connector="source-faker", executable=None, config={"token": "s3cret"})


@pytest.fixture(autouse=True)
def shop(engine: sa.Engine) -> None:
    """A stored connection."""
    with engine.begin() as conn:
        connections.put(conn, OLD, SHOP)


def _opened(engine: sa.Engine, secret: bytes) -> Keys:
    with engine.begin() as conn:
        return secrets.keys(conn, secret)


def _config(engine: sa.Engine, secret: bytes) -> object:
    with engine.begin() as conn:
        return connections.get(conn, secret, "shop").connection.config


def _stored(engine: sa.Engine) -> bytes:
    with engine.connect() as conn:
        return bytes(conn.execute(sa.select(connection.c.config)).scalar_one())


def test_in_between_both_keys_open_and_at_the_end_only_the_new_one(engine: sa.Engine) -> None:
    before, ciphertext = _opened(engine, OLD), _stored(engine)
    with engine.begin() as conn:
        rotation.admit(conn, OLD, NEW)
    assert _config(engine, OLD) == _config(engine, NEW) == SHOP.config
    with engine.begin() as conn:
        assert rotation.finish(conn, NEW) == 1
    after = _opened(engine, NEW)
    assert after.identity == before.identity
    assert after.config != before.config
    assert _stored(engine) != ciphertext
    assert _config(engine, NEW) == SHOP.config
    with pytest.raises(TransientError, match="ATLAS_SECRET_KEY"):
        _opened(engine, OLD)
    # Whoever has the old key and an old copy of the slot cannot read what is stored now.
    with pytest.raises(Exception, match="cannot be decrypted"):
        secrets.Reader(before)(_stored(engine))


def test_an_unchanged_connection_stays_unchanged(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        rotation.admit(conn, OLD, NEW)
        rotation.finish(conn, NEW)
    with engine.begin() as conn:
        assert connections.unchanged(conn, NEW, SHOP)
        assert connections.put(conn, NEW, SHOP) == "unchanged"


def test_a_key_that_was_never_admitted_opens_nothing_and_changes_nothing(
    engine: sa.Engine,
) -> None:
    with pytest.raises(TransientError), engine.begin() as conn:
        rotation.finish(conn, NEW)
    with pytest.raises(TransientError), engine.begin() as conn:
        rotation.admit(conn, NEW, OLD)
    assert _config(engine, OLD) == SHOP.config


def test_an_older_key_cannot_shut_out_the_newer(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        rotation.admit(conn, OLD, NEW)
    with pytest.raises(UsageError, match="admitted after"), engine.begin() as conn:
        rotation.finish(conn, OLD)
    assert _config(engine, NEW) == SHOP.config


def test_whoever_reads_meanwhile_reads_all_of_one_key(engine: sa.Engine) -> None:
    """A reader that has opened the keys and not yet read the row is waited for."""
    with engine.begin() as conn:
        rotation.admit(conn, OLD, NEW)
    done = threading.Event()

    def finish() -> None:
        with engine.begin() as conn:
            rotation.finish(conn, NEW)
        done.set()

    with engine.begin() as conn:
        decrypt = secrets.reader(conn, OLD)
        thread = threading.Thread(target=finish)
        thread.start()
        wait_until_blocked(engine)
        content = bytes(conn.execute(sa.select(connection.c.config)).scalar_one())
        assert decrypt(content) == SHOP.config
    thread.join()
    assert done.is_set()


def test_the_schema_of_one_key_of_tokens_is_refused_once_there_is_another(
    engine: sa.Engine,
) -> None:
    with engine.begin() as conn:
        assert rotation.add_token_key(conn, OLD) == 2
    with pytest.raises(UsageError, match="key of tokens was replaced"):
        migrations.downgrade(engine, "0009", lose=True)
    assert migrations.current(engine) == migrations.head()
    # Also where the newer one alone is left.
    with engine.begin() as conn:
        assert rotation.forget_token_keys(conn, OLD) == ([2], [1])
    with pytest.raises(UsageError, match="key of tokens was replaced"):
        migrations.downgrade(engine, "0009", lose=True)
    assert _opened(engine, OLD).newest == 2


def test_a_database_from_before_keeps_its_identity(engine: sa.Engine) -> None:
    """Before there were slots all came from the secret key itself."""
    with engine.begin() as conn:
        conn.execute(sa.delete(secret_slot))
        conn.execute(sa.delete(key_mark))
        old = secrets._fernet(secrets.derive(OLD, "config")).encrypt(b'{"token": "s3cret"}')
        conn.execute(sa.update(connection).values(config=old))
    with pytest.raises(TransientError):  # a wrong key must not become the right one
        _opened(engine, NEW)
    assert _config(engine, OLD) == SHOP.config
    assert _opened(engine, OLD).identity == OLD


def test_two_processes_that_come_first_make_the_same_keys(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.delete(connection))
        conn.execute(sa.delete(secret_slot))
        conn.execute(sa.delete(key_mark))
    found: list[Keys] = []
    with engine.begin() as conn:
        found.append(secrets.keys(conn, OLD))
        thread = threading.Thread(target=lambda: found.append(_opened(engine, OLD)))
        thread.start()
        wait_until_blocked(engine)
    thread.join()
    assert found[0] == found[1]


def test_every_encrypted_column_is_rotated() -> None:
    said = {
        column
        for table in metadata.sorted_tables
        for column in table.c
        if isinstance(column.type, BYTEA) and "encrypted" in (column.comment or "")
    }
    assert said == set(rotation.ENCRYPTED)


class _Killed(Exception):
    """The process dies here."""


@pytest.mark.parametrize(
    ("owner", "step", "call"),
    [
        (secret_file, "_write", 1),
        (rotation, "admit", 1),
        (Path, "replace", 2),
        (secret_file, "_sync", 2),
        (rotation, "finish", 1),
    ],
    ids=["before admit", "in admit", "before the file", "after the file", "in finish"],
)
def test_a_rotation_that_dies_leaves_a_key_that_opens_and_can_be_run_again(
    engine: sa.Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    step: str,
    call: int,
) -> None:
    key = tmp_path / "secret.key"
    key.write_bytes(OLD)
    before = _opened(engine, OLD)
    calls: list[object] = []
    whole = getattr(owner, step)

    def die(*args: object) -> object:
        calls.append(args)
        if step == "replace" and len(calls) == call:
            raise _Killed
        found = whole(*args)
        if len(calls) == call:
            raise _Killed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, die)
        with pytest.raises(_Killed):
            secret_file.rotate(engine, tmp_path)
    assert _config(engine, key.read_bytes()) == SHOP.config
    assert secret_file.rotate(engine, tmp_path) == 1
    assert key.read_bytes() != OLD
    assert key.stat().st_mode & 0o777 == 0o600
    assert _config(engine, key.read_bytes()) == SHOP.config
    assert _opened(engine, key.read_bytes()).identity == before.identity
    with pytest.raises(TransientError):
        _opened(engine, OLD)
    with engine.connect() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(secret_slot)).scalar() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.key", "secret.lock"]


def test_with_the_key_in_the_environment_it_takes_two_commands(
    engine: sa.Engine, database_url: str, tmp_path: Path
) -> None:
    def run(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
        given = {
            "ATLAS_HOME": str(tmp_path),
            "ATLAS_DATABASE_URL": database_url,
            "ATLAS_REDIS_URL": "redis://127.0.0.1:9/0",
        }
        return command.run("keys", "rotate-secret", "--json", *options, env=kept | given | environ)

    old, new = OLD.decode(), NEW.decode()
    refused = run(ATLAS_SECRET_KEY=old)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "ATLAS_SECRET_KEY_NEW" in refused.stderr
    first = run(ATLAS_SECRET_KEY=old, ATLAS_SECRET_KEY_NEW=new)
    assert json.loads(first.stdout) == {"finished": False, "configurations": None}
    assert _config(engine, OLD) == _config(engine, NEW) == SHOP.config
    assert run("--finish", ATLAS_SECRET_KEY=old).returncode == 2
    second = run("--finish", ATLAS_SECRET_KEY=new)
    assert json.loads(second.stdout) == {"finished": True, "configurations": 1}
    assert _config(engine, NEW) == SHOP.config
    refused = run("--finish", ATLAS_SECRET_KEY=old)
    assert refused.returncode == 1
    assert "the secret key is not the one" in refused.stderr
    assert list(tmp_path.iterdir()) == []
