"""People of six locales: names, addresses, telephones and mail addresses as they are written."""

from __future__ import annotations

import string
import unicodedata
from dataclasses import dataclass
from datetime import date
from random import Random

from bench.pii import numbers
from bench.pii.words import LOCALES, Half, words

_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "æ": "ae", "å": "aa"})
_TITLES = {"us": "en", "uk": "en"}


@dataclass(frozen=True, slots=True)
class Person:
    """A person, and what is theirs alone. ``phone`` and ``email`` are of one form each."""

    half: Half
    locale: str
    first: str
    last: str
    phone: str
    email: str
    handle: str
    house: str
    street_name: str
    city: str
    state: str
    postcode: str
    born: date
    latitude: float
    longitude: float

    @property
    def full(self) -> str:
        """ "Anna Weiß"."""
        return f"{self.first} {self.last}"

    @property
    def street(self) -> str:
        """Street and house number in the order of the locale."""
        if self.locale in ("us", "uk", "fr"):
            return f"{self.house} {self.street_name}"
        return f"{self.street_name} {self.house}"

    @property
    def town(self) -> str:
        """City and postal code in the order of the locale."""
        if self.locale in ("us", "uk"):
            return f"{self.city}{self.state} {self.postcode}"
        return f"{self.postcode} {self.city}"

    @property
    def address(self) -> str:
        """The address on one line."""
        return f"{self.street}, {self.town}"


def person(rng: Random, half: Half, locales: tuple[str, ...] = LOCALES) -> Person:
    """Somebody of one of ``locales``."""
    locale = rng.choice(locales)
    first = rng.choice(words(half, f"{locale}.first_{rng.choice('fm')}"))
    last = rng.choice(words(half, f"{locale}.last"))
    if locale == "es" and rng.random() < 0.5:
        last += " " + rng.choice(words(half, "es.last"))
    day = numbers.born(rng)
    return Person(
        half,
        locale,
        first,
        last,
        phone=phone(rng, locale),
        email=email(rng, half, first, last, day.year),
        handle=handle(rng, half, first, last),
        house=_house(rng, locale),
        street_name=rng.choice(words(half, f"{locale}.street")),
        city=rng.choice(words(half, f"{locale}.city")),
        state=f", {rng.choice(words(half, 'us.state'))}" if locale == "us" else "",
        postcode=postcode(rng, half, locale),
        born=day,
        latitude=round(rng.uniform(36, 58), rng.choice((4, 5, 6))),
        longitude=round(rng.uniform(-8, 14), rng.choice((4, 5, 6))),
    )


def written(rng: Random, who: Person) -> str:
    """The full name in one of the ways it is written, with or without a title."""
    language = _TITLES.get(who.locale, who.locale)
    initial = rng.choice(string.ascii_uppercase[:18])
    return rng.choices(
        (
            who.full,
            f"{who.last}, {who.first}",
            f"{rng.choice(words(who.half, f'all.title_{language}'))} {who.full}",
            who.full.upper(),
            f"{who.first} {initial}. {who.last}",
            f"{who.first[0]}. {who.last}",
        ),
        weights=(10, 2, 2, 1, 1.5, 1),
    )[0]


def folded(text: str) -> str:
    """``text`` in small ASCII letters and digits, as in mail addresses."""
    plain = unicodedata.normalize("NFKD", text.lower().translate(_FOLD))
    return "".join(letter for letter in plain if letter in string.ascii_lowercase + string.digits)


def email(rng: Random, half: Half, first: str, last: str, year: int) -> str:
    """A mail address of somebody of that name, private or at work."""
    one, two = folded(first), folded(last)
    local = rng.choices(
        (
            f"{one}.{two}",
            f"{one[0]}{two}",
            f"{one}_{two}{year % 100:02d}",
            f"{two}.{one[0]}",
            f"{one}{rng.randint(1, 999)}",
            f"{one}.{two}+{rng.choice(('shop', 'news', 'travel'))}",
            f"{one}-{two}",
            f"{rng.choice(words(half, 'all.handle'))}{rng.randint(1, 99)}",
            f"{one.title()}.{two.title()}",
        ),
        weights=(6, 4, 3, 2, 2, 1, 1, 1, 1),
    )[0]
    if rng.random() < 0.6:
        return f"{local}@{rng.choice(words(half, 'all.mail'))}"
    name = "-".join(filter(None, map(folded, rng.choice(words(half, "company")).split()[:2])))
    host = rng.choice(("", "", "", "mail.", "corp."))
    return f"{local}@{host}{name}.{rng.choice(('com', 'de', 'co.uk', 'dk', 'fr', 'es', 'io'))}"


def handle(rng: Random, half: Half, first: str, last: str) -> str:
    """A user name that has its owner's name in it."""
    one, two = folded(first), folded(last)
    return rng.choice((f"{one}.{two}", f"{one[0]}{two}", f"{one}{two}", f"{one}_{two[0]}")) + (
        rng.choice(("", "", str(rng.randint(1, 99))))
    )


