"""A staging table as ``layers`` makes it, to be filled by tests of quality."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from atlas.model.quality import Quality
from atlas.model.stream import Column, ColumnType, StreamKey
from atlas.quality.check import Plan
from atlas.quality.plan import plan

USERS = (
    Column("id", "id", ColumnType.BIGINT, nullable=False),
    Column("email", "email", ColumnType.TEXT, format="email"),
    Column("status", "status", ColumnType.TEXT, enum=("new", "o'ld", "back\\slash", "${NOW}")),
    Column("name", "name", ColumnType.TEXT, nullable=False),
    Column("price", "price", ColumnType.NUMERIC),
    Column("code", "code", ColumnType.TEXT, pattern="^[A-Z]'[0-9]+$"),
    Column("created_at", "created_at", ColumnType.TIMESTAMPTZ),
    Column("updated_at", "updated_at", ColumnType.TIMESTAMPTZ),
)

NOW = datetime.now(UTC)


class Staging:
    """Table ``pipeline.staging_1`` of a database of its own."""

    def __init__(self, url: str, columns: tuple[Column, ...]) -> None:
        self.url = url
        self.columns = columns
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True
        parts = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.type.value))
            for column in columns
        ]
        statement = sql.SQL(
            "CREATE SCHEMA IF NOT EXISTS pipeline;"
            "CREATE TABLE pipeline.staging_1 ({}, _atlas_id bigint GENERATED ALWAYS AS IDENTITY,"
            " _atlas_emitted_at timestamptz NOT NULL, _atlas_errors jsonb)"
        ).format(sql.SQL(", ").join(parts))
        self.execute(statement)

    def execute(self, statement: Any) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def add(
        self, *, errors: dict[str, str] | None = None, emitted_at: datetime = NOW, **values: Any
    ) -> None:
        """A row; columns that are not named are NULL."""
        values |= {
            "_atlas_emitted_at": emitted_at,
            "_atlas_errors": None if errors is None else json.dumps(errors),
        }
        statement = sql.SQL("INSERT INTO pipeline.staging_1 ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Literal, values.values())),
        )
        self.execute(statement)

    def user(self, number: int, **values: Any) -> None:
        """A row of stream ``users`` that satisfies every check but for ``values``."""
        good = {
            "id": number,
            "email": f"somebody{number}@example.org",
            "status": "new",
            "name": "Somebody",
            "price": "12.5",
            "code": "A'1",
            "created_at": NOW,
            "updated_at": NOW,
        }
        self.add(**(good | values))

    def count(self, condition: str) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.execute(f"SELECT count(*) FROM pipeline.staging_1 WHERE {condition}")
            found = cursor.fetchone()
        assert found is not None
        return int(found[0])


def users_plan(**options: Any) -> Plan:
    """The plan of stream ``users``; what its connection may ask of it is among the options."""
    words = {"on_failure", "checks", "streams", "freshness"} & options.keys()
    quality = Quality(**{word: options.pop(word) for word in words})
    options["asked"] = quality.of(StreamKey("users"))
    return plan("users", USERS, ("id",), "updated_at", **options)
