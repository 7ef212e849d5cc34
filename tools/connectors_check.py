"""``make connectors-check``: whether the catalog's connectors can be installed and asked.

Each is installed in a fresh environment as the product does it, asked for its spec and, where that
allows a configuration without an account, for check and discover. What came of it is kept in
connectors_checked.json beside this file, so that it can be broken off and goes on where it was, and
written as a table into docs/connectors.md.

    make connectors-check NAMES="source-faker source-pokeapi"    # default: all of WANTED
    make connectors-check ARGS=--again                           # also what was tried before
    make connectors-check ARGS=--table                           # only the table, anew
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atlas.connectors import catalog, runner
from atlas.connectors.install import Connector, install
from atlas.errors import AtlasError
from atlas.settings import Settings, parse
from tools import local_sources

KEPT = Path(__file__).with_name("connectors_checked.json")
PAGE = Path(__file__).parents[1] / "docs" / "connectors.md"
BEGIN = "<!-- what follows is written by make connectors-check -->"

WANTED = """
postgres mysql mssql mongodb-v2 oracle snowflake bigquery redshift clickhouse cockroachdb
salesforce hubspot pipedrive zoho-crm close-com copper freshsales
google-ads facebook-marketing linkedin-ads mailchimp klaviyo sendgrid braze iterable
shopify stripe woocommerce amazon-seller-partner square chargebee recurly
google-analytics-v4 mixpanel amplitude segment heap pendo
jira asana monday notion linear clickup-api trello
slack intercom zendesk-support freshdesk drift front
s3 gcs azure-blob-storage sftp google-drive google-sheets
greenhouse lever-hiring workday bamboo-hr
quickbooks xero netsuite plaid
github gitlab bitbucket datadog sentry circleci jenkins sonarqube launchdarkly
""".split()
"""The sources that users of Atlas's predecessor knew."""

_INCREMENTAL = re.compile(
    r"incremental_sync\s*:|DatetimeBasedCursor|IncrementalMixin|cursor_field\s*(?::\s*str)?\s*=\s*[\"']"
)


def main() -> int:
    """Try what is asked for; the exit code is 0 whatever the connectors do."""
    parser = argparse.ArgumentParser(prog="make connectors-check")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--again", action="store_true", help="also what was tried before")
    parser.add_argument("--table", action="store_true", help="try nothing, write the table")
    parser.add_argument("--install-seconds", type=float, default=420.0)
    options = parser.parse_args()
    known = catalog.entries()
    names = options.names or [
        f"source-{name}" for name in WANTED if known[f"source-{name}"].install == "package"
    ] + sorted(local_sources.SOURCES)
    kept = read()
    for name in [] if options.table else names:
        entry = catalog.get(name)
        if entry.install != "package":
            sys.stderr.write(f"{name}: {entry.install}, nothing to install\n")
            continue
        before = kept.get(name)
        if before is not None and _of_this(before, entry) and not options.again:
            continue
        kept[name] = found = attempt(entry, options.install_seconds)
        part = KEPT.with_suffix(".part")
        part.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        part.replace(KEPT)  # broken off while it writes, it has lost nothing
        sys.stderr.write(f"{name} {entry.version}: {found['outcome']} {found['reason']}\n")
    PAGE.write_text(page(PAGE.read_text(), known, kept))
    return 0


def read() -> dict[str, dict[str, Any]]:
    """What was tried, by name."""
    return dict(json.loads(KEPT.read_text())) if KEPT.exists() else {}


