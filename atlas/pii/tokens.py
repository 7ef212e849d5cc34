"""What operator ``tokenize`` calls a value.

Apart from the other operators: they need Presidio, which the web does not load.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

TOKEN = re.compile(r"tok_[0-9a-f]{32}")
_LABEL = b"atlas/pii/tokenize/v1"


class Tokens:
    """Tokens under one key, which is derived from ``secret`` under a label of its own."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _LABEL, "sha256")

    def token(self, text: str) -> str:
        """``tok_`` and 128 bits of HMAC-SHA256, as hexadecimal digits."""
        return "tok_" + hmac.digest(self._key, text.encode(), "sha256")[:16].hex()

    def renew(self, text: str, known: Mapping[str, str]) -> str:
        """``text`` with another token in the place of each that is in it: the one ``known`` for it,
        else a token of itself, as nobody knows any more what value it was. Equal tokens stay
        equal."""
        return TOKEN.sub(lambda found: known.get(found[0]) or self.token(found[0]), text)
