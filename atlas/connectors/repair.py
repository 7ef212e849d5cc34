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


def is_utf8(data: bytes) -> bool:
    """Whether ``data`` is UTF-8; next to nothing for ASCII."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
