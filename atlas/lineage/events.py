"""OpenLineage events of a run and of its stages: facts in, the event as a dict out.

Nothing here reads a clock, a setting or a database: the same facts make the same event, so a stage
that is delivered twice tells nothing twice. The run of a stage is one attempt at it; START and the
event that ends it carry the same id because both derive it from the ledger's facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from openlineage.client import facet_v2 as facet
from openlineage.client.constants import __version__ as client_version
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    JobFacet,
    OutputDatasetFacet,
    RunFacet,
)
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_static_uuid

from atlas import __version__
from atlas.lineage.datasets import Dataset, Origin, StreamInfo, flow
from atlas.lineage.naming import Place, job_name
from atlas.model.checks import CheckResult, OnFailure, Outcome
from atlas.model.source_code import SourceCode
from atlas.model.stage import Stage, Status
from atlas.model.stream import StreamKey

PRODUCER = f"urn:x-atlas:atlas-sync:{__version__}"
"""Who says all this, as OpenLineage's ``producer``."""

# A check that compares a number of rows with a bound: the first line of its SodaCL.
_COUNTS = re.compile(
    r"\s*- (?P<metric>row_count|(?:missing|invalid|duplicate)_count(?=\())[^\n]*?"
    r" (?P<sign>[<>!]?=|<|>) (?P<bound>\d+):?(?:\n|$)"
)
# One that wants no row of a kind, and has no threshold of its own.
_FAILED_ROWS = re.compile(r"\s*- failed rows:(?!.*^\s*(warn|fail):)", re.DOTALL | re.MULTILINE)

EventType = RunState
"""START, RUNNING, COMPLETE, FAIL, ABORT, OTHER."""

ENDS: dict[Status, EventType] = {
    Status.SUCCEEDED: EventType.COMPLETE,
    Status.FAILED: EventType.FAIL,
    Status.BLOCKED: EventType.FAIL,
    Status.CANCELLED: EventType.ABORT,
}
"""The event that an ended run or stage run is told by."""

_DESCRIPTIONS = {
    Stage.EXPLORE: "Reads the source and keeps its records as they came.",
    Stage.PII: "Searches the records for personal data and masks it.",
    Stage.QUALITY: "Checks the records and decides at the gate.",
    Stage.CHART: "Promotes checked and masked rows to the present of the stream.",
    Stage.NAVIGATE: "Opens and closes the versions that the run changed.",
    Stage.LINEAGE: "Completes the lineage of the stream's run.",
}


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run of a connection.

    Attributes:
        run_id: its UUID.
        connection: the connection's name, which is the job's.
        created_at: when it was requested, with a time zone; the run's nominal time.
        namespace: the namespace of Atlas's jobs (setting ``openlineage_namespace``).
        source_code: the file that the connection was applied from, where that is known.
    """

    run_id: str
    connection: str
    created_at: datetime
    namespace: str
    source_code: SourceCode | None = None


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One attempt at a stage.

    Attributes:
        run: the run it belongs to.
        stage: its stage.
        stage_run_id: id of its row in the ledger.
        fence: fence of the claim, which counts the attempts.
        stream: the stream it works on; None for ``explore``.
    """

    run: RunInfo
    stage: Stage
    stage_run_id: int
    fence: int
    stream: StreamKey | None = None

    @property
    def job(self) -> str:
        """The job's name."""
        return job_name(self.run.connection, self.stage, self.stream)

    @property
    def run_id(self) -> str:
        """The UUID (version 7) of this attempt as an OpenLineage run, the same however often
        it is asked for."""
        facts = f"{self.run.run_id}/{self.stage_run_id}/{self.fence}"
        return str(generate_static_uuid(self.run.created_at, facts.encode()))


def run_event(
    kind: EventType, run: RunInfo, at: datetime, *, error: str | None = None
) -> dict[str, Any]:
    """The event of a whole sync.

    Args:
        kind: what happened.
        run: the run.
        at: when it happened, with a time zone.
        error: the redacted line that a user reads, of a run that did not succeed.
    """
    facets = _job_facets(run, "SYNC", f"Syncs connection {run.connection}.")
    return _event(
        kind,
        at,
        run=Run(runId=run.run_id, facets=_run_facets(run, error)),
        job=Job(namespace=run.namespace, name=run.connection, facets=facets),
    )


