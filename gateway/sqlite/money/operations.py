"""What can be done to holds, one small value per operation; `apply` runs on the writer's thread against a `UnitOfWork`.

Every operation decides before it changes anything, so a refused one leaves no trace and needs no rollback.

    open ---settle---> settled      (charge; overrun when it cost more than was held)
    open ---void-----> voided
    open ---its process died, dispatched------> settled, with the usage known so far
    open ---its process died, not dispatched--> forsaken (void) ---late settle---> settled, without a hold
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from gateway.api import Basis, Fault, GatewayFault, Refusal, Usage
from gateway.api.stores import (
    MAX_CREDITS,
    Hold,
    HoldRequest,
    Tags,
    affordable,
    checked_count,
    checked_price,
    cost,
    fitting,
    read_period,
    too_poor,
)
from gateway.sqlite.engine.operation import Operation
from gateway.sqlite.money.rows import FORSAKEN, OPEN, SETTLED, VOIDED, AccountRow, HoldRow, KeyRow, Rows
from gateway.sqlite.money.unit_of_work import BASES, BASIS_NUMBER, Names, UnitOfWork

DISPUTED = "disputed usage"
"""Note of what a provider told beyond what the request can have caused."""


class SqlOperation(Operation):
    """Anything rare: a function of the connection, run under a savepoint of its own.

    beside: it changes nothing of accounts, keys, months, holds and leases, so those need not be read anew after it.
    """

    __slots__ = ("beside", "work")

    def __init__(self, work: Callable[[sqlite3.Connection, Names], Any], *, beside: bool = False) -> None:
        super().__init__()
        self.work = work
        self.beside = beside


class UnitOperation(Operation):
    """Something frequent: an operation on loaded rows. `needs` say which rows to load."""

    __slots__ = ("account_id", "key_id", "now", "request_id")

    def __init__(self, request_id: str, now: int, account_id: str = "", key_id: str = "") -> None:
        super().__init__()
        self.request_id = request_id
        self.now = now
        self.account_id = account_id
        self.key_id = key_id

    def apply(self, unit: UnitOfWork) -> Any:
        """Do it; returns the result, or raises a Fault before anything was changed."""
        raise NotImplementedError


class HoldOperation(UnitOperation):
    """`Ledger.hold`."""

    __slots__ = ("base", "least_base", "period", "process", "request", "unit_price", "wanted")
    outlives_power = False

    def __init__(self, request: HoldRequest, now: int, process: int) -> None:
        if not request.request_id or len(request.request_id) > 200:
            raise GatewayFault("A request id must have 1 to 200 characters.")
        if request.monthly_limit is not None and not request.key_id:
            raise GatewayFault("A monthly limit belongs to a key, and this request has none.")
        super().__init__(request.request_id, now, request.account_id, request.key_id)
        checked_count(request.units, "units")
        checked_count(request.least_units, "least_units")
        if request.reserve is not None:
            checked_count(request.reserve, "reserve")
        self.request = request
        self.base = checked_price(request.base, "base")
        least = request.least_base
        self.least_base = self.base if least is None else min(self.base, checked_price(least, "base"))
        self.unit_price = checked_price(request.unit_price, "unit price")
        self.period = read_period(request.period)
        self.process = process
        self.wanted = cost(self.base, self.unit_price, request.units)

    def apply(self, unit: UnitOfWork) -> Hold:
        request = self.request
        earlier = unit.holds.get(self.request_id)
        if earlier is not None:
            return self._again(unit, earlier)
        if self.process not in unit.leases:
            raise GatewayFault(
                "This gateway was taken for dead and has to sign on again. Try again.",
                status=503,
                code="lease_lost",
                retry_after=1.0,
            )
        account = unit.account_by_id.get(self.account_id)
        if account is None:
            raise Refusal("The account of this key is unknown.", status=401, code="invalid_api_key")
        if account.disabled:
            raise Refusal("This account is disabled.", status=403, type="account_disabled", code="account_disabled")
        key = self._key(unit, account)
        ceiling = request.monthly_limit
        if key is not None and key.monthly_limit is not None:
            ceiling = key.monthly_limit if ceiling is None else min(ceiling, key.monthly_limit)
        number = key.n if key is not None else 0
        room = room_of(unit, account, number, self.period, ceiling)
        amount, units, base = self.wanted, request.units, self.base
        if amount > room:
            # A price of nothing per unit cannot be clamped: then it is the base that is too dear.
            base, units = fitting(room, base, self.least_base, self.unit_price, units)
            if units < max(request.least_units, 0):
                raise too_poor(request, balance=account.balance, held=account.held, room=room, ceiling=ceiling)
            amount = cost(base, self.unit_price, units)
        covered = None
        if request.reserve is not None and request.reserve < units and self.unit_price:
            covered = request.reserve
            amount = cost(base, self.unit_price, covered)
        hold = HoldRow(
            0, self.request_id, account.n, number, self.period, self.now,
            unit.names.number(unit.connection, request.model), amount, units if covered is None else covered,
            OPEN, 0, 0, None, self.process, 0, str(base), str(self.unit_price), ceiling, None, None, None,
            written_tags(request.tags),
        )  # fmt: skip
        unit.add_hold(hold)
        unit.post(account, "hold", self.now, reserved=amount, hold=hold)
        return Hold(self.request_id, amount, units, covered, None if base == self.base else base)

    def _key(self, unit: UnitOfWork, account: AccountRow) -> KeyRow | None:
        if not self.key_id:
            return None
        key = unit.keys.get(self.key_id)
        if key is None or key.account != account.n or (key.revoked is not None and key.revoked <= self.now):
            raise Refusal("The API key is unknown or revoked.", status=401, code="invalid_api_key")
        return key

    def _again(self, unit: UnitOfWork, earlier: HoldRow) -> Hold:
        """The same hold asked for twice (after a fault that hid its success) is the same hold."""
        if earlier.state == OPEN and unit.accounts[earlier.account].id == self.account_id:
            return Hold(self.request_id, earlier.amount, earlier.units)
        raise Refusal("This request id was used before.", status=409, code="request_id_used")


def room_of(unit: UnitOfWork, account: AccountRow, key: int, period: int, ceiling: int | None) -> int:
    """Credits that can still be reserved: what balance and key ceiling leave, the lower of both."""
    room = account.balance - account.held
    if ceiling is not None:
        month = unit.month(key, period)
        if month is not None:
            room = min(room, ceiling - month.used - month.held)
    return room


class GrowOperation(UnitOperation):
    """`Ledger.grow`."""

    __slots__ = ("base", "units")
    outlives_power = False

    def __init__(self, request_id: str, units: int, base: Decimal, now: int) -> None:
        super().__init__(request_id, now)
        self.units = checked_count(units, "units")
        self.base = checked_price(base, "base")

    def apply(self, unit: UnitOfWork) -> int:
        hold = unit.holds.get(self.request_id)
        if hold is None or hold.state != OPEN:
            return 0
        account = unit.accounts[hold.account]
        if account.disabled:
            return 0
        price = Decimal(hold.unit_price or 0)
        base = Decimal(hold.base or 0) + self.base
        room = max(room_of(unit, account, hold.key, hold.period, hold.ceiling), 0) + hold.amount
        units = min(hold.units + self.units, MAX_CREDITS)
        amount = cost(base, price, units)
        if amount > room:
            units = affordable(room, base, price) if price else -1
            if units <= hold.units:
                return 0
            amount = cost(base, price, units)
        more, added = units - hold.units, amount - hold.amount
        hold.units, hold.amount, hold.base = units, amount, str(base)
        unit.touch(hold)
        if added:
            unit.post(account, "hold_grow", self.now, reserved=added, hold=hold)
        return more


class SettleOperation(UnitOperation):
    """`Ledger.settle`."""

    __slots__ = ("basis", "charge", "disputed", "model")

    def __init__(self, request_id: str, charge: int, basis: Basis, model: str, now: int, disputed: int = 0) -> None:
        super().__init__(request_id, now)
        self.disputed = checked_count(disputed, "disputed")
        self.charge = checked_count(charge, "charge")
        self.basis = BASIS_NUMBER[basis]
        self.model = model
        if basis == "void" and charge:
            raise GatewayFault("A voided bill cannot have a charge.")

    @property
    def kept_as(self) -> tuple[str, str]:
        return "settle", self.request_id

    def written(self) -> Mapping[str, Any]:
        return {
            "do": "settle", "r": self.request_id, "charge": self.charge, "basis": BASES[self.basis],
            "model": self.model, "disputed": self.disputed,
        }  # fmt: skip

    def apply(self, unit: UnitOfWork) -> int:
        hold = unit.holds.get(self.request_id)
        if self.basis == BASIS_NUMBER["void"] and hold is not None and hold.state == OPEN:
            void_hold(unit, hold, VOIDED, self.now)
            return 0
        if hold is None:
            raise GatewayFault("There is no hold for this request; nothing was charged.", code="unknown_hold")
        if hold.state == VOIDED or (hold.state == SETTLED and not self._costs_more(unit, hold)):
            return hold.charged
        target = unit.names.number(unit.connection, self.model) if self.model else None
        charged = charge_hold(unit, hold, self.charge, self.basis, target, self.now)
        if self.disputed:
            account = unit.accounts[hold.account]
            unit.post(account, "overrun", self.now, unpaid=self.disputed, hold=hold, basis=self.basis, note=DISPUTED)
        return charged

    def _costs_more(self, unit: UnitOfWork, hold: HoldRow) -> bool:
        """Whether others, who name no model that answered, have charged less than the call's own process now tells, and
        nothing was given back since."""
        by_others = hold.target is None and bool(self.model)
        return by_others and self.charge > hold.charged and not unit.refunded(hold)


def charge_hold(unit: UnitOfWork, hold: HoldRow, charge: int, basis: int, target: int | None, now: int) -> int:
    """Settle an open or forsaken hold, or charge the rest of one that others have settled; returns the credits charged.

    What the hold covers is the `charge`; what the call cost beyond it is the `overrun`: paid as far as the free
    balance and the key's ceiling reach, the rest noted as unpaid. So no balance and no ceiling is ever overdrawn.
    """
    account = unit.accounts[hold.account]
    reserved = hold.amount if hold.state == OPEN else 0
    before = hold.charged if hold.state == SETTLED else 0
    covered = min(charge - before, reserved)
    beyond = charge - before - covered
    extra = 0
    if beyond:
        ceiling = hold.ceiling if hold.state == OPEN else key_ceiling(unit, hold.key)
        extra = min(beyond, max(room_of(unit, account, hold.key, hold.period, ceiling), 0))
    if hold.state != SETTLED:
        unit.post(account, "charge", now, amount=-covered, reserved=-reserved, hold=hold, basis=basis)
    if beyond:
        unit.post(account, "overrun", now, amount=-extra, unpaid=beyond - extra, hold=hold, basis=basis)
    hold.state, hold.charged, hold.target = SETTLED, before + covered + extra, target
    unit.touch(hold)
    return hold.charged


def key_ceiling(unit: UnitOfWork, key: int) -> int | None:
    """The ceiling stored with a key; for the rare charge without an open hold."""
    if not key:
        return None
    row = unit.connection.execute("SELECT monthly_limit FROM keys WHERE n = ?", (key,)).fetchone()
    return None if row is None else row[0]


class VoidOperation(UnitOperation):
    """`Ledger.void`."""

    __slots__ = ()

    @property
    def kept_as(self) -> tuple[str, str]:
        return "void", self.request_id

    def written(self) -> Mapping[str, Any]:
        return {"do": "void", "r": self.request_id}

    def apply(self, unit: UnitOfWork) -> None:
        hold = unit.holds.get(self.request_id)
        if hold is None:
            return
        if hold.state == OPEN:
            void_hold(unit, hold, VOIDED, self.now)
        elif hold.state == FORSAKEN:
            hold.state = VOIDED
            unit.touch(hold)


def void_hold(unit: UnitOfWork, hold: HoldRow, state: int, now: int) -> None:
    """Release an open hold."""
    account = unit.accounts[hold.account]
    unit.post(account, "void", now, reserved=-hold.amount, hold=hold, basis=BASIS_NUMBER["void"])
    hold.state = state
    unit.touch(hold)


class DispatchOperation(UnitOperation):
    """`Ledger.mark_dispatched`."""

    __slots__ = ()
    outlives_power = False

    def apply(self, unit: UnitOfWork) -> None:
        hold = unit.holds.get(self.request_id)
        if hold is not None and hold.state == OPEN and not hold.dispatched:
            hold.dispatched = 1
            unit.touch(hold)


class NoteOperation(UnitOperation):
    """`Ledger.note_usage`."""

    __slots__ = ("charge", "completion", "prompt")

    def __init__(self, request_id: str, charge: int, usage: Usage, now: int) -> None:
        super().__init__(request_id, now)
        self.charge = checked_count(charge, "charge")
        self.prompt = checked_count(usage.prompt_tokens, "prompt_tokens")
        self.completion = checked_count(usage.completion_tokens, "completion_tokens")

    def apply(self, unit: UnitOfWork) -> None:
        hold = unit.holds.get(self.request_id)
        if hold is not None and hold.state == OPEN:
            hold.dispatched = 1
            hold.known, hold.known_prompt, hold.known_completion = self.charge, self.prompt, self.completion
            unit.touch(hold)


def written_tags(tags: Tags) -> str | None:
    """As the database keeps them: a JSON object, NULL for none."""
    return orjson.dumps(dict(tags)).decode() if tags else None


def run_operations(
    connection: sqlite3.Connection, operations: Sequence[Operation], names: Names, rows: Rows | None = None
) -> None:
    """The writer's runner: neighbouring unit operations share a `UnitOfWork`, others run alone between them, all in the
    order they came. rows: what is in memory from earlier batches."""
    rows = Rows() if rows is None else rows
    rows.look(connection)
    group: list[UnitOperation] = []
    for operation in operations:
        if isinstance(operation, UnitOperation):
            group.append(operation)
            continue
        if group:
            _run_group(connection, group, names, rows)
            group = []
        if isinstance(operation, SqlOperation):
            _run_alone(connection, operation, names)
            if not operation.beside:
                rows.forget()
    if group:
        _run_group(connection, group, names, rows)


def _run_group(connection: sqlite3.Connection, group: Sequence[UnitOperation], names: Names, rows: Rows) -> None:
    unit = UnitOfWork(connection, names, rows)
    new = [op for op in group if op.account_id]
    requests = {op.request_id for op in group}
    unit.load(
        requests,
        {op.account_id for op in new},
        {op.key_id for op in new if op.key_id},
    )
    known = unit.holds
    months = {(known[name].key, known[name].period) for name in requests if name in known}
    holds = [op for op in new if type(op) is HoldOperation]
    if holds:
        unit.load_leases({op.process for op in holds})
        months |= {(unit.keys[op.key_id].n, op.period) for op in holds if op.key_id in unit.keys}
    unit.load_months(months)
    for op in group:
        try:
            op.result = op.apply(unit)
        except Fault as fault:
            op.fault = fault
    unit.flush()
    rows.written([known[name] for name in requests if name in known])


def _run_alone(connection: sqlite3.Connection, operation: SqlOperation, names: Names) -> None:
    connection.execute("SAVEPOINT alone")
    try:
        operation.result = operation.work(connection, names)
    except Fault as fault:
        connection.execute("ROLLBACK TO alone")
        operation.fault = fault
        # Texts numbered inside the savepoint are gone with it; the earlier ones are only looked up again.
        names.rolled_back()
    connection.execute("RELEASE alone")
