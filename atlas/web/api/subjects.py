"""A person's data: found, given out, erased; and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from flask import Response, g

from atlas.ledger import audit, paging
from atlas.roles import Role
from atlas.web import starting
from atlas.web.answers import answer
from atlas.web.database import engine, settings, transaction
from atlas.web.operations import Operation, Returns
from atlas.web.subject_models import (
    AuditFilter,
    AuditPage,
    Erasure,
    SubjectExport,
    SubjectFound,
    SubjectRequest,
)

if TYPE_CHECKING:
    from atlas.sync.subjects import Request

_SUBJECTS = ["sub_2f0c5d1c9c4f5b6a7d8e9f0011223344"]
_ROWS = {"explore": 3, "chart": 1, "quarantine": 0, "navigate": 2}
_STREAM = {"connection": "shop", "stream": "users", "namespace": None, "rows": _ROWS}
_FOUND = {"subjects": _SUBJECTS, "streams": [_STREAM], "total": _ROWS}
_CHART = {"id": 3, "email": "***@***", "_atlas_id": 17}
_AT = "2025-03-01T09:00:01Z"
_EXPORT = {
    "subjects": _SUBJECTS,
    "streams": [
        {
            **_STREAM,
            "rows": {"explore": 1, "chart": 1, "quarantine": 0, "navigate": 0},
            "data": {
                "explore": [{"_atlas_id": 17, "data": {"id": 3, "email": "jane@example.org"}}],
                "chart": [_CHART],
                "quarantine": [],
                "navigate": [],
            },
        }
    ],
    "total": {"explore": 1, "chart": 1, "quarantine": 0, "navigate": 0},
}
_ERASURE = {
    "id": 4,
    "actor": "api: privacy officer",
    "at": _AT,
    "finished_at": "2025-03-01T09:00:02Z",
    "subjects": _SUBJECTS,
    "streams": [{**_STREAM, "done_at": "2025-03-01T09:00:02Z"}],
    "total": _ROWS,
}
_BODY = {"identifiers": ["jane@example.org", "+45 12 34 56 78"], "connection": "shop"}
_REPLAYED = {"Idempotency-Replayed": starting.RETURNS[202].headers["Idempotency-Replayed"]}
_PROBLEMS = (
    "malformed-request",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "not-found",
)


def find_person(body: SubjectRequest) -> Response:
    """Count a person's rows."""
    from atlas.sync import subjects

    return answer(subjects.find(engine(), settings(), _request(body), actor=g.key.actor))


def export_person(body: SubjectRequest) -> Response:
    """Give out a person's rows."""
    from atlas.sync import subjects

    found = subjects.export(engine(), settings(), _request(body), actor=g.key.actor)
    # Not through numbers of this language's: what was read comes out to the last digit.
    return answer(found, encode=msgspec.json.encode)


def erase_person(body: SubjectRequest) -> Response:
    """Erase a person's rows."""
    from atlas.sync import subjects

    once = starting.Once(body)

    def begun(conn: sa.Connection, number: int) -> None:
        once.reserve(conn)
        once.keep(conn, {"erasure": number})

    headers = None
    try:
        with transaction() as conn:
            once.look(conn)
        done = subjects.erase(engine(), settings(), _request(body), actor=g.key.actor, begun=begun)
    except starting.Replayed as earlier:
        headers = starting.REPLAYED
        with transaction() as conn:
            done = subjects.erasure(conn, earlier.answer.document["erasure"])
    return answer(done, 202 if done["finished_at"] is None else 200, headers)


def list_audit(query: AuditFilter) -> Response:
    """Who did what."""
    after = paging.before(query.cursor)
    with transaction() as conn:
        items = audit.entries(
            conn,
            limit=query.limit + 1,
            after=after,
            action=query.action,
            subject=query.subject,
            actor=query.actor,
        )
    return answer(paging.page(items, query.limit))


def _request(body: SubjectRequest) -> Request:
    from atlas.sync import subjects

    return subjects.request(
        body.identifiers,
        contains=body.contains,
        connection=body.connection,
        columns=body.columns,
    )


def _post(path: str, handler: Any, returns: dict[int, Returns], **more: Any) -> Operation:
    return Operation(
        method="POST",
        path=path,
        role=Role.PRIVACY,
        tag="Personal data",
        handler=handler,
        body=SubjectRequest,
        body_example=_BODY,
        returns=returns,
        **{"problems": _PROBLEMS, **more},
    )


OPERATIONS = [
    _post(
        "/api/v1/pii/find",
        find_person,
        {200: Returns(SubjectFound, "Where there are rows.", example=_FOUND)},
        summary="Count the rows of a person",
        about="In every layer of every stream, by what the person is known by, also where that "
        "was tokenized; from there to all rows of the same records. The request stands in the "
        "audit log, the identifiers in it as keyed hashes only.",
    ),
    _post(
        "/api/v1/pii/export",
        export_person,
        {200: Returns(SubjectExport, "The rows.", example=_EXPORT)},
        summary="Give out all rows of a person",
        about="What `find` counts, whole. Numbers are as the source sent them, to the last digit.",
    ),
    _post(
        "/api/v1/pii/erasures",
        erase_person,
        {
            200: Returns(Erasure, "It is done.", headers=_REPLAYED, example=_ERASURE),
            202: Returns(
                Erasure,
                "Part of it waits for a run that began meanwhile, and is done after its end.",
                headers=_REPLAYED,
                example={
                    **_ERASURE,
                    "finished_at": None,
                    "streams": [{**_STREAM, "rows": None, "done_at": None}],
                    "total": dict.fromkeys(_ROWS, 0),
                },
            ),
        },
        summary="Erase all rows of a person",
        about="What `find` counts is deleted from explore, chart, quarantine and every version in "
        "navigate. The same records, sent again, are held back; one that its source changed comes "
        "through. Refused while a connection with rows of the person is being synced.",
        problems=(*_PROBLEMS, "active-run", "idempotency-key-reused"),
        headers={
            "Idempotency-Key": "Makes it safe to send the request again: for 24 hours the same key "
            "and body get the same erasure, as it is by then, and begin no other."
        },
    ),
    Operation(
        method="GET",
        path="/api/v1/audit",
        role=Role.PRIVACY,
        tag="Access",
        summary="List who did what",
        about="What changed Atlas, read what is masked elsewhere, or let somebody in. Entries "
        "can neither be changed nor deleted.",
        order="newest first",
        handler=list_audit,
        query=AuditFilter,
        returns={
            200: Returns(
                AuditPage,
                "A page.",
                example={
                    "items": [
                        {
                            "id": 9,
                            "at": _AT,
                            "actor": "api: privacy officer",
                            "action": "pii.erase.stream",
                            "subject": _SUBJECTS[0],
                            "detail": {"erasure": 4, **_STREAM},
                        }
                    ],
                    "next_cursor": None,
                },
            )
        },
    ),
]
