"""What a column is, from its evidence, the claim of its name, and the company it keeps.

A pure function of counts: the same evidence gives the same decision, wherever it was gathered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii.claims import (
    IN_NUMBERS,
    Claim,
    about_people,
    claim,
    other_date,
    says_nothing,
    versions,
)
from atlas.pii.evidence import Evidence
from atlas.pii.national import ENTITIES, SCHEMES, Scheme, by_entity
from atlas.pii.policy import ENTITIES as KNOWN

MOST = 0.8
"""Share of the sample that makes a column one of values, whatever it is called."""
CLAIMED = 0.3
"""The share that is enough where the column's name claims the same."""
TIMES = (ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ)
NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)
_BY_CHANCE = 0.2
_SOME_FIRMS = 0.25
_RARE = 0.05
_BY_ACCIDENT = 1e-6
_PREFIXED = 0.2
_ENOUGH = 50
_SOME = 10
_FEW = 3
_KINDS_OF = 12


@dataclass(frozen=True, slots=True)
class Leaf:
    """One column or JSON leaf, as a decision sees it.

    Attributes:
        words: tokens of its name (and of the names around a JSON leaf).
        type: the column's type; JSONB leaves that hold text are TEXT.
    """

    words: tuple[str, ...]
    type: ColumnType
    evidence: Evidence

    @property
    def claim(self) -> Claim | None:
        """What its name claims."""
        return claim(self.words)


@dataclass(frozen=True, slots=True)
class Company:
    """The other columns of the table: whether they are about people.

    Attributes:
        people: a column is unmistakably about a person (surname, date of birth, gender).
        contact: a column holds e-mail addresses or telephone numbers.
        street: a column holds streets.
    """

    people: bool = False
    contact: bool = False
    street: bool = False


ALONE = Company()
_IDENTIFIERS = ENTITIES | {"US_SSN"}


def looked_at(leaf: Leaf) -> bool:
    """Whether the values of a column are looked at: text always, numbers and times where the name
    claims what they can hold, dates also where it says nothing."""
    asked = leaf.claim
    if leaf.type is ColumnType.TEXT:
        return True
    if leaf.type is ColumnType.DATE and asked is None:
        return says_nothing(leaf.words)
    if asked is None:
        return False
    if leaf.type in NUMBERS:
        return asked.entity_type in IN_NUMBERS
    return leaf.type in TIMES and asked.entity_type == "DATE_OF_BIRTH"


@dataclass(frozen=True, slots=True)
class Finding:
    """A decision on one leaf: an entity type, before a policy chooses the operator."""

    entity_type: str
    scope: Scope
    score: float
    share: float
    reason: str
    against: dict[str, Any] = field(default_factory=dict)


def company(leaves: Iterable[Leaf]) -> Company:
    """What the columns of one table say of each other."""
    people = contact = street = False
    for leaf in leaves:
        found = [each for each in decide(leaf, ALONE) if each.scope is Scope.VALUE]
        contact |= any(each.entity_type in ("EMAIL_ADDRESS", "PHONE_NUMBER") for each in found)
        people |= about_people(leaf.words) and leaf.evidence.values > 0
        people |= any(
            each.entity_type in ("PERSON", "DATE_OF_BIRTH") or each.entity_type in _IDENTIFIERS
            for each in found
        )
        evidence = leaf.evidence
        contact |= evidence.sample_found["EMAIL_ADDRESS"] >= max(1, MOST * evidence.sampled)
        asked = leaf.claim
        street |= asked is not None and asked.part == "street" and leaf.evidence.values > 0
        street |= leaf.evidence.trait("street_like") >= MOST
    return Company(people=people, contact=contact, street=street)


