"""Recognizers and NLP engines that users bring: what they find, and what is refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from presidio_analyzer import RecognizerResult

from atlas.errors import AtlasError, TerminalError, UsageError
from atlas.model.personal import Operator, Scope
from atlas.model.stream import ColumnType
from atlas.pii import parse, policy
from atlas.pii.declared import declared
from atlas.pii.masker import Masker
from atlas.pii.policy import named
from atlas.pii.scanner import Scanner
from atlas.settings import Settings
from tests.pii import own
from tests.pii.tables import SECRET, column, masked, table, verdicts

Make = Callable[..., Scanner]

BADGES = {
    "name": "Badges",
    "supported_entity": "BADGE",
    "patterns": [{"name": "badge", "regex": r"\bB-\d{4}\b", "score": 0.8}],
}


def pattern(regex: str, score: float = 0.8, **more: Any) -> dict[str, Any]:
    """A recognizer of badges by one pattern."""
    return BADGES | {"patterns": [{"name": "p", "regex": regex, "score": score}]} | more


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of recognizers, each time another."""
    count = 0

    def file(*recognizers: dict[str, Any], **top: Any) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / f"recognizers{count}.yml"
        path.write_text(yaml.safe_dump({"recognizers": list(recognizers), **top}))
        return path

    return file


@pytest.fixture
def having(write: Callable[..., Path]) -> Make:
    """A scanner that has these recognizers beside Atlas's."""
    return lambda *recognizers, **top: Scanner(Settings(pii_recognizers=write(*recognizers, **top)))


def of_class(name: str, **more: Any) -> dict[str, Any]:
    """A recognizer that is a class of the tests."""
    return {
        "name": "Mine",
        "class_name": f"tests.pii.own.{name}",
        "supported_entities": ["BADGE"],
        **more,
    }


# --- what they find ------------------------------------------------------------------------------


def test_a_sparse_hit_is_found_and_masked_with_its_recognizer_named(having: Make) -> None:
    scanner = having(BADGES)
    notes = [f"note {n}" for n in range(1_000)]
    notes[777] = "took B-1234"
    [verdict] = verdicts(scanner, {"note": notes})
    assert (verdict.entity_type, verdict.scope, verdict.score) == ("BADGE", Scope.SPAN, 0.8)
    assert verdict.evidence["kinds"] == {"recognizer Badges": 1}
    out = masked(scanner, {"note": notes})["note"]
    assert [text for text in out if text not in notes] == ["took <BADGE>"]


def test_a_column_of_them_is_masked_whole(having: Make) -> None:
    data = {"code": [f"B-{n:04}" for n in range(300)]}
    [verdict] = verdicts(having(BADGES), data)
    assert (verdict.entity_type, verdict.scope) == ("BADGE", Scope.VALUE)


def test_the_policy_names_their_entity_types(
    having: Make, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    current = Settings(pii_recognizers=write(BADGES))
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["atlas.pii.policy"], "settings", lambda: current)
    how = parse({"entities": {"BADGE": "redact"}})
    data = {"note": ["left B-1234 at the door"]}
    assert masked(having(BADGES), data, how=how)["note"] == ["left  at the door"]
    assert policy("default").operator("BADGE", "note") is Operator.MASK
    with pytest.raises(UsageError, match=r"unknown entity type 'BADGES': did you mean BADGE\?"):
        parse({"entities": {"BADGES": "redact"}})


def test_a_stored_policy_outlives_its_recognizer() -> None:
    with pytest.raises(UsageError, match="unknown entity type"):
        named("old", {"entities": {"BADGE": "keep"}})
    kept = named("old", {"entities": {"BADGE": "keep"}}, stored=True)
    assert kept.of("BADGE") is Operator.KEEP


def test_nested_json_and_numbers_are_searched(having: Make) -> None:
    scanner = having(pattern(r"^7\d{5}$"))
    numbers = [str(700_000 + n) for n in range(60)]
    data = {"staff": numbers, "doc": [{"who": {"no": text}} for text in numbers]}
    found = verdicts(scanner, data, {"staff": ColumnType.BIGINT, "doc": ColumnType.JSONB})
    assert [(it.column, it.path, it.entity_type) for it in found] == [
        ("staff", "", "BADGE"),
        ("doc", "$.who.no", "BADGE"),
    ]
    out = masked(scanner, {"staff": numbers}, {"staff": ColumnType.BIGINT})
    assert out == {"staff": [None] * 60}


