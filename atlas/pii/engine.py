"""Presidio's engine, loaded once per process and kept off the network.

The parts are Presidio's: a registry of recognizers, those of the user among them, an NLP engine,
the context enhancer, and the AnalyzerEngine that holds them. They are driven from here and not by
``AnalyzerEngine.analyze``, which runs every recognizer on every text.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, cast

from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts

from atlas.errors import TerminalError
from atlas.pii.lexicon import LANGUAGES
from atlas.pii.nlp import Nlp, load
from atlas.pii.patterns import digits_in, phone_form, phone_words
from atlas.pii.recognizers import PlannedPhoneRecognizer, recognizers
from atlas.pii.theirs import Theirs, checked

_NER_CHARS = 2_000
_OVERLAP = 100
_BATCH = 128
_WORD = re.compile(r"\w+")


class _Silence(logging.Filter):
    """Lets nothing through, for Presidio quotes texts in its messages, even in errors.

    When a pattern runs out of time, Presidio only warns and goes on without it. Here that is an
    error: text that was not searched must not pass for clean.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if "timed out" in str(record.msg):
            raise TimeoutError("a pattern ran out of time")
        return False


def _quiet() -> None:
    """Keep third parties from logging text."""
    log = logging.getLogger("presidio-analyzer")
    log.setLevel(logging.WARNING)
    if not any(isinstance(each, _Silence) for each in log.filters):
        log.addFilter(_Silence())
    for name in ("decision_process", "spacy", "tldextract", "phonenumbers"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Engine:
    """Recognizers and NER for one NLP engine, language and set of telephone regions.

    Attributes:
        theirs: the recognizers of the user.
        fingerprint: of all that decides what is found; equal wherever it is equal.
    """

    def __init__(self, nlp: Nlp, language: str, regions: tuple[str, ...], theirs: Theirs) -> None:
        self.language = language
        # The model's language as a set of people's languages; of one unknown to them it reads all.
        self.tongue = (
            1 << LANGUAGES.index(language) if language in LANGUAGES else (1 << len(LANGUAGES)) - 1
        )
        self._nlp = nlp
        self.theirs = theirs
        told = (nlp.fingerprint, language, regions, theirs.fingerprint)
        self.fingerprint = hashlib.sha256(repr(told).encode()).hexdigest()
        own = recognizers(language, regions)
        registry = RecognizerRegistry(
            recognizers=own + theirs.recognizers, supported_languages=[language]
        )
        self.analyzer = AnalyzerEngine(
            registry=registry,
            nlp_engine=nlp.engine,
            supported_languages=[language],
            context_aware_enhancer=LemmaContextAwareEnhancer(context_matching_mode="whole_word"),
        )
        self._context = frozenset(
            word.lower() for each in registry.recognizers for word in each.context or ()
        )
        self._by_entity: dict[str, list[EntityRecognizer]] = {}
        self._ner: list[EntityRecognizer] = []
        self._all: list[EntityRecognizer] = list(registry.recognizers)
        for recognizer in own:
            if _name(recognizer) == "SpacyRecognizer":
                self._ner.append(recognizer)
                continue
            for entity in recognizer.supported_entities:
                self._by_entity.setdefault(entity, []).append(recognizer)

    def zone(self) -> AbstractContextManager[object]:
        """See :meth:`atlas.pii.nlp.Nlp.zone`."""
        return self._nlp.zone()

    def asked(self, text: str) -> list[RecognizerResult]:
        """What the recognizers of the user find in ``text``, whatever its score.

        Raises:
            TerminalError: one of them raised, or its answer cannot be; it is named.
        """
        cut: list[NlpArtifacts] = []

        def artifacts() -> NlpArtifacts:
            if not cut:
                cut.append(self._nlp.cut(text, self.language))
            return cut[0]

        return self.theirs.find(text, artifacts)

    def match(self, entity: str, text: str, *, claimed: bool = False) -> list[RecognizerResult]:
        """What the pattern recognizers of ``entity`` find in ``text``.

        Args:
            claimed: whether the column's name claims that entity type.

        Raises:
            TerminalError: one of them raised; its name is in the message, the text is not.
        """
        results: list[RecognizerResult] = []
        for recognizer in self._by_entity[entity]:
            # The numbering plans cost more than all else together, and what is written as a
            # number already needs no plan.
            if isinstance(recognizer, PlannedPhoneRecognizer) and not _plans_tell(
                text, results, claimed=claimed
            ):
                continue
            results.extend(self._run(recognizer, entity, text, None))
        return results

    def supported(self, text: str, results: Sequence[RecognizerResult]) -> list[RecognizerResult]:
        """``results`` of :meth:`match` or :meth:`asked` with scores raised by the words before
        them (Presidio's context enhancement).

        Raises:
            TerminalError: the enhancer raised.
        """
        if not self._context.intersection(_WORD.findall(text.lower())):
            return list(results)
        try:
            return self.analyzer.context_aware_enhancer.enhance_using_context(
                text=text,
                raw_results=list(results),
                nlp_artifacts=self._nlp.cut(text, self.language),
                recognizers=self._all,
            )
        except Exception as error:  # noqa: BLE001 - its message quotes the text
            raise TerminalError(
                f"Presidio's context enhancer failed with {type(error).__name__}: "
                "nothing was promoted; retry the run"
            ) from None

    def read(self, texts: Sequence[str]) -> list[list[RecognizerResult]]:
        """Persons and places that NER finds in each of ``texts``, in batches.

        Raises:
            TerminalError: the model or its recognizer raised.
        """
        found: list[list[RecognizerResult]] = [[] for _ in texts]
        jobs = [
            (index, offset, piece)
            for index, text in enumerate(texts)
            for offset, piece in pieces(text)
        ]
        try:
            done = self._nlp.engine.process_batch(
                [piece for _, _, piece in jobs], language=self.language, batch_size=_BATCH
            )
            # Strict: text that was not read must not pass for clean.
            for (index, offset, piece), (_, artifacts) in zip(jobs, done, strict=True):
                for recognizer in self._ner:
                    results = list(self._run(recognizer, "PERSON", piece, artifacts))
                    for result in checked(
                        self._nlp.name, results, recognizer.supported_entities, len(piece)
                    ):
                        result.start += offset
                        result.end += offset
                        found[index].append(result)
        except TerminalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it ends the stage
            raise TerminalError(
                f"{self._nlp.name} failed with {type(error).__name__}: "
                f"nothing was promoted; install another and name it in {self._nlp.setting}"
            ) from None
        return found

    def _run(
        self, recognizer: EntityRecognizer, entity: str, text: str, artifacts: NlpArtifacts | None
    ) -> Iterable[RecognizerResult]:
        entities = recognizer.supported_entities if artifacts is not None else [entity]
        try:
            results = recognizer.analyze(text, entities, cast("NlpArtifacts", artifacts))
        except Exception as error:  # noqa: BLE001
            # Whatever a recognizer raises may quote the text, so it is named by type alone and
            # its own message is not kept as the cause.
            raise TerminalError(
                f"recognizer {_name(recognizer)} failed with {type(error).__name__}: "
                "nothing was promoted; mend or remove it and retry the run"
            ) from None
        for result in results:
            metadata: dict[str, Any] = result.recognition_metadata or {}
            metadata.setdefault(RecognizerResult.RECOGNIZER_IDENTIFIER_KEY, recognizer.id)
            metadata.setdefault(RecognizerResult.RECOGNIZER_NAME_KEY, _name(recognizer))
            result.recognition_metadata = metadata
        return list(results)


_SURE = 0.4
_LEAST_DIGITS = 7


def _plans_tell(text: str, results: Sequence[RecognizerResult], *, claimed: bool) -> bool:
    """Whether numbering plans could find a telephone number in ``text`` that counts and is not in
    ``results``: digits enough for one are left, and something speaks for it."""
    if not (claimed or phone_form(text) or phone_words(text)):
        return False
    left = text
    for result in results:
        if result.score >= _SURE:
            width = result.end - result.start
            left = left[: result.start] + " " * width + left[result.end :]
    return digits_in(left) >= _LEAST_DIGITS


def _name(recognizer: Any) -> str:
    return str(recognizer.name)


def pieces(text: str) -> Iterable[tuple[int, str]]:
    """``text`` in pieces of bounded length, cut where a word ends, each with its offset.

    The next begins some words before the end of the last, so that a name across the cut stands
    whole in one of them.
    """
    start = 0
    while len(text) - start > _NER_CHARS:
        cut = max(text.rfind(mark, start + 1, start + _NER_CHARS) for mark in ("\n", " "))
        end = cut + 1 if cut > start else start + _NER_CHARS
        yield start, text[start:end]
        word = text.find(" ", end - _OVERLAP, end - 1) if end - start > 2 * _OVERLAP else -1
        start = end if word < 0 else word + 1
    yield start, text[start:]


@cache
def engine(
    model: str,
    language: str,
    regions: tuple[str, ...],
    nlp: Path | None = None,
    theirs: Path | None = None,
) -> Engine:
    """The engine of this process for these settings, loaded at the first call.

    Raises:
        UsageError: the file of the NLP engine or of the recognizers is wrong.
        TerminalError: a model, an engine or a class is not installed.
    """
    _quiet()
    return Engine(_nlp(model, language, nlp), language, regions, Theirs(theirs, language))


_nlp = cache(load)