def decide(
    leaf: Leaf, company: Company, denied: frozenset[str] = frozenset(), least: float = 0.0
) -> list[Finding]:
    """The findings of one leaf: one of scope VALUE, with others of scope SPAN where all of it is
    masked as the one and holds the others as well; or any number of scope SPAN, or none.

    Args:
        denied: entity types that it is not, whatever speaks for them: what else is in it is then
            found beside them.
        least: the score below which a finding is none, and others are looked for.
    """
    evidence = leaf.evidence
    if not evidence.sampled or leaf.type is ColumnType.BOOLEAN:
        return []
    if leaf.type in TIMES:
        return _by(_birth(leaf, 1.0) or _born(leaf, company), denied, least)
    if leaf.type in NUMBERS:
        return _by(_number(leaf, company) or _theirs(leaf), denied, least)
    if left := _left(_contacts(leaf), denied, least):
        return left
    for rule in (
        _national,
        _patterns,
        _spelled_out,
        _telephones,
        _claimed,
        _born,
        _user_name,
        _person,
        _place,
        _sticky,
    ):
        if left := _by(rule(leaf, company), denied, least):
            return _left(_beside(leaf, left[0]), denied, least)
    return _left(_spans(leaf), denied, least)


def _left(found: list[Finding], denied: frozenset[str], least: float) -> list[Finding]:
    return [each for each in found if each.entity_type not in denied and each.score >= least]


def _by(found: Finding | None, denied: frozenset[str], least: float) -> list[Finding]:
    return [] if found is None else _left([found], denied, least)


def _value(entity: str, score: float, share: float, reason: str) -> Finding:
    return Finding(entity, Scope.VALUE, round(score, 3), round(share, 4), reason)


def _share(leaf: Leaf, scheme: Scheme) -> float:
    """The share of the sample that is an identifier of a kind, 0 if it only looks like it."""
    evidence, entity = leaf.evidence, scheme.entity
    share = evidence.trait(entity)
    if not share:
        return 0.0

    def most(kind: str) -> float:
        counts = [n for name, n in evidence.traits.items() if name.startswith(f"{entity} {kind} ")]
        return max(counts, default=0) / evidence.traits[entity]

    # Numbers that begin with the day they were given pass as dates of birth, but of few years, or
    # of days that are years; codes in sequence look like identifiers, but all begin alike.
    if most("day") >= 0.75 or most("years") >= 0.6 or most("begins") >= 0.5:
        return 0.0
    # Citizens and foreigners have numbers of different kinds, in one column.
    return evidence.trait(f"{scheme.country} identifiers") if share >= CLAIMED else share


def _only_alike(leaf: Leaf, entity: str) -> bool:
    """Whether a column holds what is written like an identifier of a kind, and is none."""
    scheme = by_entity().get(entity)
    forms = leaf.evidence.trait(f"{entity} form")
    asked = leaf.claim
    if scheme is None or (asked is not None and asked.entity_type in _IDENTIFIERS):
        return False
    if forms < 0.5 or leaf.evidence.sampled < _SOME:
        return False
    return _share(leaf, scheme) <= _BY_CHANCE * forms


def _national(leaf: Leaf, _: Company) -> Finding | None:
    """Values that pass the check of a national identifier; where the name says nothing of it, so
    many of them that it cannot be chance."""
    evidence, asked = leaf.evidence, leaf.claim
    claimed = asked is not None and asked.entity_type in _IDENTIFIERS
    best, most = None, 0.0
    for scheme in SCHEMES:
        share = evidence.trait(scheme.entity) if claimed else _share(leaf, scheme)
        if share > most and _no_chance(scheme, share, evidence.sampled, claimed=claimed):
            best, most = scheme.entity, share
    if best is None:
        return _of_many_countries(leaf)
    if claimed:
        return _value(best, 0.9 + most / 10, most, "the values pass the check, as the name says")
    if not claimed and (asked is None or (asked.entity_type == "PERSON" and not asked.strong)):
        return _value(best, most, most, "nearly all values pass the check")
    return None


