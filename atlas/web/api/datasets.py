"""The catalog of datasets."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, g

from atlas.roles import Role
from atlas.sync import datasets
from atlas.web import etags
from atlas.web.answers import answer
from atlas.web.database import transaction
from atlas.web.dataset_models import (
    Dataset,
    DatasetChange,
    DatasetFilter,
    DatasetPage,
    DatasetSample,
    DatasetSampleFilter,
)
from atlas.web.operations import Operation, Returns

_RUN_ID = "0192f5a2-1111-7111-8111-123456789abc"
_AT = "2025-03-01T09:00:01Z"
_SAID: dict[str, Any] = {
    "description": "Customers and leads",
    "owner": "Sales",
    "tags": ["core", "gdpr"],
}
_STREAM: dict[str, Any] = {"connection": "shop", "stream": "users", "namespace": None}
_TABLE: dict[str, Any] = {
    "layer": "chart",
    "name": "shop_users",
    "estimated_rows": 990,
    "loaded_at": _AT,
}
_KNOWN: dict[str, Any] = {"status": "succeeded", "personal": ["EMAIL_ADDRESS"]}
_DATASET: dict[str, Any] = {
    "dataset": "shop_users",
    **_STREAM,
    **_SAID,
    "source_description": "Everybody who ever bought something",
    "described_by": "api: data steward",
    "described_at": _AT,
    "layers": [{**_TABLE, "rows": 1000}],
    "columns": [
        {
            "name": "email",
            "property": "email",
            "type": "text",
            "description": "Where invoices are sent",
            "source_description": "Where invoices are sent",
            "described_by": None,
            "described_at": None,
            "personal": [{"column": "email", "entity_type": "EMAIL_ADDRESS", "operator": "mask"}],
        }
    ],
    **_KNOWN,
    "quality": {"score": 0.98, "run_id": _RUN_ID, "checked_at": _AT, "status": "succeeded"},
    "runs": [
        {
            "run_id": _RUN_ID,
            "trigger": "schedule",
            "status": "succeeded",
            "created_at": "2025-03-01T09:00:00Z",
            "finished_at": _AT,
            "rows": {"explore": 1000, "promoted": 1000, "quarantined": 0},
        }
    ],
}
_CALLED = (
    "A dataset is called as its table in the layer: `chart/shop_users`, `explore/shop_users_raw`."
)


def list_datasets(query: DatasetFilter) -> Response:
    """A page of datasets."""
    with transaction() as conn:
        page = datasets.listed(
            conn,
            limit=query.limit,
            after=query.cursor,
            layer=query.layer,
            connection=query.connection,
            words=query.q,
            tag=query.tag,
            owner=query.owner,
            sort=query.sort,
        )
    return answer(page)


def get_dataset(layer: str, table: str) -> Response:
    """One dataset."""
    with transaction() as conn:
        found = datasets.show(conn, table, layer)
    return etags.shown(found, _tag(found))


def sample_dataset(layer: str, table: str, query: DatasetSampleFilter) -> Response:
    """Some of its rows."""
    with transaction() as conn:
        found = datasets.sample(
            conn,
            table,
            layer,
            limit=query.limit,
            actor=g.key.actor,
            may_unmask=g.key.may(Role.PRIVACY),
            why=query.why,
        )
    # Not before the audit trail has it.
    return answer(found)


def describe_dataset(layer: str, table: str, body: DatasetChange) -> Response:
    """Say what it is."""
    with transaction() as conn:
        found = datasets.describe(
            conn,
            table,
            msgspec.to_builtins(body),
            layer,
            actor=g.key.actor,
            seen=(lambda before: etags.see(_tag(before))) if etags.asked() else None,
        )
    return answer(found, headers={"ETag": _tag(found)})


_SAID_OF_IT = ("description", "owner", "tags", "described_by", "described_at")
_SAID_OF_COLUMNS = ("name", "description", "described_by", "described_at")


def _tag(dataset: dict[str, Any]) -> str:
    said = [dataset[part] for part in _SAID_OF_IT]
    said += [[each[part] for part in _SAID_OF_COLUMNS] for each in dataset["columns"]]
    return etags.of(dataset, said)


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/datasets",
        role=Role.VIEWER,
        tag="Datasets",
        summary="List or search datasets",
        about="A dataset stands there once for each layer that has it.",
        order="by name, then by layer; with `q` and without `sort` the best match first",
        handler=list_datasets,
        query=DatasetFilter,
        returns={
            200: Returns(
                DatasetPage,
                "A page.",
                example={
                    "items": [
                        {
                            "dataset": "shop_users",
                            **_TABLE,
                            **_STREAM,
                            **_SAID,
                            **_KNOWN,
                            "quality_score": 0.98,
                        }
                    ],
                    "next_cursor": None,
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/datasets/<layer>/<table>",
        role=Role.VIEWER,
        tag="Datasets",
        summary="Get what is known and said of a dataset",
        about=_CALLED,
        handler=get_dataset,
        edited=True,
        returns={200: Returns(Dataset, "The dataset.", example=_DATASET)},
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/datasets/<layer>/<table>/sample",
        role=Role.VIEWER,
        tag="Datasets",
        summary="Get some rows of a dataset",
        about="What stands in chart and navigate is masked. Rows of explore are as their source "
        "sent them: they take a key of role privacy and a reason, and who looked at which rows "
        "and why is written into the audit trail first.",
        handler=sample_dataset,
        query=DatasetSampleFilter,
        returns={
            200: Returns(
                DatasetSample,
                "The rows.",
                example={
                    "dataset": "shop_users",
                    "layer": "chart",
                    "name": "shop_users",
                    "masked": True,
                    "items": [{"row": {"id": "42", "email": "***@***"}, "cut": []}],
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="PATCH",
        path="/api/v1/datasets/<layer>/<table>",
        role=Role.OPERATOR,
        tag="Datasets",
        summary="Say what a dataset is",
        about="It holds for the dataset in all its layers and for every later run, and wins over "
        "what the source says. That it was said, not what, stands in the audit trail.",
        handler=describe_dataset,
        edited=True,
        body=DatasetChange,
        body_example={**_SAID, "columns": {"email": "Where invoices are sent"}},
        returns={200: Returns(Dataset, "The dataset, described.", example=_DATASET)},
        problems=(
            "malformed-request",
            "too-large",
            "unsupported-media-type",
            "invalid-request",
            "not-found",
        ),
    ),
]
