"""Logging in by OpenID Connect: the authorization code flow with state, nonce and PKCE.

Where it is not configured nobody outside is asked anything. What a login needs to come back to
stands in a signed cookie of the browser that began it, for ten minutes.
"""

from __future__ import annotations

import functools
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadData, URLSafeTimedSerializer

from atlas.errors import AtlasError, TransientError
from atlas.ledger.secrets import derive
from atlas.roles import Role
from atlas.settings import Settings, secret_key

CALLBACK = "/login/oidc/callback"
PATIENCE = 600
"""Seconds that somebody may take at the provider."""
_TIMEOUT = 10.0
_FRESH = 3600.0
_REST = 5.0
"""Seconds that a provider is left alone after it did not answer."""
_LEEWAY = 60
# Signatures that take the provider's private key: never `none`, never one that the client's own
# secret would make.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]


class Refused(AtlasError):
    """Nobody is let in; the message is for them."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is, as the provider says and as its claims map to Atlas's roles."""

    issuer: str
    subject: str
    name: str
    role: Role


def configured(settings: Settings) -> bool:
    """Whether there is a provider."""
    return settings.oidc_issuer is not None


def begin(settings: Settings, target: str) -> tuple[str, str]:
    """Where to send the browser, and what it is to keep until it comes back.

    Args:
        target: page of Atlas that the login leads to.

    Raises:
        TransientError: the provider does not answer. Refused: its answer is none.
    """
    from authlib.common.security import generate_token

    kept = {
        "state": secrets.token_urlsafe(24),
        "nonce": secrets.token_urlsafe(24),
        "verifier": generate_token(64),
        "target": target,
    }
    found = _provider(settings).metadata()
    url, _ = _client(settings).create_authorization_url(
        found["authorization_endpoint"],
        state=kept["state"],
        nonce=kept["nonce"],
        code_verifier=kept["verifier"],
    )
    return url, _serializer(settings).dumps(kept)


def end(settings: Settings, query: Mapping[str, str], kept: str | None) -> tuple[Person, str]:
    """Who came back, and the page that they wanted.

    Args:
        query: what the provider sent along.
        kept: what :func:`begin` gave the browser.

    Raises:
        Refused: they are not let in. TransientError: the provider does not answer.
    """
    try:
        begun = _serializer(settings).loads(kept or "", max_age=PATIENCE)
    except BadData as error:
        raise Refused("the login took too long or began in another browser: try again") from error
    if not secrets.compare_digest(query.get("state", "").encode(), begun["state"].encode()):
        raise Refused("this answer belongs to another login: try again")
    if "error" in query:
        raise Refused("the identity provider did not let you in")
    if not query.get("code"):
        raise Refused("the identity provider sent no code: try again")
    claims = _claims(settings, query["code"], begun)
    role = _role(settings, claims)
    if role is None:
        raise Refused("you have no role here: ask whoever runs Atlas")
    return Person(str(claims["iss"]), str(claims["sub"]), _name(settings, claims), role), str(
        begun["target"]
    )


def _claims(settings: Settings, code: str, begun: dict[str, Any]) -> dict[str, Any]:
    from authlib.integrations.base_client import OAuthError
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import JoseError
    from requests import RequestException

    provider = _provider(settings)
    try:
        token = _client(settings).fetch_token(
            provider.metadata()["token_endpoint"],
            grant_type="authorization_code",
            code=code,
            code_verifier=begun["verifier"],
            allow_redirects=False,
        )
    except RequestException as error:
        raise _away(error) from error
    except (OAuthError, ValueError) as error:
        # Without its words, which may quote the code or the client's secret.
        raise Refused("the identity provider did not take the code: try again") from error
    try:
        claims = CodeIDToken(
            provider.decode(str(token.get("id_token", ""))),
            {"alg": ""},
            options={
                "iss": {"essential": True, "values": [settings.oidc_issuer]},
                "aud": {"essential": True, "value": settings.oidc_client_id},
            },
            params={"nonce": begun["nonce"], "client_id": settings.oidc_client_id},
        )
        claims.validate(leeway=_LEEWAY)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Refused("what the identity provider says of you is not valid: try again") from error
    return dict(claims)


