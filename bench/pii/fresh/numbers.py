"""Numbers that pass their checks, of persons and of things; the check digits are stdnum's."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from random import Random

from stdnum import ean, iban, luhn
from stdnum.br import cpf
from stdnum.de import idnr
from stdnum.es import ccc, dni
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.iso7064 import mod_11_10
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.se import personnummer

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CONSONANTS = "BCDFGLMNPRSTV"
_IBANS = {
    "us": "LI", "gb": "GB", "de": "DE", "fr": "FR", "es": "ES", "it": "IT", "pl": "PL",
    "nl": "NL", "da": "DK", "sv": "SE", "br": "PT",
}  # fmt: skip


def shaped(rng: Random, pattern: str) -> str:
    """``pattern`` with "#" a digit, "%" one of 2 to 9, "?" a capital letter."""
    fill = {"#": "0123456789", "%": "23456789", "?": "ABCDEFGHJKLMNPRSTUVWXYZ"}
    return "".join(rng.choice(fill.get(letter, letter)) for letter in pattern)


def card(rng: Random) -> str:
    """A card's number, without blanks."""
    start = rng.choice(("4", "4", "51", "53", "2221", "34", "37"))
    length = 15 if start.startswith("3") else 16
    body = start + shaped(rng, "#" * (length - 1 - len(start)))
    return body + str(luhn.calc_check_digit(body))


def account(rng: Random, locale: str) -> str:
    """An IBAN of the locale's country, without blanks."""
    land = _IBANS[locale]
    bban = {
        "LI": "08810############",
        "GB": "NWBK##############",
        "DE": "50010517##########",
        "IT": "X05428#####000000######",
        "PL": "10901014" + "################",
        "NL": "RABO0#########",
        "DK": "0040##########",
        "SE": "500000000" + "###########",
    }.get(land, "")
    if land == "FR":
        bank, branch, number = "30006", "00001", shaped(rng, "###########")
        key = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(number)) % 97
        bban = f"{bank}{branch}{number}{key:02}"
    elif land == "ES":
        bank, number = "21000418", shaped(rng, "##########")
        bban = bank + ccc.calc_check_digits(bank + "00" + number) + number
    elif land == "PT":
        body = "00350651" + shaped(rng, "###########")
        bban = f"{body}{98 - int(body) * 100 % 97:02}"
    bban = shaped(rng, bban)
    return land + iban.calc_check_digits(land + "00" + bban) + bban


def grouped(text: str, by: int = 4) -> str:
    """With a blank after every ``by`` letters."""
    return " ".join(text[at : at + by] for at in range(0, len(text), by))


def coin(rng: Random) -> str:
    """A Bitcoin address of the first two kinds."""
    body = bytes([rng.choice((0, 5))]) + rng.randbytes(20)
    whole = body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]
    value, found = int.from_bytes(whole, "big"), ""
    while value:
        value, rest = divmod(value, 58)
        found = _BASE58[rest] + found
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + found


def ip(rng: Random) -> str:
    """A public IPv4 address, one in six an IPv6 one."""
    if rng.random() < 1 / 6:
        return "2a02:" + ":".join(f"{rng.randrange(4096, 65536):x}" for _ in range(7))
    first = rng.choice((31, 62, 77, 81, 93, 109, 151, 178, 185, 213))
    return f"{first}.{rng.randint(1, 254)}.{rng.randint(0, 254)}.{rng.randint(1, 254)}"


def mac(rng: Random, sign: str) -> str:
    """A MAC address."""
    start = rng.choice(("3c", "a4", "f0", "b8", "dc"))
    return sign.join([start, *(f"{rng.randrange(256):02x}" for _ in range(5))])


def ean13(rng: Random) -> str:
    """An article's number."""
    body = "40" + shaped(rng, "##########")
    return body + str(ean.calc_check_digit(body))


def national(rng: Random, locale: str, born: dt.date) -> str:
    """A number by which the state knows somebody of the locale; of others an American one."""
    return _NATIONAL.get(locale, _ssn)(rng, born)


def _ssn(rng: Random, _: dt.date) -> str:
    return f"{rng.randint(100, 665)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}"


def _british(rng: Random, _: dt.date) -> str:
    if rng.random() < 0.5:
        return shaped(rng, rng.choice(("AB", "CE", "JM", "PR")) + " ## ## ## ") + rng.choice("ABCD")
    while True:
        number = shaped(rng, "4#########")
        if nhs.is_valid(number):
            return f"{number[:3]} {number[3:6]} {number[6:]}"


def _german(rng: Random, _: dt.date) -> str:
    while True:
        body = shaped(rng, "%#########")
        number = body + str(mod_11_10.calc_check_digit(body))
        if idnr.is_valid(number):
            return grouped(number[:2], 2) + " " + grouped(number[2:], 3)


def _french(rng: Random, born: dt.date) -> str:
    body = f"{rng.choice('12')}{born:%y%m}{rng.randint(10, 89)}{shaped(rng, '1##%##')}"
    return body + nir.calc_check_digits(body)


def _spanish(rng: Random, _: dt.date) -> str:
    body = shaped(rng, "%#######")
    return body + str(dni.calc_check_digit(body))


def _italian(rng: Random, born: dt.date) -> str:
    names = "".join(rng.choices(_CONSONANTS, k=6))
    body = f"{names}{born:%y}{'ABCDEHLMPRST'[born.month - 1]}{born.day:02}H501"
    return body + str(codicefiscale.calc_check_digit(body))


def _polish(rng: Random, born: dt.date) -> str:
    month = born.month + (20 if born.year >= 2000 else 0)
    body = f"{born:%y}{month:02}{born:%d}{shaped(rng, '####')}"
    return body + str(pesel.calc_check_digit(body))


def _dutch(rng: Random, _: dt.date) -> str:
    while True:
        number = shaped(rng, "1########")
        if bsn.is_valid(number):
            return number


def _danish(rng: Random, born: dt.date) -> str:
    return f"{born:%d%m%y}-{shaped(rng, '1###' if born.year < 2000 else '4###')}"


def _swedish(rng: Random, born: dt.date) -> str:
    body = f"{born:%y%m%d}{shaped(rng, '###')}"
    number = f"{body[:6]}-{body[6:]}{luhn.calc_check_digit(body)}"
    assert personnummer.is_valid(number) or born.year < 1930
    return number


def _brazilian(rng: Random, _: dt.date) -> str:
    number = shaped(rng, "#########")
    while len(number) < 11:
        weights = range(len(number) + 1, 1, -1)
        left = sum(by * int(digit) for by, digit in zip(weights, number, strict=True)) % 11
        number += str((11 - left) % 11 % 10)
    assert cpf.is_valid(number)
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


_NATIONAL: dict[str, Callable[[Random, dt.date], str]] = {
    "us": _ssn,
    "gb": _british,
    "de": _german,
    "fr": _french,
    "es": _spanish,
    "it": _italian,
    "pl": _polish,
    "nl": _dutch,
    "da": _danish,
    "sv": _swedish,
    "br": _brazilian,
}
