"""A whole database goes into another store and comes back; see `gateway.stores.transfer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault
from gateway.payments import Part, PaymentEvent
from gateway.stores import (
    TABLES,
    AccountChange,
    KeptObject,
    KeySettings,
    NewLink,
    Row,
    SignUp,
    StoredResponse,
    Stores,
    StoresSettings,
    UsageRow,
    fail_over,
)
from gateway.stores.copying import copy_stores
from gateway.testing.memory_stores import MemoryKind, World
from gateway.testing.stores_contract.bench import Clock, House


async def everything(stores: Stores) -> Mapping[str, list[Row]]:
    """All rows of a store."""
    found = {}
    async with stores.snapshot() as snapshot:
        for table, columns in TABLES.items():
            found[table] = [row async for batch in snapshot.rows(table) for row in batch]
            assert all(len(row) == len(columns) for row in found[table]), table
    return found


async def _memory(clock: Clock) -> Stores:
    kind = MemoryKind()
    kind.worlds["memory://copy"] = World(clock.time, clock.monotonic)
    return await kind.open("memory://copy", StoresSettings("/nowhere", b"a secret of the tests, not a real one"))


async def _live(house: House) -> None:
    """Some of everything happens."""
    await _spend(house)
    await _talk(house)
    stores, account = house.stores, house.account.id
    invited = NewLink("invitation", 3600, email="bo@example.org", credits=7)
    _, token = await stores.logins.create_link(invited)
    await stores.logins.create_link(NewLink("sign_in", 3600, account_id=account))
    made = await stores.logins.sign_up(SignUp("bo@example.org", "hash", invitation=token, identity=("issuer", "bo")))
    await stores.sessions.open_session(made.id, lifetime=3600, agent="a browser")
    await stores.sessions.open_session("", lifetime=3600)
    limits = KeySettings(
        name="limited", monthly_limit=900, models=("a/*", "b"), ip_allow=("192.0.2.0/24",), alert_thresholds=(5, 95)
    )
    key, _ = await stores.keys.create_key(made.id, limits)
    await stores.keys.rotate_key(key.id, grace=600)
    await stores.accounts.update_account(account, AccountChange(("alert_thresholds",), alert_thresholds=(40,)))
    await stores.audit.record("admin", "key.create", key.id, remote="192.0.2.1", detail={"name": "limited", "n": 1})


async def _spend(house: House) -> None:
    ledger, account = house.stores.ledger, house.account.id
    used = Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=3, images=2, characters=7, seconds=8, searches=9)
    for name in ("settled", "over", "voided", "open", "dispatched"):
        await ledger.hold(
            house.request(name, tags=(("user", "ada"), ("team", "b\u00fccher")) if name == "settled" else ())
        )
    await ledger.settle("settled", 30, "provider", used, "lab/other")
    row = UsageRow("settled", account, house.key.id, "lab/model", "lab/other", "/v1/x", 200, used, "provider",
                   int(house.clock.time()), 12, 40)  # fmt: skip
    house.stores.usage.record(row)
    house.stores.usage.record(
        UsageRow(
            "free",
            account,
            "",
            "m",
            "",
            "/v1/x",
            500,
            Usage(),
            "void",
            row.created,
            error="x",
            tags=(("user", "bo"),),
            tries="t",
        )
    )
    await ledger.settle("over", 80, "estimated", used, "lab/model", disputed=5)
    await ledger.void("voided")
    ledger.mark_dispatched("dispatched")
    ledger.note_usage("dispatched", 17, used)
    await ledger.refund("settled", 10, key="refund", note="sorry")
    code, _ = await ledger.create_vouchers(2, 40, note="spring")
    await ledger.redeem(account, code)
    topup = await house.stores.topups.open(account, "bank", currency="eur", amount=500, credits=300)
    paid = PaymentEvent("e", topup.id, "c_1", currency="eur", parts=(Part("payment", 500, 1), Part("refund", -100, 1)))
    await house.stores.topups.book("bank", paid)


async def _talk(house: House) -> None:
    stores, account, now = house.stores, house.account.id, int(house.clock.time())
    talk = await stores.conversations.create_conversation(account, {"topic": "x"}, [{"id": "i1"}], expires=now + 60)

    def response(name: str, **more: Any) -> StoredResponse:
        return StoredResponse(name, account, "completed", now, now + 60, "req_" + name, [{"id": "in_" + name}],
                              {"id": name, "output": [{"id": "out_" + name}]}, **more)  # fmt: skip

    for one in (
        response("first"),
        response("second", previous_id="first", conversation_id=talk.id, items=[{"id": "i2"}], events=b"zipped"),
        response("lost"),
        response("third", previous_id="lost"),
        response("runs", background=True, running=True),
    ):
        await stores.responses.save(one, most=10_000)
    await stores.responses.delete(account, "lost")
    await stores.objects.add_object(KeptObject("file-1", account, "lab", "file", 40, now, {"purpose": "batch"}))
    await stores.objects.add_object(KeptObject("batch_1", account, "lab", "batch", 0, now, is_open=True))
    for name in (b"answered", b"runs"):
        await stores.idempotency.claim(name, b"body", name.decode(), account, now + 60)
    await stores.idempotency.finish(
        b"answered", "answered", status=200, headers={"a": "b"}, body=b"hi", expires=now + 9
    )


class TransferPromises:
    """See the module and `StoresContract`."""

    async def test_transfer_everything_arrives_elsewhere_and_comes_back(self, house: House) -> None:
        await _live(house)
        memory = await _memory(house.clock)
        copied = await copy_stores(house.stores, memory, lambda table, count: None)
        before = await everything(house.stores)
        assert await everything(memory) == before
        assert {table for table, rows in before.items() if not rows} == set(), "each table was tried"
        assert (copied.balance, copied.held) == (sum(row[4] for row in before["accounts"]),
                                                 sum(row[5] for row in before["accounts"]))  # fmt: skip
        assert dict(copied.rows) == {table: len(rows) for table, rows in before.items()}

    async def test_transfer_a_copy_lives_on(self, opening: Any, clock: Clock) -> None:
        memory, target = await _memory(clock), await opening()
        account = await memory.accounts.create_account("ada", grant=1000)
        key, plain = await memory.keys.create_key(account.id, KeySettings(name="k"))
        await _live(House(memory, clock, account, key, plain))
        await copy_stores(memory, target, lambda table, count: None)
        assert await everything(target) == await everything(memory)
        with pytest.raises(GatewayFault, match="empty"):
            await copy_stores(memory, target, lambda table, count: None)
        before = await target.accounts.get_account(account.id)
        assert (await fail_over(target, {"code": "x"})).holds == 2, "what ran is resolved as if its process had died"
        after = await target.accounts.get_account(account.id)
        assert before is not None
        assert after is not None
        assert (after.held, before.balance - after.balance) == (0, 17)
        failed = await target.responses.get(account.id, "runs")
        assert failed is not None
        assert failed.status == "failed"
        assert (await target.idempotency.claim(b"runs", b"body", "again", account.id, failed.expires)).state == "ours"
        kept = await target.idempotency.get(b"answered")
        assert kept is not None
        assert kept.body == b"hi"

    async def test_transfer_what_is_new_comes_after_what_was_copied(self, opening: Any, clock: Clock) -> None:
        memory, stores = await _memory(clock), await opening()
        account = await memory.accounts.create_account("ada", grant=1000)
        key, plain = await memory.keys.create_key(account.id, KeySettings(name="k"))
        await _live(House(memory, clock, account, key, plain))
        await copy_stores(memory, stores, lambda table, count: None)
        old = await stores.ledger.entries(limit=1000)
        await stores.ledger.hold(House(stores, clock, account, key, plain).request("new"))
        assert await stores.ledger.settle("new", 3, "provider", Usage(), "lab/model") == 3
        await stores.accounts.create_account("cy", grant=1)
        assert [entry.kind for entry in await stores.ledger.entries(after=old[-1].seq)] == ["hold", "charge", "grant"]
        body = {"id": "new", "output": []}
        response = StoredResponse("new", account.id, "completed", 1, 2**40, "r", [], body, previous_id="second")
        await stores.responses.save(response, most=1000)
        chain = await stores.responses.chain(account.id, "new", most=10_000)
        assert chain is not None
        assert [turn.id for turn in chain.turns] == ["first", "second", "new"]
