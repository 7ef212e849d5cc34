"""Cheap looks at values, before any recognizer: what could be in there, and what is only alike.

:data:`CANDIDATE` runs over whole columns in RE2 (linear time) and lets through every value that
holds anything a pattern recognizer could match; :func:`triggers` says which of them. Whatever is
not let through is seen by no recognizer, so these expressions are supersets of theirs.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import islice

from atlas.pii import people
from atlas.pii.characters import WITHIN
from atlas.pii.lexicon import fold
from atlas.pii.streets import streets
from atlas.pii.vocabulary import word_set

PARAMETER = r"[?&;][A-Za-z][\w.\-]{0,40}=[^&;#\s]{2}"
"""RE2: a URL's parameter may stand here."""
# Letters of all alphabets, counted, would take RE2 from its fast way; a few words do not.
_DATED_WORDS = (
    r"(?i:\bborn\b|\bd\.?o\.?b\b|\bbirth|\bgeb\.|\bgebor|\bgeburt|\bnacid|nac\b|nacim|"
    r"\bn[ée]e? le\b|\bn[ée]e?\(e\) le|naiss|f[øo]e?dt\b|f[øo]e?dsel|\bf[öo]dd|\bf[öo]delse|"
    r"\bnat[oa] il|nascit|\bnascid|nascim|urodz|\bur\b|syntyn|syntym|geboorte)[^\n]*\d\d"
)

CANDIDATE = "|".join(
    (
        r"[^\s@]@[^\s@]",
        r"\+\d",
        r"\(\d{2,5}\)",
        r"\d(?:[ \t.\-/]{0,3}\d){6,}",
        r"[A-Za-z]{2}\d{2}(?:[ \t.\-]{0,2}[A-Za-z0-9]){11}",
        r"[13][1-9A-HJ-NP-Za-km-z]{25}",
        r"bc1[a-z0-9]{20}",
        r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
        r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3}",
        r"::[0-9A-Fa-f]",
        r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}",
        r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}",
        # "@" at the end or the beginning of a line
        r"@=?\r?\n|\n[ \t>]*@",
        PARAMETER,
        r"\b0x[0-9A-Fa-f]{40}\b",
        r"\b[LMDXAT9][1-9A-HJ-NP-Za-km-z]{25}",
        r"\b[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]\b",
        r"\b[A-Za-z]{6}[0-9L-NP-Va-z]{2}[A-Za-z][0-9L-NP-Va-z]{2}[A-Za-z]",
        r"\b\d{6}[A-FU-Ya-fu-y]\d{3}\w\b",
        r"\b[A-Z9]{5}\d{6}[A-Z9]{2}[A-Z0-9][A-Z]{2}\b",
        _DATED_WORDS,
        r"(?i:\b(?:user|username|user_name|login|usr|ruser|suser|logname)[=:])",
    )
)
"""RE2: the value may hold something that a pattern recognizer knows."""

WITHOUT_DIGITS = (
    r"[@:=&\x{FF10}-\x{FF20}\x{FE6B}]|[A-Za-z]{12}|(?:[A-Fa-f]{2}-){5}|(?:[A-Fa-f]{4}\.){2}"
)
"""RE2: the value could be a :data:`CANDIDATE` although there is no digit in it."""

NUMBER = r"^-?\d{1,12}$|^\+\d{1,6}$|^\d{20,}$|^[-+]?\d+[.,]\d+$"
"""RE2: a plain number. It is personal only where the column's name says so. (Seven digits and more
behind a plus are a telephone number.)"""

ALIKE = "|".join(
    (
        r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
        r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+\-]\d{2}:?\d{2})?)?$",
        r"^[0-9A-Fa-f]{20}(?:[0-9A-Fa-f]{4})*$",
    )
)
"""RE2: the whole value is a UUID, a date, a timestamp or a hash."""

PROSE = r"\S\s+\S+\s+\S+\s+\S+\s+\S|(?:[^\s%]+%20){4}"
"""RE2: five words or more."""

LETTERS = r"\pL{2}"
"""RE2: something that named-entity recognition could read."""

LATIN_LETTERS = r"[A-Za-z]{2}"
"""RE2: the same where it is cheap to tell."""

