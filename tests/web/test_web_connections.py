"""Connections over HTTP: checked as a file's are, and no secret ever comes back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.connectors.masking import within_roots
from atlas.errors import UsageError
from atlas.layers import names, staging
from atlas.ledger import connections, runs, sent_configs, state
from atlas.ledger.database import cursor
from atlas.ledger.state_documents import Basis
from atlas.ledger.tables import connection, connector_state, run, stream_column, stream_table
from atlas.model.connection import Connection
from atlas.model.source_code import SourceCode
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import connections_file
from atlas.web import source_models as models
from tests.connectors import pretend
from tests.ledger.conftest import wait_until_blocked
from tests.web.conftest import SECRET, data_tables
from tests.web.test_web_connectors import as_documented  # noqa: F401 - a fixture

BASE = "/api/v1/connections"
NAME = "source-hardcoded-records"
MASK = "********"
SPEC = {
    "type": "object",
    "required": ["host"],
    "properties": {
        "host": {"type": "string"},
        "port": {"type": "integer"},
        "password": {"type": "string", "airbyte_secret": True},
        "pin": {"type": "integer", "airbyte_secret": True},
        "keys": {"type": "array", "items": {"type": "string", "airbyte_secret": True}},
        "tunnel": {
            "oneOf": [
                {"properties": {"kind": {"const": "none"}}},
                {"properties": {"key": {"type": "string", "airbyte_secret": True}}},
            ]
        },
    },
}
CONFIG = {
    "host": "db.example",
    "port": 5432,
    "password": "pl4nted-a",
    "keys": ["pl4nted-b", "pl4nted-c"],
    "tunnel": {"kind": "key", "key": "pl4nted-d"},
}
HIDDEN = {
    "host": "db.example",
    "port": 5432,
    "password": MASK,
    "keys": [MASK, MASK],
    "tunnel": {"kind": "key", "key": MASK},
}
SHOP: dict[str, Any] = {"name": "shop", "connector": NAME, "config": CONFIG}


@pytest.fixture(autouse=True)
def connector(settings: Settings) -> None:
    """A connector of the catalog, installed, with this spec."""
    (pretend.install(settings.home, NAME) / "spec.json").write_text(json.dumps(SPEC))


def _stored(engine: sa.Engine, name: str = "shop") -> Connection:
    with engine.begin() as conn:
        return connections.get(conn, SECRET.encode(), name).connection


def _change(api: Any, body: Any, role: str = "operator") -> Any:
    return api.call("PATCH", f"{BASE}/shop", role, json=body)


def test_made_read_and_listed(api: Any, engine: sa.Engine, as_documented: Any) -> None:  # noqa: F811
    body = {
        **SHOP,
        "streams": {"users": {"sync_mode": "incremental", "cursor_field": ["at"]}},
        "schedule": {"every": "10m"},
        "pii": {"columns": {"note": "drop"}},
        "quality": {"on_failure": "warn", "checks": "checks for users:\n  - row_count > 0\n"},
    }
    made = api.post(BASE, json=body)
    assert made.status_code == 201
    assert made.headers["Location"] == f"{BASE}/shop"
    document = as_documented(made, BASE, "post")
    assert document["config"] == HIDDEN
    assert {name: document[name] for name in body if name != "config"} == {
        **{name: value for name, value in body.items() if name != "config"}
    }
    read = api.get(f"{BASE}/shop")
    assert as_documented(read, BASE + "/{name}") == document
    listed = as_documented(api.get(BASE), BASE)
    assert [item["name"] for item in listed["items"]] == ["shop"]
    for answer in (made, read, api.get(BASE)):
        assert "pl4nted" not in answer.get_data(as_text=True)
    assert _stored(engine).config == CONFIG
    with engine.connect() as conn:
        due = conn.execute(sa.select(connection.c.due_at, connection.c.created_at)).one()
    assert due.due_at > due.created_at


def test_the_same_as_from_a_file(api: Any, engine: sa.Engine, tmp_path: Any) -> None:
    api.post(BASE, json={**SHOP, "streams": ["users"]})
    text = json.dumps({"connections": [{**SHOP, "streams": ["users"]}]})
    (wanted,) = connections_file.parse(text, base=tmp_path).connections
    with engine.begin() as conn:
        assert connections.unchanged(conn, SECRET.encode(), wanted)


def test_pages(api: Any) -> None:
    for name in ("b", "a", "c_1", "c"):
        assert api.post(BASE, json={**SHOP, "name": name}).status_code == 201
    first = api.get(f"{BASE}?limit=3").json
    assert [item["name"] for item in first["items"]] == ["a", "b", "c"]
    second = api.get(f"{BASE}?limit=3&cursor={first['next_cursor']}").json
    assert [item["name"] for item in second["items"]] == ["c_1"]
    assert second["next_cursor"] is None
    assert api.get(f"{BASE}?cursor=%00").status_code == 400


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"config": {"port": 1}}, "host"),
        ({"config": {**CONFIG, "port": "pl4nted"}}, "config.port"),
        ({"config": {**CONFIG, "password": MASK}}, "config.password"),
        ({"config": {**CONFIG, "password": "${env:HOME}"}}, "config.password"),
        ({"config": {**CONFIG, "host": "${file:/etc/hostname}"}}, "config.host"),
        ({"connector": "source-fakir"}, "source-faker"),
        ({"executable": "/bin/true"}, "executable"),
        ({"manifest": {}}, "manifest"),
        ({"streams": {"users": {"sync_mode": "sometimes"}}}, "sync_mode"),
        ({"schedule": {"cron": "61 * * * *"}}, "cron"),
        ({"pii": {"policy": "lax"}}, "policy"),
        ({"quality": {"checks": "/etc/passwd"}}, "quality.checks"),
        ({"quality": {"checks": ["x"]}}, "SodaCL"),
        ({"quality": {"checks": "checks for users:\n  - row_count => 3\n"}}, "line 2"),
        ({"quality": {"streams": {"users": {"gates": {"a": "stop"}}}}}, "gates: a"),
        ({"name": "Shop"}, "name"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    api: Any, engine: sa.Engine, more: dict[str, Any], says: str
) -> None:
    refused = api.post(BASE, json={**SHOP, **more})
    assert refused.status_code == 422
    assert says in refused.json["detail"]
    assert "pl4nted-" not in refused.json["detail"]
    with engine.connect() as conn:
        assert conn.execute(sa.select(connection.c.id)).all() == []


def test_a_connector_that_is_not_installed(api: Any) -> None:
    refused = api.post(BASE, json={**SHOP, "connector": "source-faker"})
    assert (refused.status_code, refused.json["type"]) == (409, "/api/docs#not-installed")
    assert "/api/v1/connectors/source-faker/install" in refused.json["detail"]


def test_a_name_that_is_in_use(api: Any, engine: sa.Engine) -> None:
    api.post(BASE, json=SHOP)
    refused = api.post(BASE, json={**SHOP, "config": {"host": "other"}})
    assert (refused.status_code, refused.json["type"]) == (409, "/api/docs#conflict")
    assert _stored(engine).config == CONFIG


# --- changes --------------------------------------------------------------------------------------


def test_what_is_left_out_stays(api: Any, engine: sa.Engine, as_documented: Any) -> None:  # noqa: F811
    api.post(BASE, json={**SHOP, "streams": ["users"], "schedule": {"every": "10m"}})
    answer = _change(api, {"schedule": None, "quality": {"on_failure": "block"}})
    document = as_documented(answer, BASE + "/{name}", "patch")
    assert (document["schedule"], document["quality"]["on_failure"]) == (None, "block")
    assert (document["streams"], document["config"]) == ({"users": {}}, HIDDEN)
    assert _stored(engine).config == CONFIG
    with engine.connect() as conn:
        assert conn.execute(sa.select(connection.c.due_at)).scalar() is None


def test_a_config_sent_back_keeps_its_secrets(api: Any, engine: sa.Engine) -> None:
    api.post(BASE, json=SHOP)
    read = api.get(f"{BASE}/shop").json["config"]
    assert _change(api, {"config": {**read, "port": 1}}).status_code == 200
    assert _stored(engine).config == {**CONFIG, "port": 1}
    changed = _change(api, {"config": {**read, "password": "pl4nted-new"}})
    assert changed.json["config"] == HIDDEN
    assert _stored(engine).config == {**CONFIG, "password": "pl4nted-new"}
    # What is not sent along is gone, and a mask does not bring it back.
    assert _change(api, {"config": {"host": "h"}}).json["config"] == {"host": "h"}
    refused = _change(api, {"config": {"host": "h", "password": MASK}})
    assert refused.status_code == 422
    assert "config.password" in refused.json["detail"]


@pytest.mark.parametrize("keys", [[MASK], [MASK, MASK, MASK], [["x"], MASK]])
def test_a_mask_is_never_guessed(api: Any, engine: sa.Engine, keys: list[Any]) -> None:
    api.post(BASE, json=SHOP)
    assert _change(api, {"config": {**HIDDEN, "keys": keys}}).status_code == 422
    assert _stored(engine).config == CONFIG


def test_references_of_the_command_line_stay_and_new_ones_are_refused(
    api: Any, engine: sa.Engine
) -> None:
    config = {"host": "${env:DB_HOST}", "password": "${file:~/password}"}
    with engine.begin() as conn:
        shop = Connection("shop", connector=NAME, executable=None, config=config)
        connections.put(conn, SECRET.encode(), shop)
    read = api.get(f"{BASE}/shop").json["config"]
    assert read == {"host": "${env:DB_HOST}", "password": MASK}
    assert _change(api, {"config": {**read, "port": 1}}).status_code == 200
    assert _stored(engine).config == {**config, "port": 1}
    assert _change(api, {"config": {**read, "host": "${env:OTHER}"}}).status_code == 422


def test_another_connector_gets_nothing_of_the_old_ones_secrets(
    api: Any, engine: sa.Engine, settings: Settings
) -> None:
    other = "source-google-sheets"
    (pretend.install(settings.home, other) / "spec.json").write_text('{"type": "object"}')
    api.post(BASE, json=SHOP)
    assert _change(api, {"connector": other}).status_code == 422
    assert _change(api, {"connector": other, "config": HIDDEN}).status_code == 422
    assert _stored(engine).config == CONFIG
    assert _change(api, {"connector": other, "config": {"a": 1}}).status_code == 200
    assert (_stored(engine).connector, _stored(engine).config) == (other, {"a": 1})


def test_what_a_source_sent_outlives_a_change_of_something_else(
    api: Any, engine: sa.Engine
) -> None:
    api.post(BASE, json=SHOP)
    rotated = {**CONFIG, "password": "pl4nted-rotated", "session": "pl4nted-unknown"}
    with engine.begin() as conn:
        connection_id = connections.lock(conn, "shop")
        assert sent_configs.keep(conn, SECRET.encode(), connection_id, CONFIG, rotated)
    assert _change(api, {"schedule": {"every": "1h"}}).status_code == 200
    assert _change(api, {"config": {**HIDDEN, "port": 1}}).status_code == 200
    assert _stored(engine).config == {**rotated, "port": 1}
    # No spec knows that what the source added is secret: it is not shown.
    assert "pl4nted" not in api.get(f"{BASE}/shop").text
    # And what was declared is still known, so that declaring it again does not undo it.
    declared = Connection(
        "shop",
        connector=NAME,
        executable=None,
        config={**CONFIG, "port": 1},
        schedule={"every": "1h"},
    )
    with engine.begin() as conn:
        assert connections.put(conn, SECRET.encode(), declared) == "unchanged"


def test_another_connector_not_while_it_is_synced(
    api: Any, engine: sa.Engine, settings: Settings
) -> None:
    other = "source-google-sheets"
    (pretend.install(settings.home, other) / "spec.json").write_text('{"type": "object"}')
    api.post(BASE, json=SHOP)
    api.post(f"{BASE}/shop/syncs")
    refused = _change(api, {"connector": other, "config": {}})
    assert (refused.status_code, refused.json["type"]) == (409, "/api/docs#active-run")
    assert _change(api, {"schedule": {"every": "1h"}}).status_code == 200


def test_another_cursor_asks_for_a_reset(api: Any, engine: sa.Engine) -> None:
    def cursor_of(field: str) -> dict[str, Any]:
        return {"streams": {"users": {"sync_mode": "incremental", "cursor_field": [field]}}}

    api.post(BASE, json={**SHOP, **cursor_of("at")})
    said = json.dumps({"type": "STREAM", "stream": {"stream_descriptor": {"name": "users"}}})
    key = StreamKey("users")
    with engine.begin() as conn:
        shop = connections.lock(conn, "shop")
        state.write(conn, shop, state.State("STREAM", key, said, {key: Basis(("at",))}), None)
    refused = _change(api, cursor_of("id"))
    assert refused.status_code == 422
    assert "users" in refused.json["detail"]
    changed = api.call("PATCH", f"{BASE}/shop?reset_state=true", json=cursor_of("id"))
    assert changed.json["streams"] == cursor_of("id")["streams"]
    assert _counts(engine)[:2] == [1, 0]


def test_a_program_keeps_its_config_and_shows_none_of_it(api: Any, engine: sa.Engine) -> None:
    config = {"token": "pl4nted-e", "depth": 3, "deep": [{"x": "pl4nted-f"}], "on": True}
    with engine.begin() as conn:
        shop = Connection("shop", connector=None, executable="/opt/mine.py", config=config)
        connections.put(conn, SECRET.encode(), shop)
    # Nobody here knows what of it is secret.
    read = api.get(f"{BASE}/shop").json
    assert read["config"] == {"token": MASK, "depth": MASK, "deep": [{"x": MASK}], "on": True}
    assert _change(api, {"schedule": {"every": "1h"}}).status_code == 200
    assert (_stored(engine).config, _stored(engine).executable) == (config, "/opt/mine.py")
    refused = _change(api, {"config": {"token": "x"}})
    assert refused.status_code == 422
    assert "atlas apply" in refused.json["detail"]


def test_changes_at_once_are_both_kept(api: Any, engine: sa.Engine, app: Any) -> None:
    api.post(BASE, json=SHOP)
    with engine.begin() as conn:
        connections.lock(conn, "shop")
        bodies = [{"schedule": {"every": "1h"}}, {"streams": ["users"]}]
        threads = [threading.Thread(target=_change, args=(api, body)) for body in bodies]
        for thread in threads:
            thread.start()
        wait_until_blocked(engine, 2)
    for thread in threads:
        thread.join()
    stored = _stored(engine)
    assert (stored.schedule, list(stored.streams or ())) == ({"every": "1h"}, ["users"])


def test_a_request_takes_all_that_a_file_takes_but_what_needs_the_machine() -> None:
    takes = {field.name for field in fields(Connection)} - {"executable"}
    assert takes == set(models.ConnectionRequest.__struct_fields__)
    assert set(models.ConnectionChange.__struct_fields__) == takes - {"name"}


SAFE = """\
checks for users:
  - row_count > 0
  - missing_count(name) = 0
  - duplicate_count("id", name) < 5
  - avg(price) between 1 and 20
  - freshness(updated_at) < 2d
  - invalid_percent(price) < 5 %:
      name: prices
      valid min: -0.5
      valid values: [a, "x' OR '"]
