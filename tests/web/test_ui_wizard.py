"""A connection put together in the browser: step by step, and no secret on any page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.datastructures import MultiDict

from atlas.ledger import connections, drafts, operations
from atlas.ledger.tables import draft
from atlas.ledger.tables import operation as table
from atlas.settings import Settings
from atlas.sync import drafting
from atlas.web.ui import rules_form
from tests.connectors import pretend

from .browser import controls
from .conftest import SECRET, Api

HTML = {"Accept": "text/html"}
NAME = "source-hardcoded-records"
SPEC = {
    "type": "object",
    "required": ["host"],
    "properties": {
        "host": {"type": "string"},
        "port": {"type": "integer"},
        "password": {"type": "string", "airbyte_secret": True},
    },
}
STREAMS = [
    {
        "stream": name,
        "namespace": None,
        "sync_modes": ["full_refresh", "incremental"],
        "source_defined_cursor": False,
        "default_cursor_field": [],
        "source_defined_primary_key": [],
        "json_schema": {"properties": {"id": {"type": "integer"}, "at": {"type": "string"}}},
    }
    for name in ("orders", "people")
]
SOURCE = {"name": "shop", "config/host": "db", "config/port": "1", "config/password": "pl4nted"}
RULES = {
    "when": "every",
    "every": "2h",
    "policy": "default",
    "on_failure": "block",
    "max_quarantined": "5",
    "schema_changes": "freeze",
    "checks": "checks for orders:\r\n  - row_count > 0",
}


@pytest.fixture(autouse=True)
def connector(settings: Settings) -> None:
    """A connector of the catalog, installed, with this spec."""
    (pretend.install(settings.home, NAME) / "spec.json").write_text(json.dumps(SPEC))


def _post(api: Api, path: str, role: str = "operator", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


def _begin(api: Api) -> str:
    answer = _post(api, "/connections/new", connector=NAME)
    assert answer.status_code == 303
    return str(answer.headers["Location"]).removesuffix("/source")


def _answer(engine: sa.Engine, streams: list[dict[str, Any]] = STREAMS) -> None:
    """Have every question to the source be answered."""
    with engine.begin() as conn:
        for row in conn.execute(sa.select(table).where(table.c.finished_at.is_(None))).all():
            claimed = operations.claim(engine, SECRET.encode(), row.id, holder="t", lease=60)
            assert claimed is not None
            result = {"name": NAME, "version": "1"}
            if row.kind == "discover":
                result["streams"] = streams  # type: ignore[assignment]
            with engine.begin() as other:
                operations.finish(other, claimed, result=result)


def _streams(**more: str | list[str]) -> dict[str, Any]:
    return {
        "s0": "1",
        "s0-mode": "incremental",
        "s0-cursor": "at",
        "s0-key": "id",
        "s0-column": ["id", "at"],
        **more,
    }


def test_a_connection_is_made_step_by_step(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    page = api.get(f"{path}/source", "operator", headers=HTML)
    assert 'name="config/password"' in page.text
    answer = _post(api, f"{path}/source", **SOURCE)
    assert answer.headers["Location"] == f"{path}/check"
    assert "waits for a worker" in api.get(f"{path}/check", "operator", headers=HTML).text
    _answer(engine)
    assert _draft(api, engine, path).document["configured"]
    assert "2 streams found" in api.get(f"{path}/check", "operator", headers=HTML).text
    assert "people" in api.get(f"{path}/streams", "operator", headers=HTML).text
    answer = _post(api, f"{path}/streams", **_streams())
    assert answer.headers["Location"] == f"{path}/rules"
    answer = _post(api, f"{path}/rules", **RULES)
    assert answer.headers["Location"] == f"{path}/review"
    assert "every 2h" in api.get(f"{path}/review", "operator", headers=HTML).text
    answer = _post(api, f"{path}/review", sync="1")
    assert re.fullmatch(r"/runs/[0-9a-f-]{36}", answer.headers["Location"])
    with engine.begin() as conn:
        made = connections.get(conn, SECRET.encode(), "shop").connection
        assert conn.execute(sa.select(draft)).all() == []
    assert made.config == {"host": "db", "port": 1, "password": "pl4nted"}
    document = made.document()
    assert document["streams"] == {
        "orders": {"sync_mode": "incremental", "cursor_field": ["at"], "primary_key": [["id"]]}
    }
    assert document["schedule"] == {"every": "2h"}
    assert document["quality"]["max_quarantined"] == 0.05
    assert document["quality"]["checks"] == "checks for orders:\n  - row_count > 0\n"
    assert document["schema_changes"] == "freeze"


def test_no_secret_is_on_a_page_or_in_the_draft_in_plain_text(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    for step in ("source", "check", "streams", "rules", "review"):
        page = api.get(f"{path}/{step}", "operator", headers=HTML)
        assert page.status_code == 200, step
        assert "pl4nted" not in page.text, step
        assert "pl4nted" not in str(page.headers), step
    with engine.begin() as conn:
        row = conn.execute(sa.select(draft)).one()
        assert b"pl4nted" not in bytes(row.config)
        assert "pl4nted" not in json.dumps(row.document)


def test_a_mask_keeps_what_is_there_and_a_value_replaces_it(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _post(api, f"{path}/source", **{**SOURCE, "config/password": "********", "config/port": "2"})
    assert _draft(api, engine, path).config == {"host": "db", "port": 2, "password": "pl4nted"}
    _post(api, f"{path}/source", **{**SOURCE, "config/password": "another"})
    assert _draft(api, engine, path).config["password"] == "another"


def _draft(api: Api, engine: sa.Engine, path: str) -> drafts.Draft:
    with engine.begin() as conn:
        found = path.rpartition("/")[2]
        return drafts.get(conn, SECRET.encode(), found, asked_by=api.ids["operator"])


def test_another_configuration_is_asked_about_anew(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _answer(engine)
    _post(api, f"{path}/source", **SOURCE)  # the same: no question
    with engine.begin() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 2
    _post(api, f"{path}/source", **{**SOURCE, "config/host": "elsewhere"})
    with engine.begin() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 4


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "Shop!", "a lower-case letter"),
        ("config/host", "", "this is needed"),
        ("config/port", "x", "must be a whole number"),
        ("config/host", "${env:HOME}", "accepted from the command line only"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_asked(
    api: Api, engine: sa.Engine, field: str, value: str, words: str
) -> None:
    path = _begin(api)
    answer = _post(api, f"{path}/source", **{**SOURCE, field: value})
    assert answer.status_code == 422
    assert words in answer.text
    assert "pl4nted" not in answer.text
    with engine.begin() as conn:
        assert conn.execute(sa.select(table)).all() == []


def test_a_draft_is_its_makers_alone(api: Api) -> None:
    path = _begin(api)
    assert api.get(f"{path}/source", "admin", headers=HTML).status_code == 404
    assert api.get(f"{path}/source", "viewer", headers=HTML).status_code == 403
    assert api.get("/drafts/nonsense/source", "operator", headers=HTML).status_code == 404


def test_wrong_streams_and_rules_are_said(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _answer(engine)
    answer = _post(api, f"{path}/streams", **_streams(**{"s0-cursor": ""}))
    assert "needs a cursor" in answer.text
    assert "choose at least one" in _post(api, f"{path}/streams", every="1").text
    answer = _post(api, f"{path}/rules", **{**RULES, "every": "soon"})
    assert answer.status_code == 422
    assert "every must be at least 10s" in answer.text
    assert 'value="soon"' in answer.text


def test_rules_of_columns_kinds_and_single_streams(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    more = {
        "columns": "note: redact\r\naddress.zip: generalise",
        "entity:EMAIL_ADDRESS": "tokenize",
        "weight:timeliness": "0",
        "by_stream": '{"orders": {"on_failure": "warn"}}',
    }
    assert _post(api, f"{path}/rules", **RULES, **more).status_code == 303
    text = api.get(f"{path}/review", "operator", headers=HTML).text
    assert "email address tokenize" in text
    assert "<code>note</code> redact" in text
    document = _draft(api, engine, path).document
    assert document["pii"] == {
        "policy": "default",
        "entities": {"EMAIL_ADDRESS": "tokenize"},
        "columns": {"note": "redact", "address.zip": "generalise"},
    }
    assert document["quality"]["weights"] == {"timeliness": 0}
    assert document["quality"]["streams"] == {"orders": {"on_failure": "warn"}}
    # The form shows all of it, so that saying it again changes nothing, and leaving it out does.
    page = api.get(f"{path}/rules", "operator", headers=HTML).text
    assert "note: redact\naddress.zip: generalise</textarea>" in page
    assert "<option selected>tokenize</option>" in page
    assert _post(api, f"{path}/rules", **RULES).status_code == 303
    document = _draft(api, engine, path).document
    assert document["pii"] == {"policy": "default"}
    assert "weights" not in document["quality"]
    for wrong, words in (
        ({"columns": "note"}, "column: operator"),
        ({"columns": "note: hide"}, "hide"),
        ({"by_stream": "{"}, "not JSON"),
        ({"by_stream": "[" * 100_000}, "not JSON"),
        ({"weight:timeliness": "much"}, "timeliness"),
    ):
        answer = _post(api, f"{path}/rules", **RULES, **wrong)
        assert answer.status_code == 422, wrong
        assert words in answer.text, wrong


@pytest.mark.parametrize("share", [0, 1, 0.05, 0.5, 0.07, 0.123456789, 1 / 3, 1e-07])
def test_numbers_that_nobody_touched_are_as_they_were(share: float) -> None:
    quality = {"on_failure": "block", "max_quarantined": share, "weights": {"validity": share}}
    shown = rules_form.shown({"quality": quality})
    sent = {name: text for name, text in shown.items() if isinstance(text, str)}
    sent["weight:validity"] = shown["weights"]["validity"]
    assert rules_form.asked(rules_form.typed(MultiDict(sent)), {})["quality"] == quality


@pytest.mark.parametrize(
    ("share", "percent"), [(0.05, "5"), (0.5, "50"), (1.0, "100"), (0.125, "12.5"), (0.0, "0")]
)
def test_a_share_is_shown_as_people_write_it(share: float, percent: str) -> None:
    shown = rules_form.shown({"quality": {"max_quarantined": share, "weights": {"validity": 2.0}}})
    assert shown["max_quarantined"] == percent
    assert shown["weights"] == {"validity": "2"}


@pytest.mark.parametrize("text", ["some", "nan", "1e999999999", "101", "-1", "²"])
def test_a_share_that_is_none_is_said(api: Api, text: str) -> None:
    answer = _post(api, f"{_begin(api)}/rules", **{**RULES, "max_quarantined": text})
    assert answer.status_code == 422
    assert "max_quarantined must be a share" in answer.text


def test_all_streams_as_they_are_is_no_selection(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _answer(engine)
    every = {f"s{i}": "1" for i in (0, 1)} | {f"s{i}-mode": "full_refresh" for i in (0, 1)}
    columns = {f"s{i}-column": ["id", "at"] for i in (0, 1)}
    _post(api, f"{path}/streams", every="1", **every, **columns)
    assert _draft(api, engine, path).document["streams"] is None
    _post(api, f"{path}/streams", every="1", **every, **{**columns, "s1-column": ["id"]})
    assert _draft(api, engine, path).document["streams"] == {
        "orders": {},
        "people": {"exclude": ["at"]},
    }


WIDE = [
    {
        **STREAMS[0],
        "json_schema": {
            "properties": {
                "id": {"type": "integer"},
                "order.id": {"type": "integer"},
                "order": {"properties": {"id": {"type": "integer"}}},
                "at": {"type": "string"},
                **{f"c{n}": {"type": "string"} for n in range(310)},
            }
        },
    },
    {**STREAMS[1], "namespace": "public"},
]


@pytest.mark.parametrize(
    "selection",
    [
        {"primary_key": [["order", "id"]]},
        {"primary_key": [["order.id"]]},
        {"primary_key": [["id"], ["order.id"], ["order", "id"]]},
        {"primary_key": [["c309"], ["at"]]},
        {"primary_key": [["gone"]]},
        {"sync_mode": "incremental", "cursor_field": ["c309"]},
        {"sync_mode": "incremental", "cursor_field": ["order", "id"]},
        {"sync_mode": "incremental", "cursor_field": ["order.id"]},
        {"sync_mode": "full_refresh", "cursor_field": ["at"]},
        {"columns": ["at", "id", "c305"]},
        {"exclude": ["c305", "c2"]},
    ],
    ids=str,
)
def test_a_step_that_nobody_touched_keeps_what_was_said(
    api: Api, engine: sa.Engine, settings: Settings, selection: dict[str, Any]
) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _answer(engine, WIDE)
    said = {"orders": selection, "public.people": {"primary_key": [["id"]]}}
    with engine.begin() as conn:
        draft = drafts.get(
            conn, SECRET.encode(), path.rpartition("/")[2], asked_by=api.ids["operator"]
        )
        drafting.say(conn, settings, draft, streams=said)
    held = controls(api.get(f"{path}/streams", "operator", headers=HTML).text)
    assert _post(api, f"{path}/streams", **held).status_code == 303
    assert _draft(api, engine, path).document["streams"] == said
    # What was wrong with another stream loses nothing either.
    held |= {"s1-mode": ["incremental"], "s1-cursor": [""]}
    again = _post(api, f"{path}/streams", **held)
    assert "stream public.people: an incremental sync needs a cursor" in again.text
    held = controls(again.text) | {"s1-mode": ["full_refresh"]}
    assert _post(api, f"{path}/streams", **held).status_code == 303
    assert _draft(api, engine, path).document["streams"]["orders"] == selection


def test_a_key_of_several_columns_is_chosen_where_the_source_says_none(
    api: Api, engine: sa.Engine
) -> None:
    path = _begin(api)
    _post(api, f"{path}/source", **SOURCE)
    _answer(engine, WIDE)
    page = api.get(f"{path}/streams", "operator", headers=HTML).text
    assert re.search(r'<select[^>]* name="s0-key"[^>]* multiple', page)
    held = controls(page) | {"s0-key": ["id", "order.id"]}
    _post(api, f"{path}/streams", **held)
    chosen = _draft(api, engine, path).document["streams"]
    assert chosen["orders"] == {"primary_key": [["id"], ["order.id"]]}
    assert "key id, order.id" in api.get(f"{path}/review", "operator", headers=HTML).text
    held = controls(api.get(f"{path}/streams", "operator", headers=HTML).text)
    _post(api, f"{path}/streams", **(held | {"s0-key": [""]}))
    assert _draft(api, engine, path).document["streams"]["orders"] == {}


def test_an_edit_changes_what_was_touched_and_nothing_else(
    api: Api, engine: sa.Engine, settings: Settings
) -> None:
    first = _begin(api)
    _post(api, f"{first}/source", **SOURCE)
    _post(api, f"{first}/rules", **RULES)
    assert _post(api, f"{first}/review").headers["Location"] == "/connections/shop"
    path = str(_post(api, "/connections/shop/edit").headers["Location"]).removesuffix("/source")
    assert "pl4nted" not in api.get(f"{path}/source", "operator", headers=HTML).text
    _post(api, f"{path}/rules", **{**RULES, "every": "3h"})
    with engine.begin() as conn:
        found = drafts.get(
            conn, SECRET.encode(), path.rpartition("/")[2], asked_by=api.ids["operator"]
        )
        assert drafting.changes(found) == {"schedule": {"every": "3h"}}
    assert _post(api, f"{path}/review").status_code == 303
    with engine.begin() as conn:
        made = connections.get(conn, SECRET.encode(), "shop").connection
    assert made.schedule == {"every": "3h"}
    assert made.config["password"] == "pl4nted"


def test_old_drafts_go(api: Api, engine: sa.Engine) -> None:
    path = _begin(api)
    with engine.begin() as conn:
        conn.execute(draft.update().values(updated_at=sa.func.now() - sa.text("interval '25h'")))
    assert api.get(f"{path}/source", "operator", headers=HTML).status_code == 404
    for _ in range(drafts.MOST + 2):
        _begin(api)
    with engine.begin() as conn:
        count = conn.execute(sa.select(sa.func.count()).select_from(draft)).scalar()
    assert count == drafts.MOST


def test_what_may_not_be_read_is_not_tried_either(
    api: Api, engine: sa.Engine, settings: Settings
) -> None:
    secret = settings.home / "secret.csv"
    secret.write_text("the,secret\n1,2\n")
    begun = _post(api, "/connections/new", connector="source-files")
    path = str(begun.headers["Location"]).removesuffix("/source")
    refused = _post(api, f"{path}/source", name="files", **{"config/path": str(secret)})
    assert refused.status_code == 422
    assert "ATLAS_FILES_ROOTS" in refused.text
    # It is kept, right or wrong, and given to no connector.
    assert _draft(api, engine, path).config["path"] == str(secret)
    assert _post(api, f"{path}/check").status_code == 303
    with engine.connect() as conn:
        asked = conn.execute(sa.select(table.c.kind)).scalars().all()
    assert not {"check", "discover"} & set(asked)
