"""Texts as they read, where they are written otherwise: escapes of HTML, of URLs and of JSON,
full-width letters, spaces, hyphens and digits of other scripts, letters apart from their accents,
characters that nobody sees, lines that a machine cut to one width, an e-mail address or a number in
groups broken over two lines.

The patterns search the folded text, and people are sought in it; what is found there is masked in
the original.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from atlas.pii.characters import DASHES, MARKS, OTHERS, READ

_WIDE = "\uff01-\uff5e\ufe6b\ufe52"
# "@" in quoted-printable, and not the value of a parameter: a domain follows.
_QUOTED_AT = r"(?<=[\w.+\-])=40(?=[A-Za-z][\w\-]*\.[A-Za-z]{2})"
# One class of characters each: a search for them is quick however long a text is.
_UNUSUAL = re.compile(f"[{_WIDE}{OTHERS}{MARKS}{DASHES}]")
_HINT = re.compile(rf"[&%=+\\\r\n{_WIDE}{OTHERS}{MARKS}{DASHES}]")
_PIECE = re.compile(
    r"(?P<entity>&(?:#\d{2,5}|#[xX][0-9A-Fa-f]{2,4}|[A-Za-z]{2,8});)"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    rf"|(?P<at>{_QUOTED_AT})"
    # "=3D" is also how many an address of Bitcoin begins behind the name of a parameter.
    r"|(?P<is>=3D(?![1-9A-HJ-NP-Za-km-z]{24}))"
    r"|(?P<quoted>(?:=[C-F][0-9A-F](?:=[89AB][0-9A-F])+)+)"
    r"|(?P<json>\\(?:u[0-9A-Fa-f]{4}|[nrt\"/\\]))"
    # A space in what a form sends; not in the local part of an address.
    r"|(?P<plus>(?<=[\w.,:;!?)])\+(?=[\w(])(?![\w.\-]*@))"
    rf"|(?P<other>[{OTHERS}])"
    rf"|(?P<dash>(?<=[\d)])[{DASHES}](?=[\d(]))"
    rf"|(?P<wide>[{_WIDE}])"
    rf"|(?P<marked>[^\W\d_][{MARKS}]+)"
    # The number of a card or an account goes on in the next line: after a group that is not its
    # first, or before two that follow.
    r"|(?P<wrapped>(?:(?<=[ \-][0-9A-Z]{3}\d)|(?<=[ \-]\d{6}))=?\r?\n[ \t>]*"
    r"(?=[0-9A-Z]{1,5}(?![0-9A-Za-z]))"
    r"|(?<=[ \-][A-Z]{4})=?\r?\n[ \t>]*(?=\d{4}(?![0-9A-Za-z]))"
    r"|(?<=\d{4})=?\r?\n[ \t>]*(?=\d{4}[ \-]\d{4}[ \-]\d|\d{6}[ \-]\d{5})"
    r"|(?<=[A-Z]{2}\d{2})=?\r?\n[ \t>]*(?=[0-9A-Z]{4}[ \-][0-9A-Z]{4}[ \-]))"
    # An address goes on in the next line: after its "@", before it, or within its domain.
    r"|(?P<broken>(?<=@)=?\r?\n[ \t>]*(?=\w)|(?<=[\w.+])=?\r?\n[ \t>]*(?=@\w)"
    r"|(?<=[\w.\-])=?\r?\n[ \t>]*(?=[\w\-]*\.[A-Za-z]{2,}))"
    r"|(?P<line>\r?\n)"
)
FOLDABLE = (
    rf"[{_WIDE}{OTHERS}{MARKS}{DASHES}]|%[0-9A-Fa-f]{{2}}|&[#A-Za-z]|=40[A-Za-z]|=3D|"
    r"=[C-F][0-9A-F]=|\\[u\"nrt]|\w\+\w[^\s+]*\+\w"
)
"""RE2: the value may read otherwise than it is written."""
_CUT_DOMAIN = re.compile(r"\w@[\w.\-]*\Z")
_WHOLE_DOMAIN = re.compile(r"\w@[\w\-]+(?:\.[\w\-]+)*\.[A-Za-z]{2,}\Z")
_LINE = 80
_PATH = re.compile(r"(?:\b[A-Za-z]:|\\)\\\S*\Z")
_SIGNS = {"at": "@", "dash": "-", "is": "=", "plus": " "}
_PARAGRAPH = re.compile(r"(\n[ \t\r]*\n)")
# The next item of a list, an address or a host.
_NO_WORD = re.compile(r"\d{1,3}[.)] |[^\W\d][\w\-]*[.@:/]\w")
_LEAST_BREAKS, _IN_MIDST = 2, 0.3
# As many characters as the shortest card or IBAN has.
_NUMBER = re.compile(r"\b(?:\d(?:[ \-]?\d){13,18}|[A-Z]{2}\d{2}(?:[ \-]?[0-9A-Z]){11,30})\b")


class Folded(NamedTuple):
    """A text as it reads: character ``i`` of ``text`` was written ``starts[i]:ends[i]``."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where ``text[start:end]`` stands in the original."""
        return self.starts[start], self.ends[end - 1]


def fold(text: str) -> Folded | None:
    """``text`` as it reads, or None if it reads as it is written.

    It is folded twice, for what was escaped is escaped again where a link stands in a link, or a
    page in a page.
    """
    once = _fold(text)
    twice = None if once is None else _fold(once.text)
    if once is None or twice is None:
        return once
    return Folded(
        twice.text,
        [once.starts[start] for start in twice.starts],
        [once.ends[end - 1] for end in twice.ends],
    )


