"""What the HTTP interface takes and gives of states."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from atlas.web.models import RunId, StreamName, Time

_ANY = "As the connector writes it."


class StateRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A state to put in the place of the present one."""

    state: Annotated[
        Raw,
        Meta(
            description="Airbyte's JSON: a list of AirbyteStateMessage, or the bare object of a "
            "LEGACY state. For one stream: its AirbyteStateMessage, or the connector's own value. "
            "`[]` is no state at all."
        ),
    ]


class RestoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which entry of the history to put back."""

    id: Annotated[int, Meta(ge=1, le=2**62, description="`id` of the entry.")]


class StreamState(msgspec.Struct):
    """How far a stream has been read."""

    stream: str
    namespace: str | None
    type: Annotated[str, Meta(description="STREAM, or GLOBAL where it shares one with others.")]
    state: Annotated[Any, Meta(description=_ANY)]
    run_id: Annotated[RunId | None, Meta(description="The run that left it; null: a person did.")]
    updated_at: Time


class OneState(StreamState, kw_only=True):
    """How far a stream of a connection has been read."""

    connection: str


class ConnectionState(msgspec.Struct):
    """How far a connection has been read."""

    connection: str
    type: Annotated[str | None, Meta(description="GLOBAL, STREAM, LEGACY; null: it has none.")]
    state: Annotated[
        Any, Meta(description="Airbyte's JSON, whole: what may be put back, here or elsewhere.")
    ]
    streams: list[StreamState]


class HistoryFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries, and how many of them at once."""

    stream: Annotated[
        StreamName | None,
        Meta(description="Only of this stream, and states that it shared; `namespace.name` too."),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Annotated[
        str | None, Meta(description="`next_cursor` of the page before; left out: the first.")
    ] = None


class StateEntry(msgspec.Struct):
    """A state that a run or a person left."""

    id: int
    stream: Annotated[str | None, Meta(description="null: GLOBAL and LEGACY.")]
    namespace: str | None
    type: str
    action: Annotated[
        str, Meta(description="run, reset, import, restore, or connector: it got another one.")
    ]
    actor: Annotated[str, Meta(description="Who did it: `run …`, `cli: …`, `api: …`.")]
    run_id: RunId | None
    changed_at: Time
    state: Annotated[Any, Meta(description="The AirbyteStateMessage; null: none from then on.")]


class StateHistory(msgspec.Struct):
    """A page of entries, newest first."""

    items: list[StateEntry]
    next_cursor: Annotated[
        str | None, Meta(description="Where the next page begins; null: the end.")
    ]