def attempt(entry: catalog.Entry, install_seconds: float) -> dict[str, Any]:
    """Try one connector in a home of its own, which is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="atlas-check-"))
    settings = dataclasses.replace(
        parse({"ATLAS_HOME": str(home)}), connector_install_timeout=install_seconds
    )
    found: dict[str, Any] = {
        "version": entry.version,
        "overrides": list(entry.overrides),
        "date": datetime.now(UTC).date().isoformat(),
        "outcome": "",
        "reason": "",
        "check": None,
        "discover": None,
        "read": None,
        "incremental": None,
    }
    begun = time.monotonic()
    try:
        connector = install(entry.name, settings)
        found["incremental"] = _incremental(connector)
        spec = runner.spec(connector, settings)
        found["outcome"] = "works"
        config = without_account(spec)
        if config is not None:
            found |= _asked(connector, config, settings)
        if entry.name in local_sources.SOURCES:
            with local_sources.SOURCES[entry.name](home) as local:
                found["read"] = local_sources.reads(connector, local, settings)
    except AtlasError as error:
        found |= {
            "outcome": "fails",
            "reason": str(error).removeprefix(f"connector {entry.name}: "),
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)
    found["seconds"] = round(time.monotonic() - begun, 1)
    # Where it was tried is nobody's business.
    return {
        key: value.replace(str(home), "ATLAS_HOME") if isinstance(value, str) else value
        for key, value in found.items()
    }


def without_account(spec: dict[str, Any]) -> dict[str, Any] | None:
    """A configuration that asks nobody's leave, or None where the spec demands more."""
    properties = spec.get("properties") or {}
    config = {}
    for name in spec.get("required") or []:
        said = properties.get(name) or {}
        if "const" in said:
            config[name] = said["const"]
        elif "default" in said:
            config[name] = said["default"]
        else:
            return None
    return config


def _asked(connector: Connector, config: dict[str, Any], settings: Settings) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    try:
        runner.check(connector, config, settings)
        answers["check"] = "succeeds"
        streams = runner.discover(connector, config, settings)
        answers["discover"] = f"{len(streams)} streams"
    except AtlasError as error:
        answers["check" if "check" not in answers else "discover"] = str(error).removeprefix(
            f"connector {connector.name}: "
        )
    return answers


def _incremental(connector: Connector) -> bool:
    """Whether the connector's own code has a cursor."""
    environment = Path(connector.command[0]).parents[1]
    own = [
        path
        for folder in environment.glob("lib/python*/site-packages/source_*")
        for path in [*folder.rglob("*.py"), *folder.rglob("*.yaml")]
    ]
    return any(_INCREMENTAL.search(path.read_text(errors="replace")) for path in own)


def page(text: str, known: dict[str, catalog.Entry], kept: dict[str, dict[str, Any]]) -> str:
    """docs/connectors.md with the tables anew."""
    kept = {
        name: item for name, item in kept.items() if name in known and _of_this(item, known[name])
    }
    tried = [item for item in kept.values() if item["outcome"]]
    wanted = [f"source-{name}" for name in WANTED]
    packages = [name for name in wanted if known[name].install == "package"]
    working = [name for name in packages if works(kept.get(name), known[name])]
    summary = (
        f"{len(known)} sources; {len(tried)} of them tried. Of the {len(wanted)} that users of "
        f"Atlas's predecessor knew, {len(packages)} are Python packages, of which "
        f"{len(working)} work, {sum(bool(known[name].overrides) for name in working)} of them with "
        "overrides."
    )
    lines = [
        BEGIN,
        "",
        summary,
        "",
        "| connector | source | how | version | tried | what came of it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in known.items():
        found = kept.get(name)
        lines.append(
            f"| {name} | {entry.title} | {entry.install} | {entry.version or ''} |"
            f" {found['date'] if found else ''} | {_told(entry, found)} |"
        )
    return text.split(BEGIN)[0] + "\n".join(lines) + "\n"


def works(found: dict[str, Any] | None, entry: catalog.Entry) -> bool:
    """Whether it was tried as the catalog has it now, and works."""
    return found is not None and found["outcome"] == "works" and _of_this(found, entry)


def _of_this(found: dict[str, Any], entry: catalog.Entry) -> bool:
    """Whether it was tried as the catalog has it now."""
    return (found["version"], found.get("overrides", [])) == (entry.version, list(entry.overrides))


def _told(entry: catalog.Entry, found: dict[str, Any] | None) -> str:
    note = f" {entry.note}" if entry.note else ""
    if entry.overrides:
        note = f" Installed with {', '.join(entry.overrides)} in place of what it asks for.{note}"
    if entry.install == "none":
        return str(entry.note)
    if entry.install == "native":
        return f"tried by `make test`.{note}"
    if found is None:
        return f"untested.{note}"
    told = found["outcome"]
    if found["reason"]:
        told += f": {found['reason']}"
    elif found["check"]:
        told += f"; check without an account: {found['check']}"
        if found["discover"]:
            told += f"; discover: {found['discover']}"
    if found.get("read"):
        told += f"; read from a source on this machine: {found['read']}"
    if note:
        told = told.rstrip(".") + "."
    return (told + note).replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
