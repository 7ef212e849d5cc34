"""A connection's own checks: its SodaCL file, taken apart into the checks of one stream.

The file is SodaCL as Soda documents it, with ``checks for <stream>:`` and the filters that these
use (``filter <stream> [name]:``). Its lines go to Soda as they stand, so that nothing is read
otherwise than Soda reads it. Refused is what does not check a stream, what would collect its
values (profiles, samples), and what reads the worker's files or environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import yaml

from atlas.errors import TerminalError, UsageError
from atlas.model.checks import Dimension, RowRule
from atlas.model.stream import Column, ColumnType
from atlas.quality.check import Check
from atlas.quality.rules import data_set, identifier

_HEADING = re.compile(
    r"^(?P<kind>checks for|filter) +(?P<name>\"[^\"]+\"|[^\s\"\[\]]+)(?: +\[(?P<filter>[^\]]+)\])?$"
)
_ZERO = re.compile(r"^(?P<metric>missing|invalid)_count\((?P<column>[^()]+)\) = 0$")
_DIMENSIONS = (
    ("missing_", Dimension.COMPLETENESS),
    ("row_count", Dimension.COMPLETENESS),
    ("duplicate_", Dimension.UNIQUENESS),
    ("invalid_", Dimension.VALIDITY),
    ("valid_", Dimension.VALIDITY),
    ("freshness", Dimension.TIMELINESS),
    ("schema", Dimension.CONSISTENCY),
    ("values in", Dimension.CONSISTENCY),
)


@dataclass(frozen=True, slots=True)
class _Section:
    """One heading of the file: where it stands, what it is about, and the lines below it."""

    line: int
    kind: str
    stream: str
    filter: str | None
    heading: str
    body: yaml.Node


def validate(text: str, streams: Iterable[str] | None = None) -> None:
    """Refuse a file that cannot be one of checks for ``streams``, as far as that shows without
    Soda; None: the streams are not known yet.

    Raises:
        UsageError: names the line.
    """
    names = None if streams is None else set(streams)
    try:
        sections = _sections(text)
        for section in sections:
            if names is not None:
                _known(section, names)
            if section.kind == "checks for":
                _items(section)
    except TerminalError as error:
        raise UsageError(str(error)) from error


def streams(text: str) -> list[str]:
    """Names of the streams that ``text`` has checks for.

    Raises:
        TerminalError: it is no SodaCL that is taken here; names the line.
    """
    found = [section.stream for section in _sections(text) if section.kind == "checks for"]
    return list(dict.fromkeys(found))


_MEASURED = re.compile(
    r"(row_count|((missing|invalid|valid|duplicate)_(count|percent)|avg|min|max|sum|stddev|variance|"
    r"avg_length|min_length|max_length|freshness)\(\"?\w+\"?( *, *\"?\w+\"?)*\))"
    r"( *([<>=!]+|not between|between)[\w.,%() -]*)?"
)
_NUMBERS = {"valid min", "valid max", "valid length", "valid min length", "valid max length"}
_PLAIN = _NUMBERS | {
    *("name", "attributes", "warn", "fail", "missing values", "missing regex", "missing format"),
    *("valid values", "valid regex", "valid format", "invalid values", "invalid regex"),
}


def own_sql(text: str) -> int | None:
    """The first line of ``text`` that has SQL of the user's own in it, or might; None: there is
    none, only metrics of columns and what they are held against.

    Raises:
        TerminalError: it is no SodaCL that is taken here; names the line.
    """
    for section in _sections(text):
        if section.kind == "filter" or section.filter is not None:
            return section.line
        for line, _, node in _items(section):
            if not _is_measured(node):
                return line
    return None


def _is_measured(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return _MEASURED.fullmatch(str(node.value)) is not None
    if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
        return False
    ((key, body),) = node.value
    if _MEASURED.fullmatch(str(key.value)) is None or not isinstance(body, yaml.MappingNode):
        return False
    settings = {str(key.value): value for key, value in body.value}
    numbers = all(_is_number(settings[name]) for name in _NUMBERS & settings.keys())
    return settings.keys() <= _PLAIN and numbers


def _is_number(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and bool(
        re.fullmatch(r"[+-]?\d+(\.\d+)?", str(node.value))
    )


def _known(section: _Section, names: set[str]) -> None:
    if section.stream not in names:
        there = ", ".join(sorted(names))
        raise _error(section.line, f"there is no stream {section.stream} (there are {there})")


def own_checks(
    text: str,
    stream: str,
    columns: Sequence[Column],
    taken: Iterable[str] = (),
    origin: str = "quality.checks",
) -> list[Check]:
    """The checks of ``text`` that are for ``stream``, under names not in ``taken``; ``origin`` is
    the key that the text came by.

    Their dimension is the one that ``attributes: {dimension: …}`` names, else follows from the
    metric (other metrics speak for accuracy).

    Raises:
        TerminalError: the text is no SodaCL that is taken here; names the line.
    """
    try:
        return _own_checks(text, stream, columns, set(taken), origin)
    except TerminalError as error:
        raise TerminalError(f"{origin}, {error}") from error


def _own_checks(
    text: str, stream: str, columns: Sequence[Column], names: set[str], origin: str
) -> list[Check]:
    lines = text.splitlines()
    sections = [section for section in _sections(text) if section.stream == stream]
    filters = {
        section.filter: "\n".join(
            [f"{_called(section)}:", *lines[section.line : section.body.end_mark.line]]
        )
        for section in sections
        if section.kind == "filter"
    }
    checks: list[Check] = []
    for section in sections:
        if section.kind != "checks for":
            continue
        header = f"{_called(section)}:"
        if section.filter is not None:
            if section.filter not in filters:
                raise _error(section.line, f"no filter [{section.filter}] is declared for {stream}")
            header = f"{filters[section.filter].rstrip()}\n{header}"
        for start, end, node in _items(section):
            check = _check(node, columns)
            name = _unique(check.name, names)
            names.add(name)
            rule = check.rule
            # Of a filtered check the rows outside of the filter do not fail.
            if rule is None or section.filter is not None:
                rule = None
            else:
                rule = RowRule(name, rule.column, rule.kind, rule.argument)
            body = "\n".join(lines[start - 1 : end]).rstrip()
            checks.append(
                Check(
                    name,
                    check.dimension,
                    check.column,
                    body,
                    rule=rule,
                    header=header,
                    line=start,
                    origin=origin,
                    warns=check.warns,
                )
            )
    return checks


def _called(section: _Section) -> str:
    """The heading as Soda is to read it: a stream's name that it cannot read has another there."""
    name = data_set(section.stream)
    if name == section.stream:
        return section.heading
    only = "" if section.filter is None else f" [{section.filter}]"
    return f"{section.kind} {identifier(name)}{only}"


