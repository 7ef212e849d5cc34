"""``atlas up``, ``down``, ``status`` and ``migrate``: the processes of Atlas."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from atlas.cli.output import emit, json_option, note, table

if TYPE_CHECKING:
    import sqlalchemy as sa


def prepare(database_url: str) -> None:
    """See that there is what a scanner is made of, that a Redis of the user's answers and keeps
    what it is given, bring the database to this version's schema, and see that the secret key is
    the one of its data, before any process works with them."""
    from atlas.ledger.database import engine
    from atlas.ledger.migrations import upgrade
    from atlas.local.redis import reach
    from atlas.pii import installed
    from atlas.settings import secret_key, settings

    installed.see(settings())
    if settings().redis_url is not None:
        reach(settings().redis_url or "")
        # Only then: what runs our own Redis has no client of it.
        from atlas.sync.queues import see_that_it_keeps

        see_that_it_keeps(settings())
    bound = engine(settings(), url=database_url, name="up")
    upgrade(bound)
    _see_keys(bound, secret_key(settings()))
    bound.dispose()


def _see_keys(bound: sa.Engine, secret: bytes) -> None:
    from atlas.ledger.database import classified
    from atlas.ledger.secrets import keys

    with classified(bound.url.render_as_string()), bound.begin() as conn:
        keys(conn, secret)


@click.command()
@click.option("--detach", is_flag=True, help="Return when it is ready; `atlas down` stops it.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Worker processes for the scan queue.",
)
@json_option
def up(detach: bool, workers: int, as_json: bool) -> None:
    """Run the whole stack: servers, web, workers, beat, Flower. Ctrl-C stops it."""
    from atlas.cli.users import first_link
    from atlas.local import stack
    from atlas.settings import settings

    # What a detached one prints goes to a file of logs, where no link belongs.
    quiet = os.environ.pop(stack.DETACHED, None) is not None

    def ready(found: dict[str, Any]) -> None:
        link = None if quiet else first_link()
        if as_json:
            emit({**found, "setup_link": link})
            return
        click.echo(f"ready: {found['api_url']} (Flower: {found['flower_url']})")
        if link is not None:
            click.echo(f"nobody can log in yet; this link makes the first user, once: {link}")

    stack.up(
        settings(),
        detach=detach,
        workers=workers,
        prepare=prepare,
        on_event=note,
        on_ready=ready,
    )


@click.command()
@json_option
def down(as_json: bool) -> None:
    """Stop the stack that `atlas up` runs."""
    from atlas.local import stack
    from atlas.settings import settings

    stopped = stack.down(settings())
    if as_json:
        emit({"stopped": stopped})
    else:
        note("stopped" if stopped else "nothing was running")


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show what runs and whether it is ready."""
    from atlas.local import stack
    from atlas.settings import settings

    found = stack.status(settings())
    if as_json:
        emit(found)
    else:
        click.echo("ready" if found["ready"] else "not ready")
        for key in ("api_url", "flower_url", "database_url", "redis_url"):
            click.echo(f"{key:<14}{found[key] or '-'}")
        table(
            ["process", "pid", "queues"],
            [[p["name"], str(p["pid"]), ", ".join(p["queues"])] for p in found["processes"]],
        )
    if not found["ready"]:
        sys.exit(1)


@click.command()
@click.option(
    "--down-to",
    metavar="REVISION",
    help="Bring it back to the schema of an older version instead, before that one is installed.",
)
@json_option
def migrate(down_to: str | None, as_json: bool) -> None:
    """Bring the database to this version's schema (`atlas up` does it by itself). With
    ATLAS_SECRET_KEY set, also see that it is the one of the database's data.

    The way back is refused where it would lose data.
    """
    from atlas.cli.database import engine
    from atlas.ledger import migrations
    from atlas.settings import secret_key, settings

    if down_to is not None:
        before = migrations.current(engine())
        migrations.downgrade(engine(), down_to)
        now = migrations.current(engine())
        if as_json:
            emit({"revision": now, "changed": now != before})
        else:
            note(f"revision {now or 'none'}")
        return
    changed = migrations.upgrade(engine())
    if settings().secret_key is not None:
        _see_keys(engine(), secret_key(settings()))
    if as_json:
        emit({"revision": migrations.head(), "changed": changed})
    else:
        note(f"revision {migrations.head()}" + (", migrated" if changed else ", as it was"))
