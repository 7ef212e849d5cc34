"""Atlas's recognizers: Presidio's where they do, extended where they fall short.

Each is a Presidio recognizer and stands in a Presidio registry, so that a user's own can stand
beside them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import tldextract
from phonenumbers import PhoneNumberMatcher
from presidio_analyzer import (
    EntityRecognizer,
    Pattern,
    PatternRecognizer,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    CryptoRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
    PhoneRecognizer,
    SpacyRecognizer,
    UsSsnRecognizer,
)

from atlas.pii.chains import eip55, paid_to
from atlas.pii.patterns import PHONE_WORDS, branded, luhn
from atlas.pii.streets import StreetRecognizer
from atlas.pii.vocabulary import word_set

_PHONE_CONTEXT = sorted(PHONE_WORDS)
_CARD_CONTEXT = sorted(
    word_set(
        "card credit debit visa mastercard amex american discover diners jcb maestro cc "
        "kreditkarte karte tarjeta carte kort karta carta cartão kaart kortti"
    )
)
_WALLET_CONTEXT = sorted(
    word_set(
        "wallet ethereum eth ether erc20 erc-20 metamask crypto usdt usdc coin ledger bnb polygon"
    )
)
# Without suffix_list_urls tldextract fetches the public suffix list; the bundled one is enough.
_SUFFIXES = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


_BLANKS = 3
"""Blanks, or tabs, that may stand between the groups of a number."""
_BETWEEN = rf"(?:[-.\u00a0]|[ \t]{{1,{_BLANKS}}})?"
_IBANS = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 "
    "CY:28 CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 "
    "GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 "
    "KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MN:20 MR:27 "
    "MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 RU:33 "
    "SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 "
    "VA:22 VG:24 XK:20 YE:30"
)
IBAN_LENGTHS = {each[:2]: int(each[3:]) for each in _IBANS.split()}
"""How long the IBANs of a country are."""


def public(host: str) -> bool:
    """Whether the name of a host is under a public suffix."""
    return bool(_SUFFIXES(host).fqdn)


class AddressedEmailRecognizer(EmailRecognizer):
    """Presidio's e-mail recognizer, off the network, and not only for public suffixes.

    An address under a private or unknown suffix (``@corp.internal``) is an address all the same;
    it keeps the pattern's score, where a public suffix makes it certain. So are those whose local
    part is quoted, or whose domain is an IP address.
    """

    PATTERNS = [  # noqa: RUF012 - as the class declares it
        *EmailRecognizer.PATTERNS,
        Pattern("quoted", r'"[^"\s@][^"\n@]{0,63}"@[\w\-]+(?:\.[\w\-]+)+\b', 0.5),
        Pattern("at a number", r"[\w.+\-]{1,64}@\[(?:IPv6:)?[0-9A-Fa-f.:]{7,45}\]", 0.5),
    ]

    def validate_result(self, pattern_text: str) -> bool | None:
        """True for a public suffix, None (undecided) for another word, False otherwise."""
        if pattern_text.endswith("]"):
            return True
        if _SUFFIXES(pattern_text).fqdn:
            return True
        last = pattern_text.rpartition(".")[2]
        return None if len(last) > 1 and last.isalpha() else False


ANNOUNCED = "announced"
"""Name of the patterns of telephone numbers that hold the words before them."""
_LEADING = (
    r"(?<=\b(?:on|at|is|unter|auf|au|al|op|på|nummer|n[úu]mero|num[ée]ro|number|text|ring|dial|"
    r"contact|its|call)"
    r"[ :.]{1,3})"
)
_LEADING_US = r"(?<=\b(?:contact|its|call|text|ring|dial)[ :.]{1,3})"
_LEADING_ES = r"(?<=\b(?:n[úu]mero|m[óo]vil|al|llam\w{1,6}|tel[ée]fono)[ :.]{1,3})"


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
        # As they are dialled within a country, behind what leads up to a number and to little else.
        Pattern(ANNOUNCED, _LEADING + r"\(?0\d{1,5}\)?(?:[ ./\-]{0,3}\d{2,8}){1,5}(?![\w\-])", 0.5),
        Pattern(ANNOUNCED, _LEADING_ES + r"[6789]\d{2}(?:[ .\-]?\d{2,3}){2,3}(?![\w\-])", 0.5),
        Pattern(ANNOUNCED, _LEADING + r"3\d{2}[ ./\-]?\d{6,7}(?![\w\-])", 0.5),
        Pattern(ANNOUNCED, _LEADING_US + r"[2-9]\d{2}[2-9]\d{6}(?![\w\-])", 0.5),
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


class PlannedPhoneRecognizer(PhoneRecognizer):
    """Presidio's recognizer of telephone numbers by numbering plans, with less work.

    A number with its country's prefix is the same in every region, and a text that is one in a
    region need not be tried in the others.
    """

    _NATIONAL = re.compile(r"(?<![\d+])(?<!\+\d)(?<![\d+][ .\-()])\(?\d")

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """The telephone numbers in ``text``."""
        found: list[RecognizerResult] = []
        national = self._NATIONAL.search(text) is not None
        for region in self.supported_regions if national else self.supported_regions[:1]:
            found.extend(
                RecognizerResult(
                    "PHONE_NUMBER",
                    match.start,
                    match.end,
                    self.SCORE,
                    self._get_analysis_explanation(region),  # type: ignore[no-untyped-call]
                )
                for match in PhoneNumberMatcher(text, region, leniency=int(self.leniency or 0))
            )
            if any(each.end - each.start >= len(text.strip()) for each in found):
                break
        return list(EntityRecognizer.remove_duplicates(found))


class BrandedCardRecognizer(CreditCardRecognizer):
    """Payment cards by check digit and by what the brands' numbers begin with, Mastercard's new
    ones too; others that pass the check stand only where words say so.

    Digits may stand before and behind, as a date's do: each group is tried as the first.
    """

    _START = re.compile(r"(?<![^\W_])\d{4}(?=[-.\u00a0 \t]{0,3}\d)")
    _FORMS = tuple(
        re.compile(form.replace("~", f"(?P<mark>{_BETWEEN})").replace("=", "(?P=mark)"))
        for form in (
            r"\d{4}~\d{4}=\d{4}=\d{4}(?![^\W_])",
            r"3\d{3}~\d{6}=\d{5}(?![^\W_])",
            rf"\d{{4}}(?:{_BETWEEN}\d{{4}}){{2}}(?:{_BETWEEN}\d{{1,4}}){{0,2}}(?![^\W_])",
            rf"3\d{{3}}{_BETWEEN}\d{{6}}{_BETWEEN}\d{{4,5}}(?![^\W_])",
        )
    )

    def __init__(self, language: str) -> None:
        super().__init__(supported_language=language, context=_CARD_CONTEXT)

    def analyze(
        self,
        text: str,
        entities: list[str],
        nlp_artifacts: NlpArtifacts | None = None,
        regex_flags: int | None = None,
    ) -> list[RecognizerResult]:
        """The numbers of cards in ``text``, of a brand with score 1, others with less."""
        found: list[RecognizerResult] = []
        for start in self._START.finditer(text):
            if found and start.start() < found[-1].end:
                continue
            for form in self._FORMS:
                match = form.match(text, start.start())
                digits = "" if match is None else "".join(filter(str.isdigit, match.group()))
                if match is not None and luhn(digits):
                    score = self.MAX_SCORE if branded(digits) else 0.3
                    why = self.build_regex_explanation(
                        type(self).__name__, "card", form.pattern, score, score > 0.5, 0
                    )
                    found.append(RecognizerResult("CREDIT_CARD", *match.span(), score, why))
                    break
        return found


class MeasuredIbanRecognizer(IbanRecognizer):
    """IBANs of the length that their country gives them, whatever word follows."""

    _START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ \t\u00a0.-]{0,3}[A-Za-z0-9])")
    _MARKS = frozenset(" \t\u00a0.-")

    def __init__(self, language: str) -> None:
        super().__init__(supported_language=language)

    def analyze(
        self,
        text: str,
        entities: list[str],
        nlp_artifacts: NlpArtifacts | None = None,
        regex_flags: int | None = None,
    ) -> list[RecognizerResult]:
        """The IBANs in ``text``."""
        found = []
        for start in self._START.finditer(text):
            end = self._end(text, start.start())
            if end is not None:
                found.append(RecognizerResult("IBAN_CODE", start.start(), end, self.MAX_SCORE))
        return found

    def _end(self, text: str, start: int) -> int | None:
        length = IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            return None
        chars: list[str] = []
        marked = 0
        for place in range(start, len(text)):
            char = text[place]
            if (char in self._MARKS and not marked) or (char in " \t" and marked < _BLANKS):
                marked += 1
                continue
            if not (char.isascii() and char.isalnum()):
                return None
            marked = 0
            chars.append(char.upper())
            if len(chars) == length:
                behind = text[place + 1 : place + 2]
                ends = not (behind.isascii() and behind.isalnum())
                number = "".join(str(int(each, 36)) for each in chars[4:] + chars[:4])
                return place + 1 if ends and int(number) % 97 == 1 else None
        return None


class LoggedIpRecognizer(IpRecognizer):
    """Presidio's, and addresses of IPv6 between the colons of a log: "src:2001:db8::1: refused"."""

    PATTERNS = [  # noqa: RUF012 - as the class declares it
        Pattern(
            each.name,
            each.regex.replace(r"(?<![\w:])", r"(?:(?<![\w:])|(?<=[g-zG-Z]:))", 1).replace(
                r"(?![\w:]|\.\d)", r"(?!\w|:[\w:]|\.\d)"
            ),
            each.score,
        )
        if each.name == "IPv6"
        else each
        for each in IpRecognizer.PATTERNS
    ]


