"""What a column is, from its evidence, the claim of its name, and the company it keeps.

A pure function of counts: the same evidence gives the same decision, wherever it was gathered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from atlas.model.personal import Scope
from atlas.model.stream import ColumnType
from atlas.pii.claims import IN_NUMBERS, Claim, about_people, claim
from atlas.pii.evidence import Evidence

MOST = 0.8
"""Share of the sample that makes a column one of values, whatever it is called."""
CLAIMED = 0.3
"""The share that is enough where the column's name claims the same."""
TIMES = (ColumnType.DATE, ColumnType.TIMESTAMP, ColumnType.TIMESTAMPTZ)
_NUMBERS = (ColumnType.BIGINT, ColumnType.NUMERIC)
_BY_CHANCE = 0.2
_ENOUGH = 50
_SOME = 10
_FEW = 3


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
            each.entity_type in ("PERSON", "DATE_OF_BIRTH", "US_SSN", "UK_NHS", "NATIONAL_ID")
            for each in found
        )
        asked = leaf.claim
        street |= asked is not None and asked.part == "street" and leaf.evidence.values > 0
    return Company(people=people, contact=contact, street=street)


def decide(leaf: Leaf, company: Company, denied: frozenset[str] = frozenset()) -> list[Finding]:
    """The findings of one leaf: one of scope VALUE, or any number of scope SPAN, or none.

    Args:
        denied: entity types that it is not, whatever speaks for them: what else is in it is then
            found beside them.
    """
    evidence = leaf.evidence
    if not evidence.sampled or leaf.type is ColumnType.BOOLEAN:
        return []
    if leaf.type in TIMES:
        return _by(_birth(leaf, 1.0), denied)
    if leaf.type in _NUMBERS:
        return _by(_number(leaf), denied)
    for rule in (_patterns, _claimed, _person, _place, _sticky):
        found = rule(leaf, company)
        if left := _by(found, denied):
            return left
    return [found for found in _spans(leaf) if found.entity_type not in denied]


def _by(found: Finding | None, denied: frozenset[str]) -> list[Finding]:
    return [] if found is None or found.entity_type in denied else [found]


def _value(entity: str, score: float, share: float, reason: str) -> Finding:
    return Finding(entity, Scope.VALUE, round(score, 3), round(share, 4), reason)


def _patterns(leaf: Leaf, _: Company) -> Finding | None:
    """Values that are, wholly, what a pattern recognizer knows."""
    evidence, asked = leaf.evidence, leaf.claim
    shares = {entity: n / evidence.sampled for entity, n in evidence.sample_whole.items()}
    for entity, share in sorted(shares.items(), key=lambda each: (-each[1], each[0])):
        claimed = asked is not None and asked.entity_type == entity
        if entity == "PERSON" or (entity == "LOCATION" and not claimed and share < MOST):
            continue
        if claimed and share >= CLAIMED:
            return _value(entity, 0.9 + share / 10, share, "the values are, as the name says")
        if share >= MOST:
            return _value(entity, share, share, "nearly all values are")
    return None


def _sticky(leaf: Leaf, _: Company) -> Finding | None:
    """What the sample once settled stays: from then on the values were not searched."""
    evidence = leaf.evidence
    for entity in sorted(evidence.settled):
        share = evidence.sample_whole[entity] / evidence.sampled
        return _value(entity, 0.6, share, "the first values were")
    return None


_TRAIT = {
    "PHONE_NUMBER": ("phone_like", 0.5),
    "US_SSN": ("id_like", 0.5),
    "UK_NHS": ("id_like", 0.5),
    "NATIONAL_ID": ("id_like", 0.5),
    "IBAN_CODE": ("id_like", 0.8),
    "CREDIT_CARD": ("card_like", 0.8),
}


def _claimed(leaf: Leaf, _: Company) -> Finding | None:
    """Values that are written as the name claims, though nothing proves each of them."""
    asked = leaf.claim
    if asked is None:
        return None
    if asked.entity_type == "DATE_OF_BIRTH":
        return _birth(leaf, leaf.evidence.trait("date_like"))
    trait, least = _TRAIT.get(asked.entity_type, ("", 2.0))
    share = leaf.evidence.trait(trait)
    if share < least:
        return None
    return _value(asked.entity_type, 0.5 + share / 4, share, "the name says so, the form allows it")


