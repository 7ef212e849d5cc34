"""What a column's name claims about its values, in the languages of :mod:`atlas.pii.vocabulary`.

Names are read token by token ("billingPhone_2" is billing, phone, 2), each in English where it is
a word of another language ("telefonnummer" is phone, number), and only the head of a name counts:
``phone_model`` ends in a model, ``email_count`` in a count, and neither claims anything. In the
languages that put the head first ("numero_telefono", "direccion_cliente") what follows it is whose
or which it is.

A claim never decides alone; :mod:`atlas.pii.decide` weighs it against the values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import takewhile

from atlas.pii.vocabulary import (
    ABBREVIATED,
    ALONE,
    CLAIMS,
    ENGLISH,
    HEADS,
    OTHER_DATES,
    PARTICLES,
    PEOPLE_LAST,
    VERSIONS,
    word_set,
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\dA-Za-z_]+|\d+")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe", "ł": "l", "Ł": "L"}
)
_TAILS = word_set(
    "number value raw text str string digits home work office primary secondary personal "
    "private main alt alternate alternative other current old new original normalized normalised "
    "formatted full billing shipping business emergency preferred default day evening direct "
    "international local delivery invoice first second txt"
)
_PEOPLE = word_set(
    "customer client contact employee user person patient student pupil teacher author owner "
    "member guest passenger driver doctor physician nurse manager supervisor recipient sender "
    "cardholder holder buyer applicant candidate beneficiary spouse child parent father "
    "mother partner subscriber attendee participant agent rep representative assignee "
    "reporter creator tenant kin payee payer signatory resident citizen billing shipping "
    "emergency visitor voter donor worker staff lead consumer shopper borrower insured "
    "claimant witness victim suspect gp practitioner consultant dentist therapist surgeon nok "
    "guardian carer landlord lessee lessor policyholder accountholder depositor debtor creditor "
    "heir trustee director shareholder partner officer advisor adviser seller traveller traveler "
    "commenter reviewer approver requester requestor submitter uploader editor maintainer "
    "colleague coworker husband wife son daughter brother sister sibling relative friend "
    "respondent interviewee plaintiff defendant lawyer attorney notary judge pilot courier "
    "delegate speaker instructor trainer coach player athlete salesperson caller callee"
)
_THINGS = word_set(
    "product file company host brand event category country state domain table column "
    "database schema app application model project team department group role plan campaign "
    "channel stage currency language field class template store shop item sku service server "
    "bank school tag type queue task job branch repo repository package module feature test "
    "report song album movie film book game device browser os font color colour screen page "
    "site bucket key index organization organisation business vendor supplier manufacturer "
    "make region province county metric sensor node cluster policy rule course subject topic "
    "form menu recipe drug species airport station hotel restaurant venue article material "
    "variant collection segment firm employer institution association club insurer carrier "
    "warehouse location place city town street provider network interface account attribute "
    "prod item co col srv dept cntry proj "
    "parameter property option status method function process step action command program "
    "software library version release environment tenant_type ship vessel vehicle machine part"
)
_DONE_BY = word_set(
    "created updated signed approved reviewed assigned requested submitted modified changed "
    "entered reported written posted uploaded edited deleted opened closed issued authorized "
    "authorised verified witnessed prepared recorded registered ordered booked handled completed "
    "performed examined seen referred prescribed owned managed invited added checked audited "
    "confirmed received sent resolved cancelled canceled"
)
_PERSON_TABLE = word_set(
    "gender sex age birth nationality marital ethnicity religion salutation blood occupation "
    "maiden spouse"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a name says.

    Attributes:
        entity_type: the entity type it speaks for.
        part: which part of it ("first name", "city"), for the evidence.
        strong: whether the name is unmistakable, as ``surname`` is and ``name`` is not.
    """

    entity_type: str
    part: str
    strong: bool = True


IN_NUMBERS = frozenset(
    {"CREDIT_CARD", "PHONE_NUMBER", "US_SSN", "UK_NHS", "NATIONAL_ID", "LOCATION"}
)
"""Entity types that a numeric column may hold, where its name claims them."""
_NO_STREET = word_set("web contract memory ip mac email mail wallet bitcoin url site host bus base")


