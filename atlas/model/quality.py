"""How good the data of a connection have to be: its block ``quality``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from atlas.model.checks import Dimension, OnFailure
from atlas.model.stream import StreamKey


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """What is asked of one stream. None: what the connection asks.

    Attributes:
        on_failure: what a failed check does.
        checks: SodaCL for this stream, beside the connection's.
        max_quarantined: share of a run's rows, from 0 to 1; when more would be set aside, nothing
            is promoted.
        freshness: how old the latest value of the cursor may be.
        gates: what single checks do when they fail, by the check's name.
    """

    on_failure: OnFailure | None = None
    checks: str | None = None
    max_quarantined: float | None = None
    freshness: timedelta | None = None
    gates: Mapping[str, OnFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a stream, all in all.

    Attributes:
        origin: the key of the stream's own words, such as ``quality.streams.users``.
        on_failure: what a failed check does that ``gates`` does not name.
        checks: texts of SodaCL, each with the key it came by.
        max_quarantined, freshness: as in :class:`StreamQuality`; None: not asked.
        gates: what single checks do when they fail, by the check's name.
    """

    origin: str = "quality"
    on_failure: OnFailure = OnFailure.QUARANTINE
    checks: tuple[tuple[str, str], ...] = ()
    max_quarantined: float | None = None
    freshness: timedelta | None = None
    gates: Mapping[str, OnFailure] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """What is asked of a connection's streams.

    Attributes:
        on_failure, checks, max_quarantined, freshness: as in :class:`StreamQuality`, for all
            streams.
        weights: of dimensions in the overall score; 1 where none is given.
        streams: what is asked of single streams, by name.
    """

    on_failure: OnFailure = OnFailure.QUARANTINE
    checks: str | None = None
    max_quarantined: float | None = None
    freshness: timedelta | None = None
    weights: Mapping[Dimension, float] = field(default_factory=dict)
    streams: Mapping[str, StreamQuality] = field(default_factory=dict)

    def of(self, key: StreamKey) -> Asked:
        """What is asked of a stream: its own words, by ``namespace.name`` or ``name``, win."""
        name = str(key) if str(key) in self.streams else key.name
        own = self.streams.get(name, StreamQuality())
        origin = f"quality.streams.{name}"
        texts = (("quality.checks", self.checks), (f"{origin}.checks", own.checks))
        share, fresh = own.max_quarantined, own.freshness
        return Asked(
            origin=origin,
            on_failure=own.on_failure or self.on_failure,
            checks=tuple((key, text) for key, text in texts if text),
            max_quarantined=self.max_quarantined if share is None else share,
            freshness=self.freshness if fresh is None else fresh,
            gates=own.gates,
        )

    def texts(self) -> tuple[str, ...]:
        """All texts of SodaCL."""
        given = (self.checks, *(own.checks for own in self.streams.values()))
        return tuple(text for text in given if text)

    def document(self) -> dict[str, Any]:
        """As JSON: what is not asked is left out, but for ``on_failure`` and ``checks``."""
        document = {"on_failure": self.on_failure.value, "checks": self.checks} | _limits(self)
        if self.weights:
            document["weights"] = {name.value: weight for name, weight in self.weights.items()}
        if self.streams:
            document["streams"] = {name: _document(own) for name, own in self.streams.items()}
        return document

    @classmethod
    def restore(cls, document: Mapping[str, Any]) -> Quality:
        """What :meth:`document` made ``document`` of."""
        return cls(
            on_failure=OnFailure(document["on_failure"]),
            checks=document["checks"],
            max_quarantined=document.get("max_quarantined"),
            freshness=_restored_time(document),
            weights={Dimension(k): v for k, v in document.get("weights", {}).items()},
            streams={name: _restored(own) for name, own in document.get("streams", {}).items()},
        )


def _limits(asked: Quality | StreamQuality) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if asked.max_quarantined is not None:
        limits["max_quarantined"] = asked.max_quarantined
    if asked.freshness is not None:
        limits["freshness"] = f"{int(asked.freshness.total_seconds())}s"
    return limits


def _restored_time(document: Mapping[str, Any]) -> timedelta | None:
    text = document.get("freshness")
    return None if text is None else timedelta(seconds=int(text.removesuffix("s")))


def _document(own: StreamQuality) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if own.on_failure is not None:
        document["on_failure"] = own.on_failure.value
    if own.checks is not None:
        document["checks"] = own.checks
    document |= _limits(own)
    if own.gates:
        document["gates"] = {check: gate.value for check, gate in own.gates.items()}
    return document


def _restored(document: Mapping[str, Any]) -> StreamQuality:
    given = document.get("on_failure")
    return StreamQuality(
        on_failure=None if given is None else OnFailure(given),
        checks=document.get("checks"),
        max_quarantined=document.get("max_quarantined"),
        freshness=_restored_time(document),
        gates={check: OnFailure(gate) for check, gate in document.get("gates", {}).items()},
    )