def _house(rng: Random, locale: str) -> str:
    if locale == "us":
        return str(rng.randint(100, 9899))
    number = str(rng.randint(1, 180))
    more = {
        "uk": ("", "", "a", "b"),
        "de": ("", "", "", "a", "c"),
        "da": ("", ", 2. tv", ", st. th", "B"),
        "fr": ("", "", " bis"),
        "es": ("", ", 3º B", ", 1º izq.", ""),
    }[locale]
    return number + rng.choice(more)


def postcode(rng: Random, half: Half, locale: str) -> str:
    """A postal code."""
    if locale == "us":
        plus = rng.choice(("", "", f"-{rng.randint(1, 9999):04d}"))
        return f"{rng.randint(1001, 99950):05d}{plus}"
    if locale == "uk":
        end = "".join(rng.choices("ABDEFGHJLNPQRSTUWXYZ", k=2))
        return f"{rng.choice(words(half, 'uk.area'))}{rng.randint(1, 30)} {rng.randint(1, 9)}{end}"
    if locale == "da":
        return str(rng.randint(1050, 9990))
    top = {"de": 99, "fr": 95, "es": 52}[locale]
    return f"{rng.randint(1, top):02d}{rng.randint(0, 999):03d}"


def phone(rng: Random, locale: str) -> str:
    """A telephone number, national or international, as it is written."""
    number = numbers.digits
    if locale == "us":
        area = rng.choice(
            [
                "205",
                "206",
                "212",
                "303",
                "305",
                "312",
                "404",
                "415",
                "503",
                "512",
                "515",
                "602",
                "617",
                "702",
                "713",
                "801",
            ]
        )
        one, two = str(rng.randint(2, 9)) + number(rng, 2), number(rng, 4)
        return rng.choice(
            (
                f"({area}) {one}-{two}",
                f"{area}-{one}-{two}",
                f"{area}.{one}.{two}",
                f"+1 {area} {one} {two}",
                f"+1{area}{one}{two}",
                f"1-{area}-{one}-{two}",
                f"{area}-{one}-{two} x{rng.randint(10, 9999)}",
                f"{area}{one}{two}",
            )
        )
    if locale == "uk":
        mobile = rng.choice(("74", "75", "77", "78", "79")) + number(rng, 2)
        rest = number(rng, 6)
        return rng.choice(
            (
                f"0{mobile} {rest}",
                f"+44 {mobile} {rest}",
                f"+44{mobile}{rest}",
                f"020 7{number(rng, 3)} {number(rng, 4)}",
                f"+44 (0)20 7{number(rng, 3)} {number(rng, 4)}",
                f"0161 {number(rng, 3)} {number(rng, 4)}",
                f"01603 6{number(rng, 5)}",
                f"0{mobile}{rest}",
                f"020 8{number(rng, 3)} {number(rng, 4)} ext. {number(rng, 3)}",
            )
        )
    if locale == "de":
        mobile, rest = rng.choice(("151", "160", "170", "172", "176", "179")), number(rng, 7)
        city = rng.choice(("30", "40", "89", "221", "521", "711", "931"))
        return rng.choice(
            (
                f"0{mobile} {rest}",
                f"+49 {mobile} {rest}",
                f"+49{mobile}{rest}",
                f"0049 {mobile} {rest}",
                f"0{city} / {rest}",
                f"(0{city}) {rest[:6]}",
                f"0{city}-{rest[:6]}",
                f"+49 (0){city} {rest}",
                f"0{mobile}/{rest[:3]} {rest[3:]}",
            )
        )
    if locale == "da":
        pairs = [str(rng.randint(20, 31)), *(f"{rng.randint(0, 99):02d}" for _ in range(3))]
        plain = "".join(pairs)
        return rng.choice(
            (
                " ".join(pairs),
                "+45 " + " ".join(pairs),
                f"+45{plain}",
                f"{plain[:4]} {plain[4:]}",
                plain,
                f"0045 {plain}",
            )
        )
    if locale == "fr":
        pairs = [rng.choice("12345679"), *(f"{rng.randint(0, 99):02d}" for _ in range(4))]
        return rng.choice(
            (
                "0" + " ".join(pairs),
                "0" + ".".join(pairs),
                "0" + "".join(pairs),
                "+33 " + " ".join(pairs),
                "+33" + "".join(pairs),
                "+33 (0)" + " ".join(pairs),
            )
        )
    plain = rng.choice("679") + number(rng, 8)
    if plain[0] == "9":
        plain = "91" + plain[2:]
    return rng.choice(
        (
            f"{plain[:3]} {plain[3:6]} {plain[6:]}",
            f"+34 {plain[:3]} {plain[3:5]} {plain[5:7]} {plain[7:]}",
            f"+34{plain}",
            plain,
            f"0034 {plain[:3]} {plain[3:6]} {plain[6:]}",
            f"{plain[:3]}-{plain[3:6]}-{plain[6:]}",
        )
    )
