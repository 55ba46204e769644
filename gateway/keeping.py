"""What a gateway does now and then as long as it lives: keep its lease, keep house, list models, look after batches,
hear cancellations.

Each is a task that ends only by cancellation: what fails once is logged and tried again at the next turn.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.errors import GatewayFault
from gateway.responses.running import ResponseCancelled, RunningResponses
from gateway.stores import Notices, Presence, Responses, Stores

HOUSEKEEPING = 30.0
"""Seconds between two rounds of housekeeping."""
HEARING = 1.0
"""Seconds between two looks for what other gateways learnt."""
CANCELLATIONS = 0.5
"""Seconds between two looks for background responses that another process was asked to cancel."""
PRUNE_EVERY = 120
"""Rounds between two prunings: once an hour."""
RENEWALS = 4
"""Renewals in the lifetime of a lease that has one: three may fail."""
_DAY = 86_400


async def keep_lease(presence: Presence, log: logging.Logger) -> None:
    """Stay among the living. A process that hung so long that others took it for dead signs on anew: what it had
    begun is theirs, what it begins from now on is its own again."""
    while True:
        lifetime = presence.lease.lifetime
        await asyncio.sleep(HOUSEKEEPING if lifetime is None else lifetime / RENEWALS)
        try:
            if not await presence.renew():
                lost = presence.lease.id
                log.error("lease %s was taken by others; signed on as %s", lost, (await presence.join()).id)
        except Exception:  # a database that is away now may be back before the lease is over
            log.exception("renewing the lease failed")


async def keep_house(
    stores: Stores, log: logging.Logger, fail_over: Callable[[], Awaitable[object]], retention: Callable[[], float]
) -> None:
    """Resolve what dead processes left (`fail_over`), drop what is past retention. retention: seconds that rows of the
    usage log are kept, in whole days."""
    round_ = 0
    while True:
        lifetime = stores.presence.lease.lifetime
        # Where leases expire, what the dead left waits no longer than they live.
        await asyncio.sleep(HOUSEKEEPING if lifetime is None else min(HOUSEKEEPING, lifetime))
        try:
            await fail_over()
            if round_ % PRUNE_EVERY == 0:
                now = int(time.time())
                kept = max(_DAY, round(retention() / _DAY) * _DAY)
                for kind, count in (await stores.prune(now, usage_before=now - kept)).items():
                    log.info("dropped %d %s past retention", count, kind)
        except Exception:  # a full disk today must not end tomorrow's housekeeping
            log.exception("housekeeping failed")
        round_ += 1


async def keep_listing(
    log: logging.Logger, pause: Callable[[], float], discover: Callable[[], Awaitable[object]]
) -> None:
    """Keep the models of patterns up to date. pause: seconds between two looks."""
    while True:
        await asyncio.sleep(pause())
        try:
            await discover()
        except Exception:  # a provider's odd list must not end this for ever
            log.exception("listing models failed")


async def keep_batches(
    log: logging.Logger, pause: Callable[[], float], look_after: Callable[[], Awaitable[object]]
) -> None:
    """Look after the batches at providers. pause: seconds between two looks at one."""
    while True:
        await asyncio.sleep(min(pause(), HOUSEKEEPING))
        try:
            await look_after()
        except Exception:  # a database that is away now may be back the next time
            log.exception("looking after batches failed")


async def hear_others(notices: Notices, adopt: Callable[[Mapping[str, Any], float], None], log: logging.Logger) -> None:
    """Take over what gateways on other machines learnt. adopt: is given a word, and for how many seconds it holds."""
    while True:
        await asyncio.sleep(HEARING)
        try:
            for data, seconds in await notices.heard():
                adopt(data, seconds)
        except GatewayFault:
            continue  # while the database is away each is alone, and others say so
        except Exception:  # an odd word of a newer gateway must not end this for ever
            log.exception("hearing other gateways failed")


async def hear_cancellations(responses: Responses, running: RunningResponses, log: logging.Logger) -> None:
    """Another process was asked to cancel a background response that runs in this one."""
    while True:
        await asyncio.sleep(CANCELLATIONS)
        if not running.background:
            continue
        try:
            asked = await responses.asked_to_cancel()
        except Exception:  # a busy disk now must not end this for ever
            log.exception("looking for cancellations failed")
            continue
        if asked:
            running.stop_background(ResponseCancelled, asked)