_PHONE = re.compile(
    r"(?:\+|\b00)\d[\d ().\-/]{6,}|\(\+?\d{1,5}\)[ .\-/]{0,2}\d+(?:[ .\-/]?\d+)*|"
    r"(?<![\w.])\d{1,6}(?:[ .\-/]{1,3}\(?\d{2,6}\)?){1,6}"
)
# Presidio's list has "number", which stands before any number.
PHONE_WORDS = word_set(
    "phone telephone cell cellphone mobile call fax tel tel. sms whatsapp ring telefon "
    "telefonnummer tlf tlf. tlfnr mob mob. handy mobil mobilnummer handynummer rufnummer "
    "rückruf anrufen téléphone portable appeler teléfono telefono móvil movil llamar puh puh. "
    "puhelin puhelinnumero cellulare telefonino chiamare komórka komórkowy telefoon bellen "
    "gsm telefone telemóvel ligar telefonu"
)
"""Words that announce a telephone number."""
_BARE = re.compile(r"(?<!\w)\d{7,15}(?!\w)")
_PHONE_CONTEXT = re.compile(
    r"(?i)(?:phone|\btel|\bcall|mobile|\bcell|\bfax|\bring\b|\bsms\b|\btlf|t[ée]l[ée]f|\bm[óo]vil|"
    r"handy|\bmob\b|\bmobil|rufnummer|r[üu]ckruf|\bruf|\bportable\b|\bappel|\bllam|\bpuh|cellulare|"
    r"whats ?app|\bgsm\b|telem[óo]vel|kom[óo]rk|\bbel(?:len)?\b|chiamare)"
)
# A number of a country's own behind words that lead up to one.
_LED_UP_TO = re.compile(
    r"(?i)\b(?:on|at|is|unter|auf|au|al|op|på|nummer|n[úu]mero|num[ée]ro|number|text|ring|dial|"
    r"contact|its|call)[ :.]{1,3}[02-9]\d{8}"
)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[ T]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}"
)
_TRIGGERS: dict[str, re.Pattern[str]] = {
    "EMAIL_ADDRESS": re.compile(r"[^\s@]@[^\s@]"),
    "CREDIT_CARD": re.compile(r"(?<!\d)\d(?:(?:[\u00a0.-]|[ \t]{1,3})?\d){11,18}(?!\d)"),
    "US_SSN": re.compile(r"(?<!\d)\d{3}([- .])\d{2}\1\d{4}(?!\d)"),
    "IBAN_CODE": re.compile(r"[A-Za-z]{2}\d{2}(?:(?:[\u00a0.-]|[ \t]{1,3})?[A-Za-z0-9]){11}"),
    "CRYPTO": re.compile(
        r"(?:[13][1-9A-HJ-NP-Za-km-z]{25}|bc1[a-z0-9]{20}|\b0x[0-9A-Fa-f]{40}\b|"
        r"\b[LMDXAT9][1-9A-HJ-NP-Za-km-z]{25,34}\b)"
    ),
    "IP_ADDRESS": re.compile(
        r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3}|::[0-9A-Fa-f]"
    ),
    "MAC_ADDRESS": re.compile(
        r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}"
    ),
}
_RUN = re.compile(r"[A-Za-z0-9]{23}")
_NEEDED: dict[str, Callable[[str, int], bool]] = {
    "EMAIL_ADDRESS": lambda text, _: "@" in text,
    "CREDIT_CARD": lambda _, digits: digits >= 12,
    "US_SSN": lambda _, digits: digits >= 9,
    "IBAN_CODE": lambda text, digits: digits >= 2 and len(text) >= 15,
    "CRYPTO": lambda text, _: len(text) >= 23 and _RUN.search(text) is not None,
    "IP_ADDRESS": lambda text, digits: (
        (digits >= 4 and text.count(".") >= 3) or text.count(":") >= 2
    ),
    "MAC_ADDRESS": lambda text, _: text.count(":") + text.count("-") >= 5 or text.count(".") >= 2,
}
"""What must be in a text, with that many digits, for the expression to match: cheaper to ask."""

_CLAIMED: dict[str, tuple[re.Pattern[str], re.Pattern[str]]] = {
    "US_SSN": (re.compile(r"(?i)\bssns?\b|social security"), re.compile(r"(?<!\d)\d{9}(?!\d)")),
}

