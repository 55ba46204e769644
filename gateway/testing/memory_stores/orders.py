"""Top-ups, in memory."""

from __future__ import annotations

from dataclasses import replace

from gateway.api import PaymentEvent, Refusal
from gateway.api.stores import (
    MAX_CREDITS,
    TopUp,
    change_of,
    check_fit,
    check_parts,
    newer_parts,
    next_state,
    random_text,
    sums_of,
    take,
)
from gateway.testing.memory_stores.world import Store, page


class MemoryTopUps(Store):
    """`gateway.stores.TopUps`."""

    async def open(self, account_id: str, method: str, *, currency: str, amount: int, credits: int) -> TopUp:
        """A new order."""
        self.world.account(account_id)
        topup = TopUp("topup_" + random_text(20), account_id, method, currency, amount, credits, self.world.now())
        self.world.topups[topup.id] = topup
        return topup

    async def set_checkout(self, topup_id: str, checkout_id: str, url: str) -> TopUp | None:
        """The first page stays."""
        topup = self.world.topups.get(topup_id)
        if topup is not None and topup.checkout_id in ("", checkout_id):
            topup = self.world.topups[topup_id] = replace(topup, checkout_id=checkout_id, url=url)
        return topup

    async def give_up(self, topup_id: str) -> None:
        """Only an order without a page."""
        topup = self.world.topups.get(topup_id)
        if topup is not None and topup.state == "pending" and not topup.checkout_id:
            self.world.topups[topup_id] = replace(topup, state="failed")

    async def get(self, topup_id: str, *, account_id: str | None = None) -> TopUp | None:
        """One order."""
        topup = self.world.topups.get(topup_id)
        return topup if topup is not None and account_id in (None, topup.account_id) else None

    async def list_topups(self, account_id: str | None = None, *, before: str = "", limit: int = 100) -> list[TopUp]:
        """Newest first."""
        rows = [one for one in reversed(self.world.topups.values()) if account_id in (None, one.account_id)]
        begin = next((place + 1 for place, one in enumerate(rows) if one.id == before), 0)
        return page(rows[begin:], limit)

    async def book(self, method: str, event: PaymentEvent) -> TopUp | None:
        """The arithmetic is every store's."""
        check_parts(event.parts)
        topup = self.world.topups.get(event.order_id)
        if topup is None:
            return None
        check_fit(topup, method, event)
        known = dict(self.world.parts.get(topup.id, {}))
        for part in newer_parts(known, event.parts):
            known[part.name] = part
        settled, returned = sums_of(known.values())
        posted = sum(entry.key.startswith(f"topup:{topup.id}:") for entry in self.world.entries)
        once = f"topup:{topup.id}:{posted + 1}"
        change, account = change_of(topup, settled, returned), self.world.accounts[topup.account_id]
        if change.wanted > 0:
            if account.balance + change.wanted > MAX_CREDITS:
                raise Refusal("credits: the balance would become too large.", status=409, code="too_many_credits")
            change.posted = change.wanted
            self.world.post(account.id, "topup", change.posted, key=once)
        elif change.wanted:
            take(change, account.balance - account.held)
            self.world.post(account.id, "correction", change.posted, unpaid=change.unpaid, key=once)
        self.world.parts[topup.id] = known
        topup = self.world.topups[topup.id] = replace(
            topup, state=next_state(topup.state, event.state), checkout_id=topup.checkout_id or event.checkout_id,
            settled=settled, returned=returned, credited=topup.credited + change.posted, owed=change.owed,
        )  # fmt: skip
        return topup