def _of_many_countries(leaf: Leaf) -> Finding | None:
    """Identifiers of several countries in one column, whatever it is called: most pass a check, far
    more than would by chance."""
    evidence = leaf.evidence
    if leaf.claim is not None or evidence.sampled < 2 * _SOME:
        return None
    social = evidence.sample_whole["US_SSN"] / evidence.sampled
    share = min(evidence.trait("any identifiers") + social, 1.0)
    if share < MOST or 2 * evidence.trait("any percent") / 100 > share:
        return None
    countries = {scheme.country for scheme in SCHEMES if _share(leaf, scheme)}
    some = sum(evidence.trait(f"{each} only") >= _BY_CHANCE / 2 for each in countries)
    if some + (social >= _BY_CHANCE / 2) < 2:
        return None
    return _value("NATIONAL_ID", share, share, "identifiers of several countries")


def _no_chance(scheme: Scheme, share: float, sampled: int, *, claimed: bool) -> bool:
    """Whether so many values pass the check of a kind that they are of it."""
    by_chance = scheme.chance ** (share * sampled)
    if claimed:
        return share >= CLAIMED and by_chance < _RARE
    return share >= (0.95 if scheme.chance > _RARE else MOST) and by_chance < _BY_ACCIDENT


def _of_versions(leaf: Leaf) -> bool:
    """Whether what looks like IP addresses are versions: by the name, or as their numbers are all
    small, or as others have two or three parts."""
    evidence, asked = leaf.evidence, leaf.claim
    if asked is not None and asked.entity_type == "IP_ADDRESS":
        return False
    quads, wide = evidence.traits["quad"], evidence.traits["wide_quad"]
    if versions(leaf.words):
        # The last number of a build grows high; that of an address is as often the first.
        return evidence.traits["far_quad"] <= quads / 4
    if quads and wide > quads / 10:
        return False
    return quads >= _SOME or evidence.traits["version"] - quads >= max(_FEW, evidence.sampled / 5)


def _telephones(leaf: Leaf, _: Company) -> Finding | None:
    """Telephone numbers of many countries and ways to write them, of which the recognizers know
    some: all are written like one, and enough have a country's prefix."""
    evidence, asked = leaf.evidence, leaf.claim
    if asked is not None and (asked.strong and asked.entity_type != "PHONE_NUMBER"):
        return None
    like, prefixed = evidence.trait("phone_like"), evidence.trait("international")
    known = evidence.sample_whole["PHONE_NUMBER"] / evidence.sampled
    least = MOST if prefixed >= _PREFIXED else 0.9
    trunk = evidence.trait("trunk")
    if evidence.distinct > _KINDS_OF and like >= 0.95 and trunk >= 0.95:
        return _value("PHONE_NUMBER", 0.6, like, "groups of digits behind a trunk prefix")
    if evidence.sampled < _FEW or like < least or prefixed < 0.1 or known < CLAIMED:
        return None
    return _value(
        "PHONE_NUMBER", 0.6 + like / 4, like, "written like telephone numbers, many known"
    )


def _contacts(leaf: Leaf) -> list[Finding]:
    """E-mail addresses and telephone numbers in one column, and little else: all of it is masked,
    as what most of it is."""
    evidence = leaf.evidence
    mails = evidence.sample_whole["EMAIL_ADDRESS"] / evidence.sampled
    phones = evidence.trait("phone_like")
    known = evidence.sample_whole["PHONE_NUMBER"] / evidence.sampled
    if evidence.sampled < _SOME or min(mails, phones) < 0.05 or known < CLAIMED * phones:
        return []
    if mails + phones < 0.9 or max(mails, phones) >= 0.95:
        return []
    first, second = ("EMAIL_ADDRESS", mails), ("PHONE_NUMBER", phones)
    if phones > mails:
        first, second = second, first
    why = "e-mail addresses and telephone numbers"
    return [
        _value(first[0], 0.9, first[1], why),
        Finding(second[0], Scope.SPAN, 0.9, round(second[1], 4), why),
    ]


