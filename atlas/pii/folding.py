"""Texts as they read, where they are written otherwise: escapes of HTML and of URLs, full-width
letters, characters that nobody sees, an e-mail address broken over two lines.

The patterns search the folded text; what they find there is masked in the original.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_MAYBE = re.compile("[&%\\n\uff01-\uff5e\ufe6b\ufe52\u200b-\u200d\u2060\ufeff\u00ad]")
_PIECE = re.compile(
    r"(?P<entity>&(?:#\d{2,5}|#[xX][0-9A-Fa-f]{2,4}|[A-Za-z]{2,8});)"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<wide>[\uff01-\uff5e\ufe6b\ufe52])"
    r"|(?P<unseen>[\u200b-\u200d\u2060\ufeff\u00ad])"
    # An address goes on in the next line: after its "@", before it, or within its domain.
    r"|(?P<broken>(?<=@)=?\r?\n[ \t>]*(?=\w)|(?<=[\w.+])=?\r?\n[ \t>]*(?=@\w)"
    r"|(?<=[\w.\-])=?\r?\n[ \t>]*(?=[\w\-]*\.[A-Za-z]{2,}))"
)
_CUT_DOMAIN = re.compile(r"\w@[\w.\-]*\Z")
_WHOLE_DOMAIN = re.compile(r"\w@[\w\-]+(?:\.[\w\-]+)*\.[A-Za-z]{2,}\Z")
_LINE = 80


class Folded(NamedTuple):
    """A text as it reads: character ``i`` of ``text`` was written ``starts[i]:ends[i]``."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where ``text[start:end]`` stands in the original."""
        return self.starts[start], self.ends[end - 1]


def fold(text: str) -> Folded | None:
    """``text`` as it reads, or None if it reads as it is written."""
    if _MAYBE.search(text) is None:
        return None
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece in _PIECE.finditer(text):
        read = list(_read(piece, text))
        if read == [(piece.group(), piece.start(), piece.end())]:
            continue
        chars.extend(text[at : piece.start()])
        starts.extend(range(at, piece.start()))
        ends.extend(range(at + 1, piece.start() + 1))
        for char, start, end in read:
            chars.append(char)
            starts.append(start)
            ends.append(end)
        at = piece.end()
    if at == 0:
        return None
    chars.extend(text[at:])
    starts.extend(range(at, len(text)))
    ends.extend(range(at + 1, len(text) + 1))
    return Folded("".join(chars), starts, ends)


def _read(piece: re.Match[str], text: str) -> Iterator[tuple[str, int, int]]:
    written, start, end = piece.group(), piece.start(), piece.end()
    match piece.lastgroup:
        case "entity":
            char = html.unescape(written)
            yield (char if len(char) == 1 else written), start, end
        case "percent":
            try:
                decoded = bytes.fromhex(written.replace("%", "")).decode()
            except UnicodeDecodeError:
                yield written, start, end
                return
            for char in decoded:
                width = 3 * len(char.encode())
                yield char, start, start + width
                start += width
        case "wide":
            yield unicodedata.normalize("NFKC", written), start, end
        case "broken":
            line = text[max(0, start - _LINE) : start]
            within = "@" not in line[-1:] and not text.startswith("@", end)
            if within and (_CUT_DOMAIN.search(line) is None or _WHOLE_DOMAIN.search(line)):
                yield written, start, end
        case _:
            return
