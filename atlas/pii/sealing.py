"""Encrypting personal values so that they can be read again by whoever may.

AES-SIV (RFC 5297): equal values are equal when encrypted, so joins and keys survive and a retry
writes what the attempt before wrote; and what was not made here, or was altered, is refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from atlas.errors import UsageError

_LABEL = b"atlas/pii/encrypt/v1"
_PREFIX = "enc_"
# 16 bytes or more, as base64 without padding.
_SEALED = re.compile(r"enc_([A-Za-z0-9_-]{22,})")


class Sealing:
    """Encrypts and decrypts with a key derived from ``secret`` under a label of its own."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESSIV(hmac.digest(secret, _LABEL, "sha512"))

    def seal(self, text: str) -> str:
        """``enc_`` and the encrypted text, in letters, digits, ``_`` and ``-``."""
        sealed = self._cipher.encrypt(text.encode(), None)
        return _PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, text: str) -> str:
        """``text`` with everything in it that :meth:`seal` made as it was before.

        Raises:
            UsageError: nothing in it was; or what looks so is not of this database, or altered.
        """
        opened, count = _SEALED.subn(lambda found: self._opened(found[1]), text)
        if not count:
            raise UsageError("a value has nothing encrypted in it: such begins with enc_")
        return opened

    def _opened(self, sealed: str) -> str:
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), b"-_", validate=True)
            return self._cipher.decrypt(raw, None).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise UsageError(
                "a value cannot be decrypted: it was encrypted by another database, or is not whole"
            ) from None
