"""What operators do to a value or a span: fixed forms, tokens, encryption, less exact values.

Presidio's operators do what they fit: they replace spans, take them out, and mask a form's groups.

No operator but KEEP and ENCRYPT leaves a usable part of the original. MASK leaves the form of what
has one (a telephone number's groups, all digits gone), and of all else not even the length.
"""

from __future__ import annotations

import contextlib
import functools
import re

from presidio_anonymizer.operators import Mask, Redact, Replace

from atlas.errors import TerminalError, UsageError
from atlas.model.personal import Operator
from atlas.pii.generalising import Kind, generalised
from atlas.pii.policy import ENTITIES
from atlas.pii.sealing import SEALED, Sealing
from atlas.pii.tokens import TOKEN, Tokens

MASKED = "***"
TEXTUAL = frozenset({Operator.TOKENIZE, Operator.ENCRYPT})
"""Operators that make a text of whatever it was."""

_MADE = re.compile(
    rf"{TOKEN.pattern}|{SEALED.pattern}|(?=[^*]*\*)[\W_]+|<(?:{'|'.join(sorted(ENTITIES))})>"
)
_NOTHING_LEFT = {
    Operator.MASK: re.compile(r"[\W_]+"),
    Operator.GENERALISE: re.compile(r"[\W_]+|[0-9]0-[0-9]9|90\+"),
}
_EMAIL = "***@***"
_IPV4 = "***.***.***.***"
_MASK, _REDACT, _REPLACE = Mask(), Redact(), Replace()
# Nothing that a form lets through is left standing but what separates groups.
_GROUP = re.compile(r"[0-9A-Za-z]+")
_GROUPED = {
    "PHONE_NUMBER": re.compile(
        r"(?=[^0-9]*[0-9])[0-9+() ./-]{5,32}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?"
    ),
    "CREDIT_CARD": re.compile(r"[0-9](?:[ -]?[0-9]){11,18}"),
    "IBAN_CODE": re.compile(r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[0-9A-Za-z]){11,30}"),
    "US_SSN": re.compile(r"[0-9]{3}([ -]?)[0-9]{2}\1[0-9]{4}"),
    "UK_NHS": re.compile(r"[0-9]{3}([ -]?)[0-9]{3}\1[0-9]{4}"),
    "MAC_ADDRESS": re.compile(r"[0-9A-Fa-f]{2}(?:([:.-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}"),
}
_LONGEST = 64  # of a form
_ONE_DIGIT = str.maketrans("123456789", "000000000")
_DOTTED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


class Operators:
    """Operators that share one tokenization key, and one to encrypt with.

    The key is derived from the secret under a label of its own, and a token depends on the value
    alone, so equal values have equal tokens in every column and table, and joins survive.
    """

    def __init__(
        self,
        secret: bytes,
        sealing: Sealing | None = None,
        *,
        again: bool = False,
        former: bytes | None = None,
    ) -> None:
        """Make operators.

        Args:
            former: what tokens came from before, if they are to be written down.
            again: values may be what operators made before. That is not made less of than it is,
                nor are masks, which many share, made tokens: see :meth:`textual`. What has no
                letter or digit left is not masked once more.
        """
        self._tokens = Tokens(secret)
        self._former = None if former is None else Tokens(former)
        self.renewed: dict[str, str] = {}
        """The tokens that were made, by what they would have been before."""
        self._sealing = sealing
        self._again = again

    def token(self, text: str) -> str:
        """See :meth:`atlas.pii.tokens.Tokens.token`."""
        made = self._tokens.token(text)
        if self._former is not None:
            self.renewed[self._former.token(text)] = made
        return made

    def textual(self, operator: Operator, text: str) -> str:
        """The text that one of :data:`TEXTUAL` makes of anything. What an operator made before
        stays what it is; but the token of what was encrypted is that of its value.

        Raises:
            TerminalError: it is to be encrypted, and there is no key for that.
        """
        if self.made(text):
            if operator is Operator.ENCRYPT or not SEALED.fullmatch(text):
                return text
            text = self._opened(text)
        if operator is Operator.TOKENIZE:
            return self.token(text)
        if self._sealing is None:
            raise TerminalError("there is no key to encrypt personal data with")
        return self._sealing.seal(text)

    def made(self, text: str) -> bool:
        """Whether it is what some operator made before, where values may be such."""
        return self._again and _MADE.fullmatch(text) is not None

    def _opened(self, text: str) -> str:
        if self._sealing is not None:
            with contextlib.suppress(UsageError):  # it only looks as if it were encrypted
                return self._sealing.open(text)
        return text

    def value(
        self, operator: Operator, entity: str, text: str, kind: Kind | None = None
    ) -> str | None:
        """A whole text value after ``operator``: MASK its form, REDACT empty, DROP None.

        Args:
            kind: what GENERALISE takes it for; None: it is masked.
        """
        match operator:
            case Operator.KEEP:
                return text
            case Operator.TOKENIZE | Operator.ENCRYPT:
                return self.textual(operator, text)
            case Operator.REDACT:
                return str(_REDACT.operate(text))
            case Operator.DROP:
                return None
            case _ if self._again and _NOTHING_LEFT[operator].fullmatch(text):
                return text
            case Operator.GENERALISE if kind is not None:
                return generalised(kind, text) or MASKED
            case _:
                return masked(entity, text)

    def span(self, operator: Operator, entity: str, text: str) -> str:
        """A span of a text after ``operator``. (DROP drops the whole value: see the masker.)"""
        match operator:
            case Operator.KEEP:
                return text
            case Operator.TOKENIZE | Operator.ENCRYPT:
                return self.textual(operator, text)
            case Operator.REDACT:
                return str(_REDACT.operate(text))
            case _:
                return str(_REPLACE.operate(text, {"entity_type": entity}))


def fixed(entity: str) -> bool:
    """Whether :func:`masked` makes the same of all values of this entity type."""
    return entity not in _GROUPED and entity != "IP_ADDRESS"


def masked(entity: str, text: str) -> str:
    """The form of ``text`` without a character of it: its groups where values of this entity type
    have such, else what stands for all of them."""
    if entity == "EMAIL_ADDRESS":
        return _EMAIL
    if fixed(entity) or len(text) > _LONGEST:
        return MASKED
    # No form tells one digit from another, so a column of numbers has few that are different.
    return _form(entity, text.translate(_ONE_DIGIT))


@functools.lru_cache(maxsize=1024)
def _form(entity: str, text: str) -> str:
    if entity == "IP_ADDRESS":
        return _IPV4 if _DOTTED.fullmatch(text) else MASKED
    return _GROUP.sub(_stars, text) if _GROUPED[entity].fullmatch(text) else MASKED


def _stars(group: re.Match[str]) -> str:
    every = {"masking_char": "*", "chars_to_mask": len(group[0]), "from_end": False}
    return str(_MASK.operate(group[0], every))
