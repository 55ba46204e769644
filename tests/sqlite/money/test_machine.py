"""A state machine against a simple model in exact arithmetic: accounts, keys, grants, calls, months, crashes."""

from __future__ import annotations

import asyncio
import math
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from gateway.call import Usage
from gateway.errors import Refusal
from gateway.sqlite import open_stores
from gateway.stores import HoldRequest, KeySettings, UsageRow, fail_over

SECRET = b"a secret of the tests, not a real one"
MODELS = ("lab/a", "lab/b")
prices = st.decimals(min_value=0, max_value=3, places=2)
credits = st.integers(min_value=0, max_value=300)


@dataclass
class Call:
    account: str
    key: str
    period: str
    ceiling: int | None
    base: Fraction
    price: Fraction
    units: int
    amount: int
    model: str
    day: int
    state: str = "open"
    charged: int = 0
    refunded: int = 0
    dispatched: bool = False
    known: int = 0
    by_others: bool = False
    """Settled because its process was taken for dead, with what was known until then."""


class Model:
    """What should be true, in the plainest way: everything is summed up anew each time it is asked for."""

    def __init__(self):
        self.granted: dict[str, int] = {}
        self.calls: dict[str, Call] = {}
        self.requests: dict[tuple[str, int], int] = {}

    def balance(self, account):
        spent = sum(c.charged - c.refunded for c in self.calls.values() if c.account == account)
        return self.granted[account] - spent

    def held(self, account):
        return sum(c.amount for c in self.calls.values() if c.account == account and c.state == "open")

    def month(self, key, period):
        own = [c for c in self.calls.values() if (c.key, c.period) == (key, period)]
        used = sum(c.charged - c.refunded for c in own)
        return used, sum(c.amount for c in own if c.state == "open")

    def room(self, account, key, period, ceiling):
        room = self.balance(account) - self.held(account)
        if ceiling is not None:
            room = min(room, ceiling - sum(self.month(key, period)))
        return max(room, 0)

    def settle(self, call, charge):
        if call.state == "open":
            call.state = "settled"
            covered = min(charge, call.amount)
        elif call.state == "forsaken":
            call.state, covered = "settled", 0
        elif call.by_others and charge > call.charged and not call.refunded:
            # Its process lives and knows better: the rest is due, as far as it can be paid.
            call.by_others, covered = False, call.charged
        else:
            return call.charged
        call.charged = covered
        call.charged += min(charge - covered, self.room(call.account, call.key, call.period, call.ceiling))
        return call.charged


def largest(room, base, price, most):
    """The most units that a sum can pay, -1 when not even the base; found by halving."""
    if math.ceil(base) > room:
        return -1
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if math.ceil(base + price * middle) <= room:
            low = middle
        else:
            high = middle - 1
    return low


