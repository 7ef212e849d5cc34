"""Free text with known personal pieces, put together from fragments (``data/prose.txt``).

A text is one to three facts in any order, with or without a greeting and an end, a personal
fragment somewhere in it or none, and the carelessness of people who type.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from random import Random

from bench.pii import numbers
from bench.pii.model import Piece, Text
from bench.pii.people import Person, person
from bench.pii.words import LOCALES, Half, fragments, kinds, words

LOCALES_OF = {"en": ("us", "uk"), "de": ("de",), "fr": ("fr",), "es": ("es",), "da": ("da",)}
_SLOT = re.compile(r"\{(\w+)\}")
_WEEKDAYS_DE = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September")
_DATES = {"de": "%d.%m.%Y", "da": "%d-%m-%Y", "fr": "%d/%m/%Y", "es": "%d/%m/%Y"}


def text(
    rng: Random, half: Half, language: str, personal: tuple[str, ...] = (), facts: int = 3
) -> Text:
    """A text of at most ``facts`` facts with a fragment of each kind in ``personal``."""
    known = fragments(half, language, "fact")
    parts: list[tuple[str, tuple[Piece, ...]]] = [
        (_careless(rng, _filled(rng, half, language, fact)), ())
        for fact in rng.sample(known, rng.randint(1, facts))
    ]
    for kind in personal:
        fragment = rng.choice(fragments(half, language, kind))
        parts.insert(rng.randint(0, len(parts)), _personal(rng, half, language, fragment))
    if rng.random() < 0.3:
        parts.insert(0, (_plain(rng, half, language, "open"), ()))
    if rng.random() < 0.3:
        parts.append((_plain(rng, half, language, "close"), ()))
    by = rng.choices((" ", "\n", " - ", "  "), weights=(12, 2, 1, 1))[0]
    return Text(
        by.join(part for part, _ in parts), tuple(piece for _, own in parts for piece in own)
    )


def some_kinds(rng: Random, language: str, weights: dict[str, float]) -> tuple[str, ...]:
    """One kind of personal fragment that ``language`` has, by weight, at times two."""
    known = [kind for kind in weights if kind in kinds(language)]
    first = rng.choices(known, [weights[kind] for kind in known])[0]
    second = rng.choices(known, [weights[kind] for kind in known])[0]
    return (first, second) if second != first and rng.random() < 0.25 else (first,)


def long_text(rng: Random, half: Half, language: str, size: int, personal: tuple[str, ...]) -> Text:
    """A text of at least ``size`` characters with the ``personal`` fragments spread over it."""
    done, length, pieces = list[str](), 0, list[Piece]()
    waiting = list(personal)
    while length < size or waiting:
        kind = (waiting.pop(),) if waiting and rng.random() < 0.05 + (length >= size) else ()
        found = text(rng, half, language, kind)
        done.append(f"[{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}] {found.value}")
        pieces += found.pieces
        length += len(done[-1])
    return Text("\n".join(done), tuple(pieces))


def day(rng: Random) -> date:
    """A day on which something happened."""
    return date(2019, 1, 1) + timedelta(days=rng.randrange(2400))


def moment(rng: Random) -> datetime:
    """A moment at which something happened."""
    return datetime(2019, 1, 1) + timedelta(seconds=rng.randrange(2400 * 86_400))  # noqa: DTZ001


def ipv4(rng: Random) -> str:
    """An IPv4 address that could be a client's."""
    first = rng.choice((24, 37, 62, 73, 80, 87, 91, 109, 151, 178, 185, 203, 212, 10, 192))
    rest = (168, rng.randint(0, 3)) if first == 192 else (rng.randint(0, 255), rng.randint(0, 255))
    return ".".join(map(str, (first, *rest, rng.randint(2, 254))))


def ipv6(rng: Random) -> str:
    """An IPv6 address, written short or in full."""
    net = rng.choice(("2a02:8109", "2001:db8", "2a01:cb08", "2600:1700", "fe80:0"))
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(6)]
    return f"{net}:{':'.join(groups)}" if rng.random() < 0.6 else f"{net}::{':'.join(groups[:3])}"


def mac(rng: Random) -> str:
    """A hardware address in one of three forms."""
    pairs = [f"{rng.randrange(256):02x}" for _ in range(6)]
    form = rng.choice((":", ":", "-"))
    return form.join(pairs).upper() if rng.random() < 0.5 else form.join(pairs)


def price(rng: Random) -> str:
    """An amount with a currency."""
    amount = rng.uniform(3, 1900)
    return rng.choice((f"€{amount:.2f}", f"{amount:.2f} EUR", f"${amount:,.2f}", f"£{amount:.0f}"))


def sku(rng: Random) -> str:
    """The number of an article."""
    letters = "".join(rng.choices("ABCDEFGHKLMNPRSTVWX", k=3))
    return f"{letters}-{rng.randint(100, 99999)}" + rng.choice(("", "-B", "/2", "-XL"))


