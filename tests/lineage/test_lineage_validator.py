"""The validator itself: it has to be able to refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema.exceptions import ValidationError

from tests.lineage.semantics import wrong
from tests.lineage.validator import validate

_SPEC = "https://openlineage.io/spec"


def _event() -> dict[str, Any]:
    return {
        "eventType": "START",
        "eventTime": "2025-01-02T03:04:05.678Z",
        "producer": "urn:x-test:one",
        "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": "0198c2f0-0000-7000-8000-000000000001",
            "facets": {
                "nominalTime": {
                    "_producer": "urn:x-test:one",
                    "_schemaURL": f"{_SPEC}/facets/1-0-1/NominalTimeRunFacet.json"
                    "#/$defs/NominalTimeRunFacet",
                    "nominalStartTime": "2025-01-02T03:00:00Z",
                }
            },
        },
        "job": {"namespace": "atlas", "name": "shop"},
    }


def test_valid_event_passes() -> None:
    validate(_event())


def _facets(event: dict[str, Any]) -> dict[str, Any]:
    facets: dict[str, Any] = event["run"]["facets"]
    return facets


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda e: e["run"].update(runId="17"), "uuid"),
        (lambda e: e.update(eventTime="2025-01-02 03:04:05Z"), "date-time"),
        (lambda e: e.update(eventTime="2025-13-02T03:04:05Z"), "date-time"),
        (lambda e: e.update(producer="no uri"), "uri"),
        (lambda e: e.update(eventType="DONE"), "DONE"),
        (lambda e: e.pop("job"), "job"),
        (lambda e: _facets(e)["nominalTime"].pop("nominalStartTime"), "nominalStartTime"),
        (lambda e: _facets(e)["nominalTime"].update(nominalEndTime="soon"), "date-time"),
        (lambda e: _facets(e)["nominalTime"].pop("_producer"), "_producer"),
        (lambda e: _facets(e)["nominalTime"].update(_schemaURL="https://x.test/a#/b"), "official"),
        (lambda e: _facets(e).update(other=_facets(e)["nominalTime"]), "another key"),
        (lambda e: e["job"].update(facets=e["run"]["facets"]), "JobFacet"),
    ],
)
def test_broken_event_is_refused(break_it: Callable[[dict[str, Any]], Any], why: str) -> None:
    event = copy.deepcopy(_event())
    break_it(event)
    with pytest.raises(ValidationError, match=why):
        validate(event)


def _told(kind: str, run: str, parent: str | None, *data: tuple[str, str]) -> dict[str, Any]:
    """An event; ``data``: ``("inputs", name)`` or ``("outputs", name)``."""
    facets = {} if parent is None else {"parent": {"run": {"runId": parent}}}
    event = {"eventType": kind, "run": {"runId": run, "facets": facets}, "job": {"name": run}}
    event |= {"inputs": [], "outputs": []}
    for where, name in data:
        place = "airbyte://x" if name == "source" else "postgres://x"
        event[where].append({"namespace": place, "name": name})  # type: ignore[attr-defined]
    return event


READS, WRITES = (("inputs", "source"), ("outputs", "raw")), (("inputs", "raw"), ("outputs", "to"))
WHOLE = [
    _told("START", "run", None),
    _told("START", "explore", "run"),
    _told("RUNNING", "explore", "run"),
    _told("COMPLETE", "explore", "run", *READS),
    _told("START", "chart", "run"),
    _told("COMPLETE", "chart", "run", *WRITES),
    _told("FAIL", "run", None),
    _told("START", "run", None),  # resumed
    _told("COMPLETE", "run", None),
]


def test_what_belongs_together_is_not_complained_about() -> None:
    assert wrong(WHOLE) == []
    assert wrong(WHOLE[:3], {"run"}) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([*WHOLE, WHOLE[3]], "explore: an attempt with"),
        ([*WHOLE, WHOLE[1]], "explore: an attempt with"),
        ([*WHOLE, WHOLE[2]], "explore: an attempt with"),
        ([*WHOLE, _told("ABORT", "chart", "run")], "chart: an attempt with"),
        ([each for each in WHOLE if each is not WHOLE[4]], "chart: an attempt with"),
        (WHOLE[:-1], "run: a run with"),
        ([*WHOLE, WHOLE[-1]], "run: a run with"),
        (WHOLE[1:6], "explore: its parent run is not told of"),
        ([each for each in WHOLE if each["run"]["runId"] != "explore"], "told of writing raw"),
    ],
)
def test_what_does_not_belong_together_is_found(events: list[dict[str, Any]], said: str) -> None:
    assert any(said in each for each in wrong(events))
