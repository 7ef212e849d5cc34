"""Parts of a stream: who gets which, what wakes the stage, and what ends it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from atlas.errors import LostClaim
from atlas.ledger import claims, ends, outbox, parts
from atlas.ledger.claims import Claim, Found
from atlas.ledger.parts import Part, PartStatus
from atlas.model.stage import Stage, Status
from atlas.model.stream import Segment
from atlas.settings import Settings
from atlas.sync import cancel, dispatch, recovery
from tests.ledger.conftest import add_streams, at_once, wait_until_blocked

NewRun = Callable[[], str]


def take(engine: sa.Engine, stage: Stage, **ids: object) -> Claim:
    found = claims.claim(engine, stage, holder="test:1", lease=60, **ids)  # type: ignore[arg-type]
    assert isinstance(found, Claim), found
    return found


def look(engine: sa.Engine, holder: str = "a:1", lease: float = 60, most: int = 3) -> Part | None:
    return parts.claim(engine, holder=holder, lease=lease, max_attempts=most)


def get(engine: sa.Engine, holder: str = "a:1", lease: float = 60) -> Part:
    part = look(engine, holder, lease)
    assert part is not None
    return part


def done(engine: sa.Engine, part: Part, holder: str = "a:1") -> list[int]:
    with engine.begin() as conn:
        return parts.done(conn, part, evidence=[{"n": part.position}], holder=holder)


def cut(engine: sa.Engine, run_id: str, stream: int, pieces: int) -> Claim:
    """A stage that is parked until its ``pieces`` are studied."""
    claim = take(engine, Stage.PII, run_stream_id=stream)
    with claims.transaction(engine, claim) as conn:
        parts.plan(conn, stream, [(run_id, Segment(n, n, 1)) for n in range(pieces)])
        claims.park(conn, claim, pieces)
    return claim


@pytest.fixture
def streams(engine: sa.Engine, new_run: NewRun) -> Callable[..., tuple[str, list[int]]]:
    """Makes a run whose source was read, with streams of these names."""

    def make(*names: str) -> tuple[str, list[int]]:
        run_id = new_run()
        explore = take(engine, Stage.EXPLORE, run_id=run_id)
        made = add_streams(engine, run_id, *names)
        with claims.transaction(engine, explore) as conn:
            ends.finish(conn, explore, Status.SUCCEEDED)
        with engine.begin() as conn:
            conn.execute(sa.text("DELETE FROM pipeline.outbox"))
        return run_id, made

    return make


Streams = Callable[..., tuple[str, list[int]]]


def statuses(engine: sa.Engine, stream: int) -> list[str]:
    with engine.connect() as conn:
        return [part.status.value for part in parts.of_stream(conn, stream)]


def left(engine: sa.Engine, stream: int) -> int | None:
    with engine.connect() as conn:
        number: int | None = conn.execute(
            sa.text(
                "SELECT parts_left FROM pipeline.stage_run"
                " WHERE run_stream_id = :s AND stage = 'pii'"
            ),
            {"s": stream},
        ).scalar_one()
        return number


def waiting(engine: sa.Engine) -> list[tuple[str, str]]:
    with engine.begin() as conn:
        return [(message.kind, message.ref) for message in outbox.due(conn)]


def test_those_who_look_at_once_get_different_parts(engine: sa.Engine, streams: Streams) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 5)
    got = at_once(*(lambda n=n: get(engine, f"a:{n}") for n in range(5)))  # type: ignore[misc]
    assert sorted(part.position for part in got if isinstance(part, Part)) == [0, 1, 2, 3, 4]
    assert look(engine) is None


def test_nobody_takes_parts_of_a_stage_that_is_not_parked(
    engine: sa.Engine, streams: Streams
) -> None:
    run_id, (stream,) = streams("big")
    claim = take(engine, Stage.PII, run_stream_id=stream)
    with claims.transaction(engine, claim) as conn:
        parts.plan(conn, stream, [(run_id, Segment(0, 0, 1))])
    assert look(engine) is None


def test_the_last_two_at_one_moment_wake_the_stage_once(
    engine: sa.Engine, streams: Streams
) -> None:
    run_id, (stream,) = streams("big")
    parked = cut(engine, run_id, stream, 4)
    held = [get(engine, f"a:{n}") for n in range(4)]
    woken = at_once(*(lambda part=part: done(engine, part) for part in held))  # type: ignore[misc]
    assert sorted(len(item) for item in woken if isinstance(item, list)) == [0, 0, 0, 1], woken
    assert left(engine, stream) == 0
    assert waiting(engine) == [("stream", str(stream))]
    assert statuses(engine, stream) == ["studied"] * 4
    with pytest.raises(LostClaim):
        done(engine, held[0])
    found = take(engine, Stage.PII, run_stream_id=stream)
    # The same attempt, under a newer fence.
    assert found.resumed
    assert (found.attempt, found.since) == (parked.attempt, parked.since)
    assert found.fence > parked.fence
    again = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="b:1", lease=60)
    assert again is Found.HELD


def test_a_parked_stage_is_nobodys_until_its_parts_are_done(
    engine: sa.Engine, streams: Streams
) -> None:
    run_id, (stream,) = streams("big")
    parked = cut(engine, run_id, stream, 1)
    assert not claims.renew(engine, parked, 60)
    with pytest.raises(LostClaim), claims.transaction(engine, parked) as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.left_behind ()"))
    early = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="b:1", lease=60)
    assert early is Found.HELD
    with engine.begin() as conn:
        assert outbox.orphans(conn, patience=0) == []
    done(engine, get(engine))
    assert take(engine, Stage.PII, run_stream_id=stream).resumed


def test_a_small_stream_does_not_wait_for_a_huge_one(engine: sa.Engine, streams: Streams) -> None:
    run_id, (huge, small) = streams("huge", "small")
    cut(engine, run_id, huge, 300)
    busy = [get(engine, f"a:{n}") for n in range(3)]
    assert {part.run_stream_id for part in busy} == {huge}
    cut(engine, run_id, small, 2)
    # However many of the huge one wait, and though whoever ends one has studied it.
    done(engine, busy[0], "a:0")
    assert get(engine, "a:0").run_stream_id == small
    # Two work on the huge one, and one on the small one.
    assert get(engine, "b:1").run_stream_id == small


def test_streams_take_turns(engine: sa.Engine, streams: Streams) -> None:
    run_id, made = streams("one", "two", "three")
    for stream in made:
        cut(engine, run_id, stream, 9)
    taken = []
    for _ in range(9):  # nobody works on any of them
        part = get(engine)
        taken.append(part.run_stream_id)
        done(engine, part)
    assert taken == made * 3


def test_who_studied_a_part_masks_it(engine: sa.Engine, streams: Streams) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 3)
    for holder in ("a:0", "a:1", "a:2"):
        done(engine, get(engine, holder), holder)
    claim = take(engine, Stage.PII, run_stream_id=stream)
    with claims.transaction(engine, claim) as conn:
        parts.to_mask(conn, stream)
        claims.park(conn, claim, 3)
    mine = get(engine, "a:2")
    assert (mine.position, mine.status, mine.evidence) == (2, PartStatus.TO_MASK, [{"n": 2}])
    # The others are left to those who studied them, for a while.
    assert parts.claim(engine, holder="b:1", lease=60, max_attempts=5) is None
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.scan_part SET reserved_until = now()"))
    assert parts.claim(engine, holder="b:1", lease=60, max_attempts=5, own=True) is None
    assert get(engine, "b:1").position == 0


def test_a_part_that_was_studied_long_ago_is_masked_by_anybody(
    engine: sa.Engine, streams: Streams
) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 2)
    for _ in range(2):
        done(engine, get(engine, "gone:1"), "gone:1")
    claim = take(engine, Stage.PII, run_stream_id=stream)
    with claims.transaction(engine, claim) as conn:
        passed = "reserved_until = reserved_until - interval '1 hour' WHERE position = 0"
        conn.execute(sa.text(f"UPDATE pipeline.scan_part SET {passed}"))
        parts.to_mask(conn, stream)
        claims.park(conn, claim, 2)
    assert get(engine, "b:1").position == 0
    assert look(engine, "b:1") is None


def test_a_dead_scanner_costs_its_part_and_writes_nothing(
    engine: sa.Engine, streams: Streams
) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 2)
    zombie = get(engine, lease=-1)
    other = get(engine)
    # The dead one's part is free again, and it is the first: who looks gets that.
    assert other.id == zombie.id
    assert (other.fence, other.failures) == (zombie.fence + 1, 1)
    assert not parts.renew(engine, zombie, 60)
    with pytest.raises(LostClaim):
        done(engine, zombie)
    with engine.begin() as conn:
        assert parts.give_back(conn, zombie, delay=0, error=None, failed=False) == []
        assert not parts.is_held(conn, zombie)
    assert left(engine, stream) == 2
    done(engine, other)
    assert left(engine, stream) == 1


def test_a_part_given_back_waits_for_its_time(engine: sa.Engine, streams: Streams) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 1)
    part = get(engine)
    with engine.begin() as conn:
        (message,) = parts.give_back(conn, part, delay=60, error="busy", failed=True)
        assert list(outbox.due(conn, ids=[message])) == []
        assert parts.waiting(conn) == []
    assert look(engine) is None
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE pipeline.scan_part SET next_attempt_at = clock_timestamp()"))
        assert parts.waiting(conn) == [stream]
    assert get(engine).failures == 1
    with pytest.raises(LostClaim):
        done(engine, part)


@pytest.fixture
def config(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings of a stack whose broker takes every message and gives it to nobody."""
    monkeypatch.setattr(dispatch, "_send", lambda conn, message: None)
    monkeypatch.setattr(dispatch, "waiting", lambda: ([], 1))
    return replace(Settings(), database_url=database_url, max_attempts=3)


