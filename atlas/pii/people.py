"""Names of people in texts, by what their words are and how they stand together.

A given name and a surname side by side are somebody in any language; a name alone, an initial
before a surname, or an unknown word after a form of address need more for them. Ordinary words
("Will call", "Rose garden") speak against. What named-entity recognition proposes is held against
the same words, for it takes products and foreign nouns for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from atlas.pii.characters import WITHIN
from atlas.pii.lexicon import LANGUAGES, fold, listed, ordinary, stopwords

_LONGEST = 40
_WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]++|[{WITHIN}]|['\u2019\-](?=[^\W\d_]))*+")
_ENGLISH, _GERMAN, _NOUN = 1, 2, 1 << len(LANGUAGES)
_DUTCH = 1 << LANGUAGES.index("nl")
_WITHOUT_ARTICLE = sum(1 << LANGUAGES.index(each) for each in ("en", "fr", "es", "nl"))
_ALL = (1 << len(LANGUAGES)) - 1


def _read(name: str) -> dict[str, Any]:
    text = files("atlas.pii").joinpath(f"data/{name}.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


AROUND = _read("around_names")
"""Words around names by what they do, as strings of words."""
_PARTICLES = frozenset(AROUND["particles"].split())
_TITLES = frozenset(AROUND["titles"].split())
_BEFORE = frozenset(AROUND["greetings"].split())
_NOBODY = frozenset(AROUND["nobody"].split())
_DETERMINERS = {
    1 << LANGUAGES.index(language): frozenset(words.split())
    for language, words in AROUND["determiners"].items()
}
_DESIGNATORS = frozenset(AROUND["designators"].split())
_REGIONS = frozenset(AROUND["regions"].split())
_MONTHS = frozenset(AROUND["months"].split())
_ACTS = frozenset(AROUND["acts"].split())
_WITHIN = frozenset(("in", "across", "near", "throughout", "nach", "en", "em", "w"))
_SAINTS = frozenset(AROUND["saints"].split())
_FIRMS = frozenset(AROUND["firms"].split())
_FAMILIES = frozenset(AROUND["families"].split())
_EPONYMS = frozenset(AROUND["eponyms"].split())
_SOFTWARE = frozenset(AROUND["software"].split())


def _things() -> dict[str, list[list[str]]]:
    """The words with which things begin that are called like people, by the first of them."""
    found: dict[str, list[list[str]]] = {}
    for line in _read("called_like_people").values():
        for thing in line.split(","):
            said = thing.split()
            found.setdefault(said[0], []).append(said)
    return found


_THINGS = _things()
_NEVER = _NOBODY | _TITLES | _FIRMS

_GIVEN, _SURNAME, _PLACE, _NAMED = 1, 2, 4, 3


# Of surnames, in languages whose registers the lists do not have.
_ENDINGS = (
    "wski", "wska", "cki", "cka", "nski", "nska", "wicz", "czyk", "czak", "sson", "dottir", "ovic",
    "enko", "shvili", "opoulos", "oglu", "quist", "qvist", "gaard", "poulsen", "murthy", "swamy",
    "zadeh", "nejad", "opoulou",
)  # fmt: skip


class Word(NamedTuple):
    """A word of a text: where it stands, what it can be (bits), and the languages in which it is
    an ordinary word (bits)."""

    start: int
    end: int
    folded: str
    capital: bool
    kinds: int
    ordinary: int

    @property
    def common(self) -> bool:
        """Whether it is an ordinary word of any language."""
        return bool(self.ordinary & _ALL)


class Person(NamedTuple):
    """``text[start:end]`` is a person's name; ``score`` 0 to 1."""

    start: int
    end: int
    score: float


