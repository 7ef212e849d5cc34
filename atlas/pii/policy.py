"""Policies: which operator each kind of personal data gets, as data.

A policy names an operator for every entity type, and for columns. Those that people name and the
ledger keeps say where they are other than the built-in one; a connection may override its policy
again, by entity type and by column. Entity types that are not personal by themselves (dates,
nationalities, countries, organizations) are no findings, so no policy names them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from atlas.errors import UsageError
from atlas.model.personal import Operator
from atlas.pii import declared
from atlas.pii.places import around, split
from atlas.settings import settings

IDENTIFIERS: dict[str, str] = {
    "US_ITIN": "US individual taxpayer identification number",
    "UK_NINO": "UK national insurance number",
    "UK_DRIVING_LICENCE": "UK driving licence number",
    "DE_TAX_ID": "German tax identification number (checksum)",
    "DE_SOCIAL_SECURITY": "German pension insurance number (checksum)",
    "FR_NIR": "French social security number (checksum)",
    "ES_NIF": "Spanish DNI or NIF of a person (check letter)",
    "ES_NIE": "Spanish number of a foreigner (check letter)",
    "IT_FISCAL_CODE": "Italian fiscal code (check letter)",
    "PL_PESEL": "Polish PESEL number (checksum)",
    "FI_PERSONAL_IDENTITY_CODE": "Finnish personal identity code (check character)",
    "SE_PERSONNUMMER": "Swedish personal identity number (checksum)",
    "DK_CPR": "Danish CPR number (date of birth)",
    "NL_BSN": "Dutch citizen service number (checksum)",
    "PT_NIF": "Portuguese tax number of a person (checksum)",
    "PT_CC": "Portuguese citizen card (checksum)",
    "NO_FODSELSNUMMER": "Norwegian birth number (checksums)",
    "BE_NATIONAL_NUMBER": "Belgian national register number (checksum)",
    "CH_AHV": "Swiss social security number (checksum)",
    "AT_SVNR": "Austrian social insurance number (checksum)",
    "IE_PPSN": "Irish personal public service number (check letter)",
    "CZ_BIRTH_NUMBER": "Czech birth number (checksum)",
    "BR_CPF": "Brazilian taxpayer number of a person (checksums)",
    "CA_SIN": "Canadian social insurance number (checksum)",
}
"""National identifiers; an operator for ``NATIONAL_ID`` is theirs too, if they have none."""

ENTITIES: dict[str, str] = {
    "EMAIL_ADDRESS": "e-mail address",
    "PHONE_NUMBER": "telephone number",
    "PERSON": "name of a person, whole or in part",
    "LOCATION": "part of a person's address: street, house number, city, postal code",
    "DATE_OF_BIRTH": "date of birth, as distinct from other dates",
    "CREDIT_CARD": "payment card number (Luhn)",
    "IBAN_CODE": "bank account as IBAN (checksum)",
    "CRYPTO": "address of a cryptocurrency: Bitcoin and its kin (checksum), Ethereum",
    "IP_ADDRESS": "IP address, v4 or v6",
    "MAC_ADDRESS": "hardware address",
    "US_SSN": "US social security number",
    "UK_NHS": "UK national health service number (checksum)",
    **IDENTIFIERS,
    "NATIONAL_ID": "passport, driver's licence, tax or national identifier, by the column's name",
    "AGE": "age in years, where a person says so",
    "COORDINATE": "latitude, longitude or both, where a person says so",
    "PERSONAL": "a column that the policy names although nothing was found in it, or documents "
    "that cannot be searched",
}
"""The entity types of findings, by Presidio's names where it has one, and what they mean."""

MERGING = frozenset({Operator.MASK, Operator.REDACT, Operator.GENERALISE, Operator.DROP})
"""Operators that make different values equal: never applied to a primary key."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Operators by entity type and, where a connection says so, by column.

    Attributes:
        name: the policy's name.
        entities: operator for each of :data:`ENTITIES`, and for those of users' own recognizers
            that it names.
        columns: operators that win over ``entities``; a key is a column's name, or a column's
            name and the rest of a JSON path ("address.city"), which then holds for all below it.
    """

    name: str
    entities: Mapping[str, Operator]
    columns: Mapping[str, Operator] = field(default_factory=dict)

    @property
    def kept(self) -> frozenset[str]:
        """The entity types that stay as they are."""
        return frozenset(
            entity for entity, operator in self.entities.items() if operator is Operator.KEEP
        )

    def operator(self, entity_type: str, column: str, path: str = "") -> Operator:
        """What becomes of ``entity_type`` found in ``column`` at JSON ``path`` ("$.city" or "")."""
        explicit = self.explicit(column, path)
        return self.of(entity_type) if explicit is None else explicit

    def of(self, entity_type: str) -> Operator:
        """What becomes of ``entity_type``; one that the policy does not name is masked."""
        return self.entities.get(entity_type, Operator.MASK)

    def explicit(self, column: str, path: str = "") -> Operator | None:
        """The operator that ``columns`` gives this leaf, what it is in, or its whole column; None
        if it names none of them."""
        for place in around(path):
            operator = self.columns.get(column + place[1:])
            if operator is not None:
                return operator
        return self.columns.get(column)