def test_what_only_they_look_at_is_not_taken_for_something_else(having: Make) -> None:
    finder = having(BADGES).finder
    texts = ["B-1234 of jane@example.org"]
    [alone] = finder.find(texts, [False], None, [False])
    assert [span.entity for span in alone] == ["BADGE"]
    # A value that was only theirs in a sample may be read as prose after it.
    [read] = finder.find(texts, [True], None, [True])
    assert [span.entity for span in read] == ["BADGE", "EMAIL_ADDRESS"]


@pytest.mark.parametrize(
    ("regex", "text", "left"),
    [
        (r"\b\w+-\d{4}\b", "der ünal-1234 war da", "der <BADGE> war da"),
        (r"\b\w+-\d{4}\b", "der ØÆ-1234 war da", "der <BADGE> war da"),
        (r"B-\d{4}", "the B-１２３４ of old", "the <BADGE> of old"),  # noqa: RUF001
        (r"B-\d{4}", "see&nbsp;B-12&#51;4 there", "see&nbsp;<BADGE> there"),
        (r"b-\d{4}\Z", "it is B-1234", "it is <BADGE>"),
        (r"\d*", "nothing", "nothing"),
    ],
)
def test_all_alphabets_are_searched_as_they_read(
    having: Make, regex: str, text: str, left: str
) -> None:
    assert masked(having(pattern(regex)), {"t": [text]}).get("t", [text]) == [left]


def test_words_of_a_list_stand_alone(having: Make) -> None:
    listed = {"name": "Posts", "supported_entity": "POST", "deny_list": ["Mr.", "Bøgh", "AB"]}
    texts = ["Mr. AB and bøgh, Bøgh", "ABø AB_ xAB øBøgh Bøghø", "AB AB"]
    assert masked(having(listed), {"t": texts})["t"] == [
        "<POST> <POST> and <POST>, <POST>",
        "ABø AB_ xAB øBøgh Bøghø",
        "<POST> <POST>",
    ]


def test_words_around_raise_a_score_over_the_threshold(having: Make) -> None:
    scanner = having(pattern(r"\b\d{4}\b", 0.2, context=["locker"]))
    far = "word " * 300
    texts = ["my locker is 1234", "the year 1234 was", f"{far}locker 1234 {far} and 1234"]
    assert masked(scanner, {"t": texts})["t"] == [
        "my locker is <BADGE>",
        "the year 1234 was",
        f"{far}locker <BADGE> {far} and 1234",
    ]


def test_flags_are_those_of_the_file(having: Make) -> None:
    scanner = having(BADGES, global_regex_flags=0)
    assert masked(scanner, {"t": ["a b-1234 and a B-1234"]})["t"] == ["a b-1234 and a <BADGE>"]


def test_a_class_sees_every_value(having: Make) -> None:
    scanner = having(of_class("Badges", prefix="pass", supported_language="en"))
    own.SEEN.clear()
    texts = ["a pass xyz", "2024-01-02", "12", "word"]
    assert masked(scanner, {"t": texts})["t"] == ["a pass <BADGE>", *texts[1:]]
    assert set(own.SEEN) == set(texts)


def test_one_of_presidio_by_its_name(having: Make) -> None:
    medical = {
        "name": "MedicalLicenseRecognizer",
        "type": "predefined",
        "supported_entities": ["MEDICAL_LICENSE"],
    }
    [verdict] = verdicts(having(medical), {"t": ["signed with BB1388568 by the doctor"]})
    assert verdict.entity_type == "MEDICAL_LICENSE"


def _page(start: str) -> str:
    """The example of the page that begins so."""
    text = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text()
    [block] = [it for it in re.findall(r"```yaml\n(.*?)```", text, re.S) if it.startswith(start)]
    return str(block)


def test_the_example_of_the_page_finds_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MemberRecognizer(own.Badges):
        def __init__(self, issuer: str, supported_language: str) -> None:
            super().__init__(supported_language)
            self.supported_entities = ["MEMBER_CARD"]
            self.issuer = issuer

        def analyze(self, text: str, *_: Any, **__: Any) -> list[RecognizerResult]:
            at = text.find(self.issuer)
            return _at(at, at + 16, entity="MEMBER_CARD") if at >= 0 else []

    module = ModuleType("acme.privacy")
    vars(module)["MemberRecognizer"] = MemberRecognizer
    monkeypatch.setitem(sys.modules, "acme.privacy", module)
    path = tmp_path / "page.yml"
    path.write_text(_page("recognizers:"))
    texts = [
        "asked EMP-123456 of the Aurora",
        "staff 123456 has the card 4711000011112222 with them",
        "123456 crates of auroras",
    ]
    assert masked(Scanner(Settings(pii_recognizers=path)), {"t": texts})["t"] == [
        "asked <STAFF_NUMBER> of the <SHIP>",
        "staff <STAFF_NUMBER> has the card <MEMBER_CARD> with them",
        "123456 crates of auroras",
    ]


