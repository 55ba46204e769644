"""Signing in by another service: OpenID Connect Core 1.0, the authorization code flow with PKCE (RFC 7636).

What begins a sign-in (state, nonce, the code's verifier) stays in the browser's own cookie, which no script reads and
no other site sets, so nobody can be made to finish what somebody else began. What the service says of a person counts
by its signature, and a person is known by (issuer, subject) alone: an address is never enough to enter an account that
is there, because not everybody who gives out addresses asks whose they are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson

from gateway.config import OidcSettings
from gateway.errors import Fault, Refusal, UpstreamFault
from gateway.http.server.request_context import RequestContext
from gateway.provider import UpstreamRequest

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

CALLBACK = "/login/oidc/callback"
COOKIE = "oidc_begun"
BEGUN_FOR = 600
"""Seconds that somebody may take at the other service."""
_KEPT = 3600.0
_AGAIN = 60.0
_SECONDS, _MOST = 10.0, 1 << 20
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
_LEEWAY = 60


@dataclass(slots=True, frozen=True)
class Begun:
    """A sign-in that was begun. to: the page to go to afterwards. connect: to connect the identity with the account
    that is signed in, instead of signing in."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    to: str
    connect: bool = False

    def sealed(self) -> str:
        """For the cookie."""
        values = [self.state, self.nonce, self.verifier, self.to, self.connect]
        return base64.urlsafe_b64encode(orjson.dumps(values)).decode()


@dataclass(slots=True, frozen=True)
class Person:
    """Whom the service vouches for. verified: it says that the address is this person's."""

    issuer: str
    subject: str
    email: str
    verified: bool


def unsealed(cookie: str) -> Begun | None:
    """What the cookie says was begun; None when it is not there, or none of ours."""
    try:
        state, nonce, verifier, to, connect = orjson.loads(base64.urlsafe_b64decode(cookie))
    except (ValueError, binascii.Error, TypeError):
        return None
    if not all(isinstance(text, str) and text for text in (state, nonce, verifier, to)):
        return None
    return Begun(state, nonce, verifier, to, connect is True)


