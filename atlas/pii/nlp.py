"""The NLP engine that reads names: spaCy's unless ATLAS_PII_NLP says another, never fetched.

The file is Presidio's NLP configuration. Its engines would download a model that is missing; here
that is an error which says how to install it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from presidio_analyzer.nlp_engine import (
    NerModelConfiguration,
    NlpArtifacts,
    NlpEngine,
    NlpEngineProvider,
    SpacyNlpEngine,
    StanzaNlpEngine,
    TransformersNlpEngine,
)

from atlas.errors import TerminalError, UsageError
from atlas.pii.declared import read_yaml
from atlas.pii.installed import installed, missing
from atlas.pii.theirs import imported, module_hash

_SETTING = "setting ATLAS_PII_NLP"
_MODEL_SETTING = "ATLAS_PII_MODEL"
# Only named entities are read. (In spaCy's small models the shared tok2vec feeds the tagger and
# the parser alone; where it feeds the NER it stays.)
_UNUSED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "senter", "morphologizer")
_MAPPING = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "FAC": "LOCATION",
}


class _Spacy(SpacyNlpEngine):
    """Presidio's spaCy engine around a model that is loaded already (its own ``load`` would
    download one that is missing)."""

    def __init__(
        self, nlp: spacy.language.Language, language: str, ner: NerModelConfiguration | None
    ) -> None:
        super().__init__(
            models=[{"lang_code": language, "model_name": nlp.meta["name"]}],
            ner_model_configuration=ner
            or NerModelConfiguration(
                labels_to_ignore=[
                    label for label in nlp.pipe_labels["ner"] if label not in _MAPPING
                ],
                model_to_presidio_entity_mapping=_MAPPING,
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


class _Stanza(StanzaNlpEngine):
    """Presidio's Stanza engine, off the network."""

    def __init__(self, models: Any, ner_model_configuration: Any) -> None:
        super().__init__(models, ner_model_configuration, download_if_missing=False)


@dataclass(frozen=True, slots=True)
class Nlp:
    """What reads names, and cuts texts into words.

    Attributes:
        engine: Presidio's interface.
        words: spaCy's rules of the language; of a spaCy engine, its own model.
        name: what an error calls it.
        setting: where another one is chosen.
        fingerprint: of what it is made of; equal wherever it is equal.
    """

    engine: NlpEngine
    words: spacy.language.Language
    name: str
    setting: str
    fingerprint: str

    def zone(self) -> AbstractContextManager[object]:
        """A context in which spaCy may learn words; it forgets them at the end, so that a process
        does not grow with every text it has read. Zones do not nest."""
        # What another engine keeps of a text beyond it, nobody knows.
        return self.words.memory_zone() if isinstance(self.engine, _Spacy) else nullcontext()

    def cut(self, text: str, language: str) -> NlpArtifacts:
        """``text`` cut into words, without names: cheap, whatever the engine."""
        doc = self.words.make_doc(text)
        return NlpArtifacts(
            entities=[],
            tokens=doc,
            tokens_indices=[token.idx for token in doc],
            lemmas=[token.lower_ for token in doc],
            nlp_engine=self.engine,
            language=language,
            scores=[],
        )


def load(model: str, language: str, path: Path | None) -> Nlp:
    """The NLP engine of the file at ``path``, or spaCy with ``model`` where there is no file.

    Raises:
        UsageError: the file is wrong. TerminalError: an engine or model is not installed.
    """
    if path is None:
        nlp = _load(model, _MODEL_SETTING)
        told = f"spacy {model} {nlp.meta['version']}"
        return Nlp(
            _Spacy(nlp, language, None),
            nlp,
            f"the NER model {nlp.meta['name']}",
            _MODEL_SETTING,
            told,
        )
    document = read_yaml(path, _SETTING)
    name, models = document.get("nlp_engine_name"), document.get("models")
    if not isinstance(name, str) or not isinstance(models, list):
        raise UsageError(f"{_SETTING}: {path} must have nlp_engine_name and a list of models")
    if unknown := sorted(set(map(str, document)) - _KEYS):
        raise UsageError(
            f"{_SETTING}: {path} has unknown key {unknown[0]!r}: it is one of "
            f"{', '.join(sorted(_KEYS))}"
        )
    chosen = [
        each
        for each in models
        if isinstance(each, Mapping) and each.get("lang_code") == language and "model_name" in each
    ]
    if len(chosen) != 1:
        raise UsageError(
            f"{_SETTING}: {path} must have one model with lang_code {language} and a model_name: "
            "that is the language of ATLAS_PII_LANGUAGE"
        )
    engine = _engine(name, dict(chosen[0]), document, language)
    told = json.dumps([document, module_hash(engine)], sort_keys=True, default=str)
    words = engine.get_nlp(language) if isinstance(engine, _Spacy) else _blank(language)
    return Nlp(
        engine,
        words,
        f"NLP engine {name}",
        "ATLAS_PII_NLP",
        hashlib.sha256(told.encode()).hexdigest(),
    )