class LedgerAddressRecognizer(PatternRecognizer):
    """Addresses of Ethereum and its like, and of the currencies that check theirs as Bitcoin does.

    Twenty bytes in hexadecimal could be anything: in upper and lower case they carry a checksum
    (EIP-55); in one case they stand only where the words or the column's name say so.
    """

    PATTERNS = (
        Pattern("Ethereum", r"(?<!\w)0x[0-9A-Fa-f]{40}(?!\w)", 0.3),
        Pattern("base58", r"(?<!\w)[LMDXAT9][1-9A-HJ-NP-Za-km-z]{25,34}(?!\w)", 0.3),
    )

    def __init__(self, language: str) -> None:
        super().__init__(
            supported_entity="CRYPTO",
            patterns=list(self.PATTERNS),
            context=_WALLET_CONTEXT,
            supported_language=language,
            global_regex_flags=0,
        )

    def validate_result(self, pattern_text: str) -> bool | None:
        """Whether its checksum holds; None where it has none."""
        return eip55(pattern_text) if pattern_text.startswith("0x") else paid_to(pattern_text)


def recognizers(language: str, regions: Sequence[str]) -> list[EntityRecognizer]:
    """The recognizers of a scanner for ``language``; ``regions`` are those whose national
    telephone numbers count, as ISO 3166 codes."""
    return [
        AddressedEmailRecognizer(supported_language=language),
        WrittenPhoneRecognizer(language),
        PlannedPhoneRecognizer(
            supported_regions=tuple(regions), supported_language=language, context=_PHONE_CONTEXT
        ),
        BrandedCardRecognizer(language),
        MeasuredIbanRecognizer(language),
        CryptoRecognizer(supported_language=language),
        LedgerAddressRecognizer(language),
        LoggedIpRecognizer(supported_language=language),
        MacAddressRecognizer(supported_language=language),
        UsSsnRecognizer(supported_language=language),
        StreetRecognizer(language),
        SpacyRecognizer(supported_language=language, supported_entities=["PERSON", "LOCATION"]),
    ]
