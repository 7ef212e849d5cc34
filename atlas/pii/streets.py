"""Streets with their house numbers, and the postal code and city that follow, as they are written
in the languages of Europe and America."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import yaml
from presidio_analyzer import Pattern, PatternRecognizer

_LOWER = r"[a-z\u00df-\u00ff\u0101-\u017f]"
# All that repeats has a bound, and gives nothing back where nothing behind it could begin so: what
# could be read in many ways would be tried in all of them. Longer words are of no address.
_CAP = (
    rf"[A-Z\u00c0-\u00de\u0100-\u017f](?=[\w'\u2019.]{{0,40}}?{_LOWER})[\w'\u2019.]{{0,40}}+(?!\w)"
)
_SMALL = (
    r"(?:de|la|el|los|las|del|des|du|of|der|den|die|dem|di|da|do|dos|le|les|the|y|i|e|af|av|van|von|"
    r"zum|zur|am|an|im|in|a|sur|upon|on|op|aan)"
)
_NAME = (
    rf"(?:{_SMALL}\s|(?:[dl]|dell)['\u2019]){{0,4}}{_CAP}"
    rf"(?:[ \-](?:{_SMALL}\s|[dl]['\u2019]){{0,4}}{_CAP}){{0,4}}"
)
_NUMBER = r"\d{1,5}(?:\s?[-\u2013/]\s?\d{1,4})?\s?(?:[a-zA-Z](?!\w))?"
_JOINED = (
    r"stra(?:ß|ss)e|str\.|gasse|allee|weg|platz|ring|damm|ufer|chaussee|steig|stieg|markt|graben|"
    r"vejen|vej|gaden|gade|v(?:æ|ae)nget|str(?:æ|ae)det?|all(?:é|e)en?|plads|torv|parken|bakken|"
    r"boulevard|brygge|drag(?:et)?|centret|kvarteret|marken|lunden|skoven|vang(?:en)?|"
    r"toften|h(?:ø|oe)j|terrasse|gatan|v(?:ä|a)gen|gr(?:ä|a)nd|stigen|gata|gaten|veien|vegen|"
    r"straat|laan|plein|gracht|kade|dreef|hof|steeg|katu|tie|kuja|polku"
)
_BEFORE = (
    r"calle|c/|avenida|avda\.?|av\.|plaza|paseo|camino|carrer|carretera|ronda|v(?:í|i)a|"
    r"callej(?:ó|o)n|glorieta|traves(?:í|i)a|rambla|"
    r"rue|avenue|boulevard|bd\.?|place|chemin|impasse|all(?:é|e)e|quai|route|cours|square|faubourg|"
    r"via|viale|piazza|piazzale|corso|largo|vicolo|strada|"
    r"rua|travessa|pra(?:ç|c)a|estrada|alameda|"
    r"ul\.|ulica|aleja|al\.|plac|os\."
)
_AFTER = (
    r"Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Crescent|Close|Row|Trail|Grove|Gardens|"
    r"Hill|Mews|Walk|Green|Alley|Loop|Path|Plaza|Park|View|Rise|Vale|Common|Turnpike|Rapids"
)
_BOX = r"(?:P\.?\s?O\.?\s?Box|Postfach|Apartado|Apdo\.?|Postboks|Box)\s\d{1,6}"
_DOOR = (
    rf"(?:(?:apt|apartment|unit|suite|ste|flat|floor|piso|puerta|esc|bajo|t(?:v|h)|mf)\.?\s?\w{{0,4}}|"
    rf"st\.(?:\s?(?:tv|th|mf))?|#\s?\d{{1,4}}|{_BOX}|\d{{1,2}}\s?[.\u00ba\u00aa]\s?[A-Za-z]{{0,3}}\.?)"
)
_CODE = r"(?:[A-Z]{1,2}-)?(?:\d{4,6}(?:-\d{3,4})?(?:\s?[A-Z]{2}\b)?|\d{3}\s\d{2}|\d{2}-\d{3})(?!\w)"
_UK = r"[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}\b"
_TOWN = (
    r"[A-Z\u00c0-\u00de\u0100-\u017f][\w'\u2019.]{0,40}+(?!\w)"
    rf"(?:[ \-](?:{_SMALL}\s)?[A-Z\u00c0-\u00de\u0100-\u017f(][\w'\u2019.)]{{0,40}}+(?!\w)){{0,3}}"
)
_SEP = r"[^\S\n]{0,3}+[,\n/][\s,/?]{0,6}+"
_TAIL = (
    rf"(?:(?:{_SEP}|\s)(?i:{_DOOR})){{0,3}}"
    rf"(?:(?:{_SEP}|\s){_CODE}\s++{_TOWN}"
    rf"|(?:{_SEP}|\s){_TOWN}(?:{_SEP}(?:[A-Z]{{2}}\b|{_TOWN})){{0,2}}(?:{_SEP}|\s)(?:[A-Z]{{2}}\s)?(?:{_CODE}|{_UK})"
    rf"|(?:{_SEP}|\s){_UK}"
    rf"|{_SEP}{_TOWN}(?:{_SEP}{_TOWN})?(?=[\n/]|$))?"
)
_LEAD = r"(?:\b\d{1,6}\s)?"
STREETS = {
    "street and number, one word": (
        rf"{_LEAD}\b(?:{_CAP}[ \-]){{0,2}}(?:[A-Z\u00c0-\u00de]\w{{0,40}}?(?:{_JOINED})"
        rf"|{_CAP}[ \-](?i:{_JOINED}))\s++{_NUMBER}{_TAIL}"
    ),
    "street and number": (
        rf"{_LEAD}\b(?i:{_BEFORE})\s*+{_NAME},?\s++(?:n\.?\s?[\u00ba\u00b0o]\.?\s?|num\.?\s?)?"
        rf"{_NUMBER}{_TAIL}"
    ),
    "number and street, French": (
        rf"{_LEAD}\b{_NUMBER}(?:\s?(?:bis|ter|quater))?,?\s++(?i:rue|avenue|av\.?|boulevard|bd\.?|"
        rf"place|chemin|impasse|all(?:é|e)e|quai|route|cours|square|faubourg|passage)\s++{_NAME}{_TAIL}"
    ),
    "number and street, English": (
        rf"{_LEAD}\b\d{{1,6}}[A-Za-z]?,?\s++(?:(?:N|S|E|W|NE|NW|SE|SW)\.?\s++)?"
        rf"(?:(?:{_CAP}|\d{{1,3}}(?:st|nd|rd|th))\s++){{1,4}}(?:{_AFTER})\b\.?{_TAIL}"
    ),
    "number, street, door": (
        rf"\b\d{{3,6}}\s{_TOWN}\s\d{{1,4}}(?:{_SEP}|\s)(?i:apt|suite|unit|flat)\.?\s\d{{1,4}}{_TAIL}"
    ),
    "number before code and town": (
        rf"\b{_NAME}\s{_NUMBER}(?:{_SEP}(?i:{_DOOR})){{0,2}}{_SEP}{_CODE}\s++{_TOWN}"
    ),
    "house before town and code": (
        rf"\b\d{{1,5}}[a-zA-Z]?,?\s++{_CAP}(?:\s{_CAP}){{0,3}}{_SEP}{_TOWN}(?:{_SEP}{_TOWN})?(?:{_SEP}|\s){_UK}"
    ),
    "box": rf"{_LEAD}\b(?i:{_BOX}){_TAIL}",
    "military": (
        r"\b(?:Unit|PSC|CMR)\s\d{3,5},?\sBox\s\d{3,5}\s{0,3}"
        r"[,\n/]?[\s?]{0,6}[AFD]PO\s(?:AA|AE|AP)\s\d{5}\b"
        r"|\b(?:USS|USNS|USCGC)\s[A-Z][\w' ]{2,30}\s{0,3}"
        r"[,\n/][\s?]{0,6}[AFD]PO\s(?:AA|AE|AP)\s\d{5}\b"
    ),
    "postal code, called so": (
        r"(?i:\b(?:zip(?:\s?code)?|post(?:al)?\s?code|plz|code\spostal|c(?:\u00f3|o)digo\spostal|postnr\.?|"
        rf"cap)\b\s?[:=]?\s)\K?(?:{_CODE}|{_UK})"
    ).replace(r"\K?", ""),
}
"""Regular expressions by what they are for."""

_KINDS = (
    r"str(?:a(?:ß|ss)e|aat|\.|(?:æ|ae|ä)de|ada)|gasse|allee|weg\b|platz|ring\b|damm\b|ufer\b|vej\b|gade\b|"
    r"gatan|v(?:ä|a)gen|gata\b|gaten|veien|laan\b|plein\b|gracht|katu\b|calle|c/|avenida|avda|\bav\.|"
    r"plaza|paseo|camino|carrer|carretera|ronda|\bv(?:í|i)a\b|rue\b|avenue|boulevard|\bbd\b|place\b|"
    r"chemin|impasse|all(?:é|e)|quai\b|route\b|viale|piazza|corso|largo\b|vicolo|\brua\b|travessa|pra(?:ç|c)a|"
    r"alameda|\bul\.|ulica|aleja|street|\bst\b|\bave\b|road|\brd\b|blvd|lane|\bln\b|drive|\bdr\b|court|"
    r"\bct\b|square|terrace|\bway\b|parkway|pkwy|highway|hwy|circle|crescent|close\b|\brow\b|trail|grove|"
    r"p\.?\s?o\.?\s?box|\bbox\b|\bapt\b|suite|\bunit\b|\bzip|post(?:al)?\s?code|\bplz\b|turnpike|rapids|boulevard|brygge|drag|centret|kvarteret|marken|lunden|skoven|vang|"
    r"terrasse|gaden\b|katu|\btie\b|kuja|polku|dreef|steeg|"
    r"gardens|plads|torv\b|markt\b|chaussee|steig\b|kade\b|hof\b|\bway\b|\bhill\b|v(?:æ|ae)nget|parken|bakken"
)
STREET_HINT = rf"(?i)(?:{_KINDS})"
"""RE2: the value may hold a street, if it holds a digit too."""

CODE_HINT = r"\d{4,5}\s+[A-Z]|[A-Z]\d[A-Z\d]?\s?\d[A-Z]{2}|\d{2}-\d{3}\s"
"""RE2: the value may hold a postal code and a town."""

_HINTS = yaml.safe_load(files("atlas.pii").joinpath("data/streets.yml").read_text(encoding="utf-8"))
_ENDS = tuple(_HINTS["ends"].split())
_WORDS = frozenset(_HINTS["words"].split())
_CODED = re.compile(CODE_HINT)
_DIGIT = re.compile(r"\d")
_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in STREETS.values()))


def _hinted(text: str) -> bool:
    """Whether one of the expressions could match: a cheap look."""
    if _DIGIT.search(text) is None:
        return False
    if _CODED.search(text) is not None:
        return True
    found = text.lower().split()
    if not _WORDS.isdisjoint(found):
        return True
    bare = [word.rstrip(",;:)!?") for word in found]
    if not _WORDS.isdisjoint(bare):
        return True
    bare = [word.rstrip(".") for word in bare]  # a sentence may end with the street
    return not _WORDS.isdisjoint(bare) or any(word.endswith(_ENDS) for word in bare)


def streets(text: str) -> Iterator[re.Match[str]]:
    """Each street with its number in ``text``."""
    return _ANY.finditer(text) if _hinted(text) else iter(())


def street_like(text: str) -> bool:
    """Whether ``text`` begins with a street and its number."""
    text = text.strip().title() if text.isupper() else text.strip()
    found = _ANY.match(text) if _hinted(text) else None
    return found is not None


class StreetRecognizer(PatternRecognizer):
    """A street with its house number, as it is written in many languages."""

    def __init__(self, language: str) -> None:
        super().__init__(
            supported_entity="LOCATION",
            patterns=[Pattern(name, pattern, 0.6) for name, pattern in STREETS.items()],
            context=["address", "street"],
            supported_language=language,
            global_regex_flags=0,
        )
