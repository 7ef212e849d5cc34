"""The icons, as lines on a 20 by 20 grid: drawn in the text's colour, silent to a screen reader."""

from __future__ import annotations

from markupsafe import Markup

_PATHS = {
    "overview": "M3 11.5 10 4l7 7.5M5 10v6.5h3.5V12h3v4.5H15V10",
    "plug": "M7 3v4M13 3v4M5 7h10v3a5 5 0 0 1-10 0zM10 15v3",
    "link": "M8.5 11.5a3.5 3.5 0 0 0 5 0l2.5-2.5a3.5 3.5 0 0 0-5-5L9.8 5.2M11.5 8.5a3.5 3.5 0 0 "
    "0-5 0L4 11a3.5 3.5 0 0 0 5 5l1.2-1.2",
    "runs": "M3 5h8M3 10h14M3 15h10M14 3l3 2-3 2z",
    "clock": "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 6v4l3 2",
    "table": "M3 4h14v12H3zM3 8h14M8 8v8M3 12h14",
    "check": "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M7 10l2.2 2.2L13 8",
    "graph": "M5 7a2 2 0 1 0 0-4 2 2 0 0 0 0 4M5 17a2 2 0 1 0 0-4 2 2 0 0 0 0 4M15 12a2 2 0 1 0 "
    "0-4 2 2 0 0 0 0 4M7 5c4 0 2 5 6 5M7 15c4 0 2-5 6-5",
    "shield": "M10 2.5 16 5v5c0 4-2.6 6.4-6 7.5C6.6 16.4 4 14 4 10V5zM10 7v3M10 13v.01",
    "box": "M3 6.5 10 3l7 3.5v7L10 17l-7-3.5zM3 6.5l7 3.5 7-3.5M10 10v7",
    "list": "M7 5h10M7 10h10M7 15h10M3.5 5h.01M3.5 10h.01M3.5 15h.01",
    "settings": "M4 6h6M14 6h2M4 14h2M10 14h6M12 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4M8 16a2 2 0 1 0 0-4 "
    "2 2 0 0 0 0 4",
    "menu": "M3 5.5h14M3 10h14M3 14.5h14",
    "close": "M5 5l10 10M15 5 5 15",
    "search": "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M13 13l4 4",
    "plus": "M10 4v12M4 10h12",
    "play": "M6 4l9 6-9 6z",
    "retry": "M16 10a6 6 0 1 1-2-4.5M14.5 2.5v3.5H11",
    "stop": "M6 6h8v8H6z",
    "arrow": "M4 10h12M11 5l5 5-5 5",
    "user": "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4 17c0-3.5 2.5-5 6-5s6 1.5 6 5",
    "key": "M7 10a3.5 3.5 0 1 0 0 .01M10.5 10H17v3M14 10v2",
    "exit": "M8 4H4v12h4M9 10h8M14 7l3 3-3 3",
    "sun": "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M10 2v1.5M10 16.5V18M2 10h1.5"
    "M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M4.3 15.7l1.1-1.1"
    "M14.6 5.4l1.1-1.1",
    "moon": "M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5",
    "system": "M3 4h14v9H3zM7.5 17h5M10 13v4",
    "warn": "M10 3.5 17.5 16.5h-15zM10 8v4M10 14.2v.01",
    "info": "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 9v5M10 6.5v.01",
    "external": "M8 4H4v12h12v-4M11 4h5v5M16 4l-7 7",
    "download": "M10 3v9M6 9l4 4 4-4M4 16h12",
    "trash": "M4 6h12M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
    "edit": "M4 16v-3L13 4l3 3-9 9zM11.5 5.5l3 3",
    "file": "M5 3h7l3 3v11H5zM12 3v3h3M8 10h4M8 13h4",
    "copy": "M7 7h9v9H7zM4 13V4h9",
    "filter": "M3 5h14l-5.5 6.5V16L8.5 14.5v-3z",
    "lock": "M5 9h10v8H5zM7 9V6.5a3 3 0 0 1 6 0V9",
}


def icon(name: str) -> Markup:
    """The icon called ``name``; raises KeyError for one that there is not."""
    return Markup(
        '<svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">'
        '<path d="{}"/></svg>'
    ).format(_PATHS[name])
