"""Persons of eleven locales, and people from elsewhere who live there."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass
from random import Random

from bench.pii.fresh import numbers
from bench.pii.fresh.lists import words
from bench.pii.words import Half

LOCALES = ("us", "gb", "de", "fr", "es", "it", "pl", "nl", "da", "sv", "br")
_ELSEWHERE = ("in", "tr", "cn", "ar")
_PHONES: dict[Half, dict[str, tuple[str, ...]]] = {
    "dev": {
        "us": ("(415) %##-####", "303-%##-####", "+1 617 %## ####", "512%######"),
        "gb": ("+44 7812 ######", "0774# ######", "020 79## ####"),
        "de": ("+49 151 ########", "0171/#######", "030 / 4### ####"),
        "fr": ("06 ## ## ## ##", "+33 6 ## ## ## ##", "01.4#.##.##.##"),
        "es": ("+34 61# ### ###", "91% ## ## ##"),
        "it": ("+39 34# ### ####", "02 %### ####", "333.%######"),
        "pl": ("+48 50# ### ###", "60#-###-###"),
        "nl": ("+31 6 %### ####", "06-%#######", "020 6## ## ##"),
        "da": ("+45 2# ## ## ##", "4# ## ## ##"),
        "sv": ("+46 70 ### ## ##", "070-### ## ##", "08-%## ### ##"),
        "br": ("+55 11 9%###-####", "(21) 9%###-####"),
    },
    "held": {
        "us": ("+1-646-%##-####", "(206) %##-####", "404.%##.####", "001 773 %## ####"),
        "gb": ("+447911######", "07512 ### ###", "(0161) 4## ####"),
        "de": ("0049 176 ########", "+49-160-#######", "(089) 5######"),
        "fr": ("+33 (0)7 5# ## ## ##", "0612######", "04-7#-##-##-##"),
        "es": ("0034 65# ## ## ##", "622######", "+34 93 %## ## ##"),
        "it": ("0039 347 #######", "+39.06.%######", "320 %## ## ##"),
        "pl": ("+48 79# ### ###", "51# ### ###", "22 6## ## ##"),
        "nl": ("0031 6 %#######", "06 %# ## ## ##", "+31 10 4## ## ##"),
        "da": ("+453#######", "0045 5# ## ## ##", "26 ## ## ##"),
        "sv": ("+4673#######", "072 ### ## ##", "031-7## ## ##"),
        "br": ("+55 (31) 9 %###-####", "41 9%### ####"),
    },
}
_POSTCODES = {
    "us": "%####", "gb": "M%# #??", "de": "%####", "fr": "6%###", "es": "28###", "it": "20###",
    "pl": "3#-###", "nl": "1### ??", "da": "%###", "sv": "%## ##", "br": "04###-###",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as records have them; ``address`` is in one line, ``born`` a day."""

    locale: str
    first: str
    last: str
    email: str
    phone: str
    street: str
    postcode: str
    city: str
    address: str
    born: dt.date
    user: str
    latitude: float
    longitude: float

    @property
    def name(self) -> str:
        """The first name and the last."""
        return f"{self.first} {self.last}"


def person(rng: Random, half: Half, locales: tuple[str, ...]) -> Person:
    """Somebody of one of the locales; one in ten came there from elsewhere."""
    locale = rng.choice(locales)
    origin = rng.choice(_ELSEWHERE) if rng.random() < 0.1 else locale
    first = rng.choice(words(half, f"{origin}.first"))
    last = rng.choice(words(half, f"{origin}.last"))
    if origin == "es" and rng.random() < 0.5:
        last += " " + rng.choice(words(half, "es.last"))
    number = str(rng.randint(1, 180))
    road = rng.choice(words(half, f"{locale}.street"))
    first_number = locale in ("us", "gb", "fr")
    street = f"{number} {road}" if first_number else f"{road} {number}"
    if locale in ("es", "br"):
        street = f"{road}, {number}"
    code, city = numbers.shaped(rng, _POSTCODES[locale]), rng.choice(words(half, f"{locale}.city"))
    address = f"{street}, {code} {city}"
    if locale in ("us", "gb"):
        address = f"{street}, {city}, {code}" if locale == "gb" else f"{street}, {city} {code}"
    user = _user(rng, half, first, last)
    return Person(
        locale=locale,
        first=first,
        last=last,
        email=f"{user}@{rng.choice(words(half, 'maildomain'))}",
        phone=numbers.shaped(rng, rng.choice(_PHONES[half][locale])),
        street=street,
        postcode=code,
        city=city,
        address=address,
        born=dt.date(1938, 1, 1) + dt.timedelta(days=rng.randrange(25_000)),
        user=user,
        latitude=round(rng.uniform(36, 59), 5),
        longitude=round(rng.uniform(-9, 22), 5),
    )


def plain(text: str) -> str:
    """In small letters a to z alone."""
    for letter, instead in (("ß", "ss"), ("ø", "o"), ("æ", "ae"), ("ł", "l"), ("\u0131", "i")):
        text = text.lower().replace(letter, instead)
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", folded)


def _user(rng: Random, half: Half, first: str, last: str) -> str:
    one, two = plain(first), plain(last)
    if half == "dev":
        forms = (f"{one}.{two}", f"{one[0]}{two}", f"{two}{rng.randint(1, 99)}", f"{one}_{two}")
    else:
        forms = (
            f"{one}-{two}",
            f"{two}.{one}",
            f"{one}{two}{rng.randint(60, 99)}",
            f"{one[:2]}.{two}",
        )
    return rng.choice(forms)
