"""Recognizers and an NLP engine as users bring them, for the tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer, RecognizerResult
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

SEEN: list[str] = []
"""Texts that :class:`Badges` was shown."""


class Badges(EntityRecognizer):
    """Finds "badge" and the word after it, by the words that spaCy cuts."""

    def __init__(
        self, supported_language: str = "en", name: str = "Badges", prefix: str = "badge"
    ) -> None:
        self._prefix = prefix
        super().__init__(["BADGE"], name=name, supported_language=supported_language)

    def load(self) -> None:
        """Nothing to load."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        """The words after the prefix."""
        SEEN.append(text)
        assert entities == ["BADGE"]
        assert nlp_artifacts is not None
        words = list(nlp_artifacts.tokens)
        return [
            RecognizerResult("BADGE", word.idx, word.idx + len(word.text), 0.9)
            for before, word in pairwise(words)
            if before.text.lower() == self._prefix
        ]


class Raises(Badges):
    """Quotes the text in what it raises."""

    def analyze(self, text: str, *_: Any, **__: Any) -> list[RecognizerResult]:
        """Raise at what looks like a secret."""
        if "whisper" in text:
            raise ValueError(f"cannot read {text}")
        return []


class Nonsense(Badges):
    """Answers with ``ANSWER``."""

    ANSWER: Any = None

    def analyze(self, *_: Any, **__: Any) -> list[RecognizerResult]:
        """The nonsense."""
        return cast("list[RecognizerResult]", self.ANSWER)


class Slow(PatternRecognizer):
    """A pattern of Presidio's own kind that takes for ever."""

    def __init__(self, supported_language: str = "en") -> None:
        super().__init__("BADGE", patterns=[Pattern("slow", r"(a|aa|a.)+\d$", 0.9)], name="Slow")


class Engine(NlpEngine):
    """An NLP engine that is nothing of spaCy's: whoever is called Zyx is a person."""

    RAISES = False
    LOSES = False

    def __init__(self, models: Any, ner_model_configuration: Any = None) -> None:
        self.loaded = False

    def load(self) -> None:
        """There is nothing to load."""
        self.loaded = True

    def is_loaded(self) -> bool:
        """Whether it was loaded."""
        return self.loaded

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        """The names of one text."""
        if self.RAISES:
            raise ValueError(f"cannot read {text}")
        found = [
            SimpleNamespace(label_="PERSON", start_char=it.start(), end_char=it.end())
            for it in re.finditer(r"Zyx\w* \w+", text)
        ]
        return NlpArtifacts(cast("Any", found), cast("Any", []), [], [], self, language)

    def process_batch(
        self,
        texts: Iterable[str],
        language: str,
        batch_size: int = 1,
        n_process: int = 1,
        **_: Any,
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        """The names of many."""
        for text in list(texts)[1 if self.LOSES else 0 :]:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        """No word is."""
        return False

    def is_punct(self, word: str, language: str) -> bool:
        """No word is."""
        return False

    def get_supported_entities(self) -> list[str]:
        """Persons."""
        return ["PERSON"]

    def get_supported_languages(self) -> list[str]:
        """English."""
        return ["en"]
