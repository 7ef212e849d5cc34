"""Streams of events: who watches gets every change, and every line once, wherever he comes back."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.ledger import claims, ends, run_log, runs
from atlas.ledger.claims import Claim
from atlas.ledger.progress import Snapshot
from atlas.ledger.run_log import Line
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, StreamKey, SyncMode
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.web.live import hub as hub_module
from atlas.web.live import told
from atlas.web.live.hub import Hub, Watcher
from atlas.web.live.stream import EventStream
from atlas.web.live.watched import Rates, WatchedRun
from tests.web.browser import Browser, add_user, logged_in

Event = tuple[str, str, Any]


def events(text: str) -> list[Event]:
    """Kind, id and document of each event of a stream; comments and ``retry`` are left out."""
    found = []
    # What comes after the last empty line is not whole yet.
    for block in text.split("\n\n")[:-1]:
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")
        )
        if "event" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


@pytest.fixture
def running(engine: sa.Engine, shop: str) -> Claim:
    """The claim of the explore stage of a run of two streams that is being read."""
    with engine.begin() as conn:
        run_id = runs.create(
            conn, connection=shop, trigger="api", selected=None, full_refresh=False
        )
        configured = [
            ConfiguredStream(StreamKey(name), {}, SyncMode.FULL_REFRESH)
            for name in ("users", "orders")
        ]
        runs.add_streams(conn, run_id, [(item, True) for item in configured], list(ORDER))
    found = claims.claim(engine, Stage.EXPLORE, run_id=run_id, holder="here:1", lease=600)
    assert isinstance(found, Claim)
    return found


def say(engine: sa.Engine, claim: Claim, *texts: str) -> None:
    """Let the connector say lines."""
    lines = [Line("info", text, datetime.now(UTC)) for text in texts]
    with engine.begin() as conn:
        run_log.add(conn, claim, lines, keep=10_000)


def read(engine: sa.Engine, claim: Claim, stream: str, rows: int) -> None:
    """Let a stream have so many rows."""
    with engine.begin() as conn:
        conn.execute(
            sa.text(
                "UPDATE pipeline.run_stream SET rows_explore = :rows"
                " WHERE run_id = :run AND stream = :stream"
            ),
            {"rows": rows, "run": claim.run_id, "stream": stream},
        )


def finish(engine: sa.Engine, claim: Claim) -> None:
    """End the run."""
    with engine.begin() as conn:
        for number in runs.stream_ids(conn, claim.run_id):
            ends.end_stream(conn, number, Status.SUCCEEDED, None)
        ends.finish(conn, claim, Status.SUCCEEDED)


def test_a_server_without_sockets_to_hand_over_tells_what_there_is(
    api: Any, engine: sa.Engine, running: Claim
) -> None:
    path = f"/api/v1/runs/{running.run_id}/events"
    say(engine, running, "one", "two")
    answer = api.get(path)
    assert answer.content_type == "text/event-stream"
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.text.startswith("retry: 5000\n\n")
    (kind, _, progress), first, second = events(answer.text)
    assert kind == "progress"
    assert progress["whole"]
    assert [stream["stream"] for stream in progress["streams"]] == ["users", "orders"]
    assert [(each[0], each[2]["message"]) for each in (first, second)] == [
        ("log", "one"),
        ("log", "two"),
    ]
    # From there on: nothing has changed, then a line, then the end.
    back = {"Last-Event-ID": second[1]}
    assert events(api.get(path, headers=back).text) == []
    say(engine, running, "three")
    (line,) = events(api.get(path, headers=back).text)
    assert line[2]["message"] == "three"
    finish(engine, running)
    *_, last, end = events(api.get(path, headers={"Last-Event-ID": line[1]}).text)
    assert last[0] == "progress"
    assert end[0] == "end"
    assert end[2]["status"] == "succeeded"
    assert api.get(path, headers={"Last-Event-ID": end[1]}).status_code == 204


def test_from_where_on_lines_are_told(api: Any, engine: sa.Engine, running: Claim) -> None:
    path = f"/api/v1/runs/{running.run_id}/events"
    say(engine, running, *(f"line {number}" for number in range(1, 151)))

    def told_lines(where: str) -> list[int]:
        return [each[2]["line"] for each in events(api.get(path + where).text) if each[0] == "log"]

    assert told_lines("") == list(range(51, 151))
    assert told_lines("?after=148") == [149, 150]
    assert told_lines("?after=0") == list(range(1, 151))
    assert api.get(path + "?after=-1").status_code == 400
    for wrong in ("x", "1-", "1-zz", "9" * 30, "-1"):
        problem = api.get(path, headers={"Last-Event-ID": wrong})
        assert (problem.status_code, problem.json["type"]) == (400, "/api/docs#invalid-parameter")
        assert api.get("/api/v1/events", headers={"Last-Event-ID": "x" + wrong}).status_code == 400
    assert api.get(path.replace(running.run_id, running.run_id[::-1])).status_code == 404


def test_the_log_over_http(api: Any, engine: sa.Engine, running: Claim) -> None:
    say(engine, running, "Read users", "Read orders")
    path = f"/api/v1/runs/{running.run_id}/log"
    page = api.get(path + "?q=ORDERS&level=info&sort=-line&limit=1").json
    assert [item["message"] for item in page["items"]] == ["Read orders"]
    assert page["next_cursor"] is None
    (last,) = api.get(f"{path}?after={page['items'][0]['line'] - 1}").json["items"]
    assert last["message"] == "Read orders"
    assert api.get(path + "?level=loud").status_code == 400
    assert api.get(path, None).status_code == 401


def test_the_status_of_all_runs(api: Any, engine: sa.Engine, running: Claim) -> None:
    ((kind, identity, first),) = events(api.get("/api/v1/events").text)
    assert (kind, first["run_id"], first["status"]) == ("run", running.run_id, "running")
    finish(engine, running)
    assert events(api.get("/api/v1/events").text) == []
    back = events(api.get("/api/v1/events", headers={"Last-Event-ID": identity}).text)
    assert [each[2]["status"] for each in back] == ["succeeded"]


class Watching:
    """The other end of a watcher's socket."""

    def __init__(self, hub: Hub, run_id: str | None, place: told.Place | None = None) -> None:
        self.socket, theirs = socket.socketpair()
        self.text = ""
        hub.add(Watcher(theirs, run_id, place or told.Place(0), None, b""))

    def until(self, done: Callable[[list[Event]], bool]) -> list[Event]:
        """All events so far, once ``done`` says of them that it is enough, or the stream ended."""
        self.socket.settimeout(60)
        while not done(events(self.text)):
            more = self.socket.recv(1 << 20)
            if not more:
                break
            self.text += more.decode()
        return events(self.text)

    def lines(self, count: int) -> list[str]:
        found = self.until(lambda got: sum(each[0] == "log" for each in got) >= count)
        return [each[2]["message"] for each in found if each[0] == "log"]