class Money(RuleBasedStateMachine):
    accounts = Bundle("accounts")
    keys = Bundle("keys")
    calls = Bundle("calls")

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "gateway.db"
        self.unix = 1_795_219_200.0
        self.model = Model()
        self.count = 0
        self.stores = self.run(self.open())

    async def open(self):
        return await open_stores(self.path, SECRET, clock=lambda: self.unix, monotonic=lambda: self.unix)

    def run(self, work):
        return self.runner.run(work)

    def name(self, what):
        self.count += 1
        return f"{what}{self.count}"

    @initialize(target=accounts, grant=credits)
    def first_account(self, grant):
        return self.account(grant)

    @rule(target=accounts, grant=credits)
    def new_account(self, grant):
        return self.account(grant)

    def account(self, grant):
        made = self.run(self.stores.accounts.create_account(self.name("account"), grant=grant))
        self.model.granted[made.id] = grant
        return made.id

    @rule(target=keys, account=accounts, limit=st.none() | st.integers(0, 200))
    def new_key(self, account, limit):
        try:
            key, _ = self.run(self.stores.keys.create_key(account, KeySettings(monthly_limit=limit)))
        except Refusal as refusal:
            if refusal.code != "too_many_keys":
                raise
            return multiple()
        return account, key.id, limit

    @rule(account=accounts, amount=st.integers(-200, 300).filter(bool), times=st.integers(1, 3))
    def grant(self, account, amount, times):
        key = self.name("grant")
        room = self.model.balance(account) - self.model.held(account)
        for _ in range(times):
            try:
                balance = self.run(self.stores.ledger.grant(account, amount, kind="correction", key=key))
            except Refusal:
                assert amount + room < 0
                return
        assert amount + room >= 0
        self.model.granted[account] += amount
        assert balance == self.model.balance(account)

    @rule(
        target=calls,
        key=keys,
        base=prices.map(lambda p: p * 20),
        price=prices,
        units=st.integers(0, 100),
        least=st.integers(0, 5),
        model=st.sampled_from(MODELS),
    )
    def hold(self, key, base, price, units, least, model):
        account, key_id, ceiling = key
        name, period = self.name("r"), self.period()
        room = self.model.room(account, key_id, period, ceiling)
        fits = largest(room, Fraction(base), Fraction(price), units)
        wanted = HoldRequest(name, account, key_id, period, ceiling, base, price, units, min(least, units), model)
        try:
            hold = self.run(self.stores.ledger.hold(wanted))
        except Refusal:
            assert fits < min(least, units)
            return multiple()
        assert hold.units == fits
        assert hold.amount == math.ceil(Fraction(base) + Fraction(price) * fits)
        self.model.calls[name] = Call(
            account, key_id, period, ceiling, Fraction(base), Fraction(price), hold.units, hold.amount, model,
            int(self.unix) // 86_400,
        )  # fmt: skip
        return name

    @rule(name=calls, units=st.integers(0, 100), base=st.just(Decimal(0)) | prices)
    def grow(self, name, units, base):
        call = self.model.calls[name]
        added = self.run(self.stores.ledger.grow(name, units, base=base))
        if call.state != "open":
            assert added == 0
            return
        room = self.model.room(call.account, call.key, call.period, call.ceiling) + call.amount
        total = call.base + Fraction(base)
        fits = largest(room, total, call.price, call.units + units)
        if math.ceil(total + call.price * (call.units + units)) > room and fits <= call.units:
            assert added == 0
            return
        assert added == fits - call.units
        call.base, call.units = total, fits
        call.amount = math.ceil(total + call.price * fits)

    @rule(name=calls, cost=credits, settled_too=st.booleans())
    def note(self, name, cost, settled_too):
        call = self.model.calls[name]
        self.stores.ledger.mark_dispatched(name)
        self.stores.ledger.note_usage(name, cost, Usage())
        if call.state == "open":
            call.dispatched, call.known = True, cost
        if settled_too:
            self.settle(name, [cost])

    @rule(name=calls, charges=st.lists(credits, min_size=1, max_size=3))
    def settle(self, name, charges):
        async def together():
            ends = (self.stores.ledger.settle(name, charge, "provider", Usage(), "lab/x") for charge in charges)
            return await asyncio.gather(*ends)

        call = self.model.calls[name]
        assert self.run(together()) == [self.model.settle(call, charge) for charge in charges]

    @rule(name=calls, times=st.integers(1, 2))
    def void(self, name, times):
        for _ in range(times):
            self.run(self.stores.ledger.void(name))
        call = self.model.calls[name]
        if call.state in ("open", "forsaken"):
            call.state = "voided"

    @rule(name=calls, amount=st.integers(1, 100))
    def refund(self, name, amount):
        call = self.model.calls[name]
        try:
            self.run(self.stores.ledger.refund(name, amount, key=self.name("refund")))
        except Refusal:
            assert call.state != "settled" or amount > call.charged - call.refunded
            return
        assert call.state == "settled"
        call.refunded += amount
        assert call.refunded <= call.charged

    @rule(name=calls, times=st.integers(1, 2))
    def record(self, name, times):
        call = self.model.calls[name]
        row = UsageRow(name, call.account, call.key, call.model, "", "/x", 200, Usage(), "provider", int(self.unix))
        for _ in range(times):
            self.stores.usage.record(row)
        self.model.requests.setdefault((name, call.day), 1)

    @rule(key=keys, costs=st.lists(st.integers(1, 80), min_size=2, max_size=12))
    def rush(self, key, costs):
        """Many at once: as if one after the other."""
        account, key_id, ceiling = key
        period, names = self.period(), [self.name("rush") for _ in costs]

        async def one(name, cost):
            wanted = HoldRequest(name, account, key_id, period, ceiling, Decimal(cost), Decimal(0), 0, 0, "lab/a")
            try:
                await self.stores.ledger.hold(wanted)
            except Refusal:
                return None
            return await self.stores.ledger.settle(name, cost, "provider", Usage(), "lab/a")

        async def together():
            return await asyncio.gather(*map(one, names, costs))

        room = self.model.room(account, key_id, period, ceiling)
        for name, cost, charged in zip(names, costs, self.run(together()), strict=True):
            # Settling at exactly the hold never changes the room, so the order of the holds decides alone.
            assert charged == (cost if cost <= room else None)
            if charged is not None:
                room -= cost
                self.model.calls[name] = Call(
                    account, key_id, period, ceiling, Fraction(cost), Fraction(0), 0, cost, "lab/a",
                    int(self.unix) // 86_400, "settled", cost,
                )  # fmt: skip

    @rule(days=st.integers(1, 20))
    def time_passes(self, days):
        self.unix += days * 86_400 + 3_601

    @rule(seconds=st.integers(1, 5_000))
    def the_clock_is_set_back(self, seconds):
        self.unix -= seconds

    @rule(clean=st.booleans())
    def restart(self, clean):
        """A close, or a crash: what was committed stays, what was open belongs to nobody."""

        async def end():
            await self.stores.write(lambda _: None)
            if not clean:
                # What remains of a process that was killed: its row in the table, and a file without a lock.
                row = self.stores.core.process
                token = (await self.stores.read("SELECT token FROM processes WHERE n = ?", (row,)))[0][0]
                await self.stores.close()
                lock = self.path.with_name("gateway.db-processes") / token
                lock.touch()
            else:
                await self.stores.close()
            stores = await self.open()
            await fail_over(stores, {"code": "server_error"})
            return stores

        self.stores = self.run(end())
        for call in self.model.calls.values():
            if call.state == "open":
                if call.dispatched:
                    self.model.settle(call, call.known)
                    call.by_others = True
                else:
                    call.state = "forsaken"
        for name, call in self.model.calls.items():
            if call.state == "settled" and call.dispatched:
                rows = self.run(self.stores.read("SELECT logged FROM holds WHERE request_id = ?", (name,)))
                if rows[0][0]:
                    self.model.requests.setdefault((name, call.day), 1)

    def period(self):
        year, month = divmod(int(self.unix) // (30 * 86_400), 12)
        return f"{2000 + year}-{month + 1:02d}"

    @invariant()
    def books_are_right(self):
        if not self.model.granted:
            return
        self.run(self.stores.write(lambda _: None))
        assert self.run(self.stores.check()) == []
        for account in self.model.granted:
            found = self.run(self.stores.accounts.get_account(account))
            assert (found.balance, found.held) == (self.model.balance(account), self.model.held(account))
            assert 0 <= found.held <= found.balance
            self.summary_is_right(account)
        for key, period in {(call.key, call.period) for call in self.model.calls.values()}:
            assert self.run(self.stores.keys.month_use(key, period)) == self.model.month(key, period)

    def summary_is_right(self, account):
        summary = self.run(self.stores.usage.summary(account, start=0, end=2**33))
        own = {name: call for name, call in self.model.calls.items() if call.account == account}
        assert summary.credits == sum(call.charged - call.refunded for call in own.values())
        assert summary.requests == sum(n for (name, _), n in self.model.requests.items() if name in own)
        assert summary.balance == self.model.balance(account)
        days: dict[int, int] = {}
        for call in own.values():
            days[call.day] = days.get(call.day, 0) + call.charged - call.refunded
        assert [spent for _, spent, _ in summary.daily if spent] == [days[day] for day in sorted(days) if days[day]]

    def teardown(self):
        self.run(self.stores.close())
        self.runner.close()
        self.folder.cleanup()


TestMoney = Money.TestCase
TestMoney.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