def _beside(leaf: Leaf, found: Finding) -> list[Finding]:
    """``found``, and the names on the addresses if it is addresses that begin with one."""
    share = leaf.evidence.trait("addressed")
    if found.entity_type != "LOCATION" or found.scope is not Scope.VALUE or share < _BY_CHANCE:
        return [found]
    why = "the first lines are names of people"
    return [found, Finding("PERSON", Scope.SPAN, 0.7, round(share, 4), why)]


def _born(leaf: Leaf, company: Company) -> Finding | None:
    """Dates that only dates of birth can be, in a table about people: over many decades, and
    nearly all of people between 14 and 105 years."""
    evidence = leaf.evidence
    days = evidence.traits["day"]
    if leaf.claim is not None or not (company.people or company.contact):
        return None
    # A name that says something else, in whatever language, needs more against it.
    nameless = says_nothing(leaf.words)
    if not nameless and (not company.people or other_date(leaf.words)):
        return None
    if days < 2 * _SOME or days < 0.9 * evidence.sampled:
        return None
    decades = [
        count / days for name, count in evidence.traits.items() if name.startswith("decade ")
    ]
    spread = sum(share >= 0.03 for share in decades)
    if evidence.traits["adult"] < (MOST if nameless else 0.95) * days:
        return None
    if spread < (4 if nameless else 5) or max(decades) > (0.5 if nameless else 0.35):
        return None
    return _value("DATE_OF_BIRTH", 0.7, days / evidence.sampled, "days as people are born on")


def _vocabulary(leaf: Leaf) -> bool:
    """Whether a column has few values, each of them many times."""
    evidence = leaf.evidence
    return evidence.distinct <= _KINDS_OF and evidence.values >= 4 * evidence.distinct


def _user_name(leaf: Leaf, company: Company) -> Finding | None:
    """User names: where they are made of names, or stand beside a person."""
    evidence, asked = leaf.evidence, leaf.claim
    made, single = evidence.trait("handle_like"), evidence.trait("token_like")
    if asked is not None and asked.part == "user name":
        if _vocabulary(leaf) and made < MOST:
            return None  # screens, of which an app has some
        if made >= CLAIMED and single >= 0.5:
            return _value("PERSON", 0.8, made, "user names, made of names of people")
        if single >= MOST and (company.people or company.contact):
            return _value("PERSON", 0.6, single, "user names, beside a person")
        return None
    beside = company.people or company.contact
    weak = asked is None or (asked.entity_type == "PERSON" and not asked.strong)
    alike = made >= 0.7 and single >= MOST and evidence.trait("user_like") >= CLAIMED
    if weak and beside and alike:
        return _value("PERSON", 0.7, made, "made of names as user names are, beside a person")
    nothing = asked is None and says_nothing(leaf.words) and evidence.sampled >= 2 * _SOME
    if nothing and made >= 0.85 and evidence.trait("name_like") < 0.5:
        return _value("PERSON", 0.6, made, "words made of names of people")
    return None


def _patterns(leaf: Leaf, _: Company) -> Finding | None:
    """Values that are, wholly, what a pattern recognizer knows."""
    evidence, asked = leaf.evidence, leaf.claim
    shares = {entity: n / evidence.sampled for entity, n in evidence.sample_whole.items()}
    for entity, share in sorted(shares.items(), key=lambda each: (-each[1], each[0])):
        claimed = asked is not None and asked.entity_type == entity
        if entity == "PERSON" or (entity == "LOCATION" and not claimed and share < MOST):
            continue
        if (entity == "IP_ADDRESS" and _of_versions(leaf)) or _only_alike(leaf, entity):
            continue
        if claimed and share >= CLAIMED:
            return _value(entity, 0.9 + share / 10, share, "the values are, as the name says")
        if share >= MOST:
            return _value(entity, share, share, "nearly all values are")
    return None


def _spelled_out(leaf: Leaf, _: Company) -> Finding | None:
    """E-mail addresses that are kept from machines: jane [at] example [dot] com."""
    share = leaf.evidence.trait("mail_spelled")
    if leaf.evidence.sampled < _FEW or share < MOST:
        return None
    return _value("EMAIL_ADDRESS", share, share, "e-mail addresses, their signs spelled out")


