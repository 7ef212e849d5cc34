"""The block ``quality`` of a connection, as a file or a request gives it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from atlas.errors import UsageError
from atlas.model.checks import Dimension, OnFailure
from atlas.model.quality import Quality, StreamQuality
from atlas.model.schedule import interval
from atlas.quality import own
from atlas.sync.entries import mapping

_OF_ALL = {"on_failure", "checks", "max_quarantined", "freshness"}


def quality(value: Any, where: str, base: Path | None, streams: Collection[str] | None) -> Quality:
    """The block that ``value`` is.

    Args:
        where: what errors begin with.
        base: folder that ``checks`` are paths below; None: ``checks`` are SodaCL themselves.
        streams: names of the connection's streams; None: all that the source offers.

    Raises:
        UsageError: something in it is wrong.
    """
    here = f"{where}: quality"
    entry = mapping(value or {}, here, {*_OF_ALL, "weights", "streams"})
    of_streams = _mapped(entry.get("streams"), f"{here}.streams", "streams")
    if streams is not None:
        for name in of_streams:
            if name not in streams:
                there = ", ".join(sorted(streams))
                raise UsageError(f"{here}.streams: there is no stream {name} (there are {there})")
    return Quality(
        on_failure=_gate(entry.get("on_failure"), f"{here}.on_failure") or OnFailure.QUARANTINE,
        checks=_checks(entry.get("checks"), f"{here}.checks", base, streams),
        max_quarantined=_share(entry.get("max_quarantined"), f"{here}.max_quarantined"),
        freshness=_time(entry.get("freshness"), f"{here}.freshness"),
        weights=_weights(entry.get("weights"), f"{here}.weights"),
        streams={
            name: _of_stream(given, f"{here}.streams.{name}", base, name)
            for name, given in of_streams.items()
        },
    )


def valid_for(block: Quality, where: str, streams: Collection[str] | None) -> None:
    """Refuse ``block`` where it speaks of streams that are not among ``streams``.

    Raises:
        UsageError: names what it speaks of.
    """
    quality(block.document(), where, None, streams)


def _of_stream(value: Any, here: str, base: Path | None, stream: str) -> StreamQuality:
    entry = mapping(value or {}, here, {*_OF_ALL, "gates"})
    gates = {}
    for check, given in _mapped(entry.get("gates"), f"{here}.gates", "checks").items():
        gate = _gate(given, f"{here}.gates: {check}")
        if gate is not None:
            gates[check] = gate
    return StreamQuality(
        on_failure=_gate(entry.get("on_failure"), f"{here}.on_failure"),
        checks=_checks(entry.get("checks"), f"{here}.checks", base, [stream]),
        max_quarantined=_share(entry.get("max_quarantined"), f"{here}.max_quarantined"),
        freshness=_time(entry.get("freshness"), f"{here}.freshness"),
        gates=gates,
    )


def _mapped(value: Any, here: str, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{here} must be a mapping with names of {what}")
    return {str(name): given for name, given in value.items()}


def _gate(value: Any, here: str) -> OnFailure | None:
    if value is None:
        return None
    if value not in list(OnFailure):
        raise UsageError(f"{here} must be block, quarantine or warn")
    return OnFailure(value)


def _share(value: Any, here: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{here} must be a share of the rows, from 0 to 1")
    return float(value)


def _time(value: Any, here: str) -> timedelta | None:
    if value is None:
        return None
    try:
        return interval(str(value))
    except ValueError as error:
        raise UsageError(f"{here} {error}") from error


def _weights(value: Any, here: str) -> dict[Dimension, float]:
    entry = mapping(value or {}, here, set(Dimension))
    for weight in entry.values():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= 1_000_000:
            raise UsageError(f"{here} must be numbers from 0 to 1,000,000")
    found = {Dimension(name): float(weight) for name, weight in entry.items()}
    if found and not any(found.get(dimension, 1.0) for dimension in Dimension):
        raise UsageError(f"{here}: one of them must be more than 0")
    return found


def _checks(
    value: Any, here: str, base: Path | None, streams: Collection[str] | None
) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        what = "SodaCL as text" if base is None else "the path of a SodaCL file"
        raise UsageError(f"{here} must be {what}")
    text, shown = value, here
    if base is not None:
        shown = f"{here}: {value}"
        try:
            text = (base / value).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{here}: cannot read {value}") from error
    try:
        own.validate(text, streams)
    except UsageError as error:
        raise UsageError(f"{shown}: {error}") from error
    return text
