"""What was found to be personal in a dataset, and what people say against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from flask import Response, g

from atlas.ledger import paging
from atlas.ledger import policies as stored
from atlas.model.personal import Operator
from atlas.pii.policy import BUILT_IN
from atlas.roles import Role
from atlas.settings import secret_key
from atlas.sync import personal, policies
from atlas.web import etags
from atlas.web.answers import answer
from atlas.web.database import settings, transaction
from atlas.web.operations import Link, Operation, Returns
from atlas.web.pii_models import (
    PiiChangePage,
    PiiDataset,
    PiiDecrypted,
    PiiDecryptRequest,
    PiiFilter,
    PiiOverride,
    PiiOverridePage,
    PiiOverrideRequest,
    PiiPolicy,
    PiiPolicyPage,
    PiiPolicyRemoved,
    PiiPolicyRequest,
)

_WORD: dict[str, Any] = {
    "column": "nickname",
    "says": "is",
    "entity_type": "PERSON",
    "operator": None,
    "actor": "api: privacy officer",
    "why": "people write their names here",
    "at": "2025-03-01T09:00:01Z",
}
_OVERRIDE = {"id": 3, **_WORD}
_FINDING = {
    "column": "email",
    "entity_type": "EMAIL_ADDRESS",
    "score": 1.0,
    "scope": "value",
    "operator": "mask",
    "share": 1.0,
    "examples": ["***@***"],
    "evidence": {"reason": "its values are", "found": 1000, "distinct": 1000},
}
_CHANGE = {
    "id": 5,
    "column": "remark",
    "entity_type": "EMAIL_ADDRESS",
    "change": "found",
    "detail": {"from": None, "to": {"scope": "span", "operator": "mask"}},
    "run_id": "0192f5a2-1111-7111-8111-123456789abc",
    "at": "2025-03-01T09:00:01Z",
}


_SAID = {"entities": {"EMAIL_ADDRESS": "tokenize"}, "columns": {"occupation": "keep"}}
_POLICY = {
    "name": "research",
    **_SAID,
    "operators": {**BUILT_IN.entities, "EMAIL_ADDRESS": Operator.TOKENIZE},
    "connections": ["shop"],
    "actor": "api: privacy officer",
    "created_at": "2025-03-01T09:00:01Z",
    "updated_at": "2025-03-01T09:00:01Z",
}
_BODY = ("malformed-request", "too-large", "unsupported-media-type", "invalid-request")
_POLICY_ABOUT = (
    "A change counts from the next run of each connection that goes by the policy; a run, and its "
    "retries, go by what the policy was when the run was made. Rows that are stored stay as they "
    "are until they are masked anew. Every change stands in the audit trail."
)


def get_pii_dataset(dataset: str) -> Response:
    """What the last scan found, and what people say of it."""
    with transaction() as conn:
        return answer(personal.show(conn, dataset))


def list_pii_overrides(dataset: str, query: PiiFilter) -> Response:
    """All that was ever said of a dataset's columns."""
    return _page(personal.said, dataset, query)


def list_pii_changes(dataset: str, query: PiiFilter) -> Response:
    """How the verdicts on a dataset changed."""
    return _page(personal.changes, dataset, query)


def override_pii(body: PiiOverrideRequest) -> Response:
    """Say what a column is."""
    with transaction() as conn:
        entry = personal.say(
            conn,
            body.dataset,
            body.column,
            body.says,
            entity_type=body.entity_type,
            operator=body.operator,
            actor=g.key.actor,
            why=body.why,
        )
    return answer(entry, 201)


def list_pii_policies(query: PiiFilter) -> Response:
    """A page of policies."""
    with transaction() as conn:
        items = policies.listed(conn, limit=query.limit + 1, after=query.cursor)
    return answer(paging.page(items, query.limit, "name"))


def get_pii_policy(policy: str) -> Response:
    """One policy."""
    with transaction() as conn:
        found = policies.get(conn, policy)
    return etags.shown(found, _tag(found))


def put_pii_policy(policy: str, body: PiiPolicyRequest) -> Response:
    """Make or change a policy."""
    document = {"entities": body.entities, "columns": body.columns}
    with transaction() as conn:
        there = _seen(conn, policy)
        what = policies.put(conn, policy, document, actor=g.key.actor)
        made = policies.get(conn, policy)
        if etags.asked() and not there and what != "created":  # somebody else was quicker
            raise etags.refusal(None)
    headers = {"ETag": _tag(made)}
    if what != "created":
        return answer(made, headers=headers)
    return answer(made, 201, {"Location": f"/api/v1/pii/policies/{policy}", **headers})


def delete_pii_policy(policy: str) -> Response:
    """Delete a policy."""
    with transaction() as conn:
        _seen(conn, policy)
        policies.delete(conn, policy, actor=g.key.actor)
    return answer({"name": policy})


def _tag(policy: dict[str, Any]) -> str:
    return etags.of(policy, [policy[part] for part in ("entities", "columns", "updated_at")])


def _seen(conn: sa.Connection, policy: str) -> bool:
    """Whether the policy is stored; from here on nobody else changes it."""
    if not etags.asked():
        return True
    there = stored.lock(conn, policy)
    known = there or policy == stored.DEFAULT
    etags.see(_tag(policies.get(conn, policy)) if known else None)
    return there


def decrypt_pii(body: PiiDecryptRequest) -> Response:
    """Read encrypted values."""
    from atlas.sync.reveal import reveal

    with transaction() as conn:
        found = reveal(
            conn,
            secret_key(settings()),
            body.dataset,
            body.column,
            body.values,
            actor=g.key.actor,
            why=body.why,
        )
    return answer({"values": found})


