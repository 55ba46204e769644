"""What a hold would be, said without making it: the same as a ledger makes it, whatever is asked."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

from gateway.api import Explanation, HoldRequest, Refusal
from gateway.api.stores import StoresSettings
from gateway.builtin.foresight import foresee
from gateway.stores import KeySettings
from gateway.testing.memory_stores import MemoryKind


async def test_the_foreseen_hold_is_the_one_that_is_made(tmp_path: Path) -> None:
    stores = await MemoryKind().open("memory://x", StoresSettings(str(tmp_path), b"x" * 32, "mghp_", 100, False))
    r = random.Random(5)
    refused = 0
    for turn in range(300):
        account = await stores.accounts.create_account(f"a{turn}", grant=r.choice([0, 10, 500, 10**6]))
        limit = r.choice([None, None, 0, 50, 10**5])
        key, _ = await stores.keys.create_key(account.id, KeySettings(monthly_limit=limit))
        for part in range(2):  # the second one finds what the first one holds
            request = HoldRequest(
                request_id=f"req_{turn}_{part}", account_id=account.id, key_id=key.id, period="2026-11",
                monthly_limit=limit, base=Decimal(r.choice(["0", "0.5", "7.25", "400"])),
                unit_price=Decimal(r.choice(["0", "0.1", "3"])), units=r.choice([0, 5, 900]),
                least_units=r.choice([0, 1, 5]), model="m", reserve=r.choice([None, 3]),
            )  # fmt: skip
            foreseen = await answer(foresee(stores, request, 1, Explanation()))
            assert foreseen == await answer(stores.ledger.hold(request)), request
            refused += foreseen == 402
    assert 50 < refused < 500
    await stores.close()


async def answer(asked: object) -> object:
    try:
        return await asked  # type: ignore[misc]
    except Refusal as refusal:
        return refusal.status
