"""Exact arithmetic of credits: bounds, rounding, and how many output tokens a sum can pay.

Prices are decimals, credits are integers; what is reserved is rounded up, what can be paid is rounded down.
The contexts hold 100 digits, far more than prices (at most 2**53, some decimals) times units (at most 2**53) need.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from gateway.errors import CallerFault, GatewayFault
from gateway.stores.ledger import MAX_CREDITS

_UP = Context(prec=100, rounding=ROUND_CEILING)
_DOWN = Context(prec=100, rounding=ROUND_FLOOR)
_MOST = Decimal(MAX_CREDITS)


def cost(base: Decimal, unit_price: Decimal, units: int) -> int:
    """ceil(base + unit_price * units) in credits."""
    return int(_UP.to_integral_value(_UP.add(base, _UP.multiply(unit_price, Decimal(units)))))


def affordable(room: int, base: Decimal, unit_price: Decimal) -> int:
    """The most units with cost(base, unit_price, units) <= room; -1 when not even the base can be paid.
    Only for a unit price above zero."""
    left = _DOWN.subtract(Decimal(room), base)
    if left < 0:
        return -1
    return int(_DOWN.to_integral_value(_DOWN.divide(left, unit_price)))


def fitting(room: int, base: Decimal, least_base: Decimal, unit_price: Decimal, units: int) -> tuple[Decimal, int]:
    """The base and the units of a hold that `room` cannot pay with all of `base`: the units first, down from `units`,
    beside `least_base`; then as much of `base` as there is room for. Units are -1 when not even `least_base` fits."""
    if unit_price:
        units = min(units, affordable(room, least_base, unit_price))
    elif least_base > room:
        units = -1
    if units < 0:
        return least_base, -1
    left = _DOWN.subtract(Decimal(room), _UP.multiply(unit_price, Decimal(units)))
    return max(least_base, min(base, left)), units


def checked_price(value: Decimal, what: str) -> Decimal:
    """`value` when it is a finite price between 0 and MAX_CREDITS; GatewayFault otherwise (a wrong price list)."""
    if type(value) is not Decimal:
        value = Decimal(value)
    if not value.is_finite() or value < 0 or value > _MOST:
        raise GatewayFault(f"The price of this request cannot be used ({what} out of range).", detail=str(value)[:80])
    return value


def checked_count(value: int, what: str) -> int:
    """`value` when it is an integer between 0 and MAX_CREDITS; GatewayFault otherwise (never a client's doing)."""
    if type(value) is not int or not 0 <= value <= MAX_CREDITS:
        raise GatewayFault(f"The bill of this request cannot be used ({what} out of range).", detail=repr(value)[:80])
    return value


def asked_credits(value: int, what: str, *, least: int) -> int:
    """`value` when it is an integer between `least` and MAX_CREDITS; CallerFault (400) naming `what` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_CREDITS:
        raise CallerFault(f"{what}: expected an integer from {least} to {MAX_CREDITS}.", param=what)
    return value


def read_period(period: str) -> int:
    """`2026-11` as 202611; GatewayFault when it is no month."""
    year, dash, month = period.partition("-")
    if dash and year.isdecimal() and month.isdecimal() and len(year) == 4 and len(month) == 2 and 1 <= int(month) <= 12:
        return int(year) * 100 + int(month)
    raise GatewayFault("The billing period cannot be used.", detail=repr(period)[:80])