"""
QUERIES = [
    "failed rows:\n      fail condition: id > 1",
    "failed rows:\n      fail query: SELECT * FROM pg_authid",
    "secrets = 0:\n      secrets query: SELECT 1",
    "secrets = 0:\n      secrets expression: SUM(1)",
    "missing_count(id) = 0:\n      filter: id > 1",
    "invalid_count(id) = 0:\n      valid min: (SELECT 1)",
    "missing_count((SELECT 1)) = 0",
    "row_count > 0:\n      name: a\n    failed rows:\n      fail query: SELECT 1",
    "row_count same as orders",
    "values in (id) must exist in orders (id)",
]


def test_sql_of_one_s_own_takes_an_admin(api: Any) -> None:
    asked = {"quality": {"checks": SAFE}}
    assert api.post(BASE, json={**SHOP, **asked}).status_code == 201
    for query in QUERIES:
        text = f"checks for users:\n  - row_count > 0\n  - {query}\n"
        for quality in ({"checks": text}, {"streams": {"users": {"checks": text}}}):
            refused = _change(api, {"quality": quality}, role="privacy")
            assert (refused.status_code, refused.json["required_role"]) == (403, "admin"), query
            assert "line 3" in refused.json["detail"]
    filtered = "filter users [a]:\n  where: id > 1\n" + SAFE
    assert _change(api, {"quality": {"checks": filtered}}).status_code == 403
    by_admin = "checks for users:\n  - failed rows:\n      fail condition: id > 1\n"
    assert _change(api, {"quality": {"checks": by_admin}}, role="admin").status_code == 200
    # What an admin has written an operator may leave as it is.
    also = {"quality": {"checks": by_admin, "on_failure": "warn"}}
    assert _change(api, also).status_code == 200


# --- deletion -------------------------------------------------------------------------------------


def _delete(api: Any, query: str = "", role: str = "operator") -> Any:
    return api.call("DELETE", f"{BASE}/shop{query}", role)


@pytest.fixture
def synced(api: Any, engine: sa.Engine) -> Callable[[str], int]:
    """Makes a connection with one ended run and its tables; returns its stream's id."""

    def make(name: str) -> int:
        assert api.post(BASE, json={**SHOP, "name": name}).status_code == 201
        with engine.begin() as conn:
            run_id = runs.create(
                conn, connection=name, trigger="api", selected=None, full_refresh=False
            )
            users = ConfiguredStream(StreamKey("users"), {}, SyncMode.FULL_REFRESH)
            runs.add_streams(conn, run_id, [(users, True)], list(ORDER))
            conn.execute(run.update().values(status="succeeded"))
            (stream,) = runs.stream_ids(conn, run_id)
            cur = cursor(conn)
            tables = names.tables(cur, name, StreamKey("users"))
            schema = {"properties": {"id": {"type": "integer"}}}
            names.columns(cur, name, StreamKey("users"), schema)
            for schema_name, table in (
                ("explore", tables.raw),
                ("chart", tables.table),
                ("navigate", tables.table),
            ):
                cur.execute(f"CREATE TABLE {schema_name}.{table} (id integer)")
            cur.execute(f"CREATE TABLE pipeline.{staging.name(stream)} (id integer)")
            conn.execute(
                connector_state.insert().values(
                    connection_id=connections.lock(conn, name), type="STREAM", state={}
                )
            )
        return stream

    return make


def _tables(engine: sa.Engine) -> set[str]:
    with engine.connect() as conn:
        return data_tables(conn)


def _counts(engine: sa.Engine) -> list[int]:
    tables = (connection, connector_state, run, stream_table, stream_column)
    with engine.connect() as conn:
        return [
            conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in tables
        ]


@pytest.mark.parametrize(
    ("pii", "told"),
    [
        ({"entities": {"PERSON": "keep"}}, "entity type PERSON"),
        ({"columns": {"email": "keep", "phone": "mask"}}, "column email"),
    ],
)
def test_only_privacy_may_keep_what_the_policy_masks(api: Any, pii: object, told: str) -> None:
    refused = api.post(BASE, json={**SHOP, "pii": pii})
    assert (refused.status_code, refused.json["required_role"]) == (403, "privacy")
    assert told in refused.json["detail"]
    assert api.get(f"{BASE}/shop").status_code == 404
    masked = {"entities": {"PERSON": "tokenize"}, "columns": {"email": "redact"}}
    assert api.post(BASE, json={**SHOP, "pii": masked}).status_code == 201
    assert api.call("PATCH", f"{BASE}/shop", json={"pii": pii}).status_code == 403
    assert api.get(f"{BASE}/shop").json["pii"] == masked
    assert api.call("PATCH", f"{BASE}/shop", "privacy", json={"pii": pii}).status_code == 200
    # What stands there already is nobody's news.
    kept = api.call("PATCH", f"{BASE}/shop", json={"pii": pii, "schedule": {"every": "1h"}})
    assert (kept.status_code, kept.json["pii"]) == (200, pii)


