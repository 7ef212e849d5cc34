"""What a scan has counted in one column, or one leaf of a nested column.

Evidence is counts by kind, and a few examples without a letter or digit: it adds up over batches
and processes, goes to JSON and back, and holds no value of a row. (Of words that may recur it holds
keyed digests.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from atlas.pii.examples import first
from atlas.pii.recurring import explained, recurring


@dataclass(slots=True)
class Evidence:
    """Counts of one leaf. "Distinct" is per batch: a value that stands in three batches counts
    three times, in every count alike, so that shares hold.

    Attributes:
        values: non-null values.
        distinct: distinct values.
        scanned: distinct values that the patterns searched (fewer than ``distinct`` only where a
            sample had already shown that the whole column is personal).
        sampled: distinct values of the sample.
        traits: sampled values by trait: ``prose``, ``name_like``, ``single``, ``full``,
            ``phone_like``, ``date_like``, ``id_like``, ``card_like``, ``number``, ``organization``
            and more; by national identifier that they are (``PL_PESEL``), or that they are written
            like (``PL_PESEL form``); days by decade (``decade 198``);
            and of those that NER read on trial (``ner_read``), the persons (``ner_person``).
        found: scanned values that hold a span of an entity type.
        whole: scanned values that are one, wholly.
        sample_found, sample_whole: the same of the sample.
        kinds: spans by "ENTITY kind".
        words: scanned values by the digest of a single word that may be a name in them.
        only: scanned values by all there is of an entity type in them, where that is such words.
        scores: best score of an entity type.
        settled: entity types that the sample showed the whole column to be.
        examples: how values of an entity type look (:mod:`atlas.pii.examples`); under "" those of
            the sample, whatever they are.
        read_all: whether NER read every value with letters, not only those of five words.
    """

    values: int = 0
    distinct: int = 0
    scanned: int = 0
    sampled: int = 0
    traits: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    sample_found: Counter[str] = field(default_factory=Counter)
    sample_whole: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    only: Counter[str] = field(default_factory=Counter)
    scores: dict[str, float] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    read_all: bool = False

    def add(self, other: Evidence) -> None:
        """Count ``other``'s values in."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for entity, score in other.scores.items():
            self.scores[entity] = max(score, self.scores.get(entity, 0.0))
        for entity, examples in other.examples.items():
            self.show(entity, examples)
        self.settled |= other.settled
        self.read_all |= other.read_all

    def show(self, entity: str, examples: Iterable[str]) -> None:
        """Add examples of how values of an entity type look."""
        self.examples[entity] = first([*self.examples.get(entity, ()), *examples])

    def to_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            **{name: getattr(self, name) for name in _NUMBERS},
            **{name: dict(getattr(self, name)) for name in _COUNTERS},
            "scores": dict(self.scores),
            "settled": sorted(self.settled),
            "examples": {entity: list(found) for entity, found in self.examples.items()},
            "read_all": self.read_all,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Evidence:
        """The evidence that :meth:`to_json` wrote."""
        evidence = cls(
            scores=dict(document["scores"]),
            settled=frozenset(document["settled"]),
            read_all=bool(document["read_all"]),
            # What another version of Atlas counted has none.
            examples={k: tuple(v) for k, v in document.get("examples", {}).items()},
        )
        for name in _NUMBERS:
            setattr(evidence, name, int(document[name]))
        for name in _COUNTERS:
            # A part that was studied by an earlier release counted no words.
            setattr(evidence, name, Counter(document.get(name, {})))
        return evidence

    def trait(self, name: str) -> float:
        """Share of the sample with a trait, 0 to 1."""
        return self.traits[name] / self.sampled if self.sampled else 0.0

    @property
    def recurring(self) -> frozenset[str]:
        """The digests of the words that stand all over the column, and so are nobody's name."""
        return recurring(self.words, self.scanned)

    def held(self, entity: str) -> int:
        """Scanned values with a span of ``entity`` that is no recurring word."""
        return self.found[entity] - explained(self.only, entity, self.recurring)

    @property
    def named(self) -> float:
        """Share of the values read on trial that NER took for a person's name, 0 to 1."""
        read = self.traits["ner_read"]
        return self.traits["ner_person"] / read if read else 0.0


_NUMBERS = ("values", "distinct", "scanned", "sampled")
_COUNTERS = ("traits", "found", "whole", "sample_found", "sample_whole", "kinds", "words", "only")
