"""The catalog of datasets over real runs: what is known, what people say, how rows look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import NotAllowed, NotFound, UsageError
from atlas.layers import sample as look
from atlas.ledger import audit, catalog, connections
from atlas.ledger.database import cursor
from atlas.sync import datasets, edit
from tests.conftest import copied
from tests.ledger.conftest import at_once, wait_until_blocked
from tests.stages import pipeline
from tests.stages.conftest import Source, row, source

EMAIL = "jane.doe{}@example.org"
SCHEMA = {
    "type": "object",
    "description": "Everybody who ever bought something",
    "properties": {
        "id": {"type": "integer"},
        "email": {"type": "string", "description": "Where invoices are sent"},
        "lastLoginAt": {"type": "string"},
        "updated_at": {"type": "string"},
    },
}
JANE = "cli: jane"


def _users(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [row(number, number, email=EMAIL.format(number), **more) for number in numbers]


def _shop(engine: sa.Engine, directory: Path) -> Source:
    shop = source(engine, directory)
    pipeline.ready(shop, engine.url.render_as_string(hide_password=False))
    shop.extra = {"users": {"schema": SCHEMA}}
    shop.rows = {"users": _users(1, 2, 3), "orders": [row(1, 1, total=7)]}
    return shop


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the connection of all these tests has its rows."""
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def migrated_database(server_url: str, migrated_database: str, directory: Path) -> Iterator[str]:
    """A migrated database in which a run has ended, that each test gets a copy of: datasets
    ``shop_users`` of three rows and ``shop_orders`` of one."""
    with copied(server_url, migrated_database) as url:
        engine = sa.create_engine(url)
        pipeline.sync(_shop(engine, directory))
        name = engine.url.database
        engine.dispose()
        assert name is not None
        yield name


@pytest.fixture
def users(engine: sa.Engine, directory: Path) -> Source:
    """The connection after its run."""
    return _shop(engine, directory)


@pytest.fixture
def conn(users: Source) -> Iterator[sa.Connection]:
    """A transaction after the run."""
    with users.engine.begin() as conn:
        yield conn


def _names(conn: sa.Connection, **asked: Any) -> list[str]:
    found = datasets.listed(conn, limit=50, **asked)
    assert found["next_cursor"] is None
    return [f"{each['layer']}.{each['name']}" for each in found["items"]]


def _sample(conn: sa.Connection, name: str, **asked: Any) -> dict[str, Any]:
    return datasets.sample(conn, name, **{"limit": 10, "actor": JANE, "may_unmask": False} | asked)


def _describe(conn: sa.Connection, name: str, **changes: Any) -> dict[str, Any]:
    return datasets.describe(conn, name, changes, actor=JANE)  # type: ignore[arg-type]


# --- what is known -------------------------------------------------------------------------------


def test_a_dataset_shows_what_its_runs_and_its_source_say(conn: sa.Connection) -> None:
    found = datasets.show(conn, "shop_users")
    assert (found["connection"], found["stream"], found["namespace"]) == ("shop", "users", None)
    assert found["description"] == found["source_description"] == SCHEMA["description"]
    assert [(each["layer"], each["name"], each["rows"]) for each in found["layers"]] == [
        ("explore", "shop_users_raw", 3),
        ("chart", "shop_users", 3),
        ("navigate", "shop_users", 3),
    ]
    assert all(each["loaded_at"] is not None for each in found["layers"])
    columns = {each["name"]: each for each in found["columns"]}
    assert list(columns) == ["id", "email", "last_login_at", "updated_at"]
    assert columns["last_login_at"]["property"] == "lastLoginAt"
    assert columns["id"]["type"] == "bigint"
    assert columns["email"]["description"] == "Where invoices are sent"
    assert columns["email"]["personal"] == [
        {"column": "email", "entity_type": "EMAIL_ADDRESS", "operator": "mask"}
    ]
    assert found["personal"] == ["EMAIL_ADDRESS"]
    assert found["quality"]["score"] == 1
    (run,) = found["runs"]
    assert (run["status"], run["rows"]) == (
        "succeeded",
        {"explore": 3, "promoted": 3, "quarantined": 0},
    )
    one = datasets.show(conn, "chart.shop_users")
    assert one == found | {"layers": [found["layers"][1]]}
    assert datasets.show(conn, "shop_users_raw", "explore")["layers"] == [found["layers"][0]]


