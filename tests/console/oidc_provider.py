"""A service that people sign in by, as a real server: OpenID Connect with RS256 keys, PKCE and codes that work once."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "gateway", "s3cret:with/odd chars"


@cache
def _key(name: str) -> RSAKey:
    """The key of this name: to make one takes longer than a test does."""
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"}, private=True)


@dataclass
class Provider:
    """person: who is signed in over there. change: over the claims of the next ID token. asked: the forms that came to
    the token endpoint."""

    url: str = ""
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "7", "email": "ada@example.org", "email_verified": True}
    )
    change: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    tells_email: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)
    keys: dict[str, RSAKey] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    signing: str = "key"

    def new_key(self) -> None:
        """Sign with another key from now on; the old one is gone."""
        self.signing = f"{self.signing}+"
        self.keys = {self.signing: _key(self.signing)}

    async def configuration(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": self.url + "/authorize?tenant=1",
                "token_endpoint": self.url + "/token",
                "jwks_uri": self.url + "/keys",
                "userinfo_endpoint": self.url + "/me",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            }
        )

    async def jwks(self, request: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys.values()]})

    async def authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        assert query["client_id"] == CLIENT
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        back = {"code": code, "state": query["state"]}
        raise web.HTTPFound(query["redirect_uri"] + "?" + urlencode(back))

    async def token(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        self.asked.append(form)
        expected = base64.b64encode(b"gateway:s3cret%3Awith%2Fodd%20chars").decode()
        begun = self.codes.pop(form["code"], None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        )
        if (
            request.headers.get("Authorization") != f"Basic {expected}"
            or begun is None
            or challenge != begun["code_challenge"]
            or form["redirect_uri"] != begun["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        told = self.person if self.tells_email else {"sub": self.person["sub"]}
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": begun["nonce"], **told}
        claims = {name: value for name, value in {**claims, **self.change}.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self.signing}
        if self.algorithm == "HS256":  # signed with the public key as a secret: the oldest trick
            from joserfc.jwk import OctKey

            public = self.keys[self.signing].as_pem(private=False)
            text = jwt.encode(header, claims, OctKey.import_key(public), algorithms=["HS256"])
        elif self.algorithm == "none":
            parts = [base64.urlsafe_b64encode(str(part).replace("'", '"').encode()).decode().rstrip("=")
                     for part in (header, {**claims, "email_verified": 1})]  # fmt: skip
            text = ".".join([*parts, ""])
        else:
            text = jwt.encode(header, claims, self.keys[self.signing])
        return web.json_response({"id_token": text, "access_token": "at", "token_type": "Bearer"})

    async def me(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer at"
        return web.json_response(self.person)


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A running one."""
    made = Provider()
    made.new_key()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", made.configuration)
    app.router.add_get("/keys", made.jwks)
    app.router.add_get("/authorize", made.authorize)
    app.router.add_post("/token", made.token)
    app.router.add_get("/me", made.me)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
