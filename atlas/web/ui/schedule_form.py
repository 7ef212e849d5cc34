"""The form of a schedule, in the wizard and on its own page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIELDS = ("when", "cron", "timezone", "every", "jitter", "overlap", "catch_up", "start", "end")

_USUAL = {"overlap": "skip", "catch_up": "one"}
_MORE = ("jitter", "overlap", "catch_up", "start", "end")


def shown(schedule: Mapping[str, Any] | None) -> dict[str, str]:
    """What the form shows of a schedule; None: there is none."""
    schedule = schedule or {}
    return {
        "when": "cron" if "cron" in schedule else "every" if "every" in schedule else "never",
        "cron": schedule.get("cron", "0 6 * * *"),
        "timezone": schedule.get("timezone", "UTC"),
        "every": schedule.get("every", "1h"),
        **{name: str(schedule.get(name) or _USUAL.get(name, "")) for name in _MORE},
    }


def asked(values: Mapping[str, str], before: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The schedule that the form says, as a connection has it.

    Args:
        values: by the fields' names; what the form did not show is left out.
        before: the schedule until now: one that is paused stays so.
    """
    if values.get("when") not in ("cron", "every"):
        return None
    found: dict[str, Any] = {}
    if (before or {}).get("paused"):
        found["paused"] = True
    if values["when"] == "cron":
        found |= {"cron": values["cron"], "timezone": values.get("timezone") or "UTC"}
    else:
        found["every"] = values["every"]
    for name in _MORE:
        text = values.get(name, "")
        if text and text != _USUAL.get(name):
            found[name] = text
    return found