@pytest.fixture
def hub(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that looks often."""
    monkeypatch.setattr(hub_module, "_INTERVAL", 0.05)
    return Hub(settings)


@pytest.fixture
def watching(hub: Hub) -> Iterator[Callable[..., Watching]]:
    """Adds watchers to the hub, who go at the end."""
    made: list[Watching] = []

    def add(*args: Any, at: Hub = hub) -> Watching:
        made.append(Watching(at, *args))
        return made[-1]

    yield add
    for each in made:
        each.socket.close()


def test_watchers_are_told_what_changes(
    engine: sa.Engine, running: Claim, watching: Callable[..., Watching]
) -> None:
    one, other = watching(running.run_id), watching(running.run_id)
    # Both have the whole, so that what comes now is a change to both.
    for each in (one, other):
        each.until(bool)
    say(engine, running, "one")
    read(engine, running, "orders", 10)
    for each in (one, other):
        found = each.until(
            lambda got: any(e[0] == "progress" and e[2]["rows"]["explore"] == 10 for e in got)
        )
        whole, *changes = [e[2] for e in found if e[0] == "progress"]
        assert whole["whole"]
        changed = next(e for e in changes if e["rows"]["explore"] == 10)
        assert not changed["whole"]
        assert [stream["stream"] for stream in changed["streams"]] == ["orders"]
        assert each.lines(1) == ["one"]
    finish(engine, running)
    for each in (one, other):
        found = each.until(lambda got: False)
        assert found[-1][0] == "end"
        assert sum(kind == "log" for kind, _, _ in found) == 1


def test_who_comes_back_to_another_process_misses_nothing_and_gets_nothing_twice(
    engine: sa.Engine,
    running: Claim,
    watching: Callable[..., Watching],
    settings: Settings,
) -> None:
    say(engine, running, "one", "two")
    first = watching(running.run_id)
    assert first.lines(2) == ["one", "two"]
    last = events(first.text)[-1][1]
    first.socket.close()
    say(engine, running, "three")
    second = watching(running.run_id, told.place(last), at=Hub(settings))
    assert second.lines(1) == ["three"]
    # Its progress was told by the first one.
    assert [kind for kind, _, _ in events(second.text)] == ["log"]


def test_a_long_log_comes_whole_and_in_order(
    engine: sa.Engine, running: Claim, watching: Callable[..., Watching]
) -> None:
    texts = [f"line {number}" for number in range(1000)]
    say(engine, running, *texts)
    assert watching(running.run_id).lines(1000) == texts


def test_one_who_takes_nothing_is_dropped_and_holds_up_nobody(
    engine: sa.Engine,
    running: Claim,
    watching: Callable[..., Watching],
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck, awake = watching(running.run_id), watching(running.run_id)
    say(engine, running, *("x" * 2000 for _ in range(1000)))
    assert len(awake.lines(1000)) == 1000
    # Only now: on a busy machine one who is awake may take nothing for so long.
    monkeypatch.setattr(hub_module, "_STUCK", 0.5)
    deadline = time.monotonic() + 60
    while len(hub) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(hub) == 1
    # What was written to it is what its socket held, not the log.
    assert len(stuck.lines(1000)) < 1000


def test_a_watcher_after_the_last_has_gone_or_the_thread_has_failed_is_served(
    engine: sa.Engine,
    running: Claim,
    watching: Callable[..., Watching],
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(hub, "_serve", lambda: 1 / 0)
        # Whoever came while it failed is not left without an end.
        assert watching(running.run_id).until(lambda got: False) == []
        deadline = time.monotonic() + 60
        while hub._thread is not None and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [kind for kind, _, _ in watching(running.run_id).until(bool)] == ["progress"]


def test_who_goes_is_forgotten_and_who_stays_for_long_is_asked_to_come_back(
    running: Claim, watching: Callable[..., Watching], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = watching(running.run_id)
    gone.until(bool)
    gone.socket.close()
    deadline = time.monotonic() + 60
    while len(hub) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(hub) == 0
    monkeypatch.setattr(hub_module, "_LIFE", 0.5)
    found = watching(running.run_id).until(lambda got: False)
    assert [kind for kind, _, _ in found] == ["progress"]


def test_all_runs_are_watched(
    engine: sa.Engine, running: Claim, watching: Callable[..., Watching]
) -> None:
    one = watching(None)
    one.until(bool)
    finish(engine, running)
    found = one.until(lambda got: len(got) > 1)
    assert [each[2]["status"] for each in found] == ["running", "succeeded"]


def test_a_ledger_that_is_away_for_a_moment_ends_no_stream(
    engine: sa.Engine,
    running: Claim,
    watching: Callable[..., Watching],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from atlas.ledger import progress

    one = watching(running.run_id)
    one.until(bool)
    known = progress.snapshots
    away: list[None] = []

    def snapshots(*args: Any) -> Any:
        away.append(None)
        raise sa.exc.OperationalError("", {}, Exception())

    monkeypatch.setattr(progress, "snapshots", snapshots)
    deadline = time.monotonic() + 60
    while not away and time.monotonic() < deadline:
        time.sleep(0.02)
    monkeypatch.setattr(progress, "snapshots", known)
    say(engine, running, "after it")
    assert one.lines(1) == ["after it"]


def test_rates() -> None:
    rates = Rates()
    assert rates.add(0.0, 100) is None
    assert rates.add(1.0, 200) == 100.0
    assert rates.add(2.0, 400) == 150.0
    for second in range(3, 20):
        found = rates.add(float(second), 400)
    assert found == 0.0
    # An attempt that broke off took its rows back.
    assert rates.add(21.0, 50) is None
    assert Rates().add(0.0, 0) == 0.0


def test_a_watcher_who_is_behind_gets_the_whole() -> None:
    def snapshot(rows: int) -> Snapshot:
        counts = {"explore": rows, "promoted": 0, "quarantined": 0}
        other = {"stream": "b", "rows": {**counts, "explore": 0}}
        return Snapshot({"run_id": "r"}, {1: {"stream": "a", "rows": counts}, 2: other}, 0, False)

    run = WatchedRun()
    run.see(snapshot(0), 0.0)
    run.see(snapshot(1), 1.0)
    run.see(snapshot(2), 2.0)
    ((_, _, late),) = events(run.progress(told.Place(0), 1).decode())
    assert late["whole"]
    assert [stream["stream"] for stream in late["streams"]] == ["a", "b"]
    ((_, identity, soon),) = events(run.progress(told.Place(7), 2).decode())
    assert [stream["stream"] for stream in soon["streams"]] == ["a"]
    assert told.place(identity) == told.Place(7, run.digest)
    assert run.progress(told.Place(7), 3) == b""


def test_who_is_logged_in_watches_too(app: Flask, engine: sa.Engine, running: Claim) -> None:
    add_user(engine, "ann", "viewer")
    path = f"/api/v1/runs/{running.run_id}/events"
    assert Browser(app).get(path).status_code == 401
    found = events(logged_in(app, engine, "ann").get(path).text)
    assert [kind for kind, _, _ in found] == ["progress"]


def test_what_waits_for_the_answer_is_done_when_its_socket_is_handed_over(
    app: Flask, running: Claim
) -> None:
    """Such as writing down that a key was used."""
    done: list[str] = []
    here, there = socket.socketpair()
    with here, there, app.test_request_context("/"):
        answer = EventStream(running.run_id, None)
        answer.call_on_close(lambda: done.append("touched"))
        with pytest.raises(StopIteration):
            answer({"REQUEST_METHOD": "GET", "gunicorn.socket": there}, lambda *_: None)
        # What is done to the socket of the request from here on does nothing to the stream.
        there.shutdown(socket.SHUT_RDWR)
        here.settimeout(60)
        came = b""
        while b"event: progress" not in came:
            more = here.recv(65536)
            assert more, "the stream has ended"
            came += more
    assert came.startswith(b"HTTP/1.1 200 OK\r\n")
    assert done == ["touched"]
