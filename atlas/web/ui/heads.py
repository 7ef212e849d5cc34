"""What the pages of one dataset have in common: their head and their tabs."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from atlas.errors import NotFound
from atlas.ledger import catalog, datasets
from atlas.ledger.catalog import LAYERS
from atlas.model.stream import StreamKey


@dataclass(frozen=True, slots=True)
class Head:
    """A dataset, as its pages name it.

    Attributes:
        dataset: its table in chart and navigate.
        tables: names of the tables that are there, by layer, in the order of the layers.
    """

    dataset: str
    connection: str
    stream: str
    namespace: str | None
    tables: dict[str, str]

    @property
    def key(self) -> StreamKey:
        """Its stream."""
        return StreamKey(self.stream, self.namespace)

    @property
    def path(self) -> str | None:
        """Where the catalog shows it: in chart, or in the first layer that has it."""
        layer = "chart" if "chart" in self.tables else next(iter(self.tables), None)
        return layer and self.in_layer(layer)

    def in_layer(self, layer: str) -> str:
        """Where the catalog shows its table in ``layer``."""
        return f"/catalog/{layer}/{self.tables[layer]}"


def head(conn: sa.Connection, name: str, layer: str = "chart") -> Head:
    """The head of the dataset whose table in ``layer`` is called ``name``.

    Raises:
        NotFound: there is none.
    """
    if layer not in LAYERS:
        raise NotFound(f"there is no layer {layer[:100]!r}: they are {', '.join(LAYERS)}")
    row = datasets.named(conn, name, raw=layer == "explore")
    if row is None:
        raise NotFound(f"there is no dataset {name[:150]!r}")
    tables = {each.layer: each.name for each in catalog.tables(conn, row.id)}
    return Head(row.table_name, row.connection, row.stream, row.namespace or None, tables)