@lru_cache(maxsize=50_000)
def _known(word: str) -> tuple[str, int, int]:
    """Folded form, kinds and languages of one word as it is written."""
    folded = fold(word)
    kinds = _kinds(folded)
    common = ordinary().get(folded, 0)
    if not kinds and len(folded) > 6 and folded.endswith(_ENDINGS):
        kinds = _SURNAME
    for mark in ("-", "'"):
        if mark in folded:
            parts = [part for part in folded.split(mark) if len(part) > 1]
            for part in parts:
                kinds |= _kinds(part)
            if parts and all(ordinary().get(part, 0) for part in parts):
                common |= ordinary()[parts[0]]
    if folded in _NOBODY:
        return folded, kinds & _GIVEN, common | _ALL
    common |= stopwords().get(folded, 0)
    if not (kinds or common) and 4 < len(folded) <= _LONGEST:
        common = _mistyped(folded)
    return folded, kinds, common


def _mistyped(folded: str) -> int:
    """The languages of the ordinary word that this is with two neighbouring letters swapped."""
    known = ordinary()
    for n in range(len(folded) - 1):
        bits = known.get(folded[:n] + folded[n + 1] + folded[n] + folded[n + 2 :], 0)
        if bits & _ALL:
            return bits
    return 0


def _kinds(folded: str) -> int:
    return (
        (_GIVEN if folded in listed("given") else 0)
        | (_SURNAME if folded in listed("surnames") else 0)
        | (_PLACE if folded in listed("places") else 0)
    )


def words(text: str) -> list[Word]:
    """The words of ``text``, in order."""
    found = []
    for match in _WORD.finditer(text):
        start, end = match.span()
        if end - start > _LONGEST:
            continue  # no word of any language
        word = text[start:end]
        if word[1:2] in ("'", "\u2019") and word[0].islower() and word[2:3].isupper():
            start, word = start + 2, word[2:]  # d'Anna, l'Alma
        elif word[1:2] in ("'", "\u2019") and word[2:3].islower():
            start, word = start + 2, word[2:]  # J'ai, L'arrivo
        if word[-2:-1] in ("'", "\u2019") and word[-1] in "sS":
            word = word[:-2]
        folded, kinds, common = _known(word)
        found.append(Word(start, start + len(word), folded, word[0].isupper(), kinds, common))
    return found


def languages(found: Sequence[Word]) -> int:
    """The languages that a text of these words may be in; all, if nothing tells."""
    counts = [0] * len(LANGUAGES)
    known = stopwords()
    for word in found:
        bits = known.get(word.folded, 0)
        while bits:
            low = bits & -bits
            counts[low.bit_length() - 1] += 1
            bits ^= low
    most = max(counts)
    if not most:
        return _ALL
    return sum(1 << index for index, count in enumerate(counts) if count == most)


def people(text: str, found: Sequence[Word], tongue: int) -> list[Person]:
    """The people whose names stand in ``text``, told by its words alone.

    Args:
        found: its :func:`words`.
        tongue: its :func:`languages`.
    """
    persons: list[Person] = []
    at = 0
    while at < len(found):
        word = found[at]
        if not word.capital:
            at += _branded(found, at) or 1
            if at < len(found) and _lower(text, word, found[at]):
                persons.append(Person(word.start, found[at].end, 0.6))
                at += 1
            continue
        if _branded(found, at) or _designated(text, found, at):
            at += max(_branded(found, at), _designated(text, found, at))
            at += at < len(found) and found[at].folded in _EPONYMS  # Earl Grey Tea
            continue
        length, score = _name_at(text, found, at, tongue)
        if not length or any(_branded(found, n) for n in range(at + 1, at + length)):
            at += 1
        elif not _titled(text, found, at) and _thing(text, found, at, at + length, tongue):
            at += _run(text, found, at)
        else:
            persons.append(Person(word.start, found[at + length - 1].end, score))
            at += length
    if persons:
        persons += _again(found, persons, tongue)
    return sorted(persons)


def _branded(found: Sequence[Word], at: int) -> int:
    """How many words the thing has that begins at ``at`` and is called like somebody."""
    for thing in _THINGS.get(found[at].folded, ()):
        if [word.folded for word in found[at : at + len(thing)]] == thing:
            return len(thing)
    return 0


def within_thing(found: Sequence[Word], at: int) -> bool:
    """Whether the word at ``at`` belongs to a thing that is called like somebody (Dr. Oetker)."""
    return any(_branded(found, first) > at - first for first in range(max(0, at - 3), at + 1))


