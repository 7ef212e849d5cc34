"""Presidio's own labelled sentences, and how spans are scored.

``data/sentences.json`` is from presidio-research (MIT, the licence is beside it): a list of
``{"text", "template_id", "spans": [{"entity_type", "start", "end"}]}``, offsets in
characters. It is split by template: ``dev`` has every other one, from the first.

The types are mapped to the vocabulary of :mod:`bench.pii.model`. GPE, streets and postal codes are
LOCATION. What is no personal data by itself (dates, ages, titles, nationalities, organizations,
domains) is neither wanted from nor counted against anyone.

- *Span F1*: a found span is right if it overlaps a true one of its type; a true one is found if a
  found one of its type overlaps it. Precision is the share of found spans that are right, recall
  the share of true ones that are found, F1 their harmonic mean; over all spans of all sentences.
- *Cell recall*: the share of true spans of which at least half the letters and digits lie in found
  spans of whatever type.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.pii.words import DATA, Half

_TYPES = {
    "PERSON": "PERSON",
    "STREET_ADDRESS": "LOCATION",
    "GPE": "LOCATION",
    "ZIP_CODE": "LOCATION",
    "PHONE_NUMBER": "PHONE",
    "EMAIL_ADDRESS": "EMAIL",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "US_SSN": "NATIONAL_ID",
    "US_DRIVER_LICENSE": "NATIONAL_ID",
}


class Span(NamedTuple):
    """``text[start:end]`` is ``entity``."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and its true spans; ``regions`` are those that are a city or country (GPE)."""

    text: str
    template: int
    spans: tuple[Span, ...]
    regions: tuple[Span, ...] = ()

    def without_regions(self) -> Sentence:
        """The sentence with neither cities nor countries wanted; :func:`outside` goes with it."""
        return replace(self, spans=tuple(one for one in self.spans if one not in self.regions))


@dataclass(frozen=True, slots=True)
class Score:
    """Shares, 0 to 1; ``covered`` is the cell recall."""

    precision: float
    recall: float
    f1: float
    covered: float


def load(half: Half) -> list[Sentence]:
    """The half's sentences, each text once."""
    found: dict[str, Sentence] = {}
    given = json.loads((DATA / "sentences.json").read_text(encoding="utf-8"))
    templates = sorted({one["template_id"] for one in given})[half == "held" :: 2]
    for one in given:
        if one["template_id"] in templates:
            spans, regions = list[Span](), list[Span]()
            for span in one["spans"]:
                if known := _TYPES.get(span["entity_type"]):
                    spans.append(Span(span["start"], span["end"], known))
                    regions += spans[-1:] if span["entity_type"] == "GPE" else []
            sentence = Sentence(one["text"], one["template_id"], tuple(spans), tuple(regions))
            found.setdefault(sentence.text, sentence)
    return list(found.values())


def score(
    sentences: Sequence[Sentence], found: Sequence[Sequence[Span]], entity: str | None = None
) -> Score:
    """Score ``found``, the spans for each sentence; of one ``entity`` only, if given."""
    right = claimed = recalled = wanted = covered = 0
    for sentence, spans in zip(sentences, found, strict=True):
        true = [span for span in sentence.spans if entity in (None, span.entity)]
        ours = [span for span in spans if entity in (None, span.entity)]
        claimed += len(ours)
        wanted += len(true)
        right += sum(any(_meet(span, other) for other in sentence.spans) for span in ours)
        recalled += sum(any(_meet(span, other) for other in spans) for span in true)
        covered += sum(_covered(sentence.text, span, spans) for span in true)
    precision = right / claimed if claimed else 1.0
    recall = recalled / wanted if wanted else 1.0
    both = precision + recall
    f1 = 2 * precision * recall / both if both else 0.0
    return Score(precision, recall, f1, covered / wanted if wanted else 1.0)


def outside(sentences: Sequence[Sentence], found: Sequence[Sequence[Span]]) -> list[list[Span]]:
    """``found`` without what overlaps a city or country."""
    return [
        [span for span in spans if not any(_overlap(span, region) for region in sentence.regions)]
        for sentence, spans in zip(sentences, found, strict=True)
    ]


def _meet(one: Span, other: Span) -> bool:
    return one.entity == other.entity and _overlap(one, other)


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _covered(text: str, true: Span, found: Sequence[Span]) -> bool:
    places = [at for at in range(true.start, true.end) if text[at].isalnum()]
    hidden = sum(any(span.start <= at < span.end for span in found) for at in places)
    return 2 * hidden >= len(places)