class _Provider:
    """What is known of a provider: its endpoints and keys, asked for when first needed and then
    once an hour; its keys also when a token was signed by another one."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}
        self._resting_until = 0.0

    def metadata(self) -> dict[str, Any]:
        found = self._ask(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise Refused("the identity provider calls itself otherwise than ATLAS_OIDC_ISSUER")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            scheme = urlsplit(str(found.get(name, ""))).scheme
            if scheme != "https" and scheme != urlsplit(self._issuer).scheme:
                raise Refused(f"the identity provider names no {name} that can be used")
        return found

    def decode(self, token: str) -> dict[str, Any]:
        """The claims of a token that the provider signed."""
        from joserfc import jws, jwt
        from joserfc.errors import BadSignatureError, InvalidKeyIdError
        from joserfc.jwk import KeySet

        registry = jws.JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)

        def read(oldest: float) -> dict[str, Any]:
            keys: Any = self._ask(self.metadata()["jwks_uri"], oldest)
            return jwt.decode(token, KeySet.import_key_set(keys), registry=registry).claims

        try:
            return read(_FRESH)
        except (InvalidKeyIdError, BadSignatureError):
            # It may have another key since. Not more often than now and then.
            return read(10.0)

    def _ask(self, url: str, oldest: float = _FRESH) -> dict[str, Any]:
        with self._lock:
            at, known = self._known.get(url, (0.0, {}))
            if known and time.monotonic() - at < oldest:
                return known
            if time.monotonic() < self._resting_until:
                raise _away(TimeoutError("it did not answer a moment ago"))
        try:
            found = _asked(url)
        except TransientError:
            # Whoever is not known yet can have this asked: not every thread is to wait for it.
            with self._lock:
                self._resting_until = time.monotonic() + _REST
            raise
        with self._lock:
            self._known[url] = (time.monotonic(), found)
        return found


def _asked(url: str) -> dict[str, Any]:
    """The object that the provider answers with.

    Raises:
        TransientError: it does not answer, or with something else.
    """
    import requests

    try:
        answer = requests.get(url, timeout=_TIMEOUT, allow_redirects=False)
        answer.raise_for_status()
        found = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise _away(error) from error
    if not isinstance(found, dict):
        raise _away(ValueError("no object"))
    return found


@functools.cache
def _of(issuer: str) -> _Provider:
    return _Provider(issuer)


def _provider(settings: Settings) -> _Provider:
    return _of(str(settings.oidc_issuer))


def _client(settings: Settings) -> Any:
    from authlib.integrations.requests_client import OAuth2Session

    return OAuth2Session(
        settings.oidc_client_id,
        settings.oidc_client_secret,
        token_endpoint_auth_method="client_secret_basic" if settings.oidc_client_secret else "none",
        scope="openid profile email",
        redirect_uri=f"{settings.public_url}{CALLBACK}",
        code_challenge_method="S256",
        default_timeout=_TIMEOUT,
    )


def _role(settings: Settings, claims: Mapping[str, Any]) -> Role | None:
    said = claims.get(settings.oidc_role_claim)
    values = set(map(str, said)) if isinstance(said, list) else {str(said)}
    mapped = [each.rpartition("=") for each in settings.oidc_roles]
    roles = [Role(role) for value, _, role in mapped if value in values]
    return max(roles, key=lambda role: role.rank, default=None)


def _name(settings: Settings, claims: Mapping[str, Any]) -> str:
    for claim in (settings.oidc_name_claim, "email", "sub"):
        wanted = str(claims.get(claim) or "").lower()
        kept = "".join(c if c.isascii() and (c.isalnum() or c in "._@+-") else "-" for c in wanted)
        if name := kept.lstrip("._@+-")[:60]:
            return name
    return "user"


def _serializer(settings: Settings) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(derive(secret_key(settings), "oidc"), salt="oidc")


def _away(error: Exception) -> TransientError:
    return TransientError(f"the identity provider does not answer ({type(error).__name__})")