def plain(text: str) -> str:
    """``text`` without accents, and with the letters of other alphabets' Latin that have none
    spelled out."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    # Hangul, which falls apart as well, is put together again.
    return unicodedata.normalize("NFC", bare)


@lru_cache(10_000)
def _english(word: str) -> tuple[str, ...]:
    """A lower-case word as English tokens: translated, or cut where a compound is two words, or
    made singular."""
    known = ENGLISH.get(word)
    if known is not None:
        return tuple(known.split())
    single = _singular(word)
    known = ENGLISH.get(single)
    if known is not None:
        return tuple(known.split())
    for head, meaning in HEADS.items():
        before = word.removesuffix(head)
        if len(before) > 1 and before != word:
            if before.removesuffix("s") in ENGLISH:
                before = before.removesuffix("s")
            return (*_english(before), *meaning.split())
    return (single,)


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(10_000)
def tokens(name: str) -> tuple[str, ...]:
    """The lower-case words of ``name``: camelCase, snake_case, digits and compounds split, accents
    gone, plurals made singular, words of other languages in English."""
    found: list[str] = []
    split = [word.lower() for word in _WORD.findall(plain(name))]
    if len(split) == 1 and split[0] in ALONE:
        return tuple(ALONE[split[0]].split())
    for place, word in enumerate(split):
        if word in PARTICLES and 0 < place < len(split) - 1:
            continue
        found.extend(_english(word))
    return tuple(found)


_GLUED = re.compile(r"[A-Z]{4,12}\d?|[a-z]{4,12}\d?")
_LEAST_GLUED, _MOST_GLUED = 5, 4


def prefix(names: Sequence[str]) -> str:
    """The two to four letters that all column names of a table begin with, as in old systems, where
    a name has eight letters and no marks (KDNAM1, KDSTR, KDPLZ); else ""."""
    if len(names) < _LEAST_GLUED or not all(map(_GLUED.fullmatch, names)):
        return ""
    first, last = min(names), max(names)
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    found = "".join(letter for letter, _ in shared)[:_MOST_GLUED]
    return found if len(found) > 1 and found.isalpha() else ""


@lru_cache(10_000)
def abbreviated(name: str, before: str) -> tuple[str, ...]:
    """:func:`tokens` of ``name`` without the letters ``before`` (see :func:`prefix`), the rest read
    as it is cut short."""
    if not before:
        return tokens(name)
    rest = name.removeprefix(before).lower()
    known = ABBREVIATED.get(rest.rstrip("0123456789"))
    return tokens(rest) if known is None else tuple(known.split())


@cache
def _claims() -> dict[tuple[str, ...], Claim]:
    table: dict[tuple[str, ...], Claim] = {}
    for entity, part, strong, phrases in CLAIMS:
        for phrase in phrases.split(","):
            words = tuple(token for word in phrase.split() for token in _english(word))
            table.setdefault(words, Claim(entity, part, strong))
    return table


_LONGEST = 4


def _name(words: tuple[str, ...]) -> Claim | None:
    """The claim of words that end in ``name``."""
    modifier = words[-2] if len(words) > 1 else ""
    if modifier in _THINGS:
        return None
    return Claim("PERSON", "name", strong=modifier in _PEOPLE)


@lru_cache(10_000)
def claim(words: tuple[str, ...]) -> Claim | None:
    """What the name made of ``words`` (see :func:`tokens`) claims, or None."""
    while words:
        for length in range(min(_LONGEST, len(words)), 0, -1):
            found = _claims().get(words[-length:])
            if found is None:
                continue
            before = words[-length - 1] if len(words) > length else ""
            if found.part == "street" and before in _NO_STREET:
                return None
            return found
        last = words[-1]
        if last == "name":
            return _name(words)
        if last in PEOPLE_LAST and len(words) > 1:
            # "direccion_cliente": the head stands first, and the last word says whose it is.
            owned = claim(words[:-1])
            if owned is not None:
                return owned
        if last in PEOPLE_LAST or last in _PEOPLE - _TAILS:
            return Claim("PERSON", "name", strong=False)
        if last == "by" and len(words) > 1 and words[-2] in _DONE_BY:
            return Claim("PERSON", "name", strong=False)
        if last not in _TAILS and not last.isdigit():
            return None
        words = words[:-1]
    return None


def about_people(words: tuple[str, ...]) -> bool:
    """Whether a column of this name stands only in tables about people (gender, nationality)."""
    return bool(_PERSON_TABLE.intersection(words))


def versions(words: tuple[str, ...]) -> bool:
    """Whether a column of this name holds versions, which can be written like IP addresses."""
    return bool(VERSIONS.intersection(words))


_SAYING_NOTHING = word_set(
    "c col column f field v val value attr attribute x y z a b d e k var data key date day datum "
    "text str string info misc custom extra udf dt"
)


def says_nothing(words: tuple[str, ...]) -> bool:
    """Whether a name leaves open what the column is: "c7", "field_12", "date"."""
    return all(word in _SAYING_NOTHING or word.isdigit() or len(word) == 1 for word in words)


def other_date(words: tuple[str, ...]) -> bool:
    """Whether a column of this name holds dates of something else than births."""
    return any(word.startswith(OTHER_DATES) for word in words)
