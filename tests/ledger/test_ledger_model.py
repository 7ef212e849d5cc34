"""The ledger against a simple model: any order of what workers, zombies, recovery and users do.

After every step the tables are what the model says. At the end of every example time passes, and
recovery and workers that take up nothing but what they are sent bring the run to its end; a run
that did not succeed is retried then, and does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from atlas.errors import ActiveRun, LostClaim, RunEnded
from atlas.ledger import claims, ends, outbox, parts
from atlas.ledger.claims import Claim
from atlas.ledger.parts import Part
from atlas.model.stage import Stage, Status
from atlas.settings import Settings
from atlas.sync import cancel, dispatch
from tests.ledger.machine import DELAYS, LEASES, PATIENCE, STEPS, Broker, Driven
from tests.ledger.model import (
    MAX_ATTEMPTS,
    PartModel,
    StageModel,
)

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "30"))
ANY = st.integers(0, 9)
# Else no run would come far.
SELDOM = st.sampled_from([False, False, False, True])
HOLDERS = ["a:1", "a:2", "b:1"]


class Ledger(Driven):
    """One run after the other of one connection."""

    @initialize(
        wanted=st.lists(st.sampled_from([3, 2, 1]), min_size=1, max_size=3),
        ahead=st.sampled_from([2, 1, 0]),
    )
    def begin(self, wanted: list[int], ahead: int) -> None:
        """``ahead``: whether the source was read already, and parts are there to work on."""
        self.wanted = wanted
        if ahead:
            self._do(self.run.explore)
        for stream in self.run.streams if ahead == 2 else []:
            self._do(stream.stages[0])

    @invariant()
    def as_the_model_says(self) -> None:
        self._check()

    @rule(n=st.integers(0, 5), holder=st.sampled_from(HOLDERS), lease=st.sampled_from(LEASES))
    def claim_what_is_next(self, n: int, holder: str, lease: float) -> None:
        open_ = [stage for stage in self.run.stages if stage.is_next and not stage.status.ended]
        if open_:
            self._claim(open_[n % len(open_)], holder, lease)

    @rule(n=st.integers(0, 9), holder=st.sampled_from(HOLDERS), lease=st.sampled_from(LEASES))
    def claim_anything(self, n: int, holder: str, lease: float) -> None:
        stages = [stage for run in (self.run, *self.old) for stage in run.stages]
        self._claim(stages[n % len(stages)], holder, lease)

    def _some(self, n: int) -> tuple[Claim, StageModel]:
        # Mostly a claim that is good, else any there ever was.
        good = [item for item in self.claims if item[1].holder is item[0]]
        return good[n % len(good)] if n < 6 and good else self.claims[-1 - n % len(self.claims)]

    def _some_part(self, n: int) -> tuple[Part, PartModel, str]:
        good = [item for item in self.parts if item[1].held_by(item[0])]
        return good[n % len(good)] if n < 6 and good else self.parts[-1 - n % len(self.parts)]

    @precondition(lambda self: self.claims)
    @rule(n=ANY, on=st.booleans())
    def work(self, n: int, on: bool) -> None:
        claim, stage = self._some(n)
        self._work(claim, stage, on=on)

    @precondition(lambda self: self.claims)
    @rule(n=ANY)
    def work_to_the_end(self, n: int) -> None:
        claim, stage = self._some(n)
        self._work(claim, stage)
        while stage.holder is claim:
            self._work(claim, stage)

    @precondition(lambda self: self.claims)
    @rule(n=ANY, status=st.sampled_from([Status.FAILED, Status.BLOCKED]), really=SELDOM)
    def break_down(self, n: int, status: Status, really: bool) -> None:
        claim, stage = self._some(n)
        if stage.holder is not claim or really:
            self._finish(claim, stage, Status.FAILED if stage.stream is None else status)

    @precondition(lambda self: self.claims)
    @rule(n=ANY, really=SELDOM)
    def leave_streams_unread(self, n: int, really: bool) -> None:
        """The source ends well, and some streams of it did not."""
        claim, stage = self._some(n)
        if stage.stream is not None or not stage.run.streams or not really:
            return
        holds = stage.holder is claim
        unread = [stream for stream in stage.run.streams if not stream.explored]
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            for stream in unread:
                ends.end_stream(conn, stream.id, Status.FAILED, "incomplete")
                if holds:
                    stream.end(Status.FAILED)
            self._end(conn, claim, stage, Status.SUCCEEDED, holds)

    @precondition(lambda self: self.claims)
    @rule(n=ANY, lease=st.sampled_from(LEASES))
    def renew(self, n: int, lease: float) -> None:
        claim, stage = self._some(n)
        holds = stage.holder is claim
        assert claims.held(self.engine, claim) == holds
        assert claims.renew(self.engine, claim, lease) == holds
        if holds:
            stage.lease = self.now + lease

    @precondition(lambda self: self.claims)
    @rule(n=ANY, delay=st.sampled_from([None, *DELAYS]))
    def give_back(self, n: int, delay: float | None) -> None:
        claim, stage = self._some(n)
        holds = stage.holder is claim
        with self._if(holds), claims.transaction(self.engine, claim) as conn:
            if delay is None:
                claims.hand_back(conn, claim)
            else:
                claims.retry_later(conn, claim, delay=delay, error="busy", cause="transient")
            kind, ref = "run", claim.run_id
            if claim.run_stream_id is not None:
                kind, ref = "stream", str(claim.run_stream_id)
            outbox.put(conn, kind, ref, delay=delay or 0.0)
        if holds:
            stage.give_back("handed_back" if delay is None else "retry", self.now + (delay or 0.0))

    @precondition(lambda self: self.claims and len(self.writing) < 3)
    @rule(n=ANY)
    def begin_to_write(self, n: int) -> None:
        """A transaction that is open while other things happen."""
        claim, stage = self._some(n)
        stack = contextlib.ExitStack()
        conn = stack.enter_context(claims.transaction(self.engine, claim, idle=600))
        self.effects += 1
        conn.execute(sa.text("INSERT INTO pipeline.effect VALUES (:n)"), {"n": self.effects})
        self.writing.append((stack, claim, stage, self.effects))

    @precondition(lambda self: self.writing)
    @rule(n=st.integers(0, 2))
    def end_writing(self, n: int) -> None:
        stack, claim, stage, number = self.writing.pop(n % len(self.writing))
        holds = stage.holder is claim
        with self._if(holds):
            stack.close()
        with self.engine.connect() as conn:
            query = sa.text("SELECT count(*) FROM pipeline.effect WHERE n = :n")
            assert conn.execute(query, {"n": number}).scalar_one() == holds

    @rule(holder=st.sampled_from(HOLDERS), lease=st.sampled_from(LEASES))
    def claim_part(self, holder: str, lease: float) -> None:
        self._claim_part(holder, lease)

    @precondition(lambda self: self.parts)
    @rule(n=ANY)
    def end_part(self, n: int) -> None:
        self._part_done(*self._some_part(n))

    @precondition(lambda self: self.parts)
    @rule(n=ANY, lease=st.sampled_from(LEASES))
    def renew_part(self, n: int, lease: float) -> None:
        part, model, _ = self._some_part(n)
        holds = model.held_by(part)
        assert parts.held(self.engine, part) == holds
        assert parts.renew(self.engine, part, lease) == holds
        if holds:
            model.lease = self.now + lease

    @precondition(lambda self: self.parts)
    @rule(n=ANY, delay=st.sampled_from(DELAYS), failed=st.booleans())
    def give_part_back(self, n: int, delay: float, failed: bool) -> None:
        part, model, _ = self._some_part(n)
        holds = model.held_by(part)
        with self.engine.begin() as conn:
            messages = parts.give_back(
                conn, part, delay=delay, error="busy" if failed else None, failed=failed
            )
        assert bool(messages) == holds
        if holds:
            model.give_back(self.now + delay, failed=failed)

    @precondition(lambda self: self.parts)
    @rule(n=ANY, really=SELDOM)
    def fail_with_part(self, n: int, really: bool) -> None:
        part, model, _ = self._some_part(n)
        holds = model.held_by(part)
        if holds and not really:
            return
        with self._if(holds), self.engine.begin() as conn:
            found = claims.lock_unended(conn, part.run_stream_id, Stage.PII)
            if found is None or not parts.is_held(conn, part):
                raise LostClaim("the part is lost")
            stage_run_id, parked = found
            assert parked == (model.stream.stages[0].left is not None)
            if not parked:
                parts.spoil(conn, part, error="broken", max_attempts=MAX_ATTEMPTS)
                model.spoil()
                return
            claim = claims.seize(conn, stage_run_id, "x:1")
            assert claim is not None
            self._end(conn, claim, model.stream.stages[0], Status.FAILED, holds)

    @precondition(lambda self: self.run.streams)
    @rule(n=ANY, to=st.integers(0, 3))
    def read_on(self, n: int, to: int) -> None:
        """Explore cuts what it has committed; or a further attempt takes some of it back."""
        good = [item for item in self.claims if item[1] is self.run.explore]
        if good:
            self._ahead(*good[-1 - n % len(good) if n > 6 else -1], to)

    @rule()
    def freeze_with_part(self) -> None:
        """Its holder wakes up when another has it."""
        before = len(self.parts)
        self._claim_part(HOLDERS[0], LEASES[0])
        self._pass(STEPS[0])
        self._claim_part(HOLDERS[1], LEASES[0])
        for part, model, holder in self.parts[before:][:1]:
            if not model.held_by(part):
                assert not parts.renew(self.engine, part, LEASES[0])
                self._part_done(part, model, holder)

    @rule(seconds=st.sampled_from(STEPS))
    def time_passes(self, seconds: int) -> None:
        self._pass(seconds)

    @rule()
    def recover(self) -> None:
        self._recover()

    @precondition(lambda self: self.broker.waiting)
    @rule(n=st.integers(0, 9), twice=st.booleans())
    def take_message(self, n: int, twice: bool) -> None:
        message = self.broker.waiting.pop(n % len(self.broker.waiting))
        if twice:
            self.broker.waiting.append(message)
        self._honest(*message)

    @rule()
    def take_all_messages(self) -> None:
        while self.broker.waiting:
            self._honest(*self.broker.waiting.pop(0))

    @rule(n=st.integers(0, 5), times=st.integers(1, MAX_ATTEMPTS + 1), part=st.booleans())
    def die(self, n: int, times: int, part: bool) -> None:
        """Workers die one after the other, at the same stage or part."""
        open_ = [stage for stage in self.run.stages if stage.is_next and not stage.status.ended]
        for _ in range(times):
            if part:
                self._claim_part(HOLDERS[0], LEASES[0])
            elif open_:
                self._claim(open_[n % len(open_)], HOLDERS[0], LEASES[0])
            self._pass(STEPS[0])

    @rule(away=st.booleans())
    def lose_messages(self, away: bool) -> None:
        self.broker.waiting.clear()
        self.broker.away = away

    @rule(really=SELDOM, old=st.booleans())
    def cancel(self, really: bool, old: bool) -> None:
        if old and self.old:
            with pytest.raises(RunEnded):
                cancel.cancel(self.engine, self.config, self.old[-1].id, actor="test")
        elif not self.run.active:
            with pytest.raises(RunEnded):
                cancel.cancel(self.engine, self.config, self.run.id, actor="test")
        elif really:
            cancel.cancel(self.engine, self.config, self.run.id, actor="test")
            self.run.cancel()

    @rule(old=st.booleans())
    def user_retries(self, old: bool) -> None:
        self._retry(self.old[-1] if old and self.old else self.run)

    @rule(really=st.booleans())
    def request(self, really: bool) -> None:
        if self.run.active:
            with pytest.raises(ActiveRun):
                self._request()
        elif really:
            self.old.append(self.run)
            self._request()


@pytest.fixture
def engine(database_url: str, migrated_database: str) -> Iterator[sa.Engine]:
    """An engine on a migrated database; a crash may lose what it committed, which none does."""
    engine = sa.create_engine(
        database_url, pool_size=10, connect_args={"options": "-c synchronous_commit=off"}
    )
    with engine.begin() as conn:
        conn.execute(sa.text("CREATE TABLE pipeline.effect (n integer)"))
    yield engine
    engine.dispose()


def test_the_ledger_does_as_the_model(
    engine: sa.Engine,
    new_run: Callable[[], str],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker()
    monkeypatch.setattr(dispatch, "_send", broker.send)
    monkeypatch.setattr(dispatch, "waiting", broker.has)
    config = replace(
        Settings(),
        database_url=database_url,
        max_attempts=MAX_ATTEMPTS,
        redispatch_seconds=PATIENCE,
    )
    run_state_machine_as_test(
        lambda: Ledger(engine, config, broker, new_run),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize="LEDGER_EXAMPLES" not in os.environ,
            database=None,
            # Every example is played against a database: making one smaller would take minutes.
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
