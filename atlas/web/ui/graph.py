"""Lineage as a picture: boxes of columns, layer by layer from left to right, drawn here as SVG.

The same graph gives the same picture. It is bounded, and says where it was cut; what it links to
and what belongs together stands in its elements, so that a script can light up what a column comes
of and what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

MOST_BOXES = 60
MOST_ROWS = 180
MOST_OF_A_BOX = 40
MOST_LINKS = 300

_LAYERS = ("source", "explore", "chart", "navigate")
_WIDTH, _GAP, _HEAD, _ROW, _SPACE, _EDGE = 216, 84, 34, 21, 22, 12
_LONGEST = 25


@dataclass(slots=True)
class _Box:
    """A dataset: where it stands, and those of its columns that are told of."""

    number: int
    title: str
    layer: str | None
    path: str | None
    rank: int = 0
    columns: list[str] = field(default_factory=list)
    left_out: int = 0
    x: int = 0
    y: int = 0

    @property
    def height(self) -> int:
        return _HEAD + _ROW * (len(self.columns) + bool(self.left_out)) + (6 if self.columns else 0)


@dataclass(frozen=True, slots=True)
class Picture:
    """The drawing, and what had to be left out of it.

    Attributes:
        svg: the drawing.
        left_out: in words: what does not stand there.
    """

    svg: Markup
    boxes: int
    left_out: tuple[str, ...]


_Link = tuple[int, str | None, int, str | None, bool]


def draw(graph: Mapping[str, Any], label: str, run_id: str | None = None) -> Picture:
    """The picture of a graph, as :func:`atlas.sync.lineage.show` tells it.

    Args:
        label: what it shows, for those who do not see it.
        run_id: the run as of which it is, for the links.
    """
    boxes, links, gone = _read(graph, run_id)
    hidden = _shorten(boxes)
    _rank(boxes, links)
    width, height = _place(boxes, links)
    shown = links[:MOST_LINKS]
    left_out = [
        words.format(number)
        for words, number in (
            ("{:,} further datasets", gone),
            ("{:,} further columns", hidden),
            ("{:,} further lines", len(links) - len(shown)),
        )
        if number
    ]
    if graph.get("cut"):
        left_out.append("what lies beyond the limits of the search")
    by_number = {box.number: box for box in boxes.values()}
    drawn = [_line(by_number, link) for link in shown]
    drawn += [_drawn(box, run_id) for box in boxes.values()]
    svg = Markup(
        '<svg class="graph" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group"'
        ' aria-label="{label}">{body}</svg>'
    ).format(w=width, h=height, label=label, body=Markup("").join(drawn))
    return Picture(svg, len(boxes), tuple(left_out))


def path_of(dataset: str, column: str | None = None, run_id: str | None = None) -> str:
    """Where the lineage of a dataset or a column is shown."""
    query = {"column": column, "run": run_id}
    asked = urlencode({name: text for name, text in query.items() if text})
    return f"/lineage/{quote(dataset, safe='')}" + (f"?{asked}" if asked else "")


# --- what is to be drawn -------------------------------------------------------------------------


def _read(
    graph: Mapping[str, Any], run_id: str | None
) -> tuple[dict[tuple[str, str], _Box], list[_Link], int]:
    boxes: dict[tuple[str, str], _Box] = {}
    of_node: dict[str, tuple[tuple[str, str], str | None]] = {}
    gone = set()
    for node in graph["nodes"]:
        place = (node["namespace"], node["name"])
        if place not in boxes:
            if len(boxes) == MOST_BOXES:
                gone.add(place)
                continue
            title = node["dataset"] or node["name"]
            path = path_of(node["dataset"], None, run_id) if node["dataset"] else None
            boxes[place] = _Box(len(boxes), title, node["layer"], path)
        if node["column"] is not None:
            boxes[place].columns.append(node["column"])
        of_node[node["id"]] = (place, node["column"])
    links: dict[_Link, None] = {}
    for edge in graph["edges"]:
        if edge["source"] not in of_node or edge["target"] not in of_node:
            continue
        (source, column), (target, into) = of_node[edge["source"]], of_node[edge["target"]]
        if column is not None or not edge["columns"]:
            link = (boxes[source].number, column, boxes[target].number, into, edge["masking"])
            links[link] = None
            continue
        for each in edge["columns"]:
            masking = any(step["masking"] for step in each["steps"])
            for place, name in ((source, each["source"]), (target, each["target"])):
                if name is not None:
                    boxes[place].columns.append(name)
            links[
                boxes[source].number, each["source"], boxes[target].number, each["target"], masking
            ] = None
    for box in boxes.values():
        box.columns = list(dict.fromkeys(box.columns))
    return boxes, list(links), len(gone)


def _shorten(boxes: Mapping[Any, _Box]) -> int:
    """Leave out columns beyond the limits; returns how many."""
    hidden = 0
    each = max(2, min(MOST_OF_A_BOX, MOST_ROWS // max(1, len(boxes))))
    for box in boxes.values():
        box.left_out = max(0, len(box.columns) - each)
        box.columns = box.columns[:each]
        hidden += box.left_out
    return hidden


# --- where it stands -----------------------------------------------------------------------------


def _rank(boxes: Mapping[Any, _Box], links: Iterable[_Link]) -> None:
    """Ours stand by their layer; one of elsewhere beside what it has to do with."""
    by_number = {box.number: box for box in boxes.values()}
    known = {}
    for box in boxes.values():
        if box.layer in _LAYERS:
            known[box.number] = _LAYERS.index(box.layer)
    pairs = sorted({(source, target) for source, _, target, _, _ in links if source != target})
    for _ in range(len(boxes)):
        for source, target in pairs:
            if source in known and target not in known:
                known[target] = known[source] + 1
            elif target in known and source not in known:
                known[source] = known[target] - 1
    least = min(known.values(), default=0)
    ranks = sorted({known.get(number, least) for number in by_number})
    for number, box in by_number.items():
        box.rank = ranks.index(known.get(number, least))


def _place(boxes: Mapping[Any, _Box], links: Iterable[_Link]) -> tuple[int, int]:
    """Put each box somewhere; returns width and height of the whole."""
    comes_of: dict[int, list[int]] = {}
    for source, _, target, _, _ in links:
        comes_of.setdefault(target, []).append(source)
    by_number = {box.number: box for box in boxes.values()}
    ranks = sorted({box.rank for box in boxes.values()})
    height = 0
    for rank in ranks:
        there = [box for box in boxes.values() if box.rank == rank]
        # Beside what they come of, so that few lines cross.
        there.sort(key=lambda box: (_middle(box, comes_of, by_number), box.title))
        y = _EDGE
        for box in there:
            box.x, box.y = _EDGE + rank * (_WIDTH + _GAP), y
            y += box.height + _SPACE
        height = max(height, y - _SPACE + _EDGE)
    width = 2 * _EDGE + len(ranks) * _WIDTH + max(0, len(ranks) - 1) * _GAP
    return width, max(height, 2 * _EDGE + _HEAD)


def _middle(box: _Box, comes_of: Mapping[int, list[int]], by_number: Mapping[int, _Box]) -> float:
    before = [by_number[n] for n in comes_of.get(box.number, ()) if by_number[n].rank < box.rank]
    return sum(each.y for each in before) / len(before) if before else 0.0


# --- how it looks --------------------------------------------------------------------------------


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _port(box: _Box, column: str | None) -> tuple[int, str]:
    """At which height a line meets the box, and what it meets there."""
    if column in box.columns:
        row = box.columns.index(column)
        return box.y + _HEAD + row * _ROW + _ROW // 2, f"{box.number}.{row}"
    return box.y + _HEAD // 2, f"{box.number}"


def _line(by_number: Mapping[int, _Box], link: _Link) -> Markup:
    source, column, target, into, masking = link
    y1, begins = _port(by_number[source], column)
    y2, ends = _port(by_number[target], into)
    x1, x2 = by_number[source].x + _WIDTH, by_number[target].x
    bend = max(30, (x2 - x1) // 2)
    return Markup(
        '<path class="edge{kind}" data-from="{a}" data-to="{b}" d="M{x1} {y1}C{c1} {y1} {c2} {y2} '
        '{x2} {y2}"/>'
    ).format(
        kind=" masking" if masking else "",
        a=begins,
        b=ends,
        x1=x1,
        y1=y1,
        c1=x1 + bend,
        c2=x2 - bend,
        x2=x2,
        y2=y2,
    )


def _drawn(box: _Box, run_id: str | None) -> Markup:
    layer = box.layer if box.layer in _LAYERS else "elsewhere"
    name = box.title.partition(".")[2] if box.layer in _LAYERS else box.title
    head = Markup(
        '<rect class="box" x="{x}" y="{y}" width="{w}" height="{h}" rx="6"/>'
        '<rect class="stripe layer-{layer}" x="{x}" y="{y}" width="4" height="{h}" rx="2"/>'
    ).format(x=box.x, y=box.y, w=_WIDTH, h=box.height, layer=layer)
    title = _text(box.x + 14, box.y + 15, _cut(name), box.title, "name")
    title += Markup('<text class="layer" x="{x}" y="{y}">{layer}</text>').format(
        x=box.x + 14, y=box.y + 28, layer=layer
    )
    rows = [_row(box, number, column, run_id) for number, column in enumerate(box.columns)]
    if box.left_out:
        y = box.y + _HEAD + len(box.columns) * _ROW + 14
        words = f"and {box.left_out:,} more"
        rows.append(
            Markup('<text class="more" x="{}" y="{}">{}</text>').format(box.x + 14, y, words)
        )
    return Markup('<g class="node" data-port="{number}">{head}{title}{rows}</g>').format(
        number=box.number, head=head, title=_linked(title, box.path), rows=Markup("").join(rows)
    )


def _row(box: _Box, number: int, column: str, run_id: str | None) -> Markup:
    y = box.y + _HEAD + number * _ROW
    path = box.path and path_of(box.title, column, run_id)
    body = Markup('<rect class="row" x="{x}" y="{y}" width="{w}" height="{h}" rx="3"/>').format(
        x=box.x + 8, y=y, w=_WIDTH - 12, h=_ROW
    ) + _text(box.x + 14, y + 14, _cut(column), column, "column")
    return Markup('<g class="port" data-port="{box}.{row}">{body}</g>').format(
        box=box.number, row=number, body=_linked(body, path)
    )


def _text(x: int, y: int, shown: str, whole: str, kind: str) -> Markup:
    title = Markup("<title>{}</title>").format(whole[:120]) if shown != whole else ""
    return Markup('<text class="{}" x="{}" y="{}">{}{}</text>').format(kind, x, y, shown, title)


def _linked(body: Markup, path: str | None) -> Markup:
    return body if path is None else Markup('<a href="{}">{}</a>').format(path, body)