SHOP_TABLES = ["chart.shop_users", "explore.shop_users_raw", "navigate.shop_users"]


def test_deleted_it_leaves_its_data(
    api: Any,
    engine: sa.Engine,
    synced: Any,
    as_documented: Any,  # noqa: F811
) -> None:
    synced("shop")
    gone = _delete(api)
    assert as_documented(gone, BASE + "/{name}", "delete") == {"name": "shop", "dropped_tables": []}
    assert _tables(engine) == set(SHOP_TABLES)
    assert _counts(engine) == [0, 0, 1, 1, 1]
    assert _delete(api).status_code == 404
    # Another one of its name goes on with the same tables.
    assert api.post(BASE, json=SHOP).status_code == 201


def test_deleted_with_its_data_it_leaves_nothing_and_others_alone(
    api: Any, engine: sa.Engine, synced: Any
) -> None:
    synced("shop")
    other = synced("shop_2")
    gone = _delete(api, "?drop_data=true")
    assert sorted(gone.json["dropped_tables"]) == SHOP_TABLES
    kept = {table.replace("shop_", "shop_2_") for table in SHOP_TABLES}
    assert _tables(engine) == {*kept, f"pipeline.{staging.name(other)}"}
    assert _counts(engine) == [1, 1, 1, 1, 1]