_PHONE_LIKE = re.compile(
    r"\+?[\d(][\d\s().\-/+]{5,}(?:\s*(?:x|ext\.?|#)\s*\d{1,6})?", re.IGNORECASE
)
_WORD_OF_A_NAME = rf"[^\W\d_](?:[^\W\d_]|[{WITHIN}'\u2019`.\-])*+"
# Tickets and lists of passengers have SURNAME/GIVEN NAME, in capitals.
_NAME_LIKE = re.compile(rf"{_WORD_OF_A_NAME}(?:(?:[ ,]++|/(?=[A-Z])|\t){_WORD_OF_A_NAME}){{0,5}}")
_LONGEST_NAME = 128
_WORDS_OF_A_NAME = 8
_OF_NO_NAME = re.compile(r"[@/\\_=<>{}\[\]:;|#%]")
_DATE_LIKE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}")
_DAY = re.compile(
    r"(\d{4}|\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{1,2})"
    r"(?:[ T]?00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?)?"
)
_COMPACT_DAY = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)")
_LETTERED_DAY = re.compile(r"(\d{1,2})([-. ]?)([A-Za-z]{3})\2((?:19|20)?\d\d)")
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_NAMED_DAY = re.compile(
    r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|[.\u00ba])?[ \-]?(?:de |of )?"
    r"(?P<month>[^\W\d_]{3,12})\.?,?[ \-]?(?:de |of )?(?P<year>\d{4})|"
    r"(?P<month_first>[^\W\d_]{3,12})\.? (?P<of_month>\d{1,2})(?:st|nd|rd|th)?,? "
    r"(?P<its_year>\d{4})|"
    r"(?P<y>\d{4})[\u5e74\ub144] ?(?P<m>\d{1,2})[\u6708\uc6d4] ?(?P<d>\d{1,2})"
    r"[\u65e5\uc77c]"
)
# How the months begin in the languages of the vocabulary, without accents.
_BEGINNINGS = tuple(
    tuple(each.split())
    for each in (
        "jan gen ene sty tammi styczn",
        "feb fev lut helmi",
        "mar mrt maalis",
        "apr abr avr kwi huhti",
        "may mai maj mag mei touko",
        "jun giu jui cze kesa",
        "jul lug lip heina juil",
        "aug ago aou sie elo",
        "sep set wrz syys",
        "oct okt ott out paz loka",
        "nov lis marras",
        "dec dez dic gru joulu des",
    )
)
_ID_LIKE = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9 .\-/]{4,24}")
CARD_LIKE = re.compile(r"\d{12,19}")
_HANDLE_LIKE = re.compile(r"@?[A-Za-z][\w.\-]{1,39}")
_WALLET_LIKE = re.compile(
    r"0x[0-9A-Fa-f]{40}|(?:bc1|ltc1)[a-z0-9]{20,70}|[1-9A-HJ-NP-Za-km-z]{25,44}"
)
_MAC_LIKE = re.compile(
    r"(?:[0-9A-Fa-f]{2}[:\-.]?){5}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}"
)
_PLACE_ON_EARTH = re.compile(r"[-+]?(\d{1,3})[.,]\d{2,}")
_QUAD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})")
_CODE_LIKE = re.compile(r"(?=\S*\d)(?!\S*[g-zG-Z]{3})[\w\-]{8,}")
_POSTCODE = re.compile(
    r"\d{4,5}|\d{5}-\d{3,4}|\d{2}-\d{3}|\d{3} \d{2}|\d{4} ?[A-Z]{2}|\d{4}-\d{3}|"
    r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
)
_VERSION = re.compile(r"[vV]?\d{1,4}(?:\.\d{1,6}){1,3}(?:[-+ ]?[A-Za-z][\w.+\-]*)?")
ORGANIZATION = re.compile(
    r"(?i)\b(?:inc|ltd|llc|gmbh|corp|plc|co|company|group|sons|ag|a/s|aps|s\.a|university)\b|"
    r"(?-i:\b(?:AB|AS|BV|B\.V|KG|NV|N\.V|OHG|OY|O\u00dc|SA|SARL|SAS|SRL|S\.r\.l|SpA|S\.p\.A|"
    r"UAB)\.?$)"
)


_LONGEST = 64
"""How long a telephone number, an identifier or a date can be, as it is written."""


