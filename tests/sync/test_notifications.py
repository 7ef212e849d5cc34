"""People are told what happened in one message, in Slack or by mail: once, in their own time, and
whatever becomes of a server or of who delivers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from atlas.errors import UsageError
from atlas.ledger import connections, ends, rotation, runs, webhooks
from atlas.ledger import webhook_turns as turns
from atlas.ledger.secrets import keys
from atlas.model.stage import Status
from atlas.settings import Settings
from atlas.sync import webhooks as use
from atlas.sync.webhook_post import say
from tests.sync.receivers import MailServer, Receiver, nobody

SECRET = b"s" * 40
TO = "ops@example.org"
ENDS = ["run.failed", "run.blocked", "run.recovered"]


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(database_url)
    with made.begin() as conn:
        keys(conn, SECRET)
    yield made
    made.dispose()


@pytest.fixture
def slack() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.close()


@pytest.fixture
def away(settings: Settings) -> Iterator[Settings]:
    """The settings while nobody is there to take mail."""
    with nobody() as port:
        yield replace(settings, smtp_port=port)


@pytest.fixture
def settings(server: MailServer) -> Settings:
    return Settings(
        secret_key=SECRET.decode(),
        webhook_private=True,
        public_url="https://atlas.example.org",
        smtp_host="127.0.0.1",
        smtp_port=server.port,
        smtp_security="none",
        smtp_sender="atlas@example.org",
    )


Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(engine: sa.Engine, settings: Settings, slack: Receiver) -> Make:
    """Makes a receiver called by its kind, which is told of each group at once."""

    def make(kind: str, **more: Any) -> dict[str, Any]:
        given: dict[str, Any] = {"events": ENDS, "url": slack.url, "group_seconds": 0}
        if kind == "email":
            given |= {"url": None, "addresses": [TO]}
        if kind == "webhook":
            del given["group_seconds"]
        given |= more
        url, events = given.pop("url"), given.pop("events")
        with engine.begin() as conn:
            return use.create(conn, settings, kind, url, events, actor="test", kind=kind, **given)

    return make


def _begin(engine: sa.Engine, connection: str = "shop", trigger: str = "api") -> str:
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "INSERT INTO pipeline.connection (name, connector, config, document, fingerprint)"
                " SELECT :name, 'source-faker', '', '{}', '' ON CONFLICT DO NOTHING"
            ),
            {"name": connection},
        )
        return runs.create(
            conn, connection=connection, trigger=trigger, selected=None, full_refresh=False
        )


def _end(engine: sa.Engine, run_id: str, status: Status) -> None:
    with engine.begin() as conn:
        if status is Status.CANCELLED:
            ends.cancel_run(conn, run_id)
            return
        conn.execute(
            sa.text(
                "UPDATE pipeline.stage_run SET status = :s, error = 'jane@example.org' WHERE"
                " run_id = :id"
            ),
            {"s": status.value, "id": run_id},
        )
        assert ends.end_run(conn, run_id) is status


def _run(
    engine: sa.Engine, status: Status = Status.FAILED, connection: str = "shop", **more: Any
) -> str:
    run_id = _begin(engine, connection, **more)
    _end(engine, run_id, status)
    return run_id


def _texts(slack: Receiver) -> list[str]:
    return [json.loads(body)["text"] for _, body in slack.got]


def _deliveries(engine: sa.Engine, name: str) -> list[dict[str, Any]]:
    with engine.begin() as conn:
        return webhooks.deliveries(conn, name, limit=200)


def _do(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as conn:
        conn.execute(sa.text(statement))


def _due(engine: sa.Engine) -> None:
    """Whatever waits is due."""
    for table in ("webhook", "webhook_delivery"):
        _do(engine, f"UPDATE pipeline.{table} SET next_attempt_at = now()")


# --- recovery ------------------------------------------------------------------------------------


def _told(engine: sa.Engine) -> list[str]:
    query = "SELECT kind FROM pipeline.webhook_delivery ORDER BY id"
    with engine.connect() as conn:
        return [kind.removeprefix("run.") for kind in conn.execute(sa.text(query)).scalars()]


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (["succeeded", "succeeded"], []),
        (["failed", "succeeded", "succeeded"], ["failed", "recovered"]),
        (["blocked", "succeeded"], ["blocked", "recovered"]),
        (["failed", "cancelled", "succeeded"], ["failed", "recovered"]),
        (["failed", "failed", "succeeded"], ["failed", "failed", "recovered"]),
    ],
)
def test_a_program_is_told_of_each_failure_and_that_it_is_over(
    engine: sa.Engine, make: Make, statuses: list[str], told: list[str]
) -> None:
    make("webhook")
    for status in statuses:
        _run(engine, Status(status))
    assert _told(engine) == told


def test_a_retry_that_succeeds_is_a_recovery_and_one_of_rows_set_aside_is_none(
    engine: sa.Engine, make: Make
) -> None:
    make("webhook")
    run_id = _run(engine)
    _run(engine, Status.SUCCEEDED, trigger="reprocess")
    _run(engine, Status.SUCCEEDED, "other")
    assert _told(engine) == ["failed"]
    with engine.begin() as conn:
        ends.reopen(conn, run_id, explore=True, keep={})
    _end(engine, run_id, Status.SUCCEEDED)
    assert _told(engine) == ["failed", "recovered"]
    (last, first) = _deliveries(engine, "webhook")
    assert last["payload"]["data"]["failed_run_id"] == run_id
    since = [each["payload"]["data"]["failing_since"] for each in (last, first)]
    assert since[0] == since[1]


def test_a_connection_that_is_deleted_takes_its_failing_with_it(
    engine: sa.Engine, make: Make
) -> None:
    make("webhook")
    _run(engine)
    with engine.begin() as conn:
        number = conn.execute(sa.text("SELECT id FROM pipeline.connection")).scalar_one()
        connections.delete(conn, number)
        assert conn.execute(sa.text("SELECT count(*) FROM pipeline.outage")).scalar() == 0


# --- one message ---------------------------------------------------------------------------------


def test_an_outage_of_fifty_connections_is_one_message(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver, server: MailServer
) -> None:
    make("slack")
    make("email", group_seconds=3600)
    ids = {_run(engine, connection=f"shop{number}") for number in range(50)}
    assert use.deliver_webhooks(engine, settings) == 1
    (text,) = _texts(slack)
    assert text.startswith("Atlas: 50 failed\n")
    assert all(f"https://atlas.example.org/runs/{run_id}" in text for run_id in ids)
    assert "jane" not in text
    # Who waits longer for more of it has got none yet.
    assert server.got == []
    _do(engine, "UPDATE pipeline.webhook_delivery SET created_at = now() - interval '61 min'")
    assert use.deliver_webhooks(engine, settings) == 1
    ((to, mail),) = server.got
    assert (to, mail["Subject"], mail["From"]) == (
        TO,
        "Atlas: 50 failed",
        "Atlas <atlas@example.org>",
    )
    assert all(run_id in mail.get_content() for run_id in ids)
    (digest, *members) = _deliveries(engine, "email")
    assert (digest["kind"], digest["status"], digest["recipient"]) == ("digest", "delivered", TO)
    assert {(each["status"], each["group_id"]) for each in members} == {
        ("grouped", digest["group_id"])
    }
    assert use.deliver_webhooks(engine, settings) == 0


def test_what_is_too_much_to_name_is_counted(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack", events=["run.succeeded", "run.failed"])
    for number in range(105):
        _run(engine, Status.SUCCEEDED, f"shop{number}")
    _run(engine, Status.FAILED, "last")
    assert use.deliver_webhooks(engine, settings) == 1
    (text,) = _texts(slack)
    assert text.startswith("Atlas: 1 failed, 105 succeeded\n")
    assert text.index("- last, ") < text.index("- shop0, ")
    assert "- and 6 more: https://atlas.example.org/runs\n" in text


def test_a_failure_on_a_short_schedule_is_told_once_and_again_when_it_is_over(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack")
    for _ in range(3):
        _run(engine)
        use.deliver_webhooks(engine, settings)
    assert len(slack.got) == 1
    # A day later it is said again, once.
    _do(engine, "UPDATE pipeline.outage SET since = since - interval '25 hours'")
    for _ in range(2):
        _run(engine)
        use.deliver_webhooks(engine, settings)
    assert ["has failed since" in each for each in _texts(slack)] == [False, True]
    _run(engine, Status.SUCCEEDED)
    use.deliver_webhooks(engine, settings)
    assert _texts(slack)[-1].startswith("Atlas: shop recovered\n\nRecovered (1)\n")
    # The next time is another time.
    _run(engine)
    use.deliver_webhooks(engine, settings)
    assert _texts(slack)[-1].startswith("Atlas: shop failed\n")
    assert len(slack.got) == 4


def test_who_comes_to_know_of_it_late_is_told_all_the_same(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    _run(engine)
    make("slack")
    _run(engine)
    use.deliver_webhooks(engine, settings)
    assert "has failed since" in _texts(slack)[0]


def test_slack_reads_no_markup(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack", events=["schema.changed"])
    data = {
        "run_id": "r",
        "connection": "shop",
        "count": 1,
        "changes": [{"stream": "<!channel> & *x*\n- more", "property": "jane@example.org"}],
    }
    with engine.begin() as conn:
        webhooks.tell(conn, webhooks.Event.SCHEMA_CHANGED, data)
    assert use.deliver_webhooks(engine, settings) == 1
    (text,) = _texts(slack)
    assert "in ??channel? ? ?x??- more: " in text
    assert "jane" not in text


def test_what_would_be_markup_is_escaped_on_its_way(slack: Receiver) -> None:
    assert say(slack.url, "<!channel> &amp; a", private=True) == 204
    assert _texts(slack) == ["&lt;!channel&gt; &amp;amp; a"]


def test_a_url_of_slack_is_a_secret(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    made = make("slack")
    shown = f"http://127.0.0.1:{slack.server.server_port}/…"
    assert (made["url"], made["secret"]) == (shown, None)
    with engine.begin() as conn:
        stored = conn.execute(sa.text("SELECT w::text FROM pipeline.webhook AS w")).scalar_one()
        assert "x=1" not in stored
        rotation.admit(conn, SECRET, b"n" * 40)
        rotation.finish(conn, b"n" * 40)
    settings = replace(settings, secret_key="n" * 40)
    _run(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    other = Receiver()
    with engine.begin() as conn:
        changed = use.change(conn, settings, "slack", {"url": other.url}, actor="test")
        told = conn.execute(sa.text("SELECT a::text FROM pipeline.audit AS a")).scalars()
        assert "x=1" not in "".join(told)
    assert changed["url"] != shown
    _run(engine, Status.SUCCEEDED)
    assert use.deliver_webhooks(engine, settings) == 1
    assert (len(slack.got), len(other.got)) == (1, 1)
    other.close()


# --- quiet hours ---------------------------------------------------------------------------------


def _around(hours: float) -> dict[str, str]:
    """Quiet hours that began an hour ago and end in so many hours (less: they are over)."""
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=3), now + timedelta(hours=hours)
    return {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}", "timezone": "UTC"}


def test_what_happens_in_quiet_hours_is_told_in_one_message_after_them(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack", quiet_hours=_around(3))
    for number in range(3):
        _run(engine, connection=f"shop{number}")
        assert use.deliver_webhooks(engine, settings) == 0
    assert slack.got == []
    with engine.begin() as conn:
        found = webhooks.get(conn, "slack")
        next_at = conn.execute(sa.text("SELECT next_attempt_at FROM pipeline.webhook")).scalar_one()
        assert f"{next_at.astimezone(UTC):%H:%M}" == found["quiet_hours"]["to"]
        # A test is for whoever looks on now.
        webhooks.test(conn, "slack", actor="test")
    assert use.deliver_webhooks(engine, settings) == 1
    assert use.deliver_webhooks(engine, settings) == 0
    with engine.begin() as conn:
        use.change(conn, settings, "slack", {"quiet_hours": _around(-1)}, actor="test")
    assert use.deliver_webhooks(engine, settings) == 1
    assert ["3 failed" in each for each in _texts(slack)] == [False, True]


def test_a_message_that_is_under_way_waits_for_the_end_of_quiet_hours_too(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack")
    slack.answer = Receiver.status(503)
    _run(engine)
    use.deliver_webhooks(engine, settings)
    slack.answer = Receiver.status(200)
    with engine.begin() as conn:
        use.change(conn, settings, "slack", {"quiet_hours": _around(3)}, actor="test")
    _due(engine)
    assert use.deliver_webhooks(engine, settings) == 0
    with engine.begin() as conn:
        use.change(conn, settings, "slack", {"quiet_hours": None}, actor="test")
    _due(engine)
    assert use.deliver_webhooks(engine, settings) == 1


# --- servers that misbehave ----------------------------------------------------------------------


def test_while_a_receiver_is_away_what_happens_becomes_one_message(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver
) -> None:
    make("slack")
    slack.answer = Receiver.status(500)
    for number in range(4):
        _run(engine, connection=f"shop{number}")
        _due(engine)
        # As after many attempts: the longest that it is left alone for.
        _do(engine, "UPDATE pipeline.webhook SET failed_attempts = 20")
        _do(engine, "UPDATE pipeline.webhook_delivery SET attempts = 20")
        assert use.deliver_webhooks(engine, settings) == 0
    slack.answer = Receiver.status(200)
    for table in ("webhook", "webhook_delivery"):  # five minutes pass
        _do(
            engine,
            f"UPDATE pipeline.{table} SET next_attempt_at = next_attempt_at - '5m'::interval",
        )
    assert use.deliver_webhooks(engine, settings) == 2
    assert [each.partition("\n")[0] for each in _texts(slack)[-2:]] == [
        "Atlas: shop0 failed",
        "Atlas: 3 failed",
    ]


def test_each_address_gets_its_own_and_is_given_up_alone(
    engine: sa.Engine, settings: Settings, make: Make, server: MailServer
) -> None:
    make("email", addresses=["a@example.org", "b@example.org", "c@example.org"])
    server.says = {"a@example.org": "450 later", "b@example.org": "550 jane is not here"}
    _run(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    assert [to for to, _ in server.got] == ["c@example.org"]
    found = {each["recipient"]: each for each in _deliveries(engine, "email")}
    assert [(found[f"{each}@example.org"]["status"]) for each in "abc"] == [
        *("waiting", "given_up", "delivered")
    ]
    assert "jane" not in str(found)
    assert [each["status"] for each in found["a@example.org"]["log"]] == [450]
    server.says = {}
    _due(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    assert [to for to, _ in server.got] == ["c@example.org", "a@example.org"]


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [("451 later", "waiting", "message"), ("554 no", "given_up", "message")],
)
def test_a_message_that_is_refused(
    engine: sa.Engine,
    settings: Settings,
    make: Make,
    server: MailServer,
    reply: str,
    status: str,
    error: str,
) -> None:
    make("email")
    server.says = {"DATA": reply}
    _run(engine)
    assert use.deliver_webhooks(engine, settings) == 0
    digest = _deliveries(engine, "email")[0]
    assert (digest["status"], digest["log"][0]["error"]) == (status, error)


def test_who_is_reached_again_within_days_gets_it_and_who_is_not_is_disabled(
    engine: sa.Engine,
    settings: Settings,
    make: Make,
    away: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make("email")
    monkeypatch.setattr(turns, "_LOGGED", 5)
    _run(engine)
    for _ in range(turns.MOST_ATTEMPTS + 1):  # so often a program is not tried
        assert use.deliver_webhooks(engine, away) == 0
        _due(engine)
    (digest, _) = _deliveries(engine, "email")
    assert (digest["status"], digest["log"][-1]["error"]) == ("waiting", "connection")
    assert len(digest["log"]) == 5
    assert use.deliver_webhooks(engine, settings) == 1
    _run(engine, Status.SUCCEEDED)
    use.deliver_webhooks(engine, away)
    _do(engine, "UPDATE pipeline.webhook SET failing_since = now() - interval '4 days'")
    _due(engine)
    use.deliver_webhooks(engine, away)
    with engine.begin() as conn:
        found = webhooks.get(conn, "email")
    assert (found["enabled"], found["waiting"]) == (False, 0)
    assert "3 days" in found["reason"]


def test_a_mail_server_that_is_away_keeps_nothing_from_others_and_is_asked_once(
    engine: sa.Engine, settings: Settings, make: Make, slack: Receiver, away: Settings
) -> None:
    with engine.begin() as conn:
        for number in range(3):
            use.create(
                conn,
                settings,
                f"mail{number}",
                None,
                ENDS,
                actor="test",
                kind="email",
                addresses=[TO],
                group_seconds=0,
            )
    make("slack")
    make("webhook")
    _run(engine)
    _do(engine, "UPDATE pipeline.webhook SET next_attempt_at = now() WHERE kind <> 'email'")
    assert use.deliver_webhooks(engine, away) == 2
    assert len(slack.got) == 2
    failed = "SELECT count(*) FROM pipeline.webhook WHERE failed_attempts > 0"
    with engine.connect() as conn:
        assert conn.execute(sa.text(failed)).scalar() == 1


def test_what_is_settled_costs_nothing_when_it_is_looked_for_what_is_due(
    engine: sa.Engine,
) -> None:
    """It is kept for a month, and looked for every few seconds."""
    asked: list[tuple[Any, ...]] = []
    with engine.begin() as conn:
        conn.execute(sa.text("SET LOCAL enable_seqscan = off"))
        sa.event.listen(conn, "before_cursor_execute", lambda *told: asked.append(told))
        assert turns.take(conn, SECRET) is None
        _, _, statement, values, *_ = asked[-1]
        plan = conn.exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
    assert len([line for line in plan if "webhook_delivery_waiting" in line]) == 2, plan


# --- once, whoever delivers ----------------------------------------------------------------------


def test_who_dies_between_sending_and_noting_sends_again_under_the_same_id(
    engine: sa.Engine,
    settings: Settings,
    make: Make,
    server: MailServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make("email")
    _run(engine)

    def die(*args: object) -> bool:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(turns, "arrived", die)
        with pytest.raises(SystemExit):
            use.deliver_webhooks(engine, settings)
    assert len(server.got) == 1
    assert use.deliver_webhooks(engine, settings) == 0  # it is still his
    _do(engine, "UPDATE pipeline.webhook SET lease_until = now()")
    _due(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    (first, second) = [mail for _, mail in server.got]
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert str(first["Message-ID"]).endswith("@example.org>")


def test_a_reply_that_is_lost_is_a_second_message_with_the_same_id(
    engine: sa.Engine, settings: Settings, make: Make, server: MailServer
) -> None:
    make("email")
    _run(engine)
    server.drops = True
    assert use.deliver_webhooks(engine, settings) == 0
    server.drops = False
    _due(engine)
    assert use.deliver_webhooks(engine, settings) == 1
    assert len(server.got) == 2
    assert len({str(mail["Message-ID"]) for _, mail in server.got}) == 1


def test_two_who_deliver_send_it_once(
    engine: sa.Engine, settings: Settings, make: Make, server: MailServer
) -> None:
    make("email")
    _run(engine)
    there, go_on = threading.Event(), threading.Event()

    def held() -> None:
        there.set()
        assert go_on.wait(60)

    server.held = held
    counts: list[int] = []
    first = threading.Thread(target=lambda: counts.append(use.deliver_webhooks(engine, settings)))
    first.start()
    assert there.wait(60)
    counts.append(use.deliver_webhooks(engine, settings))
    go_on.set()
    first.join(60)
    assert counts == [0, 1]
    assert len(server.got) == 1


# --- what may be said ----------------------------------------------------------------------------


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("pigeon", {}, "kind"),
    ("email", {"addresses": []}, "addresses"),
    ("email", {"addresses": ["a@example.org\r\nBcc: b@example.org"]}, "addresses"),
    ("email", {"addresses": ["Jane <jane@example.org>"]}, "addresses"),
    ("email", {"addresses": [f"a{number}@example.org" for number in range(21)]}, "addresses"),
    ("email", {"url": "https://hooks.example.org/"}, "url"),
    ("slack", {"url": None}, "url"),
    ("slack", {"addresses": [TO]}, "addresses"),
    ("slack", {"group_seconds": 3601}, "group_seconds"),
    ("slack", {"group_seconds": -1}, "group_seconds"),
    ("slack", {"quiet_hours": {"from": "22:00", "to": "22:00"}}, "quiet_hours"),
    ("slack", {"quiet_hours": {"from": "22:00"}}, "quiet_hours"),
    ("slack", {"quiet_hours": {"from": "24:00", "to": "07:00"}}, "quiet_hours"),
    (
        "slack",
        {"quiet_hours": {"from": "22:00", "to": "07:00", "timezone": "Europe/Nowhere"}},
        "Europe/Copenhagen",
    ),
    ("webhook", {"quiet_hours": {"from": "22:00", "to": "07:00"}}, "quiet_hours"),
    ("webhook", {"group_seconds": 60}, "group_seconds"),
]


def test_what_no_receiver_can_be(make: Make) -> None:
    for kind, given, about in WRONG:
        with pytest.raises(UsageError) as refused:
            make(kind, **given)
        assert about in str(refused.value), (kind, given)


def test_nobody_is_told_by_mail_without_a_server(
    engine: sa.Engine, settings: Settings, make: Make
) -> None:
    make("email")
    without = replace(settings, smtp_host=None)
    with engine.begin() as conn, pytest.raises(UsageError, match="ATLAS_SMTP_HOST"):
        use.change(conn, without, "email", {"addresses": [TO]}, actor="test")
    _run(engine)
    assert use.deliver_webhooks(engine, without) == 0
    assert _deliveries(engine, "email")[0]["log"][0]["error"] == "not-set"
