"""A run beside the one before it: rows, times, scores, personal data, changes of the schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from atlas.ledger import run_documents
from atlas.ledger.tables import finding, quality_score, run_stream, schema_change

_ROWS = ("explore", "promoted", "quarantined", "superseded", "deleted")
_Stream = tuple[str, str | None]


def compare(conn: sa.Connection, run_id: str) -> dict[str, Any]:
    """A run beside the previous run of its connection that has ended: of a sync, the previous
    sync.

    Returns:
        As :class:`atlas.web.comparison_models.Comparison` describes it. A pair is ``{"now",
        "before"}``, None where there is nothing to tell; ``previous`` is None for a first run.

    Raises:
        NotFound: there is no such run.
    """
    now = run_documents.document(conn, run_id)
    then = run_documents.before(conn, run_id)
    this: str = now["run_id"]
    before: str | None = then["run_id"] if then else None
    known = _Known(conn, [this, *([before] if before else [])])
    mine = {_key(each): each for each in now["streams"]}
    theirs = {_key(each): each for each in then["streams"]} if then else {}
    return {
        "run_id": this,
        "previous": then
        and {name: then[name] for name in ("run_id", "status", "created_at", "finished_at")},
        "seconds": _pair(_seconds(now), _seconds(then)),
        "rows": _rows(list(mine.values()), list(theirs.values()) if then else None),
        "stages": _stages(now, then),
        "streams": [
            {
                "stream": key[0],
                "namespace": key[1],
                "status": _pair(_of(mine.get(key), "status"), _of(theirs.get(key), "status")),
                "rows": _rows(_one(mine.get(key)), _one(theirs.get(key))),
                "stages": _stages(mine.get(key), theirs.get(key)),
                **known.compared(this, before, key),
            }
            for key in [*mine, *(key for key in theirs if key not in mine)]
        ],
        "source_changes": now["changes"],
    }


class _Known:
    """What was found in the streams of both runs, read at once."""

    def __init__(self, conn: sa.Connection, run_ids: list[str]) -> None:
        streams = conn.execute(
            sa.select(
                run_stream.c.id, run_stream.c.run_id, run_stream.c.stream, run_stream.c.namespace
            ).where(run_stream.c.run_id.in_(run_ids))
        ).all()
        self._ids = {(row.run_id, row.stream, row.namespace or None): row.id for row in streams}
        ids = list(self._ids.values())
        self._scores: dict[int, dict[str, float]] = defaultdict(dict)
        for row in conn.execute(
            sa.select(quality_score).where(quality_score.c.run_stream_id.in_(ids))
        ):
            self._scores[row.run_stream_id][row.dimension] = row.score
        self._findings: dict[int, set[tuple[str, str, str, str]]] = defaultdict(set)
        for row in conn.execute(sa.select(finding).where(finding.c.run_stream_id.in_(ids))):
            self._findings[row.run_stream_id].add(
                (row.column_name, row.path, row.entity_type, row.operator)
            )
        self._changes: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in conn.execute(
            sa.select(schema_change)
            .where(schema_change.c.run_stream_id.in_(ids))
            .order_by(schema_change.c.id)
        ):
            self._changes[row.run_stream_id].append(
                {"column": row.column_name, "change": row.change, "detail": row.detail}
            )

    def compared(self, this: str, before: str | None, key: _Stream) -> dict[str, Any]:
        """Scores, personal data and schema of a stream."""
        mine, theirs = self._ids.get((this, *key)), self._ids.get((before or "", *key))
        now, then = self._scores.get(mine or 0, {}), self._scores.get(theirs or 0, {})
        found, known = self._findings.get(mine or 0, set()), self._findings.get(theirs or 0, set())
        return {
            "scores": {
                name: _pair(now.get(name), then.get(name)) for name in sorted({*now, *then})
            },
            "findings": {
                "now": len(found) if mine else None,
                "before": len(known) if theirs else None,
                # Of a stream that one of the two has not, nothing is new or gone.
                "new": _told(found - known) if mine and theirs else [],
                "gone": _told(known - found) if mine and theirs else [],
            },
            "schema_changes": self._changes.get(mine or 0, []),
        }


def _told(findings: set[tuple[str, str, str, str]]) -> list[dict[str, str]]:
    return [
        {"column": column, "path": path, "entity_type": entity, "operator": operator}
        for column, path, entity, operator in sorted(findings)
    ]


def _key(stream: Mapping[str, Any]) -> _Stream:
    return stream["stream"], stream["namespace"]


def _of(stream: Mapping[str, Any] | None, name: str) -> Any:
    return None if stream is None else stream[name]


def _one(stream: Mapping[str, Any] | None) -> list[Mapping[str, Any]] | None:
    return None if stream is None else [stream]


def _pair(now: Any, before: Any) -> dict[str, Any]:
    return {"now": now, "before": before}


def _rows(
    now: list[Mapping[str, Any]] | None, before: list[Mapping[str, Any]] | None
) -> dict[str, Any]:
    def total(streams: list[Mapping[str, Any]] | None, name: str) -> int | None:
        return None if streams is None else sum(each["rows"][name] for each in streams)

    return {name: _pair(total(now, name), total(before, name)) for name in _ROWS}


def _stages(now: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Seconds of each stage."""
    mine = {each["stage"]: _seconds(each) for each in (now or {}).get("stages", ())}
    theirs = {each["stage"]: _seconds(each) for each in (before or {}).get("stages", ())}
    return {name: _pair(mine.get(name), theirs.get(name)) for name in {**mine, **theirs}}


def _seconds(of: Mapping[str, Any] | None) -> float | None:
    if of is None or not of["started_at"] or not of["finished_at"]:
        return None
    begun, ended = (datetime.fromisoformat(of[name]) for name in ("started_at", "finished_at"))
    return round((ended - begun).total_seconds(), 3)
