"""A source that rotates its token at every start: the new one is kept at once, and stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.errors import LostClaim
from atlas.ledger import claims, connections, sent_configs
from atlas.model.connection import Connection
from atlas.model.stage import Stage
from atlas.settings import secret_key
from atlas.stages.rotation import Rotation
from atlas.stages.work import Work
from tests.stages.conftest import Source

PROGRAM = """
import json, sys
from pathlib import Path

VALID = Path("{valid}")
SPEC = {{"type": "object", "required": ["token"],
         "properties": {{"token": {{"type": "string", "airbyte_secret": True}}}}}}

def say(message):
    print(json.dumps(message), flush=True)

def control(config):
    body = {{"type": "CONNECTOR_CONFIG", "emitted_at": 1, "connectorConfig": {{"config": config}}}}
    say({{"type": "CONTROL", "control": body}})

verb, given = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
if verb == "spec":
    say({{"type": "SPEC", "spec": {{"connectionSpecification": SPEC}}}})
    sys.exit()
config = json.loads(Path(given["--config"]).read_text())
number = int(VALID.read_text())
if config["token"] != f"token-{{number}}":
    error = {{"message": "the token is dead", "failure_type": "config_error"}}
    say({{"type": "TRACE", "trace": {{"type": "ERROR", "emitted_at": 1, "error": error}}}})
    sys.exit(1)
VALID.write_text(str(number + 1))
control({{**config, "token": f"token-{{number + 1}}", "expires": number}})
if verb == "check":
    say({{"type": "CONNECTION_STATUS", "connectionStatus": {{"status": "SUCCEEDED"}}}})
if verb == "discover":
    stream = {{"name": "users", "json_schema": {{}}, "supported_sync_modes": ["full_refresh"]}}
    say({{"type": "CATALOG", "catalog": {{"streams": [stream]}}}})
if verb == "read":
    if config.get("odd") is not None:
        # Put together here, or Atlas would look it up before.
        control({{"token": "$" + "{{env:HOME}}"}} if config["odd"] == "$" else config["odd"])
    say({{"type": "RECORD", "record": {{"stream": "users", "data": {{}}, "emitted_at": 1}}}})
    if config.get("crash"):
        sys.exit("crashed, and token-" + str(number + 1) + " is new")
