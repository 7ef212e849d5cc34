"""What was done with personal data is written down, and stays as it was written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from atlas.ledger import audit


def test_entries_come_newest_first_in_pages_and_by_what_they_are_of(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        for number in range(3):
            audit.put(conn, "cli: ann", "pii.decrypt", "shop_users", {"count": number})
        kept = audit.put(conn, "api: bo", "pii.export", "crm_people")
    with engine.connect() as conn:
        first = audit.entries(conn, limit=2)
        assert [each["subject"] for each in first] == ["crm_people", "shop_users"]
        assert first[0] == kept
        assert (kept["actor"], kept["action"], kept["detail"]) == ("api: bo", "pii.export", {})
        assert kept["at"].tzinfo is not None
        rest = audit.entries(conn, limit=9, after=first[-1]["id"])
        assert [each["detail"] for each in rest] == [{"count": 1}, {"count": 0}]
        assert len(audit.entries(conn, limit=9, action="pii.decrypt")) == 3
        assert audit.entries(conn, limit=9, subject="crm_people") == [kept]


def test_an_entry_of_a_deed_that_failed_is_none(engine: sa.Engine) -> None:
    with engine.connect() as conn:
        audit.put(conn, "cli: ann", "pii.decrypt", "shop_users")
        conn.rollback()
    with engine.connect() as conn:
        assert audit.entries(conn, limit=9) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE pipeline.audit SET actor = 'nobody'",
        "DELETE FROM pipeline.audit",
        "DELETE FROM pipeline.audit WHERE false",
        "TRUNCATE pipeline.audit",
        "TRUNCATE pipeline.run, pipeline.audit CASCADE",
        """INSERT INTO pipeline.audit (actor, action, subject) VALUES ('nobody', 'x', 'y')
               ON CONFLICT (id) DO UPDATE SET actor = 'nobody'""",
    ],
)
def test_the_database_refuses_to_change_or_delete_one(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as conn:
        kept = audit.put(conn, "cli: ann", "pii.decrypt", "shop_users")
    with (
        pytest.raises(sa.exc.ProgrammingError, match=r"pipeline\.audit only grows"),
        engine.begin() as conn,
    ):
        conn.execute(sa.text(statement))
    with engine.connect() as conn:
        assert audit.entries(conn, limit=9) == [kept]