def _sticky(leaf: Leaf, _: Company) -> Finding | None:
    """What the sample once settled stays: from then on the values were not searched."""
    evidence = leaf.evidence
    for entity in sorted(evidence.settled):
        share = evidence.sample_whole[entity] / evidence.sampled
        return _value(entity, 0.6, share, "the first values were")
    return None


_TRAIT = {
    "EMAIL_ADDRESS": ("mail_like", 0.5),
    "PHONE_NUMBER": ("phone_like", 0.5),
    "US_SSN": ("id_like", 0.5),
    "UK_NHS": ("id_like", 0.5),
    "NATIONAL_ID": ("id_like", 0.5),
    "IBAN_CODE": ("id_like", 0.8),
    "CREDIT_CARD": ("card_like", 0.8),
    "MAC_ADDRESS": ("mac_like", 0.8),
    "CRYPTO": ("wallet_like", 0.8),
}
_NUMBERED = frozenset({"PHONE_NUMBER", "US_SSN", "IBAN_CODE", "CREDIT_CARD"})


def _claimed(leaf: Leaf, _: Company) -> Finding | None:
    """Values that are written as the name claims, though nothing proves each of them."""
    asked = leaf.claim
    if asked is None:
        return None
    if asked.entity_type == "DATE_OF_BIRTH":
        return _birth(leaf, leaf.evidence.trait("date_like"))
    trait, least = _TRAIT.get(asked.entity_type, ("", 2.0))
    share = leaf.evidence.trait(trait)
    if share >= least:
        why = "the name says so, the form allows it"
        return _value(asked.entity_type, 0.5 + share / 4, share, why)
    # In a form that nobody reads here, it is still what the name says, unless it is not a number.
    share = leaf.evidence.trait("digits")
    if asked.strong and asked.entity_type in _NUMBERED and share >= 0.5:
        return _value(asked.entity_type, 0.5, share, "the name says so, and they are numbers")
    return None


def _birth(leaf: Leaf, share: float) -> Finding | None:
    asked = leaf.claim
    if asked is None or asked.entity_type != "DATE_OF_BIRTH" or share < CLAIMED:
        return None
    return _value("DATE_OF_BIRTH", 0.9, share, "dates, and the name says of birth")


def _number(leaf: Leaf, company: Company) -> Finding | None:
    """Numbers are personal only where the name says so and nearly all of them can be; parts of an
    address, and places on earth, only beside somebody."""
    asked, evidence = leaf.claim, leaf.evidence
    if asked is None or asked.entity_type not in IN_NUMBERS:
        return None
    entity = asked.entity_type
    # As much as of a text: a column of telephone numbers has extensions in it, too.
    least = 0.5 if asked.strong and entity in _TRAIT else 0.9
    if entity == "LOCATION":
        if not (company.people or company.contact or company.street) or asked.part == "city":
            return None
        if asked.part == "street" and "number" not in leaf.words:
            return None
        places = asked.part == "coordinates"
        share, least = evidence.trait("coordinate" if places else "number"), MOST
    elif entity == "CREDIT_CARD":
        # As of a text: in test data, and where somebody mistyped, the check digit is wrong.
        share = max(evidence.sample_whole[entity] / evidence.sampled, evidence.trait("card_like"))
    elif entity == "PHONE_NUMBER":
        share = evidence.trait("phone_like")
    elif entity == "US_SSN":
        share = evidence.trait("ssn_like")
    elif entity == "UK_NHS":
        share = evidence.trait(entity)
    else:
        checked = _national(leaf, company)
        if checked is not None:
            return checked
        share = evidence.trait("id_like")
    if share < least:
        return None
    return _value(entity, 0.9, share, "the name says so, and nearly all numbers fit")


