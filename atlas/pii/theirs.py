"""Recognizers that users bring, made and run: their patterns in linear time, their classes checked.

Both are Presidio recognizers and stand in the registry beside Atlas's own. What one of them raises,
or answers that cannot be, ends the stage and names it; a message of its own may quote the text and
is not repeated.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from presidio_analyzer import (
    AnalysisExplanation,
    EntityRecognizer,
    Pattern,
    PatternRecognizer,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NlpArtifacts
from presidio_analyzer.recognizer_registry.recognizers_loader_utils import RecognizerListLoader

from atlas.errors import TerminalError, UsageError
from atlas.pii.declared import Declared, Searched, compiled, declared

Artifacts = Callable[[], NlpArtifacts]
"""A text cut into words, made when it is asked for."""

# RE2's \w, \d, \s and \b know ASCII alone, and a text may read otherwise than it is written.
_READS_OTHERWISE = r"[^\x00-\x7F]|&[#A-Za-z]|%[0-9A-Fa-f]{2}"


class _Plain(dict[int, str]):
    """Each letter, digit and space of other alphabets as one of ASCII, one for one."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if char.isascii():
            plain = char
        elif char.isspace():
            plain = " "
        elif char.isdecimal():
            plain = str(unicodedata.decimal(char))
        elif char.isalnum():
            base = unicodedata.normalize("NFKD", char)[0]
            plain = base if base.isascii() and base.isalnum() else "x"
        else:
            plain = char
        self[code] = plain
        return plain


_PLAIN = _Plain()


class LinearRecognizer(PatternRecognizer):
    """A user's patterns and lists of words, searched by RE2.

    A text with letters that are not ASCII is searched twice, as it is and with plain letters in
    their place: so ``\\w`` and ``\\b`` are right in all alphabets, and what is found is at most
    more than Presidio's engine would find.
    """

    def __init__(self, given: Declared, language: str) -> None:
        """Make the expressions.

        Raises:
            UsageError: one of them cannot be had in linear time. ValueError: one is none to
            Presidio.
        """
        self._whose = given.name
        self._parts = [(each, compiled(each.linear, given.name)) for each in given.searched]
        patterns = [Pattern(it.name, it.given, it.score) for it in given.searched]
        super().__init__(
            supported_entity=given.entities[0],
            name=given.name,
            supported_language=language,
            patterns=patterns,
            context=list(given.context),
        )

    def analyze(
        self,
        text: str,
        entities: list[str],
        nlp_artifacts: NlpArtifacts | None = None,
        regex_flags: int | None = None,
    ) -> list[RecognizerResult]:
        """What the patterns find in ``text``."""
        plain = text if text.isascii() else text.translate(_PLAIN)
        found: dict[tuple[int, int], Searched] = {}
        for part, expression in self._parts:
            if part.words:
                spans = set(_words(expression, text))
            else:
                spans = {it.span() for each in {text, plain} for it in expression.finditer(each)}
            for span in spans:
                best = found.get(span)
                if span[0] < span[1] and (best is None or best.score < part.score):
                    found[span] = part
        return [
            RecognizerResult(
                self.supported_entities[0],
                start,
                end,
                part.score,
                AnalysisExplanation(self._whose, part.score, part.name, part.given),
            )
            for (start, end), part in found.items()
        ]


def _words(expression: Any, text: str) -> Iterator[tuple[int, int]]:
    """Where the words of a list stand as words of their own, in whatever alphabet."""
    at = 0
    while (found := expression.search(text, at)) is not None:
        start, end = found.span(1)
        inside = _of_a_word(text[start - 1 : start]) or _of_a_word(text[end : end + 1])
        if not inside:
            yield start, end
        at = start + 1 if inside else end


def _of_a_word(char: str) -> bool:
    return char.isalnum() or char == "_"


class Theirs:
    """The recognizers of the user in one process.

    Attributes:
        recognizers: as they stand in the registry.
        fingerprint: of what they are made of, file and modules; equal wherever they are equal.
    """

    def __init__(self, path: Path | None, language: str) -> None:
        """Make them.

        Raises:
            UsageError: the file is wrong. TerminalError: a class is not there, or cannot be made.
        """
        self._declared = declared(path)
        self.recognizers = [_made(each, language) for each in self._declared]
        self._screens = [part.linear for each in self._declared for part in each.searched]
        self._every = any(each.class_name for each in self._declared)
        for each in self._declared:
            for part in each.searched:
                _screenable(part, each.name)
        self.fingerprint = _fingerprint(self._declared, self.recognizers)

    def __bool__(self) -> bool:
        return bool(self.recognizers)

    def screen(self, values: pa.Array) -> pa.Array:
        """Which of ``values`` (text, without nulls) any of them has to see."""
        if self._every or not self.recognizers:
            return pa.array([self._every] * len(values), pa.bool_())
        look = pc.match_substring_regex(values, _READS_OTHERWISE)
        for expression in self._screens:
            look = pc.or_(look, pc.match_substring_regex(values, expression))
        return look

    def find(self, text: str, artifacts: Artifacts) -> list[RecognizerResult]:
        """What all of them find in ``text``, whatever its score.

        Raises:
            TerminalError: one of them raised, or its answer cannot be; it is named.
        """
        found: list[RecognizerResult] = []
        for each, recognizer in zip(self._declared, self.recognizers, strict=True):
            # Presidio's patterns do not look at the words.
            needs = type(recognizer).analyze not in (
                PatternRecognizer.analyze,
                LinearRecognizer.analyze,
            )
            try:
                results = recognizer.analyze(
                    text, list(each.entities), cast("NlpArtifacts", artifacts() if needs else None)
                )
            except Exception as error:  # noqa: BLE001 - its message may quote the text
                raise TerminalError(
                    f"recognizer {each.name} failed with {type(error).__name__}: "
                    "nothing was promoted; mend or remove it and retry the run"
                ) from None
            own = checked(f"recognizer {each.name}", results, each.entities, len(text))
            for result in own:
                _signed(result, recognizer, each.name)
            found += own
        return found