BUILT_IN = Policy("default", dict.fromkeys(ENTITIES, Operator.MASK))
"""What every named policy, and so every connection, begins with: everything is masked."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
"""What a policy may be called."""

# Neither could be stored, and no column is called so.
_STORABLE = re.compile(r"[^\x00\ud800-\udfff]{1,2000}")


def _near(word: object, known: Iterable[str]) -> str:
    known = list(known)
    for candidate in (str(word), str(word).upper(), str(word).lower()):
        near = difflib.get_close_matches(candidate, known, n=1, cutoff=0.5)
        if near:
            return f"did you mean {near[0]}?"
    return f"it is one of {', '.join(known)}"


def unknown(name: str, known: Iterable[str]) -> UsageError:
    """The error that says there is no policy ``name``, with the nearest of those that there are."""
    return UsageError(f"unknown pii policy {name[:80]!r}: {_near(name, known)}")


def policy(name: str) -> Policy:
    """The built-in policy called ``name``.

    Raises:
        UsageError: there is none; the message has the nearest name.
    """
    if name != BUILT_IN.name:
        raise unknown(name, [BUILT_IN.name])
    return BUILT_IN


def entity_types() -> dict[str, str]:
    """:data:`ENTITIES`, and those of users' own recognizers in this process.

    Raises:
        UsageError: the file of the recognizers is wrong.
    """
    return {**declared.entity_types(settings().pii_recognizers), **ENTITIES}


def known_entity(name: str) -> None:
    """See that there is such an entity type, Atlas's or of users' own recognizers.

    Raises:
        UsageError: there is none; the message has the nearest name.
    """
    if name not in ENTITIES and name not in (known := entity_types()):
        raise UsageError(f"pii: unknown entity type {name!r}: {_near(name, known)}")


def _operator(value: object, where: str) -> Operator:
    try:
        return Operator(str(value))
    except ValueError:
        raise UsageError(
            f"pii: {where} has unknown operator {value!r}: {_near(value, list(Operator))}"
        ) from None


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"pii: {where} must be a mapping of names to operators")
    return value


def parse(document: Mapping[str, Any] | None) -> Policy:
    """The policy that a connection's ``pii`` block asks for over the built-in one.

    Shape: ``{"policy": NAME, "entities": {TYPE: OPERATOR}, "columns": {COLUMN: OPERATOR}}``, each
    part optional; None or ``{}`` is the default policy. With a column's operator other than
    ``keep``, the whole column gets it, whatever was found; with ``keep``, findings are reported
    and nothing is changed.

    Raises:
        UsageError: an unknown key, policy, entity type or operator; the message has the nearest.
    """
    policy(asked(document))
    return over(BUILT_IN, document or {})


def asked(document: Mapping[str, Any] | None) -> str:
    """The name of the policy that a connection's ``pii`` block goes on top of. Whether there is
    such a policy is not looked at; all else in the block is.

    Raises:
        UsageError: as :func:`parse`.
    """
    document = _known(document, ("policy", "entities", "columns"))
    over(BUILT_IN, document)
    return str(document.get("policy", BUILT_IN.name))


def kept(document: Mapping[str, Any] | None) -> set[str]:
    """The entity types and columns that a connection's ``pii`` block itself leaves as they are."""
    return {
        f"{what} {name}"
        for what, part in (("entity type", "entities"), ("column", "columns"))
        for name, operator in ((document or {}).get(part) or {}).items()
        if operator == Operator.KEEP
    }


def named(name: str, document: Mapping[str, Any] | None, *, stored: bool = False) -> Policy:
    """The policy of that name: ``{"entities": {…}, "columns": {…}}``, each part optional, over the
    built-in one.

    Args:
        stored: it was looked at before it was stored. Entity types of recognizers that are no
            longer there do no harm then.

    Raises:
        UsageError: no policy can be called so; or as :func:`parse`.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"policy {name[:80]!r}: its name must be a lower-case letter, then up to 39 letters, "
            "digits, _ or -"
        )
    try:
        given = _known(document, ("entities", "columns"))
        return replace(over(BUILT_IN, given, stored=stored), name=name)
    except UsageError as error:
        raise UsageError(f"policy {name}: {error}") from error


def _known(document: Mapping[str, Any] | None, keys: tuple[str, ...]) -> Mapping[str, Any]:
    document = _mapping(document if document is not None else {}, "the block")
    for key in document:
        if key not in keys:
            raise UsageError(f"pii: unknown key {key!r}: {_near(key, keys)}")
    return document


def over(base: Policy, document: Mapping[str, Any], *, stored: bool = False) -> Policy:
    """``base`` with the operators of ``document`` (``entities``, ``columns``) in place of its own;
    ``stored`` as in :func:`named`.

    Raises:
        UsageError: as :func:`parse`.
    """
    entities = dict(base.entities)
    asked: dict[str, Operator] = {}
    for entity, value in _mapping(document.get("entities") or {}, "entities").items():
        if not stored:
            known_entity(entity)
        asked[entity] = _operator(value, f"entity type {entity}")
    if "NATIONAL_ID" in asked:
        entities.update(dict.fromkeys(IDENTIFIERS, asked["NATIONAL_ID"]))
    entities.update(asked)
    columns = dict(base.columns)
    for column, value in _mapping(document.get("columns") or {}, "columns").items():
        if not _STORABLE.fullmatch(str(column)):
            raise UsageError("pii: columns has a name that no column can have")
        split(str(column))
        columns[str(column)] = _operator(value, f"column {column!r}")
    return replace(base, entities=entities, columns=columns)
