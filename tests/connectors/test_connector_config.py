"""References, spec and secrets of a connector's config."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from atlas.connectors.config import Redactor, one_line, resolve, secrets, validate
from atlas.errors import TerminalError, UsageError

SPEC = {
    "type": "object",
    "required": ["host"],
    "additionalProperties": False,
    "properties": {
        "host": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "password": {"type": "string", "minLength": 8, "airbyte_secret": True},
        "auth": {
            "oneOf": [
                {
                    "required": ["token"],
                    "properties": {
                        "kind": {"const": "token"},
                        "token": {"type": "string", "airbyte_secret": True},
                    },
                },
                {
                    "required": ["user"],
                    "properties": {"kind": {"const": "none"}, "user": {"type": "string"}},
                },
            ]
        },
        "keys": {"type": "array", "items": {"$ref": "#/definitions/key"}},
        "pins": {"type": "object", "airbyte_secret": True},
    },
    "definitions": {"key": {"properties": {"value": {"airbyte_secret": True}}}},
}


def test_references_are_resolved_at_any_depth(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("line one\nline two\n")
    config = {
        "url": "https://${env:USER_NAME}:${env:PW}@host",
        "list": [{"key": f"${{file:{file}}}"}, 3, None, True],
        "plain": "$HOME ${other}",
    }
    resolved = resolve(config, {"USER_NAME": "u", "PW": "hush hush"})
    assert resolved.values == {
        "url": "https://u:hush hush@host",
        "list": [{"key": "line one\nline two"}, 3, None, True],
        "plain": "$HOME ${other}",
    }
    assert resolved.secrets == ["u", "hush hush", "line one\nline two"]
    assert "hush" not in repr(resolved)
    assert config["url"].startswith("https://${env:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${env:NOT_THERE}", "NOT_THERE"),
        ("${file:/does/not/exist}", "/does/not/exist"),
        ("${env:ATLAS_SECRET_KEY}", "ATLAS_SECRET_KEY"),
    ],
)
def test_what_cannot_be_resolved_is_named(text: str, said: str) -> None:
    environ = {"ATLAS_SECRET_KEY": "the key of everything", "OTHER": "hush"}
    with pytest.raises(TerminalError) as caught:
        resolve({"a": [text]}, environ)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "everything" not in str(caught.value)


def test_secrets_are_found_wherever_the_spec_says() -> None:
    config = {
        "host": "h",
        "password": "pw",
        "auth": {"kind": "token", "token": "tok", "user": "me"},
        "keys": [{"value": "k1"}, {"value": 7, "name": "n"}],
        "pins": {"a": "p1", "deep": [{"b": "p2"}]},
    }
    assert sorted(secrets(SPEC, config)) == ["7", "k1", "p1", "p2", "pw", "tok"]


def test_without_a_spec_every_string_is_a_secret() -> None:
    assert secrets(None, {"a": "x", "b": [{"c": "y"}], "d": True, "e": 5}) == ["x", "y", "5"]


def test_a_spec_that_refers_to_itself_ends() -> None:
    loop = {
        "definitions": {"n": {"anyOf": [{"$ref": "#/definitions/n"}]}},
        "$ref": "#/definitions/n",
    }
    assert secrets(loop, {"a": "b"}) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"host": "h", "count": "x"},
            "connection shop: config.count: 'x' is not of type 'integer'",
        ),
        ({}, "connection shop: config: 'host' is a required property"),
        ({"host": "h", "cuont": 1}, "'cuont' was unexpected"),
        ({"host": "h", "keys": {}}, "config.keys"),
        ({"host": "h", "auth": {"token": 7_654_321}}, "config.auth"),
    ],
)
def test_a_config_that_the_spec_refuses_names_the_property(config: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate("shop", SPEC, config)
    assert said in str(caught.value)
    assert "7654321" not in str(caught.value)


CHOICE = {
    "type": "object",
    "properties": {
        "credentials": {
            "oneOf": [
                {
                    "type": "object",
                    "required": ["auth_type", "client_secret"],
                    "properties": {
                        "auth_type": {"const": "oauth"},
                        "client_secret": {"type": "string", "airbyte_secret": True},
                    },
                },
                {
                    "type": "object",
                    "required": ["auth_type", "token"],
                    "properties": {
                        "auth_type": {"type": "string", "enum": ["token"]},
                        "token": {"type": "string", "pattern": "^tk_", "airbyte_secret": True},
                        "port": {"type": "integer"},
                    },
                },
            ]
        },
        "tunnel": {"type": "object", "properties": {"key": {"airbyte_secret": True}}},
        "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "files": {"type": "array", "items": {"$ref": "#/properties/credentials"}},
    },
}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"credentials": {"auth_type": "token"}}, "credentials: 'token' is a required property"),
        (
            {"credentials": {"auth_type": "oauth"}},
            "credentials: 'client_secret' is a required property",
        ),
        (
            {"credentials": {"auth_type": "token", "token": "hush!"}},
            "credentials.token: '***' does not match '^tk_'",
        ),
        (
            {"credentials": {"auth_type": "basic", "token": "hush!"}},
            "credentials.auth_type: 'basic' is not one of ['oauth', 'token']",
        ),
        ({"credentials": {}}, "credentials: 'auth_type' is a required property"),
        ({"credentials": "hush!"}, "credentials: does not fit the connector's spec"),
        ({"tunnel": "hush!"}, "tunnel: '***' is not of type 'object'"),
        ({"days": "hush!"}, "days: does not fit the connector's spec"),
        (
            {"files": [{"auth_type": "token", "token": "tk_"}, {"auth_type": "token"}]},
            "files[1]: 'token' is a required property",
        ),
    ],
    ids=str,
)
def test_of_several_forms_the_one_meant_is_told(config: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate("shop", CHOICE, config)
    assert str(caught.value) == f"connection shop: config.{said}"


def test_a_reference_in_one_of_several_forms_is_taken_as_right() -> None:
    given = {"auth_type": "token", "token": "${env:TOKEN}", "port": "${env:PORT}"}
    validate("shop", CHOICE, {"credentials": given, "files": [given]})
    with pytest.raises(UsageError, match="'token' is a required property"):
        validate("shop", CHOICE, {"credentials": {"auth_type": "token", "port": "${env:PORT}"}})


def test_a_refusal_never_prints_a_secret() -> None:
    config = {"host": "h", "password": "hush!"}
    with pytest.raises(UsageError) as caught:
        validate("shop", SPEC, config)
    assert str(caught.value) == "connection shop: config.password: '***' is too short"


def test_a_reference_is_taken_as_right() -> None:
    validate("shop", SPEC, {"host": "${env:HOST}", "count": "${env:COUNT}"})


def test_a_spec_that_is_no_schema() -> None:
    with pytest.raises(TerminalError, match="no valid JSON schema"):
        validate("shop", {"type": "nonsense"}, {})


def test_redaction_of_every_spelling() -> None:
    secret = 'pä"ss\\wörd /&?'
    hide = Redactor([secret])
    for spelt in (
        secret,
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote_plus(secret),
        f"https://u:{quote_plus(secret)}@h/",
        repr(secret),
    ):
        hidden = hide(f"a {spelt} z")
        assert "***" in hidden
        assert "rd" not in hidden, spelt


def test_a_secret_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN-----\nMIIEvgIBADANBg\nab\n-----END KEY-----"
    hide = Redactor([key])
    assert hide("said MIIEvgIBADANBg !") == "said *** !"
    assert hide(key) == "***"
    assert hide(key.replace("\n", "\\n")) == "***"
    assert hide("a cab") == "a cab"


def test_a_short_secret_is_hidden_as_a_word_only() -> None:
    hide = Redactor(["7", "", " "])
    assert hide("pin 7, 77 and x7 of 1.7") == "pin ***, 77 and x7 of 1.***"


def test_the_longer_secret_wins() -> None:
    assert Redactor(["hush", "hushhush2"])("x hushhush2 y") == "x *** y"


def test_secrets_can_be_learnt() -> None:
    hide = Redactor()
    assert hide("token9") == "token9"
    hide.add(["token9"])
    assert hide("token9") == "***"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("row broke, password=hunter2planted", "row broke, password=***"),
        ("GET /v1?access_token=abcdef&page=2", "GET /v1?access_token=***&page=2"),
        ('{"client_secret": "abcdef", "id": 7}', '{"client_secret": "***", "id": 7}'),
        ("{'refresh_token': 'abcdef'}", "{'refresh_token': '***'}"),
        ("Authorization: Bearer eyJhbGciOi.x-y_z1", "Authorization: Bearer ***"),
        ("authorization: basic dXNlcjpwYXNz1A==", "authorization: basic ***"),
        ("X-Api-Key: k-123456", "X-Api-Key: ***"),
        (
            "cannot reach postgres://bob:s3cr@db.local/x",
            "cannot reach postgres://bob:***@db.local/x",
        ),
        ("password: field required", "password: field required"),
        ("Unexpected token: identifier", "Unexpected token: identifier"),
        ("password authentication failed", "password authentication failed"),
        ("the primary key: id1234", "the primary key: id1234"),
        ('{"secret": null, "token": true}', '{"secret": null, "token": true}'),
        ("see https://docs.example.org:8443/a@b", "see https://docs.example.org:8443/a@b"),
        ("basic authentication is off", "basic authentication is off"),
    ],
)
def test_what_is_called_a_credential_is_hidden_whatever_it_is(text: str, hidden: str) -> None:
    assert Redactor(["unknown"])(text) == hidden


def test_one_line() -> None:
    assert one_line(" a\n\tb  c ") == "a b c"
    assert len(one_line("x" * 1000, 50)) == 50
