"""Which spans of a text are personal: recognizers on what they could match, NER on prose.

The user's own recognizers come on top: what they find counts from the threshold on, and as theirs
where it overlaps with something else.

Presidio's recognizers propose, with a score; whether a proposal stands is decided here, by its
checksum, by the words and characters around it, and by what the column's name claims.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

from presidio_analyzer import RecognizerResult

from atlas.pii import people
from atlas.pii.engine import Engine, pieces
from atlas.pii.folding import Folded, fold
from atlas.pii.introduced import introduced, written
from atlas.pii.links import parameters
from atlas.pii.national import ENTITIES, Identifiers
from atlas.pii.patterns import births, ip_personal, of_a_thing, triggers
from atlas.pii.recognizers import ANNOUNCED, public

_WHOLE = 600
_AROUND = 80
_LONGEST = 2_000
_BETWEEN = 2
_CACHED = 300_000
_SAMPLED = 20_000
_CHUNK = 1_000
_RANK = {
    name: rank
    for rank, name in enumerate(
        (
            "EMAIL_ADDRESS",
            "IBAN_CODE",
            "CREDIT_CARD",
            "CRYPTO",
            *sorted(ENTITIES),
            "US_SSN",
            "DATE_OF_BIRTH",
            "MAC_ADDRESS",
            "IP_ADDRESS",
            "PHONE_NUMBER",
            "LOCATION",
            "PERSON",
        )
    )
}
# What stands has its form, its checksum or its context for it, so it counts, however little its
# recognizer gives the bare pattern.
_STANDING = 0.6
_CHECKED = frozenset({"IBAN_CODE", "CREDIT_CARD", "CRYPTO"})
_ABOUT_SOMEBODY = ENTITIES | {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "US_SSN"}


class Span(NamedTuple):
    """A personal span: ``text[start:end]`` is ``entity``, known by ``kind`` (pattern, checksum,
    words, ner; or "recognizer" and the name of the user's own)."""

    start: int
    end: int
    entity: str
    score: float
    kind: str


Spans = tuple[Span, ...]


class _Asked(NamedTuple):
    """What the model may have to read: a piece of the text at a place, the piece's offset in it as
    it reads, its words and language, and those of them that ask for it."""

    place: int
    offset: int
    text: str
    words: list[people.Word]
    tongue: int
    telling: list[people.Word]


_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z\u00c0-\u00de])|\n+")


def _sentences(text: str, words: Sequence[people.Word]) -> Iterator[tuple[int, int]]:
    """Where the sentences of ``text`` are in which one of ``words`` stands."""
    if not words:
        return
    cuts = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    for start, end in pairwise(cuts):
        if any(start <= word.start < end for word in words):
            yield start, end


def _telling(
    text: str, words: Sequence[people.Word], persons: Sequence[people.Person], found: Sequence[Span]
) -> list[people.Word]:
    """The words for which the model is asked: those of which it can make something that stands.

    That is a name that people bear, or a strange word beside such a name or another. Of a strange
    word alone it can only make a place, which needs somebody beside it; without that the word,
    frequent or not, belongs to what the text is about (a product, a system).
    """
    unknown = people.unexplained(words, persons)
    if all(word.kinds for word in unknown):
        return unknown
    if any(span.entity in _ABOUT_SOMEBODY for span in found) or _DWELLS.search(text):
        return unknown
    starts = {word.start for word in unknown}
    names = starts | {word.start for word in words if word.capital and word.kinds}
    paired = {
        start
        for one, other in pairwise(words)
        if other.start - one.end <= _BETWEEN and {one.start, other.start} <= names
        for start in (one.start, other.start)
    }
    return [word for word in unknown if word.kinds or word.start in paired]


