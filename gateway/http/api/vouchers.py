"""POST /account/vouchers/redeem: a printed code becomes credits, once."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import CallerFault
from gateway.http.api.form import find_caller, read_object, throttle
from gateway.http.api.operations.account import NEW_REDEMPTION
from gateway.http.server.request_context import RequestContext

_TRIES = 10
_TRIES_OF_ADDRESS = 30
_WINDOW = 60.0


async def redeem(context: RequestContext) -> web.StreamResponse:
    """`{"code": "..."}` to `{"object", "credits", "balance"}`. With an `Idempotency-Key` the same request may be sent
    again. Tries, right or wrong, are counted per account and per address: codes hold 100 random bits, and nobody
    shall get to try many of them."""
    caller = await find_caller(context)
    call = context.call
    assert call is not None
    limits = [(f"voucher:{caller.account_id}", _TRIES), (f"voucher-from:{call.remote}", _TRIES_OF_ADDRESS)]
    await throttle(context, limits, _WINDOW)
    code = (await read_object(context, *NEW_REDEMPTION["properties"])).get("code")
    if not isinstance(code, str) or not code.strip():
        raise CallerFault("code: expected the text of a voucher.", param="code")
    key = call.headers.get("idempotency-key", "")
    credits, balance = await context.gateway.stores.ledger.redeem(caller.account_id, code.strip(), key=key)
    return context.json({"object": "voucher.redemption", "credits": credits, "balance": balance})
