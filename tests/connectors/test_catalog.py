"""The catalog: whole, true to its page, and refreshed from a registry or left as it was."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from atlas.connectors import catalog
from atlas.errors import NotFound, TerminalError, TransientError, UsageError
from atlas.settings import Settings
from tools import catalog_update, connectors_check


def test_the_catalog_is_well_formed() -> None:
    entries = catalog.entries()
    assert len(entries) >= 200
    listed = yaml.safe_load(Path(catalog.__file__).with_name("catalog.yml").read_text())
    assert [entry["name"] for entry in listed] == sorted(entries), "named twice, or out of order"
    for name, entry in entries.items():
        assert name.startswith("source-")
        assert (entry.package is not None) == (entry.install == "package"), name
        assert (entry.install == "package") <= (entry.version is not None), name
        assert bool(entry.overrides) <= (entry.install == "package"), name
        assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+", o) for o in entry.overrides), name
        assert (entry.install == "docker") <= (entry.image is not None), name
        page = str(entry.documentation)
        assert entry.install in ("none", "native") or page.startswith("https://"), name
        assert (entry.install in ("docker", "none", "native")) <= bool(entry.note), name
        assert (entry.install == "native") == (name in catalog.NATIVE)


def test_every_source_that_was_known_before_is_there() -> None:
    assert len(set(connectors_check.WANTED)) == 74
    assert {f"source-{name}" for name in connectors_check.WANTED} <= set(catalog.entries())


def test_the_page_says_what_the_catalog_and_the_tries_say() -> None:
    text = connectors_check.PAGE.read_text()
    known = catalog.entries()
    assert connectors_check.page(text, known, connectors_check.read()) == text


@pytest.mark.parametrize(
    ("name", "near"), [("source-fakr", "source-faker"), ("faker", "source-faker")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(NotFound, match=f"unknown connector {name}: did you mean {near}"):
        catalog.get(name)


def test_a_search_finds_names_titles_and_categories() -> None:
    assert [entry.name for entry in catalog.search("sample faker")] == ["source-faker"]
    assert "source-mysql" in [entry.name for entry in catalog.search("databases")]
    assert catalog.search("faker databases") == []


def _source(name: str, tag: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dockerRepository": f"airbyte/source-{name.lower()}",
        "dockerImageTag": tag,
        **more,
    }


class _Registry(BaseHTTPRequestHandler):
    document: bytes = b""
    claimed: int = 0
    """So many bytes more are promised than come."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.document) + self.claimed))
        self.end_headers()
        self.wfile.write(self.document)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def registry() -> Iterator[Any]:
    """Serves a registry; call it with the document, get its URL."""
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def serve(document: Any) -> str:
        _Registry.document = (
            document if isinstance(document, bytes) else json.dumps(document).encode()
        )
        return f"http://127.0.0.1:{server.server_port}/registry.json"

    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_refresh_adds_and_changes(settings: Settings, registry: Any) -> None:
    pypi = {"pypi": {"enabled": True, "packageName": "airbyte-source-faker"}}
    url = registry(
        {
            "sources": [
                _source("Brandnew", "1.0.0", supportLevel="community", sourceType="api"),
                _source("Faker", "99.0.0", remoteRegistries=pypi, supportLevel="certified"),
                _source("Hubspot", "99.0.0"),
                _source("Postgres", "99.0.0"),
            ]
        }
    )
    changes = dict(catalog.refresh(settings, url))
    assert changes == {
        "source-brandnew": "new",
        "source-faker": "changed",
        "source-hubspot": "changed",
    }
    new = catalog.get("source-brandnew", settings)
    assert (new.install, new.image, new.version) == ("docker", "airbyte/source-brandnew", "1.0.0")
    faker = catalog.get("source-faker", settings)
    assert (faker.install, faker.version, faker.support) == ("package", "99.0.0", "certified")
    # The tag of an image is no version of a package.
    assert catalog.get("source-hubspot", settings).version == catalog.get("source-hubspot").version
    assert catalog.refresh(settings, url) == []
    assert "source-brandnew" not in catalog.entries()


def test_another_version_is_not_installed_with_what_this_one_needed(
    settings: Settings, registry: Any
) -> None:
    pypi = {"pypi": {"enabled": True, "packageName": "airbyte-source-pendo"}}
    shipped = catalog.get("source-pendo")
    assert shipped.overrides
    for tag, overrides in ((str(shipped.version), shipped.overrides), ("99.0.0", ())):
        url = registry({"sources": [_source("Pendo", tag, remoteRegistries=pypi)]})
        catalog.refresh(settings, url)
        learnt = catalog.get("source-pendo", settings)
        assert (learnt.version, learnt.overrides) == (tag, overrides)