def _theirs(leaf: Leaf) -> Finding | None:
    """Numbers that, wholly, are what a recognizer of the user's finds."""
    evidence = leaf.evidence
    for entity, count in sorted(evidence.sample_whole.items(), key=lambda each: (-each[1], each)):
        if entity not in KNOWN and count >= MOST * evidence.sampled:
            share = count / evidence.sampled
            return _value(entity, share, share, "nearly all values are")
    return None


def _named(leaf: Leaf, asked: Claim) -> Finding | None:
    """A person by the column's name, which is unmistakable. Names are written in more ways than
    are known: what speaks against them must be seen."""
    evidence = leaf.evidence
    like, other = evidence.trait("name_like"), evidence.trait("no_name")
    if evidence.trait("organization") >= _SOME_FIRMS and evidence.trait("full") < CLAIMED:
        return None
    if like >= 0.5:
        return _value("PERSON", 0.9, like, "the name says so, the values can be names")
    if other < 0.5 and asked.part != "user name":
        return _value("PERSON", 0.6, 1 - other, "the name says so, nothing speaks against it")
    return None


def _person(leaf: Leaf, company: Company) -> Finding | None:
    evidence, asked = leaf.evidence, leaf.claim
    like = evidence.trait("name_like")
    known = evidence.trait("single") + evidence.trait("full")
    firms = evidence.trait("organization")
    claimed = asked is not None and asked.entity_type == "PERSON"
    if claimed and asked is not None and asked.strong:
        return _named(leaf, asked)
    if claimed and firms < 0.2 and like >= 0.5:
        if known >= 0.5:
            return _value("PERSON", 0.85, known, "called a name, and most are names of people")
        beside = (company.people or company.contact) and not _vocabulary(leaf)
        if beside and (known >= 0.15 or evidence.named >= 0.3):
            return _value("PERSON", 0.75, known, "called a name, in a table about people")
        if company.people and like >= 0.9 and not _vocabulary(leaf):
            return _value("PERSON", 0.6, like, "called a name, beside personal attributes")
        return _unlisted(leaf)
    towns = evidence.trait("place")
    if asked is None and firms < 0.1 and like >= 0.8 and known > towns:
        full = evidence.trait("full")
        # Given name and surname together are hardly chance, even in a column of a few values.
        if evidence.sampled >= _FEW and full >= (0.6 if evidence.sampled >= _SOME else 0.8):
            return _value("PERSON", 0.8, known, "most values are full names of people")
        if evidence.sampled >= _FEW and full >= 0.4 and evidence.trait("nearly") >= 0.85:
            return _value("PERSON", 0.75, full, "many are full names of people, the others alike")
        if evidence.sampled >= _SOME and known >= 0.7:
            return _value("PERSON", 0.7, known, "most values are names of people")
    return _unlisted(leaf) if asked is None else None


def _unlisted(leaf: Leaf) -> Finding | None:
    """People whose names the lists do not have, by how the column's values are made: of words that
    no dictionary has, of surnames with initials, of family names without a space. Only where there
    are many different values, for products and places that are made so are few."""
    evidence = leaf.evidence
    if evidence.sampled < _SOME or evidence.distinct <= _KINDS_OF:
        return None
    if evidence.trait("organization") >= 0.1:
        return None
    form, known = evidence.trait("initialled_form"), evidence.trait("initialled")
    if form >= 0.85 and known >= CLAIMED:
        return _value("PERSON", 0.65, form, "surnames with initials")
    if evidence.trait("place") >= _BY_CHANCE:
        return None
    foreign, nearly = evidence.trait("foreign"), evidence.trait("nearly")
    least = 0.25 if leaf.claim is not None else CLAIMED
    if foreign >= MOST and nearly >= least and foreign + nearly >= 1.15:
        return _value("PERSON", 0.65, foreign, "words of no language, some of them names")
    if nearly >= 0.9 and evidence.trait("full") >= _BY_CHANCE and foreign >= 0.5:
        return _value("PERSON", 0.65, nearly, "all could be full names of people, some are")
    if (share := evidence.trait("unspaced")) >= MOST:
        return _value("PERSON", 0.65, share, "family names of East Asia, and what follows them")
    return None


