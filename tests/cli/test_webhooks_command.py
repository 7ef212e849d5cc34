"""``atlas webhooks``: made, changed, tried, deleted; the secret is shown once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import command
from tests.cli.test_bad_input import KEY, refused

URL = "https://93.184.215.14/atlas"
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str, migrated_database: str, tmp_path: Path) -> Run:
    """Runs a command on an empty ledger."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "ATLAS_HOME": str(tmp_path / "home"),
        "ATLAS_DATABASE_URL": database_url,
        "ATLAS_SECRET_KEY": KEY,
    }
    return lambda *args, **more: command.run(*args, env=environ, cwd=tmp_path, **more)


def test_the_life_of_a_webhook(run: Run) -> None:
    make = ("webhooks", "create", "pager", "--url", URL, "--event", "run.failed")
    made = run(*make)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    assert "shown this once" in made.stderr
    refused(run(*make), 1, "pager")
    refused(
        run("webhooks", "create", "x", "--url", "https://127.0.0.1/", "--event", "run.failed"),
        2,
        "ATLAS_WEBHOOK_PRIVATE",
    )
    sent = json.loads(run("webhooks", "test", "pager", "--json").stdout)
    shown = json.loads(run("webhooks", "deliveries", "pager", "--json").stdout)["items"]
    assert [(each["message_id"], each["status"]) for each in shown] == [
        (sent["message_id"], "waiting")
    ]
    assert sent["message_id"] in run("webhooks", "deliveries", "pager").stdout
    change = ("webhooks", "change", "pager", "--event", "run.blocked", "--disable", "--json")
    changed = json.loads(run(*change).stdout)
    assert (changed["events"], changed["enabled"]) == (["run.blocked"], False)
    refused(run("webhooks", "test", "pager"), 1, "disabled")
    listed = run("webhooks", "list", "--json").stdout
    assert [each["name"] for each in json.loads(listed)["items"]] == ["pager"]
    assert "somebody disabled it" in run("webhooks", "list").stdout
    assert run("webhooks", "delete", "pager").returncode == 0
    refused(run("webhooks", "deliveries", "pager"), 2, "atlas webhooks list")
    audited = run("audit", "list", "--json").stdout
    assert [each["action"] for each in json.loads(audited)["items"]] == [
        *("webhooks.delete", "webhooks.change", "webhooks.test", "webhooks.create")
    ]
    for text in (listed, audited, json.dumps([sent, shown, changed])):
        assert secret not in text


def test_people_are_told_and_the_url_of_slack_is_in_no_command_line(run: Run) -> None:
    url = "https://93.184.215.14/services/s3cret"
    make = ("webhooks", "create", "team", "--kind", "slack", "--event", "run.failed")
    refused(run(*make, "--url", url), 2, "stdin")
    quiet = ("--quiet", "22:00-07:00", "--timezone", "Europe/Copenhagen")
    made = json.loads(run(*make, *quiet, "--group-seconds", "5", "--json", stdin=url).stdout)
    assert (made["kind"], made["url"]) == ("slack", "https://93.184.215.14/…")
    assert (made["secret"], made["group_seconds"]) == (None, 5)
    assert made["quiet_hours"] == {"from": "22:00", "to": "07:00", "timezone": "Europe/Copenhagen"}
    assert "22:00-07:00 Europe/Copenhagen" in run("webhooks", "list").stdout
    refused(run("webhooks", "change", "team", "--timezone", "Europe/Paris"), 2, "--quiet")
    change = ("webhooks", "change", "team", "--quiet", "off", "--url", "-", "--json")
    changed = json.loads(run(*change, stdin="https://93.184.215.14:444/s3cret").stdout)
    assert (changed["quiet_hours"], changed["url"]) == (None, "https://93.184.215.14:444/…")
    assert "s3cret" not in str([made, changed]) + run("audit", "list", "--json").stdout
    mail = ("webhooks", "create", "ops", "--kind", "email", "--event", "run.failed")
    refused(run(*mail), 2, "addresses")
    refused(run(*mail, "--to", "ops@example.org"), 2, "ATLAS_SMTP_HOST")
