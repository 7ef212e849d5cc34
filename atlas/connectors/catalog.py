"""The connectors that Atlas knows by name: catalog.yml beside this file, and what a refresh from
Airbyte's registry has added to it under ``ATLAS_HOME``."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from atlas.errors import NotFound, TerminalError, TransientError
from atlas.settings import Settings

REGISTRY = "https://connectors.airbyte.com/files/registries/v0/oss_registry.json"
"""Airbyte's own list of its connectors."""

_MOST_BYTES = 256 * 1024 * 1024
_TIMEOUT = 30.0

NATIVE = {
    "source-files": "atlas.connectors.sources.files",
    "source-postgres": "atlas.connectors.sources.postgres",
}
"""Atlas's own sources, and the modules that are run."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One connector.

    Attributes:
        name: as a connections file writes it ("source-faker").
        title: for people.
        category: what kind of source it is.
        install: how it comes here: ``package``, a Python package; ``docker``, an image that needs
            an engine; ``native``, Atlas's own; ``none``, not at all.
        package: the package's name.
        version: the last version known that installs; None: of an image the latest.
        overrides: what is installed with that version in place of what it asks for, where it asks
            for what does not run on this Python.
        image: the Docker image, without a tag.
        documentation: Airbyte's page about it.
        support: Airbyte's support level; ``atlas`` for Atlas's own; ``unknown``.
        incremental: whether any of its streams can be read incrementally; None: not known.
        note: what else is to be known of whether and how it runs.
    """

    name: str
    title: str
    category: str
    install: Literal["package", "docker", "native", "none"]
    package: str | None = None
    version: str | None = None
    overrides: tuple[str, ...] = ()
    image: str | None = None
    documentation: str | None = None
    support: str = "unknown"
    incremental: bool | None = None
    note: str | None = None


def entries(settings: Settings | None = None) -> dict[str, Entry]:
    """All entries by name, in order of their names; with what was refreshed in this home."""
    known = _shipped()
    if settings is None:
        return known
    path = _refreshed(settings)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return known
    try:
        learnt = msgspec.json.decode(content, type=_Learnt)
    except msgspec.MsgspecError as error:
        raise TerminalError(
            f"{path} cannot be read: remove it, or run `atlas connectors refresh`"
        ) from error
    # Of what came with another release of Atlas, that release's catalog knows better.
    both = {entry.name: entry for entry in learnt.entries}
    both = known | both if learnt.over == _fingerprint() else both | known
    return dict(sorted(both.items()))


def get(name: str, settings: Settings | None = None) -> Entry:
    """The entry of connector ``name``.

    Raises:
        NotFound: there is none; the message names the nearest.
    """
    known = entries(settings)
    if name not in known:
        raise NotFound(f"unknown connector {name}: {nearest(name, known)}")
    return known[name]


def nearest(name: str, known: Mapping[str, Entry]) -> str:
    """A hint at what may have been meant by ``name``."""
    for asked in (name, f"source-{name}"):
        near = difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
        if near:
            return f"did you mean {near[0]}?"
    return "`atlas connectors list` shows those there are"


def search(words: str, settings: Settings | None = None) -> list[Entry]:
    """The entries in whose name, title or category all of ``words`` stand."""
    wanted = words.lower().split()
    return [
        entry
        for entry in entries(settings).values()
        if all(word in f"{entry.name} {entry.title} {entry.category}".lower() for word in wanted)
    ]


