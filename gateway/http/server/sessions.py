"""Who is signed in: the session's cookie, the token against forged requests, and the caller that they make.

The cookie holds the session's token and nothing else; all else is in the store, and looked up with each request, so a
session that was ended is over at once. Over TLS its name begins with `__Host-`: browsers then take it only from this
very host, with `Secure` and for all paths. Browsers refuse that name without TLS, so a gateway on the own machine,
where nobody can listen, uses a plain one; see `may_sign_in` for the rest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.call import Caller
from gateway.config import Config
from gateway.errors import Refusal
from gateway.http import web
from gateway.http.server.request_reading import is_own_origin, own_address
from gateway.stores import Account, Session, Stores

CSRF_HEADER = "X-CSRF-Token"
CONNECT = "connect"
"""The purpose of a proof: to connect another service's identity with the account."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURE_COOKIE = "__Host-session"
_PLAIN_COOKIE = "gateway_session"
_LONGEST_TOKEN = 100


@dataclass(slots=True, frozen=True)
class SignedIn:
    """Somebody who is signed in. token: the session's, as the cookie has it. csrf: what only this gateway's own pages
    can know, for everything that changes something."""

    session: Session
    account: Account
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """What goes along with all that changes something."""
        return self.proof("csrf")

    def proof(self, purpose: str) -> str:
        """That a page of this session led somewhere. Made of the session's token, which it does not betray."""
        made = hmac.digest(self.token.encode(), purpose.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    @property
    def caller(self) -> Caller:
        """The account itself as a caller: without a key, so also without any key's limits."""
        return Caller(
            account_id=self.account.id,
            key_id="",
            key_label="console",
            account_requests_per_minute=self.account.requests_per_minute,
        )


def session_token(request: web.BaseRequest) -> str:
    """The token that the request's cookie has, "" when it has none."""
    # A browser that has both came over TLS now, or it would not send the first.
    cookies = request.cookies
    token: str = cookies.get(_SECURE_COOKIE) or cookies.get(_PLAIN_COOKIE) or ""
    return token if len(token) <= _LONGEST_TOKEN else ""


async def find_signed_in(request: web.BaseRequest, stores: Stores) -> SignedIn | None:
    """Who is signed in with this request's cookie, by the store's present state; None when nobody is."""
    token = session_token(request)
    session = await stores.sessions.find_session(token) if token else None
    if session is None:
        return None
    account = await stores.accounts.get_account(session.account_id)
    return None if account is None or account.disabled else SignedIn(session, account, token)


def check_forgery(request: web.BaseRequest, config: Config, signed_in: SignedIn) -> None:
    """Browsers send the cookie along whoever made them send the request, so what changes something must carry the
    token as a header, and must not come from another site. Raises Refusal(403)."""
    if request.method in SAFE_METHODS:
        return
    if not is_own_origin(request, config.server):
        raise Refusal("This request was not sent from a page of this gateway.", status=403, code="wrong_origin")
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), signed_in.csrf.encode()):
        raise Refusal(
            f"The header {CSRF_HEADER} is missing or out of date: load the page again.",
            status=403,
            code="bad_csrf_token",
        )


def set_cookie(response: web.StreamResponse, request: web.BaseRequest, config: Config, token: str) -> None:
    """Let the browser keep a session's token."""
    secure = is_secure(request, config)
    response.set_cookie(
        _SECURE_COOKIE if secure else _PLAIN_COOKIE,
        token,
        max_age=round(config.console.session_lifetime),
        path="/",
        httponly=True,
        secure=secure,
        samesite="Lax",
    )


def clear_cookie(response: web.StreamResponse) -> None:
    """Let the browser forget the session's token."""
    response.del_cookie(_SECURE_COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    response.del_cookie(_PLAIN_COOKIE, path="/", httponly=True, samesite="Lax")


def is_secure(request: web.BaseRequest, config: Config) -> bool:
    """Whether the browser reaches the gateway over TLS, as far as the operator's word or a trusted proxy's says so."""
    public = config.server.public_url
    if public is not None and urlsplit(public).netloc != request.headers.get("Host", ""):
        # By another name than the public one: over a tunnel, or from the machine itself.
        return False
    return own_address(request, config.server).startswith("https://")


def may_sign_in(request: web.BaseRequest, config: Config) -> bool:
    """Whether a password may be typed in here: over TLS, on the own machine, or where the operator accepts
    that others can read it (`console.plain_http`)."""
    return is_secure(request, config) or config.console.plain_http or _is_own_machine(request)


def _is_own_machine(request: web.BaseRequest) -> bool:
    """Whether the browser asked for a name of the machine it runs on: then nothing travels over a network that the
    user did not put in between, such as a tunnel. (Containers see another peer than loopback, so that says nothing.)"""
    host = urlsplit("//" + request.headers.get("Host", "")).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