def _is(pattern: re.Pattern[str], text: str, longest: int = _LONGEST) -> bool:
    """Whether all of ``text`` is of ``pattern``. A long text is of none, and is not looked at: the
    time that some expressions take grows with its length squared."""
    bare = text.strip()
    return len(bare) <= longest and pattern.fullmatch(bare) is not None


def phone_like(text: str) -> bool:
    """Whether all of ``text`` is written like a telephone number of 7 to 15 digits."""
    return _is(_PHONE_LIKE, text) and 7 <= sum(map(str.isdigit, text)) <= 21


_TRUNK = re.compile(r"\(?0[1-9]\d{0,4}\)?(?:[ .\-/]{1,3}\d{2,8}){1,5}")
# What people write to keep an address from machines, or by mistake.
_AT = r"(?: ?[\[({<] ?(?:at|@|arroba|chez|kukac|malpa) ?[\])}>] ?|_at_| @ ?|@ )"
_DOT = r"(?:\.| ?[\[({<] ?(?:dot|punkt|punto|point|\.) ?[\])}>] ?| (?:dot|punkt|punto|point) )"
_LOCAL = r"[\w.+\-]{1,64}"
_MAIL_SPELLED = re.compile(
    rf"{_LOCAL}{_AT}[\w\-]+(?:{_DOT}[\w\-]+)+|"
    rf"{_LOCAL} at [\w\-]+(?: (?:dot|punkt|punto|point) [\w\-]+)+",
    re.IGNORECASE,
)
_MAIL_LIKE = re.compile(rf"{_LOCAL}(?:@|#| at |{_AT})[\w\-]+(?:{_DOT}[\w\-]+)*", re.IGNORECASE)


def trunk(text: str) -> bool:
    """Whether all of ``text`` is nine digits or more in groups, the first with the zero before a
    number of the same country, and no date."""
    return _is(_TRUNK, text) and digits_in(text) >= 9 and not date_like(text)


def mail_spelled(text: str) -> bool:
    """Whether all of ``text`` is an e-mail address whose signs are spelled out, or apart."""
    return _is(_MAIL_SPELLED, text, 128)


def mail_like(text: str) -> bool:
    """Whether all of ``text`` could be an e-mail address, where the column says so."""
    return _is(_MAIL_LIKE, text, 128) and any(map(str.isalpha, text))


def name_like(text: str) -> bool:
    """Whether all of ``text`` is one to six words of letters, with the marks that names
    have in them (O'Brien, Jean-Luc, J. R.) or between them (DOE/JANE MRS)."""
    return _is(_NAME_LIKE, text, _LONGEST_NAME)


def no_name(text: str) -> bool:
    """Whether ``text`` is something else than a person's name, in whatever script: without a
    letter, mostly digits, a sentence, an address or a code."""
    bare = text.strip()
    if len(bare) > _LONGEST_NAME:
        return True
    letters = sum(map(str.isalpha, bare))
    return (
        letters == 0
        or len(bare.split()) > _WORDS_OF_A_NAME
        or 2 * sum(map(str.isdigit, bare)) >= letters
        or _OF_NO_NAME.search(bare) is not None
    )


def many_digits(text: str) -> bool:
    """Whether ``text`` is short and has as many digits as a telephone number, and more of them
    than letters."""
    bare = text.strip()
    digits = sum(map(str.isdigit, bare))
    return len(bare) <= _LONGEST and digits >= 7 and digits >= sum(map(str.isalpha, bare))


def date_like(text: str) -> bool:
    """Whether ``text`` begins as a date of day, month and year, or is one without marks."""
    bare = text.strip()
    return (
        _DATE_LIKE.match(bare) is not None
        or _unmarked(bare) is not None
        or _with_month(bare) is not None
    )


def _with_month(text: str) -> tuple[int, int, int] | None:
    """Year, month and day of a date with the name of its month, or in characters of East Asia."""
    found = _NAMED_DAY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    if found["y"]:
        return int(found["y"]), int(found["m"]), int(found["d"])
    name = fold(found["month"] or found["month_first"])
    # The longest beginning tells: "jui" is of June, but "juil" of July.
    told = [
        (len(each), at + 1)
        for at, beginnings in enumerate(_BEGINNINGS)
        for each in beginnings
        if name.startswith(each)
    ]
    if not told:
        return None
    day_of = found["day"] or found["of_month"]
    return int(found["year"] or found["its_year"]), max(told)[1], int(day_of)