def test_the_engine_of_the_page_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "page.yml"
    path.write_text(_page("nlp_engine_name:"))
    with pytest.raises(TerminalError, match=r"stanza \(ATLAS_PII_NLP\) are not installed: run"):
        Scanner(Settings(pii_nlp=path, pii_language="da"))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recognizer", "error"),
    [
        (pattern(r"(?<!\d)\d{4}"), r"recognizer Badges: pattern p is refused: .*\(\?<"),
        (pattern(r"(\d)\1"), r"recognizer Badges: pattern p is refused: .*\\1"),
        (pattern(r"((a{100}){100}){100}"), "recognizer Badges: pattern p is refused"),
        (pattern(r"[a"), "recognizer Badges: pattern p is refused: missing ]"),
        (pattern("a", 2), "pattern p: score must be a number from 0 to 1"),
        (pattern("a") | {"patterns": [{"name": "p"}]}, "name, regex and score"),
        (BADGES | {"supported_entity": "badge no"}, "entity type 'badge no' must be capital"),
        (BADGES | {"patern": []}, "unknown key 'patern': did you mean patterns"),
        ({"name": "B", "supported_entity": "B"}, "neither patterns nor a deny_list"),
        ({"name": "B", "deny_list": ["x"]}, "say supported_entity"),
        ({"deny_list": ["x"]}, "recognizer 1 must be a mapping with a name"),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(
    write: Callable[..., Path], recognizer: dict[str, Any], error: str
) -> None:
    with pytest.raises(UsageError, match=r"^setting ATLAS_PII_RECOGNIZERS: ") as caught:
        declared(write(recognizer))
    assert re.search(error, str(caught.value))


@pytest.mark.parametrize(
    ("recognizer", "error"),
    [
        (of_class("Nobody"), r"recognizer Mine: tests\.pii\.own\.Nobody cannot be imported"),
        (of_class("Engine"), "is no class of Presidio's kind EntityRecognizer"),
        (of_class("Badges", colour="red"), r"could not be made \(TypeError\)"),
        (of_class("Badges") | {"supported_entities": ["X"]}, "does not find X"),
        ({"name": "NoneSuch", "type": "predefined", "supported_entity": "X"}, "NoneSuch"),
    ],
)
def test_a_class_that_is_not_there_is_named(
    having: Make, recognizer: dict[str, Any], error: str
) -> None:
    with pytest.raises(TerminalError, match=error):
        having(recognizer)


def test_a_catastrophic_pattern_takes_linear_time(having: Make) -> None:
    # Presidio's own engine does not come to an end with it.
    scanner = having(pattern(r"(a|aa|a.)+\d$"))
    assert masked(scanner, {"t": ["a" * 50_000, "no. aa7"]})["t"] == ["a" * 50_000, "no. <BADGE>"]


def test_a_pattern_of_a_class_that_runs_out_of_time_ends_the_scan(
    having: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(TerminalError, match="recognizer Mine failed with TimeoutError"):
        verdicts(having(of_class("Slow")), {"t": ["a" * 60 + "!"]})


def test_one_that_raises_is_named_and_says_nothing_of_the_text(having: Make) -> None:
    with pytest.raises(TerminalError, match="recognizer Mine failed with ValueError") as caught:
        verdicts(having(of_class("Raises")), {"t": ["fine", "a whisper"]})
    assert "whisper" not in str(caught.value)
    assert caught.value.__cause__ is None


def _at(start: Any = 0, end: Any = 1, score: Any = 0.9, entity: str = "BADGE") -> list[Any]:
    return [RecognizerResult(entity, start, end, score)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "answered with a NoneType"),
        (["x"], "answered with a str among its results"),
        (_at(end=99), "a span that is not in the text"),
        (_at(start=-1), "a span that is not in the text"),
        (_at(start=1, end=1), "a span that is not in the text"),
        (_at(end=1.0), "whose ends are no whole numbers"),
        (_at(score=1.1), "a score that is no number from 0 to 1"),
        (_at(score=float("nan")), "a score that is no number from 0 to 1"),
        (_at(score="0.9"), "a score that is no number from 0 to 1"),
        (_at(entity="OTHER"), "an entity type that is none of its own, BADGE"),
    ],
)
def test_nonsense_ends_the_scan(
    having: Make, monkeypatch: pytest.MonkeyPatch, answer: Any, error: str
) -> None:
    monkeypatch.setattr(own.Nonsense, "ANSWER", answer)
    with pytest.raises(TerminalError, match=f"recognizer Mine .*{error}"):
        verdicts(having(of_class("Nonsense")), {"t": ["whatever"]})


