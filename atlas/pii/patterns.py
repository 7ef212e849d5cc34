"""Cheap looks at values, before any recognizer: what could be in there, and what is only alike.

:data:`CANDIDATE` runs over whole columns in RE2 (linear time) and lets through every value that
holds anything a pattern recognizer could match; :func:`triggers` says which of them. Whatever is
not let through is seen by no recognizer, so these expressions are supersets of theirs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

_STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Circle|Crescent|Close|Row)"
)
STREET_ADDRESS = (
    r"\b\d{1,5}[A-Za-z]?,?\s+(?:(?:N|S|E|W|NE|NW|SE|SW)\.?\s+)?"
    r"(?:[A-Z][\w'.\-]*\s+){1,4}" + _STREET + r"\b\.?"
)

CANDIDATE = "|".join(
    (
        r"[^\s@]@[^\s@]",
        r"\+\d",
        r"\(\d{2,5}\)",
        r"\d(?:[ .\-/]{0,3}\d){6,}",
        r"[A-Za-z]{2}\d{2}(?:[ \-]?[A-Za-z0-9]){11}",
        r"[13][1-9A-HJ-NP-Za-km-z]{25}",
        r"bc1[a-z0-9]{20}",
        r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
        r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3}",
        r"::[0-9A-Fa-f]",
        r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}",
        r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
        STREET_ADDRESS,
    )
)
"""RE2: the value may hold something that a pattern recognizer knows."""

NUMBER = r"^[-+]?\d{1,12}$|^\d{20,}$|^[-+]?\d+[.,]\d+$"
"""RE2: a plain number. It is personal only where the column's name says so."""

ALIKE = "|".join(
    (
        r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+\-]\d{2}:?\d{2})?)?$",
        r"^[0-9A-Fa-f]{20}(?:[0-9A-Fa-f]{4})*$",
    )
)
"""RE2: the whole value is a UUID, a date, a timestamp or a hash."""

PROSE = r"\S\s+\S+\s+\S+\s+\S+\s+\S"
"""RE2: five words or more."""

LETTERS = r"\pL{2}"
"""RE2: something that named-entity recognition could read."""

_PHONE = re.compile(
    r"(?:\+|\b00)\d[\d ().\-/]{6,}|\(\+?\d{1,5}\)[ .\-/]{0,2}\d+(?:[ .\-/]?\d+)*|"
    r"(?<![\w.])\d{1,6}(?:[ .\-/]{1,2}\(?\d{2,6}\)?){1,6}"
)
_BARE = re.compile(r"(?<!\w)\d{7,15}(?!\w)")
_PHONE_CONTEXT = re.compile(r"(?i)(?:phone|\btel|\bcall|mobile|\bcell|\bfax|\bring\b|\bsms\b)")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}"
)
_TRIGGERS: dict[str, re.Pattern[str]] = {
    "EMAIL_ADDRESS": re.compile(r"[^\s@]@[^\s@]"),
    "CREDIT_CARD": re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)"),
    "US_SSN": re.compile(r"(?<!\d)\d{3}([- .])\d{2}\1\d{4}(?!\d)"),
    "IBAN_CODE": re.compile(r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11}"),
    "CRYPTO": re.compile(r"(?:[13][1-9A-HJ-NP-Za-km-z]{25}|bc1[a-z0-9]{20})"),
    "IP_ADDRESS": re.compile(
        r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3}|::[0-9A-Fa-f]"
    ),
    "MAC_ADDRESS": re.compile(
        r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"
    ),
    "LOCATION": re.compile(STREET_ADDRESS),
}
_CLAIMED: dict[str, tuple[re.Pattern[str], re.Pattern[str]]] = {
    "US_SSN": (re.compile(r"(?i)\bssns?\b|social security"), re.compile(r"(?<!\d)\d{9}(?!\d)")),
    "UK_NHS": (
        re.compile(r"(?i)\bnhs\b|health service"),
        re.compile(r"(?<!\d)\d{3}[- ]?\d{3}[- ]?\d{4}(?!\d)"),
    ),
}