class Finder:
    """Finds spans with an engine, and remembers what it found.

    The memory is by hash of the text, bounded, and holds no text; it spares the second reading of
    values that stand in several batches, and of all values when they are masked.
    """

    def __init__(self, engine: Engine, identifiers: Identifiers, threshold: float) -> None:
        """A finder without a memory yet.

        Args:
            threshold: least score, 0 to 1, from which on counts what the user's recognizers find.
        """
        self._engine = engine
        self._threshold = threshold
        self.identifiers = identifiers
        # Which values of a column they have to see; None: there are no recognizers of the user.
        self.theirs = engine.theirs.screen if engine.theirs else None
        self._known: dict[tuple[int, int, str | None, bool, bool], Spans] = {}
        self._shapes: dict[tuple[int, int, str | None, bool], Spans] = {}

    def find(
        self,
        texts: Sequence[str],
        prose: Sequence[bool],
        claimed: str | None,
        own: Sequence[bool] | None = None,
    ) -> list[Spans]:
        """The spans of each of ``texts``; NER reads those that are ``prose``.

        What is found in a text depends on nothing but the text: the same in every batch and every
        process, in study and in mask.

        Args:
            claimed: the entity type that the column's name claims, or None.
            own: whether Atlas's patterns look at each of them (see
                :class:`atlas.pii.screen.Screened`); None: at all.

        Raises:
            TerminalError: a recognizer raised.
        """
        keys = [
            (hash(text), len(text), claimed, reads, own is None or own[index])
            for index, (text, reads) in enumerate(zip(texts, prose, strict=True))
        ]
        missing = [index for index, key in enumerate(keys) if key not in self._known]
        fresh: dict[int, Spans] = {}
        for start in range(0, len(missing), _CHUNK):
            chunk = missing[start : start + _CHUNK]
            with self._engine.zone():
                fresh.update(self._search(texts, prose, claimed, own, chunk))
        found = [
            fresh[index] if index in fresh else self._known[key] for index, key in enumerate(keys)
        ]
        self._remember({keys[index]: spans for index, spans in fresh.items()})
        return found

    def _search(
        self,
        texts: Sequence[str],
        prose: Sequence[bool],
        claimed: str | None,
        own: Sequence[bool] | None,
        indices: Sequence[int],
    ) -> dict[int, Spans]:
        """The spans of the texts at ``indices``."""
        found = {
            index: self._patterned(texts[index], claimed, own=own is None or own[index])
            for index in indices
        }
        asked: list[_Asked] = []
        folds: dict[int, Folded] = {}
        said: dict[int, list[Span]] = {index: [] for index in indices}
        for index in indices:
            if not prose[index]:
                continue
            # As the text reads: a name may stand between escapes.
            if (reads := fold(texts[index])) is not None:
                folds[index] = reads
            # In pieces: what is done with the words of one grows with their number squared.
            for offset, text in pieces(texts[index] if reads is None else reads.text):
                words = people.words(text)
                tongue = people.languages(words)
                persons = people.people(text, words, tongue) + introduced(text, words, tongue)
                said[index] += [
                    Span(
                        person.start + offset, person.end + offset, "PERSON", person.score, "words"
                    )
                    for person in persons
                ]
                # A model that does not know the language takes its nouns for names.
                if tongue & self._engine.tongue:
                    near = [*found[index], *said[index]]
                    telling = _telling(text, words, persons, near)
                    asked.append(_Asked(index, offset, text, words, tongue, telling))
        for each, results in self._read(asked):
            said[each.place] += [
                span._replace(start=span.start + each.offset, end=span.end + each.offset)
                for span in _named(each.text, each.words, results, each.tongue)
            ]
        for index, spans in said.items():
            found[index] += spans if index not in folds else _unfolded(spans, folds[index])
        return {index: _settle(spans, texts[index]) for index, spans in found.items()}

    def _read(self, asked: Sequence[_Asked]) -> Iterator[tuple[_Asked, list[RecognizerResult]]]:
        """What the model says of the sentences with words that ask for it."""
        jobs: dict[str, list[tuple[_Asked, int]]] = {}
        for each in asked:
            for start, end in _sentences(each.text, each.telling):
                jobs.setdefault(each.text[start:end], []).append((each, start))
        for places, results in zip(
            jobs.values(), self._engine.read(list(jobs)) if jobs else [], strict=True
        ):
            for each, start in places:
                moved = [
                    RecognizerResult(it.entity_type, it.start + start, it.end + start, it.score)
                    for it in results
                ]
                yield each, moved

    def _patterned(self, text: str, claimed: str | None, *, own: bool) -> list[Span]:
        """The spans of the patterns, remembered apart: a column is sampled before it is read."""
        key = (hash(text), len(text), claimed, own)
        known = self._shapes.get(key)
        if known is None:
            if len(self._shapes) > _SAMPLED:
                self._shapes.clear()
            known = self._shapes[key] = tuple(self._patterns(text, claimed, own=own))
        return list(known)

    def _remember(self, fresh: dict[tuple[int, int, str | None, bool, bool], Spans]) -> None:
        if len(self._known) + len(fresh) > _CACHED:
            for key in list(self._known)[: _CACHED // 2]:
                del self._known[key]
        if len(fresh) <= _CACHED // 2:
            self._known.update(fresh)

    def _patterns(self, text: str, claimed: str | None, *, own: bool) -> list[Span]:
        """What patterns find in ``text`` as it reads, where it is written."""
        direct = self._asked(text) if self.theirs is not None else []
        if own:
            direct += [
                Span(start, end, entity, 0.7, "pattern") for start, end, entity in parameters(text)
            ]
        folded = fold(text)
        if folded is None:
            return direct + self._shaped(text, claimed) if own else direct
        found = self._shaped(folded.text, claimed) if own else []
        if self.theirs is not None:
            found += self._asked(folded.text)
        return direct + _unfolded(found, folded)

    def _asked(self, text: str) -> list[Span]:
        """What the user's recognizers find in ``text``, if its score and the words around it are
        enough."""
        results = self._engine.asked(text)
        unsure = [result for result in results if result.score < self._threshold]
        spans = [_theirs(result, 0) for result in results if result.score >= self._threshold]
        for start, end, group in _windows(text, unsure):
            raised = self._engine.supported(text[start:end], group)
            spans += [_theirs(it, start) for it in raised if it.score >= self._threshold]
        return spans

    def _shaped(self, text: str, claimed: str | None) -> list[Span]:
        windows: dict[str, list[tuple[int, int]]] = {}
        whole = len(text) <= _WHOLE
        for entity, match in triggers(text, claimed, most=1 if whole else None):
            if whole:
                windows[entity] = [(0, len(text))]
                continue
            around = _window(text, match.start(), match.end())
            windows.setdefault(entity, []).append(around)
        found = [
            Span(start, end, entity, 0.8, "checksum" if checked else "pattern")
            for start, end, entity, checked in self.identifiers.find(text, claimed)
        ]
        found += [Span(*place, "DATE_OF_BIRTH", 0.7, "pattern") for place in births(text)]
        found += [Span(*place, "PERSON", 0.7, "pattern") for place in written(text)]
        for entity, places in windows.items():
            for start, end in _merged(places):
                found.extend(self._window_spans(entity, text[start:end], start, claimed))
        return found

    def _window_spans(self, entity: str, text: str, offset: int, claimed: str | None) -> list[Span]:
        proposed = self._engine.match(entity, text, claimed=entity == claimed)
        spans: list[Span] = []
        unsure: list[RecognizerResult] = []
        for result in proposed:
            if result.entity_type == "EMAIL_ADDRESS":
                result.start += _in_url(text[result.start : result.end], text[: result.start])
            if _stands(result, text, supported=entity == claimed):
                spans.append(_span(result, offset))
            else:
                unsure.append(result)
        if unsure:
            for result in self._engine.supported(text, unsure):
                why = result.analysis_explanation
                raised = why is not None and bool(why.supportive_context_word)
                if raised and _stands(result, text, supported=True):
                    spans.append(_span(result, offset))
        return spans


def _unfolded(spans: Sequence[Span], folded: Folded) -> list[Span]:
    """Spans of a text as it reads, where they are written."""
    return [
        Span(*folded.original(span.start, span.end), span.entity, span.score, span.kind)
        for span in spans
    ]


def _window(text: str, start: int, end: int) -> tuple[int, int]:
    """The surroundings of a place in a long text, cut at white space so that no word is halved."""
    low = max(0, start - _AROUND)
    high = min(len(text), end + _AROUND)
    # A run without any space around the place (an address, a token) belongs to it, up to a bound.
    while low > 0 and not text[low - 1].isspace() and start - low < 4 * _AROUND:
        low -= 1
    while high < len(text) and not text[high].isspace() and high - end < 4 * _AROUND:
        high += 1
    return low, high


def _windows(
    text: str, results: Sequence[RecognizerResult]
) -> Iterator[tuple[int, int, list[RecognizerResult]]]:
    """The surroundings of ``results``, start and end, and what is in them, placed in them."""
    if len(text) <= _WHOLE:
        if results:
            yield 0, len(text), list(results)
        return
    for result in results:
        start, end = _window(text, result.start, result.end)
        result.start, result.end = result.start - start, result.end - start
        yield start, end, [result]


def _theirs(result: RecognizerResult, offset: int) -> Span:
    name = result.recognition_metadata[RecognizerResult.RECOGNIZER_NAME_KEY]
    return Span(
        result.start + offset,
        result.end + offset,
        result.entity_type,
        float(result.score),
        f"recognizer {name}",
    )


def _merged(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``places`` in order, those that touch as one: several expressions of an entity type look for
    it, one after the other. Up to a length: what is done with the findings of one grows with their
    number squared."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1] and end - merged[-1][0] <= _LONGEST:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _span(result: RecognizerResult, offset: int) -> Span:
    kind = "checksum" if result.entity_type in _CHECKED else "pattern"
    score = min(max(result.score, _STANDING), 1.0)
    return Span(result.start + offset, result.end + offset, result.entity_type, score, kind)


_URL = re.compile(
    r"(?:.*[?&](?=[\w.\-\[\]]+=)|/(?:.*[/?&])?|(?P<first>[\w.\-]+)[/?](?:.*[/?&])?)"
    r"(?:[\w.\-\[\]]*=)?(?=[^/?&@]+@)"
)


def _in_url(address: str, before: str) -> int:
    """How much before an e-mail address is of a URL that it stands in: a path, with its host or
    without, or a parameter's name. ("/" and "&" can also be of the address.)"""
    found = _URL.match(address)
    if found is None:
        return 0
    first = found["first"]
    return found.end() if first is None or before.endswith("/") or public(first) else 0


# What follows, or goes on, is a piece of a longer code.
_INSIDE = re.compile(r"(?:[-.]|\w_)\Z")
_GOES_ON = re.compile(r"[-._]\w")
_AS_ON_CARDS = re.compile(
    r"\d{4}(?P<mark>[-. \t\u00a0]+)\d{4}(?P=mark)\d{4}(?P=mark)\d{4}|"
    r"3\d{3}(?P<other>[-. \t\u00a0]+)\d{6}(?P=other)\d{5}"
)


def _stands(result: RecognizerResult, text: str, *, supported: bool) -> bool:
    """Whether a proposal of a pattern recognizer is taken.

    ``supported``: the column's name or the words before speak for this entity type.
    """
    found = text[result.start : result.end]
    before, after = text[: result.start], text[result.end :]
    match result.entity_type:
        case "PHONE_NUMBER":
            sure = supported or result.score >= 0.4
            why = result.analysis_explanation
            if why is not None and why.pattern_name == ANNOUNCED:
                if not 9 <= sum(map(str.isdigit, found)) <= 12 or of_a_thing(before):
                    return False
                supported = True
            return sure and _phone_stands(found, before, after, supported=supported)
        case "CREDIT_CARD":
            digits = {char for char in found if char.isdigit()}
            if len(digits) < 2 or _INSIDE.search(before) or _GOES_ON.match(after):
                return False
            # Of a brand, by its number, and not said to be another thing's number; in the groups
            # that cards have it is one all the same.
            grouped = _AS_ON_CARDS.fullmatch(found) is not None
            return supported or (result.score > 0.5 and (grouped or not of_a_thing(before)))
        case "IBAN_CODE":
            return _INSIDE.search(before) is None
        case "CRYPTO":
            return supported or result.score >= 0.5
        case "US_SSN":
            return supported or (
                found[3:4] == "-"
                and before[-1:] not in ("-", "+", "/")
                and after[:1] not in ("-", "/")
            )
        case "IP_ADDRESS":
            if before[-1:] == "." or re.match(r"\.\d", after):
                return False
            return ip_personal(found, before, supported=supported)
        case _:
            return True


_DATE_OR_IP = re.compile(
    r"(?:19|20)\d{2}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d{2}|"
    r"\d{1,3}(?:\.\d{1,3}){3}\Z"
)


_ZIP_PLUS_4 = re.compile(r"\d{5}-\d{4}")
_PARAMETER = re.compile(r"(?i)(?:phone|tel|telefon\w{0,2}|mobile?|cell|msisdn|fax|handy)=\Z")
_STATE = re.compile(r"\b[A-Z]{2} \Z")


def _phone_stands(found: str, before: str, after: str, *, supported: bool) -> bool:
    digits = sum(map(str.isdigit, found))
    if _DATE_OR_IP.match(found) or not 7 <= digits <= 21:
        return False
    if _ZIP_PLUS_4.fullmatch(found) and (not supported or _STATE.search(before)):
        return False
    attached = re.search(r"[\w./#:@=-]\Z", before) is not None and not before.endswith(
        ("Tel:", "tel:", "Phone:", "phone:", ". ")
    )
    attached = attached and _PARAMETER.search(before) is None
    if attached or re.match(r"[\w@]|[-./:]\d", after):
        return False
    if found.startswith(("+", "00")) or "(" in found or supported:
        return True
    groups = re.findall(r"\d+", found)
    if digits == 8 and re.search(r"\d[-.]\d", found):
        return False  # a date, however it is mistyped
    if len(groups) < 3 or set(map(len, groups)) == {4}:
        return False
    pairs = all(len(group) <= 2 for group in groups)
    return not pairs or (groups[0].startswith("0") and len(groups) == 5)


def _named(
    text: str, words: Sequence[people.Word], results: Sequence[RecognizerResult], tongue: int
) -> list[Span]:
    """NER's persons and places, trimmed to what a name can be, if their words vouch for them."""
    spans: list[Span] = []
    for result in results:
        start, end = result.start, result.end
        line = text[start:end].find("\n")
        if line > 0:
            end = start + line
        if any(char.isdigit() or char in "@/_<>{}=" for char in text[start:end]):
            continue
        place = result.entity_type != "PERSON"
        vouched = people.vouched(text, words, start, end, tongue, place=place)
        if vouched is not None:
            spans.append(Span(*vouched, result.entity_type, float(result.score), "ner"))
    return spans


_DWELLS = re.compile(
    r"(?i)\b(?:liv(?:e|es|ed|ing)\s(?:in|at|near)|reside[sd]?\s|residing|born\s(?:in|at)|grew\sup|"
    r"(?:i'?m|am|comes?|came|is|are|originally|moved(?:\s\w+)?)\sfrom|moved\sto\s(?!the\b)|"
    r"(?:my|his|her|their|home|billing|mailing)\saddress|home\s?town)\b"
)


def _settle(spans: list[Span], text: str) -> Spans:
    """Spans without overlap, in order: what is surer keeps its whole, the other what is left.

    A place that NER found stands only beside somebody: in a text without a person, an address or
    a number, nor a word on where somebody dwells, a city is no personal data.
    """
    if not spans:
        return ()
    if not any(span.entity in _ABOUT_SOMEBODY for span in spans) and not _DWELLS.search(text):
        spans = [span for span in spans if not (span.entity == "LOCATION" and span.kind == "ner")]
    # An entity type that is not Atlas's is what a user looks for by a recognizer of their own.
    ordered = sorted(
        spans, key=lambda span: (_RANK.get(span.entity, -1), -(span.end - span.start), span.start)
    )
    kept: list[Span] = []  # in order of place, as none overlap
    for span in ordered:
        first = bisect_right(kept, span.start, key=_start)
        first -= first > 0 and kept[first - 1].end > span.start
        last = bisect_left(kept, span.end, lo=first, key=_start)
        kept[first:last] = _beside(span, kept[first:last])
    return tuple(kept)


_start = attrgetter("start")


def _beside(span: Span, others: Sequence[Span]) -> list[Span]:
    """``others``, which all overlap ``span``, and between them what they leave of it."""
    if not others:
        return [span]
    merged: list[Span] = []
    at = span.start
    for other in others:
        if other.start - at > 1:
            merged.append(span._replace(start=at, end=other.start))
        merged.append(other)
        at = other.end
    if span.end - at > 1:
        merged.append(span._replace(start=at))
    return merged
