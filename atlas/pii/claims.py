"""What a column's name claims about its values.

Names are read token by token ("billingPhone_2" is billing, phone, 2) and only the head of a name
counts: ``phone_model`` ends in a model, ``email_count`` in a count, and neither claims anything.
A claim never decides alone; :mod:`atlas.pii.decide` weighs it against the values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\dA-Za-z_]+|\d+")
_COMPOUNDS = {
    "firstname": "first name",
    "lastname": "last name",
    "fullname": "full name",
    "middlename": "middle name",
    "givenname": "given name",
    "familyname": "family name",
    "username": "user name",
    "fname": "first name",
    "lname": "last name",
    "forename": "first name",
    "emailaddress": "email address",
    "phonenumber": "phone number",
    "phoneno": "phone number",
    "mobilephone": "mobile phone",
    "zipcode": "zip code",
    "postalcode": "postal code",
    "postcode": "postal code",
    "birthdate": "birth date",
    "dateofbirth": "birth date",
    "birthday": "birth date",
    "dob": "birth date",
    "streetname": "street name",
    "streetaddress": "street address",
    "housenumber": "house number",
    "creditcard": "credit card",
    "cardnumber": "card number",
    "ipaddress": "ip address",
    "ipaddr": "ip address",
    "macaddress": "mac address",
    "addr": "address",
    "addresse": "address",
    "citie": "city",
    "no": "number",
    "nr": "number",
    "num": "number",
}
_TAILS = _words(
    "number value raw text str string digits home work office primary secondary personal "
    "private main alt alternate alternative other current old new original normalized normalised "
    "formatted full billing shipping business emergency preferred default day evening direct "
    "international local"
)
_PEOPLE = _words(
    "customer client contact employee user person patient student pupil teacher author owner "
    "member guest passenger driver doctor physician nurse manager supervisor recipient sender "
    "cardholder holder buyer applicant candidate beneficiary spouse child parent father "
    "mother partner subscriber attendee participant agent rep representative assignee "
    "reporter creator tenant kin payee payer signatory resident citizen billing shipping "
    "emergency visitor voter donor worker staff lead consumer shopper borrower insured "
    "claimant witness victim suspect"
)
_THINGS = _words(
    "product file company host brand event category country state domain table column "
    "database schema app application model project team department group role plan campaign "
    "channel stage currency language field class template store shop item sku service server "
    "bank school tag type queue task job branch repo repository package module feature test "
    "report song album movie film book game device browser os font color colour screen page "
    "site bucket key index organization organisation business vendor supplier manufacturer "
    "make region province county metric sensor node cluster policy rule course subject topic "
    "form menu recipe drug species airport station hotel restaurant venue"
)
_PERSON_TABLE = _words(
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


def _table(*rows: tuple[str, str, str]) -> dict[tuple[str, ...], Claim]:
    return {
        tuple(words.split()): Claim(entity, part)
        for entity, part, phrases in rows
        for words in phrases.split(", ")
    }


_CLAIMS = _table(
    ("EMAIL_ADDRESS", "e-mail", "email, e mail, mail, email address, mail address"),
    (
        "PHONE_NUMBER",
        "telephone",
        (
            "phone, telephone, mobile, cell, cellphone, tel, telefon, fax, msisdn, phone number, "
            "telephone number, fax number, mobile number, cell number"
        ),
    ),
    (
        "PERSON",
        "name",
        (
            "first name, last name, given name, family name, middle name, full name, maiden name, "
            "legal name, name first, name last, name full, surname, vorname, nachname, fornavn, "
            "efternavn, prenom"
        ),
    ),
    (
        "LOCATION",
        "street",
        (
            "street, street name, street address, address, address line, street line, "
            "house number, street number, building number, apartment number, strasse"
        ),
    ),
    ("LOCATION", "city", "city, city name, town, municipality, suburb, locality"),
    ("LOCATION", "postal code", "zip, zip code, postal code, postal, plz, post code"),
    ("DATE_OF_BIRTH", "date", "birth date, date birth, date of birth, born, born on"),
    (
        "CREDIT_CARD",
        "number",
        "card, card number, credit card, debit card, cc number, cc, pan, ccn, credit card number",
    ),
    ("US_SSN", "number", "ssn, social security, social security number"),
    ("UK_NHS", "number", "nhs, nhs number"),
    ("IBAN_CODE", "number", "iban"),
    ("IP_ADDRESS", "address", "ip, ip address, ipv4, ipv6, remote addr, remote address"),
    ("MAC_ADDRESS", "address", "mac, mac address"),
    ("CRYPTO", "address", "wallet, wallet address, bitcoin address, btc address"),
    (
        "NATIONAL_ID",
        "number",
        (
            "passport, passport number, national id, tax id, driver license, drivers license, "
            "driver licence, drivers licence, cpr, itin"
        ),
    ),
)
IN_NUMBERS = frozenset({"CREDIT_CARD", "PHONE_NUMBER", "US_SSN", "UK_NHS"})
"""Entity types that a numeric column may hold, where its name claims them."""
_NO_STREET = _words("web contract memory ip mac email mail wallet bitcoin url site host")


def tokens(name: str) -> tuple[str, ...]:
    """The lower-case words of ``name``: camelCase, snake_case, digits and compounds split, plurals
    made singular."""
    found: list[str] = []
    for word in _WORD.findall(name):
        lower = word.lower()
        if len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
            lower = lower[:-1]
        found.extend(_COMPOUNDS.get(lower, lower).split())
    return tuple(found)


def _name(words: tuple[str, ...]) -> Claim | None:
    """The claim of words that end in ``name``."""
    modifier = words[-2] if len(words) > 1 else ""
    if modifier in _THINGS:
        return None
    return Claim("PERSON", "name", strong=modifier in _PEOPLE)


def claim(words: tuple[str, ...]) -> Claim | None:
    """What the name made of ``words`` (see :func:`tokens`) claims, or None."""
    while words:
        for length in (3, 2, 1):
            found = _CLAIMS.get(words[-length:]) if len(words) >= length else None
            if found is None:
                continue
            before = words[-length - 1] if len(words) > length else ""
            if found.part == "street" and before in _NO_STREET:
                return None
            return found
        if words[-1] == "name":
            return _name(words)
        if words[-1] in _PEOPLE - _TAILS or words[-2:] in (("created", "by"), ("updated", "by")):
            return Claim("PERSON", "name", strong=False)
        if words[-1] not in _TAILS and not words[-1].isdigit():
            return None
        words = words[:-1]
    return None


def about_people(words: tuple[str, ...]) -> bool:
    """Whether a column of this name stands only in tables about people (gender, nationality)."""
    return bool(_PERSON_TABLE.intersection(words))
