"""JSON documents leaf by leaf: their paths, a walk that gathers text, a rewrite that keeps numbers.

Numbers are decoded as int or Decimal, never float, so that what is written back is what was read.
Member names are structure, but for those that look like data (an e-mail address as a key): they
never become part of a path, and are a leaf of their own, ``.~``, whose values are the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from atlas.errors import TerminalError
from atlas.pii.claims import IN_NUMBERS, claim, tokens
from atlas.pii.places import PLAIN, steps

_DATA_KEY = re.compile(r"@|(?:\d\D{0,2}){5}")
_CHILDREN = 200
_LONGEST_KEY = 64

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


def decode(text: str, column: str) -> Any:
    """The document ``text``, numbers exact.

    Raises:
        TerminalError: it is no JSON, or nested too deeply to be searched; names ``column``.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        # The cause may quote the document.
        raise TerminalError(
            f"column {column} holds JSON that cannot be searched ({type(error).__name__}): "
            "leave the stream out or mend it at the source"
        ) from None


def encode(document: Any) -> str:
    """``document`` as JSON text, numbers as they were decoded."""
    return _encoder.encode(document).decode()


class Node:
    """A place in the documents of one column, with everything below it.

    Attributes:
        path: its JSON path.
        words: tokens of the column's name and of the member names on the way, outermost first.
        texts: strings gathered there and not yet taken.
        numbers: numbers gathered there, as text, where the name claims what numbers can be.
    """

    __slots__ = (
        "_wants_numbers",
        "children",
        "item",
        "names",
        "numbers",
        "path",
        "star",
        "texts",
        "words",
    )

    def __init__(self, path: str, words: tuple[str, ...] = ()) -> None:
        self.path = path
        self.words = words
        self.children: dict[str, Node] = {}
        self.star: Node | None = None
        self.item: Node | None = None
        self.names: Node | None = None
        self.texts: list[str] = []
        self.numbers: list[str] = []
        asked = claim(words)
        self._wants_numbers = asked is not None and asked.entity_type in IN_NUMBERS

    def child(self, key: str) -> Node:
        """The node of member ``key``. Members that look like data, or are too many, share one
        node, ``.*``."""
        node = self.children.get(key)
        if node is not None:
            return node
        if (
            len(self.children) >= _CHILDREN
            or len(key) > _LONGEST_KEY
            or _DATA_KEY.search(key) is not None
        ):
            if self.star is None:
                self.star = Node(self.path + ".*", self.words)
            return self.star
        step = f".{key}" if PLAIN.fullmatch(key) else f"[{encode(key)}]"
        node = self.children[key] = Node(self.path + step, (*self.words, *tokens(key)))
        return node

    def elements(self) -> Node:
        """The node of the elements of an array."""
        if self.item is None:
            self.item = Node(self.path + "[*]", self.words)
        return self.item

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for below in (*self.children.values(), self.star, self.item, self.names):
            if below is not None:
                yield from below.walk()

    def gather(self, value: Any) -> None:
        """Append every string of ``value`` to the texts of the node where it stands."""
        if type(value) is str:
            self.texts.append(value)
        elif type(value) is dict:
            children = self.children
            for key, member in value.items():
                below = children.get(key) or self.child(key)
                if below is self.star and is_data(key):
                    if self.names is None:
                        self.names = Node(self.path + ".~", self.words)
                    self.names.texts.append(key)
                if type(member) is str:
                    below.texts.append(member)
                else:
                    below.gather(member)
        elif type(value) is list:
            below = self.elements()
            for element in value:
                below.gather(element)
        elif self._wants_numbers and type(value) in (int, Decimal):
            self.numbers.append(str(value))


def is_data(key: str) -> bool:
    """Whether a member's name looks like data."""
    return _DATA_KEY.search(key) is not None


Replace = Callable[[Any], Any]
"""Gives a string, number or boolean its masked form; returns the very same object to leave it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """What replaces all that stands at a place and below it.

    Attributes:
        value: what a string, number or boolean becomes.
        name: what a member's name that looks like data becomes; different names stay different.
    """

    value: Replace
    name: Replace


class Plan:
    """What to replace in the documents of one column, place by place.

    Attributes:
        whole: what replaces everything there, whatever ``spans`` are below.
        spans: what replaces parts of the strings there.
    """

    __slots__ = ("item", "members", "names", "spans", "star", "whole")

    def __init__(self) -> None:
        self.whole: Whole | None = None
        self.spans: Replace | None = None
        self.members: dict[str, Plan] = {}
        self.star: Plan | None = None
        self.item: Plan | None = None
        self.names: Plan | None = None

    def at(self, path: str) -> Plan:
        """The plan for the place at ``path``, made if need be."""
        plan = self
        for kind, name in steps(path):
            if kind == "member":
                plan = plan.members.setdefault(name, Plan())
            else:
                if getattr(plan, kind) is None:
                    setattr(plan, kind, Plan())
                plan = getattr(plan, kind)
        return plan

    def spread(self) -> None:
        """Have what is planned for any member hold for those that have a plan of their own: which
        member of very many got one is not the same in all batches."""
        if self.star is not None:
            for member in self.members.values():
                member._include(self.star)
        for below in (*self.members.values(), self.star, self.item):
            if below is not None:
                below.spread()

    def _include(self, other: Plan) -> None:
        self.whole = self.whole or other.whole
        self.spans = _both(self.spans, other.spans)
        for key, member in other.members.items():
            self.members.setdefault(key, Plan())._include(member)
        for kind in ("star", "item", "names"):
            theirs = getattr(other, kind)
            if theirs is not None:
                ours = getattr(self, kind) or Plan()
                ours._include(theirs)
                setattr(self, kind, ours)

    def apply(self, value: Any, above: Whole | None = None) -> tuple[Any, bool]:
        """``value`` with every replacement made, in place where it can be, and whether there was
        any.

        Args:
            above: what replaces at a place above, and so everything below it.
        """
        whole = self.whole or above
        if type(value) is dict:
            changed = False
            some = self.star is None and whole is None
            for key in self.members.keys() & value.keys() if some else value:
                below = self.members.get(key, self.star) or (_NOTHING if whole else None)
                if below is not None:
                    value[key], touched = below.apply(value[key], whole)
                    changed |= touched
            return self._renamed(value, changed, whole)
        if type(value) is list:
            changed = False
            below = self.item or (_NOTHING if whole else None)
            if below is not None:
                for index, element in enumerate(value):
                    value[index], touched = below.apply(element, whole)
                    changed |= touched
            return value, changed
        replace = self.spans if whole is None else whole.value
        if replace is None or value is None:
            return value, False
        replaced = replace(value)
        return replaced, replaced is not value

    def _renamed(
        self, value: dict[str, Any], changed: bool, whole: Whole | None
    ) -> tuple[Any, bool]:
        replace = None if whole is None else whole.name
        if self.names is not None:
            own = self.names.spans if self.names.whole is None else self.names.whole.name
            replace = own if replace is None or self.names.whole is not None else replace
        if replace is None:
            return value, changed
        names = {key: replace(key) if is_data(key) else key for key in value}
        if all(new is key for key, new in names.items()):
            return value, changed
        return {names[key]: member for key, member in value.items()}, True


def _both(first: Replace | None, second: Replace | None) -> Replace | None:
    if first is None or second is None:
        return first or second

    def replace(value: Any) -> Any:
        replaced = first(value)
        return second(value) if replaced is value else replaced

    return replace


_NOTHING = Plan()