def _designated(text: str, found: Sequence[Word], at: int) -> int:
    """How many words have the name of a thing that says which kind it is of (Storm Ciara, Lake
    Como, Project Anna); from its second word on, the first is in small letters (room Tesla)."""
    if found[at].folded in _DESIGNATORS:
        length = _run(text, found, at)
        return length if length > 1 else 0
    if at == 0 or found[at - 1].folded not in _DESIGNATORS or found[at - 1].capital:
        return 0
    return _run(text, found, at) if _joined(text, found[at - 1], found[at]) else 0


def _lower(text: str, one: Word, other: Word) -> bool:
    """Whether two words in lower case are a given name and a surname, and nothing else."""
    return (
        bool(one.kinds & _GIVEN and other.kinds & _SURNAME)
        and not (one.common or other.common or other.capital)
        and len(one.folded) > 3
        and len(other.folded) > 3
        and _joined(text, one, other)
    )


def _joined(text: str, one: Word, other: Word) -> bool:
    between = text[one.end : other.start]
    return between in (" ", "  ", "\u00a0") or (between == ". " and one.end - one.start <= 2)


def _run(text: str, found: Sequence[Word], at: int, most: int = 5) -> int:
    """How many words from ``at`` on are written as one name could be."""
    end = at + 1
    while end < len(found) and end - at < most and _joined(text, found[end - 1], found[end]):
        word = found[end]
        if word.capital:
            end += 1
            continue
        ahead = end
        while ahead < len(found) and found[ahead].folded in _PARTICLES and ahead - end < 2:
            ahead += 1
        if ahead == end or ahead >= len(found) or not found[ahead].capital:
            break
        if not all(_joined(text, found[n - 1], found[n]) for n in range(end, ahead + 1)):
            break
        end = ahead + 1
    return end - at


def _titled(text: str, found: Sequence[Word], at: int) -> int:
    """Whether a form of address stands before: 2 for a title, 1 for a greeting."""
    if at == 0:
        return 0
    before = found[at - 1]
    between = text[before.end : found[at].start]
    if before.folded in _TITLES and between in (" ", ". ", ".", "\n", ".\n"):
        return 2
    greets = before.folded in _BEFORE and between.strip(" ,\r\n") == "" and len(between) < 6
    return 1 if greets else 0


def _addressed(text: str, found: Sequence[Word], at: int, tongue: int) -> bool:
    """Whether somebody is named there because of what stands before."""
    titled, word = _titled(text, found, at), found[at]
    if titled != 1:
        return titled == 2
    if word.kinds & _NAMED:
        return not _plain(word, tongue)
    # Behind a comma or in the next line a sentence may begin with an unknown word.
    begins = text[found[at - 1].end : word.start] != " "
    goes_on = text[word.end : word.end + 1] == " " and text[word.end + 1 : word.end + 2].islower()
    return not word.common and not (begins and goes_on)


def _plain(word: Word, tongue: int) -> bool:
    """Whether it is an ordinary word of the language it stands in, or of English, which things
    are called in everywhere."""
    tongue |= _ENGLISH | (_NOUN if tongue & _GERMAN else 0)
    return bool(word.ordinary & tongue)


def _initial(word: Word) -> bool:
    return word.end - word.start == 1 and word.capital


def _name_at(text: str, found: Sequence[Word], at: int, tongue: int) -> tuple[int, float]:
    """How many words the name has that begins at ``at``, and how sure that is; 0: none does."""
    first = found[at]
    if first.folded in _TITLES and not first.kinds & _NAMED:
        return 0, 0.0
    if stopwords().get(first.folded, 0) & (tongue | _ENGLISH):
        return 0, 0.0
    length = _run(text, found, at)
    if _addressed(text, found, at, tongue) and (first.kinds & _NAMED or not _shouted(text, first)):
        kept = 1
        while kept < min(length, 4) and _goes_on(found[at + kept]):
            kept += 1
        while kept > 1 and _hanging(found[at + kept - 1]):
            kept -= 1
        return kept, 0.85
    if _initial(first) and text[first.end : first.end + 1] == ".":
        last = next((n for n in range(1, length) if not _initial(found[at + n])), 0)
        return (last + 1, 0.7) if last and found[at + last].kinds & _SURNAME else (0, 0.0)
    if not first.kinds & _GIVEN:
        return _strange(text, found, at, length, tongue), 0.6
    inside = not _begins(text, first)
    if inside:
        # A capital letter within a sentence tells, but in English titles, and German.
        tongue &= _ENGLISH | _GERMAN
    return _given_at(text, found, at, length, tongue, inside=inside and not _headline(found))


