"""Places in JSON documents, as verdicts, policies and people name them.

``$.address.city`` is a member, ``$["first name"]`` one whose name is no word, ``$.tags[*]`` all
elements of an array, ``$.*`` all members, ``$.~`` the names of members. A policy or a person says a
column's name in place of the ``$``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from atlas.errors import UsageError

PLAIN = re.compile(r"[^\W\d]\w*")
"""A member's name that needs no quotes in a path."""
_STEP = re.compile(r'\.([^\W\d]\w*)|\.(\*)|\.(~)|\[(\*)\]|\["((?:[^"\\]|\\.)*)"\]')
_NAMED = re.compile(r"([^.\[]*)(.*)", re.DOTALL)


def steps(path: str) -> Iterator[tuple[str, str]]:
    """The steps of a JSON path after its "$": ("member", name), ("star", ""), ("names", "") or
    ("item", "").

    Raises:
        ValueError: it is none.
    """
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"no JSON path: {path}")
        plain, star, names, item, quoted = found.groups()
        if star:
            yield "star", ""
        elif names:
            yield "names", ""
        elif item:
            yield "item", ""
        else:
            yield "member", plain if plain is not None else json.loads(f'"{quoted}"')
        at = found.end()


def around(path: str) -> Iterator[str]:
    """The place itself and those that it is in, innermost first, without the whole column."""
    ends = [found.end() for found in _STEP.finditer(path, 1)]
    for end in reversed(ends):
        yield path[:end]


def covers(some: str, path: str) -> bool:
    """Whether what is said of the place ``some``, with ``.*`` in it, is said of ``path`` too."""
    theirs, ours = list(steps(some)), list(steps(path))
    return len(theirs) == len(ours) and all(
        its == mine or (its[0] == "star" and mine[0] == "member")
        for its, mine in zip(theirs, ours, strict=True)
    )


def split(named: str) -> tuple[str, str]:
    """Column and JSON path of a place as people name it; "" is the path of the whole column.

    Raises:
        UsageError: what follows the column's name is no path.
    """
    column, rest = _NAMED.fullmatch(named).groups()  # type: ignore[union-attr] # takes any text
    path = f"${rest}" if rest else ""
    try:
        list(steps(path))
    except ValueError:
        raise UsageError(
            f"pii: column {named[:100]!r}: what follows {column[:100]!r} names no place in JSON: a "
            'member is .name or ["any name"], the elements of an array are [*]'
        ) from None
    return column, path