def _error(line: int, problem: str) -> TerminalError:
    return TerminalError(f"line {line}: {problem}")


_DEEPEST = 64
_BEGIN = (
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
)
_END = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)


def _sections(text: str) -> list[_Section]:
    try:
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _BEGIN) - isinstance(token, _END)
            if depth > _DEEPEST:  # YAML calls itself for each
                raise _error(token.start_mark.line + 1, "is nested too deeply")
            if isinstance(token, yaml.AliasToken):
                # What it stands for is elsewhere: Soda would be given other lines than are judged
                # here. And a few lines of aliases stand for millions of nodes.
                line = token.start_mark.line + 1
                raise _error(line, f"*{token.value} is not taken here; write what it stands for")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(mark.line + 1 if mark else 1, f"no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _error(1, "no YAML: a character that it does not allow") from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise _error(1, "must start with `checks for <stream>:`")
    for number, line in enumerate(text.splitlines(), 1):
        if "${" in line:
            raise _error(number, "variables (${…}) are not taken here; write the value itself")
    return [_section(key, body) for key, body in root.value]


def _section(key: yaml.Node, body: yaml.Node) -> _Section:
    line = key.start_mark.line + 1
    heading = str(key.value)
    match = _HEADING.match(heading)
    if match is None:
        raise _error(
            line,
            f"cannot take `{heading}`: only `checks for <stream>` and `filter <stream> [name]`",
        )
    if match["kind"] == "filter" and match["filter"] is None:
        raise _error(line, f"`{heading}` needs a name in brackets")
    if match["kind"] == "filter" and isinstance(body, yaml.MappingNode) and body.flow_style:
        raise _error(line, f"below `{heading}:` stands `where: …`, on a line of its own")
    return _Section(line, match["kind"], match["name"].strip('"'), match["filter"], heading, body)


def _items(section: _Section) -> list[tuple[int, int, yaml.Node]]:
    """First line, last line and node of each check of a section."""
    if not isinstance(section.body, yaml.SequenceNode) or section.body.flow_style:
        raise _error(
            section.line, f"below `{section.heading}:` stands a list, one `- check` a line"
        )
    nodes: list[yaml.Node] = section.body.value
    starts = [node.start_mark.line + 1 for node in nodes]
    ends = [start - 1 for start in starts[1:]] + [section.body.end_mark.line]
    if section.body.end_mark.column:
        ends[-1] += 1
    for node in nodes:
        _refuse_files(node)
    return [
        (start, max(start, end), node) for start, end, node in zip(starts, ends, nodes, strict=True)
    ]


def _refuse_files(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if str(key.value).endswith("sql_file"):
                raise _error(
                    line, "sql_file is not taken here; write the query below `fail query:`"
                )
            if str(key.value) == "distribution reference file":
                raise _error(line, "files are not taken here, such as one of a distribution")
            _refuse_files(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _refuse_files(each)


def _check(node: yaml.Node, columns: Sequence[Column]) -> Check:
    """Name, dimension, column and row rule of one item; its text is not the node's business."""
    settings: dict[str, yaml.Node] = {}
    if isinstance(node, yaml.ScalarNode):
        text = str(node.value)
    elif isinstance(node, yaml.MappingNode) and node.value:
        key, body = node.value[0]
        text = str(key.value)
        if isinstance(body, yaml.MappingNode):
            settings = {str(key.value): value for key, value in body.value}
    else:
        raise _error(node.start_mark.line + 1, "is no check")
    if text.startswith(("invalid_count(", "invalid_percent(")) and not _says_valid(settings):
        # Soda finds no value invalid then, and the check passes whatever stands there.
        raise _error(
            node.start_mark.line + 1, f"`{text}` has to say what is valid, such as `valid values:`"
        )
    _refuse_unanswered(text, settings, node.start_mark.line + 1)
    name = text
    for key in ("name", "fail condition", "fail query"):
        if key in settings:
            name = " ".join(str(settings[key].value).split())
            break
    dimension = next((d for start, d in _DIMENSIONS if text.startswith(start)), Dimension.ACCURACY)
    rule = _rule(text, settings, {column.name: column.type for column in columns})
    return Check(
        name,
        _declared_dimension(settings) or dimension,
        rule.column if rule else _column(text, columns),
        "",
        rule=rule,
        warns="warn" in settings and "fail" not in settings and not _is_held(text),
    )


_UNANSWERED = {
    "group by": "its outcome cannot be told; write what is to hold as a condition or a query",
    "change ": "it compares with what only Soda's cloud keeps; gates of usual_… are Atlas's own",
    "anomaly ": "it compares with what only Soda's cloud keeps; gates of usual_… are Atlas's own",
}
"""Checks that Soda reads and never answers here, by how they begin, and what to do."""
_NO_NUMBER = re.compile(r"(?:[<>!]=?|=)\s*(?![<>!=\s]|[-+]?\.?\d)(?P<what>\S*)")


def _refuse_unanswered(text: str, settings: dict[str, yaml.Node], line: int) -> None:
    """Refuse what Soda has no answer to, and a bound such as NaN, with which it is always one."""
    for begins, why in _UNANSWERED.items():
        if text.startswith(begins):
            raise _error(line, f"`{begins.strip()}` is not taken here: {why}")
    bounds = [(re.sub(r"\([^()]*\)", "", text), line)]
    for key in ("warn", "fail"):
        node = settings.get(key)
        if isinstance(node, yaml.ScalarNode):
            bounds.append((str(node.value), node.start_mark.line + 1))
    for bound, at in bounds:
        if found := _NO_NUMBER.search(bound):
            raise _error(at, f"`{found['what']}` is no number to hold a check against")


def _is_held(text: str) -> bool:
    """Whether a check's line itself says what fails, such as ``duplicate_count(id) = 0``: whatever
    stands below it then, it fails."""
    return re.search(r"[<>=]|\bbetween\b", re.sub(r"\([^()]*\)", "", text)) is not None


def _says_valid(settings: dict[str, yaml.Node]) -> bool:
    return any(key.startswith(("valid ", "invalid ")) and settings[key].value for key in settings)


def _declared_dimension(settings: dict[str, yaml.Node]) -> Dimension | None:
    attributes = settings.get("attributes")
    if isinstance(attributes, yaml.MappingNode):
        for key, value in attributes.value:
            if key.value == "dimension":
                try:
                    return Dimension(str(value.value))
                except ValueError as error:
                    raise _error(
                        value.start_mark.line + 1,
                        f"no dimension {value.value} (there are {', '.join(Dimension)})",
                    ) from error
    return None


def _column(text: str, columns: Sequence[Column]) -> str | None:
    match = re.search(r"\(([^(),]+)[,)]", text)
    name = match[1].strip().strip('"') if match else None
    return name if any(column.name == name for column in columns) else None


_NUMERIC = (ColumnType.BIGINT, ColumnType.NUMERIC)


def _rule(
    text: str, settings: dict[str, yaml.Node], columns: dict[str, ColumnType]
) -> RowRule | None:
    """The rule of a check that says of every single row whether it may stand; None for others:
    a check that allows some failing rows, or speaks of all rows together, names none; nor does one
    that its column's type does not know, of which Soda has the last word."""
    match = _ZERO.match(text)
    kind = columns.get(match["column"].strip('"')) if match is not None else None
    if match is None or kind is None:
        return None
    column = match["column"].strip('"')
    given = settings.keys() - {"name", "attributes", "samples limit"}
    if match["metric"] == "missing":
        return RowRule("", column, "not_null") if not given else None
    if kind is ColumnType.TEXT and given == {"valid regex"}:
        return RowRule("", column, "format", str(settings["valid regex"].value))
    if given == {"valid values"}:
        values = _values(settings["valid values"], kind)
        return RowRule("", column, "in_set", values) if values else None
    if kind in _NUMERIC and given and given <= {"valid min", "valid max"}:
        return _range(column, settings)
    return None


_WRITTEN = {
    ColumnType.TEXT: re.compile(r".*", re.DOTALL),
    ColumnType.BIGINT: re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII),
    ColumnType.NUMERIC: re.compile(r"-?(0|[1-9]\d{0,99})(\.\d{1,99})?", re.ASCII),
}
"""Values that are of a type as they stand in YAML and in SQL alike."""


def _values(node: yaml.Node, kind: ColumnType) -> tuple[str, ...]:
    """The texts of the list ``node``; none where one is no value of ``kind``."""
    written = _WRITTEN.get(kind)
    if written is None or not isinstance(node, yaml.SequenceNode):
        return ()
    values = tuple(str(each.value) for each in node.value)
    return values if all(map(written.fullmatch, values)) else ()


def _range(column: str, settings: dict[str, yaml.Node]) -> RowRule | None:
    try:
        bounds = tuple(
            Decimal(str(settings[key].value)) if key in settings else None
            for key in ("valid min", "valid max")
        )
    except InvalidOperation:
        return None
    return RowRule("", column, "range", bounds)


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique
