"""``atlas connectors``: the catalog, what is installed of it, and the short questions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note, table

if TYPE_CHECKING:
    from atlas.connectors.catalog import Entry
    from atlas.connectors.install import Connector
    from atlas.connectors.runner import Changed

    _Source = tuple[Connector, dict[str, Any], dict[str, Any], Changed | None]


@click.group()
def connectors() -> None:
    """The connectors that Atlas knows, and those that are installed."""


_version = click.option("--version", "wanted", metavar="V", help="This version, not the catalog's.")
_config = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="YAML or JSON file with a configuration, for a connector.",
)


@connectors.command("list")
@click.option("--installed", "only", is_flag=True, help="Only those that are installed.")
@click.option("--category", help="Only those of this category.")
@json_option
def list_connectors(only: bool, category: str | None, as_json: bool) -> None:
    """List the catalog."""
    from atlas.connectors import catalog
    from atlas.settings import settings

    found = [
        described
        for entry in catalog.entries(settings()).values()
        if category in (None, entry.category)
        and ((described := _described(entry))["installed"] or not only)
    ]
    _show(found, as_json)


@connectors.command()
@click.argument("words", nargs=-1, required=True)
@json_option
def search(words: tuple[str, ...], as_json: bool) -> None:
    """Look for WORDS in names, titles and categories."""
    from atlas.connectors import catalog
    from atlas.settings import settings

    _show([_described(entry) for entry in catalog.search(" ".join(words), settings())], as_json)


@connectors.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show what is known of connector NAME."""
    from atlas.connectors import catalog
    from atlas.settings import settings

    found = _described(catalog.get(name, settings()))
    if as_json:
        emit(found)
        return
    rows = [[key, value] for key, value in found.items() if value not in (None, [], ())]
    table(["", ""], [[k, ", ".join(v) if isinstance(v, list | tuple) else v] for k, v in rows])


@connectors.command()
@click.argument("name")
@_version
@json_option
def install(name: str, wanted: str | None, as_json: bool) -> None:
    """Install connector NAME, beside the versions that are there."""
    from atlas.connectors.install import install as run
    from atlas.settings import settings

    _installed(run(name, settings(), note, wanted), as_json)


@connectors.command()
@click.argument("name")
@_version
@json_option
def upgrade(name: str, wanted: str | None, as_json: bool) -> None:
    """Install the catalog's version of connector NAME, and make it the current one."""
    from atlas.connectors.install import upgrade as run
    from atlas.settings import settings

    _installed(run(name, settings(), note, wanted), as_json)


@connectors.command()
@click.argument("name")
@click.option("--version", "wanted", metavar="V", help="Only this version; without: all.")
@click.option("--force", is_flag=True, help="Also while a connection uses it.")
@json_option
def uninstall(name: str, wanted: str | None, force: bool, as_json: bool) -> None:
    """Remove connector NAME. A connection that needs it installs it again."""
    from atlas.connectors.install import uninstall as run
    from atlas.settings import settings

    if not force:
        _unused(name, wanted)
    gone = run(name, settings(), wanted)
    if as_json:
        emit({"name": name, "uninstalled": gone})
        return
    click.echo(f"{name}: {', '.join(gone)} uninstalled")


@connectors.command()
@click.option("--url", help="Another registry than Airbyte's own.")
@json_option
def refresh(url: str | None, as_json: bool) -> None:
    """Learn new connectors and versions from Airbyte's registry."""
    from atlas.connectors import catalog
    from atlas.settings import settings

    changes = catalog.refresh(settings(), url or catalog.REGISTRY)
    if as_json:
        emit({"connectors": [{"name": name, "change": change} for name, change in changes]})
        return
    for name, change in changes:
        click.echo(f"{name}: {change}")
    click.echo(f"{len(changes)} connectors are new or changed")


@connectors.command()
@click.argument("name")
@_version
@json_option
def spec(name: str, wanted: str | None, as_json: bool) -> None:
    """Show the JSON schema of the configuration of connector NAME."""
    from atlas.connectors import runner
    from atlas.settings import settings

    connector = _connector(name, wanted)
    found = runner.spec(connector, settings())
    if as_json:
        emit({"name": name, "version": connector.version, "spec": found})
        return
    required = found.get("required") or []
    table(
        ["property", "type", "", "about"],
        [
            [
                key,
                said.get("type") or "one of several",
                "required" if key in required else "",
                said.get("description") or said.get("title") or "",
            ]
            for key, said in (found.get("properties") or {}).items()
        ],
    )


@connectors.command()
@click.argument("name")
@_config
@_version
@json_option
def check(name: str, file: Path | None, wanted: str | None, as_json: bool) -> None:
    """Try a configuration: that of connection NAME, or with --config one for connector NAME."""
    from atlas.connectors import runner
    from atlas.settings import settings

    with _source(name, file, wanted) as (connector, config, spec, changed):
        runner.check(connector, config, settings(), spec=spec, changed=changed)
    if as_json:
        emit({"name": name, "status": "succeeded"})
        return
    click.echo(f"{name}: the configuration works")


