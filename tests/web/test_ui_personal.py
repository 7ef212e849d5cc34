"""The pages of personal data, policies and requests of persons: what they show, take and refuse."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.layers import explore, names
from atlas.ledger import audit, secrets
from atlas.ledger import policies as stored_policies
from atlas.ledger.database import cursor
from atlas.pii.sealing import Sealing

from .conftest import SECRET, Api
from .test_web_pii import USERS
from .test_web_pii import users as scanned
from .test_web_subjects import JANE
from .test_web_subjects import users as person

__all__ = ["person", "scanned"]  # fixtures

HTML = {"Accept": "text/html"}
EVIL = "<script>alert(1)</script>"
PATH = "/personal-data/shop_users"
POLICIES = "/personal-data/policies"
PERSON = "/personal-data/person"


def _page(api: Api, path: str, role: str = "viewer", status: int = 200) -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == status, path
    return _whole(answer)


def _whole(answer: Any) -> str:
    text: str = answer.text
    assert EVIL not in text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\bon\w+=\"", text)
    assert len(text) < 200_000
    return text


def _post(api: Api, path: str, role: str = "privacy", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


@pytest.fixture
def users(scanned: str, engine: sa.Engine) -> str:
    """A scanned dataset with its table in explore, whose examples and reasons are hostile."""
    with engine.begin() as conn:
        tables = names.stored(cursor(conn), "shop", USERS)
        assert tables is not None
        explore.ensure(cursor(conn), tables)
        conn.execute(sa.text("UPDATE pipeline.run_stream SET rows_explore = 3"))
        conn.execute(
            sa.text(
                "UPDATE pipeline.finding SET evidence = jsonb_build_object('found', 3,"
                " 'reason', CAST(:evil AS text), 'examples', jsonb_build_array('***@***'),"
                " 'kinds', jsonb_build_object(CAST(:evil AS text), 1))"
            ),
            {"evil": EVIL},
        )
    return scanned


def test_encrypted_values_are_read_and_that_is_written_down(
    api: Api, users: str, engine: sa.Engine
) -> None:
    with engine.begin() as conn:
        identity = secrets.keys(conn, SECRET.encode()).identity
    sealed = Sealing(secrets.derive(identity, "encrypt")).seal(EVIL)
    form = {"column": "email", "values": f"{sealed}\r\n", "why": "a court asks"}
    assert _post(api, f"{PATH}/decrypt", "operator", **form).status_code == 403
    assert "Read encrypted values" not in _page(api, PATH, "operator")
    for wrong, words in ({"why": ""}, "Say why"), ({"column": "emial"}, "no column"):
        refused = _post(api, f"{PATH}/decrypt", **{**form, **wrong})
        assert refused.status_code == 422
        assert words in _whole(refused)
        assert sealed in refused.text
    answer = _post(api, f"{PATH}/decrypt", **form)
    assert "&lt;script&gt;alert(1)" in _whole(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    with engine.begin() as conn:
        (entry,) = audit.entries(conn, limit=9, action="pii.decrypt")
    assert (entry["subject"], entry["detail"]["why"]) == ("shop_users.email", "a court asks")


def test_the_map_has_what_the_last_scan_found(api: Api, users: str, engine: sa.Engine) -> None:
    page = _page(api, "/personal-data")
    assert 'title="EMAIL_ADDRESS"' in page
    assert 'title="1 place: mask"' in page
    assert PERSON not in page
    assert PERSON in _page(api, "/personal-data", "privacy")
    # What a few rows that were taken up again hold says nothing of the others.
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.run SET trigger = 'reprocess'"
                " WHERE seq = (SELECT max(seq) FROM pipeline.run)"
            )
        )
    assert 'title="PERSON"' in _page(api, "/personal-data")
    assert "person</span>" in _page(api, PATH)


def test_nothing_scanned_says_what_to_do(api: Api) -> None:
    assert "Sync a connection" in _page(api, "/personal-data")


def test_a_verdict_has_its_evidence_and_is_overridden_by_a_privacy_officer(
    api: Api, users: str
) -> None:
    page = _page(api, PATH)
    assert "***@***" in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'name="says"' not in page
    assert 'name="says"' in _page(api, PATH, "privacy")
    word = {"column": "email", "says": "is_not", "entity_type": "", "why": EVIL}
    assert _post(api, PATH, "operator", **word).status_code == 403
    for wrong in ({"why": ""}, {"column": "x"}, {"says": "nix"}, {"says": "is"}):
        answer = _post(api, PATH, **{**word, **wrong})
        assert answer.status_code == 422, wrong
        _whole(answer)
    assert _post(api, PATH, **word).headers["Location"] == PATH
    page = _page(api, PATH, "privacy")
    assert "is not" in page.partition("What people say")[2]
    assert "says=withdrawn" in page
    assert _post(api, PATH, column="email", says="operator", operator="drop", why="x").status_code
    assert "Withdraw" in _page(api, PATH, "privacy")
    assert _post(api, PATH, column="email", says="withdrawn", why="y").status_code == 303
    assert "What people say" not in _page(api, PATH, "privacy")
    said = _page(api, PATH + "/changes?of=said")
    assert said.count("api: the privacy") == 3
    assert "found: mask" in _page(api, PATH + "/changes")


def test_a_policy_is_previewed_made_changed_and_deleted(
    api: Api, users: str, engine: sa.Engine
) -> None:
    assert f"{POLICIES}/new" not in _page(api, POLICIES)
    _page(api, POLICIES + "/new", status=403)
    form = {"name": "lax", "entity:EMAIL_ADDRESS": "keep", "columns": "address: tokenize\n"}
    seen = _post(api, POLICIES + "/new", **form, deed="preview", within="shop")
    page = _whole(seen)
    assert seen.status_code == 200
    told = page.partition('id="preview"')[2].partition("<form")[0]
    assert "2 places</strong> would change" in told
    assert '<span class="op op-keep">keep</span>' in told
    assert "<code>address</code>" in told
    assert JANE not in page
    assert 'value="lax"' in page  # what was typed stays
    assert "Nothing to hold it against" in _post(api, POLICIES + "/new", deed="preview").text
    _page(api, POLICIES + "/lax", status=404)  # a preview saves nothing
    for wrong in ({"name": "No"}, {"columns": "address"}, {"columns": "a: nix"}):
        answer = _post(api, POLICIES + "/new", **{**form, **wrong}, deed="save")
        assert answer.status_code == 422, wrong
    made = _post(api, POLICIES + "/new", **form, deed="save")
    assert made.headers["Location"] == POLICIES + "/lax"
    assert "there already" not in made.text
    assert _post(api, POLICIES + "/new", **form, deed="save").status_code == 422
    # Two have it open; the second to save is told of the first.
    opened = re.search(r'name="seen" value="([^"]*)"', _page(api, POLICIES + "/lax", "privacy"))
    assert opened
    both = {"columns": "address: tokenize\n", "seen": opened[1], "deed": "save"}
    first = {**both, "entity:EMAIL_ADDRESS": "mask"}
    assert _post(api, POLICIES + "/lax", **first).status_code == 303
    late = _post(api, POLICIES + "/lax", **both, **{"entity:EMAIL_ADDRESS": "keep"})
    assert late.status_code == 422
    assert "changed meanwhile" in late.text
    with engine.connect() as conn:
        kept = stored_policies.get(conn, "lax")
    assert kept is not None
    assert kept["entities"]["EMAIL_ADDRESS"] == "mask"
    viewer = _page(api, POLICIES + "/lax")
    assert "address: tokenize" in viewer
    assert "<select" not in viewer
    assert _post(api, POLICIES + "/lax", "operator", deed="delete").status_code == 403
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.connection SET document ="
                " jsonb_set(document::jsonb, '{pii}', '{\"policy\": \"lax\"}')"
            )
        )
    assert "It is in use" in _page(api, POLICIES + "/lax", "privacy")
    assert _post(api, POLICIES + "/lax", deed="delete").status_code == 409
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.connection SET document = '{}'"))
    assert _post(api, POLICIES + "/lax", deed="delete").headers["Location"] == POLICIES
    with engine.connect() as conn:
        told_of = [each["action"] for each in audit.entries(conn, limit=3)]
    assert told_of == ["pii.policy.deleted", "pii.policy.updated", "pii.policy.created"]


def test_a_person_is_found_given_out_and_erased_and_named_nowhere_else(
    api: Api, person: str, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    _page(api, PERSON, "operator", 403)
    assert _post(api, PERSON, "operator", identifiers=JANE).status_code == 403
    whom = {"identifiers": f"{JANE}\n"}
    assert _post(api, PERSON, identifiers="x").status_code == 422
    found = _post(api, PERSON, **whom, deed="find")
    page = _whole(found)
    assert found.status_code == 200
    assert found.headers["Cache-Control"] == "no-store"
    assert "sub_" in page
    assert JANE not in page.partition("</title>")[0]
    given = _post(api, PERSON, **whom, deed="export")
    assert given.headers["Content-Disposition"] == 'attachment; filename="person.json"'
    assert '"rate":12345678901234567.125' in given.text.replace(": ", ":")
    for typed in ("", "yes", JANE):
        refused = _post(api, PERSON, **whom, deed="erase", confirm=typed)
        assert refused.status_code == 422
        assert "Nothing was erased" in refused.text
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM explore.shop_users_raw")).scalar() == 2
    done = _post(api, PERSON, **whom, deed="erase", confirm="erase")
    assert (done.status_code, done.headers["Location"]) == (303, "/personal-data/erasures/1")
    assert "Set-Cookie" not in done.headers
    assert JANE not in _page(api, done.headers["Location"], "privacy")
    with engine.connect() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM explore.shop_users_raw")).scalar() == 1
    assert "No row of this person" in _post(api, PERSON, **whom).text
    _page(api, "/personal-data/erasures/99", "privacy", 404)
    _page(api, done.headers["Location"], "operator", 403)
    assert JANE not in caplog.text
    assert JANE not in str(api.get("/api/v1/audit", "admin").json)


def test_an_erasure_that_no_number_can_be(api: Api) -> None:
    for number in (7, 2**63, 10**40):
        _page(api, f"/personal-data/erasures/{number}", "privacy", 404)


def test_nothing_is_erased_while_a_run_is_active(api: Api, person: str, engine: sa.Engine) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.run SET status = 'running'"))
    refused = _post(api, PERSON, identifiers=JANE, deed="erase", confirm="erase")
    assert refused.status_code == 409
    assert JANE not in refused.text
