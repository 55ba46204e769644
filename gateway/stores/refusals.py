"""What every store refuses, in the same words: callers must not learn from a message which database stands behind."""

from __future__ import annotations

from gateway.errors import GatewayFault, Refusal
from gateway.stores.amounts import cost
from gateway.stores.ledger import HoldRequest


def too_poor(request: HoldRequest, *, balance: int, held: int, room: int, ceiling: int | None) -> Refusal:
    """402: not even the least of a hold can be paid. balance, held: the account's; room: what balance and the key's
    ceiling leave, the lower of both; all in credits."""
    base = request.base if request.least_base is None else min(request.base, request.least_base)
    least = cost(base, request.unit_price, request.least_units)
    if balance - held <= room:
        limit = f"the account's balance has {max(room, 0)} credits left"
        fix = "Add credits"
    else:
        limit = f"the key's monthly limit of {ceiling} credits leaves {max(room, 0)} for {request.period}"
        fix = "Raise the key's monthly limit"
    more = f" ({held} more are held by running requests)" if held else ""
    return Refusal(
        f"This request needs at least {least} credits, but {limit}{more}. {fix}, shorten the input or ask for fewer "
        "output tokens.",
        status=402,
        type="insufficient_quota",
        code="insufficient_quota",
        headers={"x-should-retry": "false"},
    )


OTHER_SECRET = "other_server_secret"
"""The code of `other_secret`."""


def other_secret(what: str) -> GatewayFault:
    """A database, or its backup, that was made with another server secret: with this one, every key would silently be
    unknown. what: `this database was`, say."""
    return GatewayFault(
        f"The server secret is not the one {what} made with, so none of its keys would work. Restore the secret that "
        "belongs to it.",
        code=OTHER_SECRET,
    )


def no_account() -> Refusal:
    """404"""
    return Refusal("There is no such account.", status=404, code="account_not_found")


def name_taken() -> Refusal:
    """409"""
    return Refusal("name: there is an account with this name.", status=409, code="account_exists", param="name")


def email_taken() -> Refusal:
    """409"""
    return Refusal("email: an account has this address already.", status=409, code="email_taken", param="email")


def identity_taken() -> Refusal:
    """409"""
    return Refusal("This identity belongs to another account.", status=409, code="identity_taken")


def invalid_link() -> Refusal:
    """404, alike for a link that was used, has expired, or is for somebody else."""
    return Refusal(
        "This link does not hold (any more): it was used, has expired, or is for another address. Ask for a new one.",
        status=404,
        code="invalid_link",
    )


def not_empty() -> GatewayFault:
    """A database that is to take over another one must have nothing of its own."""
    return GatewayFault("the target has accounts already; only an empty database can take over another one")