@connectors.command()
@click.argument("name")
@_config
@_version
@json_option
def discover(name: str, file: Path | None, wanted: str | None, as_json: bool) -> None:
    """Show what streams there are: of connection NAME, or with --config of connector NAME."""
    from atlas.connectors import runner
    from atlas.settings import settings

    with _source(name, file, wanted) as (connector, config, spec, changed):
        found = runner.discover(connector, config, settings(), spec=spec, changed=changed)
    if as_json:
        emit(
            {
                "streams": [
                    {
                        "stream": item.key.name,
                        "namespace": item.key.namespace,
                        "sync_modes": [mode.value for mode in item.supported_sync_modes],
                        "cursor_field": list(item.default_cursor_field),
                        "source_defined_cursor": item.source_defined_cursor,
                        "primary_key": [list(path) for path in item.source_defined_primary_key],
                        "json_schema": item.json_schema,
                    }
                    for item in found
                ]
            }
        )
        return
    table(
        ["stream", "modes", "cursor", "primary key", "columns"],
        [
            [
                str(item.key),
                ", ".join(item.supported_sync_modes),
                ".".join(item.default_cursor_field) or None,
                ", ".join(".".join(path) for path in item.source_defined_primary_key) or None,
                len(item.json_schema.get("properties") or {}),
            ]
            for item in found
        ],
    )


def _described(entry: Entry) -> dict[str, Any]:
    import msgspec

    from atlas.connectors.install import installed, versions
    from atlas.settings import settings

    current = installed(entry.name, settings()) if entry.install == "package" else None
    return {
        **msgspec.structs.asdict(entry),
        "installed": versions(entry.name, settings()) if entry.install == "package" else [],
        "current": None if current is None else current.version,
    }


_HOW = {
    "package": "a Python package",
    "docker": "an image: needs a Docker engine",
    "native": "comes with Atlas",
    "none": "cannot be run",
}


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit({"items": found, "next_cursor": None})
        return
    table(
        ["connector", "source", "category", "how", "version", "installed"],
        [
            [
                item["name"],
                item["title"],
                item["category"],
                _HOW[item["install"]],
                item["version"],
                ", ".join(
                    f"{version} (current)" if version == item["current"] else version
                    for version in item["installed"]
                ),
            ]
            for item in found
        ],
    )


def _installed(connector: Connector, as_json: bool) -> None:
    if as_json:
        emit({"name": connector.name, "version": connector.version})
        return
    click.echo(f"{connector.name}: {connector.version} is installed")


def _connector(name: str, version: str | None) -> Connector:
    from atlas.connectors.install import resolve
    from atlas.settings import settings

    return resolve(name, None, settings(), install_missing=True, version=version)


@contextlib.contextmanager
def _source(name: str, file: Path | None, version: str | None) -> Iterator[_Source]:
    """What to ask: a connection, which keeps what its source sends for its configuration, or a
    connector with what a file says."""
    from atlas.connectors import runner
    from atlas.connectors.config import validate
    from atlas.connectors.install import resolve
    from atlas.settings import secret_key, settings

    if file is not None:
        from atlas.sync.connections_file import read_config

        config = read_config(file)
        connector = _connector(name, version)
        known = runner.spec(connector, settings())
        validate(name, known, config)
        yield connector, config, known, None
        return

    from atlas.cli.database import begin, engine
    from atlas.ledger import connections as ledger
    from atlas.ledger.database import classified
    from atlas.stages.rotation import Rotation

    with begin() as conn:
        stored = ledger.get(conn, secret_key(settings()), name)
    this = stored.connection
    connector = resolve(
        this.connector,
        this.executable,
        settings(),
        install_missing=True,
        version=version or this.version,
    )
    known = runner.spec(connector, settings())
    with classified(engine().url.render_as_string()):
        rotation = Rotation(engine().begin, settings(), stored, known)
        yield connector, this.config, known, rotation


def _unused(name: str, version: str | None) -> None:
    """See that no connection runs what is to go; without a database nothing runs here.

    Raises:
        Conflict: one does.
    """
    from atlas.connectors.install import installed
    from atlas.errors import AtlasError, Conflict
    from atlas.settings import database_url, settings

    try:
        database_url(settings())
    except AtlasError:
        return
    from atlas.cli.database import begin
    from atlas.ledger import connections as ledger

    current = installed(name, settings())
    with begin() as conn:
        using = [
            item["name"]
            for item in ledger.names(conn)
            if item["connector"] == name
            and (
                version is None
                or version == (item["version"] or (current.version if current else None))
            )
        ]
    if using:
        raise Conflict(
            f"connector {name} is used by connection {', '.join(using[:3])}"
            f"{' and others' if len(using) > 3 else ''}: `--force` uninstalls it all the same"
        )