# --- one scan, one configuration -----------------------------------------------------------------


def test_parts_of_different_scanners_do_not_mix(having: Make, scanner: Scanner) -> None:
    columns, data = [column("t")], {"t": ["left B-1234 at the door"]}
    first = having(BADGES)
    same = having(BADGES)  # another file that says the same
    assert first.fingerprint == same.fingerprint != scanner.fingerprint
    study = first.study(columns, frozenset())
    study.observe(table(columns, data))
    evidence = study.evidence()
    same.study(columns, frozenset(), evidence).merge(evidence)
    with pytest.raises(TerminalError, match="start all scan workers anew"):
        scanner.study(columns, frozenset(), evidence)
    with pytest.raises(TerminalError, match="start all scan workers anew"):
        scanner.study(columns, frozenset()).merge(evidence)
    found = study.verdicts(policy("default"))
    Masker(same, columns, found, frozenset(), SECRET)
    with pytest.raises(TerminalError, match="start all scan workers anew"):
        Masker(scanner, columns, found, frozenset(), SECRET)


# --- NLP engines ---------------------------------------------------------------------------------


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., Scanner]:
    """A scanner with this NLP configuration."""

    def made(name: str, model: Any = "m", **more: Any) -> Scanner:
        path = tmp_path / "nlp.yml"
        models = [{"lang_code": "en", "model_name": model}]
        path.write_text(yaml.safe_dump({"nlp_engine_name": name, "models": models, **more}))
        # A file each: an engine is loaded once for each path.
        path = path.rename(tmp_path / f"nlp{len(list(tmp_path.iterdir()))}.yml")
        return Scanner(Settings(pii_nlp=path))

    return made


TOLD = "Yesterday somebody whose name is Zyxo Kowalski came here again to complain"


def test_an_engine_that_is_not_spacy_reads_the_names(reading: Callable[..., Scanner]) -> None:
    scanner = reading("tests.pii.own.Engine")
    assert masked(scanner, {"t": [TOLD]})["t"] == [TOLD.replace("Zyxo Kowalski", "<PERSON>")]
    # What is found without it stays found, words of context included.
    assert masked(scanner, {"t": ["my ssn is 536-22-1234"]})["t"] == ["my ssn is <US_SSN>"]


def test_spacy_by_the_file_reads_as_by_the_setting(
    scanner: Scanner, reading: Callable[..., Scanner]
) -> None:
    texts = ["Later that day Krzysztof Wojtkowiak called the office about the delivery"]
    by_file = reading("spacy", "en_core_web_sm")
    assert masked(by_file, {"t": texts}) == masked(scanner, {"t": texts})


def test_an_engine_that_raises_or_loses_a_text_ends_the_scan(
    reading: Callable[..., Scanner], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault in ("RAISES", "LOSES"):
        with monkeypatch.context() as during:
            during.setattr(own.Engine, fault, True)
            with pytest.raises(TerminalError, match=r"NLP engine tests\.pii\.own\.Engine") as error:
                verdicts(reading("tests.pii.own.Engine"), {"t": [TOLD]})
            assert "Kowalski" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "model", "error"),
    [
        ("spacy", "en_core_web_huge", "spaCy model en_core_web_huge .*is not installed: run"),
        ("stanza", "en", "stanza .*not installed: run `pip install"),
        ("transformers", {"spacy": "s", "transformers": "t"}, "transformers .*run `pip install"),
        ("spazy", "m", "there is no NLP engine 'spazy'"),
        ("tests.pii.own.Nobody", "m", r"tests\.pii\.own\.Nobody cannot be imported"),
    ],
)
def test_an_engine_that_is_not_there_is_named_and_not_fetched(
    reading: Callable[..., Scanner], name: str, model: Any, error: str
) -> None:
    with pytest.raises(AtlasError, match=error):
        reading(name, model)


def test_another_language_than_the_setting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nlp.yml"
    path.write_text("{nlp_engine_name: spacy, models: [{lang_code: de, model_name: m}]}")
    with pytest.raises(UsageError, match="one model with lang_code en"):
        Scanner(Settings(pii_nlp=path))