def test_a_part_that_kills_its_workers_fails_its_stream(
    engine: sa.Engine, streams: Streams, config: Settings
) -> None:
    run_id, (stream, _) = streams("poison", "other")
    cut(engine, run_id, stream, 2)
    done(engine, get(engine))
    for _ in range(3):
        assert get(engine, lease=-1).position == 1
        assert left(engine, stream) == 1
    assert look(engine) is None
    recovery.recover(engine, config)
    with engine.connect() as conn:
        rows = conn.execute(
            sa.text("SELECT stream, status, error FROM pipeline.run_stream ORDER BY id")
        ).all()
    assert [tuple(row)[:2] for row in rows] == [("poison", "failed"), ("other", "queued")]
    assert "died in each of 3 attempts" in rows[0].error
    assert statuses(engine, stream) == []


def test_a_part_is_spoiled_for_whoever_allows_more_attempts_too(
    engine: sa.Engine, streams: Streams, config: Settings
) -> None:
    run_id, (stream,) = streams("big")
    with engine.begin() as conn:
        parts.plan(conn, stream, [(run_id, Segment(0, 0, 1)), (run_id, Segment(1, 1, 1))])
    part = get(engine)
    claim = take(engine, Stage.PII, run_stream_id=stream)
    with engine.begin() as conn:
        parts.spoil(conn, part, error="broken", max_attempts=config.max_attempts)
    with claims.transaction(engine, claim) as conn:
        claims.park(conn, claim, 2)
    recovery.recover(engine, replace(config, max_attempts=config.max_attempts + 1))
    with engine.connect() as conn:
        query = "SELECT status, error FROM pipeline.run_stream"
        assert [tuple(row) for row in conn.execute(sa.text(query))] == [("failed", "broken")]


