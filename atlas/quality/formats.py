"""JSON schema's formats and patterns as regular expressions of PostgreSQL.

They refuse only what is certainly wrong: a row is set aside for it. A format that is not here is
not checked.
"""

from __future__ import annotations

import re

_DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
_ZONE = r"([Zz]|[+-]([01]\d|2[0-3]):?[0-5]\d)"
_OCTET = r"(25[0-5]|2[0-4]\d|1?\d?\d)"

FORMATS: dict[str, str] = {
    "email": r"^[^\s@]+@[^\s@.]+(\.[^\s@.]+)*$",
    "uuid": r"^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$",
    "ipv4": rf"^({_OCTET}\.){{3}}{_OCTET}$",
    "date": rf"^{_DATE}$",
    "time": rf"^{_TIME}{_ZONE}?$",
    "date-time": rf"^{_DATE}[Tt ]{_TIME}{_ZONE}?$",
}

# What ECMAScript's expressions, which JSON schema speaks, have and PostgreSQL's have not, or read
# otherwise.
_OTHER = re.compile(r"\\[pPucxkBb]|\(\?[^:=!]|^\*\*\*|\[\^?\]")
_MOST_REPEATS = 255  # PostgreSQL's limit of {m,n}


def pattern(expression: str) -> str | None:
    """``expression`` if it means the same to PostgreSQL, else None (it is then not checked)."""
    try:
        re.compile(expression)
    except re.error:
        return None
    if _OTHER.search(expression):
        return None
    repeats = re.findall(r"\{(\d+)(?:,(\d*))?\}", expression)
    if any(int(count or 0) > _MOST_REPEATS for pair in repeats for count in pair):
        return None
    return expression
