"""What the ledger is to do, in plain Python: the reference that the real one is held against.

Time is a number that only the test moves. There are no fences here: a claim holds as long as it is
the very object that its stage, or its part, names as its holder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from atlas.model.stage import Stage, Status, worst

STAGES = [Stage.EXPLORE, Stage.PII, Stage.QUALITY, Stage.LINEAGE]
MAX_ATTEMPTS = 3
_ACTIVE = (Status.QUEUED, Status.RUNNING)
_NEXT = {"to_study": "studied", "to_mask": "masked"}


@dataclass(eq=False)
class PartModel:
    """A part of a stream; ``claimed``: how often it was claimed, or given back."""

    id: int
    stream: StreamModel
    position: int
    status: str = "to_study"
    holder: object = None
    lease: float | None = None
    due: float = 0.0
    failures: int = 0
    studied_by: str | None = None
    reserved: float = 0.0
    claimed: int = 0

    @property
    def waiting(self) -> bool:
        return self.status in _NEXT

    @property
    def looked_for(self) -> bool:
        """Whether its stage waits for it, or it can be studied before that begins."""
        stage, first = self.stream.stages[0], self.stream.parts[0]
        if stage.left is not None:
            return self.waiting
        return (
            stage.status is Status.QUEUED
            and self.status == "to_study"
            and (self is first or first.status == "studied")
        )

    def own(self, by: str, fresh: float) -> None:
        """Its stage's own holder has studied it, whoever else did."""
        self.status, self.studied_by, self.reserved = "studied", by, fresh
        self.holder = self.lease = None
        self.failures, self.due = 0, 0.0

    def spoil(self) -> None:
        """It is done for, and so is its stage when that begins."""
        self.holder = self.lease = None
        self.failures, self.due = MAX_ATTEMPTS, float("inf")
        self.claimed += 1

    def tried(self, now: float) -> int:
        """Attempts that failed, one whose holder died among them."""
        return self.failures + (self.lease is not None and self.lease < now)

    def held_by(self, holder: object) -> bool:
        return self.holder is holder and self in self.stream.parts

    def take(self, holder: object, now: float, lease: float) -> None:
        self.failures = self.tried(now)
        self.holder, self.lease, self.due = holder, now + lease, 0.0
        self.claimed += 1

    def done(self, by: str, fresh: float) -> bool:
        """Whether it was the last that its stage waited for; or, before that begins, the first."""
        if self.status == "to_study":
            self.studied_by, self.reserved = by, fresh
        self.status = _NEXT[self.status]
        self.holder = self.lease = None
        self.failures = 0
        stage = self.stream.stages[0]
        if stage.left is None:
            return self.position == 0
        stage.left -= 1
        stage.get_on()
        return stage.left == 0

    def give_back(self, due: float, *, failed: bool) -> None:
        self.holder = self.lease = None
        self.due = due
        self.failures += failed
        self.claimed += 1


@dataclass(eq=False)
class StageModel:
    """A stage of a run or of one of its streams; ``left`` is None unless it is parked."""

    id: int
    name: Stage
    run: RunModel
    stream: StreamModel | None = None
    status: Status = Status.QUEUED
    holder: object = None
    lease: float | None = None
    due: float = 0.0
    left: int | None = None
    lost: int = 0
    got_on: bool = False
    open: bool = False
    outcomes: list[str] = field(default_factory=list)

    @property
    def is_next(self) -> bool:
        """Whether all before it is done, and its run is not over."""
        if self.run.status not in _ACTIVE:
            return False
        if self.stream is None:
            return True
        before = self.stream.stages[: self.stream.stages.index(self)]
        return self.stream.explored and all(s.status is Status.SUCCEEDED for s in before)

    def is_dead(self, now: float) -> bool:
        return self.status is Status.RUNNING and self.lease is not None and self.lease < now

    def can_be_claimed(self, now: float) -> bool:
        return self.is_next and (
            (self.status is Status.QUEUED and self.due <= now)
            or (self.status is Status.RUNNING and self.left == 0)
            or (self.is_dead(now) and self.lost + 1 < MAX_ATTEMPTS)
        )

    def take(self, holder: object, now: float, lease: float) -> None:
        if self.left is None:
            self.end_attempt("lost")
            self.open = True
            self.got_on = False
        self.left, self.status, self.due = None, Status.RUNNING, 0.0
        self.holder, self.lease = holder, now + lease
        if self.run.status is Status.QUEUED:
            self.run.status = Status.RUNNING
        if self.stream is not None and self.stream.status is Status.QUEUED:
            self.stream.status = Status.RUNNING

    def get_on(self) -> None:
        self.lost, self.got_on = 0, True

    def end_attempt(self, outcome: str) -> None:
        if self.open:
            self.outcomes.append(outcome)
            self.lost += outcome == "lost" and not self.got_on
        self.open = False

    def park(self, parts: int) -> None:
        self.left, self.holder, self.lease = parts, None, None

    def give_back(self, outcome: str, due: float = 0.0) -> None:
        """Queued again, for whoever comes."""
        self.end_attempt(outcome)
        self.status, self.due, self.holder, self.lease = Status.QUEUED, due, None, None

    def finish(self, status: Status) -> bool:
        """Whether the run ended with it."""
        self.end_attempt(status.value)
        self.status, self.holder, self.lease, self.left = status, None, None, None
        if self.stream is not None:
            if self.name is Stage.PII:
                self.stream.parts.clear()
            if status is Status.SUCCEEDED and self is not self.stream.stages[-1]:
                return False
            self.stream.end(status)
        return self.run.end_if_done()


