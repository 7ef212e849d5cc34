"""How commands reach the ledger: one transaction, driver errors as Atlas's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


def engine() -> sa.Engine:
    """The engine of this command."""
    from atlas.ledger.database import name_process, shared
    from atlas.settings import settings

    name_process("cli")
    return shared(settings())


@contextlib.contextmanager
def begin() -> Iterator[sa.Connection]:
    """A transaction on the ledger."""
    from atlas.ledger.database import classified

    bound = engine()
    with classified(bound.url.render_as_string()), bound.begin() as conn:
        yield conn
