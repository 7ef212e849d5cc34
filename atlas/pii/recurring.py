"""Single words, taken for names, that recur all over a column.

Jenkins builds, Stella is a lamp and Florence a warehouse: a word that stands in many texts is of
the column's vocabulary. Nothing is lost of those who are named in full, or addressed.

Whether a word recurs is a matter of all rows, which no batch and no worker sees: a study counts
the words by keyed digest, the counts of its parts add up, the verdict keeps those that recur, and
every mask goes by it. So what is found in a text depends on neither its neighbours nor on what a
process has read before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from hashlib import blake2b

from atlas.pii.spans import Span, Spans

_OFTEN = 8
_OFTEN_SHARE = 0.002
_KEPT = 1_000


class Digests:
    """Digests of words under a key of one installation: who reads evidence or a verdict can
    neither see the words nor try names on them."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret, person=b"recurring words").digest()

    def of(self, word: str) -> str:
        """The digest of ``word`` as it is written, 16 hexadecimal digits."""
        return blake2b(word.encode(errors="replace"), key=self._key, digest_size=8).hexdigest()

    def count(self, text: str, spans: Spans, words: Counter[str], only: Counter[str]) -> None:
        """Count the unsure words of one text into ``words`` (digest), and into ``only`` ("ENTITY
        digest…") what there is of an entity type, if it is unsure words and nothing else."""
        unsure: dict[str, set[str]] = {}
        for span in spans:
            if is_unsure(text, span):
                unsure.setdefault(span.entity, set()).add(self.of(text[span.start : span.end]))
        if not unsure:
            return
        words.update(set().union(*unsure.values()))
        sure = {span.entity for span in spans if not is_unsure(text, span)}
        for entity in unsure.keys() - sure:
            only[" ".join((entity, *sorted(unsure[entity])))] += 1

    def without(self, text: str, spans: Spans, recurring: Collection[str]) -> Spans:
        """``spans`` without the unsure words whose digests are ``recurring``."""
        if not recurring:
            return spans
        return tuple(
            span
            for span in spans
            if not (is_unsure(text, span) and self.of(text[span.start : span.end]) in recurring)
        )


def is_unsure(text: str, span: Span) -> bool:
    """Whether a span is a single word that could as well be a thing's name."""
    return (
        (span.kind == "ner" or (span.kind == "words" and span.score < 0.7))
        and " " not in text[span.start : span.end]
        and span.entity in ("PERSON", "LOCATION")
    )


def trim(counts: Counter[str]) -> None:
    """Keep the most frequent, a bounded number: what recurs all over a column is among them."""
    if len(counts) <= _KEPT:
        return
    rare = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[_KEPT:]
    for key, _ in rare:
        del counts[key]


def recurring(words: Counter[str], texts: int) -> frozenset[str]:
    """The digests of the words that stand in many of that many texts."""
    most = max(_OFTEN, _OFTEN_SHARE * texts)
    return frozenset(digest for digest, count in words.items() if count >= most)


def explained(only: Counter[str], entity: str, recurring: Collection[str]) -> int:
    """In how many texts all there is of ``entity`` is ``recurring`` words."""
    return sum(count for key, count in only.items() if _all_of(key.split(" "), entity, recurring))


def _all_of(key: Iterable[str], entity: str, recurring: Collection[str]) -> bool:
    named, *digests = key
    return named == entity and all(digest in recurring for digest in digests)
