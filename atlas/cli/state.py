"""``atlas state``: how far sources have been read, and having them read anew."""

from __future__ import annotations

import getpass
from typing import IO, Any

import click

from atlas.cli.output import json_option, note, table

_stream_option = click.option(
    "--stream", help="Only this stream: its name, or namespace.name where names repeat."
)


@click.group()
def state() -> None:
    """Look at the state of a connection, reset it, carry it from and to elsewhere."""


@state.command()
@click.argument("name")
@_stream_option
@json_option
def show(name: str, stream: str | None, as_json: bool) -> None:
    """Show how far connection NAME has been read."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    with begin() as conn:
        found = use.show(conn, name) if stream is None else use.show_stream(conn, name, stream)
    if as_json:
        _emit(found)
        return
    streams = found["streams"] if stream is None else [found]
    rows = [[_name(s), s["type"], _text(s["state"]), s["updated_at"]] for s in streams]
    table(["stream", "type", "state", "since"], rows)
    if stream is None and found["type"] == "LEGACY":
        note(f"one state for all streams: {_text(found['state'])}")


@state.command()
@click.argument("name")
@_stream_option
@json_option
def reset(name: str, stream: str | None, as_json: bool) -> None:
    """Forget how far connection NAME, or one stream of it, has been read."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    with begin() as conn:
        use.reset(conn, name, stream, actor=who())
    _tell(name, stream, "reset", as_json)


@state.command()
@click.argument("name")
@_stream_option
@json_option
def export(name: str, stream: str | None, as_json: bool) -> None:
    """Print the state of connection NAME as Airbyte's JSON (with or without --json)."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    with begin() as conn:
        found = use.export(conn, name, stream)
    click.echo(_pretty(found))


@state.command("import")
@click.argument("name")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.File("rb"),
    default="-",
    help="What `atlas state export` printed, or Airbyte wrote (the default is standard input).",
)
@_stream_option
@json_option
def import_state(name: str, file: IO[bytes], stream: str | None, as_json: bool) -> None:
    """Have this be the state of connection NAME, or of one stream of it."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    text = file.read()
    with begin() as conn:
        use.import_(conn, name, text, stream, actor=who())
    _tell(name, stream, "imported", as_json)


@state.command()
@click.argument("name")
@_stream_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--cursor", help="Where the page before ended (next_cursor).")
@json_option
def history(name: str, stream: str | None, limit: int, cursor: str | None, as_json: bool) -> None:
    """List the states that connection NAME had, newest first, and who left them."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    with begin() as conn:
        page = use.history(conn, name, stream=stream, limit=limit, cursor=cursor)
    if as_json:
        _emit(page)
        return
    table(
        ["entry", "stream", "type", "action", "by", "when", "state"],
        [
            [
                str(entry["id"]),
                _name(entry),
                entry["type"],
                entry["action"],
                entry["actor"],
                entry["changed_at"],
                _text(entry["state"]),
            ]
            for entry in page["items"]
        ],
    )
    if page["next_cursor"]:
        note(f"more: --cursor {page['next_cursor']}")


@state.command()
@click.argument("name")
@click.argument("entry", type=click.IntRange(min=1, max=2**62))
@json_option
def restore(name: str, entry: int, as_json: bool) -> None:
    """Put back the state of an ENTRY of the history of connection NAME."""
    from atlas.cli.database import begin
    from atlas.sync import state as use

    with begin() as conn:
        use.restore(conn, name, entry, actor=who())
    _tell(name, None, f"entry {entry} restored", as_json)


def who() -> str:
    """Who runs this command, as the history of states says it."""
    try:
        return f"cli: {getpass.getuser()}"
    except (OSError, KeyError):  # a user that the system does not know
        return "cli"


def _tell(name: str, stream: str | None, what: str, as_json: bool) -> None:
    from atlas.cli.database import begin
    from atlas.sync import state as use

    if not as_json:
        note(f"connection {name}{f', stream {stream}' if stream else ''}: {what}")
        return
    with begin() as conn:
        _emit(use.show(conn, name))


def _name(item: dict[str, Any]) -> str:
    name = item["stream"] or "(all)"
    return f"{item['namespace']}.{name}" if item["namespace"] else name


def _text(value: Any) -> str:
    return "-" if value is None else bytes(value).decode()


def _emit(document: Any) -> None:
    import msgspec

    click.echo(_pretty(msgspec.json.encode(document)))


def _pretty(text: bytes) -> str:
    import msgspec

    return msgspec.json.format(text, indent=2).decode()
