"""``atlas quality fix``, ``override``, ``reprocess`` and ``discard``: rows that were set aside."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note
from atlas.cli.runs import see, wait_option
from atlas.cli.state import who
from atlas.errors import UsageError

if TYPE_CHECKING:
    from atlas.sync.quarantine import Request

_rows_argument = click.argument("rows", nargs=-1, type=click.IntRange(0))
_row_options = (
    click.option("--check", help="All rows that failed this check."),
    click.option("--all", "every", is_flag=True, help="All rows."),
)


def _which(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_row_options):
        command = option(command)
    return _rows_argument(command)


@click.command()
@click.argument("name")
@_which
@wait_option
@json_option
def reprocess(
    name: str,
    rows: tuple[int, ...],
    check: str | None,
    every: bool,
    wait: bool | None,
    as_json: bool,
) -> None:
    """Take ROWS of the quarantine of dataset NAME through quality, chart and navigate again.

    No source is asked. What passes is promoted, unless its key has a later record; what fails again
    stays in the quarantine.
    """
    from atlas.sync.quarantine import Request

    _start(name, Request(rows, check, every), wait, as_json)


@click.command()
@click.argument("name")
@click.argument("row", required=False, type=click.IntRange(0))
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="PROPERTY=VALUE",
    help="A value as JSON, a text in double quotes: status='\"active\"'; may be repeated.",
)
@click.option(
    "-f",
    "--file",
    type=click.File("rb"),
    help='Rows and values from a file, or - for standard input, one {"row": …, "set": {…}} a line.',
)
@click.option("--why", help="The reason, for others to read.")
@wait_option
@json_option
def fix(
    name: str,
    row: int | None,
    values: tuple[str, ...],
    file: IO[bytes] | None,
    why: str | None,
    wait: bool | None,
    as_json: bool,
) -> None:
    """Put values of ROW in the quarantine of dataset NAME right, and reprocess it.

    What the source sent stays in explore as it is. A personal value belongs into a file or standard
    input: what stands on a command line can be read by every user of the machine.
    """
    from atlas.sync.quarantine import Request

    if (row is None) == (file is None) or (row is None) != (not values):
        raise UsageError("name a row and what to --set in it, or give a --file of them")
    fixed = {row: dict(map(_pair, values))} if row is not None else _read(file)
    _start(name, Request(values=fixed, why=why), wait, as_json)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError("--set takes PROPERTY=VALUE")
    return name, value


def _read(file: IO[bytes] | None) -> dict[int, dict[str, str]]:
    """The rows of a file with their values as JSON texts, exact to the digit."""
    import msgspec

    kind = msgspec.defstruct(
        "Line", [("row", int), ("set", dict[str, msgspec.Raw])], forbid_unknown_fields=True
    )
    found: dict[int, dict[str, str]] = {}
    for number, text in enumerate(file or (), 1):
        if not text.strip():
            continue
        try:
            line: Any = msgspec.json.decode(text, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # not "from error": its text may quote a value
            raise UsageError(
                f'line {number}: it is not {{"row": …, "set": {{…}}}} in JSON'
            ) from None
        given = {
            # What is no UTF-8 is refused with the other values, by the row and its property.
            name: bytes(value).decode(errors="surrogateescape")
            for name, value in line.set.items()
        }
        found.setdefault(line.row, {}).update(given)
    if not found:
        raise UsageError("the file names no row")
    return found


@click.command()
@click.argument("name")
@click.argument("rows", nargs=-1, required=True, type=click.IntRange(0))
@click.option(
    "--check", "checks", multiple=True, required=True, help="Not to hold them; may be repeated."
)
@click.option("--why", required=True, help="The reason, for others to read.")
@wait_option
@json_option
def override(
    name: str,
    rows: tuple[int, ...],
    checks: tuple[str, ...],
    why: str,
    wait: bool | None,
    as_json: bool,
) -> None:
    """Have a check not hold ROWS in the quarantine of dataset NAME, and reprocess them.

    A row whose key or types are wrong has no place in its table: that cannot be overridden.
    """
    from atlas.sync.quarantine import Request

    _start(name, Request(rows, overrides=checks, why=why), wait, as_json)


@click.command()
@click.argument("name")
@_which
@click.option("--why", required=True, help="The reason, for others to read.")
@json_option
def discard(
    name: str, rows: tuple[int, ...], check: str | None, every: bool, why: str, as_json: bool
) -> None:
    """Take ROWS out of the quarantine of dataset NAME for good; explore keeps what was sent."""
    from atlas.cli.database import begin
    from atlas.sync import quarantine as use

    with begin() as conn:
        gone = use.discard(conn, name, use.choice(rows, check, every=every), actor=who(), why=why)
    if as_json:
        emit({"dataset": name, "discarded": gone})
        return
    click.echo(f"{name}: rows discarded: {gone}")


def _start(name: str, asked: Request, wait: bool | None, as_json: bool) -> None:
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync.quarantine import request_reprocess

    made = request_reprocess(engine(), settings(), name, asked, actor=who())
    note(f"{name}: rows taken up: {made.rows}")
    see(made.run_id, wait, as_json)
