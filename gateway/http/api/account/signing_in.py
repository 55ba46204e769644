"""Signing in, up and out, and passwords: what the pages and the JSON routes both do.

Whoever tries names and passwords learns nothing from the answers, nor from how long they take: an unknown name, a wrong
password and a disabled account are one answer, after one hash each.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field

from gateway.errors import CallerFault, Refusal
from gateway.http import web
from gateway.http.api.account.oidc import Person
from gateway.http.api.form import throttle
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import is_own_origin, remote_address
from gateway.http.server.sessions import SignedIn, clear_cookie, may_sign_in, session_token, set_cookie
from gateway.passwords import check_password
from gateway.stores import Account, Link, LinkPurpose, Login, Session, SignUp

_WINDOW = 60.0
_TRIES_OF_ADDRESS = 20
_TRIES_OF_NAME = 10
_LONGEST_EMAIL = 254


@dataclass(slots=True, frozen=True)
class Opened:
    """A session that was just opened, with its token."""

    account: Account
    session: Session
    token: str = field(repr=False)

    def keep(self, response: web.StreamResponse, context: RequestContext) -> None:
        """Let the browser have it."""
        set_cookie(response, context.request, context.runtime.config, self.token)


async def sign_in(context: RequestContext, email: str, password: str) -> Opened:
    """By address and password. Raises Refusal 401 (one answer for all that may be wrong), 403 where no password may be
    typed in, 429."""
    await admit(context, email)
    stores = context.gateway.stores
    login = await stores.logins.find_login(email[:_LONGEST_EMAIL])
    good = await context.gateway.passwords.matches(password, login.password_hash if login is not None else "")
    account = await stores.accounts.get_account(login.account_id) if login is not None and good else None
    if account is None or account.disabled:
        context.gateway.log.info("sign-in refused", extra={"request_id": context.id, "remote": _remote(context)})
        raise Refusal("The e-mail address or the password is wrong.", status=401, code="wrong_login")
    return await open_session(context, account)


async def sign_in_by_link(context: RequestContext, token: str) -> Opened:
    """By a link that works once. Raises Refusal 404, 429."""
    await admit(context)
    stores = context.gateway.stores
    link = await stores.logins.take_link(token, "sign_in")
    account = None if link is None else await stores.accounts.get_account(link.account_id)
    if account is None:
        raise no_link()
    return await open_session(context, account)


async def sign_up(context: RequestContext, email: str, password: str, invitation: str = "") -> Opened:
    """A new account, when anybody may have one (`console.sign_up`) or by an invitation. Raises Refusal 403, 404, 409,
    429, CallerFault 400."""
    await admit(context, email)
    rule = context.runtime.config.console.sign_up
    if not invitation and rule != "open":
        raise Refusal("Accounts are made by invitation here. Ask the operator for one.", status=403, code="no_sign_up")
    check_password(password, email)
    hashed = await context.gateway.passwords.hash(password)
    account = await context.gateway.stores.logins.sign_up(
        SignUp(email, hashed, grant=context.runtime.config.credits.signup_grant, invitation=invitation)
    )
    await note(context, account.id, "account.sign_up", account.id, invited=bool(invitation))
    return await open_session(context, account)


async def sign_in_by_service(context: RequestContext, person: Person) -> Opened:
    """As somebody whom another service vouches for; who comes for the first time may get an account
    (`console.oidc.create_accounts`). Raises Refusal 403, 409."""
    stores, settings = context.gateway.stores, context.runtime.config.console.oidc
    _check_domain(context, person)
    known = await stores.logins.find_identity(person.issuer, person.subject)
    account = None if known is None else await stores.accounts.get_account(known)
    if known is not None:
        if account is None or account.disabled:
            raise Refusal("This account is disabled.", status=403, code="account_disabled")
        return await open_session(context, account)
    if not settings.create_accounts:
        raise Refusal(
            "No account is connected with you there. Sign in with your password, and connect it under Settings.",
            status=403,
            code="no_sign_up",
        )
    grant = context.runtime.config.credits.signup_grant
    new = SignUp(person.email, "", grant=grant, identity=(person.issuer, person.subject))
    try:
        made = await stores.logins.sign_up(new)
    except Refusal as refusal:
        if refusal.code != "email_taken":
            raise
        raise Refusal(
            "An account with your address is there already. Sign in to it, and connect this service under Settings.",
            status=409,
            code="email_taken",
        ) from refusal
    await note(context, made.id, "account.sign_up", made.id, service=person.issuer)
    return await open_session(context, made)


async def connect_service(context: RequestContext, who: SignedIn, person: Person) -> None:
    """Let this person sign in to the account from now on. Raises Refusal 403, 409."""
    _check_domain(context, person)
    await context.gateway.stores.logins.add_identity(who.account.id, person.issuer, person.subject)
    await note(context, who.account.id, "identity.add", who.account.id, service=person.issuer)


def _check_domain(context: RequestContext, person: Person) -> None:
    domains = context.runtime.config.console.oidc.domains
    if domains and not (person.verified and person.email.rpartition("@")[2].lower() in domains):
        raise Refusal("People with your address are not let in here.", status=403, code="wrong_domain")


async def find_link(context: RequestContext, token: str, purpose: LinkPurpose) -> Link:
    """The link behind a token, which stays as it is. Only a token that is none counts as a try: whoever opens what
    they were given has not guessed, and a team is often behind one address. Raises Refusal 404, 429."""
    _check_way(context)
    link = await context.gateway.stores.logins.find_link(token, purpose)
    if link is None:
        await admit(context)
        raise no_link()
    return link


async def reset_password(context: RequestContext, token: str, password: str, email: str = "") -> Opened:
    """A new password by a link of the operator's; all sessions end, and one begins. Raises Refusal 404, 409, 429,
    CallerFault 400."""
    await admit(context)
    check_password(password, email)
    stores = context.gateway.stores
    hashed = await context.gateway.passwords.hash(password)
    login = await stores.logins.reset_password(token, hashed, email=email)
    account = None if login is None else await stores.accounts.get_account(login.account_id)
    if account is None:
        raise no_link()
    await note(context, account.id, "password.reset", account.id)
    return await open_session(context, account)


async def change_login(
    context: RequestContext, who: SignedIn, *, current: str, password: str = "", email: str = ""
) -> Login:
    """Another password, address or both; a new password ends all other sessions. Who has a password already says it
    once more: a browser that was left open must not be enough. Raises Refusal 403, 409, 429, CallerFault 400."""
    stores, passwords = context.gateway.stores, context.gateway.passwords
    await throttle(context, [(f"password:{who.account.id}", _TRIES_OF_NAME)], _WINDOW)
    login = await stores.logins.login_of(who.account.id)
    if login is not None and login.password_hash and not await passwords.matches(current, login.password_hash):
        raise Refusal(
            "current_password: this is not the present password.", status=403, code="wrong_password",
            param="current_password",
        )  # fmt: skip
    if not password and not email:
        raise CallerFault("password: give a new password, a new e-mail address, or both.", param="password")
    hashed = None
    if password:
        check_password(password, email or (login.email if login is not None else ""))
        hashed = await passwords.hash(password)
    changed = await stores.logins.set_login(
        who.account.id, email=email or None, password_hash=hashed, keep=who.session.id
    )
    if password:
        await note(context, who.account.id, "password.change", who.account.id)
    if email:
        await note(context, who.account.id, "email.change", who.account.id)
    return changed


async def sign_out(context: RequestContext, who: SignedIn, response: web.StreamResponse) -> None:
    """End this session, and let the browser forget it."""
    await context.gateway.stores.sessions.end_session(who.session.id, account_id=who.account.id)
    clear_cookie(response)


async def open_session(context: RequestContext, account: Account) -> Opened:
    """A fresh session, whatever this browser had before: that ends."""
    stores, request = context.gateway.stores, context.request
    before = session_token(request)
    old = await stores.sessions.find_session(before) if before else None
    session, token = await stores.sessions.open_session(
        account.id,
        lifetime=round(context.runtime.config.console.session_lifetime),
        remote=_remote(context),
        agent=_one_line(request.headers.get("User-Agent", "")),
    )
    if old is not None:
        await stores.sessions.end_session(old.id)
    context.gateway.log.info("signed in", extra={"request_id": context.id, "account": account.id})
    return Opened(account, session, token)


async def note(context: RequestContext, actor: str, action: str, subject: str, **detail: object) -> None:
    """Enter what somebody did with their own account in the audit log."""
    await context.gateway.stores.audit.record(actor, action, subject, remote=_remote(context), detail=detail)


def no_link() -> Refusal:
    """What is said of a link that does not hold."""
    return Refusal(
        "This link does not hold (any more): it was used, or has expired. Ask for a new one.",
        status=404,
        code="invalid_link",
    )


async def admit(context: RequestContext, email: str = "", *, from_outside: bool = False) -> None:
    """May somebody try here and now? Counts every try, right ones too. from_outside: another site led here, as it
    should. Raises Refusal 403, 429, CallerFault 404."""
    _check_way(context, from_outside=from_outside)
    limits = [(f"sign-in-from:{_network(_remote(context))}", _TRIES_OF_ADDRESS)]
    if email:
        name = hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()[:32]
        limits.append((f"sign-in:{name}", _TRIES_OF_NAME))
    await throttle(context, limits, _WINDOW)


def _check_way(context: RequestContext, *, from_outside: bool = False) -> None:
    """Does the request come by a way on which people sign in? Raises Refusal 403, CallerFault 404."""
    config = context.runtime.config
    if not config.console.enabled:
        raise CallerFault("Nobody signs in here: the console is switched off.", status=404, code="not_found")
    if not from_outside and not is_own_origin(context.request, config.server):
        raise Refusal("This request was not sent from a page of this gateway.", status=403, code="wrong_origin")
    if not may_sign_in(context.request, config):
        raise Refusal(
            "Signing in needs TLS: without it, everybody on the way can read the password. The operator sets "
            "server.public_url to the https:// address of a TLS proxy (or console.plain_http, in a network that is "
            "trusted).",
            status=403,
            code="tls_required",
        )


def _remote(context: RequestContext) -> str:
    return remote_address(context.request, context.runtime.config.server.trusted_proxies)


def _network(address: str) -> str:
    """Whose tries are counted together: an IPv6 customer has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