"""


class Rotating(Source):
    """A connection to a source whose every token can be used once."""

    @property
    def connection(self) -> Connection:
        program = self.directory / "rotating.py"
        return replace(
            super().connection, executable=str(program), config={"token": "token-1", **self.options}
        )

    @property
    def token(self) -> str:
        """The token that is stored."""
        return str(self.stored().config["token"])

    def valid(self, number: int) -> None:
        """Have this token be the one that is valid."""
        (self.directory / "valid").write_text(str(number))


@pytest.fixture
def shop(shop: Source) -> Rotating:
    made = Rotating(shop.engine, shop.settings, shop.directory)
    program = shop.directory / "rotating.py"
    program.write_text(PROGRAM.format(valid=shop.directory / "valid"))
    made.valid(1)
    return made


def test_each_start_uses_the_token_of_the_one_before(shop: Rotating) -> None:
    shop.run()  # check, discover, read
    assert shop.token == "token-4"
    shop.run()  # discover, read; applied again on the way
    assert shop.token == "token-6"
    assert shop.stored().config["expires"] == 5


def test_it_is_kept_although_the_run_fails(shop: Rotating) -> None:
    shop.options = {"crash": True}
    run_id = shop.begin()
    error = shop.attempt(run_id)
    assert error is not None
    assert "crashed" in error
    assert "token-4" not in error
    assert shop.token == "token-4"


def test_applying_the_same_file_changes_nothing(shop: Rotating) -> None:
    shop.run()
    assert shop.apply() == "unchanged"
    assert shop.token == "token-4"


def test_another_change_of_the_file_leaves_the_token(shop: Rotating) -> None:
    shop.run()
    shop.options = {"colour": "red"}
    assert shop.apply() == "updated"
    assert shop.stored().config == {"token": "token-4", "expires": 3, "colour": "red"}
    shop.options = {}
    assert shop.apply() == "updated"
    assert shop.stored().config == {"token": "token-4", "expires": 3}


def test_another_token_in_the_file_is_the_users_wish(shop: Rotating) -> None:
    shop.run()
    shop.options = {"token": "token-9"}
    assert shop.apply() == "updated"
    assert shop.token == "token-9"
    shop.valid(9)
    shop.run()
    assert shop.apply() == "unchanged"


def test_what_is_read_and_put_back_leaves_the_token(shop: Rotating) -> None:
    shop.run()
    with shop.engine.begin() as conn:
        secret = secret_key(shop.settings)
        stored = connections.get(conn, secret, "shop").connection
        assert (
            connections.put(conn, secret, replace(stored, pii={"policy": "default"})) == "updated"
        )
    assert shop.token == "token-4"
    shop.apply()  # the file says otherwise of pii, and nothing new of the token
    assert shop.token == "token-4"


def test_a_change_beside_the_token_leaves_it_too(shop: Rotating) -> None:
    shop.run()
    with shop.engine.begin() as conn:
        secret = secret_key(shop.settings)
        stored = connections.get(conn, secret, "shop").connection
        # As a change over HTTP does it: all that is stored, and something else.
        wanted = replace(stored, config={**stored.config, "colour": "red"})
        assert connections.put(conn, secret, wanted) == "updated"
    shop.options = {"colour": "red"}
    assert shop.apply() == "unchanged"
    assert shop.stored().config == {"token": "token-4", "expires": 3, "colour": "red"}


def test_a_config_given_during_the_run_is_the_newer_one(shop: Rotating) -> None:
    shop.run()
    was = shop.stored().config
    shop.options = {"token": "token-9"}
    shop.apply()
    with shop.engine.begin() as conn:
        secret = secret_key(shop.settings)
        assert not sent_configs.keep(conn, secret, shop.id, was, {"token": "token-5"})
    assert shop.token == "token-9"


def test_references_stay_where_they_still_hold(
    shop: Rotating, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_HOST", "db.example")
    (tmp_path / "first").write_text("token-1\n")
    shop.options = {"token": f"${{file:{tmp_path}/first}}", "host": "${env:SHOP_HOST}"}
    shop.run()
    assert shop.stored().config["host"] == "${env:SHOP_HOST}"
    assert shop.token == "token-4"
    assert shop.apply() == "unchanged"


@pytest.mark.parametrize("odd", [{}, [], "$"], ids=["lacks the token", "no object", "a reference"])
def test_what_is_no_config_is_not_kept(shop: Rotating, odd: Any) -> None:
    shop.options = {"odd": odd}
    shop.run()
    assert shop.token == "token-4"


def test_no_token_stands_in_the_database_in_plain_text(shop: Rotating) -> None:
    shop.run()
    tables = shop.column(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'pipeline'"
    )
    for table in tables:
        for text in shop.column(f"SELECT CAST(t AS text) FROM pipeline.{table} t"):
            assert "token-" not in text


def test_who_lost_the_claim_keeps_nothing(shop: Rotating) -> None:
    run_id = shop.begin()
    claim = claims.claim(shop.engine, Stage.EXPLORE, run_id=run_id, holder="t", lease=60)
    assert isinstance(claim, claims.Claim)
    with shop.engine.begin() as conn:
        claims.seize(conn, claim.stage_run_id, "another")
        stored = connections.get(conn, secret_key(shop.settings), "shop")
    work = Work(claim, shop.engine, shop.settings, lambda _: None)
    rotation = Rotation(work.transaction, shop.settings, stored, {})
    with pytest.raises(LostClaim):
        rotation(b'{"token": "token-9"}')
    assert shop.token == "token-1"
