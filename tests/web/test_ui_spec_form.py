"""Forms made of connectors' specs: all that specs ask for is asked, and read back as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from atlas.connectors.config import validate
from atlas.connectors.masking import MASK, masked, unmasked
from atlas.errors import UsageError
from atlas.web.ui import spec_answer, spec_form
from atlas.web.ui.spec_form import Field

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["host", "port", "credentials"],
    "properties": {
        "port": {"type": "integer", "default": 5432, "minimum": 1, "order": 1},
        "host": {
            "type": "string",
            "order": 0,
            "description": 'See <a href="https://example.org/a?b=1&amp;c=2">this</a>, '
            "<script>alert(1)</script> or [that](https://example.org/md).",
        },
        "ssl": {"type": "boolean", "default": True},
        "verbose": {"type": "boolean"},
        "ratio": {"type": ["null", "number"]},
        "level": {"type": "string", "enum": ["low", "high"]},
        "tables": {"type": "array", "items": {"type": "string"}},
        "ids": {"type": "array", "items": {"type": "integer"}},
        "regions": {"type": "array", "items": {"type": "string", "enum": ["eu", "us"]}},
        "free": {"type": "object"},
        "odd/name@x": {"type": "string"},
        "key": {"type": "string", "airbyte_secret": True, "multiline": True},
        "nested": {"type": "object", "properties": {"deep": {"$ref": "#/definitions/deep"}}},
        "reports": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
        "credentials": {
            "type": "object",
            "oneOf": [
                {
                    "title": "Token",
                    "required": ["auth", "token"],
                    "properties": {
                        "auth": {"const": "token"},
                        "token": {"type": "string", "airbyte_secret": True},
                    },
                },
                {
                    "title": "Password",
                    "required": ["auth", "user"],
                    "properties": {
                        "auth": {"const": "password"},
                        "user": {"type": "string"},
                        "password": {"type": "string", "airbyte_secret": True},
                    },
                },
            ],
        },
    },
    "definitions": {
        "deep": {"type": "object", "properties": {"er": {"type": "string", "default": "x"}}}
    },
}
CONFIG: dict[str, Any] = {
    "host": "db.example",
    "port": 9007199254740993,
    "ssl": False,
    "ratio": 0.25,
    "level": "high",
    "tables": ["a", "b c"],
    "ids": [1, 2],
    "regions": ["us"],
    "free": {"any": ["thing", 1.5]},
    "odd/name@x": "odd",
    "key": "-----BEGIN\nKEY-----\n",
    "nested": {"deep": {"er": "y"}},
    "reports": [{"name": "r1", "days": 3}, {"name": "r2"}],
    "credentials": {"auth": "password", "user": "me", "password": "hush-hush"},
}


def _fields(form: Field) -> Iterator[Field]:
    yield form
    for child in (*form.fields, *form.more):
        yield from _fields(child)
    for each in form.forms:
        for child in each.fields:
            yield from _fields(child)


def filled(form: Field) -> dict[str, list[str]]:
    """What a browser would send of the form, as it is shown."""
    sent: dict[str, list[str]] = {}
    for each in _fields(form):
        if each.kind == "forms":
            sent[f"{each.name}@"] = [next((f.index for f in each.forms if f.chosen), "")]
        elif each.kind == "rows":
            sent[f"{each.name}#"] = [str(len(each.fields))]
        elif each.kind == "boolean":
            if each.value:
                sent[each.name] = ["true"]
        elif each.kind == "many":
            sent[each.name] = list(each.value)
        elif each.kind not in ("group", "fixed"):
            sent[each.name] = [str(each.value).replace("\n", "\r\n")]
    return sent


def _field(form: Field, name: str) -> Field:
    return next(each for each in _fields(form) if each.name == name)


def test_what_is_sent_as_it_was_shown_is_the_configuration_as_it_was() -> None:
    shown = masked(SPEC, CONFIG)
    form = spec_form.build(SPEC, shown, fresh=False)
    answer = spec_answer.parse(SPEC, filled(form), shown)
    assert answer.errors == {}
    assert unmasked(answer.config, CONFIG) == CONFIG


def test_no_secret_is_in_the_form() -> None:
    form = spec_form.build(SPEC, masked(SPEC, CONFIG), fresh=False)
    assert "hush" not in json.dumps([str(each.value) for each in _fields(form)])
    assert _field(form, "config/credentials@1/password").value == MASK


def test_a_new_form_has_the_defaults_and_asks_for_what_is_needed_first() -> None:
    form = spec_form.build(SPEC, {}, fresh=True)
    assert [each.name for each in form.fields] == [
        "config/host",
        "config/port",
        "config/credentials",
    ]
    assert _field(form, "config/port").value == "5432"
    assert _field(form, "config/ssl").value is True
    assert _field(form, "config/credentials").forms[0].chosen


def test_only_the_form_that_was_chosen_counts() -> None:
    sent = {
        "config/host": ["h"],
        "config/port": ["1"],
        "config/credentials@": ["0"],
        "config/credentials@0/token": ["t"],
        "config/credentials@1/user": ["left over"],
    }
    config = spec_answer.parse(SPEC, sent, {}).config
    assert config["credentials"] == {"auth": "token", "token": "t"}
    validate("shop", SPEC, config)


def test_what_nobody_filled_in_is_left_out() -> None:
    config = spec_answer.parse(SPEC, {"config/host": ["h"], "config/tables": [" "]}, {}).config
    assert config == {"host": "h", "ssl": False}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config/port", "12.5"),
        ("config/port", "many"),
        ("config/ratio", "nan"),
        ("config/ids", "1\nx"),
        ("config/free", "{"),
        ("config/level", "middling"),
        ("config/credentials@", "7"),
        ("config/credentials@", "²"),
        ("config/credentials@", "1" * 5000),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field(name: str, text: str) -> None:
    answer = spec_answer.parse(SPEC, {name: [text]}, {})
    assert list(answer.errors) == [name.rstrip("@")]
    form = spec_form.build(SPEC, answer.config, fresh=False)
    assert spec_form.place_errors(form, answer.errors) is None
    assert _field(form, name.rstrip("@")).error


@pytest.mark.parametrize("count", ["²", "1" * 5000, "-1", ""])
def test_no_rows_are_read_where_no_number_says_how_many(count: str) -> None:
    answer = spec_answer.parse(SPEC, {"config/reports#": [count]}, {})
    assert answer.errors == {}
    assert "reports" not in answer.config


def test_what_the_spec_refuses_is_said_at_its_field() -> None:
    config = {**CONFIG, "credentials": {"auth": "password"}}
    with pytest.raises(UsageError) as refused:
        validate("shop", SPEC, config)
    form = spec_form.build(SPEC, masked(SPEC, config), fresh=False)
    assert spec_form.place_errors(form, {"": str(refused.value)}) is None
    assert _field(form, "config/credentials@1/user").error == "this is needed"


def test_a_row_is_added_and_another_taken_out() -> None:
    form = spec_form.build(SPEC, CONFIG, fresh=False)
    sent = {**filled(form), "_add": ["config/reports"], "config/reports#0!": ["1"]}
    assert spec_answer.parse(SPEC, sent, CONFIG).config["reports"] == [{"name": "r2"}, {}]


def test_help_keeps_links_and_nothing_else_of_html() -> None:
    shown = spec_form.build(SPEC, {}, fresh=True).fields[0].help
    assert '<a href="https://example.org/a?b=1&amp;c=2"' in shown
    assert '<a href="https://example.org/md"' in shown
    assert "<script" not in shown
    assert spec_form.help_text("a < b & [x](javascript:alert(1))") == (
        "a &lt; b &amp; [x](javascript:alert(1))"
    )


def test_a_spec_that_refers_to_itself_ends() -> None:
    spec = {
        "type": "object",
        "properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#"}},
    }
    form = spec_form.build(spec, {}, fresh=True)
    assert spec_answer.parse(spec, filled(form), {}).config == {}
