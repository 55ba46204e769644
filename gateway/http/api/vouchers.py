"""POST /account/vouchers/redeem: a printed code becomes credits, once."""

from __future__ import annotations

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.form import find_caller, read_object, throttle
from gateway.http.api.operations.account import NEW_REDEMPTION
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import remote_address

_TRIES = 10
_TRIES_OF_ADDRESS = 30
_WINDOW = 60.0


async def redeem(context: RequestContext) -> web.StreamResponse:
    """`{"code": "..."}` to `{"object", "credits", "balance"}`. With an `Idempotency-Key` the same request may be sent
    again. Tries, right or wrong, are counted per account and per address: codes hold 100 random bits, and nobody
    shall get to try many of them."""
    caller = await find_caller(context)
    await count_try(context, caller.account_id)
    code = (await read_object(context, *NEW_REDEMPTION["properties"])).get("code")
    key = context.request.headers.get("Idempotency-Key", "")
    credits, balance = await redeem_code(context, caller.account_id, code, key)
    return context.json({"object": "voucher.redemption", "credits": credits, "balance": balance})


async def count_try(context: RequestContext, account_id: str) -> None:
    """Raises Refusal 429."""
    remote = remote_address(context.request, context.runtime.config.server.trusted_proxies)
    limits = [(f"voucher:{account_id}", _TRIES), (f"voucher-from:{remote}", _TRIES_OF_ADDRESS)]
    await throttle(context, limits, _WINDOW)


async def redeem_code(context: RequestContext, account_id: str, code: object, key: str = "") -> tuple[int, int]:
    """Turn a code into credits; returns (credits, balance). key: the same may ask again. Raises CallerFault 400,
    Refusal 400."""
    if not isinstance(code, str) or not code.strip():
        raise CallerFault("code: expected the text of a voucher.", param="code")
    return await context.gateway.stores.ledger.redeem(account_id, code.strip(), key=key)