def test_what_depends_on_a_table_is_not_dropped_with_it(
    api: Any, engine: sa.Engine, synced: Any
) -> None:
    synced("shop")
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE VIEW chart.mine AS SELECT * FROM chart.shop_users"))
    refused = _delete(api, "?drop_data=true")
    assert refused.status_code == 409
    assert "chart.shop_users" in refused.json["detail"]
    assert set(SHOP_TABLES) <= _tables(engine)
    assert _counts(engine) == [1, 1, 1, 1, 1]


def test_not_while_it_is_synced(api: Any, engine: sa.Engine) -> None:
    api.post(BASE, json=SHOP)
    run_id = api.post(f"{BASE}/shop/syncs").json["run_id"]
    for query in ("", "?drop_data=true"):
        refused = _delete(api, query)
        assert (refused.status_code, refused.json["run_id"]) == (409, run_id)
    assert _counts(engine)[0] == 1


def test_a_sync_that_is_asked_for_meanwhile_finds_nothing(api: Any, engine: sa.Engine) -> None:
    api.post(BASE, json=SHOP)
    found: list[Any] = []

    def start() -> None:
        found.append(api.post(f"{BASE}/shop/syncs"))

    with engine.begin() as conn:
        connections.delete(conn, connections.lock(conn, "shop"))
        thread = threading.Thread(target=start)
        thread.start()
        wait_until_blocked(engine)
    thread.join()
    assert found[0].status_code == 404
    assert _counts(engine)[2] == 0


