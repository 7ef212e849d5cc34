"""Webhooks in the browser: made, shown with their deliveries, changed, and an admin's alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.ledger import audit, webhooks
from atlas.ledger.tables import webhook_delivery

from .conftest import Api

HTML = {"Accept": "text/html"}
LIST = "/settings/webhooks"
FORM = {
    "name": "pager",
    "url": "https://hooks.example.org/atlas",
    "event": ["run.failed", "run.blocked"],
}


def _get(api: Api, path: str = LIST, role: str = "admin") -> str:
    answer = api.get(path, role, headers=HTML)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def _post(api: Api, path: str = LIST, role: str = "admin", **form: Any) -> Any:
    return api.post(path, role, data=form, headers=HTML)


def test_its_secret_is_shown_once(api: Api) -> None:
    assert "Nobody is told yet" in _get(api)
    answer = _post(api, **FORM)
    found = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text)
    assert found
    listed = _get(api)
    assert found[0] not in listed
    assert "run.blocked" in listed
    assert found[0] not in _get(api, f"{LIST}/pager")
    refused = _post(api, **FORM)
    assert refused.status_code == 422
    assert "already" in refused.text
    assert 'value="https://hooks.example.org/atlas"' in refused.text


def test_what_is_wrong_is_said_and_what_was_typed_stays(api: Api) -> None:
    for change in ({"url": "http://10.0.0.1/x"}, {"event": []}, {"name": "Not so"}):
        answer = _post(api, **{**FORM, **change})
        assert answer.status_code == 422, change
        assert 'role="alert"' in answer.text
    _post(api, **FORM)
    answer = _post(api, f"{LIST}/pager", **{**FORM, "url": "ftp://x"})
    assert answer.status_code == 422
    assert 'value="ftp://x"' in answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Not so"}, "Name: it must be a small letter"),
        ({"event": []}, "Told when: name at least one"),
        ({"kind": "webhook", "url": "ftp://x"}, "URL: it must be"),
        ({"url": "ftp://x"}, "URL of the incoming webhook: it must be"),
        ({"kind": "email", "to": "ops@example.org"}, "Addresses: no mail can be sent"),
        ({"group": "soon"}, "Seconds that are one message: it must be a whole number"),
        ({"group": "7200"}, "Seconds that are one message: it must be 0 to 3600"),
        ({"quiet_from": "22:00", "quiet_to": "22:00"}, "Quiet hours: they must end at another"),
        (
            {"quiet_from": "22:00", "quiet_to": "23:00", "quiet_zone": "Mars"},
            "Quiet hours: unknown time zone",
        ),
    ],
)
def test_an_error_calls_fields_as_the_form_does(
    api: Api, change: dict[str, Any], words: str
) -> None:
    form = {**FORM, "kind": "slack", **change}
    answer = _post(api, **form)
    assert answer.status_code == 422
    found = re.search(r'role="alert">.*?</div>', answer.text, re.DOTALL)
    assert found
    assert words in found[0]
    _post(api, **{**FORM, "kind": form["kind"]})
    if form["kind"] != "email" and "name" not in change:  # the form of one that is there
        answer = _post(api, f"{LIST}/pager", **form)
        assert answer.status_code == 422
        assert words in answer.text


def test_it_is_tested_changed_switched_and_taken_away(api: Api, engine: sa.Engine) -> None:
    _post(api, **FORM)
    page = f"{LIST}/pager"
    assert _post(api, f"{page}/test").status_code == 303
    assert "webhook.test" in _get(api, page)
    _post(api, page, url=FORM["url"], event=["schema.changed"])
    _post(api, f"{page}/disable")
    with engine.begin() as conn:
        now = webhooks.get(conn, "pager")
        waiting = conn.execute(sa.select(webhook_delivery.c.status)).scalars().all()
    assert (now["events"], now["enabled"], waiting) == (["schema.changed"], False, ["given_up"])
    assert "Somebody disabled it" in _get(api, page)
    _post(api, f"{page}/test")
    assert "Not sent: webhook pager is disabled" in _get(api, page)
    _post(api, f"{page}/enable")
    assert "Send a test" in _get(api, page)
    assert _post(api, f"{page}/delete").headers["Location"] == LIST
    assert api.get(page, "admin", headers=HTML).status_code == 404
    with engine.begin() as conn:
        told = audit.entries(conn, limit=9, action="webhooks")
    assert [each["action"].partition(".")[2] for each in told][::-1] == [
        *("create", "test", "change", "change", "change", "delete"),
    ]


def test_people_are_told_in_slack(api: Api, engine: sa.Engine) -> None:
    asked = _get(api, f"{LIST}?kind=slack")
    assert 'type="password"' in asked
    assert 'name="group" type="text" value="60"' in asked
    form = {"kind": "slack", "name": "team", "event": ["run.failed"], "group": "5"}
    url = "https://hooks.slack.example.org/s3cret"
    wrong = _post(api, **form, url=url, quiet_from="22:00")
    assert wrong.status_code == 422
    assert "Quiet hours: say both From and To, or neither." in wrong.text
    made = _post(api, **form, url=url, quiet_from="22:00", quiet_to="07:00")
    assert made.status_code == 200
    page = f"{LIST}/team"
    shown = _get(api, page)
    assert 'value="22:00"' in shown
    assert "https://hooks.slack.example.org/…" in shown
    # The URL stays as it is unless there is another one; what is emptied is gone.
    _post(api, page, event=["run.blocked"], group="5", url="")
    with engine.begin() as conn:
        now = webhooks.get(conn, "team")
    assert (now["events"], now["quiet_hours"], now["group_seconds"]) == (["run.blocked"], None, 5)
    _post(api, f"{page}/test")
    assert "messages of Atlas arrive here" in _get(api, page)
    assert "s3cret" not in wrong.text + made.text + shown


def test_people_are_told_by_mail_once_there_is_a_server(api: Api) -> None:
    assert "ATLAS_SMTP_HOST" in _get(api, f"{LIST}?kind=email")
    form = {"kind": "email", "name": "ops", "event": ["run.failed"]}
    refused = _post(api, **form, to="ops@example.org, lead@example.org")
    assert refused.status_code == 422
    assert 'value="ops@example.org, lead@example.org"' in refused.text


def test_it_is_an_admins_alone(api: Api) -> None:
    assert api.get(LIST, "privacy", headers=HTML).status_code == 403
    assert _post(api, role="privacy", **FORM).status_code == 403
