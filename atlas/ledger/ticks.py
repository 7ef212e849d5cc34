"""Which periodic work there is, and how often each kind is done: for those who do it and for those
who look whether it is done."""

from __future__ import annotations

from atlas.settings import Settings

NAMES = ("relay", "recover", "fire", "measure", "deliver", "notify", "erase", "expire")

_RARE = frozenset({"recover", "erase", "measure"})
_HOUR = 3600.0


def interval(settings: Settings, name: str) -> float:
    """Seconds between two ticks of a kind."""
    if name == "expire":  # what it looks for is days old
        return _HOUR
    return settings.recovery_interval if name in _RARE else settings.relay_interval
