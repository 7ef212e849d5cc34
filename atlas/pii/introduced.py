"""Names of people in texts, by what introduces them: "ich heiße anna muster", "Tenant: Noura Tang",
"Muster, Anna", "Mme de La Tour", "Anna Muster <anna@…>", "user=amuster".

What :mod:`atlas.pii.people` finds, it finds by the words of the name. Here what stands before it
speaks as well, so that it may be in small letters, or of words that no list knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from atlas.pii.lexicon import stopwords
from atlas.pii.patterns import handle_like
from atlas.pii.people import AROUND, Person, Word, within_thing
from atlas.pii.vocabulary import word_set

_ROLES = frozenset(AROUND["roles"].split())
_DONE = frozenset(AROUND["done by"].split())
_CALLED = frozenset(AROUND["called"].split())
_HOUSEHOLDS = frozenset(AROUND["households"].split())
_TITLES = frozenset(AROUND["titles"].split())
_FIRMS = frozenset(AROUND["firms"].split())
_PARTICLES = frozenset(AROUND["particles"].split())
_LONGEST = 4
_GIVEN, _SURNAME, _PLACE, _NAMED = 1, 2, 4, 3
_ENGLISH = 1

_NAME_IS = re.compile(
    r"(?i)\b(?:my name is|i am called|ask(?:ing)? for|ich hei(?:ß|ss)e|(?:mein|der) name ist|"
    r"je m['\u2019]appelle|me llamo|mi nombre es|mi chiamo|jag heter|jeg he(?:dd|t)er|ik heet|"
    r"mijn naam is|nazywam si[ęe]|(?:eu )?me chamo|meu nome [ée]|nimeni on)\s+"
)
_THIS_IS = re.compile(
    r"(?i)\b(?:c['\u2019]est|this is|soy|sono|hier ist|hier spricht|dit is|i am|i['\u2019]m|"
    r"ich bin|je suis|jag är|jeg er|to jest)\s+"
)
_MAILBOX = re.compile(
    r"(?:^|[:,;\n\"])[ \t\"]*((?:[^\W\d_][\w.'\u2019\-]*[ ,\"]{1,2}){1,5})<[^\s<>@]+@[^\s<>@]+>"
)
_LOGIN = re.compile(
    r"(?i)\b(?:user(?:_?name)?|login|logname|usr|ruser|suser)[=:]\s?[\"']?([a-z][\w.\-]{2,39})(?!\w|@)|"
    r"\b(?:for|user) (?:invalid user )?([a-z][\w.\-]{2,39}) from \d{1,3}(?:\.\d{1,3}){3}"
)
_NO_ONE = word_set(
    "root admin administrator user guest test system daemon nobody service postgres oracle"
)


def written(text: str) -> Iterator[tuple[int, int]]:
    """Where names and user names stand by the signs around them: before an address in angle
    brackets, after "user=" in a log."""
    if "@" in text and "<" in text:
        for found in _MAILBOX.finditer(text):
            name = found[1].rstrip(' ,"')
            yield found.start(1), found.start(1) + len(name)
    for found in _LOGIN.finditer(text):
        group = 1 if found[1] else 2
        name = found[group].rstrip(".-")
        if name.lower() not in _NO_ONE and handle_like(name):
            yield found.start(group), found.start(group) + len(name)


def introduced(text: str, found: Sequence[Word], tongue: int) -> list[Person]:
    """The people whom words of ``text`` introduce; ``found`` and ``tongue`` as for
    :func:`atlas.pii.people.people`."""
    persons = []
    tongue |= _ENGLISH
    starts = {word.start: at for at, word in enumerate(found)}
    for pattern, sure in ((_NAME_IS, True), (_THIS_IS, False)):
        for match in pattern.finditer(text):
            at = starts.get(match.end())
            if at is not None:
                persons += _after_phrase(text, found, at, tongue, sure=sure)
    for at in range(len(found) - 1):
        persons += _titled(text, found, at)
        persons += _in_role(text, found, at, tongue)
        persons += _at_home(text, found, at, tongue)
        persons += _turned(text, found, at, tongue)
    return [person for person in persons if not within_thing(found, starts[person.start])]


def _stops(word: Word, tongue: int) -> bool:
    return bool(stopwords().get(word.folded, 0) & tongue) and word.folded not in _PARTICLES


def _plain(word: Word, tongue: int) -> bool:
    return bool(word.ordinary & tongue)


def _run(text: str, found: Sequence[Word], at: int, tongue: int) -> list[Word]:
    """The words from ``at`` on that could be one name, by what stands between them."""
    run = [found[at]]
    for word in found[at + 1 : at + _LONGEST]:
        if text[run[-1].end : word.start] not in (" ", "\u00a0") or _stops(word, tongue):
            break
        run.append(word)
    return run


def _trimmed(run: list[Word]) -> list[Word]:
    while run and run[-1].folded in _PARTICLES:
        run = run[:-1]
    return run


def _person(run: Sequence[Word]) -> list[Person]:
    return [Person(run[0].start, run[-1].end, 0.7)]


def _after_phrase(
    text: str, found: Sequence[Word], at: int, tongue: int, *, sure: bool
) -> list[Person]:
    """The name after "ich heiße", or, if its words are names, after what could go on otherwise."""
    first = found[at]
    if _stops(first, tongue):
        return []
    run = [first]
    for word in _run(text, found, at, tongue)[1:]:
        if word.kinds & _NAMED or word.folded in _PARTICLES or not _plain(word, tongue):
            run.append(word)
        else:
            break
    run = _trimmed(run)
    given = bool(first.kinds & _GIVEN) and not _plain(first, tongue)
    named = any(word.kinds & _NAMED for word in run[1:])
    if len(run) > 1 and (given or (sure and named and (first.kinds or not first.common))):
        return _person(run)
    return _person(run) if sure and given else []


def _titled(text: str, found: Sequence[Word], at: int) -> list[Person]:
    """A surname that begins with a particle, after a title: "Mme de La Tour", "Dr El Khoury"."""
    between = text[found[at].end : found[at + 1].start]
    particle = found[at + 1].folded in _PARTICLES
    if found[at].folded not in _TITLES or between not in (" ", ". ") or not particle:
        return []
    run = [found[at + 1]]
    for word in found[at + 2 : at + 5]:
        if text[run[-1].end : word.start] not in (" ", "\u00a0"):
            break
        run.append(word)
        if word.folded not in _PARTICLES:
            break
    last = run[-1]
    return _person(run) if last.capital and last.folded not in _PARTICLES else []


def _in_role(text: str, found: Sequence[Word], at: int, tongue: int) -> list[Person]:
    """Who is named in full after a role or what they did ("Tenant: …", "signed by …"), or alone
    after what is done to people ("ask Anna")."""
    word, first = found[at], found[at + 1]
    between = text[word.end : first.start]
    bare = word.folded.rpartition("'")[2]
    done = bare in ("by", "von", "par", "por", "da", "av", "af", "door", "przez")
    role = bare in _ROLES or (done and at > 0 and found[at - 1].folded in _DONE)
    if not first.capital or _plain_start(first, tongue):
        return []
    if bare in _CALLED and between == " " and first.kinds & _GIVEN:
        behind = found[at + 2 : at + 3]
        goes_on = bool(behind) and behind[0].capital
        goes_on = goes_on and text[first.end : behind[0].start] in (" ", " & ")
        alone = not _plain(first, tongue) and not text[first.start : first.end].isupper()
        alone = alone and not goes_on
        return _person([first]) if alone else []
    if not role or between not in (" ", ": ", " : ", ":\n"):
        return []
    run = _run(text, found, at + 1, tongue)
    while run and not (run[-1].capital and run[-1].folded not in _PARTICLES):
        run = run[:-1]
    capitals = [each for each in run if each.folded not in _PARTICLES]
    if len(capitals) < 2 or any(each.folded in _FIRMS or not each.capital for each in capitals):
        return []
    given = capitals[0].kinds & _GIVEN and not capitals[0].kinds & _PLACE
    named = not _plain(capitals[0], tongue) and bool(capitals[-1].kinds & _SURNAME)
    plain = any(_plain(each, tongue) for each in capitals)
    return _person(run) if given or named or not plain else []


def _at_home(text: str, found: Sequence[Word], at: int, tongue: int) -> list[Person]:
    """A surname alone where somebody lives: "citofono Muster", "Familie de Vries", "c/o Muster"."""
    between = text[found[at].end : found[at + 1].start]
    if found[at].folded not in _HOUSEHOLDS or between not in (" ", ": "):
        return []
    run = [found[at + 1]]
    while run[-1].folded in _PARTICLES and at + 1 + len(run) < len(found) and len(run) < _LONGEST:
        run.append(found[at + 1 + len(run)])
    last = run[-1]
    borne = bool(last.kinds & _SURNAME) or not (last.common or last.kinds)
    return _person(run) if last.capital and borne and not _stops(last, tongue) else []


def _plain_start(word: Word, tongue: int) -> bool:
    return _stops(word, tongue) or word.folded in _TITLES


def _turned(text: str, found: Sequence[Word], at: int, tongue: int) -> list[Person]:
    """Surname, given name."""
    last, given = found[at], found[at + 1]
    if text[last.end : given.start] != ", " or not (last.capital and given.capital):
        return []
    if not given.kinds & _GIVEN or _plain(given, tongue) or _plain(last, tongue):
        return []
    if last.kinds in (_PLACE, _GIVEN, _GIVEN | _PLACE):
        return []
    own = found[at + 2 : at + 3]  # "Oslo, Anna Berg": hers is another surname
    if own and own[0].capital and text[given.end : own[0].start] == " ":
        return []
    run = [last, given]
    while at and text[found[at - 1].end : found[at].start] == " ":
        at -= 1
        if found[at].folded not in _PARTICLES:
            break
        run.insert(0, found[at])
    return _person(run)