def test_cancel_meets_the_end_of_a_part(
    engine: sa.Engine, streams: Streams, config: Settings
) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 1)
    part = get(engine)
    ended = threading.Event()

    def end() -> None:
        with engine.begin() as conn:
            parts.done(conn, part)
            ended.set()
            wait_until_blocked(engine)  # cancel waits for the stage's row

    def stop() -> None:
        ended.wait()
        cancel.cancel(engine, config, run_id, actor="test")

    assert at_once(end, stop) == [None, None]
    # The part's end was first, and what it woke is gone with the run.
    assert waiting(engine) == []
    assert statuses(engine, stream) == []
    stopped = claims.claim(engine, Stage.PII, run_stream_id=stream, holder="b:1", lease=60)
    assert stopped is Found.STOPPED


def test_the_end_of_a_part_meets_cancel(
    engine: sa.Engine, streams: Streams, config: Settings
) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 1)
    part = get(engine)
    cancelling = threading.Event()

    def stop() -> None:
        with engine.begin() as conn:
            ends.cancel_run(conn, run_id)
            cancelling.set()
            wait_until_blocked(engine)  # the part's holder waits for the stage's row

    def end() -> object:
        cancelling.wait()
        return done(engine, part)

    _, lost = at_once(stop, end)
    assert isinstance(lost, LostClaim), lost
    assert waiting(engine) == []
    assert not parts.held(engine, part)


def test_the_end_of_a_part_meets_a_message_on_its_way(
    engine: sa.Engine, streams: Streams, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, (stream,) = streams("big")
    cut(engine, run_id, stream, 1)
    part = get(engine)
    with engine.begin() as conn:
        message_id = outbox.put(conn, "stream", str(stream))
    sending = threading.Event()

    def send(conn: sa.Connection, message: outbox.Message) -> None:
        sending.set()
        wait_until_blocked(engine)  # the part's holder waits for the message's row

    def end() -> object:
        sending.wait()
        return done(engine, part)

    monkeypatch.setattr(dispatch, "_send", send)
    sent, woken = at_once(lambda: dispatch.deliver(engine, [message_id]), end)
    # Neither was broken off because each waited for the other.
    assert sent == 1
    assert isinstance(woken, list), woken
    assert waiting(engine) == [("stream", str(stream))]
