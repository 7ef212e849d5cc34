"""Numbers with checksums, as they are written: cards, bank accounts, coins, national identifiers.

Every function takes a ``random.Random`` and returns one number as text. They are random: whoever
has such a number in real life has it by chance. Their checks stand in :mod:`tests.bench_pii`.
"""

from __future__ import annotations

import hashlib
import string
from datetime import date, timedelta
from random import Random

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_IBANS = {
    "DE": "n" * 18,
    "GB": "aaaa" + "n" * 14,
    "FR": "n" * 10 + "c" * 11 + "nn",
    "ES": "n" * 20,
    "DK": "n" * 14,
    "NL": "aaaa" + "n" * 10,
    "IT": "a" + "n" * 22,
    "PL": "n" * 24,
    "AT": "n" * 16,
    "BE": "n" * 12,
    "CH": "n" * 5 + "c" * 12,
}


def digits(rng: Random, count: int) -> str:
    """``count`` random digits, the first of them not 0."""
    return str(rng.randint(1, 9)) + "".join(rng.choices(string.digits, k=count - 1))


def grouped(text: str, size: int = 4, by: str = " ") -> str:
    """``text`` in groups of ``size``."""
    return by.join(text[at : at + size] for at in range(0, len(text), size))


def luhn(number: str) -> bool:
    """Whether a number of digits passes Luhn's check."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def card(rng: Random) -> str:
    """A card number without blanks: Visa, Mastercard, Amex, Diners or Discover."""
    brands = ("4", "4", "4", "51", "53", "55", "2221", "37", "34", "36", "6011")
    start = rng.choices(brands, weights=(3, 3, 3, 2, 2, 2, 1, 1, 1, 0.3, 0.5))[0]
    length = 15 if start in ("34", "37") else 14 if start == "36" else 16
    body = start + "".join(rng.choices(string.digits, k=length - 1 - len(start)))
    return next(body + last for last in string.digits if luhn(body + last))


def card_written(rng: Random) -> str:
    """A card number as people write it: in groups, or not."""
    number = card(rng)
    if len(number) != 16:
        return number
    return rng.choice((number, number, grouped(number), grouped(number, by="-")))


def not_card(rng: Random, length: int = 16) -> str:
    """Digits that could be a card number by their length and fail Luhn's check."""
    number = digits(rng, length)
    return number if not luhn(number) else number[:-1] + str((int(number[-1]) + 1) % 10)


def iban(rng: Random, country: str | None = None) -> str:
    """An IBAN without blanks, valid by its checksum, length and shape."""
    country = country or rng.choice(sorted(_IBANS))
    kinds = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits}
    account = "".join(rng.choice(kinds[kind]) for kind in _IBANS[country])
    return f"{country}{98 - _mod97(account + country + '00'):02d}{account}"


def iban_written(rng: Random, country: str | None = None) -> str:
    """An IBAN in groups of four, or without blanks."""
    number = iban(rng, country)
    return rng.choice((number, grouped(number)))


def iban_valid(number: str) -> bool:
    """Whether an IBAN without blanks passes its checksum."""
    return _mod97(number[4:] + number[:4]) == 1


def _mod97(text: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in text)) % 97


