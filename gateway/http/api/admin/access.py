"""Who administers: the admin secret, or the session of an account with the role `admin`; nothing that an API key can do
leads here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.dialect import bearer
from gateway.errors import CallerFault, Refusal, too_fast
from gateway.http import web
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import remote_address
from gateway.http.server.sessions import check_forgery, find_signed_in, session_token
from gateway.stores import Stores

SECRET_ACTOR = "admin"
"""What the audit log calls whoever has the admin secret."""
_TRIES = 20
_TRIES_WINDOW = 60.0

_Found = TypeVar("_Found")


@dataclass(slots=True, frozen=True)
class Admin:
    """An administrator with one request. actor: who the audit log says did it, `admin` or an account's id."""

    context: RequestContext
    actor: str

    @property
    def stores(self) -> Stores:
        """Where it all is kept."""
        return self.context.gateway.stores

    async def record(self, action: str, subject: str, **detail: object) -> None:
        """Enter an act in the audit log, before its answer says that it is done. detail: never a secret."""
        remote = remote_address(self.context.request, self.context.runtime.config.server.trusted_proxies)
        await self.stores.audit.record(self.actor, action, subject, remote=remote, detail=detail)


Work = Callable[[Admin], Awaitable[web.StreamResponse]]


def guarded(work: Work) -> Callable[[RequestContext], Awaitable[web.StreamResponse]]:
    """The handler that lets only administrators through, and whose answers nobody keeps."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        response = await work(await find_admin(context))
        if not response.prepared:
            response.headers["cache-control"] = "no-store"
        return response

    return handler


async def find_admin(context: RequestContext) -> Admin:
    """Raises Refusal 401 without a credential, 403 for a session that is no administrator's or that somebody may have
    forged, 429 after too many wrong secrets from one address."""
    request, stores = context.request, context.gateway.stores
    if "Authorization" not in request.headers and session_token(request):
        signed_in = await find_signed_in(request, stores)
        if signed_in is None:
            raise Refusal("Your session has ended. Sign in again.", status=401, code="session_ended")
        if signed_in.account.role != "admin":
            raise Refusal("This is for administrators.", status=403, code="admin_required")
        check_forgery(request, context.runtime.config, signed_in)
        return Admin(context, signed_in.account.id)
    given = bearer({"authorization": request.headers.get("Authorization", "")})
    # Bytes that are no UTF-8 stand in headers as lone surrogates, which a plain `encode` refuses.
    opens = context.gateway.admin_secrets.opens
    if given != "" and await asyncio.to_thread(opens, given.encode("utf-8", "replace")):
        return Admin(context, SECRET_ACTOR)
    remote = remote_address(request, context.runtime.config.server.trusted_proxies)
    [window] = await stores.counters.hit([(f"admin:{remote}", _TRIES)], _TRIES_WINDOW)
    if not window.allowed:
        raise too_fast("Too many attempts with a wrong admin secret.", retry_after=window.retry_after)
    raise Refusal(
        "The admin API needs the admin secret: 'Authorization: Bearer mgas_...', or the session of an administrator.",
        status=401,
        code="invalid_api_key",
    )


def found(value: _Found | None, what: str) -> _Found:
    """The value. Raises CallerFault 404 when there is none."""
    if value is None:
        raise CallerFault(f"There is no such {what}.", status=404, code="not_found")
    return value