_KEYS = {"nlp_engine_name", "models", "ner_model_configuration"}


def _engine(
    name: str, model: dict[str, Any], document: Mapping[str, Any], language: str
) -> NlpEngine:
    asked = document.get("ner_model_configuration")
    try:
        ner = NerModelConfiguration.from_dict(asked) if asked else None
    except Exception as error:
        raise UsageError(
            f"{_SETTING}: ner_model_configuration is not as Presidio reads it: "
            f"{type(error).__name__}"
        ) from error
    if name == "spacy":
        return _Spacy(_load(str(model["model_name"]), "ATLAS_PII_NLP"), language, ner)
    _here(name, model["model_name"])
    try:
        if "." in name:
            made = imported(name, NlpEngine, _SETTING)
            engine: NlpEngine = made(models=[model], ner_model_configuration=ner)
            engine.load()
            return engine
        return NlpEngineProvider(
            nlp_engines=(_Stanza, TransformersNlpEngine),
            nlp_configuration={**document, "models": [model]},
        ).create_engine()
    except TerminalError:
        raise
    except Exception as error:
        how = _INSTALL.get(name, "see that its packages and models are installed")
        raise TerminalError(
            f"NLP engine {name} (ATLAS_PII_NLP) could not be loaded with model "
            f"{model['model_name']} ({type(error).__name__}): {how}; nothing is fetched by itself"
        ) from error


_INSTALL = {
    "stanza": "run `pip install 'presidio-analyzer[stanza]'` and `stanza.download(…)`",
    "transformers": "run `pip install 'presidio-analyzer[transformers]'`",
}
_PACKAGES: dict[str, Any] = {"stanza": StanzaNlpEngine, "transformers": TransformersNlpEngine}


def _here(name: str, model: Any) -> None:
    """See that what Presidio's engine would fetch is on this machine.

    Raises:
        TerminalError: it is not. UsageError: there is no such engine.
    """
    if "." not in name and name not in _PACKAGES:
        raise UsageError(
            f"{_SETTING}: there is no NLP engine {name!r}: it is one of spacy, stanza, "
            "transformers, or a class by its path: package.module.Name"
        )
    if name in _PACKAGES and not _PACKAGES[name].is_available:
        raise TerminalError(
            f"the packages of NLP engine {name} (ATLAS_PII_NLP) are not installed: {_INSTALL[name]}"
        )
    if name == "transformers":
        parts = model if isinstance(model, Mapping) else {}
        installed(str(parts.get("spacy")), "ATLAS_PII_NLP")
        if not Path(str(parts.get("transformers"))).is_dir():
            raise TerminalError(
                f"the model {parts.get('transformers')} (ATLAS_PII_NLP) is no directory on this "
                "machine: run `hf download NAME --local-dir DIRECTORY` and name the directory"
            )


def _blank(language: str) -> spacy.language.Language:
    try:
        return spacy.blank(language)
    except Exception:  # noqa: BLE001 - a language whose rules are in another package, or nowhere
        return spacy.blank("xx")


def _load(model: str, setting: str) -> spacy.language.Language:
    try:
        nlp = spacy.load(installed(model, setting), exclude=list(_UNUSED))
    except OSError as error:
        raise missing(model, setting) from error
    if "ner" not in nlp.pipe_names:
        raise TerminalError(
            f"the spaCy model {model} ({setting}) recognizes no names: "
            "name a model that has the component ner"
        )
    if "tok2vec" in nlp.pipe_names and "ner" not in _listeners(nlp):
        nlp.remove_pipe("tok2vec")
    return nlp


def _listeners(nlp: spacy.language.Language) -> list[str]:
    shared: Any = nlp.get_pipe("tok2vec")
    return list(shared.listening_components)
