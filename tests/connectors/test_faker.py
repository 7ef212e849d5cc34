"""Airbyte's real source-faker: installed by PyAirbyte, asked and read by ourselves."""

from __future__ import annotations

import json

import pytest

from atlas.connectors import install
from atlas.connectors.config import validate
from atlas.connectors.configure import configure
from atlas.connectors.install import Connector
from atlas.connectors.protocol import State
from atlas.connectors.reader import Reader, Records
from atlas.connectors.runner import check, discover, spec
from atlas.errors import TerminalError, UsageError
from atlas.model.stream import StreamKey, SyncMode
from atlas.settings import Settings

USERS = StreamKey("users")
# always_updated=False: a second incremental sync has nothing to say.
CONFIG = {"count": 50, "seed": 42, "parallelism": 2, "always_updated": False}


def test_it_is_installed_in_a_place_of_its_own(faker: Connector, faker_settings: Settings) -> None:
    assert faker.version == "7.2.1"
    directory = install.directory_of(faker, faker_settings)
    assert directory is not None
    assert directory.is_relative_to(faker_settings.home / "connectors" / "source-faker")
    assert install.resolve("source-faker", None, faker_settings) == faker
    assert not (directory / "pyairbyte").exists()  # what PyAirbyte wrote meanwhile


def test_spec_is_kept_and_validates(faker: Connector, faker_settings: Settings) -> None:
    schema = spec(faker, faker_settings)
    assert schema["properties"]["count"]["type"] == "integer"
    directory = install.directory_of(faker, faker_settings)
    assert directory is not None
    assert json.loads((directory / "spec.json").read_text()) == schema
    validate("shop", schema, CONFIG)
    with pytest.raises(UsageError, match="'x' is not of type 'integer'"):
        validate("shop", schema, {"count": "x"})


def test_check(faker: Connector, faker_settings: Settings) -> None:
    check(faker, CONFIG, faker_settings)
    with pytest.raises(TerminalError, match="source-faker"):
        check(faker, {"count": "many"}, faker_settings)


def test_50_users_and_then_no_more(faker: Connector, faker_settings: Settings) -> None:
    available = discover(faker, CONFIG, faker_settings)
    assert {stream.key.name for stream in available} == {"users", "products", "purchases"}
    (users,) = configure(available, None, ["users"], False)
    assert (users.sync_mode, users.cursor_field) == (SyncMode.INCREMENTAL, ("updated_at",))
    assert users.primary_key == (("id",),)

    rows, states = [], []
    with Reader(faker, CONFIG, [users], [], faker_settings) as reader:
        for message in reader:
            if isinstance(message, Records):
                assert message.stream == USERS
                rows += [json.loads(data) for data in message.data]
            elif isinstance(message, State):
                states.append(message)
    assert sorted(row["id"] for row in rows) == list(range(1, 51))
    assert all("@" in row["email"] for row in rows)
    assert reader.statuses == {USERS: "COMPLETE"}
    assert (reader.ignored, reader.garbage, reader.repaired) == (0, 0, 0)
    assert states[-1].stream == USERS

    with Reader(faker, CONFIG, [users], [states[-1].blob], faker_settings) as reader:
        again = [m for m in reader if isinstance(m, Records)]
    assert sum(map(len, again)) == 0
    assert reader.statuses == {USERS: "COMPLETE"}
    assert list((faker_settings.home / "tmp").iterdir()) == []
