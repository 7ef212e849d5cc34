"""Brings catalog.yml up to a list of packages: versions that have risen, sources that are new.

    .venv/bin/python -m tools.catalog_update packages.tsv

The list has a package's name and version a line, parted by a tab; more columns, and packages that
are no Airbyte sources, are passed over. What is written by hand in the catalog stays. A version
that was tried and works, or is installed with overrides, gives way to none that was not tried: it
is named, for somebody to change, and to try with ``make connectors-check``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from atlas.connectors import catalog
from atlas.errors import UsageError
from tools import connectors_check

CATALOG = Path(catalog.__file__).with_name("catalog.yml")

_PACKAGE = re.compile(r"airbyte-(source-[a-z0-9-]+)")
_BLOCK = re.compile(r"^(?=- name: )", re.MULTILINE)
_LEFT_OUT = {"source-declarative-manifest"}
"""A manifest is named by a connection itself."""


def main() -> int:
    """Write the catalog; say what has changed, and what has not though the list has another."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tools.catalog_update LIST\n")
        return 2
    try:
        versions = listed(Path(sys.argv[1]).read_text())
    except (OSError, UnicodeError, UsageError) as error:
        sys.stderr.write(f"{sys.argv[1]}: {error}\n")
        return 1
    text, told = update(CATALOG.read_text(), versions)
    CATALOG.write_text(text)
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return 0


def listed(text: str) -> dict[str, str]:
    """The versions of a list, by the source's name.

    Raises:
        UsageError: there is no source in it.
    """
    found = {}
    for line in text.splitlines():
        package, _, rest = line.partition("\t")
        match = _PACKAGE.fullmatch(package)
        if match is not None and match[1] not in _LEFT_OUT and rest:
            found[match[1]] = rest.partition("\t")[0]
    if not found:
        raise UsageError("the list names no source: write lines of a package, a tab, a version")
    return found


def update(text: str, versions: dict[str, str]) -> tuple[str, list[str]]:
    """The catalog's text with ``versions``, and a line for each difference."""
    head, *parts = _BLOCK.split(text)
    blocks = {part.split("\n", 1)[0].removeprefix("- name: "): part for part in parts}
    known, kept, told = catalog.entries(), connectors_check.read(), []
    for name, version in versions.items():
        entry = known.get(name)
        if entry is None:
            blocks[name] = _new(name, version)
            told.append(f"{name} {version}: new; look at its title and category")
        elif entry.install != "package":
            told.append(f"{name}: {entry.install} in the catalog, a package in the list")
        elif entry.version != version:
            works = connectors_check.works(kept.get(name), entry)
            if not works and not entry.overrides:
                old = f'  version: "{entry.version}"\n'
                blocks[name] = blocks[name].replace(old, f'  version: "{version}"\n')
            stays = "stays, for it is the one tried" if works or entry.overrides else "changed"
            told.append(f"{name} {entry.version}: {stays}; the list has {version}")
    return head + "".join(blocks[name] for name in sorted(blocks)), told


def _new(name: str, version: str) -> str:
    short = name.removeprefix("source-")
    return (
        f"- name: {name}\n"
        f"  title: {short.replace('-', ' ').title()}\n"
        "  category: other\n"
        "  install: package\n"
        f"  package: airbyte-{name}\n"
        f'  version: "{version}"\n'
        f'  documentation: "https://docs.airbyte.com/integrations/sources/{short}"\n'
        "  support: unknown\n"
    )


if __name__ == "__main__":
    sys.exit(main())