def stage_event(
    kind: EventType,
    stage: StageInfo,
    at: datetime,
    place: Place,
    streams: tuple[StreamInfo, ...] = (),
    *,
    error: str | None = None,
) -> dict[str, Any]:
    """The event of one attempt at a stage.

    Args:
        kind: what happened.
        stage: the attempt.
        at: when it happened, with a time zone.
        place: the database of the layers.
        streams: the streams that it works on, with the counts that are known by now.
        error: the redacted line that a user reads, of an attempt that did not succeed.
    """
    parent = facet.parent_run
    run_facets = _run_facets(stage.run, error)
    run_facets["parent"] = parent.ParentRunFacet(
        run=parent.Run(runId=stage.run.run_id, facets=None),
        job=parent.Job(namespace=stage.run.namespace, name=stage.run.connection, facets=None),
        root=parent.Root(
            run=parent.RootRun(runId=stage.run.run_id, facets=None),
            job=parent.RootJob(
                namespace=stage.run.namespace, name=stage.run.connection, facets=None
            ),
        ),
        producer=PRODUCER,
    )
    job_facets = _job_facets(stage.run, "STAGE", _DESCRIPTIONS[stage.stage])
    statements = [stream.sql for stream in streams if stream.sql is not None]
    if statements:
        job_facets["sql"] = facet.sql_job.SQLJobFacet(
            query=";\n".join(statements), dialect="postgres", producer=PRODUCER
        )
    inputs, outputs = flow(stage.stage, place, streams)
    version = stage.run.run_id if kind is EventType.COMPLETE else None
    return _event(
        kind,
        at,
        run=Run(runId=stage.run_id, facets=run_facets),
        job=Job(namespace=stage.run.namespace, name=stage.job, facets=job_facets),
        inputs=[_input(dataset) for dataset in inputs],
        outputs=[_output(dataset, version) for dataset in outputs],
    )


def _event(
    kind: EventType,
    at: datetime,
    *,
    run: Run,
    job: Job,
    inputs: list[InputDataset] | None = None,
    outputs: list[OutputDataset] | None = None,
) -> dict[str, Any]:
    event = RunEvent(
        eventType=kind,
        eventTime=_time(at),
        run=run,
        job=job,
        inputs=inputs or [],
        outputs=outputs or [],
        producer=PRODUCER,
    )
    found: dict[str, Any] = plain(event)
    return found


def plain(value: Any) -> Any:
    """An object of the client as JSON has it: what its ``Serde.to_dict`` makes, in one pass where
    that takes two and asks of each value what it might be. Nothing of a sync is made so often."""
    kind: Any = type(value)
    if kind is str or kind is int or kind is bool or kind is float or value is None:
        return value
    if kind is list or kind is tuple:
        made = [plain(each) for each in value]
        return [each for each in made if each is not None and each != {}]
    if kind is dict:
        pairs = value.items()
    elif names := _fields(kind):
        pairs = ((name, getattr(value, name)) for name in names)
    else:
        return Serde.remove_nulls_and_enums(value)
    return {name: each for name, of in pairs if (each := plain(of)) is not None}


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in getattr(kind, "__attrs_attrs__", ()))


def _time(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("a time of an event needs its time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _run_facets(run: RunInfo, error: str | None) -> dict[str, RunFacet]:
    facets: dict[str, RunFacet] = {
        "nominalTime": facet.nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=_time(run.created_at), producer=PRODUCER
        ),
        "processing_engine": facet.processing_engine_run.ProcessingEngineRunFacet(
            version=__version__,
            name="Atlas",
            openlineageAdapterVersion=client_version,
            producer=PRODUCER,
        ),
    }
    if error is not None:
        # An error of Atlas is one line. What a caller lets through beyond it may be a traceback,
        # with values in it, so it stays here.
        line = next((line for line in error.splitlines() if line.strip()), "").strip()
        facets["errorMessage"] = facet.error_message_run.ErrorMessageRunFacet(
            message=line, programmingLanguage="PYTHON", producer=PRODUCER
        )
    return facets


def _job_facets(run: RunInfo, kind: str, description: str) -> dict[str, JobFacet]:
    facets: dict[str, JobFacet] = {
        "jobType": facet.job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="ATLAS", jobType=kind, producer=PRODUCER
        ),
        "documentation": facet.documentation_job.DocumentationJobFacet(
            description=description, producer=PRODUCER
        ),
    }
    if (code := run.source_code) is not None:
        facets["sourceCodeLocation"] = facet.source_code_location_job.SourceCodeLocationJobFacet(
            type="git",
            url=code.url,
            repoUrl=code.repository,
            path=code.path,
            version=code.version,
            producer=PRODUCER,
        )
    return facets


def _dataset_facets(dataset: Dataset) -> dict[str, DatasetFacet]:
    facets: dict[str, DatasetFacet] = {
        "dataSource": facet.datasource_dataset.DatasourceDatasetFacet(
            name=dataset.namespace, uri=dataset.namespace, producer=PRODUCER
        ),
        "documentation": facet.documentation_dataset.DocumentationDatasetFacet(
            description=dataset.description, producer=PRODUCER
        ),
    }
    if dataset.fields:
        facets["schema"] = facet.schema_dataset.SchemaDatasetFacet(
            fields=[
                facet.schema_dataset.SchemaDatasetFacetFields(
                    name=name, type=kind, ordinal_position=position, fields=None
                )
                for position, (name, kind) in enumerate(dataset.fields, start=1)
            ],
            producer=PRODUCER,
        )
    if dataset.identity is not None:
        facets["symlinks"] = facet.symlinks_dataset.SymlinksDatasetFacet(
            identifiers=[
                facet.symlinks_dataset.Identifier(
                    namespace=dataset.identity.namespace,
                    name=dataset.identity.name,
                    type=dataset.identity.type,
                )
            ],
            producer=PRODUCER,
        )
    if dataset.owner is not None:
        facets["ownership"] = facet.ownership_dataset.OwnershipDatasetFacet(
            owners=[facet.ownership_dataset.Owner(name=dataset.owner)], producer=PRODUCER
        )
    if dataset.tags:
        facets["tags"] = facet.tags_dataset.TagsDatasetFacet(
            tags=[
                facet.tags_dataset.TagsDatasetFacetFields(
                    key=tag.key, value=tag.value, source=tag.source, field=tag.field
                )
                for tag in dataset.tags
            ],
            producer=PRODUCER,
        )
    return facets


