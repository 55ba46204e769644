"""The usage log, its sums, and pruning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.call import Usage
from gateway.stores import MOST_TAG_VALUES, KeySettings, TagSum, UsageFilter, UsageRow

DAY = 86_400


def row(house: Any, request_id: Any, **changes: Any) -> Any:
    values = {
        "request_id": request_id, "account_id": house.account.id, "key_id": house.key.id, "model": "lab/model",
        "target": "lab/target", "route": "/chat/completions", "status": 200,
        "usage": Usage(10, 20, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 40, 50, 6), "basis": "provider",
        "created": int(house.clock.unix),
        "first_byte_ms": 12, "total_ms": 345, "error": "", "tries": '[["lab/target"]]',
    }  # fmt: skip
    return UsageRow(**(values | changes))


async def call(house: Any, request_id: Any, cost: Any, **changes: Any) -> Any:
    await house.stores.ledger.hold(house.request(request_id, **changes))
    house.stores.usage.record(row(house, request_id, model=changes.get("model", "lab/model")))
    await house.stores.ledger.settle(request_id, cost, "provider", Usage(), "lab/target")


class UsagePromises:
    """Each request is logged once, and sums agree with what was charged."""

    async def test_usage_rows_come_back_as_they_went_in(self, house: Any) -> None:
        await call(house, "held", 30)
        free = row(
            house,
            "free",
            target="",
            status=429,
            basis="void",
            error="rate_limit_exceeded",
            first_byte_ms=None,
            tries="",
        )
        house.stores.usage.record(free)
        await house.stores.ledger.void("later operation")
        found = await house.stores.usage.recent(house.account.id)
        assert [(one.credits, one.row) for one in found] == [(0, free), (30, row(house, "held"))]
        assert await house.stores.usage.recent(before=found[0].seq) == found[1:]
        assert await house.stores.usage.recent(house.account.id, only=UsageFilter(key_ids=("key_other",))) == []
        whole = await house.stores.usage.summary(house.account.id, start=0, end=2**40)
        assert whole.others == {"images": 6, "characters": 80, "seconds": 100, "searches": 12}
        await house.stores.ledger.refund("held", 10, key="back")
        assert [one.credits for one in await house.stores.usage.recent(house.account.id)] == [0, 20]
        found_again = await house.stores.usage.find("held")
        assert found_again is not None
        assert found_again.credits == 20

    async def test_usage_rows_are_found_by_key_model_and_failure_in_both_directions(self, house: Any) -> None:
        usage, account = house.stores.usage, house.account.id
        other = await house.stores.accounts.create_account("eve")
        for number in range(6):
            usage.record(
                row(
                    house,
                    f"r{number}",
                    key_id=house.key.id if number % 2 else "",
                    model="lab/model" if number < 4 else "lab/dear",
                    status=503 if number == 3 else 200,
                )
            )
        usage.record(row(house, "eves", account_id=other.id, key_id=""))
        await house.stores.ledger.void("flushes")

        async def names(whose: Any = account, **only: Any) -> list[str]:
            paging = {name: only.pop(name) for name in ("before", "limit") if name in only}
            found = await usage.recent(whose, only=UsageFilter(**only), **paging)
            return [one.row.request_id for one in found]

        assert await names(key_ids=(house.key.id,)) == ["r5", "r3", "r1"]
        assert await names(key_ids=("",)) == ["r4", "r2", "r0"]
        assert await names(key_ids=("key_other", "", house.key.id), limit=4) == ["r5", "r4", "r3", "r2"]
        assert await names(key_ids=(house.key.id, "key_'%"), failed=True) == ["r3"]
        assert await names(model="lab/dear") == ["r5", "r4"]
        assert await names(model="lab/%") == []
        assert await names(failed=True) == ["r3"]
        third = next(one.seq for one in await usage.recent(account) if one.row.request_id == "r2")
        assert await names(before=third) == ["r1", "r0"]
        assert await names(after=third) == ["r5", "r4", "r3"]
        assert await names(after=third, limit=2) == ["r4", "r3"], "the page next to it"
        assert await names(None, after=third, failed=False, limit=1000) == ["eves", "r5", "r4", "r3"]
        assert await names(after=third, key_ids=("",)) == ["r4"]

    async def test_usage_one_request_is_found_by_its_id(self, house: Any) -> None:
        await call(house, "held", 30)
        house.stores.usage.record(row(house, "free", basis="void"))
        await house.stores.ledger.void("flushes")
        found = [await house.stores.usage.find(name) for name in ("held", "free", "unknown", "")]
        assert [one and (one.row.request_id, one.credits) for one in found] == [("held", 30), ("free", 0), None, None]
        assert found[0] in await house.stores.usage.recent(house.account.id)

    async def test_usage_a_row_is_not_changed_after_it_was_handed_over(self, house: Any) -> None:
        usage = Usage(prompt_tokens=5)
        house.stores.usage.record(row(house, "r", usage=usage))
        usage.prompt_tokens = 99
        await house.stores.ledger.void("x")
        assert (await house.stores.usage.recent())[0].row.usage.prompt_tokens == 5

    async def test_usage_summary(self, house: Any) -> None:
        second, _ = await house.stores.keys.create_key(house.account.id, KeySettings())
        await call(house, "a", 30)
        await call(house, "b", 50, model="lab/dear")
        house.clock.move(DAY)
        await call(house, "c", 7)
        await call(house, "d", 5, key_id=second.id)
        day = int(house.clock.unix) // DAY * DAY
        summary = await house.stores.usage.summary(house.account.id, start=day - DAY, end=day + DAY)
        assert (summary.balance, summary.credits, summary.tokens, summary.requests) == (908, 92, 120, 4)
        assert summary.daily == (("2026-11-21", 80, 2), ("2026-11-22", 12, 2))
        assert summary.by_model == (("lab/dear", 50), ("lab/model", 42))
        assert summary.by_key == ((house.key.id, 87, 3), (second.id, 5, 1))
        today = await house.stores.usage.summary(house.account.id, start=day, end=day + DAY)
        assert (today.credits, today.requests) == (12, 2)
        own = await house.stores.usage.summary(house.account.id, start=0, end=day + DAY, key_id=second.id)
        assert (own.credits, own.requests, own.balance) == (5, 1, 908)
        none = await house.stores.usage.summary(house.account.id, start=0, end=day + DAY, key_id="")
        assert (none.credits, none.requests, none.by_key) == (0, 0, ())
        assert (await house.stores.usage.summary("acct_unknown", start=0, end=2**33)).requests == 0

    async def test_usage_a_call_over_midnight_is_one_days(self, house: Any) -> None:
        house.clock.move(DAY / 2 - 1)
        await house.stores.ledger.hold(house.request("r"))
        house.clock.move(2)
        house.stores.usage.record(row(house, "r"))
        await house.stores.ledger.settle("r", 30, "provider", Usage(), "lab/target")
        summary = await house.stores.usage.summary(house.account.id, start=0, end=2**33)
        assert summary.daily == (("2026-11-21", 30, 1),)

    async def test_usage_a_held_request_is_logged_once(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        for _ in range(3):
            house.stores.usage.record(row(house, "r"))
        await house.stores.ledger.settle("r", 30, "provider", Usage(), "lab/target")
        house.stores.usage.record(row(house, "r"))
        await house.stores.ledger.void("x")
        assert len(await house.stores.usage.recent()) == 1
        assert (await house.stores.usage.summary(house.account.id, start=0, end=2**33)).requests == 1

    async def test_usage_senseless_counts_never_make_sums_negative(self, house: Any) -> None:
        house.stores.usage.record(row(house, "r", usage=Usage(prompt_tokens=-5, completion_tokens=10**30)))
        await house.stores.ledger.void("x")
        assert (await house.stores.usage.summary(house.account.id, start=0, end=2**33)).tokens == 2**53

    async def test_usage_is_told_apart_by_tags(self, house: Any) -> None:
        usage, ledger, whose = house.stores.usage, house.stores.ledger, house.account.id
        second, _ = await house.stores.keys.create_key(whose, KeySettings())
        await call(house, "a", 30, tags=(("user", "ada"), ("team", "blue")))
        await call(house, "b", 50, tags=(("user", "eve"),), key_id=second.id)
        await call(house, "c", 1, tags=(("user", "ada"),))
        await call(house, "nobody's", 5)
        usage.record(row(house, "free", tags=(("user", "eve"),), basis="void"))
        await ledger.void("flushes")
        await ledger.refund("a", 10, key="back")
        day = int(house.clock.unix) // DAY * DAY

        async def sums(name: str, start: int = day, **only: Any) -> list[TagSum]:
            found: list[TagSum] = await usage.by_tag(whose, name, start=start, end=start + DAY, **only)
            return found

        assert await sums("user") == [TagSum("eve", 50, 2, 60), TagSum("ada", 21, 2, 60)]
        assert await sums("team") == [TagSum("blue", 20, 1, 30)]
        assert await sums("user", key_id=second.id) == [TagSum("eve", 50, 1, 30)]
        assert await sums("user", start=day - DAY) == await sums("other") == []
        found = await usage.recent(whose, only=UsageFilter(tag=("user", "ada")))
        assert [(one.row.request_id, one.row.tags) for one in found] == [
            ("c", (("user", "ada"),)), ("a", (("user", "ada"), ("team", "blue")))
        ]  # fmt: skip
        assert [one.row.request_id for one in await usage.recent(only=UsageFilter(tag=("user", "eve")))] == [
            "free",
            "b",
        ]
        after = await usage.recent(whose, only=UsageFilter(tag=("user", "ada"), after=found[1].seq))
        assert [one.row.request_id for one in after] == ["c"]
        assert await usage.recent(whose, only=UsageFilter(tag=("team", "ada"))) == []

    async def test_usage_tags_of_a_crashed_call_are_its_holds(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r", tags=(("user", "ada"),)))
        house.stores.ledger.note_usage("r", 7, Usage(3, 4))
        await house.stores.ledger.hold(house.request("flush"))
        await house.stores.ledger.fail_over(house.stores.presence.lease.id)
        found = await house.stores.usage.by_tag(house.account.id, "user", start=0, end=2**33)
        assert found == [TagSum("ada", 7, 1, 7)]

    async def test_usage_too_many_values_of_a_tag_come_under_one(self, house: Any) -> None:
        usage, whose = house.stores.usage, house.account.id
        for number in range(MOST_TAG_VALUES):
            usage.record(row(house, f"r{number}", tags=(("user", f"u{number}"),)))
        await house.stores.ledger.void("flushes")
        for name in ("new", "newer", "u7"):
            usage.record(row(house, name, tags=(("user", name),)))
            await house.stores.ledger.void("flushes")
        found = {one.value: one.requests for one in await usage.by_tag(whose, "user", start=0, end=2**33)}
        assert (len(found), found[""], found["u7"]) == (MOST_TAG_VALUES + 1, 2, 2)

    async def test_usage_tags_go_with_what_is_personal(self, house: Any) -> None:
        usage, whose = house.stores.usage, house.account.id
        await call(house, "a", 30, tags=(("user", "ada"),))
        usage.record(row(house, "free", tags=(("user", "ada"),)))
        await house.stores.ledger.void("flushes")
        await house.stores.accounts.erase_account(whose)
        assert await usage.by_tag(whose, "user", start=0, end=2**33) == []
        assert [one.row.tags for one in await usage.recent(whose)] == [(), ()]
        assert (await usage.summary(whose, start=0, end=2**33)).credits == 30
        await house.stores.ledger.refund("a", 1, key="late")
        assert await usage.by_tag(whose, "user", start=0, end=2**33) == []

    async def test_usage_prune_keeps_the_sums_and_the_ledger(self, house: Any) -> None:
        await call(house, "old", 30)
        house.clock.move(91 * DAY)
        await call(house, "new", 5)
        before = await house.stores.usage.summary(house.account.id, start=0, end=2**33)
        now = int(house.clock.unix)
        assert await house.stores.prune(now, usage_before=now - 90 * DAY) == {"usage rows": 1}
        assert await house.stores.prune(now, usage_before=now - 90 * DAY) == {}
        assert [one.row.request_id for one in await house.stores.usage.recent()] == ["new"]
        assert await house.stores.usage.summary(house.account.id, start=0, end=2**33) == before
        assert replace(before, balance=0).credits == 35
