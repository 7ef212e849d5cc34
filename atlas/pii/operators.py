"""What operators do to a value or a span: fixed forms, tokens, years.

No operator but KEEP leaves a usable part of the original, and MASK not even its length. GENERALISE
knows dates; what it cannot generalise it masks.
"""

from __future__ import annotations

import hmac
import re

from atlas.model.personal import Operator

MASKED = "***"
_FORMS = {"EMAIL_ADDRESS": "***@***"}
_LABEL = b"atlas/pii/tokenize/v1"
_YEAR = re.compile(r"\s*(\d{4})-\d{2}(?:-\d{2})?(?!\d)")


class Operators:
    """Operators that share one tokenization key.

    The key is derived from the secret under a label of its own, and a token depends on the value
    alone, so equal values have equal tokens in every column and table, and joins survive.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, _LABEL, "sha256")

    def token(self, text: str) -> str:
        """``tok_`` and 128 bits of HMAC-SHA256, as hexadecimal digits."""
        return "tok_" + hmac.digest(self._key, text.encode(), "sha256")[:16].hex()

    def value(self, operator: Operator, entity: str, text: str) -> str | None:
        """A whole text value after ``operator``: MASK a fixed form, REDACT empty, DROP None."""
        match operator:
            case Operator.KEEP:
                return text
            case Operator.TOKENIZE:
                return self.token(text)
            case Operator.REDACT:
                return ""
            case Operator.DROP:
                return None
            case Operator.GENERALISE if entity == "DATE_OF_BIRTH":
                return year_start(text) or MASKED
            case _:
                return _FORMS.get(entity, MASKED)

    def span(self, operator: Operator, entity: str, text: str) -> str:
        """A span of a text after ``operator``. (DROP drops the whole value: see the masker.)"""
        match operator:
            case Operator.KEEP:
                return text
            case Operator.TOKENIZE:
                return self.token(text)
            case Operator.REDACT:
                return ""
            case _:
                return f"<{entity}>"


def year_start(text: str, suffix: str = "") -> str | None:
    """The first day of the year of an ISO date or timestamp, or None if it is none."""
    found = _YEAR.match(text)
    return None if found is None else f"{found[1]}-01-01{suffix}"
