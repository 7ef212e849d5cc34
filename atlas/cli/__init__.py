"""The command line: parsing arguments and printing, nothing else.

Each command imports what it needs when it runs, so that ``atlas --help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import sys

import click

from atlas import __version__
from atlas.cli.connections import apply, connections
from atlas.cli.connectors import connectors
from atlas.cli.datasets import datasets
from atlas.cli.demo import demo
from atlas.cli.doctor import doctor
from atlas.cli.keys import keys
from atlas.cli.lineage import lineage
from atlas.cli.maintenance import maintenance
from atlas.cli.pii import pii
from atlas.cli.quality import quality
from atlas.cli.quarantine import discard, fix, override, reprocess
from atlas.cli.runs import runs, sync
from atlas.cli.schedules import schedules
from atlas.cli.stack import down, migrate, status, up
from atlas.cli.state import state
from atlas.cli.subjects import audit, erase, export, find
from atlas.cli.users import users
from atlas.cli.webhooks import webhooks
from atlas.cli.worker_health import worker_health
from atlas.errors import NO_ROOM, AtlasError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Any Airbyte source into PostgreSQL: personal data found and masked, quality checked, "
    "history kept, lineage told.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="atlas")
@click.pass_context
def atlas(context: click.Context, debug: bool) -> None:
    """Entry of every command."""
    context.obj = {"debug": debug}


_COMMANDS = (
    up,
    down,
    status,
    worker_health,
    migrate,
    doctor,
    maintenance,
    apply,
    connections,
    connectors,
    sync,
    runs,
    schedules,
    state,
    datasets,
    pii,
    quality,
    lineage,
    audit,
    keys,
    users,
    webhooks,
    demo,
)
for command in _COMMANDS:
    atlas.add_command(command)
for of_a_person in (find, export, erase):
    pii.add_command(of_a_person)
for of_a_row in (fix, override, reprocess, discard):
    quality.add_command(of_a_row)


def main() -> None:
    """Run the command line; an error is one line on stderr and the exit code of its kind."""
    debug = "--debug" in sys.argv
    # Python would look through all that there is for garbage, again and again while a command
    # imports what it needs, and before it ends: a quarter of a short command's time.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    try:
        atlas.main(prog_name="atlas", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "atlas"
        message = " ".join(error.format_message().split())
        click.echo(f"atlas: {message} (see `{command} --help`)", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except AtlasError as error:
        if debug:
            raise
        click.echo(f"atlas: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = f" ({error.filename})" if error.filename else ""
            click.echo(f"atlas: the disk is full{where}: free space there", err=True)
            sys.exit(1)
        click.echo(
            f"atlas: internal error ({type(error).__name__}): run it again with "
            "`atlas --debug …` to see where, and please report it",
            err=True,
        )
        sys.exit(1)