def _begins(text: str, word: Word) -> bool:
    """Whether a sentence or a line begins with ``word``."""
    before = text[: word.start].rstrip(" \"'(*\u201e\u201c\u00ab\u2013-")
    return not before or before[-1] in ".!?:;\n>"


def _given_at(
    text: str, found: Sequence[Word], at: int, length: int, tongue: int, *, inside: bool
) -> tuple[int, float]:
    """The same where the word at ``at`` is a given name, in a run of ``length`` words, in the midst
    of a sentence (``inside``) or not."""
    first, kept = found[at], 1
    # What is no word of English or German has its capital letter there as a name.
    proper = inside and not first.common
    while kept < min(length, 4):
        word = found[at + kept]
        goes_on = _goes_on(word) or (proper and _proper(text, word, tongue))
        if not (goes_on or _initial(word)) or (kept > 1 and word.folded in _EPONYMS):
            break
        kept += 1
    while kept > 1 and _hanging(found[at + kept - 1]):
        kept -= 1
    following = found[at + 1 : at + kept]
    sure = any(word.kinds & _NAMED and not _plain(word, tongue) for word in following)
    surname = any(word.kinds & _SURNAME for word in following)
    unknown = any(
        not word.kinds & _NAMED
        and not (_plain(word, tongue) if proper else word.common)
        and word.capital
        for word in following
    )
    acts = surname and _acts(text, found, at + kept)
    if _shouted(text, first):  # then every word is written with capitals
        sure, unknown = sure and not first.common and len(following) == 1, False
    if sure or acts or (not _plain(first, tongue) and (surname or unknown)):
        return kept, 0.85 if surname else 0.7
    return (1, 0.6) if _alone(text, found, at, length, tongue) else (0, 0.0)


def _proper(text: str, word: Word, tongue: int) -> bool:
    """Whether a word with a capital letter within a sentence is part of a name: it is no word of
    ``tongue``, no acronym and no firm's."""
    return (
        word.capital
        and not _plain(word, tongue)
        and not _shouted(text, word)
        and word.folded not in _FIRMS
    )


def _acts(text: str, found: Sequence[Word], at: int) -> bool:
    """Whether the word at ``at`` says what only people do, of whom stands before it."""
    if at >= len(found) or text[found[at - 1].end : found[at].start] != " ":
        return False
    return not found[at].capital and found[at].folded in _ACTS


def _hanging(word: Word) -> bool:
    """Whether no name ends with it."""
    return word.folded in _PARTICLES or not word.capital


def _shouted(text: str, word: Word) -> bool:
    return word.end - word.start > 1 and text[word.start : word.end].isupper()


def _strange(text: str, found: Sequence[Word], at: int, length: int, tongue: int) -> int:
    """How many words an unusual name has: words that no language knows, one of which is a surname
    (Ainhoa Echeverria Garcia)."""
    run: list[Word] = []
    for word in found[at : at + min(length, 4)]:
        if word.folded in _FIRMS:
            return 0
        noun = tongue != _ALL and tongue & _GERMAN and word.ordinary & _NOUN
        if word.capital and (word.common or noun or _shouted(text, word)):
            break
        run.append(word)
    while run and not run[-1].capital:
        run.pop()
    capitals = [word for word in run if word.capital]
    surnames = bool(capitals) and not capitals[-1].kinds & _GIVEN
    if surnames and (capitals[0].kinds & _SURNAME or capitals[0].kinds == _PLACE):
        return 0  # two surnames are a firm (Goldman Sachs), after a town what is of it
    named = any(word.kinds & _NAMED and word.folded not in _SOFTWARE for word in capitals)
    if len(capitals) < 2 or not named or all(word.kinds & _PLACE for word in capitals):
        return 0
    return len(run)


