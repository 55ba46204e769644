"""What every store refuses, in the same words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.stores import HoldRequest, refusals

REQUEST = HoldRequest("r", "acct_1", "key_1", "2026-11", 60, Decimal(10), Decimal(2), 20, 5, "lab/model")


def test_an_account_that_is_too_poor_is_told_what_it_has():
    told = refusals.too_poor(REQUEST, balance=30, held=12, room=18, ceiling=60)
    assert told.message == (
        "This request needs at least 20 credits, but the account's balance has 18 credits left (12 more are held by "
        "running requests). Add credits, shorten the input or ask for fewer output tokens."
    )
    assert (told.status, told.type, told.code) == (402, "insufficient_quota", "insufficient_quota")
    assert told.headers == {"x-should-retry": "false"}


def test_a_ceiling_that_is_lower_than_the_balance_is_named():
    told = refusals.too_poor(REQUEST, balance=1000, held=0, room=-3, ceiling=60)
    assert "the key's monthly limit of 60 credits leaves 0 for 2026-11" in told.message
    assert "held by" not in told.message
    assert "Raise the key's monthly limit" in told.message


def test_what_is_expected_of_the_input_is_the_least():
    request = HoldRequest(
        "r", "a", "", "2026-11", None, Decimal(100), Decimal(2), 20, 5, "m", least_base=Decimal("9.5")
    )
    assert "needs at least 20 credits" in refusals.too_poor(request, balance=0, held=0, room=0, ceiling=None).message


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (refusals.no_account, 404, "account_not_found"),
        (refusals.name_taken, 409, "account_exists"),
        (refusals.email_taken, 409, "email_taken"),
        (refusals.identity_taken, 409, "identity_taken"),
        (refusals.invalid_link, 404, "invalid_link"),
    ],
)
def test_codes(made, status, code):
    assert (made().status, made().code) == (status, code)
