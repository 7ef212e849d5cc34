"""Names of people, as evidence that a column holds some."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PART = re.compile(r"[^\W\d_]+")
# What NER takes for a person in prose, and is none.
_NO_PERSON = _words(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november december mr mrs ms dr sir madam hi hello hey "
    "dear thanks regards cheers ok okay yes no please sorry"
)
_TITLES = _words("mr mrs ms miss dr prof sir dame")


@dataclass(frozen=True, slots=True)
class Names:
    """Given names and surnames, lower-case."""

    given: frozenset[str]
    surnames: frozenset[str]

    def single(self, text: str) -> bool:
        """Whether ``text`` is one word and a name that people bear."""
        word = text.strip().lower()
        return word in self.given or word in self.surnames

    def full(self, text: str) -> bool:
        """Whether ``text`` is two to five words of letters that begin with a given name (after a
        title), or are "surname, given name"."""
        words = [word.lower() for word in _PART.findall(text)]
        while words and words[0] in _TITLES:
            words = words[1:]
        if not 2 <= len(words) <= 5 or any(char.isdigit() for char in text):
            return False
        _, comma, behind = text.partition(",")
        given = _PART.search(behind) if comma else None
        first = given.group().lower() if given is not None else words[0]
        return first in self.given and len(first) > 2

    @staticmethod
    def no_person(text: str) -> bool:
        """Whether ``text`` is a weekday, a month, a form of address or a greeting."""
        return all(word.lower() in _NO_PERSON for word in _PART.findall(text))


@cache
def names() -> Names:
    """The names that come with Atlas (data/names.json)."""
    document = json.loads(files("atlas.pii").joinpath("data/names.json").read_bytes())
    return Names(
        given=frozenset(" ".join(document["given"]).split()),
        surnames=frozenset(" ".join(document["surnames"]).split()),
    )
