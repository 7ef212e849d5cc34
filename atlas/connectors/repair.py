"""Mending what JSON or PostgreSQL's ``jsonb`` refuses, byte by byte, without decoding."""

from __future__ import annotations

import re

# Possessive, so that an unterminated string costs one pass and no backtracking.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?Infinity|NaN', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB]..\\u[dD][c-fC-F].."  # a pair: one character, kept
    rb"|(?P<lost>\\u[dD][89a-fA-F]..|\\u0000)"
    rb"|(?P<control>[\x00-\x1f])"
    rb"|\\.",
    re.DOTALL,
)
_REPLACEMENT = b"\\ufffd"


def repair(line: bytes) -> tuple[bytes, int]:
    r"""Mend what JSON or ``jsonb`` refuses and connectors print all the same.

    In strings NUL, lone surrogates and bytes that are no UTF-8 become U+FFFD, and bare control
    characters are escaped. Outside, ``NaN``, ``Infinity`` and ``-Infinity`` become strings.
    Nothing else is touched: numbers stay digit by digit what they were.

    Returns:
        The mended line and the number of repairs; what cannot be mended stays.
    """
    repairs = 0

    def escape(match: re.Match[bytes]) -> bytes:
        nonlocal repairs
        if match["lost"] is not None or match["control"] == b"\x00":
            repairs += 1
            return _REPLACEMENT
        if match["control"] is not None:
            repairs += 1
            return b"\\u%04x" % match["control"][0]
        return match[0]

    def token(match: re.Match[bytes]) -> bytes:
        nonlocal repairs
        text = match[0]
        if text[:1] != b'"':
            repairs += 1
            return b'"' + text + b'"'
        return _ESCAPE.sub(escape, text)

    if not is_utf8(line):
        text = line.decode(errors="replace")
        repairs += text.count("\ufffd") - line.count("\ufffd".encode())
        line = text.encode()
    return _TOKEN.sub(token, line), repairs


_NUMBER = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"|-?(?P<whole>\d+)(?:\.(?P<part>\d+))?(?:[eE](?P<power>[+-]?\d+))?',
    re.DOTALL,
)
_MOST_BEFORE, _MOST_AFTER = 131_072, 16_383
"""Digits before and after the point of a number that PostgreSQL can hold."""
_MOST_SHIFT = 2**30 - 1
"""It reads no larger exponent, not even of 0."""


def unstorable(data: bytes) -> tuple[bytes, int]:
    """Numbers that PostgreSQL cannot hold (1e200000) as strings of the same digits.

    Returns:
        The mended JSON and the number of repairs.
    """
    repairs = 0

    def token(match: re.Match[bytes]) -> bytes:
        nonlocal repairs
        whole = match["whole"]
        if whole is None:
            return match[0]
        part, power = match["part"] or b"", match["power"] or b"0"
        shift = int(power) if len(power) < 20 else 2**30 * (-1 if power[:1] == b"-" else 1)
        digits = (whole + part).lstrip(b"0")
        before = len(digits) - len(part) + shift if digits else 0
        after = len(part) - shift
        if abs(shift) <= _MOST_SHIFT and before <= _MOST_BEFORE and after <= _MOST_AFTER:
            return match[0]
        repairs += 1
        return b'"' + match[0] + b'"'

    return _NUMBER.sub(token, data), repairs


def is_utf8(data: bytes) -> bool:
    """Whether ``data`` is UTF-8; next to nothing for ASCII."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