def test_an_estimate_is_never_called_a_count(
    conn: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "COUNTED", 2)
    conn.execute(sa.text("ANALYZE chart.shop_users"))
    (layer,) = datasets.show(conn, "chart.shop_users")["layers"]
    assert (layer["rows"], layer["estimated_rows"]) == (None, 3)
    (layer,) = datasets.show(conn, "chart.shop_orders")["layers"]
    assert layer["rows"] == 1


def test_a_table_that_is_not_there_is_not_listed(users: Source) -> None:
    users.rows = {**users.rows, "carts": [row(1, 1)]}
    run_id = users.begin()
    assert users.attempt(run_id) is None
    with users.engine.begin() as conn:
        assert "explore.shop_carts_raw" in _names(conn)
        assert "chart.shop_carts" not in _names(conn)
        assert [each["layer"] for each in datasets.show(conn, "shop_carts")["layers"]] == [
            "explore"
        ]
        with pytest.raises(NotFound, match="no table in chart yet: `atlas sync shop`"):
            datasets.show(conn, "chart.shop_carts")
        with pytest.raises(NotFound, match="no table in chart yet"):
            _sample(conn, "shop_carts")


NOWHERE = {
    "nowhere": "there is no dataset 'nowhere'",
    "gold.shop_users": "there is no layer 'gold': they are explore, chart, navigate",
    # In explore it is called otherwise.
    "explore.shop_users": "there is no dataset",
    "chart.shop_users_raw": "there is no dataset",
    "": "there is no dataset",
    "shop\0users": "there is no dataset",
    "shop\udc80users": "there is no dataset",
    "x" * 10_000: "there is no dataset",
}


def test_what_is_not_there_is_said_in_one_short_line(conn: sa.Connection) -> None:
    for name, message in NOWHERE.items():
        for ask in (datasets.show, _sample, _describe):
            with pytest.raises(NotFound, match=message) as refused:
                ask(conn, name)
            assert len(str(refused.value)) < 500


# --- its rows ------------------------------------------------------------------------------------


def test_a_sample_of_what_is_masked_never_shows_the_original(conn: sa.Connection) -> None:
    for name in ("shop_users", "chart.shop_users", "navigate.shop_users"):
        found = _sample(conn, name)
        assert (found["masked"], len(found["items"])) == (True, 3)
        assert sorted(each["row"]["id"] for each in found["items"]) == ["1", "2", "3"]
        assert all(each["row"]["email"] for each in found["items"])
        assert "jane" not in str(found)
    assert audit.entries(conn, limit=9, action="datasets.sample") == []


def test_what_is_not_masked_is_for_few_and_never_unnoticed(conn: sa.Connection) -> None:
    raw = "explore.shop_users_raw"
    with pytest.raises(NotAllowed, match=r"chart\.shop_users shows masked.* role privacy"):
        _sample(conn, raw, why="curious")
    for why in (None, "", " \n "):
        with pytest.raises(UsageError, match="why"):
            _sample(conn, raw, may_unmask=True, why=why)
    assert audit.entries(conn, limit=9, action="datasets.sample") == []
    found = _sample(conn, raw, may_unmask=True, why="ticket 7", limit=2)
    assert (found["masked"], len(found["items"])) == (False, 2)
    assert EMAIL.format(3) in found["items"][0]["row"]["data"]
    (entry,) = audit.entries(conn, limit=9, action="datasets.sample")
    assert (entry["actor"], entry["subject"]) == (JANE, raw)
    ids = [each["row"]["_atlas_id"] for each in found["items"]]
    assert entry["detail"] == {"why": "ticket 7", "rows": ids}


def test_long_values_are_cut_and_said_to_be(users: Source) -> None:
    users.rows = {"users": _users(4, lastLoginAt="x" * 501), "orders": []}
    pipeline.sync(users)
    with users.engine.begin() as conn:
        shown = {each["row"]["id"]: each for each in _sample(conn, "shop_users")["items"]}
    assert shown["4"]["cut"] == ["last_login_at"]
    assert shown["4"]["row"]["last_login_at"] == "x" * 500
    assert shown["2"]["cut"] == []


# --- what people say -----------------------------------------------------------------------------


