"""What is done to the ledger and to its model alike, and how the two are compared."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from atlas.errors import ActiveRun, Conflict, LostClaim, TransientError
from atlas.layers import staging
from atlas.ledger import claims, ends, outbox, parts, runs
from atlas.ledger.claims import Claim, Found
from atlas.ledger.database import cursor
from atlas.ledger.parts import REMEMBERED, RESERVED, Part
from atlas.model.stage import Stage, Status
from atlas.model.stream import ConfiguredStream, Segment, StreamKey, SyncMode
from atlas.settings import Settings
from atlas.stages import ORDER
from atlas.sync import dispatch, recovery, retry
from tests.ledger.model import (
    MAX_ATTEMPTS,
    STAGES,
    PartModel,
    RunModel,
    StageModel,
    StreamModel,
)

# No two sums of these are so near to one another that the time a test takes could matter.
LEASES, DELAYS, STEPS, PATIENCE = [1000.0, 3000.0], [0.0, 500.0, 4500.0], [1300, 10_000], 600.0

_SEEN = sa.text(
    """
    SELECT (SELECT jsonb_build_array(status, finished_at IS NOT NULL, retries)
              FROM pipeline.run WHERE id = :run) AS run,
           (SELECT jsonb_object_agg(id, jsonb_build_array(status, explored_at IS NOT NULL))
              FROM pipeline.run_stream WHERE run_id = :run) AS streams,
           (SELECT jsonb_object_agg(s.id, jsonb_build_array(s.status, s.parked, s.parts_left,
                     s.holder IS NOT NULL, s.lease_until IS NOT NULL,
                     (SELECT coalesce(jsonb_agg(coalesce(a.outcome, 'open') ORDER BY a.fence), '[]')
                        FROM pipeline.attempt AS a WHERE a.stage_run_id = s.id
                         AND (a.outcome IS NULL) = (a.finished_at IS NULL))))
              FROM pipeline.stage_run AS s WHERE s.run_id = :run) AS stages,
           (SELECT jsonb_object_agg(id, jsonb_build_array(
                     run_stream_id, status, failures, lease_until IS NOT NULL))
              FROM pipeline.scan_part) AS parts,
           (SELECT count(*) FROM pipeline.outbox
             WHERE ref = CAST(:run AS text) OR ref = ANY(:refs)) AS messages
    """
)
_PASS = [
    """UPDATE pipeline.stage_run SET lease_until = lease_until - :d,
              next_attempt_at = next_attempt_at - :d, dispatched_at = dispatched_at - :d,
              finished_at = finished_at - :d WHERE run_id = :run""",
    """UPDATE pipeline.scan_part SET lease_until = lease_until - :d,
              next_attempt_at = next_attempt_at - :d,
              reserved_until = reserved_until - :d""",
    "UPDATE pipeline.run SET created_at = created_at - :d",
    "UPDATE pipeline.outbox SET due_at = due_at - :d",
]


class Broker:
    """What was sent and not taken yet."""

    def __init__(self) -> None:
        self.away = False
        self.waiting: list[tuple[str, str]] = []

    def send(self, conn: sa.Connection, message: outbox.Message) -> None:
        if self.away:
            raise TransientError("the broker is away")
        more = parts.claimable(conn) - self.looks if message.kind == "scan" else 1
        self.waiting += [(message.kind, message.ref)] * more

    @property
    def looks(self) -> int:
        return [kind for kind, _ in self.waiting].count("scan")

    def has(self) -> tuple[list[Stage], int]:
        """As :func:`dispatch.waiting`."""
        if self.away:
            return [], 1
        return [] if self.waiting else list(ORDER), self.looks


class Driven(RuleBasedStateMachine):
    """One run after the other of one connection."""

    def __init__(
        self, engine: sa.Engine, config: Settings, broker: Broker, new_run: Callable[[], str]
    ) -> None:
        super().__init__()
        self.engine, self.config, self.broker = engine, config, broker
        self.new_run = new_run
        self.now = 0.0
        self.claims: list[tuple[Claim, StageModel]] = []
        self.parts: list[tuple[Part, PartModel, str]] = []
        self.writing: list[tuple[contextlib.ExitStack, Claim, StageModel, int]] = []
        self.old: list[RunModel] = []
        self.effects = 0
        self.wanted: list[int] = []
        broker.waiting.clear()
        broker.away = False
        with engine.begin() as conn:
            for table in ("run", "outbox", "effect"):
                conn.execute(sa.text(f"DELETE FROM pipeline.{table}"))
        self._request()

    # What is done, in the ledger and in the model.

    def _deliver(self) -> None:
        with contextlib.suppress(TransientError):
            dispatch.deliver(self.engine)

    def _request(self) -> None:
        run_id = self.new_run()
        with self.engine.connect() as conn:
            stage_id = conn.execute(sa.text("SELECT max(id) FROM pipeline.stage_run")).scalar_one()
        self._deliver()
        self.run = RunModel(run_id)
        self.run.explore = StageModel(stage_id, Stage.EXPLORE, self.run)

    @contextlib.contextmanager
    def _if(self, holds: bool) -> Any:
        """What may be written if and only if the claim holds."""
        if holds:
            yield
            return
        with pytest.raises(LostClaim):
            yield

    def _claim(self, stage: StageModel, holder: str, lease: float) -> Claim | Found:
        ids: dict[str, Any] = (
            {"run_id": stage.run.id} if stage.stream is None else {"run_stream_id": stage.stream.id}
        )
        can, status = stage.can_be_claimed(self.now), stage.status
        found = claims.claim(
            self.engine, stage.name, holder=holder, lease=lease, max_attempts=MAX_ATTEMPTS, **ids
        )
        if can:
            assert isinstance(found, Claim), found
            stage.take(found, self.now, lease)
            self.claims.append((found, stage))
        elif status is Status.SUCCEEDED:
            assert found is Found.DONE
        else:
            assert found is (Found.STOPPED if status.ended else Found.HELD)
        return found

    def _explore(self, claim: Claim, stage: StageModel, on: bool) -> None:
        """The next step of reading a source with a stream for each of :attr:`wanted`."""
        holds = stage.holder is claim
        unread = [stream for stream in stage.run.streams if not stream.explored]
        if holds and stage.run.streams and not unread:
            self._finish(claim, stage, Status.SUCCEEDED)
            return
        messages: list[int] = []
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            if not stage.run.streams:
                self._add_streams(conn, stage.run, holds)
            elif unread:
                runs.explored(conn, unread[0].id)
                messages.append(outbox.put(conn, "stream", str(unread[0].id)))
            if on:
                claims.progress(conn, claim)
        if not holds:
            return
        dispatch.try_deliver(self.engine, messages)
        if on:
            stage.get_on()
        if unread:
            unread[0].explored = True

    def _add_streams(self, conn: sa.Connection, run: RunModel, holds: bool) -> None:
        named = [
            ConfiguredStream(StreamKey(f"s{n}"), {"type": "object"}, SyncMode.FULL_REFRESH)
            for n in range(len(self.wanted))
        ]
        runs.add_streams(conn, run.id, [(item, True) for item in named], STAGES)
        if not holds:
            return
        for row, pieces in zip(runs.streams(conn, run.id), self.wanted, strict=True):
            stream = StreamModel(row.id, run, pieces)
            ids = conn.execute(
                sa.text("SELECT id FROM pipeline.stage_run WHERE run_stream_id = :s ORDER BY id"),
                {"s": row.id},
            ).scalars()
            stream.stages = [
                StageModel(stage_id, name, run, stream)
                for stage_id, name in zip(ids, STAGES[1:], strict=True)
            ]
            run.streams.append(stream)

    def _pii(self, claim: Claim, stage: StageModel) -> None:
        """The next step of a stage that may be cut into parts."""
        stream = stage.stream
        assert stream is not None
        holds = stage.holder is claim
        states = [part.status for part in stream.parts]
        left = 0
        messages: list[int] = []
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            if stream.wanted > max(len(states), 1):
                self._extend(conn, stream, stream.wanted, holds)
            elif states and states[0] == "to_study":
                parts.own(conn, parts.of_stream(conn, stream.id)[0], [], claim.holder)
                claims.progress(conn, claim)
                if holds:
                    stream.parts[0].own(claim.holder, self.now + REMEMBERED)
                    stage.get_on()
            elif "to_study" in states or "to_mask" in states:
                left = states.count("to_study") or states.count("to_mask")
                messages = [outbox.put(conn, "scan", str(stream.id))]
                claims.park(conn, claim, left)
            elif "studied" in states:
                parts.to_mask(conn, stream.id)
                if holds:
                    for part in stream.parts:
                        part.status, part.failures, part.due = "to_mask", 0, 0.0
                        fresh = part.reserved > self.now
                        part.reserved = self.now + RESERVED if fresh else 0.0
            else:
                self._end(conn, claim, stage, Status.SUCCEEDED, holds)
        if holds and left:
            stage.park(left)
            dispatch.try_deliver(self.engine, messages)

    def _extend(self, conn: sa.Connection, stream: StreamModel, to: int, holds: bool) -> None:
        pieces = [(stream.run.id, Segment(n, n, 1)) for n in range(len(stream.parts), to)]
        parts.extend(conn, stream.id, pieces)
        if holds:
            stream.parts += [
                PartModel(part.id, stream, part.position)
                for part in parts.of_stream(conn, stream.id)[len(stream.parts) :]
            ]

    def _ahead(self, claim: Claim, stage: StageModel, to: int) -> None:
        """A stream of many rows that is being read gets parts; or its source takes some back."""
        holds = stage.holder is claim
        reading = [s for s in stage.run.streams if not s.explored and s.wanted > 1]
        if not reading:
            return
        stream = reading[-1]
        messages: list[int] = []
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            if to < len(stream.parts):
                parts.take_back(conn, stream.id, claim.run_id, to)
                if holds:
                    del stream.parts[to:]
            else:
                self._extend(conn, stream, min(to, stream.wanted), holds)
                messages = [outbox.put(conn, "scan", str(stream.id))]
        if holds:
            dispatch.try_deliver(self.engine, messages)

    def _end(
        self, conn: sa.Connection, claim: Claim, stage: StageModel, status: Status, holds: bool
    ) -> None:
        if stage.stream is None and status is Status.FAILED:
            claims.guard(conn, claim)
            ends.fail_unexplored(conn, claim.run_id, "broken")
        if stage.name is Stage.PII and stage.stream is not None:
            parts.forget(conn, stage.stream.id)
            conn.execute(
                sa.text(f"CREATE TABLE IF NOT EXISTS pipeline.staging_{stage.stream.id} ()")
            )
        ended = ends.finish(
            conn,
            claim,
            status,
            error=None if status is Status.SUCCEEDED else "broken",
            last=stage.name is STAGES[-1],
        )
        assert holds
        if stage.stream is None and status is Status.FAILED:
            stage.run.fail_unread()
        assert (ended is not None) == stage.finish(status)
        assert ended in (None, stage.run.status)

    def _finish(self, claim: Claim, stage: StageModel, status: Status) -> None:
        holds = stage.holder is claim
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            self._end(conn, claim, stage, status, holds)

    def _work(self, claim: Claim, stage: StageModel, *, on: bool = False) -> None:
        if stage.name is Stage.EXPLORE:
            self._explore(claim, stage, on)
        elif stage.name is Stage.PII:
            self._pii(claim, stage)
        else:
            self._finish(claim, stage, Status.SUCCEEDED)

    def _all_parts(self) -> list[PartModel]:
        return [part for stream in self.run.streams for part in stream.parts]

    def _claim_part(self, holder: str, lease: float) -> None:
        def busy(part: PartModel) -> int:
            return sum(p.lease is not None and p.lease > self.now for p in part.stream.parts)

        free = [
            part
            for part in self._all_parts()
            if part.looked_for
            and (part.lease is None or part.lease < self.now)
            and part.due <= self.now
            and (part.reserved <= self.now or part.studied_by == holder)
            and part.tried(self.now) < MAX_ATTEMPTS
        ]
        free.sort(
            key=lambda p: (
                p.stream.stages[0].left is None,
                busy(p),
                p.studied_by != holder,
                sum(each.claimed for each in p.stream.parts),
                p.stream.id,
                p.position,
            )
        )
        found = parts.claim(self.engine, holder=holder, lease=lease, max_attempts=MAX_ATTEMPTS)
        assert (None if found is None else found.id) == (free[0].id if free else None)
        if found is not None:
            free[0].take(found, self.now, lease)
            self.parts.append((found, free[0], holder))

    def _part_done(self, part: Part, model: PartModel, holder: str) -> None:
        holds = model.held_by(part)
        messages: list[int] = []
        study = {"evidence": [], "holder": holder} if part.status.value == "to_study" else {}
        with self._if(holds), self.engine.begin() as conn:
            messages = parts.done(conn, part, **study)
        if holds:
            assert bool(messages) == model.done(holder, self.now + REMEMBERED)
        dispatch.try_deliver(self.engine, messages)

    def _recover(self) -> None:
        with contextlib.suppress(TransientError):
            recovery.recover(self.engine, self.config)
        self.run.recover(self.now)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        with self.engine.begin() as conn:
            for statement in _PASS:
                values: dict[str, Any] = {"d": timedelta(seconds=seconds)}
                if ":run" in statement:
                    values["run"] = self.run.id
                conn.execute(sa.text(statement), values)

    def _check(self) -> None:
        run = self.run
        stages = run.stages
        expected = {
            "run": [run.status.value, run.status.ended, run.tries - 1],
            "streams": {str(s.id): [s.status.value, s.explored] for s in run.streams} or None,
            "stages": {
                str(s.id): [
                    s.status.value,
                    s.left is not None,
                    s.left,
                    s.holder is not None,
                    s.lease is not None,
                    s.outcomes + ["open"] * s.open,
                ]
                for s in stages
            },
            "parts": {
                str(p.id): [p.stream.id, p.status, p.failures, p.lease is not None]
                for p in self._all_parts()
            }
            or None,
        }
        with self.engine.connect() as conn:
            refs = [str(stream.id) for stream in run.streams]
            seen = dict(conn.execute(_SEEN, {"run": run.id, "refs": refs}).one()._mapping)
        messages = seen.pop("messages")
        assert seen == expected
        if run.status is Status.CANCELLED:
            assert messages == 0
        for claim, stage in self.claims[-1:]:
            assert claims.held(self.engine, claim) == (stage.holder is claim)
        for part, model, _ in self.parts[-1:]:
            assert parts.held(self.engine, part) == model.held_by(part)
        # What the model itself must never come to.
        assert run.ends == run.tries - run.active
        for stage in stages:
            assert stage.open == (stage.status is Status.RUNNING)
            assert not (stage.status.ended and stage.holder)
        for stream in run.streams:
            if stream.stages[0].left is not None:
                assert stream.stages[0].left == sum(part.waiting for part in stream.parts)

    def _honest(self, kind: str, ref: str) -> None:
        """What a worker that nothing happens to makes of a message."""
        if kind == "scan":
            before = len(self.parts)
            self._claim_part("honest:1", LEASES[0])
            if len(self.parts) > before:
                self._part_done(*self.parts[-1])
            return
        everything = [self.run, *self.old]
        chain = [run.explore for run in everything if run.id == ref]
        for stream in (stream for run in everything for stream in run.streams):
            if str(stream.id) == ref:
                chain = stream.stages
        for stage in chain:
            self._do(stage)
            if stage.status is not Status.SUCCEEDED:
                return

    def _do(self, stage: StageModel) -> None:
        found = self._claim(stage, "honest:1", LEASES[0])
        while isinstance(found, Claim) and stage.holder is found:
            self._work(found, stage)

    def _retry(self, run: RunModel) -> None:
        refused: Any = contextlib.nullcontext()
        if run is not self.run:
            refused = pytest.raises(Conflict)
        elif run.active:
            refused = pytest.raises(ActiveRun)
        elif run.status is Status.SUCCEEDED:
            refused = pytest.raises(Conflict, match="nothing to retry")
        with self.engine.connect() as conn:
            staged = set(staging.left(cursor(conn)))
        with refused as caught:
            retry.retry(self.engine, self.config, run.id, actor="test")
        if caught is None:
            run.retry(staged)
        self._check()

    def _settle(self) -> None:
        """All that was sent is lost; time passes, recovery does its work, and workers what they
        are sent then."""
        self.broker.away = False
        self._deliver()
        self.broker.waiting.clear()
        for _ in range(3):
            self._pass(STEPS[-1])
            self._recover()
            self._check()
            while self.broker.waiting:
                self._honest(*self.broker.waiting.pop(0))
            self._check()
            if not self.run.active:
                return
        raise AssertionError("stuck")

    def teardown(self) -> None:
        for stack, *_ in self.writing:
            with contextlib.suppress(LostClaim):
                stack.close()
        if sys.exc_info()[0] is not None:
            return
        self._settle()
        if self.run.status is not Status.SUCCEEDED:
            self._retry(self.run)
            self._settle()
        assert self.run.status is Status.SUCCEEDED
        self._recover()
        with self.engine.connect() as conn:
            assert staging.left(cursor(conn)) == []
