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
_SHORTEST = 22
SEALED = re.compile(rf"enc_([A-Za-z0-9_-]{{{_SHORTEST},}})")
# What an end is looked for in, where the text goes on with what may stand in base64 as well.
_LONGEST_LOOK = 4096


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
        pieces: list[str] = []
        end = 0
        while (found := SEALED.search(text, end)) is not None:
            opened, length = self._beginning(found[1])
            pieces += (text[end : found.start()], opened)
            end = found.start(1) + length
        if not pieces:
            raise UsageError("a value has nothing encrypted in it: such begins with enc_")
        return "".join(pieces) + text[end:]

    def _beginning(self, sealed: str) -> tuple[str, int]:
        """What ``sealed`` begins with, and where that ends: within a text a letter, a hyphen or
        another encrypted value may follow at once (``host-enc_…-eth0``)."""
        whole = len(sealed)
        likely = range(_SHORTEST, min(whole, _LONGEST_LOOK))
        for length in (whole, *likely, *range(whole - 1, max(likely.stop, whole - 256) - 1, -1)):
            opened = self._opened(sealed[:length])
            if opened is not None:
                return opened, length
        raise UsageError(
            "a value cannot be decrypted: it was encrypted by another database, or is not whole"
        )

    def _opened(self, sealed: str) -> str | None:
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), b"-_", validate=True)
            return self._cipher.decrypt(raw, None).decode()
        except (InvalidTag, binascii.Error, ValueError):
            return None
