"""Atlas's recognizers: Presidio's where they do, extended where they fall short.

Each is a Presidio recognizer and stands in a Presidio registry, so that a user's own can stand
beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import tldextract
from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    CryptoRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
    NhsRecognizer,
    PhoneRecognizer,
    SpacyRecognizer,
    UsSsnRecognizer,
)

from atlas.pii.patterns import STREET_ADDRESS

# Presidio's list has "number", which stands before any number.
_PHONE_CONTEXT = ["phone", "telephone", "cell", "cellphone", "mobile", "call", "fax", "tel", "sms"]
# Without suffix_list_urls tldextract fetches the public suffix list; the bundled one is enough.
_SUFFIXES = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


class AddressedEmailRecognizer(EmailRecognizer):
    """Presidio's e-mail recognizer, off the network, and not only for public suffixes.

    An address under a private or unknown suffix (``@corp.internal``) is an address all the same;
    it keeps the pattern's score, where a public suffix makes it certain.
    """

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a public suffix, None (undecided) for another word, False otherwise."""
        if _SUFFIXES(pattern_text).fqdn:
            return True
        last = pattern_text.rpartition(".")[2]
        return None if len(last) > 1 and last.isalpha() else False


class WrittenPhoneRecognizer(PatternRecognizer):
    """Telephone numbers by the way they are written.

    The numbering plans that :class:`PhoneRecognizer` checks say which numbers are in use; a
    number with a wrong area code is still somebody's data.
    """

    PATTERNS = (
        Pattern(
            "North American",
            r"(?<![\w.+\-/])(?:\+?1[-. ]{0,2})?(?:\(\d{3}\)[-. ]?|\d{3}[-. ])\s?\d{3}[-. ]\d{4}"
            r"(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w\-])",
            0.5,
        ),
        Pattern(
            "international",
            r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]?\(?\d{1,5}\)?){2,6}(?![\w\-])",
            0.5,
        ),
        Pattern(
            "area code in parentheses",
            r"(?<![\w+])\(\+?\d{1,5}\)[ .\-/]?\d{2,5}(?:[ .\-/]?\d{2,4}){1,4}(?![\w\-])",
            0.5,
        ),
        # Digits in groups, or in a row: a telephone number only where the words before say so.
        Pattern("grouped", r"(?<![\w.+\-/])\d{2,6}(?:[ .\-/]\d{2,6}){1,5}(?![\w\-])", 0.2),
        Pattern("bare", r"(?<![\w.+\-/])\d{7,15}(?![\w\-])", 0.2),
    )

    def __init__(self, language: str) -> None:
        super().__init__(
            supported_entity="PHONE_NUMBER",
            patterns=list(self.PATTERNS),
            context=_PHONE_CONTEXT,
            supported_language=language,
        )

    def invalidate_result(self, pattern_text: str) -> bool:
        """True where there are fewer or more digits than a telephone number has."""
        return not 7 <= sum(map(str.isdigit, pattern_text)) <= 21


class StreetAddressRecognizer(PatternRecognizer):
    """A house number and a street as they are written in English."""

    def __init__(self, language: str) -> None:
        super().__init__(
            supported_entity="LOCATION",
            patterns=[Pattern("house number and street", STREET_ADDRESS, 0.6)],
            context=["address", "street"],
            supported_language=language,
            global_regex_flags=0,
        )


def recognizers(language: str, regions: Sequence[str]) -> list[EntityRecognizer]:
    """The recognizers of a scanner for ``language``; ``regions`` are those whose national
    telephone numbers count, as ISO 3166 codes."""
    return [
        AddressedEmailRecognizer(supported_language=language),
        WrittenPhoneRecognizer(language),
        PhoneRecognizer(
            supported_regions=tuple(regions), supported_language=language, context=_PHONE_CONTEXT
        ),
        CreditCardRecognizer(supported_language=language),
        IbanRecognizer(supported_language=language, regex_flags=re.DOTALL | re.IGNORECASE),
        CryptoRecognizer(supported_language=language),
        IpRecognizer(supported_language=language),
        MacAddressRecognizer(supported_language=language),
        UsSsnRecognizer(supported_language=language),
        NhsRecognizer(supported_language=language),
        StreetAddressRecognizer(language),
        SpacyRecognizer(supported_language=language, supported_entities=["PERSON", "LOCATION"]),
    ]
