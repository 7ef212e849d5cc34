"""What is looked for when a person is: identifiers, and the conditions under which a text is one.

The same text may be written in several ways: with ``é`` as one character or as two (Unicode's
forms NFC and NFD), an e-mail address in capitals. Texts and identifiers are compared in NFC, and
addresses in small letters. PostgreSQL's ``lower`` knows the letters of a collation, and which one
there is depends on how it was built; so beyond ASCII the letters come from here, and only those
that could be letters of an identifier, of which there are few.

Identifiers, and their letters, go to PostgreSQL by COPY, so that they stand in no statement, and in
none of its logs.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from psycopg2 import extensions
from psycopg2.sql import SQL, Composable

from atlas.layers import database

_LAST = 0x20000  # beyond it no letter is small or large
_SPACE = SQL("E' \\t\\n\\r\\f\\v'")
# What is spelled alike in all forms, in JSON too; k, s, ; and ` have a double beyond ASCII each.
_PLAIN = re.compile(r"[^\x80-\U0010ffffks;`\"\\]+")
# A leaf of the JSON text in a place of its own: not within another word, address or number.
_BEFORE, _AFTER = r"(^|[^[:alnum:]_@.%+-])", r"($|[^[:alnum:]_@.-]|[.-]($|[^[:alnum:]]))"


@dataclass(frozen=True, slots=True)
class Sought:
    """What to look for.

    Attributes:
        values: identifiers, trimmed.
        hidden: what they read as where they were tokenized or encrypted.
        contains: whether they may stand in the midst of a longer text.
        columns: the only columns to look in; empty: everywhere.
    """

    values: tuple[str, ...]
    hidden: tuple[str, ...]
    contains: bool = False
    columns: tuple[str, ...] = ()


def seek(cur: extensions.cursor, sought: Sought) -> None:
    """Set what is sought for the rest of the transaction."""
    database.settle(cur)
    cur.execute("DROP TABLE IF EXISTS pg_temp._atlas_sought, pg_temp._atlas_letters")
    cur.execute(
        "CREATE TEMP TABLE _atlas_sought (value text NOT NULL, folded boolean NOT NULL,"
        " data_like boolean NOT NULL, pattern text, lowered text NOT NULL, needle text NOT NULL,"
        " gate text NOT NULL) ON COMMIT DROP"
    )
    cur.execute(
        "CREATE TEMP TABLE _atlas_letters (wide boolean NOT NULL, large text NOT NULL,"
        " small text NOT NULL) ON COMMIT DROP"
    )
    lines = []
    for each in (*sought.values, *sought.hidden):
        value, mail = unicodedata.normalize("NFC", each), "@" in each
        # What may be a member's name in JSON without being one of the structure's own words.
        data_like = mail or each in sought.hidden or sum(char.isdigit() for char in value) >= 5
        lowered = _lowered(value)
        whole = f"{_BEFORE}{_escaped(lowered if mail else value)}{_AFTER}"
        needle = json.dumps(lowered, ensure_ascii=False)[1:-1]
        pattern = whole if sought.contains else None
        gate = max(_PLAIN.findall(lowered), key=len, default="")
        lines.append((value, mail, data_like, pattern, lowered, needle, gate))
    copy(cur, SQL("pg_temp._atlas_sought"), lines)
    letters = sorted({char for line in lines for char in line[4]})
    pairs = [(large, small) for small in letters for large in _larger().get(small, "")]
    wide = any(not char.isascii() for char in letters)
    # In another encoding than Unicode's a text has one form, and PostgreSQL refuses to make it.
    wide = wide and cur.connection.info.parameter_status("server_encoding") == "UTF8"
    large, small = ("".join(side) for side in zip(*pairs, strict=True)) if pairs else ("", "")
    copy(cur, SQL("pg_temp._atlas_letters"), [(wide, large, small)])
    cur.execute("ANALYZE pg_temp._atlas_sought")


def _small(char: str) -> str:
    """The one small letter of a letter; what has none, or several, stays."""
    for small in (char.casefold(), char.lower()):
        if len(small) == 1:
            return small
    return char


def _lowered(text: str) -> str:
    return "".join(map(_small, text))


@cache
def _larger() -> dict[str, str]:
    """The letters beyond ASCII that have a small one, by that."""
    found: dict[str, str] = {}
    for char in map(chr, range(0x80, _LAST)):
        small = _small(char)
        if small != char:
            found[small] = found.get(small, "") + char
    return found


def _escaped(text: str) -> str:
    # Only what means something there: before a letter of any script a backslash would, too.
    return re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", text)


def copy(cur: extensions.cursor, target: Composable, rows: Iterable[Sequence[object]]) -> None:
    """Put ``rows`` into a table, without their standing in a statement."""
    lines = ("\t".join(_field(value) for value in row) + "\n" for row in rows)
    cur.copy_expert(SQL("COPY {} FROM STDIN").format(target), io.StringIO("".join(lines)))


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    text = str(value).replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _wide(text: Composable) -> Composable:
    """Condition that ``text`` can read in another way than its bytes: most texts are ASCII, and
    most searches too."""
    return SQL(
        "(SELECT l.wide FROM pg_temp._atlas_letters l) AND octet_length({t}) > length({t})"
    ).format(t=text)


def _composed(text: Composable) -> Composable:
    """``text`` in NFC, as far as a search needs it."""
    return SQL(
        "CASE WHEN {wide} AND {t} IS NOT NFC NORMALIZED THEN normalize({t}, NFC) ELSE {t} END"
    ).format(wide=_wide(text), t=text)


def in_small(text: Composable) -> Composable:
    """``text`` in NFC and in small letters, as far as a search needs it."""
    return SQL(
        'CASE WHEN {wide} THEN translate(lower({composed} COLLATE "C"),'
        " (SELECT l.large FROM pg_temp._atlas_letters l),"
        " (SELECT l.small FROM pg_temp._atlas_letters l))"
        ' ELSE lower({t} COLLATE "C") END'
    ).format(wide=_wide(text), composed=SQL("({})").format(_composed(text)), t=text)


def matches(text: Composable) -> Composable:
    """Condition that ``text`` is, or holds, what ``s`` seeks."""
    return SQL(
        "CASE WHEN s.pattern IS NULL AND s.folded THEN btrim({small}, {space}) = s.lowered"
        " WHEN s.pattern IS NULL THEN btrim({t}, {space}) = s.value"
        " WHEN s.folded THEN {small} ~ s.pattern ELSE {t} ~ s.pattern END"
    ).format(t=_composed(text), small=in_small(text), space=_SPACE)


def leaf_matches(data: Composable) -> Composable:
    """Condition that a leaf of a document, or a member's name that is data, is what is sought."""
    return SQL(
        "EXISTS (SELECT FROM (SELECT l.v #>> '{{}}', false FROM"
        " jsonb_path_query({data}, 'strict $.**') l(v)"
        " WHERE jsonb_typeof(l.v) IN ('string', 'number')"
        " UNION ALL SELECT k.name, true FROM jsonb_path_query({data}, 'strict $.**') o(v),"
        " LATERAL jsonb_object_keys(CASE jsonb_typeof(o.v) WHEN 'object' THEN o.v ELSE '{{}}' END)"
        " k(name)) l(t, is_name) JOIN pg_temp._atlas_sought s"
        " ON (s.data_like OR NOT l.is_name) AND {matches})"
    ).format(data=data, matches=matches(SQL("l.t")))