def _place(leaf: Leaf, company: Company) -> Finding | None:
    """Parts of an address. A street is one by its name; a city or a postal code only beside a
    street or a person, for alone it points to nobody."""
    asked, evidence = leaf.claim, leaf.evidence
    streets = evidence.trait("street_like")
    if streets >= (CLAIMED if asked is not None and asked.entity_type == "LOCATION" else 0.6):
        return _value("LOCATION", 0.8, streets, "streets with their numbers")
    located = evidence.sample_found["LOCATION"] / evidence.sampled
    if min(evidence.trait("addressed"), located) >= 0.6:
        return _value("LOCATION", 0.8, located, "addresses under the names of people")
    near = company.street or company.people or company.contact
    if asked is None:
        return _unnamed_place(leaf, company) if near and evidence.sampled >= _SOME else None
    if asked.entity_type != "LOCATION":
        return None
    if asked.part == "street":
        digits_only = evidence.trait("number") + evidence.trait("code_like") >= 0.9
        if evidence.trait("token_like") >= 0.9 and evidence.distinct <= _KINDS_OF:
            return None  # home, office: a word for what kind of address it is
        if not digits_only or "number" in leaf.words:
            return _value("LOCATION", 0.8, 1.0, "part of an address, by its name")
        return None
    if near and not (asked.part == "city" and _no_city(evidence)):
        return _value("LOCATION", 0.7, 1.0, f"{asked.part} beside a street or a person")
    return None


def _no_city(evidence: Evidence) -> bool:
    """Whether what is called a city are numbers, or other things: teams, warehouses."""
    unknown = evidence.sampled >= 2 * _SOME and evidence.trait("place") < 2 * _RARE
    return unknown or evidence.trait("number") >= 0.9


def _unnamed_place(leaf: Leaf, company: Company) -> Finding | None:
    """Cities and postal codes in a column that says nothing of it, beside a street or a person."""
    evidence = leaf.evidence
    towns, codes = evidence.trait("place"), evidence.trait("postcode_like")
    if towns >= 0.6 and towns > evidence.trait("single") + evidence.trait("full"):
        return _value("LOCATION", 0.6, towns, "most values are cities, beside a person")
    # Codes of several countries, for digits alone could be anything.
    mixed = evidence.trait("number") < MOST and evidence.distinct > _KINDS_OF
    if company.street and mixed and codes >= 0.95:
        return _value("LOCATION", 0.6, codes, "postal codes, beside a street")
    return None


def _spans(leaf: Leaf) -> list[Finding]:
    evidence = leaf.evidence
    found: list[Finding] = []
    for entity in sorted(evidence.found):
        count = evidence.held(entity)
        if not count:
            continue
        against: dict[str, Any] = {}
        cards = evidence.traits["card_like"]
        if (entity == "IP_ADDRESS" and _of_versions(leaf)) or _only_alike(leaf, entity):
            continue
        if entity == "CREDIT_CARD" and cards >= 20 and cards / evidence.sampled >= MOST:
            # One number in ten passes Luhn: in a column of order numbers that is chance.
            if evidence.sample_whole[entity] / cards <= _BY_CHANCE:
                continue
            against["card_like"] = cards
        found.append(
            Finding(
                entity,
                Scope.SPAN,
                round(evidence.scores[entity], 3),
                round(count / max(evidence.scanned, 1), 6),
                "spans in the text",
                against,
            )
        )
    return found


def settled(leaf: Leaf, least: float) -> frozenset[str]:
    """The entity type that the sample alone shows the whole column to be, with a score of ``least``
    or more, if any: from then on every value is masked whole, and searching the rest can only
    repeat it."""
    if leaf.evidence.sampled < _ENOUGH:
        return frozenset()
    found = decide(leaf, ALONE, least=least)
    return frozenset(each.entity_type for each in found if each.scope is Scope.VALUE)