def test_what_people_say_wins_and_outlives_the_next_run(users: Source) -> None:
    with users.engine.begin() as conn:
        _describe(conn, "shop_users", description=" Customers\nand leads ", owner="Sales  team")
        _describe(conn, "chart.shop_users", tag=["gdpr", "core"], columns={"email": "Login"})
    pipeline.sync(users)
    with users.engine.begin() as conn:
        found = datasets.show(conn, "navigate.shop_users")
        assert found["description"] == "Customers\nand leads"
        assert found["source_description"] == SCHEMA["description"]
        assert (found["owner"], found["tags"]) == ("Sales team", ["core", "gdpr"])
        assert (found["described_by"], found["described_at"] is None) == (JANE, False)
        column = {each["name"]: each for each in found["columns"]}["email"]
        assert (column["description"], column["source_description"]) == (
            "Login",
            "Where invoices are sent",
        )
        assert column["described_by"] == JANE
        # Taken back: what the source says shows again.
        found = _describe(conn, "shop_users", description="", untag=["core"], columns={"email": ""})
        assert (found["description"], found["tags"]) == (SCHEMA["description"], ["gdpr"])
        assert found["owner"] == "Sales team"
        column = {each["name"]: each for each in found["columns"]}["email"]
        assert (column["description"], column["described_by"]) == ("Where invoices are sent", None)


def test_who_said_something_is_written_down_and_what_is_not(conn: sa.Connection) -> None:
    _describe(conn, "shop_users", owner="Jane Doe", columns={"email": "hers"})
    assert _describe(conn, "shop_users", owner="Jane Doe")["owner"] == "Jane Doe"
    (entry,) = audit.entries(conn, limit=9, action="datasets.describe")  # no change, no entry
    assert (entry["actor"], entry["subject"]) == (JANE, "shop_users")
    assert entry["detail"] == {"changed": ["owner"], "columns": ["email"]}


UNSPEAKABLE: list[dict[str, Any]] = [
    {},
    {"description": "a\0b"},
    {"description": "\ud800"},
    {"description": "x" * 5001},
    {"owner": "x" * 201},
    {"tag": ["Two words"]},
    {"tag": [""]},
    {"tags": [f"t{number}" for number in range(51)]},
    {"columns": {"nothing": "text"}},
    {"columns": {"email\0": "text"}},
    {"columns": {"email": "a\0b"}},
    {"columns": {"": "of the dataset as a whole, perhaps"}},
]


def test_what_cannot_be_said_changes_nothing(conn: sa.Connection) -> None:
    before = datasets.show(conn, "shop_users")
    for changes in UNSPEAKABLE:
        with pytest.raises(UsageError) as refused:
            _describe(conn, "shop_users", **changes)
        assert len(str(refused.value)) < 300, changes
    assert datasets.show(conn, "shop_users") == before


def test_what_people_said_goes_with_the_tables(users: Source) -> None:
    with users.engine.begin() as conn:
        _describe(conn, "shop_users", owner="sales", columns={"email": "Login"})
    edit.delete(users.engine, "shop", actor="test")
    with users.engine.begin() as conn:
        assert datasets.show(conn, "shop_users")["owner"] == "sales"
        users.apply()
        connections.lock(conn, "shop")
    edit.delete(users.engine, "shop", actor="test", drop_data=True)
    assert users.value("SELECT count(*) FROM pipeline.dataset_note") == 0
    assert users.value("SELECT count(*) FROM pipeline.dataset_index") == 0


def test_a_deletion_that_meets_whoever_looks_after_its_runs_is_begun_anew(users: Source) -> None:
    """One has the last row that a deletion takes, and wants the first."""

    def look() -> None:
        with users.engine.begin() as conn:
            # Of the two it is the deletion that a deadlock ends.
            conn.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))
            conn.execute(sa.text("SELECT 1 FROM pipeline.stream_table FOR UPDATE"))
            has.set()
            wait_until_blocked(users.engine)
            conn.execute(sa.text("SELECT 1 FROM pipeline.connection FOR UPDATE"))

    def remove() -> None:
        has.wait()
        gone.extend(edit.delete(users.engine, "shop", actor="test", drop_data=True))

    has = threading.Event()
    gone: list[str] = []
    assert at_once(look, remove) == [None, None]
    assert "navigate.shop_users" in gone


# --- searching -----------------------------------------------------------------------------------


FINDS_USERS = [
    "users",
    "user",  # without its ending
    "shop_users",
    "chart.shop_users",
    "Login",  # of a property lastLoginAt
    "last_login_at",
    "bought",  # of the source's description
    "invoices email",
    '"ever bought"',
    "the users",
    "everybody -orders",
    "who",  # which English leaves out
]


