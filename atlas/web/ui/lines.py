"""A chart of several lines over time as SVG, for scores from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from atlas.web.ui.shown import minute, score

_WIDTH, _HEIGHT = 640.0, 190.0
_LEFT, _RIGHT, _TOP, _FOOT = 46.0, 8.0, 14.0, 26.0


def lines(
    series: Mapping[str, Sequence[float | None]],
    times: Sequence[object],
    label: str,
    marks: Mapping[str, Sequence[bool]] | None = None,
) -> Markup:
    """Lines of scores, oldest first; a gap where one is None. The last one is drawn on top.

    Args:
        series: by name, a score a time. The name is the class of its colour, too.
        times: when each was, as the ledger's documents have it.
        label: what it shows, for those who do not see it; the numbers stand in a table beside.
        marks: by name, which of its points are to be seen from afar.
    """
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return Markup('<p class="muted">no scores yet</p>')
    bottom = _bottom(min(known))
    drawn = [_axis(bottom, times)]
    for name, values in series.items():
        drawn.append(_line(name, values, times, bottom, (marks or {}).get(name, ())))
    return Markup(
        '<svg class="lines" viewBox="0 0 {w:.0f} {h:.0f}" role="img" aria-label="{label}">'
        "{body}</svg>"
    ).format(w=_WIDTH, h=_HEIGHT, label=label, body=Markup("").join(drawn))


def _bottom(least: float) -> float:
    """Where the axis begins: scores lie near 1, and what differs there shall be seen."""
    return next((bound for bound in (0.98, 0.95, 0.9, 0.8, 0.5) if least > bound), 0.0)


def _x(index: int, count: int) -> float:
    space = _WIDTH - _LEFT - _RIGHT
    return _LEFT + (space / 2 if count < 2 else index * space / (count - 1))


def _y(value: float, bottom: float) -> float:
    space = _HEIGHT - _TOP - _FOOT
    return _TOP + (1 - (value - bottom) / (1 - bottom)) * space


def _axis(bottom: float, times: Sequence[object]) -> Markup:
    steps = [bottom + (1 - bottom) * part / 2 for part in range(3)]
    rules = [
        Markup(
            '<line class="rule" x1="{l}" x2="{r}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text x="{x}" y="{t:.1f}" text-anchor="end">{value}</text>'
        ).format(
            l=_LEFT,
            r=_WIDTH - _RIGHT,
            y=_y(step, bottom),
            x=_LEFT - 5,
            t=_y(step, bottom) + 3.5,
            value=f"{step:.3f}".rstrip("0").rstrip("."),
        )
        for step in steps
    ]
    ends = Markup('<text x="{l}" y="{y}">{first}</text>').format(
        l=_LEFT, y=_HEIGHT - 5, first=minute(times[0])
    )
    if len(times) > 1:
        ends += Markup('<text x="{r}" y="{y}" text-anchor="end">{last}</text>').format(
            r=_WIDTH - _RIGHT, y=_HEIGHT - 5, last=minute(times[-1])
        )
    return Markup("").join(rules) + ends


def _line(
    name: str,
    values: Sequence[float | None],
    times: Sequence[object],
    bottom: float,
    marks: Sequence[bool],
) -> Markup:
    path: list[str] = []
    points: list[Markup] = []
    pen = "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        x, y = _x(index, len(values)), _y(value, bottom)
        path.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
        marked = index < len(marks) and marks[index]
        points.append(
            Markup(
                '<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"><title>{name} {value}, '
                "{at}{more}</title></circle>"
            ).format(
                kind="mark" if marked else "point",
                x=x,
                y=y,
                r=4.5 if marked else 2.5,
                name=name,
                value=score(value),
                at=minute(times[index]),
                more=", below what is usual" if marked else "",
            )
        )
    return Markup('<g class="line-{name}"><path d="{path}"/>{points}</g>').format(
        name=name, path=" ".join(path), points=Markup("").join(points)
    )
