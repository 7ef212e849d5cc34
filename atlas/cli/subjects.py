"""``atlas pii find``, ``export`` and ``erase``: the data of one person; ``atlas audit``.

Identifiers come from a file or from standard input: what stands on a command line can be read by
every user of the machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note, table
from atlas.cli.state import who
from atlas.errors import UsageError

if TYPE_CHECKING:
    from atlas.sync.subjects import Request

_FEW = 10

_OPTIONS = (
    click.option(
        "-f",
        "--file",
        type=click.File("rb"),
        default="-",
        help="Identifiers, one a line (the default is standard input).",
    ),
    click.option(
        "--contains", is_flag=True, help="Also where they stand in the midst of a longer text."
    ),
    click.option("--connection", help="Look in this connection only."),
    click.option(
        "--column",
        "columns",
        multiple=True,
        help="Look in this column only; may be given several times.",
    ),
)


def _whom(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _request(
    file: IO[bytes], contains: bool, connection: str | None, columns: tuple[str, ...]
) -> Request:
    from atlas.sync import subjects

    if file.isatty():
        note("identifiers of the person, one a line; end with Ctrl-D")
    try:
        lines = file.read().decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError("the identifiers are no UTF-8 text") from error
    return subjects.request(lines, contains=contains, connection=connection, columns=columns)


@click.command()
@_whom
@json_option
def find(
    file: IO[bytes],
    contains: bool,
    connection: str | None,
    columns: tuple[str, ...],
    as_json: bool,
) -> None:
    """Count the rows of a person, stream by stream and layer by layer."""
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync import subjects

    asked = _request(file, contains, connection, columns)
    found = subjects.find(engine(), settings(), asked, actor=who())
    if as_json:
        emit(found)
        return
    _counts(found["streams"])


@click.command()
@_whom
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file, which must not be there yet; only you may read it.",
)
@json_option
def export(
    file: IO[bytes],
    contains: bool,
    connection: str | None,
    columns: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Give out all rows of a person as JSON: as they were read, and as they stand in each layer."""
    import msgspec

    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync import subjects

    if output is None and not as_json:
        raise UsageError("say --output FILE, or --json to have it on standard output")
    asked = _request(file, contains, connection, columns)
    # Before anything is read: whoever cannot write it shall not be said to have had it.
    with contextlib.nullcontext() if output is None else _private(output) as opened:
        found = subjects.export(engine(), settings(), asked, actor=who())
        text = msgspec.json.format(msgspec.json.encode(found), indent=2)
        if opened is not None:
            opened.write(text + b"\n")
    if output is not None:
        note(f"{sum(found['total'].values())} rows are written to {output}")
    if as_json:
        click.echo(text.decode())


@contextlib.contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    """A new file, for its owner only; gone again unless all of it is written."""
    try:
        opened = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as error:
        raise UsageError(f"{path} is there already: name another file") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with opened:
            yield opened
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error
        raise


@click.command()
@_whom
@click.option("--dry-run", is_flag=True, help="Only count what would be erased.")
@click.option("--yes", is_flag=True, help="Erase: it cannot be undone.")
@json_option
def erase(
    file: IO[bytes],
    contains: bool,
    connection: str | None,
    columns: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase all rows of a person, in explore, chart, quarantine and every version in navigate."""
    from atlas.cli.database import engine
    from atlas.settings import settings
    from atlas.sync import subjects

    asked = _request(file, contains, connection, columns)
    if dry_run or not yes:
        found = subjects.find(engine(), settings(), asked, actor=who())
        if as_json and dry_run:
            emit(found)
            return
        if not as_json:
            _counts(found["streams"])
        if not dry_run:
            rows = sum(found["total"].values())
            raise UsageError(f"nothing was erased: {rows} rows would be, say --yes to erase them")
        return
    done = subjects.erase(engine(), settings(), asked, actor=who())
    if as_json:
        emit(done)
        return
    _counts(each for each in done["streams"] if each["rows"] is not None)
    waiting = sorted({each["connection"] for each in done["streams"] if each["rows"] is None})
    if waiting:
        note(
            f"erasure {done['id']} goes on by itself when the active runs have ended of "
            f"{', '.join(waiting)}"
        )
    else:
        note(f"erasure {done['id']} is done")


def _counts(streams: Iterable[dict[str, Any]]) -> None:
    from atlas.layers.subjects import LAYERS

    table(
        ["connection", "stream", *LAYERS],
        [
            [
                each["connection"],
                ".".join(filter(None, (each["namespace"], each["stream"]))),
                *(each["rows"][layer] for layer in LAYERS),
            ]
            for each in streams
        ],
    )


@click.group()
def audit() -> None:
    """Read who did what with personal data."""


@audit.command("list")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."
)
@click.option("--cursor", help="Where the page before ended (next_cursor).")
@click.option("--action", help="Only entries of this action, such as pii.erase.")
@click.option("--subject", help="Only entries on this subject, as `atlas pii find --json` says it.")
@json_option
def list_entries(
    limit: int, cursor: str | None, action: str | None, subject: str | None, as_json: bool
) -> None:
    """List the entries of the audit log, newest first."""
    from atlas.cli.database import begin
    from atlas.ledger import audit as ledger
    from atlas.ledger import paging

    with begin() as conn:
        found = ledger.entries(
            conn, limit=limit + 1, after=paging.before(cursor), action=action, subject=subject
        )
    page = paging.page(found, limit)
    if as_json:
        emit(page)
        return
    table(
        ["entry", "at", "who", "action", "subject", "detail"],
        [
            [
                str(each["id"]),
                each["at"],
                each["actor"],
                each["action"],
                each["subject"],
                " ".join(f"{k}={v}" for k, v in each["detail"].items() if _short(v)),
            ]
            for each in page["items"]
        ],
    )
    if page["next_cursor"]:
        note(f"more: --cursor {page['next_cursor']}")


def _short(value: Any) -> bool:
    """Whether a line has room for it: some names or numbers at most."""
    return not isinstance(value, list) or (
        len(value) <= _FEW and not any(isinstance(each, dict) for each in value)
    )
