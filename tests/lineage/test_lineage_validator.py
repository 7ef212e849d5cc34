"""The validator itself: it has to be able to refuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema.exceptions import ValidationError

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
