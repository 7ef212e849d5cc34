"""What the HTTP interface takes and gives of a person's data and the audit log, as types."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from atlas.web.models import ConnectionName, Count, Cursor, NextCursor, Time

_Identifier = Annotated[str, Meta(min_length=1, max_length=1000)]
_Subject = Annotated[
    str, Meta(description="A keyed hash of an identifier.", examples=["sub_2f0c5d1c"])
]


class SubjectRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom it is about: what the person is known by, and where to look for it."""

    identifiers: Annotated[
        list[_Identifier],
        Meta(
            min_length=1,
            max_length=100,
            description="E-mail addresses, telephone numbers, names, ids; compared whole, e-mail "
            "addresses whatever their case. Shorter than five characters: only with `columns`.",
        ),
    ]
    contains: Annotated[
        bool, Meta(description="Also where they stand in the midst of a longer text.")
    ] = False
    connection: Annotated[
        ConnectionName | None, Meta(description="Look in this connection only; null: in all.")
    ] = None
    columns: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=500)]],
        Meta(max_length=100, description="Look in these columns only; empty: in all."),
    ] = []


class SubjectRows(msgspec.Struct):
    """How many rows of the person there are, by layer."""

    explore: Count
    chart: Count
    quarantine: Count
    navigate: Annotated[int, Meta(ge=0, description="Versions, former ones too.")]


class SubjectStream(msgspec.Struct):
    """A stream in which there are rows of the person."""

    connection: ConnectionName
    stream: str
    namespace: str | None
    rows: SubjectRows


class SubjectFound(msgspec.Struct):
    """Where there are rows of the person."""

    subjects: Annotated[
        list[_Subject], Meta(description="What the audit log calls the identifiers.")
    ]
    streams: list[SubjectStream]
    total: SubjectRows


class SubjectData(msgspec.Struct):
    """Rows of the person by layer, whole."""

    explore: Annotated[
        list[dict[str, Any]], Meta(description="`data` is the record as it was read.")
    ]
    chart: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    navigate: list[dict[str, Any]]


class SubjectStreamData(SubjectStream, kw_only=True):
    """A stream with the person's rows."""

    data: SubjectData


class SubjectExport(msgspec.Struct):
    """All rows of the person."""

    subjects: list[_Subject]
    streams: list[SubjectStreamData]
    total: SubjectRows


class ErasureStream(msgspec.Struct):
    """A stream that an erasure has to do with."""

    connection: ConnectionName
    stream: str
    namespace: str | None
    rows: Annotated[
        SubjectRows | None,
        Meta(description="How many were erased; null: still to be done, after an active run."),
    ]
    done_at: Time | None


class Erasure(msgspec.Struct):
    """An erasure."""

    id: int
    actor: Annotated[str, Meta(description="Who asked for it.")]
    at: Time
    finished_at: Annotated[Time | None, Meta(description="Null: something is left to do.")]
    subjects: list[_Subject]
    streams: list[ErasureStream]
    total: SubjectRows


# No NUL and no lone surrogate: no entry has one, and PostgreSQL would refuse it.
_Word = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00]*$")] | None


class AuditEntry(msgspec.Struct):
    """Something that was done."""

    id: int
    at: Time
    actor: Annotated[str, Meta(description="Who did it.")]
    action: Annotated[str, Meta(description="What was done.", examples=["pii.erase"])]
    subject: Annotated[
        str, Meta(description="To what: a name, or keyed hashes of a person's identifiers.")
    ]
    detail: Annotated[dict[str, Any], Meta(description="Names and counts; never a value.")]


class AuditPage(msgspec.Struct):
    """A page of entries, newest first."""

    items: list[AuditEntry]
    next_cursor: NextCursor


class AuditFilter(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries, and how many at once."""

    action: Annotated[
        _Word, Meta(description="Only of this action, or those below: `pii` is also `pii.erase`.")
    ] = None
    subject: Annotated[_Word, Meta(description="Only entries on this subject.")] = None
    actor: Annotated[_Word, Meta(description="Only what this actor did, as entries say it.")] = None
    limit: Annotated[int, Meta(ge=1, le=200, description="Most entries on a page.")] = 50
    cursor: Cursor = None
