"""The web process's pool: a connection that was used for single statements is one of transactions
again, whatever ended its use."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from atlas.errors import TerminalError, TransientError
from atlas.web.database import engine, single, transaction


def test_each_statement_commits_by_itself(app: Flask) -> None:
    with app.app_context():
        with single() as conn:
            first = conn.scalar(sa.text("SELECT pg_current_xact_id()::text"))
            second = conn.scalar(sa.text("SELECT pg_current_xact_id()::text"))
        assert first != second


@pytest.mark.parametrize("how", ["well", "refused", "broken", "raised"])
def test_next_user_of_the_connection_has_transactions(app: Flask, how: str) -> None:
    with app.app_context():
        # One connection alone, so that the next one is this one, or its replacement.
        engine().dispose()
        try:
            with single() as conn:
                conn.execute(sa.text("SELECT 1"))
                if how == "refused":
                    conn.execute(sa.text("SELECT 1 / 0"))
                if how == "broken":
                    conn.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
                if how == "raised":
                    int("the caller's")
        except TerminalError:
            assert how == "refused"
        except TransientError:
            assert how == "broken"
        except ValueError:
            assert how == "raised"
        else:
            assert how == "well"
        with transaction() as conn:
            first = conn.scalar(sa.text("SELECT pg_current_xact_id()::text"))
            second = conn.scalar(sa.text("SELECT pg_current_xact_id()::text"))
        assert first == second
