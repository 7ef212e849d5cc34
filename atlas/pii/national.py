"""National identifiers: how each is written, how it is checked, and what must stand around it.

The checks are Presidio's where it has one, python-stdnum's elsewhere. A form that could hardly be
anything else (letters and a check character, a date and its marks) stands in any text; a bare run
of digits stands only where the words before it say what it is, for one in ten or eleven passes by
chance. In a column the share that passes decides: see :mod:`atlas.pii.decide`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from presidio_analyzer import PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    DeSocialSecurityRecognizer,
    DeTaxIdRecognizer,
    EsNieRecognizer,
    EsNifRecognizer,
    FiPersonalIdentityCodeRecognizer,
    ItFiscalCodeRecognizer,
    NhsRecognizer,
    PlPeselRecognizer,
    SePersonnummerRecognizer,
    UkDrivingLicenceRecognizer,
)
from stdnum.at import vnr
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn
from stdnum.cz import rc
from stdnum.dk import cpr
from stdnum.fr import nir
from stdnum.ie import pps
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pt import cc
from stdnum.pt import nif as pt_nif

NATIONAL = "NATIONAL_ID"
"""The entity type of what only its name or the words before it know."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of identifier.

    Attributes:
        entity: its entity type.
        country: whose it is, as ISO 3166 code.
        form: how it is written, an expression without borders.
        check: whether something of that form is one.
        chance: the share of arbitrary texts of that form that pass the check.
        context: words that announce it, an expression.
        alone: written forms that need no words before them, an expression; none, if empty.
        dated: whether only its date is checked, so that a column of it must have dates of birth.
    """

    entity: str
    country: str
    form: str
    check: Callable[[str], bool]
    chance: float
    context: str
    alone: str = ""
    dated: bool = False


class Identifier(NamedTuple):
    """``text[start:end]`` is one; ``checked``: it passed a check, and not only by its words."""

    start: int
    end: int
    entity: str
    checked: bool


_MARKS = str.maketrans("", "", " -./\u00a0")


def _presidio(recognizer: Callable[[], PatternRecognizer]) -> Callable[[str], bool]:
    @cache
    def made() -> PatternRecognizer:
        return recognizer()

    def check(text: str) -> bool:
        return made().validate_result(text.upper().translate(_MARKS)) is True

    return check


def _plausible(recognizer: Callable[[], PatternRecognizer]) -> Callable[[str], bool]:
    """The same for what has no check that is public, so that it can only be refuted."""

    @cache
    def made() -> PatternRecognizer:
        return recognizer()

    return lambda text: made().validate_result(text.upper()) is not False


def _with_marks(recognizer: Callable[[], PatternRecognizer]) -> Callable[[str], bool]:
    """The same for identifiers of which a sign between the digits is a part."""

    @cache
    def made() -> PatternRecognizer:
        return recognizer()

    return lambda text: made().validate_result(text.upper()) is True


_pesel = _presidio(PlPeselRecognizer)
_personnummer = _with_marks(SePersonnummerRecognizer)
_nhs = _presidio(NhsRecognizer)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _pesel_of_a_day(text: str) -> bool:
    month, day = int(text[2:4]) % 20, int(text[4:6])
    return 1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1] and _pesel(text)


def _varied(text: str) -> bool:
    """Whether there are three digits in it or more: 000 000 000 passes many a check."""
    return len({char for char in text if char.isdigit()}) > 2


def _nhs_varied(text: str) -> bool:
    return _varied(text) and _nhs(text)


def _swedish_day(text: str) -> bool:
    digits = text.translate(_MARKS).replace("+", "")[-10:]
    month, day = int(digits[2:4]), int(digits[4:6]) % 60
    return 1 <= month <= 12 and 1 <= day <= _MONTH_DAYS[month - 1] and _personnummer(text)


def _anything(_text: str) -> bool:
    return True


_SPACE = r"[ \u00a0]?"
SCHEMES: tuple[Scheme, ...] = (
    Scheme(
        "US_ITIN",
        "US",
        r"9\d{2}[- ]?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]?\d{4}",
        _anything,
        0.04,
        r"\bitins?\b|taxpayer",
        alone=r"9\d{2}-\d{2}-\d{4}",
    ),
    Scheme(
        "UK_NHS",
        "GB",
        r"\d{3}[- ]?\d{3}[- ]?\d{4}",
        _nhs_varied,
        1 / 11,
        r"\bnhs\b|health service",
    ),
    Scheme(
        "UK_NINO",
        "GB",
        r"(?!BG|GB|NK|KN|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        _anything,
        0.02,
        r"national insurance|\bnino\b|\bni (?:no|number)",
        alone=r".*",
    ),
    Scheme(
        "UK_DRIVING_LICENCE",
        "GB",
        r"[A-Z9]{5}\d(?:0[1-9]|1[0-2]|5[1-9]|6[0-2])(?:0[1-9]|[12]\d|3[01])\d[A-Z9]{2}[A-Z\d][A-Z]{2}",
        _plausible(UkDrivingLicenceRecognizer),
        0.001,
        r"licen[cs]e",
        alone=r".*",
    ),
    Scheme(
        "DE_TAX_ID",
        "DE",
        r"[1-9]\d{10}|[1-9]\d \d{3} \d{3} \d{3}|[1-9]\d{2}/?\d{4}/?\d{4}",
        _presidio(DeTaxIdRecognizer),
        1 / 11,
        r"steuer|\bidnr|\btax id|\btin\b|identifikationsnummer",
    ),
    Scheme(
        "DE_SOCIAL_SECURITY",
        "DE",
        r"\d{2} ?\d{6} ?[A-Z] ?\d{3}",
        _presidio(DeSocialSecurityRecognizer),
        0.02,
        r"versicherungs|\brvnr|\bsv-?n",
        alone=r".*",
    ),
    Scheme(
        "FR_NIR",
        "FR",
        rf"[1-478]{_SPACE}\d{{2}}{_SPACE}\d{{2}}{_SPACE}(?:\d{{2}}|2[AB]){_SPACE}\d{{3}}{_SPACE}"
        rf"\d{{3}}{_SPACE}\d{{2}}",
        nir.is_valid,
        1 / 97,
        r"s[ée]curit[ée] sociale|\bnir\b|\binsee\b|\bn\w* ?ss\b",
        alone=rf"[12]{_SPACE}\d{{2}}{_SPACE}(?:0[1-9]|1[0-2]).*",
    ),
    Scheme(
        "ES_NIF",
        "ES",
        r"\d{8} ?-? ?[A-HJ-NP-TV-Z]|\d{1,2}\.\d{3}\.\d{3} ?-? ?[A-HJ-NP-TV-Z]",
        _presidio(EsNifRecognizer),
        1 / 23,
        r"\bdni\b|\bnif\b|d\.n\.i|identidad",
        alone=r".*",
    ),
    Scheme(
        "ES_NIE",
        "ES",
        r"[XYZ] ?-? ?\d{7} ?-? ?[A-HJ-NP-TV-Z]",
        _presidio(EsNieRecognizer),
        1 / 23,
        r"\bnie\b|extranjer",
        alone=r".*",
    ),
    Scheme(
        "IT_FISCAL_CODE",
        "IT",
        r"[A-Z]{6}[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]",
        _presidio(ItFiscalCodeRecognizer),
        1 / 26,
        r"codice fiscale|\bcf\b|c\.f\.",
        alone=r".*",
    ),
    Scheme(
        "PL_PESEL",
        "PL",
        r"\d{11}",
        _pesel_of_a_day,
        0.005,
        r"\bpesel",
    ),
    Scheme(
        "FI_PERSONAL_IDENTITY_CODE",
        "FI",
        r"\d{6}[-+A-FU-Y]\d{3}[\dA-FHJ-NPR-Y]",
        _with_marks(FiPersonalIdentityCodeRecognizer),
        0.001,
        r"hetu|henkil[öo]tunnus|personbeteckning",
        alone=r".*",
    ),
    Scheme(
        "SE_PERSONNUMMER",
        "SE",
        r"(?:19|20)?\d{6}[-+ ]?\d{4}",
        _swedish_day,
        0.005,
        r"person(?:al|nummer|nr| ?nummer)|\bpnr\b|samordningsnummer|identity number",
        alone=r"(?:\d{2})?\d{6}[-+]\d{4}",
    ),
    Scheme(
        "DK_CPR",
        "DK",
        r"\d{6}[- ]?\d{4}",
        cpr.is_valid,
        0.03,
        r"\bcpr|personnummer|personnr",
        alone=r"\d{6}-\d{4}",
        dated=True,
    ),
    Scheme(
        "NL_BSN",
        "NL",
        r"\d{9}|\d{4}[. ]\d{2}[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}",
        lambda text: _varied(text) and bool(bsn.is_valid(text)),
        1 / 11,
        r"\bbsn\b|burgerservice|sofi-?n",
    ),
    Scheme(
        "PT_NIF",
        "PT",
        r"(?:[123]\d|45)\d ?\d{3} ?\d{3}",
        lambda text: _varied(text) and bool(pt_nif.is_valid(text)),
        1 / 11,
        r"\bnif\b|contribuinte|fiscal",
    ),
    Scheme(
        "PT_CC",
        "PT",
        r"\d{8}[ -]?\d[ -]?[A-Z\d]{2}\d",
        lambda text: any(map(str.isalpha, text)) and bool(cc.is_valid(text)),
        0.02,
        r"cart[ãa]o (?:de |do )?cidad[ãa]o",
        alone=r"\d{8}[ -]?\d ?[A-Z]{2}\d",
    ),
    Scheme(
        "NO_FODSELSNUMMER",
        "NO",
        r"\d{6} ?\d{5}",
        fodselsnummer.is_valid,
        0.001,
        r"f[øo]dsels|personn|\bfnr\b",
        alone=r"\d{6} \d{5}",
    ),
    Scheme(
        "BE_NATIONAL_NUMBER",
        "BE",
        r"\d{2}\.?\d{2}\.?\d{2}[-. ]?\d{3}[-. ]?\d{2}",
        nn.is_valid,
        0.005,
        r"rijksregister|registre national|\bniss\b|\bnrn\b|national number",
        alone=r"\d{2}\.\d{2}\.\d{2}-\d{3}[-.]\d{2}",
    ),
    Scheme(
        "CH_AHV",
        "CH",
        r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}",
        ssn.is_valid,
        0.1,
        r"\bahv|\bavs\b|sozialvers",
        alone=r"756\.\d{4}\.\d{4}\.\d{2}",
    ),
    Scheme(
        "AT_SVNR",
        "AT",
        r"[1-9]\d{3} ?\d{6}",
        vnr.is_valid,
        0.003,
        r"\bsvnr|sozialversicherung|versicherungsn",
    ),
    Scheme(
        "IE_PPSN",
        "IE",
        r"\d{7}[A-W][A-IW]?",
        pps.is_valid,
        1 / 23,
        r"\bppsn?\b|public service",
    ),
    Scheme(
        "CZ_BIRTH_NUMBER",
        "CZ",
        r"\d{6}/?\d{3,4}",
        rc.is_valid,
        0.01,
        r"rodn[ée]",
        alone=r"\d{6}/\d{4}",
    ),
    Scheme(
        "BR_CPF",
        "BR",
        r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}",
        lambda text: _varied(text) and bool(cpf.is_valid(text)),
        0.01,
        r"\bcpf\b",
        alone=r"\d{3}\.\d{3}\.\d{3}-\d{2}",
    ),
    Scheme(
        "CA_SIN",
        "CA",
        r"[1-79]\d{2}[- ]?\d{3}[- ]?\d{3}",
        lambda text: _varied(text) and bool(sin.is_valid(text)),
        0.1,
        r"\bsin\b|social insurance",
    ),
)
"""All that are known, of whatever country."""

COUNTRIES = tuple(dict.fromkeys(scheme.country for scheme in SCHEMES))
"""Countries whose identifiers are known."""
ENTITIES = frozenset({scheme.entity for scheme in SCHEMES} | {NATIONAL})
"""Entity types that are found here."""

_MANY = re.compile(r"(?:\d\D{0,2}){5}\d")
_LETTERED = re.compile(r"[A-Za-z]{6}[A-Za-z\d]{10}")
_BEFORE = 60
_BORDER = r"(?<![\w@#/])(?<![\w][-./+])(?:{})(?![\w@]|[-./+]\w)"
# Numbers of things that are dated, as some identifiers are.
_OF_A_THING = re.compile(
    r"(?i)(?:order|ordre|invoice|faktura|rechnung|bestell|ticket|case|batch|lot|serial|"
    r"tracking|ref(?:erence)?|sag|p[oO]|sku|artikel|pedido|factura|commande|facture)"
    r"[\w.]*[ :#.]*(?:n[oºr°]\.?|number|nummer)?[ :#.]*\Z"
)
_ANNOUNCED = re.compile(
    r"(?i)(passport|reisepass|pasaporte|passeport|passaport[eo]|paspoort|passnummer|"
    r"personalausweis|ausweisnummer|identity card|id[ -]card|carte d'identit|carta d'identit|"
    r"driv(?:er'?s?|ing) licen[cs]e|f[üu]e?hrerschein|k[øo]rekort|permis de conduire|rijbewijs|"
    r"national id|tax id|documento de identidad)"
    r"[^\d\n]{0,24}?\b([A-Z]{0,3}\d{5,9}[A-Z\d]{0,3}|[A-Z\d]{2,4}\d{5,8})\b"
)
# A piece of each of its words, in lower case: looked for at a tenth of its cost.
_ANNOUNCING = re.compile(
    r"pas[spa]|ausweis|identi|id[ -]card|licen|f[üu]e?hrer|k[øo]rekort|permis|rijbe|national id|"
    r"tax id"
)


class Identifiers:
    """Finds the identifiers of some countries."""

    def __init__(self, countries: Iterable[str]) -> None:
        wanted = {country.upper() for country in countries}
        wanted |= {"GB"} & {"GB" for country in wanted if country == "UK"}
        self._schemes = [scheme for scheme in SCHEMES if scheme.country in wanted]
        forms = "|".join(scheme.form for scheme in self._schemes)
        self._any = re.compile(_BORDER.format(forms or "(?!)"), re.IGNORECASE)
        self._forms = {
            scheme.entity: re.compile(_BORDER.format(scheme.form), re.IGNORECASE)
            for scheme in self._schemes
        }
        self._whole = {
            scheme.entity: re.compile(scheme.form, re.IGNORECASE) for scheme in self._schemes
        }
        self._alone = {
            scheme.entity: re.compile(scheme.alone, re.IGNORECASE)
            for scheme in self._schemes
            if scheme.alone
        }
        self._context = {
            scheme.entity: re.compile(scheme.context, re.IGNORECASE) for scheme in self._schemes
        }

    def count(self, texts: Sequence[str]) -> Counter[str]:
        """How many of ``texts`` are, wholly, one of each kind ("PL_PESEL"), are written like one
        ("PL_PESEL form"), or are of any kind of a country ("ES identifiers"), of it and no other
        ("ES only") or of any at all ("any identifiers"; "any percent": how many would be by chance,
        times 100); of those that only a date proves, what dates they have ("DK_CPR day 2", "DK_CPR
        years 6"), and of those that nothing proves, how they begin.
        """
        found = Counter[str]()
        for text in texts:
            bare = text.strip()
            if not 8 <= len(bare) <= 24:
                continue
            countries, chance = set(), 0.0
            for scheme in self._schemes:
                if self._whole[scheme.entity].fullmatch(bare) is None:
                    continue
                found[f"{scheme.entity} form"] += 1
                chance += scheme.chance
                if scheme.check(bare):
                    found[scheme.entity] += 1
                    countries.add(scheme.country)
                    if scheme.check is _anything:
                        found[f"{scheme.entity} begins {bare[1:3].upper()}"] += 1
                    if scheme.dated:
                        found[f"{scheme.entity} day {int(bare[:2]) // 11}"] += 1
                        found[f"{scheme.entity} years {bare[4]}"] += 1
            found.update(f"{country} identifiers" for country in countries)
            found.update(f"{country} only" for country in countries if len(countries) == 1)
            found["any identifiers"] += bool(countries)
            found["any percent"] += round(100 * min(chance, 1.0))
        return found

    def find(self, text: str, claimed: str | None) -> list[Identifier]:
        """The identifiers in ``text``: those whose form is enough, and those that the words before
        them, or the column's name (``claimed``), announce.
        """
        if _MANY.search(text) is None and (len(text) < 16 or _LETTERED.search(text) is None):
            return []
        found: list[Identifier] = []
        for scheme in self._schemes if self._any.search(text) else ():
            for match in self._forms[scheme.entity].finditer(text):
                written = match.group()
                if self._stands(scheme, match, text, claimed) and scheme.check(written):
                    found.append(Identifier(match.start(), match.end(), scheme.entity, True))
        if _ANNOUNCING.search(text.lower()):
            found.extend(
                Identifier(match.start(2), match.end(2), NATIONAL, False)
                for match in _ANNOUNCED.finditer(text)
            )
        return found

    def _stands(self, scheme: Scheme, match: re.Match[str], text: str, claimed: str | None) -> bool:
        if claimed in (scheme.entity, NATIONAL):
            return True
        before = text[max(0, match.start() - _BEFORE) : match.start()]
        if self._context[scheme.entity].search(before):
            return True
        alone = self._alone.get(scheme.entity)
        if alone is None or alone.fullmatch(match.group()) is None:
            return False
        return _OF_A_THING.search(before) is None


@cache
def by_entity() -> dict[str, Scheme]:
    """All schemes by their entity type."""
    return {scheme.entity: scheme for scheme in SCHEMES}