def test_who_may_what(api: Any) -> None:
    assert api.post(BASE, "viewer", json=SHOP).status_code == 403
    api.post(BASE, json=SHOP)
    assert _change(api, {}, "viewer").status_code == 403
    assert _delete(api, role="viewer").status_code == 403
    assert api.get(f"{BASE}/shop", "viewer").status_code == 200
    for path in (f"{BASE}/Shop", f"{BASE}/a%00", f"{BASE}/none"):
        assert api.get(path).status_code == 404


def test_files_are_read_for_the_network_only_where_that_is_allowed(
    api: Any, settings: Settings, tmp_path: Any
) -> None:
    body = {"name": "files", "connector": "source-files", "config": {"path": str(tmp_path)}}
    refused = api.post(BASE, json=body)
    assert refused.status_code == 422
    assert "ATLAS_FILES_ROOTS" in refused.json["detail"]
    asked = api.post("/api/v1/connectors/source-files/check", json={"config": body["config"]})
    assert (asked.status_code, "ATLAS_FILES_ROOTS" in asked.json["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "fits"),
    [("in", True), ("in/deep", True), ("", False), ("in/../out", False), ("inside", False)],
)
def test_the_roots_of_files(settings: Settings, tmp_path: Any, path: str, fits: bool) -> None:
    allowed = replace(settings, files_roots=(str(tmp_path / "in"),))
    config = {"path": str(tmp_path / path)}
    if fits:
        within_roots("source-files", config, allowed)
        return
    with pytest.raises(UsageError, match="ATLAS_FILES_ROOTS"):
        within_roots("source-files", config, allowed)


@pytest.mark.parametrize("path", ["~/x", "~root/x", "x", "./x"])
def test_a_path_that_may_mean_another_place_is_below_no_root(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # Taken as below this directory it would be allowed; the source may take it otherwise.
    monkeypatch.chdir(tmp_path)
    allowed = replace(settings, files_roots=(str(tmp_path),))
    with pytest.raises(UsageError, match="ATLAS_FILES_ROOTS"):
        within_roots("source-files", {"path": path}, allowed)


def test_airbytes_source_file_reads_local_files_only_below_the_roots(
    settings: Settings, tmp_path: Any
) -> None:
    allowed = replace(settings, files_roots=(str(tmp_path),))
    local = {"provider": {"storage": "local"}}
    within_roots("source-file", {"url": str(tmp_path / "a.csv"), **local}, allowed)
    for url in ("/etc/passwd", "file:///etc/passwd", str(tmp_path / "../a.csv")):
        with pytest.raises(UsageError, match=r"config\.url: .* ATLAS_FILES_ROOTS"):
            within_roots("source-file", {"url": url, **local}, allowed)
    elsewhere = {"url": "https://example.org/a.csv", "provider": {"storage": "HTTPS"}}
    within_roots("source-file", elsewhere, allowed)


def test_the_file_that_it_was_applied_from_is_shown_until_it_is_changed(
    api: Any,
    engine: sa.Engine,
    as_documented: Any,  # noqa: F811
) -> None:
    assert api.call("POST", BASE, "operator", json=SHOP).status_code == 201
    page = {"headers": {"Accept": "text/html"}}
    assert "Applied from" not in api.get("/connections/shop", "viewer", **page).text
    code = SourceCode("https://github.com/a/b/blob/c0ffee/s.yml", "https://x", "s.yml", "c0ffee")
    with engine.begin() as conn:
        stored = _stored(engine)
        assert connections.put(conn, SECRET.encode(), stored, source_code=code) == "updated"
    shown = as_documented(api.get(f"{BASE}/shop", "viewer"), BASE + "/{name}")
    assert shown["source_code"] == code.document()
    (listed,) = as_documented(api.get(BASE, "viewer"), BASE)["items"]
    assert listed["source_code"] == code.document()
    assert f'<a href="{code.url}" ' in api.get("/connections/shop", "viewer", **page).text
    assert _change(api, {"schema_changes": "freeze"}).json["source_code"] is None