def checked(
    who: str, results: object, entities: Sequence[str], length: int
) -> list[RecognizerResult]:
    """The answer of a recognizer to a text of ``length`` characters, if it can be one.

    Raises:
        TerminalError: it cannot be; the message says why and holds nothing of the text.
    """
    why = _wrong(results, entities, length)
    if why is not None:
        raise TerminalError(f"{who} {why}: nothing was promoted; mend or remove it, retry the run")
    return list(cast("list[RecognizerResult]", results))


def _wrong(results: object, entities: Sequence[str], length: int) -> str | None:
    if not isinstance(results, list | tuple):
        return f"answered with a {type(results).__name__} and not with a list of results"
    for each in results:
        if not isinstance(each, RecognizerResult):
            return f"answered with a {type(each).__name__} among its results"
        if each.entity_type not in entities:
            return f"found an entity type that is none of its own, {', '.join(entities)}"
        if type(each.start) is not int or type(each.end) is not int:
            return "found a span whose ends are no whole numbers"
        if not 0 <= each.start < each.end <= length:
            return "found a span that is not in the text"
        number = isinstance(each.score, int | float) and not isinstance(each.score, bool)
        if not number or not 0 <= each.score <= 1:
            return "found something with a score that is no number from 0 to 1"
    return None


def _signed(result: RecognizerResult, recognizer: EntityRecognizer, name: str) -> None:
    """Say whose it is, for Presidio's context enhancer."""
    result.recognition_metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: name,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
    }
    explained: Any = result.analysis_explanation  # declared as if it were always there
    if explained is None:
        result.analysis_explanation = AnalysisExplanation(name, result.score)


def _screenable(part: Searched, name: str) -> None:
    """See that the RE2 that screens whole columns takes what the other RE2 takes."""
    try:
        pc.match_substring_regex(pa.array([""], pa.string()), part.linear)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"setting ATLAS_PII_RECOGNIZERS: recognizer {name}: pattern {part.name} is refused: "
            "columns cannot be screened by it; write it in simpler words"
        ) from error


def _made(given: Declared, language: str) -> EntityRecognizer:
    if given.class_name is None:
        try:
            return LinearRecognizer(given, language)
        except ValueError as error:
            raise UsageError(
                f"setting ATLAS_PII_RECOGNIZERS: recognizer {given.name}: {error}"
            ) from error
    made = imported(given.class_name, EntityRecognizer, f"recognizer {given.name}")
    offered = {
        "name": given.name,
        "supported_language": given.language or language,
        "supported_entities": list(given.entities),
        "supported_entity": given.entities[0],
        "context": list(given.context) or None,
    }
    takes = inspect.signature(made.__init__).parameters
    wanted = {key: value for key, value in offered.items() if key in takes}
    try:
        recognizer: EntityRecognizer = made(**wanted, **given.options)
        entities = set(recognizer.supported_entities)
    except Exception as error:
        # What it was made with may be secret, so the message is not repeated.
        raise TerminalError(
            f"recognizer {given.name}: {given.class_name} could not be made "
            f"({type(error).__name__}): see what it takes beside {', '.join(wanted) or 'nothing'}"
        ) from error
    if given.context:
        recognizer.context = list(given.context)
    if lacking := sorted(set(given.entities) - entities):
        raise TerminalError(
            f"recognizer {given.name}: {given.class_name} does not find {', '.join(lacking)}: "
            f"say supported_entities: [{', '.join(sorted(entities))}]"
        )
    return recognizer


def imported(path: str, kind: type[Any], who: str) -> type[Any]:
    """The class at ``path``, ``package.module.Name``; a recognizer of Presidio's by its name alone.

    Raises:
        TerminalError: there is none, or it is of another kind.
    """
    module, _, name = path.rpartition(".")
    try:
        if module:
            found: Any = getattr(importlib.import_module(module), name)
        else:
            found = RecognizerListLoader.get_existing_recognizer_cls(name)
    except Exception as error:
        raise TerminalError(
            f"{who}: {path} cannot be imported ({type(error).__name__}): install it where the "
            "workers run, or put its directory on PYTHONPATH"
        ) from error
    if inspect.isclass(found) and issubclass(found, kind):
        return found
    raise TerminalError(f"{who}: {path} is no class of Presidio's kind {kind.__name__}")


def _fingerprint(given: Sequence[Declared], made: Sequence[EntityRecognizer]) -> str:
    told = [
        (
            *(each.name, each.entities, each.context, each.language, each.class_name),
            [(it.name, it.linear, it.score) for it in each.searched],
            sorted((key, repr(value)) for key, value in each.options.items()),
            module_hash(recognizer) if each.class_name else "",
        )
        for each, recognizer in zip(given, made, strict=True)
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def module_hash(made: object) -> str:
    """A hash of the module that something's class stands in, so that two versions of it are told
    apart."""
    path = getattr(sys.modules.get(type(made).__module__), "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
