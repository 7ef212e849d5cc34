"""The wizard's form of rules: schedule, personal data, quality, changes at the source, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from werkzeug.datastructures import MultiDict

from atlas.errors import UsageError
from atlas.model.checks import Dimension
from atlas.web.ui import schedule_form
from atlas.web.ui.policies import as_lines, by_column

_PLAIN = (
    *schedule_form.FIELDS,
    *("policy", "on_failure", "max_quarantined", "freshness", "schema_changes"),
)
_TEXTS = ("checks", "columns", "by_stream")
_KIND, _WEIGHT = "entity:", "weight:"


def shown(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the form shows of a draft's document."""
    quality, pii = document.get("quality") or {}, document.get("pii") or {}
    share, weights = quality.get("max_quarantined"), quality.get("weights") or {}
    by_stream = quality.get("streams")
    return {
        **schedule_form.shown(document.get("schedule")),
        "policy": pii.get("policy", "default"),
        "entities": pii.get("entities") or {},
        "columns": as_lines(pii.get("columns") or {}),
        "on_failure": quality.get("on_failure", "quarantine"),
        "checks": quality.get("checks") or "",
        "max_quarantined": "" if share is None else _percent(share),
        "freshness": quality.get("freshness", ""),
        "weights": {name: _written(each) for name, each in weights.items()},
        "by_stream": json.dumps(by_stream, indent=2) if by_stream else "",
        "schema_changes": document.get("schema_changes", "evolve"),
    }


def typed(form: MultiDict[str, str]) -> dict[str, Any]:
    """What stands in the form, right or wrong."""
    return {
        **{name: form.get(name, "").strip() for name in _PLAIN},
        **{name: form.get(name, "").replace("\r\n", "\n").strip("\n") for name in _TEXTS},
        "entities": _named(form, _KIND),
        "weights": _named(form, _WEIGHT),
    }


def asked(values: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that the form says, as a connection has them: ``schedule``, ``pii``, ``quality``,
    ``schema_changes``.

    Args:
        values: of :func:`typed`. document: the draft's until now: a pause of its schedule stays.

    Raises:
        UsageError: a field cannot be read.
    """
    pii: dict[str, Any] = {"policy": values["policy"] or "default"}
    if values["entities"]:
        pii["entities"] = values["entities"]
    if columns := by_column(values["columns"]):
        pii["columns"] = columns
    return {
        "schedule": schedule_form.asked(values, document.get("schedule")),
        "quality": _quality(values),
        "pii": pii,
        "schema_changes": values["schema_changes"] or "evolve",
    }


def _quality(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"on_failure": values["on_failure"] or "quarantine"}
    if values["checks"].strip():
        found["checks"] = values["checks"] + "\n"
    if values["max_quarantined"]:
        found["max_quarantined"] = _share(values["max_quarantined"])
    if values["freshness"]:
        found["freshness"] = values["freshness"]
    if values["weights"]:
        found["weights"] = {name: _number(text) for name, text in values["weights"].items()}
    if values["by_stream"].strip():
        try:
            found["streams"] = json.loads(values["by_stream"])
        except (ValueError, RecursionError) as error:
            raise UsageError("quality by stream: it is not JSON") from error
    return found


def _named(form: MultiDict[str, str], start: str) -> dict[str, str]:
    """The fields that are named ``start`` and something, without those that are empty."""
    return {
        name.removeprefix(start): text.strip()
        for name, text in form.items()
        if name.startswith(start) and text.strip()
    }


def _written(number: float) -> str:
    """With all its digits: what nobody touches comes back as it was."""
    return repr(number).removesuffix(".0")


def _percent(share: float) -> str:
    """The same of a share, in percent; no float is multiplied, which would round."""
    return f"{Decimal(repr(share)).scaleb(2):f}"


def _share(text: str) -> float | str:
    number = text.removesuffix("%").strip()
    try:
        return float(Decimal(number).scaleb(-2))
    except ArithmeticError:
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


DIMENSIONS = [each.value for each in Dimension]