def _page(of: Callable[..., list[dict[str, Any]]], dataset: str, query: PiiFilter) -> Response:
    after = paging.before(query.cursor)
    with transaction() as conn:
        items = of(conn, dataset, limit=query.limit + 1, after=after)
    return answer(paging.page(items, query.limit))


OPERATIONS = [
    Operation(
        method="GET",
        path="/api/v1/pii/datasets/<dataset>",
        role=Role.VIEWER,
        tag="Personal data",
        summary="Get what was found to be personal in a dataset",
        about="The verdicts of its last scan with their evidence, and what people say of its "
        "columns. A dataset is called as its table in chart and navigate.",
        handler=get_pii_dataset,
        returns={
            200: Returns(
                PiiDataset,
                "The dataset.",
                example={
                    "dataset": "shop_users",
                    "connection": "shop",
                    "stream": "users",
                    "namespace": None,
                    "run_id": _CHANGE["run_id"],
                    "scanned_at": "2025-03-01T09:00:01Z",
                    "findings": [_FINDING],
                    "overrides": [_WORD],
                },
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/pii/datasets/<dataset>/overrides",
        role=Role.VIEWER,
        tag="Personal data",
        summary="List all that was said of a dataset's columns",
        handler=list_pii_overrides,
        order="newest first",
        query=PiiFilter,
        returns={
            200: Returns(
                PiiOverridePage, "A page.", example={"items": [_OVERRIDE], "next_cursor": None}
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="GET",
        path="/api/v1/pii/datasets/<dataset>/changes",
        role=Role.VIEWER,
        tag="Personal data",
        summary="List how the verdicts on a dataset changed",
        handler=list_pii_changes,
        order="newest first",
        query=PiiFilter,
        returns={
            200: Returns(
                PiiChangePage, "A page.", example={"items": [_CHANGE], "next_cursor": None}
            )
        },
        problems=("not-found",),
    ),
    Operation(
        method="POST",
        path="/api/v1/pii/overrides",
        role=Role.PRIVACY,
        tag="Personal data",
        summary="Say what a column is",
        about="It wins over every verdict, in every run that is made from now on, until it is "
        "withdrawn or something else is said. Nothing that was said is ever changed.",
        handler=override_pii,
        body=PiiOverrideRequest,
        body_example={
            "dataset": "shop_users",
            "column": "nickname",
            "says": "is",
            "entity_type": "PERSON",
            "why": "people write their names here",
        },
        returns={201: Returns(PiiOverride, "The entry.", example=_OVERRIDE)},
        problems=(*_BODY, "not-found"),
    ),
    Operation(
        method="GET",
        path="/api/v1/pii/policies",
        role=Role.VIEWER,
        tag="Personal data",
        summary="List policies",
        order="by name",
        handler=list_pii_policies,
        query=PiiFilter,
        returns={
            200: Returns(
                PiiPolicyPage, "A page.", example={"items": [_POLICY], "next_cursor": None}
            )
        },
    ),
    Operation(
        method="GET",
        path="/api/v1/pii/policies/<policy>",
        role=Role.VIEWER,
        tag="Personal data",
        summary="Get a policy",
        handler=get_pii_policy,
        edited=True,
        returns={200: Returns(PiiPolicy, "The policy.", example=_POLICY)},
        problems=("not-found",),
    ),
    Operation(
        method="PUT",
        path="/api/v1/pii/policies/<policy>",
        role=Role.PRIVACY,
        tag="Personal data",
        summary="Make or change a policy",
        about=f"The body is all that it says from then on. {_POLICY_ABOUT}",
        handler=put_pii_policy,
        links=(Link("policy", "/name", ("get_pii_policy", "delete_pii_policy")),),
        edited=True,
        body=PiiPolicyRequest,
        body_example=_SAID,
        returns={
            200: Returns(PiiPolicy, "The policy, which was there before.", example=_POLICY),
            201: Returns(
                PiiPolicy,
                "The policy, which is new.",
                headers={"Location": "The policy."},
                example=_POLICY,
            ),
        },
        problems=_BODY,
    ),
    Operation(
        method="DELETE",
        path="/api/v1/pii/policies/<policy>",
        role=Role.PRIVACY,
        tag="Personal data",
        summary="Delete a policy",
        about="One that a connection goes by stays, and so does `default`.",
        handler=delete_pii_policy,
        edited=True,
        returns={200: Returns(PiiPolicyRemoved, "Its name.", example={"name": "research"})},
        problems=("not-found", "conflict"),
    ),
    Operation(
        method="POST",
        path="/api/v1/pii/decrypt",
        role=Role.PRIVACY,
        tag="Personal data",
        summary="Read encrypted values",
        about="What operator `encrypt` made of personal values, as they were. Who read them, "
        "of which column and why is written into the audit trail first. If one of them was not "
        "encrypted by this database, none is read.",
        handler=decrypt_pii,
        body=PiiDecryptRequest,
        body_example={
            "dataset": "shop_users",
            "column": "email",
            "values": ["enc_lXzJw0k5Yb8o7xJv0zGZ3pYb2s3mJmTgkq0"],
            "why": "court order 17/2025",
        },
        returns={
            200: Returns(PiiDecrypted, "The values.", example={"values": ["jane.doe@example.com"]})
        },
        problems=(*_BODY, "not-found"),
    ),
]
