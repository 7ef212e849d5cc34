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

from atlas.pii.claims import IN_NUMBERS, claim, tokens
from atlas.pii.folding import as_read
from atlas.pii.places import PLAIN, steps

_DATA_KEY = re.compile(r"@|(?:\d\D{0,2}){5}")
_MEMBERS = 200
_PLACES = 2_000
_DEEPEST = 200
_LONGEST_KEY = 64

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")


UNSEARCHED: Any = object()
"""What :func:`decode` gives for a document that cannot be searched."""


def decode(text: str) -> Any:
    """The document ``text``, numbers exact; :data:`UNSEARCHED` if it is nested deeper than
    ``_DEEPEST``, has a number too long to be read, or is no JSON.

    It is the same whoever asks: the bound is far below the one that a process's stack would set.
    """
    try:
        document = _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, ArithmeticError):
        return UNSEARCHED
    # Few brackets are not many levels, and most documents have few.
    if text.count("{") + text.count("[") > _DEEPEST and _deep(document):
        return UNSEARCHED
    return document


def _deep(document: Any) -> bool:
    """Whether there are more than ``_DEEPEST`` levels of objects and arrays."""
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            below
            for each in level
            for below in (each.values() if type(each) is dict else each)
            if type(below) in (dict, list)
        ]
        if not level:
            return False
    return True


def encode(document: Any) -> str:
    """``document`` as JSON text, numbers as they were decoded."""
    return _encoder.encode(document).decode()


class _Shared:
    """What the nodes of one column have in common.

    Attributes:
        nodes: how many they are.
        members: how many members without a claim an object may have.
    """

    __slots__ = ("members", "nodes")

    def __init__(self) -> None:
        self.nodes = 0
        self.members = _MEMBERS


class Node:
    """A place in the documents of one column, with everything below it.

    A member whose name claims something has a node of its own. So have the others while they are
    few; where an object has more than ``_MEMBERS`` of them it is a map, whose keys are data, and
    all of them share one node, ``.*``. It makes no difference in which order they come.

    Attributes:
        path: its JSON path.
        words: tokens of the column's name and of the member names on the way, outermost first.
        texts: strings gathered there and not yet taken.
        numbers: numbers gathered there and not yet taken.
        wants_numbers: whether the name claims what numbers can be.
    """

    __slots__ = (
        "_map",
        "_plain",
        "_shared",
        "children",
        "item",
        "names",
        "numbers",
        "path",
        "star",
        "texts",
        "wants_numbers",
        "words",
    )

    def __init__(
        self, path: str, words: tuple[str, ...] = (), shared: _Shared | None = None
    ) -> None:
        self.path = path
        self.words = words
        self.children: dict[str, Node] = {}
        self.star: Node | None = None
        self.item: Node | None = None
        self.names: Node | None = None
        self.texts: list[str] = []
        self.numbers: list[int | Decimal] = []
        asked = claim(words)
        self.wants_numbers = asked is not None and asked.entity_type in IN_NUMBERS
        self._shared = shared if shared is not None else _Shared()
        self._shared.nodes += 1
        self._plain = 0
        self._map = False

    def child(self, key: str) -> Node:
        """The node of member ``key``. Members that look like data, or are too many, share one
        node, ``.*``."""
        node = self.children.get(key)
        if node is not None:
            return node
        if len(key) > _LONGEST_KEY or is_data(key):
            return self.others()
        claims = _claims(key) and len(self.children) < _PLACES
        if self._map and not claims:
            return self.others()
        step = f".{key}" if PLAIN.fullmatch(key) else f"[{encode(key)}]"
        words = (*self.words, *tokens(key))
        node = self.children[key] = Node(self.path + step, words, self._shared)
        if not claims:
            self._plain += 1
            if self._plain > self._shared.members:
                self._becomes_map()
                return self.others()
        return node

    def others(self) -> Node:
        """The node that members without one of their own share."""
        if self.star is None:
            self.star = Node(self.path + ".*", self.words, self._shared)
        return self.star

    def elements(self) -> Node:
        """The node of the elements of an array."""
        if self.item is None:
            self.item = Node(self.path + "[*]", self.words, self._shared)
        return self.item

    def keys(self) -> Node:
        """The node of the names of members that look like data."""
        if self.names is None:
            self.names = Node(self.path + ".~", self.words, self._shared)
        return self.names

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for below in (*self.children.values(), self.star, self.item, self.names):
            if below is not None:
                yield from below.walk()

    def place(self, path: str, *, make: bool = False) -> Node | None:
        """The node where what is at ``path`` is gathered; None if there is none.

        Args:
            make: make those that are missing, as if a document had come with them.
        """
        node: Node | None = self
        for kind, name in steps(path):
            if node is None:
                return None
            if kind == "member":
                node = node.child(name) if make else node.children.get(name, node.star)
            elif kind == "star":
                node = node.others() if make else node.star
            elif kind == "names":
                node = node.keys() if make else node.names
            else:
                node = node.elements() if make else node.item
        return node

    def narrow(self) -> None:
        """Hold the nodes of the column to a bounded number: while they are more, ever smaller
        objects are maps. Called between documents.

        Which those are depends on the rows so far, for the nodes of all rows together may be too
        many to have. A map's members are searched and masked like all else.
        """
        shared = self._shared
        while shared.nodes > _PLACES and shared.members:
            shared.members //= 2
            for node in list(self.walk()):
                if node._plain > shared.members:
                    node._becomes_map()

    def _becomes_map(self) -> None:
        """From now on members that claim nothing share a node, with what they have so far."""
        self._map, self._plain = True, 0
        for key in [key for key in self.children if not _claims(key)]:
            gone = self.children.pop(key)
            self._shared.nodes -= sum(1 for _ in gone.walk())
            self.others()._absorb(gone)

    def _absorb(self, other: Node) -> None:
        self.texts += other.texts
        self.numbers += other.numbers
        for key, below in other.children.items():
            self.child(key)._absorb(below)
        if other.star is not None:
            self.others()._absorb(other.star)
        if other.item is not None:
            self.elements()._absorb(other.item)
        if other.names is not None:
            self.keys()._absorb(other.names)
        if other._map and not self._map:
            self._becomes_map()

    def gather(self, value: Any) -> None:
        """Append every string and number of ``value`` to the node where it stands."""
        if type(value) is str:
            self.texts.append(value)
        elif type(value) is dict:
            for key, member in value.items():
                below = self.children.get(key) or self.child(key)
                if below is self.star and is_data(key):
                    self.keys().texts.append(key)
                if type(member) is str:
                    below.texts.append(member)
                else:
                    below.gather(member)
        elif type(value) is list:
            below = self.elements()
            for element in value:
                below.gather(element)
        elif type(value) in (int, Decimal):
            # Kept wherever they are: they may come to share a node that wants them.
            self.numbers.append(value)


def _claims(key: str) -> bool:
    return claim(tokens(key)) is not None


def is_data(key: str) -> bool:
    """Whether a member's name looks like data, as it is written or as it reads."""
    return _DATA_KEY.search(key) is not None or _DATA_KEY.search(as_read(key)) is not None


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