def coin(rng: Random) -> str:
    """A Bitcoin address: base58check (P2PKH, P2SH) or bech32 (P2WPKH)."""
    payload = rng.randbytes(20)
    if rng.random() < 0.4:
        return _bech32(payload)
    versioned = rng.choice((b"\x00", b"\x05")) + payload
    data = versioned + hashlib.sha256(hashlib.sha256(versioned).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = _BASE58[rest] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def coin_valid(address: str) -> bool:
    """Whether an address of either kind passes its checksum."""
    if address.startswith("bc1"):
        return _polymod([*_HRP, *(_BECH32.index(letter) for letter in address[3:])]) == 1
    number = 0
    for letter in address:
        number = number * 58 + _BASE58.index(letter)
    data = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


_HRP = [3, 3, 0, 2, 3]
"""What bech32's checksum sees of the prefix "bc"."""


def _bech32(program: bytes) -> str:
    bits = int.from_bytes(program, "big")
    data = [0, *((bits >> shift) & 31 for shift in range(155, -1, -5))]
    check = _polymod([*_HRP, *data, *[0] * 6]) ^ 1
    data += [(check >> 5 * (5 - place)) & 31 for place in range(6)]
    return "bc1" + "".join(_BECH32[value] for value in data)


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(
            (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
        ):
            check ^= generator if (top >> place) & 1 else 0
    return check


def ean(rng: Random) -> str:
    """A barcode, EAN-13, with its check digit."""
    body = rng.choice(("40", "50", "57", "84", "30", "73")) + digits(rng, 10)
    odd, even = (sum(map(int, body[start::2])) for start in (0, 1))
    return body + str(-(odd + 3 * even) % 10)


def born(rng: Random) -> date:
    """A day of birth, 1938 to 2006; never the first of January, which a mask may leave."""
    day = date(1938, 1, 1) + timedelta(days=rng.randrange(69 * 365))
    return day if (day.month, day.day) != (1, 1) else day + timedelta(days=1)


def ssn(rng: Random) -> str:
    """A US social security number."""
    area = rng.choice([number for number in range(1, 900) if number != 666])
    return f"{area:03d}-{rng.randint(1, 99):02d}-{rng.randint(1, 9999):04d}"


def itin(rng: Random) -> str:
    """A US individual taxpayer identification number."""
    return (
        f"9{rng.randint(0, 99):02d}-{rng.choice((*range(70, 89), 90, 91, 92, 94, 99))}-"
        + digits(rng, 4)
    )


def passport(rng: Random) -> str:
    """The number of a US passport, old or new."""
    return rng.choice((digits(rng, 9), rng.choice("ACXY") + digits(rng, 8)))


def nhs(rng: Random) -> str:
    """A UK NHS number in the form 943 476 5919."""
    while True:
        body = digits(rng, 9)
        check = -sum(int(digit) * (10 - at) for at, digit in enumerate(body)) % 11
        if check < 10:
            return f"{body[:3]} {body[3:6]} {body[6:]}{check}"


def nhs_valid(number: str) -> bool:
    """Whether an NHS number passes its check."""
    plain = number.replace(" ", "")
    return sum(int(digit) * (10 - at) for at, digit in enumerate(plain)) % 11 == 0


def cpr(rng: Random, day: date | None = None) -> str:
    """A Danish CPR number: date of birth and four digits (a check digit is not in force)."""
    return f"{day or born(rng):%d%m%y}-{rng.randint(1, 9998):04d}"


def nif(rng: Random) -> str:
    """A Spanish DNI/NIF, or a NIE now and then."""
    number, foreign = rng.randint(1_000_000, 79_999_999), rng.random() < 0.2
    if not foreign:
        return f"{number:08d}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"
    number %= 10_000_000
    return f"X{number:07d}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def fiscal(rng: Random) -> str:
    """An Italian codice fiscale."""
    day, names = born(rng), "".join(rng.choices("BCDFGLMNPRSTVZ", k=6))
    place = rng.choice(("H501", "F205", "L219", "F839", "A944"))
    body = f"{names}{day:%y}{'ABCDEHLMPRST'[day.month - 1]}{day.day + 40 * rng.randint(0, 1):02d}"
    body += place
    odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10]
    odd += [22, 25, 24, 23]
    values = [int(letter) if letter.isdigit() else ord(letter) - 65 for letter in body]
    total = sum(value if at % 2 else odd[value] for at, value in enumerate(values))
    return body + chr(65 + total % 26)


def pesel(rng: Random) -> str:
    """A Polish PESEL."""
    day = born(rng)
    month = day.month + (20 if day.year >= 2000 else 0)
    body = f"{day:%y}{month:02d}{day:%d}{rng.randint(0, 9999):04d}"
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    return body + str(-sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 10)


def hetu(rng: Random) -> str:
    """A Finnish personal identity code."""
    day, serial = born(rng), rng.randint(2, 899)
    body = f"{day:%d%m%y}{serial:03d}"
    sign = "A" if day.year >= 2000 else "-"
    return body[:6] + sign + body[6:] + "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(body) % 31]


def steuer_id(rng: Random) -> str:
    """A German tax identifier of a person (IdNr) with its check digit (ISO 7064)."""
    chosen = rng.sample(string.digits, 9)
    body = [*chosen, rng.choice(chosen)]
    rng.shuffle(body)
    if body[0] == "0":
        body[0], body[1] = body[1], body[0]
    if body[0] == "0":
        body[0], body[2] = body[2], body[0]
    product = 10
    for digit in body:
        total = (int(digit) + product) % 10 or 10
        product = 2 * total % 11
    return "".join(body) + str((11 - product) % 10)
