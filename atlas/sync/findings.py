"""What ``atlas doctor`` finds: how something is, and what helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from atlas.errors import AtlasError


class State(StrEnum):
    """How something is: ``warn`` is fine for now."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was seen, and what to do where it is not fine."""

    what: str
    state: State
    seen: str
    remedy: str | None = None


def judged(what: str, fine: bool, seen: str, remedy: str, otherwise: State = State.FAIL) -> Finding:
    """A finding that is ``otherwise``, with its remedy, unless it is fine."""
    return Finding(what, State.OK, seen) if fine else Finding(what, otherwise, seen, remedy)


def tried(what: str, look: Callable[[], Any], seen: str, remedy: str) -> Finding:
    """A finding that fails with what ``look`` raises; ``seen`` (or what it returns) else."""
    try:
        found = look()
    except AtlasError as error:
        return Finding(what, State.FAIL, str(error), remedy)
    return Finding(what, State.OK, seen or str(found))


def some(names: list[str], most: int = 5) -> str:
    """The first of ``names``, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
