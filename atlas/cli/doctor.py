"""``atlas doctor``: what is wrong with this installation, and what helps."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from atlas.cli.output import emit, json_option, table


@click.command("doctor")
@json_option
def doctor(as_json: bool) -> None:
    """Look at settings, files, servers, migrations, workers and leftovers, and say what to do.

    Changes nothing. Exit 1 if anything fails.
    """
    from atlas.settings import settings
    from atlas.sync.doctor import examine
    from atlas.sync.findings import State

    found = list(examine(settings()))
    failed = [each for each in found if each.state is State.FAIL]
    if as_json:
        emit({"healthy": not failed, "findings": [asdict(each) for each in found]})
    else:
        rows = [[each.state.value, each.what, each.seen] for each in found]
        table(["state", "what", "seen"], rows)
        for each in found:
            if each.remedy is not None:
                click.echo(f"{each.what}: {each.remedy}")
    if failed:
        sys.exit(1)
