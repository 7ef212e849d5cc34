"""A small provider of OpenID Connect: discovery, keys and tokens, signed with a real key."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "atlas-test", "pl4nted-client-secret"
DISCOVERY = "/.well-known/openid-configuration"


class Provider:
    """Answers on a port of its own; ``asked`` has the paths that it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.key = self.new_key("one")
        self.signs_with: RSAKey | None = None
        self.codes: dict[str, dict[str, Any]] = {}
        self.token: Callable[[dict[str, Any]], str] = self.signed
        self.away = False
        self.calls_itself: str | None = None
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                documents = {DISCOVERY: provider.metadata(), "/keys": provider.keys()}
                found = None if provider.away else documents.get(self.path)
                self.answer(500 if found is None else 200, found)

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
                status, found = provider.exchange(form)
                if self.headers.get("Authorization") != f"Basic {basic}":
                    status, found = 401, {"error": "invalid_client"}
                self.answer(status, found)

            def answer(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @staticmethod
    def new_key(name: str) -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": name, "use": "sig", "alg": "RS256"})

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.calls_itself or self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def let_in(self, location: str, **claims: Any) -> str:
        """What somebody does at the provider: the path that it sends the browser back to."""
        query = {name: values[0] for name, values in parse_qs(location.partition("?")[2]).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.codes)}"
        now = int(time.time())
        said = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "s-1",
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **claims,
        }
        self.codes[code] = {
            "challenge": query["code_challenge"],
            "redirect": query["redirect_uri"],
            "claims": {name: value for name, value in said.items() if value is not None},
        }
        return f"/login/oidc/callback?code={code}&state={query['state']}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        begun = self.codes.pop(form.get("code", ""), None)
        if begun is None or form["redirect_uri"] != begun["redirect"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["challenge"]:
            return 400, {"error": "invalid_grant"}
        return 200, {
            "access_token": "t",
            "token_type": "Bearer",
            "id_token": self.token(begun["claims"]),
        }

    def signed(self, claims: dict[str, Any]) -> str:
        key = self.signs_with or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)
