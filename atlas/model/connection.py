"""A connection: which source, how it is configured, what of it is read and how it is governed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from atlas.model.evolution import SchemaPolicy
from atlas.model.quality import Quality
from atlas.model.stream import StreamSelection, SyncMode


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection as the user declared it.

    Exactly one of ``connector`` (a name in the catalog) and ``executable`` (a program that speaks
    the Airbyte protocol, or a declarative manifest) is set; ``version`` pins the connector's.
    ``config`` may hold secrets and references to them; everything else is what :meth:`document`
    stores in plain text.
    """

    name: str
    connector: str | None
    executable: str | None
    config: dict[str, Any] = field(repr=False)
    streams: dict[str, StreamSelection] | None = None
    schedule: dict[str, Any] | None = None
    pii: dict[str, Any] = field(default_factory=dict)
    quality: Quality = field(default_factory=Quality)
    version: str | None = None
    schema_changes: SchemaPolicy = SchemaPolicy.EVOLVE

    def document(self) -> dict[str, Any]:
        """Everything but name, source and config, as JSON."""
        streams = None
        if self.streams is not None:
            streams = {name: _selection(chosen) for name, chosen in self.streams.items()}
        more: dict[str, Any] = {} if self.version is None else {"version": self.version}
        if self.schema_changes is not SchemaPolicy.EVOLVE:
            more["schema_changes"] = self.schema_changes.value
        return {
            "streams": streams,
            "schedule": self.schedule,
            "pii": self.pii,
            "quality": self.quality.document(),
            **more,
        }

    @classmethod
    def restore(
        cls,
        *,
        name: str,
        connector: str | None,
        executable: str | None,
        config: dict[str, Any],
        document: dict[str, Any],
    ) -> Connection:
        """The connection of which :meth:`document` made ``document``."""
        streams = document["streams"]
        return cls(
            name=name,
            connector=connector,
            executable=executable,
            config=config,
            streams=None
            if streams is None
            else {stream: selection(chosen) for stream, chosen in streams.items()},
            schedule=document["schedule"],
            pii=document["pii"],
            quality=Quality.restore(document["quality"]),
            version=document.get("version"),
            schema_changes=SchemaPolicy(document.get("schema_changes", SchemaPolicy.EVOLVE)),
        )


def _selection(chosen: StreamSelection) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if chosen.sync_mode is not None:
        result["sync_mode"] = chosen.sync_mode.value
    if chosen.cursor_field is not None:
        result["cursor_field"] = list(chosen.cursor_field)
    if chosen.primary_key is not None:
        result["primary_key"] = [list(path) for path in chosen.primary_key]
    if chosen.columns is not None:
        result["columns"] = list(chosen.columns)
    if chosen.exclude is not None:
        result["exclude"] = list(chosen.exclude)
    return result


def selection(chosen: dict[str, Any]) -> StreamSelection:
    """A stream's selection from its JSON form."""
    return StreamSelection(
        sync_mode=SyncMode(chosen["sync_mode"]) if "sync_mode" in chosen else None,
        cursor_field=tuple(chosen["cursor_field"]) if "cursor_field" in chosen else None,
        primary_key=tuple(tuple(path) for path in chosen["primary_key"])
        if "primary_key" in chosen
        else None,
        columns=tuple(chosen["columns"]) if "columns" in chosen else None,
        exclude=tuple(chosen["exclude"]) if "exclude" in chosen else None,
    )
