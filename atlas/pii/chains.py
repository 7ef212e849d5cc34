"""Checksums of the addresses of cryptocurrencies: EIP-55 of Ethereum, base58check of others."""

from __future__ import annotations

from hashlib import sha256

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_WIDTH = 64
_MASK = (1 << _WIDTH) - 1
_RATE = 136


def paid_to(address: str) -> bool:
    """Whether ``address`` is a payment address in base58check: 21 bytes and four of checksum."""
    number = 0
    for char in address:
        digit = _ALPHABET.find(char)
        if digit < 0:
            return False
        number = number * 58 + digit
    if number >> (8 * 25):
        return False
    raw = number.to_bytes(25, "big")
    return sha256(sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def eip55(address: str) -> bool | None:
    """Whether the case of the letters of ``address`` (0x and 40 hexadecimal digits) is the checksum
    that it should be; None if all are of one case, which is none."""
    digits = address[2:]
    if digits in (digits.lower(), digits.upper()):
        return None
    shown = keccak256(digits.lower().encode()).hex()
    return all(
        not char.isalpha() or char.isupper() == (int(nibble, 16) >= 8)
        for char, nibble in zip(digits, shown, strict=False)
    )


def _turned(value: int, by: int) -> int:
    by %= _WIDTH
    return ((value << by) | (value >> (_WIDTH - by))) & _MASK


def _permuted(lanes: list[list[int]]) -> list[list[int]]:
    """Keccak-f[1600]."""
    register = 1
    for _ in range(24):
        parity = [
            lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)
        ]
        mixed = [parity[(x + 4) % 5] ^ _turned(parity[(x + 1) % 5], 1) for x in range(5)]
        lanes = [[lanes[x][y] ^ mixed[x] for y in range(5)] for x in range(5)]
        x, y, current = 1, 0, lanes[1][0]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, lanes[x][y] = lanes[x][y], _turned(current, (step + 1) * (step + 2) // 2)
        for y in range(5):
            row = [lanes[x][y] for x in range(5)]
            for x in range(5):
                lanes[x][y] = row[x] ^ (~row[(x + 1) % 5] & _MASK & row[(x + 2) % 5])
        for bit in range(7):
            register = ((register << 1) ^ ((register >> 7) * 0x71)) % 256
            if register & 2:
                lanes[0][0] ^= 1 << ((1 << bit) - 1)
    return lanes


def keccak256(message: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it, before it became SHA-3 with another padding."""
    padded = bytearray(message) + b"\x01"
    padded += bytes(-len(padded) % _RATE)
    padded[-1] |= 0x80
    lanes = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), _RATE):
        block = padded[start : start + _RATE]
        for lane in range(_RATE // 8):
            x, y = lane % 5, lane // 5
            lanes[x][y] ^= int.from_bytes(block[8 * lane : 8 * lane + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lanes[lane % 5][lane // 5].to_bytes(8, "little") for lane in range(4))