def _birth(leaf: Leaf, share: float) -> Finding | None:
    asked = leaf.claim
    if asked is None or asked.entity_type != "DATE_OF_BIRTH" or share < CLAIMED:
        return None
    return _value("DATE_OF_BIRTH", 0.9, share, "dates, and the name says of birth")


def _number(leaf: Leaf) -> Finding | None:
    """Whole numbers are personal only where the name says so and nearly all of them can be."""
    asked, evidence = leaf.claim, leaf.evidence
    if asked is None or asked.entity_type not in IN_NUMBERS:
        return None
    checked = asked.entity_type in ("CREDIT_CARD", "UK_NHS")
    if checked:
        share = evidence.sample_whole[asked.entity_type] / evidence.sampled
    elif asked.entity_type == "PHONE_NUMBER":
        share = evidence.trait("phone_like")
    else:
        share = evidence.trait("ssn_like")
    if share < 0.9:
        return None
    return _value(asked.entity_type, 0.9, share, "the name says so, and nearly all numbers fit")


def _person(leaf: Leaf, company: Company) -> Finding | None:
    evidence, asked = leaf.evidence, leaf.claim
    like = evidence.trait("name_like")
    known = evidence.trait("single") + evidence.trait("full")
    firms = evidence.trait("organization")
    claimed = asked is not None and asked.entity_type == "PERSON"
    if claimed and asked is not None and asked.strong:
        if like >= 0.5:
            return _value("PERSON", 0.9, like, "the name says so, the values can be names")
        return None
    if claimed and firms < 0.2 and like >= 0.5:
        if known >= 0.5:
            return _value("PERSON", 0.85, known, "called a name, and most are names of people")
        beside = company.people or company.contact
        if beside and (known >= 0.15 or evidence.named >= 0.3):
            return _value("PERSON", 0.75, known, "called a name, in a table about people")
        if company.people and like >= 0.9:
            return _value("PERSON", 0.6, like, "called a name, beside personal attributes")
        return None
    if asked is None and firms < 0.1 and like >= 0.8:
        full = evidence.trait("full")
        # Given name and surname together are hardly chance, even in a column of a few values.
        if evidence.sampled >= _FEW and full >= (0.6 if evidence.sampled >= _SOME else 0.8):
            return _value("PERSON", 0.8, known, "most values are full names of people")
        if evidence.sampled >= _SOME and known >= 0.7:
            return _value("PERSON", 0.7, known, "most values are names of people")
    return None


def _place(leaf: Leaf, company: Company) -> Finding | None:
    """Parts of an address. A street is one by its name; a city or a postal code only beside a
    street or a person, for alone it points to nobody."""
    asked, evidence = leaf.claim, leaf.evidence
    if asked is None or asked.entity_type != "LOCATION":
        return None
    if asked.part == "street":
        digits_only = evidence.trait("number") >= 0.9
        if not digits_only or "number" in leaf.words:
            return _value("LOCATION", 0.8, 1.0, "part of an address, by its name")
        return None
    if asked.part == "city" and evidence.trait("number") >= 0.9:
        return None
    if company.street or company.people or company.contact:
        return _value("LOCATION", 0.7, 1.0, f"{asked.part} beside a street or a person")
    return None


def _spans(leaf: Leaf) -> list[Finding]:
    evidence = leaf.evidence
    found: list[Finding] = []
    for entity, count in sorted(evidence.found.items()):
        against: dict[str, Any] = {}
        cards = evidence.traits["card_like"]
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


def settled(leaf: Leaf) -> frozenset[str]:
    """The entity type that the sample alone shows the whole column to be, if any: from then on
    every value is masked whole, and searching the rest can only repeat it."""
    if leaf.evidence.sampled < _ENOUGH:
        return frozenset()
    return frozenset(each.entity_type for each in decide(leaf, ALONE) if each.scope is Scope.VALUE)