def _thing(text: str, found: Sequence[Word], at: int, end: int, tongue: int) -> bool:
    """Whether the name that is ``found[at:end]`` is that of a thing: a product, a firm, a place, a
    discovery."""
    before = found[at - 1] if at else None
    if before is not None:
        between = text[before.end : found[at].start]
        if before.folded in _SAINTS and between in (" ", ". "):
            return True
        article = text[before.start : before.end].lower()
        if between == " " and (end - at == 1 or _never_named(article, tongue)):
            # Where the language is not known, "a" and "la" may be prepositions.
            asked = _DETERMINERS if tongue != _ALL else {_ENGLISH: _DETERMINERS[_ENGLISH]}
            if any(bit & tongue and article in said for bit, said in asked.items()):
                return len(article) > 2 or tongue != _ALL
    if _branded(found, at):
        return True
    last = found[end - 1]
    following = found[end] if end < len(found) else None
    if following is None:
        return False
    between = text[last.end : following.start]
    if between not in (" ", "\u00a0", " & "):
        return False
    if following.folded in (_FIRMS if following.capital else _EPONYMS):
        return True
    if following.folded in _EPONYMS and end - at > 1:
        return True
    if not following.capital or following.kinds & _NAMED:
        return False
    return not _headline(found)


def _never_named(article: str, tongue: int) -> bool:
    """Whether the language is one in which no article stands before a person's whole name."""
    if tongue & _ENGLISH:
        return True
    # "de" stands before names in other languages, where it means something else.
    others = tongue & ~_WITHOUT_ARTICLE
    return tongue != _ALL and not others and (article != "de" or tongue == _DUTCH)


def _headline(found: Sequence[Word]) -> bool:
    """Whether most words are written with a capital letter, so that it tells nothing."""
    return len(found) > 3 and sum(word.capital for word in found) > 0.6 * len(found)


def _goes_on(word: Word) -> bool:
    """Whether it can be a further word of a name."""
    if not word.capital or word.folded in _PARTICLES:
        return word.folded in _PARTICLES
    return word.folded not in _FIRMS and (bool(word.kinds & _NAMED) or not word.common)


def _alone(text: str, found: Sequence[Word], at: int, length: int, tongue: int) -> bool:
    """Whether a given name that no other follows is somebody: not a place, not a word of the
    language, not the beginning of another proper name."""
    word = found[at]
    if word.folded in _SOFTWARE:
        return False
    if word.kinds & _PLACE or _plain(word, tongue) or length > 1 or len(word.folded) < 3:
        return False
    if text[word.start : word.end].isupper() or _among_digits(text, word):
        return False
    if _placed(text, found, at):
        return False
    before = found[at - 1] if at else None
    if before is not None and before.capital and _joined(text, before, word):
        return before.folded in _TITLES or _plain(before, tongue)
    return True


def _placed(text: str, found: Sequence[Word], at: int) -> bool:
    """Whether what stands before the word makes a place of it: in Georgia, coast of Brittany."""
    if at == 0 or text[found[at - 1].end : found[at].start] != " ":
        return False
    before = found[at - 1].folded
    if before in _WITHIN:
        return True
    return before in ("of", "von") and at > 1 and found[at - 2].folded in _REGIONS


def _among_digits(text: str, word: Word) -> bool:
    """Whether it is a month in a date (25 Jul 2020)."""
    if word.folded not in _MONTHS:
        return False
    around = text[max(0, word.start - 4) : word.start] + text[word.end : word.end + 4]
    return any(map(str.isdigit, around))


def _again(found: Sequence[Word], persons: Sequence[Person], tongue: int) -> list[Person]:
    """Further mentions of the same people by one of their names."""
    inside = [
        word for word in found if any(person.start <= word.start < person.end for person in persons)
    ]
    borne = {
        word.folded
        for word in inside
        if word.capital and len(word.folded) > 2 and not _plain(word, tongue)
    }
    return [
        Person(word.start, word.end, 0.6)
        for word in found
        if word.capital and word.folded in borne and word not in inside
    ]


