"""Operations, asked for over HTTP: written down, then done by a worker on queue ``extract``.

What came with the request is a secret from beginning to end: encrypted in the ledger, in the
connector's own file while it runs, and in no message, log line, error or result.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from atlas import traces
from atlas.connectors import runner
from atlas.connectors.config import Redactor, secrets, validate
from atlas.connectors.install import Connector, resolve
from atlas.errors import LostClaim, UsageError
from atlas.ledger import operations, outbox
from atlas.ledger.database import classified
from atlas.ledger.operations import Claimed, Kind
from atlas.model.stream import AvailableStream
from atlas.settings import Settings, secret_key
from atlas.stages.work import Held
from atlas.sync import dispatch
from atlas.sync.lease import kept
from atlas.sync.perform import as_ours, holder_name, slots

log = logging.getLogger(__name__)


def perform(
    engine: sa.Engine,
    settings: Settings,
    operation_id: str,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Do an operation if it is there to be done.

    Raises:
        TransientError: PostgreSQL or Redis cannot be reached; recovery will see to it.
    """
    with contextlib.ExitStack() as stack, classified(engine.url.render_as_string()):
        slot, token = slots(os.getpid(), settings), str(uuid.uuid4())
        if not slot.take(token):
            with engine.begin() as conn:
                # Ask again soon, and leave this process to others.
                delay = random.uniform(1.0, 3.0)  # noqa: S311 - no secret
                outbox.put(conn, "operation", operation_id, delay=delay)
            return
        stack.callback(slot.release, token)
        claimed = operations.claim(
            engine,
            secret_key(settings),
            operation_id,
            holder=holder_name(),
            lease=settings.lease_seconds,
        )
        if claimed is None:
            return
        traces.join_operation(operation_id)

        def renew() -> bool:
            slot.renew(token)
            return operations.renew(engine, claimed, settings.lease_seconds)

        try:
            _work(engine, settings, claimed, renew, stopping)
        except LostClaim as error:
            log.warning("%s: it is left to the new holder", error)


def _work(
    engine: sa.Engine,
    settings: Settings,
    claimed: Claimed,
    renew: Callable[[], bool],
    stopping: Callable[[], bool],
) -> None:
    work = Held(engine, settings, None, lambda ids: dispatch.try_deliver(engine, ids))
    name = f"operation {claimed.id}"
    log.info("%s: %s of %s", name, claimed.kind, claimed.connector)
    error = result = None
    with kept(
        work,
        name,
        renew=renew,
        held=lambda: operations.held(engine, claimed),
        hand_back=lambda: _hand_back(work, claimed),
        stopping=stopping,
        halts=True,
    ):
        try:
            result = _answer(work, claimed)
        except Exception as cause:
            if work.lost:
                raise LostClaim(f"{name} is no longer this worker's") from cause
            if work.halting:
                _hand_back(work, claimed)
                return
            error = str(as_ours(cause, engine.url.render_as_string()))
    with engine.begin() as conn:
        operations.finish(conn, claimed, result=result, error=error)
    log.info("%s: %s", name, error or "succeeded")


def _hand_back(work: Held, claimed: Claimed) -> None:
    with work.engine.begin() as conn:
        message = operations.hand_back(conn, claimed)
    work.wake([message])


def _answer(work: Held, claimed: Claimed) -> dict[str, Any]:
    """The result of the operation.

    Raises:
        AtlasError: it failed.
    """
    settings = work.settings
    connector = resolve(
        claimed.connector, None, settings, install_missing=True, version=claimed.version
    )
    spec = runner.spec(connector, settings, watch=work)
    described = {"name": connector.name, "version": connector.version}
    match claimed.kind:
        case Kind.INSTALL:
            return described
        case Kind.SPEC:
            return {**described, "spec": spec}
    config = claimed.config or {}
    _validate(connector, spec, config)
    if claimed.kind is Kind.CHECK:
        runner.check(connector, config, settings, spec=spec, watch=work)
        return described
    found = runner.discover(connector, config, settings, spec=spec, watch=work)
    hide = Redactor(secrets(spec, config))
    return {**described, "streams": [_hidden(hide, _stream(stream)) for stream in found]}


def _validate(connector: Connector, spec: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    try:
        validate(connector.name, spec, config)
    except UsageError as error:
        raise UsageError(str(error).removeprefix("connection ")) from error


def _stream(stream: AvailableStream) -> dict[str, Any]:
    return {
        "stream": stream.key.name,
        "namespace": stream.key.namespace,
        "sync_modes": [mode.value for mode in stream.supported_sync_modes],
        "source_defined_cursor": stream.source_defined_cursor,
        "default_cursor_field": list(stream.default_cursor_field),
        "source_defined_primary_key": [list(path) for path in stream.source_defined_primary_key],
        "json_schema": stream.json_schema,
    }


def _hidden(hide: Redactor, value: Any) -> Any:
    """``value`` without secrets in its texts, as a source may put them anywhere."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {hide(str(name)): _hidden(hide, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_hidden(hide, item) for item in value]
    return value
