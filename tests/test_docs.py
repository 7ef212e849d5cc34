"""The documentation says what the code does: settings, commands, routes, names, paths, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from atlas.cli import atlas
from atlas.ledger.tables import metadata
from atlas.model.personal import Operator
from atlas.pii.policy import ENTITIES
from atlas.quality.own import validate
from atlas.settings import PREFIX, Settings
from atlas.stages import ORDER
from atlas.sync.connections_file import parse
from atlas.web.app import operations
from atlas.web.openapi import document
from atlas.web.problems import KINDS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)
_OPTION = re.compile(r"`(--?[a-z][a-z-]*)`")


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def _blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(page.read_text()) if kind == language]


# --- settings ------------------------------------------------------------------------------------


def _settings_rows() -> dict[str, str]:
    """Default by variable, as the tables of docs/settings.md have them."""
    row = re.compile(r"^\| `(ATLAS_\w+)` \| (`[^`]*`|unset) \| .{10,} \|$", re.MULTILINE)
    found = row.findall((DOCS / "settings.md").read_text())
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), "a setting stands there twice"
    return {name: default.strip("`") for name, default in found}


def test_every_setting_is_documented_and_no_other() -> None:
    assert set(_settings_rows()) == {PREFIX + spec.name.upper() for spec in fields(Settings)}


@pytest.mark.parametrize("spec", fields(Settings), ids=lambda spec: spec.name)
def test_documented_default_is_the_default(spec: object) -> None:
    name, default = spec.name, spec.default  # type: ignore[attr-defined]
    said = _settings_rows()[PREFIX + name.upper()]
    if default is None:
        assert said == "unset"
    elif isinstance(default, Path):
        assert said == str(default)
    else:
        assert said != "unset"
        assert spec.metadata["parse"](said) == default  # type: ignore[attr-defined]


@PAGE
def test_named_variables_are_settings(page: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", page.read_text()))
    assert named <= {PREFIX + spec.name.upper() for spec in fields(Settings)}


# --- command line --------------------------------------------------------------------------------


def _commands(command: click.Command, name: str = "atlas") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        if name == "atlas":
            yield name, command
        for inner in command.commands.values():
            yield from _commands(inner, f"{name} {inner.name}")
    else:
        yield name, command


def _arguments(command: click.Command) -> list[str]:
    return [str(p.name).upper() for p in command.params if isinstance(p, click.Argument)]


def _sections() -> dict[str, str]:
    """Text by heading ``### atlas …`` of docs/cli.md."""
    text = (DOCS / "cli.md").read_text()
    parts = re.split(r"^#{2,3} +(.+)$", text, flags=re.MULTILINE)[1:]
    return {
        title: body
        for title, body in zip(parts[::2], parts[1::2], strict=True)
        if title.startswith("atlas")
    }


COMMANDS = dict(_commands(atlas))


def test_every_command_is_documented_and_no_other() -> None:
    wanted = {" ".join([name, *_arguments(command)]) for name, command in COMMANDS.items()}
    assert set(_sections()) == wanted


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented_and_no_other(name: str) -> None:
    command = COMMANDS[name]
    body = _sections()[" ".join([name, *_arguments(command)])]
    items = re.findall(r"^- (.+?):", body, re.MULTILINE)
    documented = {option for item in items for option in _OPTION.findall(item)}
    there = {
        option
        for param in command.params
        if isinstance(param, click.Option)
        for option in (*param.opts, *param.secondary_opts)
    }
    assert documented - {"-h", "--help"} == there


@PAGE
def test_commands_that_a_page_tells_to_run_exist(page: Path) -> None:
    code = [*_CODE.findall(_prose(page)), *"\n".join(_blocks(page, "sh")).splitlines()]
    for text in code:
        for words in re.findall(r"(?:^|[\s(/])atlas((?: [a-z-]+)+)", text):
            command: click.Command = atlas
            for word in words.split():
                if not isinstance(command, click.Group) or word.startswith("-"):
                    break
                assert word in command.commands, f"{text!r}: there is no `{word}`"
                command = command.commands[word]
        for option in re.findall(r"\batlas [a-z ]+.*?(--[a-z][a-z-]*)", text):
            assert any(
                option in (*param.opts, *param.secondary_opts)
                for each in COMMANDS.values()
                for param in each.params
            ), f"{text!r}: there is no option {option}"


@PAGE
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = [*_CODE.findall(_prose(page)), *"\n".join(_blocks(page, "sh")).splitlines()]
    named = {found[1] for text in code if (found := re.match(r"make ([a-z-]+)", text))}
    assert named <= targets


# --- files that users write ----------------------------------------------------------------------


def _yaml(start: str) -> list[str]:
    return [b for page in PAGES for b in _blocks(page, "yaml") if b.startswith(start)]


def test_connections_files_of_the_pages_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "shop.yml").write_text(_yaml("checks for")[0])
    assert len(_yaml("connections:")) >= 2
    assert _yaml("policies:")
    for text in (*_yaml("connections:"), *_yaml("policies:")):
        assert len(parse(text, base=tmp_path).connections) == 1


def test_policies_of_the_pages_are_accepted(tmp_path: Path) -> None:
    assert _yaml("pii:")
    for block in _yaml("pii:"):
        inside = "".join(f"    {line}\n" for line in block.splitlines())
        parse(f"connections:\n  - name: shop\n    connector: source-faker\n{inside}", base=tmp_path)


