"""The ledger, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

from gateway.api import Basis, CallerFault, GatewayFault, Refusal, Usage
from gateway.api.stores import (
    CRASHED,
    MAX_CREDITS,
    VOUCHER_PEPPER,
    Entry,
    EntryKind,
    Hold,
    HoldRequest,
    UsageRow,
    Voucher,
    affordable,
    asked_credits,
    checked_count,
    checked_price,
    checked_text,
    cost,
    derive,
    digest,
    fitting,
    new_code,
    read_code,
    read_period,
    too_poor,
)
from gateway.testing.memory_stores.usage import log
from gateway.testing.memory_stores.world import Held, Store, World, page, refunded


def give_back(world: World, request_id: str) -> None:
    """Refund all that is left of a charge, because the request runs again."""
    held = world.holds.get(request_id)
    if held is not None and held.state == "settled" and (left := held.charged - refunded(world, request_id)):
        world.post(held.request.account_id, "refund", left, hold=held, key="rerun:" + request_id)


class MemoryLedger(Store):
    """`gateway.stores.Ledger`."""

    def _room(self, account_id: str, key_id: str, period: str, ceiling: int | None) -> int:
        account = self.world.accounts[account_id]
        room = account.balance - account.held
        return room if ceiling is None else min(room, ceiling - sum(self.world.month(key_id, period)))

    async def hold(self, request: HoldRequest) -> Hold:
        """Check everything, then reserve."""
        if not request.request_id or len(request.request_id) > 200:
            raise GatewayFault("A request id must have 1 to 200 characters.")
        checked_count(request.units, "units")
        base, price = checked_price(request.base, "base"), checked_price(request.unit_price, "unit price")
        read_period(request.period)
        world, earlier = self.world, self.world.holds.get(request.request_id)
        if earlier is not None:
            if earlier.state == "open" and earlier.request.account_id == request.account_id:
                return Hold(request.request_id, earlier.amount, earlier.units)
            raise Refusal("This request id was used before.", status=409, code="request_id_used")
        if self.presence.lease.id not in world.leases:
            raise GatewayFault("This gateway was taken for dead.", status=503, code="lease_lost", retry_after=1.0)
        account = world.accounts.get(request.account_id)
        if account is None:
            raise Refusal("The account of this key is unknown.", status=401, code="invalid_api_key")
        if account.disabled:
            raise Refusal("This account is disabled.", status=403, type="account_disabled", code="account_disabled")
        ceiling = self._ceiling(request)
        room = self._room(account.id, request.key_id, request.period, ceiling)
        amount, units = cost(base, price, request.units), request.units
        if amount > room:
            least = base if request.least_base is None else min(base, checked_price(request.least_base, "base"))
            base, units = fitting(room, base, least, price, units)
            if units < request.least_units:
                raise too_poor(request, balance=account.balance, held=account.held, room=room, ceiling=ceiling)
            amount = cost(base, price, units)
        covered = None
        if request.reserve is not None and request.reserve < units and price:
            covered, amount = request.reserve, cost(base, price, request.reserve)
        held = Held(request, self.presence.lease.id, base, amount, units if covered is None else covered, ceiling,
                    world.now())  # fmt: skip
        world.holds[request.request_id] = held
        world.post(account.id, "hold", reserved=amount, hold=held)
        return Hold(request.request_id, amount, units, covered, None if base == request.base else base)

    def _ceiling(self, request: HoldRequest) -> int | None:
        if not request.key_id:
            return None
        key = self.world.keys.get(request.key_id)
        if key is None or key.account_id != request.account_id or key.revoked_at is not None:
            raise Refusal("The API key is unknown or revoked.", status=401, code="invalid_api_key")
        return min((one for one in (request.monthly_limit, key.monthly_limit) if one is not None), default=None)

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        """More of an open hold, as far as it can be paid."""
        held = self.world.holds.get(request_id)
        if held is None or held.state != "open" or self.world.accounts[held.request.account_id].disabled:
            return 0
        asked, price, total = held.request, held.request.unit_price, held.base + base
        room = max(self._room(asked.account_id, asked.key_id, asked.period, held.ceiling), 0) + held.amount
        wanted = min(held.units + units, MAX_CREDITS)
        if cost(total, price, wanted) > room:
            wanted = affordable(room, total, price) if price else -1
            if wanted <= held.units:
                return 0
        added, amount = wanted - held.units, cost(total, price, wanted)
        reserved, held.units, held.amount, held.base = amount - held.amount, wanted, amount, total
        if reserved:
            self.world.post(asked.account_id, "hold_grow", reserved=reserved, hold=held)
        return added

    def mark_dispatched(self, request_id: str) -> None:
        """At once: nothing is cheaper here than to write."""
        if request_id in self.world.holds:
            self.world.holds[request_id].dispatched = True

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        """At once."""
        held = self.world.holds.get(request_id)
        if held is not None:
            held.dispatched, held.known, held.usage = True, charge, replace(usage)

    async def settle(
        self, request_id: str, charge: int, basis: Basis, usage: Usage, model: str, *, disputed: int = 0
    ) -> int:
        """The first end counts."""
        checked_count(charge, "charge")
        held = self.world.holds.get(request_id)
        if held is None:
            raise GatewayFault("There is no hold for this request; nothing was charged.", code="unknown_hold")
        if basis == "void" and held.state == "open":
            await self.void(request_id)
        if held.state == "voided" or (held.state == "settled" and not self._costs_more(held, charge, model)):
            return held.charged
        charged = self._charge(held, charge, basis, model or None)
        if disputed:
            account = held.request.account_id
            self.world.post(account, "overrun", unpaid=disputed, hold=held, basis=basis, note="disputed usage")
        return charged

    def _costs_more(self, held: Held, charge: int, model: str) -> bool:
        """Whether others have charged less, and nothing was given back since."""
        by_others = held.target is None and bool(model)
        return by_others and charge > held.charged and not refunded(self.world, held.request.request_id)

    def _charge(self, held: Held, charge: int, basis: Basis, target: str | None = None) -> int:
        asked = held.request
        reserved = held.amount if held.state == "open" else 0
        before = held.charged if held.state == "settled" else 0
        covered = min(charge - before, reserved)
        ceiling = held.ceiling if held.state == "open" else self._ceiling_of(asked.key_id)
        room = self._room(asked.account_id, asked.key_id, asked.period, ceiling)
        beyond = charge - before - covered
        extra = min(beyond, max(room, 0))
        if held.state != "settled":
            self.world.post(asked.account_id, "charge", -covered, -reserved, hold=held, basis=basis)
        held.state, held.target = "settled", target
        if beyond:
            unpaid = beyond - extra
            self.world.post(asked.account_id, "overrun", -extra, unpaid=unpaid, hold=held, basis=basis)
        held.charged = before + covered + extra
        return held.charged

    def _ceiling_of(self, key_id: str) -> int | None:
        return self.world.keys[key_id].monthly_limit if key_id in self.world.keys else None

    async def void(self, request_id: str) -> None:
        """Release an open hold; a forsaken one is over for good."""
        held = self.world.holds.get(request_id)
        if held is not None and held.state == "open":
            self._release(held, "voided")
        elif held is not None and held.state == "forsaken":
            held.state = "voided"

    def _release(self, held: Held, state: str) -> None:
        held.state = state
        self.world.post(held.request.account_id, "void", reserved=-held.amount, hold=held, basis="void")

    async def fail_over(self, lease: str) -> int:
        """Charge what is known of dispatched holds, void the rest."""
        found = [held for held in self.world.holds.values() if held.lease == lease and held.state == "open"]
        for held in found:
            if not held.dispatched:
                self._release(held, "forsaken")
                continue
            row = UsageRow(held.request.request_id, "", "", "", "", "", 500, held.usage, "estimated", held.created,
                           error=CRASHED)  # fmt: skip
            log(self.world, row, held)
            self._charge(held, held.known or 0, "estimated")
        return len(found)

    def _once(self, key: str, account_id: str, kind: str, credits: int, request_id: str = "") -> bool:
        """Whether this very operation was booked before. Raises Refusal(409) when another one was."""
        earlier = self.world.once.get(key)
        if earlier is None:
            return False
        if (earlier.account_id, earlier.kind, earlier.amount, earlier.request_id) == (
            account_id, kind, credits, request_id,
        ):  # fmt: skip
            return True
        raise Refusal("key: used for another operation.", status=409, code="idempotency_conflict", param="key")

    def _check_sum(self, account_id: str, credits: int) -> None:
        account = self.world.account(account_id)
        if account.balance + credits > MAX_CREDITS:
            raise Refusal("credits: the balance would become too large.", status=400, code="too_many_credits")
        if account.balance + credits < account.held:
            free = account.balance - account.held
            raise Refusal(f"credits: only {free} credits can be taken away.", status=400, code="insufficient_credits")

    async def grant(self, account_id: str, credits: int, *, kind: str, key: str, note: str = "") -> int:
        """Once by its key."""
        checked_text(key, "key", least=1, most=200)
        checked_text(note, "note", most=500)
        asked_credits(credits, "credits", least=-MAX_CREDITS)
        kinds: dict[str, EntryKind] = {"grant": "grant", "topup": "topup", "correction": "correction"}
        if kind not in kinds:
            raise CallerFault("kind: expected grant, topup or correction.", param="kind")
        if credits == 0 or (credits < 0 and kind != "correction"):
            raise CallerFault("credits: only a correction may take credits away.", param="credits")
        balance = self.world.account(account_id).balance
        if self._once(key, account_id, kind, credits):
            return balance
        self._check_sum(account_id, credits)
        return self.world.post(account_id, kinds[kind], credits, key=key, note=note)

    async def refund(self, request_id: str, credits: int, *, key: str, note: str = "") -> int:
        """At most what was charged and not given back yet."""
        asked_credits(credits, "credits", least=1)
        held = self.world.holds.get(request_id)
        if held is None or held.state != "settled":
            raise Refusal("There is no charge for this request.", status=404, code="charge_not_found")
        account_id = held.request.account_id
        if self._once(key, account_id, "refund", credits, request_id):
            return self.world.accounts[account_id].balance
        left = held.charged - refunded(self.world, request_id)
        if credits > left:
            raise Refusal(f"credits: at most {left} credits of this request can be given back.", status=400,
                          code="refund_too_large", param="credits")  # fmt: skip
        self._check_sum(account_id, credits)
        return self.world.post(account_id, "refund", credits, hold=held, key=key, note=note)

    def _voucher(self, code: str) -> bytes:
        normal = read_code(code) if isinstance(code, str) else None
        return digest(derive(self.settings.secret, VOUCHER_PEPPER), normal) if normal else b""

    async def create_vouchers(
        self, count: int, credits: int, *, expires_at: int | None = None, note: str = ""
    ) -> list[str]:
        """New codes."""
        if not 1 <= count <= 10_000:
            raise CallerFault("count: expected 1 to 10000.", param="count")
        asked_credits(credits, "credits", least=1)
        now = self.world.now()
        if expires_at is not None and expires_at <= now:
            raise CallerFault("expires_at: this time has passed.", param="expires_at")
        codes = [new_code() for _ in range(count)]
        for code in codes:
            voucher = Voucher(self.world.number(), code[-4:], credits, now, expires_at, note=note)
            self.world.vouchers[self._voucher(code)] = voucher
        return codes

    async def redeem(self, account_id: str, code: str, *, key: str = "") -> tuple[int, int]:
        """Once over all accounts."""
        checked_text(key, "key", most=200)
        wrong = Refusal("code: this voucher is unknown, used or expired.", status=400, code="invalid_voucher")
        stored, balance = self._voucher(code), self.world.account(account_id).balance
        voucher = self.world.vouchers.get(stored)
        if voucher is None:
            raise wrong
        once = f"voucher:{account_id}:{key}" if key else ""
        if key and self._once(once, account_id, "voucher", voucher.credits):
            if voucher.redeemed_at is None:
                raise Refusal("key: used for another voucher.", status=409, code="idempotency_conflict", param="key")
            return voucher.credits, balance
        now = self.world.now()
        if voucher.redeemed_at or voucher.revoked_at or (voucher.expires_at is not None and voucher.expires_at <= now):
            raise wrong
        self._check_sum(account_id, voucher.credits)
        self.world.vouchers[stored] = replace(voucher, redeemed_at=now, redeemed_by=account_id)
        return voucher.credits, self.world.post(account_id, "voucher", voucher.credits, key=once)

    async def list_vouchers(self, *, after: int = 0, limit: int = 100) -> list[Voucher]:
        """In order of creation."""
        return page((one for one in self.world.vouchers.values() if one.id > after), limit)

    async def revoke_voucher(self, voucher_id: int) -> Voucher | None:
        """An unused one."""
        for stored, voucher in self.world.vouchers.items():
            if voucher.id == voucher_id:
                if voucher.redeemed_at is not None:
                    raise Refusal("This voucher was redeemed already.", status=409, code="voucher_used")
                changed = replace(voucher, revoked_at=voucher.revoked_at or self.world.now())
                self.world.vouchers[stored] = changed
                return changed
        return None

    async def entries(
        self, account_id: str | None = None, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[Entry]:
        """A page of the list."""
        own = [one for one in self.world.entries if account_id in (None, one.account_id)]
        if newest_first:
            return page((one for one in reversed(own) if not after or one.seq < after), limit)
        return page((one for one in own if one.seq > after), limit)

    async def entries_of(self, request_id: str) -> list[Entry]:
        """In their order."""
        return [one for one in self.world.entries if request_id and one.request_id == request_id]

    async def export(self, account_id: str | None = None) -> AsyncIterator[Entry]:
        """The whole list."""
        for entry in [one for one in self.world.entries if account_id in (None, one.account_id)]:
            yield entry