def refresh(settings: Settings, url: str = REGISTRY) -> list[tuple[str, str]]:
    """Learn from Airbyte's registry: new connectors, versions, support levels.

    Returns:
        The connectors that are ``new`` or ``changed``, each with that word.

    Raises:
        TransientError: the registry cannot be reached; the catalog is as it was.
        TerminalError: what answers there is no registry.
    """
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "atlas"})  # noqa: S310 - the user's own URL
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            content = answer.read(_MOST_BYTES)
            if getattr(answer, "length", None):  # so much was promised, and did not come
                raise http.client.IncompleteRead(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransientError(
            f"the registry at {url} cannot be reached ({type(error).__name__}): the catalog is as "
            "it was"
        ) from error
    try:
        listed = msgspec.json.decode(content, type=_Registry).sources
    except msgspec.MsgspecError as error:
        raise TerminalError(
            f"what is at {url} is no registry of Airbyte: the catalog is as it was ({error})"
        ) from error
    known = entries(settings)
    learnt = [_learn(known.get(item.entry_name), item) for item in listed]
    changes = [
        (entry.name, "changed" if entry.name in known else "new")
        for entry in learnt
        if known.get(entry.name) != entry
    ]
    learnt.sort(key=lambda entry: entry.name)
    _write(_refreshed(settings), msgspec.json.encode(_Learnt(_fingerprint(), learnt)))
    return changes


@cache
def _shipped() -> dict[str, Entry]:
    text = Path(__file__).with_name("catalog.yml").read_text()
    # libyaml's loader: of so many lines Python's own takes a second.
    listed = msgspec.convert(yaml.load(text, yaml.CSafeLoader), list[Entry])
    return {entry.name: entry for entry in sorted(listed, key=lambda entry: entry.name)}


def _fingerprint() -> str:
    """Tells the catalog that came with this release from another's."""
    return hashlib.sha256(msgspec.json.encode(list(_shipped().values()))).hexdigest()


def _refreshed(settings: Settings) -> Path:
    return settings.home / "connectors" / "catalog.json"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class _Learnt(msgspec.Struct, frozen=True):
    """The file of a refresh: the catalog that it was laid over, and the entries."""

    over: str
    entries: list[Entry]


# --- Airbyte's registry ---------------------------------------------------------------------------


# They become files' names and arguments.
_Repository = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9._-]+/)*[a-z0-9][a-z0-9_-]*\Z")]
_Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}\Z")]
_Package = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]


class _PyPI(msgspec.Struct):
    enabled: bool = False
    packageName: _Package | None = None  # noqa: N815 - the registry's spelling


class _Remotes(msgspec.Struct):
    pypi: _PyPI | None = None


class _Source(msgspec.Struct):
    name: str
    dockerRepository: _Repository  # noqa: N815
    dockerImageTag: _Tag  # noqa: N815
    documentationUrl: str | None = None  # noqa: N815
    supportLevel: str | None = None  # noqa: N815
    sourceType: str | None = None  # noqa: N815
    remoteRegistries: _Remotes | None = None  # noqa: N815

    @property
    def entry_name(self) -> str:
        return self.dockerRepository.rpartition("/")[2]


class _Registry(msgspec.Struct):
    sources: list[_Source]


def _learn(known: Entry | None, item: _Source) -> Entry:
    """The entry with what the registry says of it.

    How it is installed here changes only where there was no way: a package that runs goes on
    running, and the tag of an image is no version of a package unless the registry says so.
    """
    found: dict[str, Any] = {
        "image": item.dockerRepository,
        "support": item.supportLevel or "unknown",
    }
    pypi = item.remoteRegistries.pypi if item.remoteRegistries else None
    package = pypi.packageName if pypi is not None and pypi.enabled else None
    if known is not None and known.install == "native":
        return known
    if known is not None and known.install == "package":
        if package == known.package and item.dockerImageTag != known.version:
            # Another version may not need, or not bear, what this one needed.
            found |= {"version": item.dockerImageTag, "overrides": ()}
        return msgspec.structs.replace(known, **found)
    found |= {
        "install": "docker" if package is None else "package",
        "package": package,
        "version": item.dockerImageTag,
    }
    if known is not None and known.install != found["install"]:
        # The note says why there was no other way.
        found |= {"note": None, "documentation": known.documentation or item.documentationUrl}
    if known is not None:
        return msgspec.structs.replace(known, **found)
    return Entry(
        name=item.entry_name,
        title=item.name,
        category=item.sourceType or "other",
        documentation=item.documentationUrl,
        **found,
    )