def _plain(rng: Random, half: Half, language: str, kind: str) -> str:
    return _filled(rng, half, language, rng.choice(fragments(half, language, kind)))


def _filled(rng: Random, half: Half, language: str, fragment: str) -> str:
    return _SLOT.sub(lambda slot: _thing(rng, half, language, slot[1]), fragment)


def _thing(rng: Random, half: Half, language: str, slot: str) -> str:
    if slot == "order":
        return rng.choice((f"#{rng.randint(10_000, 999_999)}", f"SO-{rng.randint(1000, 99_999)}"))
    if slot == "date":
        return day(rng).strftime(_DATES.get(language, rng.choice(("%Y-%m-%d", "%d %B", "%m/%d"))))
    if slot == "time":
        return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}"
    if slot == "qty":
        return str(rng.randint(2, 60))
    if slot == "version":
        return ".".join(str(rng.randint(0, 14)) for _ in range(rng.choice((2, 3, 3, 4))))
    if slot in ("uuid", "hex"):
        text = f"{rng.getrandbits(128):032x}"
        return str(uuid.UUID(text)) if slot == "uuid" else text[: rng.choice((8, 12, 32))]
    if slot in ("notcard", "ean"):
        return numbers.not_card(rng) if slot == "notcard" else numbers.ean(rng)
    if slot == "weekday_de":
        return rng.choice(_WEEKDAYS_DE)
    if slot == "weekday":
        return rng.choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"))
    if slot == "month":
        return rng.choice(_MONTHS)
    if slot in ("price", "sku"):
        return price(rng) if slot == "price" else sku(rng)
    return rng.choice(words(half, slot))


def _personal(
    rng: Random, half: Half, language: str, fragment: str
) -> tuple[str, tuple[Piece, ...]]:
    abroad = rng.random() < 0.15
    who = person(rng, half, LOCALES if abroad else LOCALES_OF[language])
    done, at, pieces = "", 0, list[Piece]()
    for slot in _SLOT.finditer(fragment):
        done += fragment[at : slot.start()]
        at = slot.end()
        entity, before, value = _own(rng, who, language, slot[1])
        if not entity:
            done += _thing(rng, half, language, slot[1])
            continue
        done += before + value
        pieces.append(Piece(entity, value, language))
    return done + fragment[at:], tuple(pieces)


def _own(rng: Random, who: Person, language: str, slot: str) -> tuple[str, str, str]:
    """Entity ("" if the slot is of nobody), what stands before it, and the text."""
    if slot == "person":
        title = rng.choice(words(who.half, f"all.title_{language}"))
        return rng.choices(
            (
                ("PERSON", "", who.full),
                ("PERSON", f"{title} ", who.last),
                ("PERSON", f"{title} ", who.full),
                ("PERSON", "", who.first),
                ("PERSON", "", f"{who.first[0]}. {who.last}"),
            ),
            weights=(12, 3, 2, 2, 1),
        )[0]
    if slot == "dob":
        form = _DATES.get(language, rng.choice(("%m/%d/%Y", "%d %B %Y", "%Y-%m-%d")))
        return "BIRTH_DATE", "", who.born.strftime(form)
    made: dict[str, tuple[str, Callable[[], str]]] = {
        "email": ("EMAIL", lambda: who.email),
        "phone": ("PHONE", lambda: who.phone),
        "address": ("LOCATION", lambda: who.address),
        "card": ("CARD", lambda: numbers.card_written(rng)),
        "iban": ("IBAN", lambda: numbers.iban_written(rng)),
        "crypto": ("CRYPTO", lambda: numbers.coin(rng)),
        "ip": ("IP", lambda: ipv4(rng) if rng.random() < 0.8 else ipv6(rng)),
        "ssn": ("NATIONAL_ID", lambda: numbers.ssn(rng)),
        "passport": ("NATIONAL_ID", lambda: numbers.passport(rng)),
        "nhs": ("NATIONAL_ID", lambda: numbers.nhs(rng)),
        "nif": ("NATIONAL_ID", lambda: numbers.nif(rng)),
        "cpr": ("NATIONAL_ID", lambda: numbers.cpr(rng, who.born)),
    }
    if slot not in made:
        return "", "", ""
    entity, make = made[slot]
    return entity, "", make()


def _careless(rng: Random, fact: str) -> str:
    chance = rng.random()
    if chance < 0.12:
        return fact[0].lower() + fact[1:].rstrip(".")
    if chance < 0.17:
        return fact.rstrip(".") + rng.choice((" !!", "...", "??", ","))
    if chance < 0.22 and len(fact) > 20:
        at = rng.randrange(8, len(fact) - 2)
        return fact[:at] + fact[at + 1] + fact[at] + fact[at + 2 :]
    if chance < 0.24:
        return fact.upper()
    return fact
