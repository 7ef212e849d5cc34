"""The configuration that a source sends in the place of its own, as when it rotated a token.

It is kept at once, in a transaction of its own: the token before may be dead from that moment,
whatever becomes of the run.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from atlas.connectors.config import sent_back
from atlas.errors import UsageError
from atlas.ledger import sent_configs
from atlas.ledger.connections import Stored
from atlas.ledger.database import classify
from atlas.settings import Settings, secret_key

log = logging.getLogger(__name__)

_PATIENCE = (1.0, 2.0, 4.0)
"""Seconds to wait for a database that is away: the source has no second copy of a token."""


class Rotation:
    """The configuration of a connection as its source last sent it.

    Args:
        begin: a transaction on the ledger; a run's commits only while its claim holds.

    Attributes:
        config: what its connector is to run with, references unresolved.
    """

    def __init__(
        self,
        begin: Callable[[], AbstractContextManager[sa.Connection]],
        settings: Settings,
        stored: Stored,
        spec: Mapping[str, Any],
    ) -> None:
        self._begin = begin
        self._settings = settings
        self._stored = stored
        self._spec = spec
        self._lock = threading.Lock()
        self.config: dict[str, Any] = stored.connection.config

    def __call__(self, sent: bytes) -> None:
        """Keep this configuration, unless it is none to go on with.

        Raises:
            LostClaim: the run, if it is one, is somebody else's.
        """
        with self._lock:
            self._take(sent)

    def _take(self, sent: bytes) -> None:
        name = self._stored.connection.name
        try:
            new = sent_back(self.config, json.loads(sent), self._spec)
        except UsageError as error:
            log.warning("connection %s: its source sent a configuration: %s", name, error)
            return
        if new == self.config:
            return
        if self._keep(new):
            self.config = new
            log.info("connection %s: its source sent a new configuration, which is kept", name)
        else:
            log.warning(
                "connection %s: its source sent a new configuration, which is not kept, since the "
                "connection was given another one meanwhile",
                name,
            )

    def _keep(self, new: dict[str, Any]) -> bool:
        secret = secret_key(self._settings)
        for patience in (*_PATIENCE, None):
            try:
                with self._begin() as conn:
                    return sent_configs.keep(conn, secret, self._stored.id, self.config, new)
            except (SQLAlchemyError, psycopg2.Error) as error:
                if patience is None or not getattr(classify(error), "outage", False):
                    raise
                time.sleep(patience)
        raise AssertionError("unreachable")
