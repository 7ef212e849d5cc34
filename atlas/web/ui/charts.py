"""Small charts as SVG, drawn here: no script, no inline style, colours from the style sheet."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from atlas.web.ui.shown import compact, score


def sparkline(values: Sequence[float | None], label: str, *, low: float | None = None) -> Markup:
    """A line over ``values``, oldest first; a gap where one is None.

    Args:
        label: what it shows, for those who do not see it.
        low: where the axis begins; left out: at the least value.
    """
    known = [value for value in values if value is not None]
    if not known:
        return Markup('<span class="muted">no data yet</span>')
    width, height, pad = 120.0, 28.0, 3.0
    bottom = min(known) if low is None else low
    top = max(known)
    span = (top - bottom) or 1.0
    step = (width - 2 * pad) / max(len(values) - 1, 1)
    pieces: list[str] = []
    pen = "M"
    last = (0.0, 0.0)
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        level = 0.5 if top == bottom else (value - bottom) / span
        last = (pad + index * step, height - pad - level * (height - 2 * pad))
        pieces.append(f"{pen}{last[0]:.1f} {last[1]:.1f}")
        pen = "L"
    return Markup(
        '<svg class="spark" viewBox="0 0 {w:.0f} {h:.0f}" role="img" aria-label="{label}">'
        '<path d="{path}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/></svg>'
    ).format(w=width, h=height, label=label, path=" ".join(pieces), x=last[0], y=last[1])


def bars(
    series: Sequence[tuple[str, float, str]],
    label: str,
    *,
    unit: str = "",
    height: int = 120,
    width: float = 640.0,
) -> Markup:
    """Columns side by side, oldest first.

    Args:
        series: name (shown on hover and below the first and last), value, and class of its colour
            (``ok``, ``fail``, ``accent`` …).
        label: what it shows, for those who do not see it.
        unit: of the values, such as ``rows``.
        width: of the drawing; it is stretched to its place, so take about the place's in pixels.
    """
    if not series:
        return Markup('<p class="muted">no data yet</p>')
    foot, head = 18.0, 14.0
    top = max(value for _, value, _ in series) or 1.0
    step = width / len(series)
    gap = min(4.0, step * 0.25)
    space = height - foot - head
    drawn = [
        Markup('<line class="axis" x1="0" y1="{y:.1f}" x2="{w:.0f}" y2="{y:.1f}"/>').format(
            y=height - foot, w=width
        )
    ]
    for index, (name, value, kind) in enumerate(series):
        tall = 0 if value <= 0 else max(1.5, value / top * space)
        drawn.append(
            Markup(
                '<rect class="bar bar-{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" '
                'height="{h:.1f}" rx="1.5"><title>{name}: {value} {unit}</title></rect>'
            ).format(
                kind=kind,
                x=index * step + gap / 2,
                y=height - foot - tall,
                w=max(step - gap, 1),
                h=tall,
                name=name,
                value=compact(value),
                unit=unit,
            )
        )
    words = Markup(
        '<text x="0" y="10">{top} {unit}</text><text x="0" y="{y}">{first}</text>'
        '<text x="{w:.0f}" y="{y}" text-anchor="end">{last}</text>'
    ).format(
        top=compact(top), unit=unit, y=height - 4, first=series[0][0], w=width, last=series[-1][0]
    )
    return Markup(
        '<svg class="bars" viewBox="0 0 {w:.0f} {h}" role="img" aria-label="{label}">{body}</svg>'
    ).format(w=width, h=height, label=label, body=Markup("").join(drawn) + words)


def meter(value: float | None, label: str, kind: str = "") -> Markup:
    """A share from 0 to 1 as a bar; ``kind``: class of its colour, by the value when left out."""
    if value is None:
        return Markup('<span class="muted" title="{}: not known">&ndash;</span>').format(label)
    colour = kind or ("ok" if value >= 0.95 else "warn" if value >= 0.8 else "fail")
    return Markup(
        '<svg class="meter meter-{kind}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        'aria-label="{label}: {text}"><rect class="meter-back" width="100" height="6"/>'
        '<rect class="meter-value" width="{w:.1f}" height="6"/></svg>'
    ).format(kind=escape(colour), label=label, text=score(value), w=max(0.0, min(1.0, value)) * 100)