def _unmarked(text: str) -> tuple[int, int, int] | None:
    """Year, month and day of "19900405" and "05APR90"."""
    if (found := _COMPACT_DAY.fullmatch(text)) is not None:
        year, month, of_month = map(int, found.groups())
        return year, month, of_month
    found = _LETTERED_DAY.fullmatch(text)
    if found is None or found[3].upper() not in _MONTHS:
        return None
    return int(found[4]), _MONTHS.index(found[3].upper()) + 1, int(found[1])


def day(text: str) -> date | None:
    """The day that all of ``text`` is, in whatever order it is written; days of other orders are
    read as day and month."""
    parts = _unmarked(text.strip()) or _with_month(text.strip())
    if parts is None:
        found = _DAY.fullmatch(text.strip())
        if found is None:
            return None
        first, second, third = (int(part) for part in found.groups()[:3])
        parts = (first, second, third) if first > 31 else (third, second, first)
    year, month, of_month = parts
    if month > 12:
        month, of_month = of_month, month
    if year < 100:
        year += 2000 if year <= datetime.now(UTC).year % 100 else 1900
    try:
        return date(year, month, of_month)
    except ValueError:
        return None


def id_like(text: str) -> bool:
    """Whether ``text`` is a short code with a digit."""
    return _is(_ID_LIKE, text)


def handle_like(text: str) -> bool:
    """Whether ``text`` is a user name that is made of a person's name: "jane.doe", "mjensen7"."""
    if not _is(_HANDLE_LIKE, text):
        return False
    parts = [part.lower() for part in re.findall(r"[^\W\d_]+", text)]
    if any(len(part) > 2 and people.single(part) for part in parts):
        return True
    return any(_two_names(part) for part in parts if len(part) > 4)


def user_like(text: str) -> bool:
    """Whether ``text`` is in small letters and made of a name that is no word, and of what no word
    has in it: "jane.doe", "jensen7"."""
    if not text.islower() or re.search(r"[._\-\d]", text) is None or not token_like(text):
        return False
    return any(len(part) > 2 and people.borne(part) for part in re.findall(r"[^\W\d_]+", text))


def _two_names(word: str) -> bool:
    """Whether a word is a name with an initial before or behind it, or two names in one."""
    if people.single(word[1:]) or people.single(word[:-1]):
        return True
    return any(
        people.single(word[:cut]) and people.single(word[cut:]) for cut in range(3, len(word) - 2)
    )


def token_like(text: str) -> bool:
    """Whether ``text`` is one word such as user names are."""
    return _is(_HANDLE_LIKE, text)


def dates(texts: Iterable[str]) -> Counter[str]:
    """How many of ``texts`` are a day (``day``), one on which somebody of 14 to 105 years was born
    (``adult``), and in which decade they are (``decade 198``)."""
    found, year = Counter[str](), datetime.now(UTC).year
    for text in texts:
        that = day(text) if len(text) <= 24 else None
        if that is not None:
            found["day"] += 1
            found["adult"] += 14 <= year - that.year <= 105
            found[f"decade {that.year // 10}"] += 1
    return found


def international(text: str) -> bool:
    """Whether all of ``text`` is a telephone number with its country's prefix."""
    return text.strip().startswith(("+", "00")) and phone_like(text)


def far_quad(text: str) -> bool:
    """Whether ``text`` is four numbers with dots, the first greater than those of versions are."""
    found = _QUAD.fullmatch(text.strip())
    return found is not None and int(found.group(1)) > 63


def code_like(text: str) -> bool:
    """Whether ``text`` is one word of letters and digits in which nothing can be read."""
    return _CODE_LIKE.fullmatch(text.strip()) is not None


def postcode_like(text: str) -> bool:
    """Whether ``text`` is written like a postal code of Europe or America."""
    return _POSTCODE.fullmatch(text.strip()) is not None


def wallet_like(text: str) -> bool:
    """Whether ``text`` is written like an address of a cryptocurrency."""
    return _is(_WALLET_LIKE, text, 128)


def mac_like(text: str) -> bool:
    """Whether ``text`` is twelve hexadecimal digits, with or without signs between them."""
    return _is(_MAC_LIKE, text)


