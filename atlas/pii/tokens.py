"""What operator ``tokenize`` calls a value.

Apart from the other operators: they need Presidio, which the web does not load.
"""

from __future__ import annotations

import hmac
import re

TOKEN = re.compile(r"tok_[0-9a-f]{32}")
_LABEL = b"atlas/pii/tokenize/v1"


class Tokens:
    """Tokens under one key, which is derived from ``secret`` under a label of its own."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _LABEL, "sha256")

    def token(self, text: str) -> str:
        """``tok_`` and 128 bits of HMAC-SHA256, as hexadecimal digits."""
        return "tok_" + hmac.digest(self._key, text.encode(), "sha256")[:16].hex()

    def renew(self, text: str) -> str:
        """``text`` with a token in the place of each that is in it: of another key, say, of which
        nobody knows any more what value it was. Equal tokens stay equal."""
        return TOKEN.sub(lambda found: self.token(found[0]), text)
