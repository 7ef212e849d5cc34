"""Recognizers that users bring, as the file ATLAS_PII_RECOGNIZERS declares them: Presidio's format.

Only what is light is here, for the web and the command line ask which entity types there are. What
searches is made of it in :mod:`atlas.pii.theirs`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from atlas.errors import UsageError

_SETTING = "setting ATLAS_PII_RECOGNIZERS"
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")
# "supported_languages" says for which languages of the analyzer a recognizer is; here texts of all
# languages are searched by all.
_TOP = ("recognizers", "supported_languages", "global_regex_flags")
_EVERY = (
    "name",
    "type",
    "class_name",
    "enabled",
    "supported_language",
    "supported_languages",
    "supported_entity",
    "supported_entities",
    "context",
)
_OF_PATTERNS = ("patterns", "deny_list", "deny_list_score", "version", "country_code")
_FLAGS = {re.IGNORECASE.value: "i", re.MULTILINE.value: "m", re.DOTALL.value: "s"}
_PRESIDIO_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL


@dataclass(frozen=True, slots=True)
class Searched:
    """What a recognizer looks for with one expression.

    Attributes:
        name: the pattern's name.
        given: the expression as it was written; of a list of words: Presidio's name for it.
        linear: the same for RE2; of words, group 1 is the word and what is behind it no letter.
        score: of what it finds, 0 to 1.
        words: whether it stands for a list of words.
    """

    name: str
    given: str
    linear: str
    score: float
    words: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """One recognizer as the file has it.

    Attributes:
        entities: the entity types that it finds.
        context: words that speak for what it finds.
        language: the first that it names, or None.
        searched: what it looks for; empty: the class does.
        class_name: a class by its import path, or one of Presidio's by its name; None: no class.
        options: what the class is made with, beside what is above.
    """

    name: str
    entities: tuple[str, ...]
    context: tuple[str, ...]
    language: str | None
    searched: tuple[Searched, ...]
    class_name: str | None
    options: Mapping[str, Any]


@cache
def declared(path: Path | None) -> tuple[Declared, ...]:
    """The recognizers of the file, read once in a process; None: there are none.

    Raises:
        UsageError: the file cannot be read or something in it is wrong; the message says what.
    """
    if path is None:
        return ()
    document = read_yaml(path, _SETTING)
    _known(document, _TOP, "the file")
    flags = document.get("global_regex_flags", _PRESIDIO_FLAGS.value)
    if type(flags) is not int or flags & ~_PRESIDIO_FLAGS.value or flags < 0:
        raise UsageError(f"{_SETTING}: global_regex_flags must be a sum of 2, 8 and 16")
    letters = "".join(letter for bit, letter in _FLAGS.items() if flags & bit)
    prefix = f"(?{letters})" if letters else ""
    entries = document.get("recognizers")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{_SETTING}: {path} must have a list under recognizers")
    found: dict[str, Declared] = {}
    for place, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise UsageError(f"{_SETTING}: recognizer {place} must be a mapping with a name")
        name = entry["name"]
        if not _NAME.fullmatch(name) or name in found:
            raise UsageError(
                f"{_SETTING}: recognizer {place}: its name must be of its own, in one line of at "
                "most 80 characters"
            )
        if entry.get("enabled", True) is not False:
            found[name] = _declared(entry, f"{_SETTING}: recognizer {name}", prefix)
    return tuple(found.values())


def entity_types(path: Path | None) -> dict[str, str]:
    """The entity types of the file's recognizers, and whose each is.

    Raises:
        UsageError: as :func:`declared`.
    """
    return {
        entity: f"found by recognizer {each.name}"
        for each in declared(path)
        for entity in each.entities
    }


def read_yaml(path: Path, setting: str) -> Mapping[str, Any]:
    """The mapping that a YAML file is.

    Raises:
        UsageError: it cannot be read, or is none; the message begins with ``setting``.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{setting}: {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{setting}: {path}{where} is no YAML") from error
    if not isinstance(document, Mapping):
        raise UsageError(f"{setting}: {path} must be a mapping, as Presidio's own files are")
    return document


def _known(given: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(known)}"
            raise UsageError(f"{_SETTING}: {where} has unknown key {str(key)!r}: {hint}")


def _declared(entry: Mapping[str, Any], where: str, prefix: str) -> Declared:
    of_class = "class_name" in entry or entry.get("type") == "predefined"
    if entry.get("type", "custom") not in ("custom", "predefined"):
        raise UsageError(f"{where}: type must be custom or predefined")
    options: dict[str, Any] = {}
    if of_class:
        options = {key: value for key, value in entry.items() if key not in _EVERY}
    else:
        _known(entry, (*_EVERY, *_OF_PATTERNS), f"recognizer {entry['name']}")
    class_name = entry.get("class_name", entry["name"]) if of_class else None
    if class_name is not None and not re.fullmatch(r"[A-Za-z_][\w.]*", str(class_name)):
        raise UsageError(f"{where}: class_name must be a class by its path: package.module.Name")
    languages, context = _languages(entry, where)
    entities = _entities(entry, where)
    searched = () if of_class else _searched(entry, where, prefix)
    if not of_class and len(entities) != 1:
        raise UsageError(f"{where}: patterns are of one entity type: give each a recognizer")
    return Declared(
        name=entry["name"],
        entities=entities,
        context=context,
        language=languages[0] if languages else None,
        searched=searched,
        class_name=None if class_name is None else str(class_name),
        options=options,
    )


def _entities(entry: Mapping[str, Any], where: str) -> tuple[str, ...]:
    one, several = entry.get("supported_entity"), entry.get("supported_entities")
    if (one is None) == (several is None):
        raise UsageError(
            f"{where}: say supported_entity or supported_entities: policies go by what it finds"
        )
    entities = _texts([one] if several is None else several, f"{where}: supported_entities")
    for entity in entities:
        if not _ENTITY.fullmatch(entity):
            raise UsageError(
                f"{where}: entity type {entity[:80]!r} must be capital letters, digits and _, "
                "such as EMPLOYEE_ID"
            )
    if not entities:
        raise UsageError(f"{where}: supported_entities is empty")
    return entities


def _languages(entry: Mapping[str, Any], where: str) -> tuple[list[str], tuple[str, ...]]:
    """The languages that it names, and its context words in all of them."""
    context = list(_texts(entry.get("context") or [], f"{where}: context"))
    languages: list[str] = []
    named = entry.get("supported_languages") or []
    if not isinstance(named, list):
        raise UsageError(f"{where}: supported_languages must be a list")
    for each in [entry["supported_language"]] if entry.get("supported_language") else named:
        words = each.get("context") or [] if isinstance(each, Mapping) else []
        language = each.get("language") if isinstance(each, Mapping) else each
        languages += _texts([language], f"{where}: supported_languages")
        context += _texts(words, f"{where}: context")
    return languages, tuple(dict.fromkeys(context))


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise UsageError(f"{where} must be a list of texts")
    return tuple(value)


def _score(value: object, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= float(str(value)) <= 1:
        raise UsageError(f"{where}: score must be a number from 0 to 1")
    return float(str(value))


def _searched(entry: Mapping[str, Any], where: str, prefix: str) -> tuple[Searched, ...]:
    found: list[Searched] = []
    patterns = entry.get("patterns") or []
    if not isinstance(patterns, list):
        raise UsageError(f"{where}: patterns must be a list")
    for pattern in patterns:
        if not isinstance(pattern, Mapping) or set(pattern) != {"name", "regex", "score"}:
            raise UsageError(f"{where}: a pattern must have name, regex and score, nothing else")
        name, regex = _texts([pattern["name"], pattern["regex"]], f"{where}: name and regex")
        inside = f"{where}: pattern {name[:80]}"
        # RE2 calls the end of the text \z.
        linear = prefix + re.sub(r"\\(.)", _end_of_text, regex, flags=re.DOTALL)
        found.append(Searched(name, regex, linear, _score(pattern["score"], inside)))
    if entry.get("deny_list"):
        words = _texts(entry["deny_list"], f"{where}: deny_list")
        either = "|".join(map(_literal, sorted(words, key=len, reverse=True)))
        score = _score(entry.get("deny_list_score", 1.0), f"{where}: deny_list_score")
        linear = f"{prefix}({either})(?:\\W|\\z)"
        found.append(Searched("deny_list", "deny_list", linear, score, words=True))
    if not found:
        raise UsageError(f"{where}: it has neither patterns nor a deny_list, nor a class_name")
    for each in found:
        compiled(each.linear, f"{where}: pattern {each.name[:80]}")
    return tuple(found)


def _end_of_text(escape: re.Match[str]) -> str:
    return r"\z" if escape[1] == "Z" else escape[0]


def _literal(word: str) -> str:
    return "".join(
        char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}" for char in word
    )


def compiled(linear: str, where: str) -> Any:
    """An expression in RE2, which takes time linear in the text, whatever the expression is.

    Raises:
        UsageError: RE2 has no such thing (it looks around, or back to a group), or it is too large.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(linear, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise UsageError(
            f"{where} is refused: {reason[:200]} (expressions are searched in linear time by RE2, "
            "which neither looks around, as (?=, (?! and (?<= do, nor back, as \\1 does)"
        ) from error
