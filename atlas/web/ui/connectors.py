"""The catalog of connectors: which there are, how each runs, what it asks for; and installing."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from atlas.connectors import catalog
from atlas.errors import NotFound
from atlas.ledger import operations
from atlas.ledger.operations import Kind
from atlas.roles import Role
from atlas.settings import Settings
from atlas.web.api.connectors import ask, described, entry_of
from atlas.web.database import settings, transaction
from atlas.web.problems import Problem
from atlas.web.ui.pages import Page, go, render

_PER_PAGE = 60
WAYS = {
    "package": ("installs here", "ok"),
    "native": ("built in", "accent"),
    "docker": ("needs Docker", "warn"),
    "none": ("cannot run", "fail"),
}
"""How a connector comes here: words for people, and whether that is good news."""


def connectors() -> Response:
    """Those of the catalog that have the words, the category and the way that were asked for."""
    words = request.args.get("q", "")[:100]
    category, way = request.args.get("category", ""), request.args.get("way", "")
    there = installed(settings())
    found = [
        entry
        for entry in catalog.search(words, settings())
        if category in ("", entry.category) and _of_way(entry, way, there)
    ]
    if not words:
        found.sort(key=lambda entry: entry.name not in there)  # what is at hand comes first
    every = catalog.entries(settings())
    start = _number(request.args.get("cursor", ""))
    shown = found[start : start + _PER_PAGE]
    more = start + _PER_PAGE < len(found)
    return render(
        "connectors.html",
        items=shown,
        installed=there,
        ways=WAYS,
        found=len(found),
        total=len(every),
        categories=sorted({entry.category for entry in every.values()}),
        asked={"q": words, "category": category, "way": way},
        start=start,
        next_cursor=str(start + _PER_PAGE) if more else None,
    )


def connector(name: str) -> Response:
    """One connector, what its configuration asks for, and how an installation goes."""
    entry = entry_of(name)
    operation = None
    if asked := request.args.get("operation"):
        with transaction() as conn:
            try:
                operation = operations.document(conn, asked)
            except NotFound:
                operation = None
    return render(
        "connector.html",
        connector=described(entry),
        words=WAYS[entry.install],
        operation=operation,
        versions=_versions(entry),
        asks=_properties(spec_of(entry.name, settings())),
    )


def install(name: str) -> Response:
    """Have it installed, and show how that goes."""
    entry = entry_of(name)
    if entry.install != "package":
        raise Problem("conflict", f"there is nothing to install of {entry.name}")
    version = request.form.get("version", "").strip()[:100] or None  # what is none, the worker says
    operation = ask(Kind.INSTALL, entry, version=version)
    return go(f"/connectors/{entry.name}?operation={operation}")


def installed(of: Settings) -> dict[str, str]:
    """The version of each connector that can be run without an installation, by its name."""
    from atlas.connectors.install import installed as version_of

    found = {name: "" for name, entry in catalog.entries(of).items() if entry.install == "native"}
    home = of.home / "connectors"
    if home.is_dir():
        for path in home.iterdir():
            known = catalog.entries(of).get(path.name)
            if known is None or known.install != "package" or not path.is_dir():
                continue
            there = version_of(path.name, of)
            if there is not None:
                found[path.name] = there.version
    return found


def spec_of(name: str, of: Settings) -> dict[str, Any] | None:
    """The spec that was kept when the connector was installed; None: it was not."""
    from atlas.connectors import runner
    from atlas.connectors.install import present

    found = present(name, of)
    return None if found is None else runner.kept_spec(found, of)


def _versions(entry: catalog.Entry) -> list[str]:
    from atlas.connectors.install import versions

    return versions(entry.name, settings()) if entry.install == "package" else []


def _of_way(entry: catalog.Entry, way: str, there: dict[str, str]) -> bool:
    match way:
        case "":
            return True
        case "installed":
            return entry.name in there
        case "runs":
            return entry.install in ("package", "native")
        case _:
            return entry.install == way


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _properties(spec: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    from atlas.web.ui.spec_form import help_text
    from atlas.web.ui.spec_schema import resolved

    if spec is None:
        return None
    needed = set(spec.get("required") or ())
    found = []
    for name, inner in (spec.get("properties") or {}).items():
        schema = resolved(spec, inner)
        kind = schema.get("type") or ("one of several forms" if schema.get("oneOf") else "any")
        found.append(
            {
                "name": name,
                "title": schema.get("title") or name,
                "type": " or ".join(kind) if isinstance(kind, list) else kind,
                "required": name in needed,
                "secret": schema.get("airbyte_secret") is True,
                "help": help_text(schema.get("description")),
            }
        )
    return sorted(found, key=lambda each: not each["required"])


PAGES = [
    Page("/connectors", Role.VIEWER, connectors),
    Page("/connectors/<name>", Role.VIEWER, connector),
    Page("/connectors/<name>/install", Role.OPERATOR, install, ("POST",)),
]
