"""A value is called alike wherever, and with whatever version of Atlas, its token is made."""

from __future__ import annotations

from atlas.pii.operators import Operators
from atlas.pii.tokens import Tokens

KNOWN = "tok_85836380748b8da91853bf64abbcc929"
"""Tokens stand in tables that are joined: another one for the same value would lose them."""


def test_a_token_stays_what_it_was() -> None:
    assert Tokens(b"s" * 32).token("jane.roe@example.org") == KNOWN
    assert Operators(b"s" * 32).token("jane.roe@example.org") == KNOWN


def test_another_secret_or_value_has_another_token() -> None:
    assert Tokens(b"another").token("jane.roe@example.org") != KNOWN
    assert Tokens(b"s" * 32).token("jane.roe@example.com") != KNOWN
