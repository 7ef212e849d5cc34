"""A value is called alike wherever its token is made."""

from __future__ import annotations

import pytest

from atlas.pii.operators import Operators
from atlas.pii.tokens import Tokens


@pytest.mark.parametrize("text", ["", "jane.roe@example.org", "Jørgen Å", "+45 12 34 56 78"])
def test_tokens_are_those_of_the_operator(text: str) -> None:
    for secret in (b"s" * 32, b"another"):
        assert Tokens(secret).token(text) == Operators(secret).token(text)
