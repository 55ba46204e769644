"""Grants, refunds, vouchers and the pages of the ledger: each at most once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.call import Usage
from gateway.errors import CallerFault, Refusal
from gateway.stores import MAX_CREDITS, KeySettings


class GrantPromises:
    """See the module and `StoresContract`."""

    async def test_grant_once_per_key_also_at_once(self, house: Any) -> None:
        grants = (house.stores.ledger.grant(house.account.id, 70, kind="topup", key="pay_1") for _ in range(50))
        assert set(await asyncio.gather(*grants)) == {1070}
        assert await house.kinds() == [("topup", 70, 0)]

    @pytest.mark.parametrize("change", [{"credits": 71}, {"kind": "grant"}])
    async def test_grant_another_operation_under_the_same_key_is_a_conflict(self, house: Any, change: Any) -> None:
        values = {"credits": 70, "kind": "topup", "key": "pay_1"}
        await house.stores.ledger.grant(house.account.id, **values)
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.grant(house.account.id, **(values | change))
        assert refused.value.status == 409

    async def test_grant_one_payment_cannot_credit_two_accounts(self, house: Any) -> None:
        other = await house.stores.accounts.create_account("eve")
        await house.stores.ledger.grant(house.account.id, 70, kind="topup", key="pay_1")
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.grant(other.id, 70, kind="topup", key="pay_1")
        assert refused.value.status == 409

    async def test_grant_a_correction_takes_at_most_what_is_not_held(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request())
        with pytest.raises(Refusal, match="only 950 credits"):
            await house.stores.ledger.grant(house.account.id, -951, kind="correction", key="c1")
        assert await house.stores.ledger.grant(house.account.id, -950, kind="correction", key="c1") == 50

    @pytest.mark.parametrize(
        "wrong", [{"credits": 0}, {"credits": -1}, {"credits": 1.0}, {"credits": MAX_CREDITS + 1}, {"kind": "charge"},
                  {"key": ""}, {"note": "a\0b"}],
    )  # fmt: skip
    async def test_grant_wrong_values_are_named(self, house: Any, wrong: Any) -> None:
        values = {"credits": 70, "kind": "topup", "key": "pay_1"} | wrong
        with pytest.raises(CallerFault, match=next(iter(wrong))):
            await house.stores.ledger.grant(house.account.id, **values)

    async def test_grant_a_balance_has_an_upper_bound(self, house: Any) -> None:
        with pytest.raises(Refusal, match="too large"):
            await house.stores.ledger.grant(house.account.id, MAX_CREDITS, kind="grant", key="g")

    async def test_grant_needs_an_account(self, house: Any) -> None:
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.grant("acct_unknown", 1, kind="grant", key="g")
        assert refused.value.status == 404


class RefundPromises:
    """See the module and `StoresContract`."""

    async def test_refund_gives_back_at_most_the_charge(self, house: Any) -> None:
        ledger = house.stores.ledger
        await ledger.hold(house.request("r"))
        await ledger.settle("r", 30, "provider", Usage(), "lab/model")
        assert await ledger.refund("r", 20, key="a") == 990
        assert await ledger.refund("r", 20, key="a") == 990
        with pytest.raises(Refusal, match="at most 10 credits"):
            await ledger.refund("r", 11, key="b")
        assert await ledger.refund("r", 10, key="b") == 1000
        assert await house.stores.keys.month_use(house.key.id, "2026-11") == (0, 0)
        summary = await house.stores.usage.summary(house.account.id, start=0, end=2**33)
        assert summary.credits == 0

    async def test_refund_only_of_a_charge(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        for name in ("r", "unknown"):
            with pytest.raises(Refusal) as refused:
                await house.stores.ledger.refund(name, 1, key="a")
            assert refused.value.status == 404


class VouchersPromises:
    """See the module and `StoresContract`."""

    async def test_vouchers_redeemed_once_also_at_once(self, house: Any) -> None:
        code, other = await house.stores.ledger.create_vouchers(2, 500, note="fair")
        tries = (house.stores.ledger.redeem(house.account.id, code) for _ in range(50))
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert [one for one in done if not isinstance(one, Refusal)] == [(500, 1500)]
        assert {one.code for one in done if isinstance(one, Refusal)} == {"invalid_voucher"}
        assert await house.stores.ledger.redeem(house.account.id, other.lower().replace("-", " ")) == (500, 2000)

    async def test_vouchers_a_retry_under_the_same_key_gets_the_same_answer(self, house: Any) -> None:
        code, other = await house.stores.ledger.create_vouchers(2, 500)
        for _ in range(2):
            assert await house.stores.ledger.redeem(house.account.id, code, key="k") == (500, 1500)
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.redeem(house.account.id, other, key="k")
        assert refused.value.status == 409

    async def test_vouchers_a_key_is_no_number(self, house: Any) -> None:
        first, second, third = await house.stores.ledger.create_vouchers(3, 5)
        ids = [one.id for one in await house.stores.ledger.list_vouchers()]
        await house.stores.ledger.redeem(house.account.id, first, key=str(ids[1]))
        assert await house.stores.ledger.redeem(house.account.id, second) == (5, 1010)
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.redeem(house.account.id, third, key=str(ids[1]))
        assert refused.value.code == "idempotency_conflict"
        assert await house.stores.ledger.redeem(house.account.id, third, key=str(ids[2])) == (5, 1015)
        assert await house.stores.check() == []

    async def test_vouchers_expires(self, house: Any) -> None:
        (code,) = await house.stores.ledger.create_vouchers(1, 5, expires_at=int(house.clock.unix) + 10)
        house.clock.move(10)
        with pytest.raises(Refusal, match="expired"):
            await house.stores.ledger.redeem(house.account.id, code)

    @pytest.mark.parametrize("code", ["", "x", "00000-00000-00000-00000", "' OR 1=1 --"])
    async def test_vouchers_unknown_codes(self, house: Any, code: Any) -> None:
        with pytest.raises(Refusal) as refused:
            await house.stores.ledger.redeem(house.account.id, code)
        assert refused.value.code == "invalid_voucher"

    async def test_vouchers_lists_without_codes(self, house: Any, tmp_path: Any) -> None:
        codes = await house.stores.ledger.create_vouchers(3, 5)
        await house.stores.ledger.redeem(house.account.id, codes[1])
        listed = await house.stores.ledger.list_vouchers()
        assert [one.label for one in listed] == [code[-4:] for code in codes]
        assert [one.redeemed_by for one in listed] == ["", house.account.id, ""]
        assert await house.stores.ledger.list_vouchers(after=listed[1].id) == listed[2:]

    @pytest.mark.parametrize("wrong", [{"count": 0}, {"credits": 0}, {"expires_at": 5}])
    async def test_vouchers_wrong_values_are_named(self, house: Any, wrong: Any) -> None:
        values = {"count": 1, "credits": 1, "expires_at": None} | wrong
        with pytest.raises(CallerFault, match=next(iter(wrong))):
            await house.stores.ledger.create_vouchers(**values)


class EntriesPromises:
    """See the module and `StoresContract`."""

    async def test_entries_of_one_request(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("one"))
        await house.stores.ledger.hold(house.request("other"))
        await house.stores.ledger.settle("one", 30, "provider", Usage(), "lab/target")
        await house.stores.ledger.refund("one", 10, key="back")
        entries = await house.stores.ledger.entries_of("one")
        assert [(entry.kind, entry.amount) for entry in entries] == [("hold", 0), ("charge", -30), ("refund", 10)]
        assert entries == [
            one for one in await house.stores.ledger.entries(house.account.id) if one.request_id == "one"
        ]
        assert await house.stores.ledger.entries_of("unknown") == await house.stores.ledger.entries_of("") == []

    async def test_entries_pages_and_export(self, house: Any) -> None:
        other = await house.stores.accounts.create_account("eve", grant=9)
        key, _ = await house.stores.keys.create_key(other.id, KeySettings())
        for i in range(7):
            await house.stores.ledger.hold(house.request(f"r{i}"))
            await house.stores.ledger.void(f"r{i}")
        await house.stores.ledger.hold(house.request("other", account_id=other.id, key_id=key.id, base=0, units=3))
        await house.stores.ledger.void("other")
        everything = [entry async for entry in house.stores.ledger.export()]
        own = [entry async for entry in house.stores.ledger.export(house.account.id)]
        assert [entry.seq for entry in everything] == sorted(entry.seq for entry in everything)
        assert own == [entry for entry in everything if entry.account_id == house.account.id]
        assert len(own) == 15
        page = await house.stores.ledger.entries(house.account.id, limit=4, newest_first=True)
        more = await house.stores.ledger.entries(house.account.id, limit=4, newest_first=True, after=page[-1].seq)
        assert page + more == own[::-1][:8]
        newest = await house.stores.ledger.entries(limit=2, newest_first=True)
        assert newest == everything[::-1][:2]
        older = await house.stores.ledger.entries(limit=2, newest_first=True, after=newest[-1].seq)
        assert newest + older == everything[::-1][:4]
