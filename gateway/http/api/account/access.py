"""Who may ask what of the account API: a key reads, a person who is signed in also changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.errors import Refusal
from gateway.http import web
from gateway.http.api.form import find_caller
from gateway.http.server.request_context import RequestContext
from gateway.http.server.sessions import SignedIn
from gateway.stores import Account

Handler = Callable[[RequestContext], Awaitable[web.StreamResponse]]


async def find_account(context: RequestContext) -> Account:
    """The account of whoever asks, by key or session. Raises Refusal 401, 403."""
    caller = await find_caller(context)
    if context.signed_in is not None:
        return context.signed_in.account
    account = await context.gateway.stores.accounts.get_account(caller.account_id)
    if account is None:
        raise Refusal("The account of this key is gone.", status=401, code="invalid_api_key")
    return account


async def find_member(context: RequestContext) -> SignedIn:
    """Who is signed in, for what no key may do: a key that leaked must not make others, or change a password. Raises
    Refusal 401, 403."""
    await find_caller(context)
    if context.signed_in is None:
        raise Refusal(
            "A key cannot do this: sign in to the console.",
            status=403,
            type="session_required",
            code="session_required",
        )
    return context.signed_in


def private(work: Handler) -> Handler:
    """The handler whose answers nobody keeps."""

    async def handler(context: RequestContext) -> web.StreamResponse:
        response = await work(context)
        if not response.prepared:
            response.headers["cache-control"] = "no-store"
        return response

    return handler