def as_read(text: str) -> str:
    """``text`` as it reads."""
    folded = fold(text)
    return text if folded is None else folded.text


def _fold(text: str) -> Folded | None:
    if not any(mark in text for mark in ("&", "%", "\n", "=", "\\", "+")) and (
        text.isascii() or _UNUSUAL.search(text) is None
    ):
        return None
    cut, sent = _cut_lines(text), _sent(text)
    chars: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for piece in _pieces(text):
        if piece.lastgroup == "plus" and not sent:
            continue
        read = list(_read(piece, text))
        if read == [(piece.group(), piece.start(), piece.end())] and piece.end() in cut:
            read = [(" ", piece.start(), piece.end())]
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


def _cut_lines(text: str) -> frozenset[int]:
    """Where the lines begin that go on with the one before, for a machine has cut a paragraph:
    many begin with a small letter."""
    if "\n" not in text:
        return frozenset()
    at, cut = 0, set[int]()
    for paragraph in _PARAGRAPH.split(text):
        cut.update(at + place for place in _cut(paragraph.split("\n")))
        at += len(paragraph)
    return frozenset(cut)


def _cut(lines: Sequence[str]) -> Iterator[int]:
    """Where the lines of one paragraph begin that go on with the one before. Where it was cut to a
    width, a line that had room for the next word ends by itself."""
    width = max(map(len, lines))
    at, breaks = 0, list[tuple[int, bool, bool]]()
    for line, following in pairwise(lines):
        at += len(line) + 1
        word = following.partition(" ")[0].rstrip("\r")
        if line.strip() and word[:1].isalnum() and _NO_WORD.match(following) is None:
            breaks.append((at, word[0].islower(), len(line) + 1 + len(word) <= width))
    room = [fits for _, lower, fits in breaks if lower]
    if len(breaks) < _LEAST_BREAKS or len(room) < _IN_MIDST * len(breaks):
        return
    anywhere = 2 * sum(room) >= len(room)
    yield from (at for at, lower, fits in breaks if anywhere or lower or not fits)


def _sent(text: str) -> bool:
    """Whether "+" stands for a space in ``text``, as in what a form sends: then there is none."""
    pluses = text.count("+")
    return (pluses > 1 or (pluses > 0 and "%" in text)) and not any(map(str.isspace, text))


def _pieces(text: str) -> Iterator[re.Match[str]]:
    """What ``_PIECE`` matches, looked for only where it can begin: at each character of a cell of
    megabytes its alternatives would take longer than a worker may be silent."""
    at = 0
    while (hint := _HINT.search(text, at)) is not None:
        here = hint.start()
        # Marks are hinted at, and the letter before them begins what is matched.
        piece = _PIECE.match(text, here - 1) if here > at else None
        piece = piece or _PIECE.match(text, here)
        at = here + 1
        if piece is not None:
            yield piece
            at = max(at, piece.end())


def _read(piece: re.Match[str], text: str) -> Iterator[tuple[str, int, int]]:
    written, start, end = piece.group(), piece.start(), piece.end()
    match piece.lastgroup:
        case "entity":
            char = html.unescape(written)
            yield (char if len(char) == 1 else written), start, end
        case "percent" | "quoted":
            for char, width in _decoded(bytes.fromhex(written.replace(written[0], ""))):
                yield char, start, start + 3 * width
                start += 3 * width
        case "at" | "dash" | "is" | "plus" | "line" as sign:
            yield _SIGNS.get(sign, written), start, end
        case "json":
            yield _unescaped(written, text[max(0, start - _LINE) : start]), start, end
        case "other" if READ[written]:
            yield READ[written], start, end
        case "wide":
            yield unicodedata.normalize("NFKC", written), start, end
        case "marked":
            yield from _composed(written, start, end)
        case "wrapped":
            # Only where the two lines together can be one: telephone numbers do not go on.
            line = text[max(0, start - _LINE) : start].rpartition("\n")[2]
            rest = text[end : end + _LINE].partition("\n")[0]
            across = any(
                found.start() < len(line) < found.end()
                for found in _NUMBER.finditer(f"{line} {rest}")
            )
            yield (" " if across else written), start, end
        case "broken":
            line = text[max(0, start - _LINE) : start]
            within = "@" not in line[-1:] and not text.startswith("@", end)
            if within and (_CUT_DOMAIN.search(line) is None or _WHOLE_DOMAIN.search(line)):
                yield written, start, end
        case _:
            return


def _unescaped(written: str, before: str) -> str:
    """What an escape of JSON stands for; itself in a path of Windows, and where it is half of a
    character."""
    if written[1] == "u":
        char = chr(int(written[2:], 16))
        return written if "\ud800" <= char <= "\udfff" else char
    if written[1] in "nrt" and _PATH.search(before + "\\") is not None:
        return written
    return {"n": "\n", "r": "\r", "t": "\t"}.get(written[1], written[1])


def _composed(written: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """A letter and its marks in as few characters as they can be."""
    composed = unicodedata.normalize("NFC", written)
    if composed == written:
        yield written, start, end
        return
    for char in composed:
        yield char, start, end


def _decoded(escaped: bytes) -> Iterator[tuple[str, int]]:
    """The characters of a run of escaped bytes, each with how many it takes: UTF-8, and Latin-1
    where it is none."""
    at = 0
    while at < len(escaped):
        first = escaped[at]
        width = 1 if first < 0xC2 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        try:
            char = escaped[at : at + width].decode()
        except UnicodeDecodeError:
            char, width = chr(first), 1
        yield char, width
        at += width
