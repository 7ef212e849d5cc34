"""What a run reads, from what the source offers and the connection selects."""

from __future__ import annotations

import pytest

from atlas.connectors.configure import configure
from atlas.errors import UsageError
from atlas.model.stream import AvailableStream, StreamKey, StreamSelection, SyncMode

BOTH = (SyncMode.FULL_REFRESH, SyncMode.INCREMENTAL)
COLUMNS = {"properties": {"id": {}, "updated_at": {}, "email": {}}}

USERS = AvailableStream(
    StreamKey("users"),
    COLUMNS,
    BOTH,
    source_defined_cursor=True,
    default_cursor_field=("updated_at",),
    source_defined_primary_key=(("id",),),
)
TABLE = AvailableStream(StreamKey("table"), COLUMNS, BOTH)
PRODUCTS = AvailableStream(StreamKey("products"), COLUMNS)
HIDDEN = AvailableStream(StreamKey("hidden"), {}, BOTH, source_defined_cursor=True)
AVAILABLE = [USERS, TABLE, PRODUCTS, HIDDEN]


def test_defaults() -> None:
    users, table, products, hidden = configure(AVAILABLE, None, None, False)
    assert (users.sync_mode, users.cursor_field) == (SyncMode.INCREMENTAL, ("updated_at",))
    assert users.primary_key == (("id",),)
    assert (table.sync_mode, table.cursor_field, table.primary_key) == ("full_refresh", (), ())
    assert products.sync_mode is SyncMode.FULL_REFRESH
    assert (hidden.sync_mode, hidden.cursor_field) == (SyncMode.INCREMENTAL, ())


def test_the_user_chooses_where_the_source_does_not() -> None:
    selection = StreamSelection(SyncMode.INCREMENTAL, ("updated_at",), (("id",), ("email",)))
    (table,) = configure(AVAILABLE, {"table": selection}, None, False)
    assert (table.sync_mode, table.cursor_field) == (SyncMode.INCREMENTAL, ("updated_at",))
    assert table.primary_key == (("id",), ("email",))


def test_the_sources_own_cursor_and_key_win() -> None:
    selection = StreamSelection(None, ("email",), (("email",),))
    (users,) = configure(AVAILABLE, {"users": selection}, None, False)
    assert (users.cursor_field, users.primary_key) == (("updated_at",), (("id",),))


def test_a_cursor_alone_makes_it_incremental() -> None:
    (table,) = configure(AVAILABLE, {"table": StreamSelection(None, ("id",))}, None, False)
    assert table.sync_mode is SyncMode.INCREMENTAL


def test_full_refresh_once_keeps_the_cursor_of_an_incremental_stream() -> None:
    users, _, products, _ = configure(AVAILABLE, None, None, True)
    assert (users.sync_mode, users.cursor_field) == (SyncMode.FULL_REFRESH, ("updated_at",))
    assert (products.sync_mode, products.cursor_field) == (SyncMode.FULL_REFRESH, ())


def test_only_some() -> None:
    assert [s.key.name for s in configure(AVAILABLE, None, ["products", "users"], False)] == [
        "users",
        "products",
    ]


def test_namespaces_tell_equal_names_apart() -> None:
    twins = [AvailableStream(StreamKey("t", "a"), {}), AvailableStream(StreamKey("t", "b"), {})]
    (chosen,) = configure(twins, {"b.t": StreamSelection()}, None, False)
    assert chosen.key == StreamKey("t", "b")
    with pytest.raises(UsageError, match=r"write one of a\.t, b\.t"):
        configure(twins, {"t": StreamSelection()}, None, False)


@pytest.mark.parametrize(
    ("selections", "only", "said"),
    [
        ({"usres": StreamSelection()}, None, "did you mean users?"),
        ({"zzz": StreamSelection()}, None, "it has hidden, products, table, users"),
        (None, ["prodcts"], "did you mean products?"),
        ({"users": StreamSelection()}, ["products"], "stream products: not selected"),
        (
            {"products": StreamSelection(SyncMode.INCREMENTAL)},
            None,
            "write sync_mode: full_refresh",
        ),
        ({"table": StreamSelection(SyncMode.INCREMENTAL)}, None, "write cursor_field: [column]"),
        ({"table": StreamSelection(None, ("updatd_at",))}, None, "did you mean updated_at?"),
        ({"table": StreamSelection(None, None, (("idd",),))}, None, "primary_key idd is no column"),
    ],
)
def test_what_cannot_be(selections: dict, only: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        configure(AVAILABLE, selections, only, False)
    assert said in str(caught.value)
