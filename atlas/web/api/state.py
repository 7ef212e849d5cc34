"""The state of connections: read, replaced, reset, put back; numbers in it stay exact."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response, g

from atlas.roles import Role
from atlas.web.answers import answer
from atlas.web.database import transaction
from atlas.web.operations import Operation, Returns
from atlas.web.state_models import (
    ConnectionState,
    HistoryFilter,
    OneState,
    RestoreRequest,
    StateHistory,
    StateRequest,
)

_PATH = "/api/v1/connections/<name>/state"
_RUN = "0f8fad5b-d9cb-469f-a165-70867728950e"
_OWN = {"updated_at": "2025-03-01T08:59:00Z"}
_MESSAGE = {
    "type": "STREAM",
    "stream": {"stream_descriptor": {"name": "users"}, "stream_state": _OWN},
}
_STREAM = {
    "stream": "users",
    "namespace": None,
    "type": "STREAM",
    "state": _OWN,
    "run_id": _RUN,
    "updated_at": "2025-03-01T09:00:01Z",
}
_WHOLE = {"connection": "shop", "type": "STREAM", "state": [_MESSAGE], "streams": [_STREAM]}
_ENTRY = {
    "id": 17,
    "stream": "users",
    "namespace": None,
    "type": "STREAM",
    "action": "run",
    "actor": f"run {_RUN}",
    "run_id": _RUN,
    "changed_at": "2025-03-01T09:00:04Z",
    "state": _MESSAGE,
}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")
_CHANGE = ("not-found", "active-run", "conflict")
_ABOUT = (
    "A stream is named as `name`, or `namespace.name`. While a run of the connection is active its "
    "state cannot be changed. Every change stands in the history, with who made it."
)


def get_state(name: str) -> Response:
    """All of a connection's state."""
    from atlas.sync import state

    with transaction() as conn:
        return _answer(state.show(conn, name))


def get_stream_state(name: str, stream: str) -> Response:
    """One stream's state."""
    from atlas.sync import state

    with transaction() as conn:
        return _answer(state.show_stream(conn, name, stream))


def put_state(name: str, body: StateRequest) -> Response:
    """Replace all of a connection's state."""
    return _import(name, body, None)


def put_stream_state(name: str, stream: str, body: StateRequest) -> Response:
    """Replace one stream's state."""
    return _import(name, body, stream)


def _import(name: str, body: StateRequest, stream: str | None) -> Response:
    from atlas.sync import state

    with transaction() as conn:
        state.import_(conn, name, bytes(body.state), stream, actor=g.key.actor)
        return _answer(state.show(conn, name))


def delete_state(name: str) -> Response:
    """Reset all of a connection's state."""
    return _reset(name, None)


def delete_stream_state(name: str, stream: str) -> Response:
    """Reset one stream's state."""
    return _reset(name, stream)


def _reset(name: str, stream: str | None) -> Response:
    from atlas.sync import state

    with transaction() as conn:
        state.reset(conn, name, stream, actor=g.key.actor)
        return _answer(state.show(conn, name))


def list_state_history(name: str, query: HistoryFilter) -> Response:
    """A page of the states that a connection had."""
    from atlas.sync import state

    with transaction() as conn:
        return _answer(
            state.history(conn, name, stream=query.stream, limit=query.limit, cursor=query.cursor)
        )


def restore_state(name: str, body: RestoreRequest) -> Response:
    """Put back an earlier state."""
    from atlas.sync import state

    with transaction() as conn:
        state.restore(conn, name, body.id, actor=g.key.actor)
        return _answer(state.show(conn, name))


def _answer(document: dict[str, Any]) -> Response:
    return answer(document, encode=msgspec.json.encode)


def _whole(about: str) -> dict[int, Returns]:
    return {200: Returns(ConnectionState, about, example=_WHOLE)}


OPERATIONS = [
    Operation(
        method="GET",
        path=_PATH,
        role=Role.VIEWER,
        tag="State",
        summary="Get a connection's state",
        handler=get_state,
        returns=_whole("The state, whole and stream by stream."),
        problems=("not-found",),
    ),
    Operation(
        method="PUT",
        path=_PATH,
        role=Role.OPERATOR,
        tag="State",
        summary="Replace a connection's state",
        about=_ABOUT + " What is sent is all the state that there is then.",
        handler=put_state,
        body=StateRequest,
        body_example={"state": [_MESSAGE]},
        returns=_whole("The state as it is now."),
        problems=(*_BODY, *_CHANGE),
    ),
    Operation(
        method="DELETE",
        path=_PATH,
        role=Role.OPERATOR,
        tag="State",
        summary="Reset a connection's state",
        about=_ABOUT + " The next run reads every stream from its start.",
        handler=delete_state,
        returns=_whole("The state as it is now."),
        problems=_CHANGE,
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/history",
        role=Role.VIEWER,
        tag="State",
        summary="List the states that a connection had",
        order="newest first",
        handler=list_state_history,
        query=HistoryFilter,
        returns={
            200: Returns(
                StateHistory,
                "A page.",
                example={"items": [_ENTRY], "next_cursor": "17.a4031fd6b28e"},
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="POST",
        path=f"{_PATH}/restore",
        role=Role.OPERATOR,
        tag="State",
        summary="Put back an earlier state",
        about=_ABOUT + " An entry without a state resets what it was about.",
        handler=restore_state,
        body=RestoreRequest,
        body_example={"id": 17},
        returns=_whole("The state as it is now."),
        problems=(*_BODY, *_CHANGE),
    ),
    Operation(
        method="GET",
        path=f"{_PATH}/<path:stream>",
        role=Role.VIEWER,
        tag="State",
        summary="Get a stream's state",
        about="A stream called `history` is only in the connection's state.",
        handler=get_stream_state,
        returns={200: Returns(OneState, "The state.", example={"connection": "shop", **_STREAM})},
        problems=("not-found",),
    ),
    Operation(
        method="PUT",
        path=f"{_PATH}/<path:stream>",
        role=Role.OPERATOR,
        tag="State",
        summary="Replace a stream's state",
        about=_ABOUT + " The other streams keep theirs.",
        handler=put_stream_state,
        body=StateRequest,
        body_example={"state": _OWN},
        returns=_whole("The connection's state as it is now."),
        problems=(*_BODY, *_CHANGE),
    ),
    Operation(
        method="DELETE",
        path=f"{_PATH}/<path:stream>",
        role=Role.OPERATOR,
        tag="State",
        summary="Reset a stream's state",
        about=_ABOUT + " The next run reads this stream from its start, and the others on. A "
        "GLOBAL state loses the stream's entry and keeps what all share; a LEGACY one is only "
        "reset whole (409).",
        handler=delete_stream_state,
        returns=_whole("The connection's state as it is now."),
        problems=_CHANGE,
    ),
]