def coordinate(text: str) -> bool:
    """Whether ``text`` is a latitude or a longitude in degrees, with decimals."""
    found = _PLACE_ON_EARTH.fullmatch(text.strip())
    return found is not None and int(found.group(1)) <= 180


def quad(text: str) -> bool:
    """Whether ``text`` is four small numbers with dots: an IPv4 address, or a version."""
    return _is(_QUAD, text)


def wide_quad(text: str) -> bool:
    """Whether one of the four numbers is greater than those of versions are."""
    found = _QUAD.fullmatch(text.strip())
    return found is not None and max(map(int, found.groups())) > 63


def version(text: str) -> bool:
    """Whether ``text`` is written like a version of two to four parts."""
    return _is(_VERSION, text) and not wide_quad(text)


_WORD = re.compile(r"[^\W\d_]+")
# Behind any of these the recognizer of numbers as they are written takes two groups of digits.
_LEADING = re.compile(
    r"(?:on|at|is|unter|auf|au|al|op|på|nummer|n[úu]mero|num[ée]ro|number|text|ring|dial|contact|its|"
    r"call|m[óo]vil|llam\w{1,6}|tel[ée]fono)[ :.]{1,3}[\d(]"
)
# IP addresses and dates.
_NO_PHONE = re.compile(
    r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|"
    r"(?<!\d)(?:(?:19|20)\d{2}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2})"
    r"(?!\d)"
)
_FORM_OF_A_PHONE = re.compile(r"[+(]|(?<!\d)00|\d[^\w@]{1,4}\d+[^\w@]{1,4}\d")


def phone_words(text: str) -> bool:
    """Whether a word that announces a telephone number stands in ``text``."""
    return not PHONE_WORDS.isdisjoint(_WORD.findall(text.lower()))


def phone_form(text: str) -> bool:
    """Whether digits in ``text`` are written as those of a telephone number are that needs no
    words before it: with a prefix or a bracket, or in three groups that are no date and no IP
    address."""
    if _FORM_OF_A_PHONE.search(text) is None:
        return False
    return _FORM_OF_A_PHONE.search(_NO_PHONE.sub("x", text)) is not None


def _phones(text: str, claimed: bool) -> Iterator[re.Match[str]]:
    if not (claimed or phone_form(text) or phone_words(text) or _LEADING.search(text.lower())):
        return  # whatever is found would not stand
    for match in _PHONE.finditer(text):
        found = match.group()
        if sum(map(str.isdigit, found)) >= 7 and not _DATE.match(found):
            yield match
    bare = list(_BARE.finditer(text))
    if bare and (claimed or _PHONE_CONTEXT.search(text) or _LED_UP_TO.search(text)):
        yield from bare


_NO_DIGITS = bytes(code for code in range(256) if not chr(code).isdecimal())
_DIGIT = re.compile(r"\d")


def digits_in(text: str) -> int:
    """How many decimal digits there are in ``text``, of whatever alphabet."""
    if text.isascii():
        return len(text.encode().translate(None, _NO_DIGITS))
    return len(_DIGIT.findall(text))


_DOUBLED = str.maketrans("0123456789", "0246813579")


def luhn(digits: str) -> bool:
    """Whether the last of ``digits`` is their Luhn check digit."""
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0


def triggers(
    text: str, claimed: str | None, most: int | None = None
) -> Iterator[tuple[str, re.Match[str]]]:
    """Each place of ``text`` that the recognizers of an entity type should look at.

    Args:
        claimed: the entity type that the column's name claims: digits without form are then
            looked at as well.
        most: how many places of an entity type, from the first, are enough; None: all.
    """
    digits = digits_in(text)
    # Columns of long order numbers are common: what is all digits is checked at once.
    no_card = digits == len(text) and text.isascii() and not luhn(text)
    for entity, pattern in _TRIGGERS.items():
        if (no_card and entity == "CREDIT_CARD") or not _NEEDED[entity](text, digits):
            continue
        for match in islice(pattern.finditer(text), most):
            yield entity, match
    if digits:
        for match in islice(streets(text), most):
            yield "LOCATION", match
    if digits >= 7:
        for match in islice(_phones(text, claimed == "PHONE_NUMBER"), most):
            yield "PHONE_NUMBER", match
    if digits >= 9:
        for entity, (context, pattern) in _CLAIMED.items():
            for match in pattern.finditer(text):
                if claimed == entity or context.search(text):
                    yield entity, match