def unexplained(found: Sequence[Word], persons: Sequence[Person]) -> list[Word]:
    """The words that could be a name, and are in none of ``persons``: what a model should read."""
    return [
        word
        for word in found
        if word.capital
        and not word.common
        and word.end - word.start > 1
        and word.folded not in _NEVER
        and not any(person.start <= word.start < person.end for person in persons)
    ]


def vouched(
    text: str, whole: Sequence[Word], start: int, end: int, tongue: int, *, place: bool = False
) -> tuple[int, int] | None:
    """What of ``text[start:end]``, which a model takes for a person (or a place), its words allow
    to be one; None: nothing. ``whole`` are the words of ``text``."""
    found = [word for word in whole if start <= word.start < end]
    if place:
        known = any(word.capital and word.kinds & _PLACE for word in found) or (
            bool(found) and all(word.capital and not word.common for word in found)
        )
        return (found[0].start, found[-1].end) if known else None
    while found and (found[0].folded in _TITLES or _idle(found[0], tongue)):
        found = found[1:]
    while found and _idle(found[-1], tongue):
        found = found[:-1]
    if not found or not any(word.capital for word in found):
        return None
    if any(word.folded in _SAINTS for word in found) or any(
        word.folded in _FIRMS for word in found[1:]
    ):
        return None
    if any(
        word.capital and word.common and not word.kinds & _NAMED and word.end - word.start > 1
        for word in found
    ):
        return None
    borne = any(word.kinds & _NAMED and not _plain(word, tongue) for word in found) or (
        len(found) > 1 and bool(found[0].kinds & _GIVEN and found[-1].kinds & _SURNAME)
    )
    long = [word for word in found if word.end - word.start > 1]
    strange = len(long) > 1 and all(
        word.capital and not word.kinds & _PLACE and not word.common for word in long
    )
    if not borne and not strange:
        return None
    if len(found) == 1 and not _alone_by_model(text, whole, found[0]):
        return None
    at = whole.index(found[0])
    if within_thing(whole, at):
        return None
    thing = _designated(text, whole, at) or _placed(text, whole, at)
    if thing or _thing(text, whole, at, at + len(found), tongue):
        return None
    return found[0].start, found[-1].end


def _alone_by_model(text: str, whole: Sequence[Word], word: Word) -> bool:
    """Whether a single word that a model takes for a person is somebody: it is a given name, or
    does what people do. Surnames alone are called tests, systems and signs."""
    if word.folded in _SOFTWARE or _among_digits(text, word):
        return False
    if word.kinds & _PLACE and not word.kinds & _GIVEN:
        return False
    at = whole.index(word)
    if word.kinds & _GIVEN or _titled(text, whole, at):
        return True
    following = whole[at + 1] if at + 1 < len(whole) else None
    if following is None or text[word.end : following.start] != " ":
        return False
    return following.folded in _ACTS


def _idle(word: Word, tongue: int) -> bool:
    return _plain(word, tongue) and not word.kinds & _NAMED


def single(text: str) -> bool:
    """Whether ``text`` is one word (or two joined by a hyphen) and a name that people bear."""
    found = words(text)
    return len(found) == 1 and bool(found[0].kinds & _NAMED) and _only(text, found)


def full(text: str) -> bool:
    """Whether ``text`` is a person's name in full: a given name and a surname, in this order, or
    "surname, given name", with or without a title, initials and particles."""
    text, found = _bare(text)
    if not 2 <= len(found) <= 6 or not _only(text, found):
        return False
    named = [word for word in found if word.folded not in _PARTICLES and len(word.folded) > 1]
    if len(named) < 2:
        return False
    given = any(word.kinds & _GIVEN for word in named)
    if not given or all(word.common for word in named):
        return False
    if "," in text:
        return bool(named[-1].kinds & _GIVEN)
    last = named[-1]
    if named[0].kinds & _GIVEN:
        return bool(last.kinds & _NAMED) or not (last.common or last.kinds & _PLACE)
    turned = bool(last.kinds & _GIVEN) and not (last.common or named[0].common)
    return turned or all(word.kinds & _NAMED for word in named)


