"""Whoever changes something in the browser is in the audit log: each form, and by whom."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import audit
from atlas.ledger.tables import run, stage_run
from atlas.settings import Settings
from atlas.web.ui.rooms import PAGES
from tests.connectors import pretend
from tests.web import test_ui_wizard as wizard
from tests.web.browser import PASSWORD, Browser, add_user, logged_in
from tests.web.conftest import JANE
from tests.web.test_ui_state import STATE
from tests.web.test_web_decrypt import sealed  # noqa: F401 - a fixture
from tests.web.test_web_quarantine import aside  # noqa: F401 - a fixture

HTML = {"Accept": "text/html"}
QUIET = {
    "/theme": "a colour, in the browser's own cookie",
    "/catalog/navigate/<dataset>/history": "it only looks, at what is masked",
    "/connections/new": "a draft, its maker's alone until the review",
    "/connections/<name>/edit": "a draft",
    "/drafts/<draft_id>/streams": "a draft",
    "/drafts/<draft_id>/rules": "a draft",
    "/drafts/<draft_id>/discard": "a draft",
}
"""What is posted and changes nothing that anybody else could ask about."""


URL = "https://93.184.215.14/atlas"
SOURCE = {**wizard.SOURCE, "name": "crm"}


class Forms:
    """Posts forms with a key of a role, or as somebody who is logged in."""

    def __init__(self, app: Flask, api: Any, engine: sa.Engine) -> None:
        self.app, self.api, self.engine = app, api, engine
        self.draft = ""
        self.before = 0

    def mark(self) -> None:
        """What counts is in the log from now on."""
        self.before = len(_entries(self.engine))

    def post(self, path: str, role: str = "operator", /, **form: Any) -> Any:
        return self.api.post(path, role, data=form, headers=HTML)

    def ended(self) -> None:
        """No run is active."""
        with self.engine.begin() as conn:
            conn.execute(run.update().values(status="succeeded", finished_at=sa.func.now()))
            conn.execute(stage_run.update().values(status="succeeded"))

    def begin(self) -> str:
        answer = self.post("/connections/new", connector=wizard.NAME)
        self.draft = answer.headers["Location"].removesuffix("/source")
        return self.draft

    def latest(self) -> str:
        return str(self.api.get("/api/v1/runs?limit=1").json["items"][0]["run_id"])

    def history(self) -> int:
        items = self.api.get("/api/v1/connections/shop/state/history").json["items"]
        return int(items[-1]["id"])

    def key(self) -> str:
        items = self.api.get("/api/v1/keys", "admin").json["items"]
        return str(next(each["id"] for each in items if each["name"] == "nightly"))

    def browser(self, name: str = "ann") -> Browser:
        return logged_in(self.app, self.engine, name)


def _checked_again(forms: Forms) -> Any:
    wizard._answer(forms.engine)
    return forms.post(f"{forms.draft}/check")


def _asked_anew(settings: Settings) -> Callable[[Forms], Any]:
    def ask(forms: Forms) -> Any:
        wizard._answer(forms.engine)
        spec = pretend.install(settings.home, wizard.NAME) / "spec.json"
        try:
            forms.begin()
            wizard._answer(forms.engine)  # the draft itself has asked
            forms.mark()
            return forms.post(f"{forms.draft}/spec")
        finally:
            spec.write_text(json.dumps(wizard.SPEC))

    return ask


def _reviewed(forms: Forms) -> Any:
    forms.begin()
    forms.post(f"{forms.draft}/source", **SOURCE)
    wizard._answer(forms.engine)
    return forms.post(f"{forms.draft}/review")


def _mended(forms: Forms) -> Any:
    forms.ended()
    return forms.post("/quarantine/shop_users/1", **{"value:total": "7"})


def _removed(forms: Forms) -> Any:
    forms.api.call("PUT", "/api/v1/uploads/a.csv", data=b"a\n1\n")
    return forms.post("/files/a.csv/delete")


def _set_up(forms: Forms) -> Any:
    invited = forms.post("/settings/users", "admin", name="new", role="viewer")
    token = re.findall(r"/setup\?token=([\w-]+)", invited.text)[0]
    form = {"token": token, "password": PASSWORD, "again": PASSWORD}
    return Browser(forms.app).post("/setup", form, page=f"/setup?token={token}")


def _password(forms: Forms) -> Any:
    form = {"present": PASSWORD, "password": PASSWORD + "!", "again": PASSWORD + "!"}
    return forms.browser().post("/account/password", form, page="/account")


def _ended_elsewhere(forms: Forms) -> Any:
    here, _ = forms.browser(), forms.browser()
    other = re.findall(r"/account/sessions/([0-9a-f-]{36})/end", here.get("/account").text)[0]
    return here.post(f"/account/sessions/{other}/end", page="/account")


def _deeds(settings: Settings, text: str) -> dict[str, tuple[str, Callable[[Forms], Any]]]:
    """By page, in an order in which each can be done: what stands in the log then, and the deed."""
    shop, people, keys = "/connections/shop", "/settings/users", "/settings/keys"
    policies, hooks = "/personal-data/policies", "/settings/webhooks"
    return {
        "/login": ("login", lambda f: Browser(f.app).log_in("ann")),
        "/logout": ("logout", lambda f: f.browser().post("/logout", page="/account")),
        "/account/sessions/<uuid:session_id>/end": ("logout.elsewhere", _ended_elsewhere),
        "/account/logout-everywhere": (
            "logout.everywhere",
            lambda f: f.browser().post("/account/logout-everywhere", page="/account"),
        ),
        "/account/password": ("user.password", _password),
        "/settings/users": (
            "user.create",
            lambda f: f.post(people, "admin", name="bo", role="viewer"),
        ),
        "/settings/users/<name>/role": (
            "user.role",
            lambda f: f.post(f"{people}/bo/role", "admin", role="operator"),
        ),
        "/settings/users/<name>/link": (
            "user.link",
            lambda f: f.post(f"{people}/bo/link", "admin"),
        ),
        "/settings/users/<name>/disable": (
            "user.disable",
            lambda f: f.post(f"{people}/bo/disable", "admin"),
        ),
        "/settings/users/<name>/enable": (
            "user.enable",
            lambda f: f.post(f"{people}/bo/enable", "admin"),
        ),
        "/setup": ("user.password", _set_up),
        "/settings/keys": (
            "key.create",
            lambda f: f.post(keys, "admin", name="nightly", role="viewer", days=""),
        ),
        "/settings/keys/<uuid:key_id>/revoke": (
            "key.revoke",
            lambda f: f.post(f"{keys}/{f.key()}/revoke", "admin"),
        ),
        "/settings/webhooks": (
            "webhooks.create",
            lambda f: f.post(hooks, "admin", name="pager", url=URL, event="run.failed"),
        ),
        "/settings/webhooks/<name>": (
            "webhooks.change",
            lambda f: f.post(f"{hooks}/pager", "admin", url=URL, event="run.blocked"),
        ),
        "/settings/webhooks/<name>/test": (
            "webhooks.test",
            lambda f: f.post(f"{hooks}/pager/test", "admin"),
        ),
        "/settings/webhooks/<name>/disable": (
            "webhooks.change",
            lambda f: f.post(f"{hooks}/pager/disable", "admin"),
        ),
        "/settings/webhooks/<name>/enable": (
            "webhooks.change",
            lambda f: f.post(f"{hooks}/pager/enable", "admin"),
        ),
        "/settings/webhooks/<name>/delete": (
            "webhooks.delete",
            lambda f: f.post(f"{hooks}/pager/delete", "admin"),
        ),
        "/files/<upload>/delete": ("upload.delete", _removed),
        "/connectors/<name>/install": (
            "connector.install",
            lambda f: f.post("/connectors/source-faker/install"),
        ),
        "/drafts/<draft_id>/source": (
            "connector.check",
            lambda f: f.post(f"{f.begin()}/source", **SOURCE),
        ),
        "/drafts/<draft_id>/check": ("connector.check", _checked_again),
        "/drafts/<draft_id>/spec": ("connector.spec", _asked_anew(settings)),
        "/drafts/<draft_id>/review": ("connection.create", _reviewed),
        "/schedules/<name>": (
            "schedule.change",
            lambda f: f.post("/schedules/shop", when="every", every="10m"),
        ),
        "/schedules/<name>/pause": ("schedule.change", lambda f: f.post("/schedules/shop/pause")),
        "/schedules/<name>/resume": ("schedule.change", lambda f: f.post("/schedules/shop/resume")),
        "/connections/<name>/state/import": (
            "state.import",
            lambda f: f.post(f"{shop}/state/import", state=json.dumps(STATE)),
        ),
        "/connections/<name>/state/reset": (
            "state.reset",
            lambda f: f.post(f"{shop}/state/reset", stream="users"),
        ),
        "/connections/<name>/state/restore": (
            "state.restore",
            lambda f: f.post(f"{shop}/state/restore", id=f.history()),
        ),
        "/connections/<name>/accept": ("connection.accept", lambda f: f.post(f"{shop}/accept")),
        "/connections/<name>/sync": ("sync.start", lambda f: f.post(f"{shop}/sync")),
        "/runs/<run_id>/cancel": ("run.cancel", lambda f: f.post(f"/runs/{f.latest()}/cancel")),
        "/runs/<run_id>/retry": ("run.retry", lambda f: f.post(f"/runs/{f.latest()}/retry")),
        "/catalog/<layer>/<table>/edit": (
            "datasets.describe",
            lambda f: f.post("/catalog/chart/shop_users/edit", description="people"),
        ),
        "/catalog/<layer>/<table>/sample": (
            "datasets.sample",
            lambda f: f.post("/catalog/explore/shop_users_raw/sample", "privacy", why="ticket 7"),
        ),
        "/personal-data/<dataset>": (
            "pii.override",
            lambda f: f.post(
                "/personal-data/shop_users", "privacy", column="total", says="is_not", why="a sum"
            ),
        ),
        "/personal-data/<dataset>/decrypt": (
            "pii.decrypt",
            lambda f: f.post(
                "/personal-data/shop_users/decrypt",
                "privacy",
                column="email",
                values=text,
                why="a court asks",
            ),
        ),
        "/personal-data/person": (
            "pii.find",
            lambda f: f.post("/personal-data/person", "privacy", identifiers=JANE, deed="find"),
        ),
        "/personal-data/policies/new": (
            "pii.policy.created",
            lambda f: f.post(
                f"{policies}/new", "privacy", name="strict", **{"entity:PERSON": "drop"}
            ),
        ),
        "/personal-data/policies/<policy>": (
            "pii.policy.deleted",
            lambda f: f.post(f"{policies}/strict", "privacy", deed="delete"),
        ),
        "/quarantine/<dataset>/<int:number>": ("quality.reprocess", _mended),
        "/quarantine/<dataset>": (
            "quality.discard",
            lambda f: (
                f.ended(),
                f.post("/quarantine/shop_users", deed="discard", row="2", why="a test"),
            )[1],
        ),
        "/connections/<name>/remask": (
            "pii.remask",
            lambda f: (f.ended(), f.post(f"{shop}/remask", "privacy"))[1],
        ),
        "/connections/<name>/delete": (
            "connection.delete",
            lambda f: f.post("/connections/crm/delete", name="crm"),
        ),
    }


@pytest.fixture
def connector(settings: Settings) -> None:
    """A connector of the catalog, installed, with a spec."""
    spec = pretend.install(settings.home, wizard.NAME) / "spec.json"
    spec.write_text(json.dumps(wizard.SPEC))


def test_every_form_that_changes_something_is_in_it(
    app: Flask,
    api: Any,
    engine: sa.Engine,
    settings: Settings,
    connector: None,
    sealed: str,  # noqa: F811
    aside: str,  # noqa: F811
) -> None:
    add_user(engine, "ann", "admin")
    posted = {page.path for page in PAGES if "POST" in page.methods}
    deeds = _deeds(settings, sealed)
    missing = posted - set(deeds) - set(QUIET)
    assert not missing, (
        f"{', '.join(sorted(missing))}: say in `_deeds` how it is done, so that this test sees "
        "that it writes an entry, or in QUIET why it needs none"
    )
    assert not (set(deeds) | set(QUIET)) - posted
    assert not set(deeds) & set(QUIET)
    forms = Forms(app, api, engine)
    roles = {f"api: the {role}" for role in api.texts} | {"user: ann", "user: new"}
    for path, (action, do) in deeds.items():
        forms.mark()
        answer = do(forms)
        assert answer.status_code in (200, 303), f"{path}: {answer.status_code}"
        entries = _entries(engine)
        new = entries[: len(entries) - forms.before]
        found = [each["actor"] for each in new if each["action"] == action]
        assert found, f"{path} leaves no {action}: {answer.headers.get('Location')}"
        assert set(found) <= roles, path
    told = json.dumps(_entries(engine), default=str)
    for secret in ("pl4nted", JANE, PASSWORD, *api.texts.values()):
        assert secret not in told


def _entries(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.connect() as conn:
        return audit.entries(conn, limit=1000)
