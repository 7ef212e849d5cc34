"""Keys derived from the one secret key, and the encryption of stored configurations."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from atlas.errors import TerminalError


def derive(secret: bytes, purpose: str) -> bytes:
    """A 32-byte key for one ``purpose``, so that no two uses share a key (HMAC-SHA256 as KDF)."""
    return hmac.new(secret, b"atlas/" + purpose.encode(), hashlib.sha256).digest()


def _fernet(secret: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive(secret, "config")))


def encrypt(secret: bytes, document: dict[str, Any]) -> bytes:
    """``document`` as encrypted JSON."""
    return _fernet(secret).encrypt(json.dumps(document).encode())


def decrypt(secret: bytes, token: bytes) -> dict[str, Any]:
    """What :func:`encrypt` was given.

    Raises:
        TerminalError: it was encrypted under another secret key.
    """
    try:
        return dict(json.loads(_fernet(secret).decrypt(token)))
    except InvalidToken as error:
        raise TerminalError(
            "a stored configuration cannot be decrypted: ATLAS_SECRET_KEY is not the one "
            "it was stored under; set that one, or apply the connection again"
        ) from error


def fingerprint(secret: bytes, document: Any) -> str:
    """A keyed hash that tells whether ``document`` changed, and nothing else about it."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hmac.new(derive(secret, "fingerprint"), text.encode(), hashlib.sha256).hexdigest()
