"""What people do about rows that were set aside."""

from __future__ import annotations

import sqlalchemy as sa
from flask import Response, g

from atlas.errors import UsageError
from atlas.roles import Role
from atlas.web.answers import answer
from atlas.web.database import settings, transaction
from atlas.web.operations import Operation, Returns
from atlas.web.quarantine_models import Discarded, DiscardRequest, ReprocessRequest
from atlas.web.starting import HEADERS, LINKS, PROBLEMS, RETURNS, start


def reprocess_quarantine(dataset: str, body: ReprocessRequest) -> Response:
    """A run that takes rows up again."""
    from atlas.sync.quarantine import Request, record_reprocess

    values: dict[int, dict[str, str]] = {}
    for patch in body.patches or ():
        if patch.row in values:
            raise UsageError(f"patches: row {patch.row} is named twice")
        values[patch.row] = {name: bytes(value).decode() for name, value in patch.set.items()}
    asked = Request(
        rows=body.rows or (),
        check=body.check,
        every=body.all,
        values=values,
        overrides=body.overrides or (),
        why=body.why,
    )

    def recorded(conn: sa.Connection) -> str:
        return record_reprocess(conn, settings(), dataset, asked, actor=g.key.actor).run_id

    return start(body, recorded)


def discard_quarantine(dataset: str, body: DiscardRequest) -> Response:
    """Rows taken out for good."""
    from atlas.sync import quarantine

    chosen = quarantine.choice(body.rows or (), body.check, every=body.all)
    with transaction() as conn:
        gone = quarantine.discard(conn, dataset, chosen, actor=g.key.actor, why=body.why)
    return answer({"dataset": dataset, "discarded": gone})


OPERATIONS = [
    Operation(
        method="POST",
        path="/api/v1/quarantine/<dataset>/reprocess",
        role=Role.OPERATOR,
        tag="Quality",
        summary="Take rows that were set aside through the stages again",
        about="As they are, with values put right (`patches`), or past a check (`overrides`). It "
        "is a run like a sync, but asks no source. A row leaves the quarantine when the run "
        "promotes it, and changes nothing where its key has a later record. Values that are put "
        "right stand in explore and nowhere else.",
        handler=reprocess_quarantine,
        body=ReprocessRequest,
        body_example={"patches": [{"row": 1042, "set": {"status": "active"}}]},
        returns=RETURNS,
        problems=PROBLEMS,
        headers=HEADERS,
        links=LINKS,
    ),
    Operation(
        method="POST",
        path="/api/v1/quarantine/<dataset>/discard",
        role=Role.OPERATOR,
        tag="Quality",
        summary="Take rows that were set aside out for good",
        about="Their raw rows stay in explore, their number in the account of the run that set "
        "them aside. Who did it, which rows and why is written into the audit log.",
        handler=discard_quarantine,
        body=DiscardRequest,
        body_example={"rows": [1042], "why": "a test account"},
        returns={
            200: Returns(
                Discarded, "They are gone.", example={"dataset": "shop_users", "discarded": 1}
            )
        },
        problems=(
            "malformed-request",
            "too-large",
            "unsupported-media-type",
            "invalid-request",
            "not-found",
            "active-run",
        ),
    ),
]
