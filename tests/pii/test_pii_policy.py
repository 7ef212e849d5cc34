"""Policies are data: parsed with clear errors, overridden by type and column."""

from __future__ import annotations

import subprocess
import sys

import pytest

from atlas.errors import UsageError
from atlas.model.personal import Operator
from atlas.pii import ENTITIES, parse, policy


def test_default_masks_every_entity() -> None:
    chosen = policy("default")
    assert {chosen.operator(entity, "c") for entity in ENTITIES} == {Operator.MASK}


@pytest.mark.parametrize("entity", ["DATE_TIME", "NRP", "ORGANIZATION", "URL"])
def test_what_is_not_personal_by_itself_is_no_entity(entity: str) -> None:
    assert entity not in ENTITIES


def test_overrides_win_column_first() -> None:
    chosen = parse(
        {
            "policy": "default",
            "entities": {"PERSON": "tokenize"},
            "columns": {"notes": "drop", "address.city": "keep"},
        }
    )
    assert chosen.operator("PERSON", "name") is Operator.TOKENIZE
    assert chosen.operator("PERSON", "notes") is Operator.DROP
    assert chosen.operator("LOCATION", "address", "$.city") is Operator.KEEP
    assert chosen.operator("LOCATION", "address", "$.street") is Operator.MASK


def test_nothing_said_is_the_default_policy() -> None:
    assert parse(None) == parse({}) == policy("default")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"policy": "defualt"}, "did you mean default?"),
        ({"polcy": "default"}, "did you mean policy?"),
        ({"entities": {"EMAIL_ADRESS": "mask"}}, "did you mean EMAIL_ADDRESS?"),
        ({"entities": {"email_address": "mask"}}, "did you mean EMAIL_ADDRESS?"),
        ({"entities": {"PERSON": "tokenise"}}, "did you mean tokenize?"),
        ({"columns": {"name": "masc"}}, "did you mean mask?"),
        ({"columns": ["name"]}, "columns must be a mapping"),
    ],
)
def test_a_wrong_policy_names_the_thing_and_the_nearest(
    document: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        parse(document)


def test_importing_policies_loads_no_engine() -> None:
    program = (
        "import sys, atlas.pii; "
        "heavy = {'presidio_analyzer', 'spacy', 'pyarrow', 'msgspec'} & sys.modules.keys(); "
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_operator_for_national_identifiers_is_that_of_each_that_has_none() -> None:
    made = parse({"entities": {"DK_CPR": "drop", "NATIONAL_ID": "tokenize"}})
    assert made.operator("PL_PESEL", "c", "") is Operator.TOKENIZE
    assert made.operator("DK_CPR", "c", "") is Operator.DROP
    assert made.operator("EMAIL_ADDRESS", "c", "") is Operator.MASK
