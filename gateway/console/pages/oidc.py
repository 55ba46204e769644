"""Signing in by another service: there, and back again."""

from __future__ import annotations

import hmac

from gateway.console.page import Answer, Visit, page
from gateway.console.pages.sign_in import HOME, next_page, shown
from gateway.console.visitor import member_of
from gateway.errors import CallerFault, Fault, Refusal
from gateway.http.api.account import signing_in
from gateway.http.api.account.oidc import BEGUN_FOR, CALLBACK, COOKIE, OpenIdConnect, unsealed
from gateway.http.server.sessions import CONNECT, is_secure

_SETTINGS = "/settings"


def _check(visit: Visit) -> None:
    if visit.config.console.oidc.issuer is None:
        raise CallerFault("Nobody signs in by another service here.", status=404, code="not_found")


@page("GET", "/login/oidc", template="login.html")
async def begin(visit: Visit) -> Answer:
    """To the service, to come back to `next`. connect: proves that the account's own settings led here: then who comes
    back is connected with the account. Nobody else may make a browser do that, for it may be signed in over there as
    somebody else."""
    _check(visit)
    connect = visit.query.get("connect", "")
    to = _SETTINGS if connect else next_page(visit.query.get("next", ""))
    try:
        await signing_in.admit(visit.context)
        if connect and not _is_proof(visit, connect):
            raise Refusal("Begin from the page of settings.", status=403, code="bad_csrf_token")
        service = await visit.generation.get(OpenIdConnect)
        address, begun = await service.begin(visit.context, visit.base_url + CALLBACK, to, connect=connect != "")
    except Fault as fault:
        return _failed(visit, fault, to)
    response = visit.redirect("/")
    response.headers["location"] = address
    response.set_cookie(
        COOKIE,
        begun.sealed(),
        max_age=BEGUN_FOR,
        path="/login/oidc",
        httponly=True,
        samesite="Lax",
        secure=is_secure(visit.context.request, visit.config),
    )
    return response


def _failed(visit: Visit, fault: Fault, to: str) -> Answer:
    """The page of signing in, with what is wrong; the details are the operator's."""
    if fault.detail:
        facts = {"request_id": visit.context.id, "detail": fault.detail}
        visit.context.gateway.log.warning("signing in by another service failed: %s", fault.message, extra=facts)
    return shown(visit, fault, next=to)


def _is_proof(visit: Visit, given: str) -> bool:
    if not visit.visitor.signed_in:
        return False
    return hmac.compare_digest(given.encode(), member_of(visit.visitor).proof(CONNECT).encode())


@page("GET", CALLBACK, template="login.html")
async def back(visit: Visit) -> Answer:
    """From the service: who came is signed in, or connected."""
    _check(visit)
    begun = unsealed(visit.context.request.cookies.get(COOKIE, ""))
    try:
        await signing_in.admit(visit.context, from_outside=True)
        service = await visit.generation.get(OpenIdConnect)
        person = await service.finish(visit.context, visit.base_url + CALLBACK, begun)
        if begun is not None and begun.connect:
            if not visit.visitor.signed_in:
                raise Refusal("Your session has ended meanwhile. Sign in, and connect again.", status=403)
            await signing_in.connect_service(visit.context, member_of(visit.visitor), person)
            name = visit.config.console.oidc.name
            response = visit.redirect(_SETTINGS, say=f"From now on you can sign in by {name}.")
        else:
            opened = await signing_in.sign_in_by_service(visit.context, person)
            response = visit.redirect(next_page(begun.to if begun is not None else ""))
            opened.keep(response, visit.context)
    except Fault as fault:
        return _failed(visit, fault, HOME)
    response.del_cookie(COOKIE, path="/login/oidc")
    return response


PAGES = (begin, back)