def _input(dataset: Dataset) -> InputDataset:
    facets: dict[str, InputDatasetFacet] = {}
    if dataset.rows is not None:
        facets["inputStatistics"] = (
            facet.input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=dataset.rows, producer=PRODUCER
            )
        )
    if dataset.checks:
        facets["dataQualityMetrics"] = _metrics(dataset)
        facets["dataQualityAssertions"] = (
            facet.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                assertions=[_assertion(check) for check in dataset.checks],
                producer=PRODUCER,
            )
        )
    return InputDataset(
        namespace=dataset.namespace,
        name=dataset.name,
        facets=_dataset_facets(dataset),
        inputFacets=facets,
    )


def _metrics(dataset: Dataset) -> InputDatasetFacet:
    metrics = facet.data_quality_metrics_input_dataset
    return metrics.DataQualityMetricsInputDatasetFacet(
        rowCount=dataset.rows,
        columnMetrics={
            name: metrics.ColumnMetrics(
                nullCount=counts.nulls, distinctCount=counts.distinct, quantiles=None
            )
            for name, counts in dataset.metrics.items()
        },
        producer=PRODUCER,
    )


def _assertion(check: CheckResult) -> facet.data_quality_assertions_dataset.Assertion:
    warns = check.gate is OnFailure.WARN or check.outcome is Outcome.WARN
    params = {
        "outcome": check.outcome.value,
        "score": check.score,
        "failedRows": check.failed_rows,
    }
    expected, actual = _measured(check)
    return facet.data_quality_assertions_dataset.Assertion(
        assertion=check.dimension.value,
        success=check.outcome is Outcome.PASS,
        column=check.column,
        severity="warn" if warns else "error",
        name=check.name,
        expected=expected,
        actual=actual,
        content=check.definition,
        contentType="sodacl",
        params=params,
    )


def _measured(check: CheckResult) -> tuple[str | None, str | None]:
    """What a check that counts rows wants and what it counted. Other measures may be values of a
    row, such as the largest."""
    if check.outcome is Outcome.ERROR:
        return None, None
    rows = check.failed_rows
    if _FAILED_ROWS.match(check.definition):
        wanted = "0"
    elif found := _COUNTS.match(check.definition):
        wanted = found["bound"] if found["sign"] == "=" else f"{found['sign']} {found['bound']}"
        if found["metric"] == "row_count":
            rows = check.detail.get("value")
    else:
        return None, None
    return wanted, None if rows is None else str(rows)


def _output(dataset: Dataset, version: str | None) -> OutputDataset:
    """An output; ``version``: the run that has written it, once it has."""
    dataset_facets = _dataset_facets(dataset)
    if version is not None and dataset.rows:
        dataset_facets["version"] = facet.dataset_version_dataset.DatasetVersionDatasetFacet(
            datasetVersion=version, producer=PRODUCER
        )
    if dataset.change is not None:
        change = facet.lifecycle_state_change_dataset
        dataset_facets["lifecycleStateChange"] = change.LifecycleStateChangeDatasetFacet(
            lifecycleStateChange=change.LifecycleStateChange(dataset.change), producer=PRODUCER
        )
    if dataset.origins:
        lineage = facet.column_lineage_dataset
        dataset_facets["columnLineage"] = lineage.ColumnLineageDatasetFacet(
            fields={
                name: lineage.Fields(inputFields=[_input_field(origin) for origin in origins])
                for name, origins in dataset.origins.items()
            },
            dataset=None,
            producer=PRODUCER,
        )
    facets: dict[str, OutputDatasetFacet] = {}
    if dataset.rows is not None:
        facets["outputStatistics"] = (
            facet.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=dataset.rows, producer=PRODUCER
            )
        )
    return OutputDataset(
        namespace=dataset.namespace,
        name=dataset.name,
        facets=dataset_facets,
        outputFacets=facets,
    )


def _input_field(origin: Origin) -> facet.column_lineage_dataset.InputField:
    lineage = facet.column_lineage_dataset
    return lineage.InputField(
        namespace=origin.namespace,
        name=origin.name,
        field=origin.field,
        transformations=[
            lineage.Transformation(
                type="DIRECT",
                subtype=step.subtype,
                masking=step.masking,
                description=step.description,
            )
            for step in origin.steps
        ],
    )