def test_a_dataset_is_found_by_its_words(conn: sa.Connection) -> None:
    for words in FINDS_USERS:
        assert _names(conn, words=words, layer="chart") == ["chart.shop_users"], words
    assert _names(conn, words="the") == []


def test_what_people_say_is_searched_and_filtered(conn: sa.Connection) -> None:
    _describe(conn, "shop_orders", description="Baskets paid", owner="Sales", tag=["pii:none"])
    _describe(conn, "shop_orders", columns={"total": "net of discounts"})
    for asked in (
        {"words": "basket"},
        {"words": "sales"},
        {"words": "pii:none"},
        {"words": "discount"},
        {"tag": "pii:none"},
        {"owner": "Sales"},
    ):
        assert _names(conn, layer="chart", **asked) == ["chart.shop_orders"], asked
    assert _names(conn, tag="none") == _names(conn, owner="sales") == []
    _describe(conn, "shop_orders", description=None)
    assert _names(conn, words="basket") == []


def test_a_name_counts_more_than_a_description(conn: sa.Connection) -> None:
    _describe(conn, "shop_orders", columns={"total": "what users paid"})
    assert _names(conn, words="users", layer="chart") == ["chart.shop_users", "chart.shop_orders"]


def test_pages_hold_everything_once(conn: sa.Connection) -> None:
    asked: dict[str, Any]
    for asked in ({}, {"words": "shop or users"}):
        found, after = [], None
        for _ in range(6):
            page = datasets.listed(conn, limit=1, after=after, **asked)
            found += [f"{each['layer']}.{each['name']}" for each in page["items"]]
            after = page["next_cursor"]
        assert after is None
        assert found == _names(conn, **asked)
        assert len(set(found)) == 6
    for after in ("", "x", "é", "W10=", "bnVsbA==", "WzEsICJhIl0=", "W05hTiwgImEiLCAiYiJd"):
        with pytest.raises(UsageError, match="cursor"):
            datasets.listed(conn, limit=1, after=after)


def test_hostile_words_find_nothing(conn: sa.Connection) -> None:
    for words in ("O'Neil", '"unclosed', "back\\slash", "';--drop", "a & | !", "b:*", "-users %s"):
        assert _names(conn, words=words, layer="chart") in ([], ["chart.shop_orders"]), words


def test_words_that_cannot_be_searched_for_are_refused(conn: sa.Connection) -> None:
    for words in ("", "  ", "'", '"', "-", "\\", "& | !", "x" * 10_000, "a\0b", "\udc80"):
        with pytest.raises(UsageError, match="search: ") as refused:
            _names(conn, words=words)
        assert len(str(refused.value)) < 200


def test_the_index_of_the_words_can_be_used(conn: sa.Connection) -> None:
    conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
    plan = conn.execute(
        sa.text(
            "EXPLAIN SELECT FROM pipeline.dataset_index WHERE search @@"
            " (websearch_to_tsquery('simple', 'a') || websearch_to_tsquery('english', 'a'))"
        )
    ).scalars()
    assert "dataset_index_search" in "\n".join(plan)


def test_a_run_that_brings_nothing_new_writes_no_index(users: Source) -> None:
    version = "SELECT xmin::text || ctid FROM pipeline.dataset_index ORDER BY stream_table_id"
    before = users.column(version)
    pipeline.sync(users)
    with users.engine.connect() as conn:
        assert catalog.has_words(conn, "users")
    # hold() locks the row, which leaves its place alone; an update would move it.
    assert [each.split("(")[1] for each in users.column(version)] == [
        each.split("(")[1] for each in before
    ]


def test_what_the_source_says_cannot_break_a_run(users: Source) -> None:
    users.extra = {
        "users": {"schema": {**SCHEMA, "description": "a\0b " + "word " * 300_000}},
        "orders": {"schema": {"properties": {"id": {"description": 7}}, "description": ["x"]}},
    }
    pipeline.sync(users)
    with users.engine.connect() as conn, cursor(conn):
        assert len(datasets.show(conn, "shop_users")["source_description"]) <= 2000
        assert datasets.show(conn, "shop_orders")["source_description"] is None
        assert _names(conn, words="word", layer="chart") == ["chart.shop_users"]
