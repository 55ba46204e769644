"""Buying credits: orders by users under /account/topups, and what payment services report about them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.config import Config, PaymentEntry
from gateway.config.limits import BodyLimits
from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.api.form import find_caller, read_object, throttle
from gateway.http.api.operations.account import NEW_TOPUP
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import read_body
from gateway.payments import Checkout, Order, PaymentEvent, PaymentMethod
from gateway.stores import TopUp

CURRENCY = "usd"
_ORDERS_PER_MINUTE = 10
_PAGE = 100
# What a payment service may take and send. Webhooks of both known services stay far below.
_SECONDS = 20.0
_MOST_REPLY = 4 << 20
_WEBHOOK_LIMITS = BodyLimits(max_body=1 << 20, grace=20.0, min_rate=1024)
_USD = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?", re.ASCII)
_LONGEST_URL = 2000


async def create_topup(context: RequestContext) -> web.StreamResponse:
    """`{"method", "amount_usd" or "credits", "success_url"?, "cancel_url"?}` to the order with the `url` to pay at.

    The order is durable before the service hears of it: whatever is paid later leads back to this account."""
    caller = await find_caller(context)
    body = await read_object(context, *NEW_TOPUP["properties"])
    return context.json(view(await order_credits(context, caller.account_id, body)))


async def order_credits(context: RequestContext, account_id: str, body: Mapping[str, Any], *, base: str = "") -> TopUp:
    """An order with its payment page. body: as `create_topup` takes it. base: this gateway's address as the payer has
    it, for pages that `body` does not name; "" for the configured one. Raises CallerFault 400, 404, 429, UpstreamFault
    when the service makes no page."""
    await throttle(context, [(f"topup:{account_id}", _ORDERS_PER_MINUTE)], 60.0)
    config = context.runtime.config
    method = _method(context, body.get("method"))
    amount, credits = _sum(body, config.payments[method.name], config.credits.per_usd)
    pages = [_url(body, "success_url"), _url(body, "cancel_url")]
    topups = context.gateway.stores.topups
    topup = await topups.open(account_id, method.name, currency=CURRENCY, amount=amount, credits=credits)
    own = f"{base or _base(config)}/{'credits' if config.console.enabled else ''}?topup={topup.id}"
    success, cancel = (page or own for page in pages)
    order = Order(topup.id, account_id, amount, CURRENCY, credits, success, cancel)
    try:
        checkout = await _open_checkout(context, method, order)
    except Fault as fault:
        await topups.give_up(topup.id)
        raise _service_failed(fault) from fault
    except Exception:  # a plugin that stumbles over an answer leaves no order behind that looks as if it could be paid
        await topups.give_up(topup.id)
        raise
    return await topups.set_checkout(topup.id, checkout.id, checkout.url) or topup


async def get_topup(context: RequestContext) -> web.StreamResponse:
    """One of the caller's own orders. Raises CallerFault 404."""
    caller = await find_caller(context)
    topup = await context.gateway.stores.topups.get(context.values["id"], account_id=caller.account_id)
    if topup is None:
        raise CallerFault("There is no such top-up.", status=404, code="topup_not_found")
    return context.json(view(topup))


async def list_topups(context: RequestContext) -> web.StreamResponse:
    """The caller's newest orders, and by which methods new ones can be paid."""
    caller = await find_caller(context)
    topups = await context.gateway.stores.topups.list_topups(
        caller.account_id, before=context.request.query.get("before", ""), limit=_PAGE
    )
    data = [view(topup) for topup in topups]
    return context.json({"object": "list", "data": data, "methods": methods_of(context.runtime)})


def methods_of(runtime: Runtime) -> list[dict[str, str]]:
    """By which services credits can be bought, and from how much to how much."""
    return [
        {"name": name, "minimum_usd": _usd(entry.minimum), "maximum_usd": _usd(entry.maximum)}
        for name, entry in runtime.config.payments.items()
        if name in runtime.payments
    ]


async def receive_webhook(context: RequestContext) -> web.StreamResponse:
    """A payment service reports. No key: the service proves itself by its signature over the raw body. Any answer but
    200 makes it report again, so 200 means that everything it said is durable (or does not concern us)."""
    method = context.runtime.payments.get(context.values["name"])
    if method is None:
        raise CallerFault("There is no such payment service.", status=404, code="not_found")
    raw = await read_body(context.request, _WEBHOOK_LIMITS)
    headers = {name.lower(): value for name, value in context.request.headers.items()}
    for told in method.read_webhook(headers, raw, time.time()):
        for event in await _confirmed(context, method, told):
            await _book(context, method, event)
    return context.json({"received": True})


