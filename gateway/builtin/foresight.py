"""What `Ledger.hold` would reserve for a call that is only explained: the same arithmetic, and nothing is written.

The figures are those of this moment; requests that run meanwhile may change them before the call is really made.
"""

from __future__ import annotations

from decimal import Decimal

from gateway.api import Explanation, Hold, HoldRequest, Stores
from gateway.api.stores import cost, fitting, too_poor


async def foresee(stores: Stores, request: HoldRequest, choices: int, explanation: Explanation) -> Hold:
    """The hold that `request` would get; its figures are noted. choices: answers that were asked for (`n`).
    Raises Refusal(402) where the ledger would."""
    account = await stores.accounts.get_account(request.account_id)
    balance, held = (account.balance, account.held) if account is not None else (0, 0)
    room = balance - held
    explanation.note(balance=balance, held_by_others=held)
    if request.monthly_limit is not None:
        charged, running = await stores.keys.month_use(request.key_id, request.period)
        room = min(room, request.monthly_limit - charged - running)
        explanation.note(month=request.period, month_limit=request.monthly_limit, month_used=charged + running)
    wanted = cost(request.base, request.unit_price, request.units)
    explanation.note(
        input_at_most=_text(request.base), output_token_price=_text(request.unit_price), output_tokens=request.units,
        choices=choices, wanted=wanted, room=room,
    )  # fmt: skip
    base, units = request.base, request.units
    if wanted > room:
        expected = base if request.least_base is None else min(base, request.least_base)
        base, units = fitting(room, base, expected, request.unit_price, units)
        if units < request.least_units:
            raise too_poor(request, balance=balance, held=held, room=room, ceiling=request.monthly_limit)
    covered = None
    if request.reserve is not None and request.reserve < units and request.unit_price:
        covered = request.reserve
    amount = cost(base, request.unit_price, units if covered is None else covered)
    explanation.note(hold=amount, output_tokens=units, maximum_cost=cost(request.base, request.unit_price, units))
    return Hold(request.request_id, amount, units, covered)


def _text(value: Decimal) -> str:
    """A sum of credits as a caller reads it: plain digits, exactly."""
    return format(value.normalize(), "f") if value else "0"