def _bare(text: str) -> tuple[str, list[Word]]:
    """``text`` and its words without the titles around; "DOE/JANE MRS" as "DOE, JANE"."""
    if text.isupper() and text.count("/") == 1:
        text = text.replace("/", ", ")
    found = words(text)
    while found and found[0].folded in _TITLES:
        found = found[1:]
    while len(found) > 2 and found[-1].folded in _TITLES:
        found = found[:-1]
    return text, found


def nearly(text: str) -> bool:
    """Whether ``text`` could be a name in full, by its form, and a word of it is one: so are the
    rare names of a column in which the others are known."""
    text, found = _bare(text)
    if not 2 <= len(found) <= 6 or not _only(text, found):
        return False
    return all(word.capital or word.folded in _WITHIN_NAMES for word in found) and any(
        (word.kinds & _NAMED or word.folded in _FAMILIES) and word.folded not in _FIRMS
        for word in found
    )


def borne(word: str) -> bool:
    """Whether ``word`` is a name that people bear, and no ordinary word."""
    _, kinds, common = _known(word)
    return bool(kinds & _NAMED) and not common & _ALL


_LABEL = re.compile(r"[^\W\d_]{2,15}(?:[ .][^\W\d_]{2,12})?\.?: ?(?=[^\W\d_])")
_CODE_BEFORE = re.compile(r"[A-Z]{0,4}[-#]?\d{2,12}(?: ?[-\u2013/|:.,;] ?| )(?=[^\W\d_])")
_BEHIND = re.compile(
    r"\s*(?:\([^()]{1,40}\)|\[[^\[\]]{1,40}\]|[-\u2013/|,;#] ?[A-Z]{0,4}-?\d{2,12}|"
    r"[ _][A-Z]{0,3}\d{3,12})$"
)
_FIELDS = re.compile(r"(?<=[^\W\d_])(?:\^|<<|\$)(?=[^\W\d_])")
_QUOTED = re.compile(r"(?<=[^\W\d_] )[\"\u201c\u201e(][^\W\d_]{2,15}[\"\u201d\u201c)] (?=[^\W\d_])")
_BETWEEN = re.compile(r" ?[;|\n&] ?| (?:/|and|und|et|og|och) ")
# In a column, where no sentence makes a word of them: Ortega y Gasset, van 't Hof.
_WITHIN_NAMES = _PARTICLES | frozenset(("e", "y", "i", "t", "in", "aan"))
# A surname and a given name with a sign between that others have between people.
_APART = re.compile(r"\s*([^\W\d_][^;|/\t\n]{0,40}?) ?[;|/\t] ?([^\W\d_][^;|/\t\n]{0,40}?)\s*")
_MOST_IN_A_LIST, _LONGEST_LIST = 12, 400
_HONOURS = frozenset(AROUND["honours"].split())


def alone(text: str) -> str:
    """A value as it would be if it were only a name.

    Without a label before it (Patient: …), a code before or behind it, what stands in brackets
    behind it or in quotes within, degrees and quotes around it; and with a comma between the
    fields of a surname and a given name (DOE^JANE, DOE<<JANE).
    """
    bare = text.strip()
    if len(bare) > _LONGEST_LIST or bare.isalpha():
        return bare
    if len(bare) > 2 and bare[0] in "\"'\u201c\u201e\u00ab" and bare[-1] in "\"'\u201d\u201c\u00bb":
        bare = bare[1:-1]
    for before in (_LABEL, _CODE_BEFORE):
        found = before.match(bare)
        bare = bare[found.end() :] if found is not None else bare
    bare = _BEHIND.sub("", bare)
    bare = _FIELDS.sub(", ", bare.rstrip("^<$"))
    bare = _QUOTED.sub("", bare)
    head, _, last = bare.rpartition(" ")
    while head and last.replace(".", "").lower() in _HONOURS:
        bare = head.rstrip(" ,")
        head, _, last = bare.rpartition(" ")
    # What leaves one word is a code itself (C-100231), and no name with something around it.
    return bare if " " in bare else text.strip()


