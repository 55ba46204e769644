"""What becomes of what dead processes were in the middle of; see `gateway.stores.presence`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.stores.kind import Stores


@dataclass(slots=True, frozen=True)
class FailedOver:
    """How many holds and responses of the dead were resolved."""

    holds: int = 0
    responses: int = 0


async def fail_over(stores: Stores, error: Mapping[str, Any]) -> FailedOver:
    """Resolve what dead leases left open, then bury them. Safe to call from every process at any time.

    Holds come first, so that a response that is shown as failed has its bill. Keyed requests need nothing: once the
    lease is buried, the next who asks takes them over. error: what the failed responses say.
    """
    holds = responses = 0
    for lease in await stores.presence.dead():
        holds += await stores.ledger.fail_over(lease)
        responses += await stores.responses.fail_over(lease, error)
        await stores.presence.bury(lease)
    return FailedOver(holds, responses)
