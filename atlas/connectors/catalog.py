"""The connectors that Atlas knows by name (catalog.yml beside this file)."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path

import msgspec
import yaml

from atlas.errors import NotFound


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One connector.

    Attributes:
        name: as a connections file writes it ("source-faker").
        title: for people.
        category: what kind of source it is.
        install: how it comes here; so far only ``package``, a Python package.
        package: the package's name.
        version: the version that is installed.
        documentation: Airbyte's page about it.
        support: Airbyte's support level.
        incremental: whether any of its streams can be read incrementally.
    """

    name: str
    title: str
    category: str
    install: str
    package: str
    version: str
    documentation: str
    support: str
    incremental: bool


@cache
def entries() -> dict[str, Entry]:
    """All entries by name, in order of their names."""
    text = Path(__file__).with_name("catalog.yml").read_text()
    listed = msgspec.convert(yaml.safe_load(text), list[Entry])
    return {entry.name: entry for entry in sorted(listed, key=lambda entry: entry.name)}


def get(name: str) -> Entry:
    """The entry of connector ``name``.

    Raises:
        NotFound: there is none; the message names the nearest.
    """
    known = entries()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if not near:
            near = difflib.get_close_matches(f"source-{name}", known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise NotFound(f"unknown connector {name}: {hint}")
    return known[name]