_BEFORE_VERSION = re.compile(
    r"(?i)(?:\bv|\bver|versi(?:on|[óo]n|one|o|ond)|wersj[aiąę]|vers[ãa]o|release|build|firmware|update|"
    r"aggiornamento|actualizaci[óo]n|mise à jour|aktualizacj[aię]|uppdatering(?:en)?|"
    r"opdatering(?:en)?|oppdatering(?:en)?|atualiza[çc][ãa]o|"
    r"upgrade|patch|driver|\bsdk|\bapp|udgave|utgave|versie)[\s.:=]*(?:is |to |a |auf |til )?\Z"
)


# "Chrome/118.0.5993.70" in what a browser says of itself.
_BEFORE_PRODUCT = re.compile(r"(?:\bMozilla/.*[A-Za-z]|\b(?:Chrome|Edge?|OPR|Firefox|Version))/\Z")


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
    if _BEFORE_VERSION.search(before) or _BEFORE_PRODUCT.search(before):
        return False
    return supported or sum(part >= 20 for part in parts) >= 2 or max(parts) >= 100


_BORN = re.compile(
    r"(?i)(?:\bborn\b|\bd\.?o\.?b\b|\bbirth(?:da(?:te|y))?\b|geboren(?: am| op)?|"
    r"\bgeb\b|geburts(?:datum|tag)|fecha (?:de )?nac\w*|nacid[oa](?: el)?|\bf\. ?nac\b|"
    r"\bn[ée]e?(?:\(e\))? le|date de naissance|\bf[øo]e?dt(?: den)?|f[øo]e?dsels(?:dag|dato)|"
    r"\bf[öo]dd(?: den)?|f[öo]delse(?:datum|dag)|\bnat[oa] il|data di nascita|data urodzenia|"
    r"urodzon[ya]|\bur\b|syntynyt|syntym[äa](?:aika|p[äa]iv[äa])|geboortedatum|nascid[oa] (?:em|a)|"
    r"data de nascimento)\.?[^\d\n.;]{0,24}?"
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}(?:\d{4}|\d{2})|"
    r"\d{1,2}(?:st|nd|rd|th|er|º)?\.? (?:de |of )?[^\W\d_]{3,10}\.?,? (?:de )?\d{4}|"
    r"[^\W\d_]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})(?!\d)"
)


# How the words of _BORN begin, in lower case: looked for at a tenth of its cost.
_BORN_HINT = re.compile(
    r"born|d\.?o\.?b|birth|geb|nac|n[ée]e?[ (]|f[øöo]e?d|nat[oa] |dat[ae] d|data u|urodz|ur|synt|"
    r"nascid"
)


def births(text: str) -> Iterator[tuple[int, int]]:
    """Where the days stand that the words before them call somebody's birth."""
    if digits_in(text) < 4 or _BORN_HINT.search(text.lower()) is None:
        return
    for match in _BORN.finditer(text):
        yield match.span(1)


_BRANDS = re.compile(
    r"4\d{15}(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"3(?:0[0-5]|[689]\d)\d{11}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|"
    r"62\d{14,17}|(?:50(?:18|19|20|38)|5893|6304|6759|676[1-3])\d{12,15}"
)
_THING = re.compile(
    r"(?i)(?:order|ordre|invoice|faktura|rechnung|bestell|auftrag|ticket|case|batch|charge|lot|"
    r"serial|tracking|shipment|parcel|paket|sendung|pakke|ref(?:erence)?|ean|gtin|upc|isbn|imei|"
    r"sku|artikel|article|article|pedido|factura|env[íi]o|commande|facture|colis|transaction|"
    r"trace|request|session|build|device|model|part|product|produkt|producto|produit|item)"
    r"[\w.]*[ :#.-]*(?:id|no|nr|n[oºr°]\.?|num|number|nummer|n[úu]mero|code|is|was)?[ :#.-]*\Z"
)


def branded(digits: str) -> bool:
    """Whether a payment card's number could begin so and be so long."""
    return _BRANDS.fullmatch(digits) is not None


def of_a_thing(before: str) -> bool:
    """Whether the words that ``before`` ends with announce the number of an order, a parcel…"""
    return _THING.search(before[-48:]) is not None