async def _confirmed(context: RequestContext, method: PaymentMethod, event: PaymentEvent) -> list[PaymentEvent]:
    requests = method.build_lookup(event)
    if not requests:
        return [event]
    try:
        exchange = context.runtime.exchange
        replies = [await exchange(request, seconds=_SECONDS, most=_MOST_REPLY) for request in requests]
        return method.read_lookup(event, replies)
    except UpstreamFault as fault:
        raise _service_failed(fault) from fault


async def _book(context: RequestContext, method: PaymentMethod, event: PaymentEvent) -> None:
    if not event.order_id:
        return  # money that is no business of ours: the service's account may sell other things too
    log = context.gateway.log
    facts = {"request_id": context.id, "service": method.name, "event": event.id, "topup": event.order_id}
    try:
        topup = await context.gateway.stores.topups.book(method.name, event)
    except Fault as fault:
        log.error("a payment could not be booked: %s", fault.message, extra={**facts, "detail": fault.detail})
        raise
    if topup is None:
        # Another gateway may share the service's account, so this is no failure, but an operator may look for it.
        log.warning("a payment for an unknown order was reported", extra=facts)
        return
    log.info(
        "payment", extra={**facts, "status": topup.status, "credited": topup.credited, "account": topup.account_id}
    )
    if topup.owed:
        log.warning("credits that were given back had been spent: %d are owed", topup.owed, extra=facts)


async def _open_checkout(context: RequestContext, method: PaymentMethod, order: Order) -> Checkout:
    reply = await context.runtime.exchange(method.build_checkout(order), seconds=_SECONDS, most=_MOST_REPLY)
    checkout = method.read_checkout(reply)
    if not _is_page(checkout.url) or not 0 < len(checkout.id) <= 200:
        raise UpstreamFault("The payment service's answer makes no sense.", detail=repr(checkout)[:300])
    return checkout


def _service_failed(fault: Fault) -> UpstreamFault:
    return UpstreamFault(
        "The payment service did not answer as it should; nothing was booked. Try again.",
        status=504 if fault.status == 504 else 502,
        code="payment_service_failed",
        detail=f"{fault.message} {fault.detail}".strip(),
    )


def _method(context: RequestContext, name: Any) -> PaymentMethod:
    methods = context.runtime.payments
    if not methods:
        raise CallerFault("Credits cannot be bought here: no payment service is set up.", status=404, code="not_found")
    if not isinstance(name, str) or name not in methods:
        raise CallerFault(f"method: expected one of {', '.join(sorted(methods))}.", param="method")
    return methods[name]


def _sum(body: Mapping[str, Any], entry: PaymentEntry, per_usd: int) -> tuple[int, int]:
    """Cents to pay, and the credits that they buy: never fewer than were asked for."""
    if ("amount_usd" in body) == ("credits" in body):
        raise CallerFault("amount_usd: give either amount_usd or credits.", param="amount_usd")
    if "amount_usd" in body:
        name, amount = "amount_usd", _cents(body["amount_usd"])
    else:
        name, wanted = "credits", body["credits"]
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
            raise CallerFault("credits: expected a whole number of 1 or more.", param="credits")
        amount = -(-wanted * 100 // per_usd)
    if not entry.minimum <= amount <= entry.maximum:
        raise CallerFault(
            f"{name}: one order is from {_usd(entry.minimum)} to {_usd(entry.maximum)} USD, "
            f"and this is {_usd(amount)} USD.",
            param=name,
            code="amount_out_of_range",
        )
    credits = amount * per_usd // 100
    if credits < 1:
        raise CallerFault(f"{name}: {_usd(amount)} USD buy less than one credit.", param=name)
    return amount, credits


def _cents(value: Any) -> int:
    found = _USD.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise CallerFault('amount_usd: expected an amount as text, such as "20" or "12.50".', param="amount_usd")
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def _url(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not _is_page(value):
        raise CallerFault(f"{name}: expected an absolute http or https address.", param=name)
    return value


def _is_page(url: str) -> bool:
    """An address that a browser may be sent to."""
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None


def _base(config: Config) -> str:
    server = config.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return server.public_url or f"http://{host}:{server.port}"


def _usd(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def view(topup: TopUp) -> dict[str, Any]:
    """An order as its owner sees it."""
    return {
        "object": "topup",
        "id": topup.id,
        "method": topup.method,
        "status": topup.status,
        "url": topup.url,
        "currency": topup.currency,
        "amount": _usd(topup.amount),
        "credits": topup.credits,
        "received": _usd(topup.settled),
        "returned": _usd(topup.returned),
        "credited": topup.credited,
        "owed": topup.owed,
        "created": topup.created_at,
    }