@dataclass(eq=False)
class StreamModel:
    """A stream of a run; ``wanted`` is into how many parts it is cut."""

    id: int
    run: RunModel
    wanted: int
    status: Status = Status.QUEUED
    explored: bool = False
    stages: list[StageModel] = field(default_factory=list)
    parts: list[PartModel] = field(default_factory=list)

    def end(self, status: Status) -> None:
        self.status = status
        self.parts.clear()
        for stage in self.stages:
            if stage.status is Status.QUEUED:
                stage.status = Status.CANCELLED


@dataclass(eq=False)
class RunModel:
    """A run; ``ends`` counts how often it ended, ``tries`` how often it was begun."""

    id: str
    status: Status = Status.QUEUED
    explore: StageModel = None  # type: ignore[assignment]
    streams: list[StreamModel] = field(default_factory=list)
    ends: int = 0
    tries: int = 1

    @property
    def active(self) -> bool:
        return self.status in _ACTIVE

    @property
    def stages(self) -> list[StageModel]:
        return [self.explore, *(stage for stream in self.streams for stage in stream.stages)]

    def end_if_done(self) -> bool:
        all_of_it = [self.explore.status, *(stream.status for stream in self.streams)]
        if not self.active or not all(status.ended for status in all_of_it):
            return False
        self.status = worst(all_of_it)
        self.ends += 1
        return True

    def fail_unread(self) -> None:
        for stream in self.streams:
            if not stream.explored and stream.status in _ACTIVE:
                stream.end(Status.FAILED)

    def recover(self, now: float) -> None:
        """Dead leases are freed, what used up its attempts is given up."""
        for stage in self.stages:
            if not (stage.is_next and stage.is_dead(now)):
                continue
            if stage.lost + 1 < MAX_ATTEMPTS:
                stage.give_back("lost")
                continue
            if stage is self.explore:
                self.fail_unread()
            stage.finish(Status.FAILED)
        for stream in self.streams:
            parked = bool(stream.stages) and stream.stages[0].left is not None
            if parked and any(p.waiting and p.tried(now) >= MAX_ATTEMPTS for p in stream.parts):
                stream.stages[0].finish(Status.FAILED)

    def cancel(self) -> None:
        for stage in self.stages:
            if stage.status in _ACTIVE:
                stage.end_attempt("cancelled")
                stage.status, stage.holder, stage.left = Status.CANCELLED, None, None
                stage.lease = None
        for stream in self.streams:
            stream.parts.clear()
            if stream.status in _ACTIVE:
                stream.status = Status.CANCELLED
        self.status = Status.CANCELLED
        self.ends += 1

    def retry(self, staged: set[int]) -> None:
        """A user has it done again, from where each stream stopped."""
        explore = self.explore.status is not Status.SUCCEEDED
        for stream in self.streams:
            if stream.status is Status.SUCCEEDED:
                continue
            explore = explore or not stream.explored
            stream.status = Status.QUEUED
            first = 0
            if stream.explored and stream.id in staged:
                done = [stage.status is Status.SUCCEEDED for stage in stream.stages]
                first = done.index(False)
            for stage in stream.stages[first:]:
                stage.status, stage.due, stage.lost = Status.QUEUED, 0.0, 0
        if explore:
            self.explore.status, self.explore.due, self.explore.lost = Status.QUEUED, 0.0, 0
        self.status = Status.QUEUED
        self.tries += 1