_PHONE_LIKE = re.compile(
    r"\+?[\d(][\d\s().\-/+]{5,}(?:\s*(?:x|ext\.?|#)\s*\d{1,6})?", re.IGNORECASE
)
_WORD_OF_A_NAME = r"[^\W\d_](?:[^\W\d_]|['\u2019`.\-])*"
_NAME_LIKE = re.compile(rf"{_WORD_OF_A_NAME}(?:[ ,]+{_WORD_OF_A_NAME}){{0,4}}")
_DATE_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
_ID_LIKE = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9 .\-/]{4,24}")
CARD_LIKE = re.compile(r"\d{12,19}")
ORGANIZATION = re.compile(
    r"(?i)\b(?:inc|ltd|llc|gmbh|corp|plc|co|company|group|sons|ag|a/s|aps|s\.a|university)\b"
)


def phone_like(text: str) -> bool:
    """Whether all of ``text`` is written like a telephone number of 7 to 15 digits."""
    found = _PHONE_LIKE.fullmatch(text.strip())
    return found is not None and 7 <= sum(map(str.isdigit, text)) <= 21


def name_like(text: str) -> bool:
    """Whether all of ``text`` is one to five words of letters, with the marks that names
    have in them (O'Brien, Jean-Luc, J. R.)."""
    return _NAME_LIKE.fullmatch(text.strip()) is not None


def date_like(text: str) -> bool:
    """Whether ``text`` begins as a date of day, month and year."""
    return _DATE_LIKE.match(text.strip()) is not None


def id_like(text: str) -> bool:
    """Whether ``text`` is a short code with a digit."""
    return _ID_LIKE.fullmatch(text.strip()) is not None


def _phones(text: str, claimed: bool) -> Iterator[re.Match[str]]:
    for match in _PHONE.finditer(text):
        found = match.group()
        if sum(map(str.isdigit, found)) >= 7 and not _DATE.match(found):
            yield match
    if claimed or _PHONE_CONTEXT.search(text):
        yield from _BARE.finditer(text)


_DOUBLED = str.maketrans("0123456789", "0246813579")


def luhn(digits: str) -> bool:
    """Whether the last of ``digits`` is their Luhn check digit."""
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0


def triggers(text: str, claimed: str | None) -> Iterator[tuple[str, re.Match[str]]]:
    """Each place of ``text`` that the recognizers of an entity type should look at.

    ``claimed`` is the entity type that the column's name claims: digits without form are then
    looked at as well.
    """
    # Columns of long order numbers are common: what is all digits is checked at once.
    no_card = text.isascii() and text.isdigit() and not luhn(text)
    for entity, pattern in _TRIGGERS.items():
        if no_card and entity == "CREDIT_CARD":
            continue
        for match in pattern.finditer(text):
            yield entity, match
    for match in _phones(text, claimed == "PHONE_NUMBER"):
        yield "PHONE_NUMBER", match
    for entity, (context, pattern) in _CLAIMED.items():
        if claimed == entity or context.search(text):
            for match in pattern.finditer(text):
                yield entity, match


def ip_personal(text: str, before: str, *, supported: bool) -> bool:
    """Whether an address that was recognized in ``text`` can be somebody's.

    Loopback, unspecified and multicast addresses and netmasks are nobody's. Four small numbers
    with dots are a version, unless the column's name or the words before say otherwise
    (``supported``).
    """
    address = ipaddress.ip_interface(text).ip
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return any(map(str.isdigit, text)) or text.count(":") > 3
    parts = [int(part) for part in str(address).split(".")]
    if parts[0] in (0, 255):
        return False
    if re.search(r"(?i)(?:\bv|version|release|build)[\s.:=]*\Z", before):
        return False
    return supported or sum(part >= 20 for part in parts) >= 2 or max(parts) >= 100
