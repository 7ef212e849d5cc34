"""The tables of schema ``pipeline``, as SQLAlchemy Core knows them.

The migrations under alembic/ create them; a test holds the two against each other. The database
itself enforces what must never be: two active runs of a connection, two stage runs of a kind.
"""

from __future__ import annotations

from atlas.ledger.tables.access import (
    account,
    api_key,
    audit,
    idempotency,
    login_count,
    login_link,
    session,
)
from atlas.ledger.tables.base import SCHEMA, metadata
from atlas.ledger.tables.catalog import dataset_index, dataset_note
from atlas.ledger.tables.connections import (
    connection,
    connector_state,
    state_history,
    stream_column,
    stream_table,
)
from atlas.ledger.tables.lineage import (
    lineage_delivery,
    lineage_edge,
    lineage_flow,
    lineage_sink,
)
from atlas.ledger.tables.metrics import measurement, measurement_total
from atlas.ledger.tables.operations import draft, key_mark, operation, secret_slot
from atlas.ledger.tables.results import (
    check_result,
    column_metric,
    erased,
    erasure,
    erasure_stream,
    finding,
    lineage_event,
    pii_change,
    pii_override,
    pii_policy,
    quality_score,
    quarantine,
    reprocessed_row,
    schema_change,
    source_change,
)
from atlas.ledger.tables.webhooks import outage, webhook, webhook_delivery
from atlas.ledger.tables.work import (
    attempt,
    outbox,
    run,
    run_log,
    run_stream,
    scan_part,
    segment,
    stage_run,
    tick,
    worker,
)

__all__ = [
    "SCHEMA",
    "account",
    "api_key",
    "attempt",
    "audit",
    "check_result",
    "column_metric",
    "connection",
    "connector_state",
    "dataset_index",
    "dataset_note",
    "draft",
    "erased",
    "erasure",
    "erasure_stream",
    "finding",
    "idempotency",
    "key_mark",
    "lineage_delivery",
    "lineage_edge",
    "lineage_event",
    "lineage_flow",
    "lineage_sink",
    "login_count",
    "login_link",
    "measurement",
    "measurement_total",
    "metadata",
    "operation",
    "outage",
    "outbox",
    "pii_change",
    "pii_override",
    "pii_policy",
    "quality_score",
    "quarantine",
    "reprocessed_row",
    "run",
    "run_log",
    "run_stream",
    "scan_part",
    "schema_change",
    "secret_slot",
    "segment",
    "session",
    "source_change",
    "stage_run",
    "state_history",
    "stream_column",
    "stream_table",
    "tick",
    "webhook",
    "webhook_delivery",
    "worker",
]
