"""What the HTTP interface takes and gives of connectors and connections, as types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from atlas.connectors.catalog import Entry
from atlas.connectors.masking import MASK
from atlas.ledger.operations import Kind
from atlas.model.evolution import Change, SchemaPolicy
from atlas.web.models import (
    ConnectionName,
    ConnectorName,
    Count,
    Cursor,
    Document,
    NextCursor,
    Time,
    UploadName,
)


class OperationStatus(StrEnum):
    """Where an operation stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


ConnectorVersion = Annotated[
    Annotated[str, Meta(max_length=100)] | None,
    Meta(description="The connector's version; null: the current one, or else the catalog's."),
]


class ConnectorFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which connectors, and how many of them at once."""

    q: Annotated[
        str | None, Meta(description="Only those with this text in their name or title.")
    ] = None
    category: Annotated[str | None, Meta(description="Only those of this category.")] = None
    install: Annotated[str | None, Meta(description="Only those that come this way.")] = None
    installed: Annotated[
        bool | None, Meta(description="Only those that are installed here, or are not.")
    ] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="Most connectors on a page.")] = 100
    cursor: Cursor = None


class Connector(Entry, frozen=True, kw_only=True):
    """A connector of the catalog."""

    installed: Annotated[
        str | None,
        Meta(description="The version that is current here; null: not installed, or an image."),
    ]


class ConnectorPage(msgspec.Struct):
    """A page of connectors, by name."""

    items: list[Connector]
    next_cursor: NextCursor


class UploadFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many files at once."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Most files on a page.")] = 100
    cursor: Cursor = None


class Upload(msgspec.Struct):
    """A file that was sent."""

    name: UploadName
    path: Annotated[
        str, Meta(description="Where it is: what the configuration of source-files says.")
    ]
    bytes: Count
    modified_at: Time


class UploadPage(msgspec.Struct):
    """A page of files, by name."""

    items: list[Upload]
    next_cursor: NextCursor


class UploadRemoved(msgspec.Struct):
    """The file that is gone."""

    name: UploadName


class ConnectorSpec(msgspec.Struct):
    """What a connector's configuration has to be."""

    name: ConnectorName
    version: str
    spec: Annotated[Document, Meta(description="A JSON schema.")]


class ConnectorConfig(msgspec.Struct, forbid_unknown_fields=True):
    """A configuration to try. It is kept encrypted until the operation ends, and then wiped."""

    config: Annotated[
        Document,
        Meta(description="As the connector's spec asks for it, without `${env:…}` or `${file:…}`."),
    ]
    version: ConnectorVersion = None


class SpecFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Of which version."""

    version: ConnectorVersion = None


class InstallRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to install."""

    version: ConnectorVersion = None


class OperationAccepted(msgspec.Struct):
    """The operation that was asked for; it waits for a worker."""

    operation_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    status: OperationStatus


class AsyncOperation(msgspec.Struct):
    """A question to a connector. Poll until `finished_at` is there."""

    operation_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    kind: Kind
    connector: str
    status: OperationStatus
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    expires_at: Annotated[
        Time | None, Meta(description="Until when it can be read, once it has ended.")
    ]
    result: Annotated[
        Document | None,
        Meta(
            description="Once it succeeded: name and version of the connector; of `spec` also "
            "`spec`, of `discover` also `streams`."
        ),
    ]
    error: Annotated[str | None, Meta(description="Once it failed: why, in one line.")]


_STREAMS = (
    "By stream: `sync_mode`, `cursor_field`, `primary_key`, each optional; or only names; null: "
    "all that the source offers."
)
_VERSION = "The connector's version that is run; null: the one that is current."
_CHANGES = "What becomes of changes at the source: evolve (unless set), freeze or fail."
_QUALITY = "`on_failure` (block, quarantine, warn) and `checks`, SodaCL as text."


class ConnectionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A connection, as in a connections file."""

    name: ConnectionName
    connector: ConnectorName
    config: Annotated[
        Document,
        Meta(description="As the connector's spec asks for it, without `${env:…}` or `${file:…}`."),
    ] = {}
    streams: Annotated[
        list[str] | dict[str, Document | None] | None, Meta(description=_STREAMS)
    ] = None
    version: Annotated[str | None, Meta(description=_VERSION)] = None
    schema_changes: Annotated[SchemaPolicy | None, Meta(description=_CHANGES)] = None
    schedule: Annotated[
        Document | None, Meta(description="`cron` and `timezone`, or `every`; null: none.")
    ] = None
    pii: Annotated[Document | None, Meta(description="`policy`, `entities`, `columns`.")] = None
    quality: Annotated[Document | None, Meta(description=_QUALITY)] = None


class ConnectionChange(msgspec.Struct, forbid_unknown_fields=True):
    """What is to change of a connection; what is left out stays. Each value replaces the whole one;
    null is what a new connection has."""

    connector: ConnectorName | msgspec.UnsetType = msgspec.UNSET
    config: Annotated[
        Document | msgspec.UnsetType,
        Meta(description=f"In it `{MASK}` stands for the value that is stored there."),
    ] = msgspec.UNSET
    streams: Annotated[
        list[str] | dict[str, Document | None] | msgspec.UnsetType | None,
        Meta(description=_STREAMS),
    ] = msgspec.UNSET
    version: Annotated[str | msgspec.UnsetType | None, Meta(description=_VERSION)] = msgspec.UNSET
    schema_changes: Annotated[
        SchemaPolicy | msgspec.UnsetType | None, Meta(description=_CHANGES)
    ] = msgspec.UNSET
    schedule: Document | msgspec.UnsetType | None = msgspec.UNSET
    pii: Document | msgspec.UnsetType | None = msgspec.UNSET
    quality: Annotated[Document | msgspec.UnsetType | None, Meta(description=_QUALITY)] = (
        msgspec.UNSET
    )


class SourceCode(msgspec.Struct):
    """The connections file that a connection was applied from, at a commit of its repository."""

    url: Annotated[str, Meta(description="The file's page on the web, at that commit.")]
    repository: str
    path: Annotated[str, Meta(description="The file's path in the repository.")]
    version: Annotated[str, Meta(description="The commit.")]


class ConnectionSummary(msgspec.Struct, kw_only=True):
    """A connection without its configuration."""

    name: ConnectionName
    connector: str | None
    executable: Annotated[
        str | None, Meta(description="The program that is its source, if it is no connector.")
    ]
    version: Annotated[str | None, Meta(description=_VERSION)]
    schema_changes: Annotated[SchemaPolicy, Meta(description=_CHANGES)]
    streams: Annotated[dict[str, Document] | None, Meta(description=_STREAMS)]
    schedule: Document | None
    pii: Document
    quality: Annotated[Document, Meta(description=_QUALITY)]
    source_code: Annotated[
        SourceCode | None,
        Meta(description="Null: it was not applied from a file whose commit is known."),
    ]
    created_at: Time
    updated_at: Time


class Connection(ConnectionSummary, kw_only=True):
    """A connection. No secret is ever in it."""

    config: Annotated[
        Document,
        Meta(
            description=f"`{MASK}` in the place of every secret, and of everything where the "
            "connector's spec is not known here."
        ),
    ]


class SourceChange(msgspec.Struct):
    """Something that a run found to be other at the source than before."""

    id: int
    stream: str
    namespace: str | None
    property: Annotated[str | None, Meta(description="The column; null: the stream as a whole.")]
    change: Change
    detail: Document
    run_id: str | None
    at: Time


class SourceChangePage(msgspec.Struct):
    """A page of changes, newest first."""

    items: list[SourceChange]
    next_cursor: NextCursor


class ChangesAccepted(msgspec.Struct):
    """The next sync takes the source as it is."""

    name: ConnectionName
    accepted: bool


class ConnectionPage(msgspec.Struct):
    """A page of connections."""

    items: list[ConnectionSummary]
    next_cursor: NextCursor


class ConnectionFilter(msgspec.Struct, forbid_unknown_fields=True):
    """In which order, and how many connections at once."""

    sort: Annotated[
        Literal["name", "-name"], Meta(description="By name, or, with a minus, the other way.")
    ] = "name"
    limit: Annotated[int, Meta(ge=1, le=200, description="Most connections on a page.")] = 50
    cursor: Cursor = None


class SourceChangeFilter(msgspec.Struct, forbid_unknown_fields=True):
    """How many changes at once."""

    limit: Annotated[int, Meta(ge=1, le=200, description="Most changes on a page.")] = 50
    cursor: Cursor = None


class ConnectionChangeOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a change may take along."""

    reset_state: Annotated[
        bool,
        Meta(description="Forget the state of streams that get another cursor or primary key."),
    ] = False


class ConnectionRemoval(msgspec.Struct, forbid_unknown_fields=True):
    """What goes with a connection."""

    drop_data: Annotated[
        bool,
        Meta(description="Also drop its tables in every layer, and what is known of its runs."),
    ] = False


class ConnectionRemoved(msgspec.Struct):
    """The connection is gone."""

    name: ConnectionName
    dropped_tables: list[str]