def test_checks_of_the_pages_are_accepted() -> None:
    assert _yaml("checks for")
    for text in _yaml("checks for"):
        validate(text, ["users", "products"])


# --- what a page lists whole ---------------------------------------------------------------------


def _first_cells(page: str) -> list[str]:
    return re.findall(r"^\| (.+?) \|", (ROOT / page).read_text(), re.MULTILINE)


def test_every_table_of_the_ledger_is_described() -> None:
    described = {cell.strip("`") for cell in _first_cells("docs/architecture.md")}
    assert {table.name for table in metadata.tables.values()} <= described


@PAGE
def test_named_tables_of_the_ledger_exist(page: Path) -> None:
    named = set(re.findall(r"`pipeline\.(\w+)", page.read_text()))
    ours = {table.name for table in metadata.tables.values()}
    assert {name for name in named if not name.startswith("staging_")} <= ours


def test_every_stage_is_in_both_tables_of_stages() -> None:
    stages = [stage.value for stage in ORDER]
    for page in ("README.md", "docs/architecture.md"):
        cells = [cell for cell in _first_cells(page) if cell in stages]
        assert cells == stages, page


def test_every_route_and_problem_is_documented() -> None:
    cells = {cell.strip("`") for cell in _first_cells("docs/http-api.md")}
    assert {f"{each.method} {each.path}" for each in operations()} <= cells
    text = (DOCS / "http-api.md").read_text()
    for kind in KINDS.values():
        assert f"| `{kind.slug}` | {kind.status} |" in text


def test_every_query_parameter_is_in_the_tables_of_lists_and_of_the_others() -> None:
    """Orders, sorts and filters of each list, and what other routes take, as OpenAPI has them."""
    text = (DOCS / "http-api.md").read_text().partition("\n## Lists\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in re.findall(r"^\|.*", text, re.M)
    ]
    told = {row[0].strip("`"): row[1:] for row in rows if row[0].startswith("`")}
    paths = document(operations())["paths"]
    found = {}
    for each in operations():
        described = paths[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", each.path)][each.method.lower()]
        names = {p["name"]: p for p in described.get("parameters", ()) if p["in"] == "query"}
        if "cursor" in names:
            assert each.order, f"{each.id}: say the order of the list in its declaration"
            assert f"The order: {each.order}." in described["description"]
            sorts = names.pop("sort", {}).get("schema", {}).get("enum", ())
            found[f"{each.method} {each.path}"] = [
                each.order,
                set(sorts),
                names.keys() - {"limit", "cursor"},
            ]
        elif names:
            found[f"{each.method} {each.path}"] = [set(names)]
    assert {
        route: [cells[0], *map(_words, cells[1:])] if len(cells) == 3 else [_words(cells[0])]
        for route, cells in told.items()
    } == found


def test_what_may_be_sent_again_is_in_its_table() -> None:
    text = (DOCS / "http-api.md").read_text().partition("| sent again with the key |")[2]
    told = re.findall(r"^\| `(.+?)` \|", text.partition("\n\n")[0], re.M)
    honour = {f"{e.method} {e.path}" for e in operations() if "Idempotency-Key" in e.headers}
    assert sorted(told) == sorted(honour)


def _words(cell: str) -> set[str]:
    return set(re.findall(r"`(\S+)`", cell))


def test_every_entity_type_and_operator_is_documented() -> None:
    cells = [cell.split()[0].strip("`") for cell in _first_cells("docs/personal-data.md")]
    assert set(ENTITIES) | {operator.value for operator in Operator} <= set(cells)


# --- records, links, paths -----------------------------------------------------------------------


def test_every_decision_is_in_the_index_under_its_title() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert records
    for record in records:
        number = int(record.name[:4])
        title = record.read_text().splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({record.name})" in index
        assert record.name.startswith(f"{number:04}-")
        assert title.startswith(f"{number}. ")
        for part in ("Context", "Decision", "Why", "Runner-up", "Consequences"):
            assert f"**{part}.**" in record.read_text(), f"{record.name} lacks {part}"


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings of ``page``, as GitHub makes them."""
    titles = [title for _, title in _HEADING.findall(_prose(page))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@PAGE
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        if anchor:
            assert anchor in _anchors(target), f"{link}: no such heading"


# A path of the repository, by its first directory; or a file at its root, by its form.
_BELOW = re.compile(r"(?:\.ci|alembic|atlas|bench|docs|requirements|tests|workers)/[\w./-]*")
_AT_ROOT = re.compile(r"[\w-]+\.(?:md|py|cfg|toml|yml)|Makefile|Procfile|Dockerfile|LICENSE")
# A user's files, in examples.
_THEIRS = {"connections.yml", "openlineage.yml"}


@PAGE
def test_named_paths_exist(page: Path) -> None:
    for code in _CODE.findall(_prose(page)):
        if code in _THEIRS:
            continue
        if _BELOW.fullmatch(code) or _AT_ROOT.fullmatch(code):
            beside = page.parent / code if "/" not in code else ROOT / code
            assert (ROOT / code).exists() or beside.exists(), f"there is no {code}"
