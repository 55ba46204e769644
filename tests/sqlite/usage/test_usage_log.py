"""The usage log, its sums, and pruning."""

from __future__ import annotations

from gateway.call import Usage
from gateway.stores import UsageRow

DAY = 86_400


def row(house, request_id, **changes):
    values = {
        "request_id": request_id, "account_id": house.account.id, "key_id": house.key.id, "model": "lab/model",
        "target": "lab/target", "route": "/chat/completions", "status": 200,
        "usage": Usage(10, 20, 3, 4, 5, 6, 7, 8, 9, 1), "basis": "provider", "created": int(house.clock.unix),
        "first_byte_ms": 12, "total_ms": 345, "error": "",
    }  # fmt: skip
    return UsageRow(**(values | changes))


async def call(house, request_id, cost, **changes):
    await house.stores.ledger.hold(house.request(request_id, **changes))
    house.stores.usage.record(row(house, request_id, model=changes.get("model", "lab/model")))
    await house.stores.ledger.settle(request_id, cost, "provider", Usage(), "lab/target")


async def test_a_row_of_an_unknown_account_is_reported(house, caplog):
    house.stores.usage.record(row(house, "r", account_id="acct_unknown"))
    await house.stores.ledger.void("x")
    assert "unknown account" in caplog.text
