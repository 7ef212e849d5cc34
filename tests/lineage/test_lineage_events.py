"""Events of runs and stages: valid by the official schemas, paired, chained, and discreet."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde

from atlas.lineage import events
from atlas.lineage.datasets import ColumnCounts, StreamInfo
from atlas.lineage.events import (
    ENDS,
    EventType,
    RunInfo,
    StageInfo,
    run_event,
    stage_event,
)
from atlas.lineage.naming import Identity, Place
from atlas.model.checks import CheckResult, Dimension, OnFailure, Outcome
from atlas.model.personal import Operator, Scope, Verdict
from atlas.model.stage import Stage, Status
from atlas.model.stream import Column, ColumnType, StreamKey
from tests.lineage.validator import validate

AT = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
RUN = RunInfo(
    run_id="0198c2f0-1111-7000-8000-000000000001",
    connection="shop",
    created_at=AT - timedelta(seconds=3),
    namespace="atlas",
)
PLACE = Place("db.example", 5433, "warehouse")
KINDS = (EventType.START, EventType.COMPLETE, EventType.FAIL, EventType.ABORT)


def _verdict(column: str, entity: str, operator: Operator, path: str = "") -> Verdict:
    return Verdict(column, path, entity, 0.9, Scope.VALUE, operator, 1.0, {"pattern": 3})


USERS = StreamInfo(
    connection="shop",
    connector="source-faker",
    stream=StreamKey("users"),
    raw_name="shop_users_raw",
    table_name="shop_users",
    quarantine_name="shop_users_quarantine",
    columns=(
        Column("id", "id", ColumnType.BIGINT, nullable=False),
        Column("E-Mail", "e_mail", ColumnType.TEXT),
        Column("address", "address", ColumnType.JSONB),
        Column("title", "title", ColumnType.TEXT),
    ),
    verdicts=(
        _verdict("e_mail", "EMAIL_ADDRESS", Operator.MASK),
        _verdict("address", "PERSON", Operator.REDACT, "$.name"),
        _verdict("address", "LOCATION", Operator.MASK, "$.street"),
        _verdict("address", "LOCATION", Operator.MASK, "$.city"),
        _verdict("title", "NRP", Operator.KEEP),
    ),
    rows_read=1000,
    rows_written=990,
    rows_quarantined=10,
    checks=(
        CheckResult(
            "users_id_present", Dimension.COMPLETENESS, "id", Outcome.PASS, 1.0, 0, "missing = 0"
        ),
        CheckResult(
            "users_mail_valid", Dimension.VALIDITY, "e_mail", Outcome.FAIL, 0.99, 10, "invalid = 0"
        ),
        CheckResult(
            "users_fresh", Dimension.TIMELINESS, None, Outcome.WARN, 0.0, None, "freshness < 1d"
        ),
        CheckResult(
            "users_rows", Dimension.ACCURACY, None, Outcome.ERROR, 0.0, None, "row_count > 0"
        ),
    ),
    metrics={"id": ColumnCounts(nulls=0, distinct=1000), "e_mail": ColumnCounts(nulls=4)},
)


def _stage(stage: Stage, fence: int = 1) -> StageInfo:
    return StageInfo(RUN, stage, 7, fence, None if stage is Stage.EXPLORE else USERS.stream)


def _made(stage: Stage, kind: EventType = EventType.COMPLETE, **facts: Any) -> dict[str, Any]:
    streams = facts.pop("streams", (USERS,))
    event = stage_event(kind, _stage(stage), AT, PLACE, streams, **facts)
    validate(event)
    return event


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [None, "connection shop: the source refused the login"])
def test_run_event_is_valid(kind: EventType, error: str | None) -> None:
    event = run_event(kind, RUN, AT, error=error)
    validate(event)
    assert event["eventType"] == kind.value
    assert event["eventTime"] == "2025-01-02T03:04:05.678901Z"
    assert event["run"]["runId"] == RUN.run_id
    assert event["job"]["namespace"] == "atlas"
    assert event["job"]["name"] == "shop"
    assert "parent" not in event["run"]["facets"]
    told = event["run"]["facets"].get("errorMessage", {}).get("message")
    assert told == error


@pytest.mark.parametrize("kind", [*KINDS, EventType.RUNNING])
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("known", ["all", "nothing yet", "no stream"])
def test_stage_event_is_valid(kind: EventType, stage: Stage, known: str) -> None:
    bare = StreamInfo(
        "shop", "source-faker", StreamKey("users"), "shop_users_raw", "shop_users", "shop_users_q"
    )
    streams = {"all": (USERS,), "nothing yet": (bare,), "no stream": ()}[known]
    event = _made(stage, kind, streams=streams, error="it broke" if kind in KINDS[2:] else None)
    parent = event["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == parent["root"]["run"]["runId"] == RUN.run_id
    assert parent["job"]["name"] == parent["root"]["job"]["name"] == "shop"


@pytest.mark.parametrize("kind", [*KINDS, EventType.RUNNING])
@pytest.mark.parametrize("stage", Stage)
def test_events_are_what_the_client_itself_makes_of_them(
    monkeypatch: pytest.MonkeyPatch, kind: EventType, stage: Stage
) -> None:
    made = []
    plain = events.plain

    def compared(value: Any) -> Any:
        found = plain(value)
        if isinstance(value, RunEvent):
            made.append((found, Serde.to_dict(value)))
        return found

    monkeypatch.setattr(events, "plain", compared)
    _made(stage, kind, error="it broke" if kind in KINDS[2:] else None)
    run_event(kind, RUN, AT)
    assert len(made) == 2
    for found, expected in made:
        assert json.dumps(found) == json.dumps(expected)


def test_every_end_has_its_event() -> None:
    assert set(ENDS) == {status for status in Status if status.ended}


def test_job_names() -> None:
    assert _made(Stage.EXPLORE)["job"]["name"] == "shop.explore"
    assert _made(Stage.CHART)["job"]["name"] == "shop.users.chart"


def test_attempt_keeps_its_run_id_and_the_next_has_another() -> None:
    started = _made(Stage.CHART, EventType.START)["run"]["runId"]
    assert _made(Stage.CHART, EventType.FAIL, error="no")["run"]["runId"] == started
    assert _stage(Stage.CHART, fence=2).run_id != started
    assert uuid.UUID(started).version == 7
    # The database may return the same moment under another offset.
    elsewhere = RunInfo(
        RUN.run_id, "shop", RUN.created_at.astimezone(timezone(timedelta(hours=2))), "atlas"
    )
    assert StageInfo(elsewhere, Stage.CHART, 7, 1, USERS.stream).run_id == started


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        run_event(EventType.START, RUN, AT.replace(tzinfo=None))


def _names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def test_datasets_chain_from_the_source_to_navigate() -> None:
    explore, chart, navigate = (
        _made(stage) for stage in (Stage.EXPLORE, Stage.CHART, Stage.NAVIGATE)
    )
    postgres = "postgres://db.example:5433"
    assert _names(explore["inputs"]) == [("airbyte://source-faker", "shop.users")]
    assert _names(explore["outputs"]) == [(postgres, "warehouse.explore.shop_users_raw")]
    assert _names(chart["inputs"]) == _names(explore["outputs"])
    assert _names(chart["outputs"]) == [
        (postgres, "warehouse.chart.shop_users"),
        (postgres, "warehouse.chart.shop_users_quarantine"),
    ]
    assert _names(navigate["inputs"]) == _names(chart["outputs"])[:1]
    assert _names(navigate["outputs"]) == [(postgres, "warehouse.navigate.shop_users")]
    for stage in (Stage.PII, Stage.QUALITY):
        event = _made(stage)
        assert _names(event["inputs"]) == _names(explore["outputs"])
        assert event["outputs"] == []


def test_explore_tells_of_all_streams_of_the_run() -> None:
    orders = StreamInfo(
        "shop", "source-faker", StreamKey("orders", "eu"), "o_raw", "o", "o_quarantine"
    )
    event = _made(Stage.EXPLORE, streams=(USERS, orders))
    assert [name for _, name in _names(event["inputs"])] == ["shop.users", "shop.eu.orders"]
    assert len(event["outputs"]) == 2


def test_every_column_leads_back_to_a_column_of_an_input() -> None:
    for stage in (Stage.EXPLORE, Stage.CHART, Stage.NAVIGATE):
        event = _made(stage)
        columns = {
            (dataset["namespace"], dataset["name"], field["name"])
            for dataset in event["inputs"]
            for field in dataset["facets"]["schema"]["fields"]
        }
        for output in event["outputs"]:
            told = output["facets"]["columnLineage"]["fields"]
            assert set(told) <= {field["name"] for field in output["facets"]["schema"]["fields"]}
            for field in told.values():
                for origin in field["inputFields"]:
                    assert (origin["namespace"], origin["name"], origin["field"]) in columns
            if stage is not Stage.EXPLORE:
                assert {"id", "e_mail", "address", "title"} <= set(told)


def test_column_lineage_marks_what_was_masked() -> None:
    told = _made(Stage.CHART)["outputs"][0]["facets"]["columnLineage"]["fields"]
    steps = {name: field["inputFields"][0]["transformations"] for name, field in told.items()}
    identity = [{"type": "DIRECT", "subtype": "IDENTITY", "masking": False}]
    assert steps["id"] == steps["title"] == identity
    assert [step["masking"] for step in steps["e_mail"]] == [True]
    assert [(step["masking"], step["description"]) for step in steps["address"]] == [
        (True, "mask LOCATION"),
        (True, "redact PERSON"),
    ]
    assert told["e_mail"]["inputFields"][0]["field"] == "data.E-Mail"


def test_schema_has_types_in_order() -> None:
    fields = _made(Stage.CHART)["outputs"][0]["facets"]["schema"]["fields"]
    assert [(field["name"], field["type"]) for field in fields[:3]] == [
        ("id", "bigint"),
        ("e_mail", "text"),
        ("address", "jsonb"),
    ]
    assert [field["ordinal_position"] for field in fields] == list(range(1, len(fields) + 1))


def test_masked_column_may_have_another_type_in_the_masked_layers() -> None:
    streams = (replace(USERS, masked_types={"id": ColumnType.TEXT}),)
    for stage in (Stage.CHART, Stage.NAVIGATE):
        fields = _made(stage, streams=streams)["outputs"][0]["facets"]["schema"]["fields"]
        assert (fields[0]["name"], fields[0]["type"]) == ("id", "text")


def test_statistics_are_what_was_counted_and_absent_otherwise() -> None:
    event = _made(Stage.CHART)
    assert event["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 1000
    counts = [output["outputFacets"]["outputStatistics"]["rowCount"] for output in event["outputs"]]
    assert counts == [990, 10]
    bare = StreamInfo("shop", "source-faker", StreamKey("users"), "r", "t", "q")
    event = _made(Stage.CHART, EventType.START, streams=(bare,))
    assert event["inputs"][0].get("inputFacets", {}) == {}
    assert event["outputs"][0].get("outputFacets", {}) == {}


def test_quality_tells_its_checks_and_counts_under_the_names_of_the_schema() -> None:
    checked = _made(Stage.QUALITY)["inputs"][0]
    names = {field["name"] for field in checked["facets"]["schema"]["fields"]}
    facets = checked["inputFacets"]
    metrics = facets["dataQualityMetrics"]
    assert metrics["rowCount"] == 1000
    assert metrics["columnMetrics"] == {
        "data.id": {"nullCount": 0, "distinctCount": 1000},
        "data.E-Mail": {"nullCount": 4},
    }
    assertions = {check["name"]: check for check in facets["dataQualityAssertions"]["assertions"]}
    assert {check["column"] for check in assertions.values() if "column" in check} <= names
    assert {name: check["success"] for name, check in assertions.items()} == {
        "users_id_present": True,
        "users_mail_valid": False,
        "users_fresh": False,
        "users_rows": False,
    }
    assert assertions["users_mail_valid"]["severity"] == "error"
    assert assertions["users_fresh"]["severity"] == "warn"
    assert assertions["users_mail_valid"]["params"] == {
        "outcome": "fail",
        "score": 0.99,
        "failedRows": 10,
    }


@pytest.mark.parametrize(
    ("definition", "failed", "detail", "told"),
    [
        ("  - missing_count(id) = 0", 3, {"value": 3}, ("0", "3")),
        ("  - invalid_count(e) = 0:\n      valid min: 0", 2, {"value": 2}, ("0", "2")),
        ("  - duplicate_count(a, b) <= 10:\n      name: x", 7, {}, ("<= 10", "7")),
        ("  - row_count > 0", None, {"value": 12}, ("> 0", "12")),
        ("  - failed rows:\n      fail condition: a > 1", 4, {}, ("0", "4")),
        ("  - failed rows:\n      fail: when > 3\n      fail query: x", 4, {}, (None, None)),
        # What these measure is a value of a row, or no count.
        ("  - max(salary) < 100", None, {"value": 99}, (None, None)),
        ("  - missing_percent(id) < 5", 3, {"value": 1.5}, (None, None)),
        ("  - row_count:\n      warn: when = 0", None, {"value": 0}, (None, None)),
    ],
)
def test_assertion_says_what_was_wanted_and_counted(
    definition: str, failed: int | None, detail: dict[str, Any], told: tuple[str | None, ...]
) -> None:
    check = replace(USERS.checks[1], definition=definition, failed_rows=failed, detail=detail)
    for outcome, wanted in ((Outcome.FAIL, told), (Outcome.ERROR, (None, None))):
        streams = (replace(USERS, checks=(replace(check, outcome=outcome),)),)
        checked = _made(Stage.QUALITY, streams=streams)["inputs"][0]
        (found,) = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
        assert (found.get("expected"), found.get("actual")) == wanted


def test_owner_and_tags_of_people_and_what_is_personal() -> None:
    streams = (replace(USERS, owner="Sales", tags=("core", "eu")),)
    people = [("core", "true", "USER", None), ("eu", "true", "USER", None)]
    for stage, side in (
        (Stage.PII, "inputs"),
        (Stage.CHART, "outputs"),
        (Stage.NAVIGATE, "outputs"),
    ):
        prefix = "data." if stage is Stage.PII else ""
        mail = "data.E-Mail" if prefix else "e_mail"
        for dataset in _made(stage, streams=streams)[side]:
            facets = dataset["facets"]
            assert [owner["name"] for owner in facets["ownership"]["owners"]] == ["Sales"]
            found = [
                (tag["key"], tag["value"], tag["source"], tag.get("field"))
                for tag in facets["tags"]["tags"]
            ]
            assert found == [
                *people,
                ("pii", "LOCATION", "ATLAS", f"{prefix}address"),
                ("pii", "PERSON", "ATLAS", f"{prefix}address"),
                ("pii", "EMAIL_ADDRESS", "ATLAS", mail),
                ("pii", "NRP", "ATLAS", f"{prefix}title"),
            ]
    source = _made(Stage.EXPLORE, streams=streams)["inputs"][0]["facets"]
    assert not {"ownership", "tags"} & set(source)
    bare = _made(Stage.CHART, streams=(replace(USERS, verdicts=()),))["outputs"][0]["facets"]
    assert not {"ownership", "tags"} & set(bare)


def test_source_has_its_other_name_where_that_is_known() -> None:
    identity = Identity("postgres://db.example:5432", "sales.public.users", "TABLE")
    orders = replace(USERS, stream=StreamKey("orders"))
    streams = tuple(replace(each, identities={USERS.stream: identity}) for each in (USERS, orders))
    users, others = (each["facets"] for each in _made(Stage.EXPLORE, streams=streams)["inputs"])
    assert users["symlinks"]["identifiers"] == [
        {
            "namespace": "postgres://db.example:5432",
            "name": "sales.public.users",
            "type": "TABLE",
        }
    ]
    assert "symlinks" not in others
    for stage in Stage:
        event = _made(stage, streams=streams[:1])
        told = [each for each in event["inputs"] + event["outputs"] if "symlinks" in each["facets"]]
        assert len(told) == (stage is Stage.EXPLORE)


def test_what_was_written_has_the_runs_version_once_it_is_written() -> None:
    for kind in KINDS:
        error = "no" if kind in KINDS[2:] else None
        facets = [each["facets"] for each in _made(Stage.CHART, kind, error=error)["outputs"]]
        versions = {each.get("version", {}).get("datasetVersion") for each in facets}
        assert versions == ({RUN.run_id} if kind is EventType.COMPLETE else {None})
    nothing = replace(USERS, rows_written=0)
    (navigate,) = _made(Stage.NAVIGATE, streams=(nothing,))["outputs"]
    assert "version" not in navigate["facets"]


def test_gate_that_only_warns_makes_every_check_a_warning() -> None:
    checks = tuple(replace(check, gate=OnFailure.WARN) for check in USERS.checks)
    streams = (replace(USERS, checks=checks),)
    checked = _made(Stage.QUALITY, streams=streams)["inputs"][0]
    assertions = checked["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert {check["severity"] for check in assertions} == {"warn"}


def test_error_tells_its_line_and_no_traceback() -> None:
    error = "stage chart: disk full\nTraceback (most recent call last):\n  row = 'ann@example.com'"
    event = _made(Stage.CHART, EventType.FAIL, error=error)
    facet = event["run"]["facets"]["errorMessage"]
    assert facet["message"] == "stage chart: disk full"
    assert "stackTrace" not in facet
    assert "ann@example.com" not in json.dumps(event)


def test_evidence_and_measured_values_stay_out() -> None:
    check = CheckResult(
        "c",
        Dimension.TIMELINESS,
        None,
        Outcome.FAIL,
        0.0,
        None,
        "freshness(x) < 1d",
        detail={"max": "1984-03-01 ann@example.com"},
    )
    verdict = replace(USERS.verdicts[0], evidence={"seen": "ann@example.com"})
    streams = (replace(USERS, checks=(check,), verdicts=(verdict,)),)
    for stage in Stage:
        assert "ann@example.com" not in json.dumps(_made(stage, streams=streams))


def test_event_is_the_same_each_time() -> None:
    assert json.dumps(_made(Stage.CHART)) == json.dumps(_made(Stage.CHART))
