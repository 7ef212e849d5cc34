"""Entries of what a user writes: mappings whose keys are known."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

from atlas.errors import UsageError


def mapping(value: Any, where: str, known: Collection[str]) -> dict[str, Any]:
    """``value``, a mapping that has no other keys than ``known``.

    Raises:
        UsageError: it is none, or names the key, and the nearest that is known.
    """
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a mapping with {', '.join(sorted(known))}")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise UsageError(f"{where}: unknown key {key!r}: {hint}")
    return value