def several(text: str) -> list[str]:
    """The values in ``text`` that signs or words for "and" hold together, each :func:`alone`."""
    if len(text) > _LONGEST_LIST:
        return [text]
    parts = [alone(part) for part in _BETWEEN.split(alone(text)) if part.strip()]
    return parts if 0 < len(parts) <= _MOST_IN_A_LIST else [text]


def full_alone(text: str) -> bool:
    """Whether ``text`` is nothing but people in full, whatever stands around their names; one of
    several may have left the surname to the next (Ann & Jim Doe)."""
    return _people(text, full)


def nearly_alone(text: str) -> bool:
    """:func:`nearly` of all the names in ``text``, whatever stands around them."""
    return _people(text, nearly)


def _people(text: str, told: Callable[[str], bool]) -> bool:
    parts = several(text)
    found = [told(part) for part in parts]
    if not any(found) and (apart := _APART.fullmatch(text[:_LONGEST_LIST])) is not None:
        return told(f"{apart[1]}, {apart[2]}") or told(f"{apart[1]} {apart[2]}")
    return any(found) and all(
        whole or single(part) for whole, part in zip(found, parts, strict=True)
    )


def foreign(text: str) -> bool:
    """Whether ``text`` is two words or more, with capitals, that no dictionary has, or that people
    are called by: names are made of such words in any language, things hardly."""
    text, found = _bare(alone(text))
    if not 2 <= len(found) <= 6 or not _only(text, found):
        return False
    long = [
        word for word in found if word.end - word.start > 1 and word.folded not in _WITHIN_NAMES
    ]
    return len(long) > 1 and all(
        word.capital
        and word.folded not in _FIRMS
        and (not word.common or word.kinds & _NAMED or word.folded in _FAMILIES)
        for word in long
    )


_INITIALS = r"(?:[^\W\d_]\.[ \-]?){1,3}"
_INITIALLED = re.compile(
    rf"{_INITIALS} ?(?P<behind>[^\W\d_][^\W\d_'\u2019 -]{{1,30}})|"
    rf"(?P<before>[^\W\d_][^\W\d_'\u2019 -]{{1,30}})(?: {_INITIALS}|, ?{_INITIALS}|(?:, ?| )[A-Z])"
)


def initialled(text: str) -> bool:
    """Whether ``text`` is a surname that people bear, with initials before or behind it."""
    found = _INITIALLED.fullmatch(alone(text))
    if found is None:
        return False
    long = [
        word for word in words(found["behind"] or found["before"]) if word.folded not in _PARTICLES
    ]
    return bool(long) and all(word.capital for word in long) and bool(long[-1].kinds & _SURNAME)


def initialled_form(text: str) -> bool:
    """Whether ``text`` is written like that, whoever is called so."""
    return _INITIALLED.fullmatch(alone(text)) is not None


_HAN = re.compile(r"[\u4e00-\u9fff]{2,4}")
_HANGUL = re.compile(r"[\uac00-\ud7a3]{2,4}")
_PARTS = re.compile(
    r"([\u3041-\u30ff\u3400-\u9fff]{1,5})[ \u3000\u30fb]([\u3041-\u30ff\u3400-\u9fff]{1,5})"
)


def unspaced(text: str) -> bool:
    """Whether ``text`` is written as names are in Chinese, Japanese and Korean: a family name, then
    one or two characters for the given name, or a word."""
    bare = text.strip()
    if (found := _PARTS.fullmatch(bare)) is not None:
        return found[1] in _FAMILIES or bool(_known(found[1])[1] & _SURNAME)
    if _HAN.fullmatch(bare) is None and _HANGUL.fullmatch(bare) is None:
        return False
    return bare[0] in _FAMILIES or (len(bare) > 2 and bare[:2] in _FAMILIES)


def place(text: str) -> bool:
    """Whether ``text`` is the name of a city, alone or before its state."""
    return fold(text.partition(",")[0].strip()) in listed("places")


def _only(text: str, found: Sequence[Word]) -> bool:
    """Whether there is nothing in ``text`` but words and what names have between them."""
    return not any(char.isdigit() or char in "@/_<>{}=:;&+()" for char in text) and bool(found)