class OpenIdConnect:
    """One service, with what it tells about itself, kept for an hour."""

    def __init__(self) -> None:
        self._told: Mapping[str, Any] = {}
        self._told_at = float("-inf")
        self._keys: KeySet | None = None
        self._keys_at = float("-inf")

    async def begin(self, context: RequestContext, redirect: str, to: str, *, connect: bool) -> tuple[str, Begun]:
        """Where to send the browser, and what it has to keep meanwhile. redirect: where the service sends it back to.
        Raises UpstreamFault."""
        settings = context.runtime.config.console.oidc
        told = await self._metadata(context, settings)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(state, nonce, verifier, to, connect)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": settings.client_id,
            "redirect_uri": redirect,
            "scope": "openid email profile",
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = str(told["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}", begun

    async def finish(self, context: RequestContext, redirect: str, begun: Begun | None) -> Person:
        """Who came back. Raises Refusal 400 for what was not begun in this browser, UpstreamFault for what the service
        says wrong, Refusal 403 for what it refused."""
        query = context.request.query
        if begun is None or not hmac.compare_digest(query.get("state", "").encode(), begun.state.encode()):
            raise Refusal("This sign-in was not begun in this browser, or too long ago.", status=400, code="bad_state")
        if "error" in query or not query.get("code"):
            context.gateway.log.info("sign-in refused by the service: %s", query.get("error", "")[:100])
            raise Refusal("The other service did not let you in.", status=403, code="access_denied")
        settings = context.runtime.config.console.oidc
        told = await self._metadata(context, settings)
        if "iss" in query and query["iss"] != told["issuer"]:  # RFC 9207
            raise _wrong("it answered in another one's name")
        tokens = await self._redeem(context, settings, told, query["code"], redirect, begun.verifier)
        claims = await self._claims(context, settings, told, tokens, begun.nonce)
        if not claims.get("email"):
            claims |= await self._asked(context, told, tokens, str(claims["sub"]))
        verified = claims.get("email_verified")
        return Person(
            str(told["issuer"]),
            str(claims["sub"]),
            str(claims.get("email") or ""),
            verified is True or verified == "true",
        )

    async def _metadata(self, context: RequestContext, settings: OidcSettings) -> Mapping[str, Any]:
        if time.monotonic() - self._told_at < _KEPT:
            return self._told
        issuer = settings.issuer or ""
        address = issuer.rstrip("/") + "/.well-known/openid-configuration"
        told = await _read(context, UpstreamRequest(address, {}, b"", "GET"))
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            found = told.get(name)
            if not isinstance(found, str) or not found.startswith(("https://", "http://")):
                raise _wrong(f"its configuration has no {name}")
            if found.startswith("http://") and issuer.startswith("https://"):
                raise _wrong(f"its {name} is without TLS")
        if told.get("issuer") != issuer:
            raise _wrong(f"its configuration is of the issuer {str(told.get('issuer'))[:200]!r}, not {issuer!r}")
        self._told, self._told_at = told, time.monotonic()
        return told

    async def _redeem(
        self,
        context: RequestContext,
        settings: OidcSettings,
        told: Mapping[str, Any],
        code: str,
        redirect: str,
        verifier: str,
    ) -> Mapping[str, Any]:
        """The tokens for a code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        client, secret = settings.client_id or "", settings.client_secret or ""
        ways = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if not secret or "client_secret_basic" not in ways:
            form |= {"client_id": client} | ({"client_secret": secret} if secret else {})
        else:
            pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        request = UpstreamRequest(str(told["token_endpoint"]), headers, urlencode(form).encode())
        tokens = await _read(context, request)
        if not isinstance(tokens.get("id_token"), str):
            raise _wrong("it sent no ID token")
        return tokens

    async def _claims(
        self,
        context: RequestContext,
        settings: OidcSettings,
        told: Mapping[str, Any],
        tokens: Mapping[str, Any],
        nonce: str,
    ) -> dict[str, Any]:
        """What the ID token says, once its signature and all that must be in it were checked."""
        from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
        from joserfc.errors import JoseError

        offered = told.get("id_token_signing_alg_values_supported") or ["RS256"]
        allowed = [name for name in offered if name in _ALGORITHMS]
        options = {
            "iss": {"essential": True, "value": told["issuer"]},
            "aud": {"essential": True, "value": settings.client_id},
            "sub": {"essential": True},
        }
        params = {"nonce": nonce, "client_id": settings.client_id, "access_token": tokens.get("access_token")}
        try:
            token = await self._decoded(context, told, str(tokens["id_token"]), allowed)
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=_LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise _wrong(f"its ID token does not hold: {error!r}") from error
        return dict(token.claims)

    async def _decoded(self, context: RequestContext, told: Mapping[str, Any], text: str, allowed: list[str]) -> Any:
        """The token, checked by the service's keys; read again when none of those that are known fits."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        fresh = time.monotonic() - self._keys_at < _AGAIN
        if self._keys is not None and time.monotonic() - self._keys_at < _KEPT:
            try:
                return jwt.decode(text, self._keys, algorithms=allowed)
            except (JoseError, ValueError):
                if fresh:
                    raise
        from joserfc.jwk import KeySet

        document: Any = await _read(context, UpstreamRequest(str(told["jwks_uri"]), {}, b"", "GET"))
        self._keys, self._keys_at = KeySet.import_key_set(document), time.monotonic()
        return jwt.decode(text, self._keys, algorithms=allowed)

    async def _asked(
        self, context: RequestContext, told: Mapping[str, Any], tokens: Mapping[str, Any], subject: str
    ) -> Mapping[str, Any]:
        """The address by the service's other way of telling it."""
        address, token = told.get("userinfo_endpoint"), tokens.get("access_token")
        if not isinstance(address, str) or not isinstance(token, str):
            return {}
        found = await _read(context, UpstreamRequest(address, {"authorization": f"Bearer {token}"}, b"", "GET"))
        if found.get("sub") != subject:
            raise _wrong("it told of somebody else")
        return {name: found[name] for name in ("email", "email_verified") if name in found}


async def _read(context: RequestContext, request: UpstreamRequest) -> Mapping[str, Any]:
    """A JSON object from the service."""
    try:
        reply = await context.runtime.exchange(request, seconds=_SECONDS, most=_MOST)
        value = orjson.loads(reply.body)
    except (Fault, ValueError) as error:
        raise _wrong(f"{request.method} {request.url}: {error!r}") from error
    if reply.status != 200 or not isinstance(value, dict):
        said = str(value.get("error", "")) if isinstance(value, dict) else ""
        raise _wrong(f"{request.method} {request.url}: status {reply.status} {said[:200]}")
    return value


def _wrong(detail: str) -> UpstreamFault:
    return UpstreamFault(
        "The service to sign in by did not answer as it should. Try again; if it stays so, tell the operator.",
        status=502,
        code="sign_in_service_failed",
        detail=detail,
    )