def test_what_was_said_of_a_source_that_there_was_no_way_to_run_goes_with_that(
    settings: Settings, registry: Any
) -> None:
    pypi = {"pypi": {"enabled": True, "packageName": "airbyte-source-mysql"}}
    page = "https://docs.airbyte.com/integrations/sources/jenkins"
    catalog.refresh(
        settings,
        registry(
            {
                "sources": [
                    _source("Jenkins", "1.0.0", documentationUrl=page),
                    _source("Mysql", "5.0.0", remoteRegistries=pypi),
                    _source("Cockroachdb", "1.0.0"),
                ]
            }
        ),
    )
    jenkins = catalog.get("source-jenkins", settings)
    assert (jenkins.install, jenkins.note, jenkins.documentation) == ("docker", None, page)
    mysql = catalog.get("source-mysql", settings)
    assert (mysql.install, mysql.note) == ("package", None)
    assert catalog.get("source-cockroachdb", settings).note


def test_a_newer_catalog_than_the_one_that_was_refreshed_wins(
    settings: Settings, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = registry({"sources": [_source("Mysql", "0.0.1"), _source("Brandnew", "1.0.0")]})
    catalog.refresh(settings, url)
    assert catalog.get("source-mysql", settings).version == "0.0.1"
    shipped = {
        name: msgspec.structs.replace(entry, version="7.0.0") if name == "source-mysql" else entry
        for name, entry in catalog.entries().items()
    }
    monkeypatch.setattr(catalog, "_shipped", lambda: shipped)
    assert catalog.get("source-mysql", settings).version == "7.0.0"
    assert catalog.get("source-brandnew", settings).version == "1.0.0"


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        {"destinations": []},
        {"sources": [_source("x", "1.0.0") | {"dockerRepository": "airbyte/.."}]},
        {"sources": [_source("x", "1.0.0 --privileged")]},
        {
            "sources": [
                _source(
                    "x",
                    "1.0.0",
                    remoteRegistries={"pypi": {"enabled": True, "packageName": "x --index-url=y"}},
                )
            ]
        },
    ],
    ids=["html", "other", "path", "tag", "package"],
)
def test_what_is_no_registry_changes_nothing(
    settings: Settings, registry: Any, document: Any
) -> None:
    with pytest.raises(TerminalError, match="no registry of Airbyte: the catalog is as it was"):
        catalog.refresh(settings, registry(document))
    assert catalog.entries(settings) == catalog.entries()


def test_a_registry_that_is_away_changes_nothing(settings: Settings) -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        catalog.refresh(settings, "http://127.0.0.1:9/registry.json")
    assert catalog.entries(settings) == catalog.entries()


def test_a_registry_that_breaks_off_changes_nothing(
    settings: Settings, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = registry({"sources": [_source("Brandnew", "1.0.0")]})
    monkeypatch.setattr(_Registry, "claimed", 1000)
    with pytest.raises(TransientError, match=r"cannot be reached \(IncompleteRead\)"):
        catalog.refresh(settings, url)
    assert catalog.entries(settings) == catalog.entries()


def test_a_list_of_packages_raises_versions_and_adds_sources() -> None:
    text = catalog_update.CATALOG.read_text()
    untried = catalog.get("source-xkcd")
    assert catalog_update.update(text, {"source-xkcd": str(untried.version)}) == (text, [])
    versions = catalog_update.listed(
        "name\tversion\tmonth\n"
        "airbyte-source-aaa-new\t1.2.3\t2026-01\n"
        "airbyte-source-declarative-manifest\t6.0.0\n"
        "somebodys-airbyte-source-xkcd\t6.0.0\n"
        "airbyte-source-faker\t99.0.0\n"
        "airbyte-source-mysql\t99.0.0\n"
        "airbyte-source-xkcd\t99.0.0\n"
    )
    changed, told = catalog_update.update(text, versions)
    before, after = (yaml.load(part, yaml.CSafeLoader) for part in (text, changed))
    assert [entry["name"] for entry in after] == sorted(entry["name"] for entry in after)
    assert [entry for entry in after if entry not in before] == [
        {
            "name": "source-aaa-new",
            "title": "Aaa New",
            "category": "other",
            "install": "package",
            "package": "airbyte-source-aaa-new",
            "version": "1.2.3",
            "documentation": "https://docs.airbyte.com/integrations/sources/aaa-new",
            "support": "unknown",
        },
        next(entry for entry in before if entry["name"] == "source-xkcd") | {"version": "99.0.0"},
    ]
    assert len(after) == len(before) + 1
    assert [line.partition(";")[0] for line in told] == [
        "source-aaa-new 1.2.3: new",
        "source-faker 7.2.1: stays, for it is the one tried",
        "source-mysql: docker in the catalog, a package in the list",
        f"source-xkcd {untried.version}: changed",
    ]
    with pytest.raises(UsageError, match="names no source"):
        catalog_update.listed("airbyte-source-x")
