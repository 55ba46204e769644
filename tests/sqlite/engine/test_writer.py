"""The writer thread: batches, faults, cancellation, backpressure."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gateway.call import Usage
from gateway.errors import GatewayFault, Refusal
from gateway.sqlite import open_stores
from gateway.sqlite.engine.writer import LINGER
from gateway.sqlite.money.operations import VoidOperation
from gateway.stores import UsageRow
from gateway.testing.upstream import PATIENCE

SECRET = b"a secret of the tests, not a real one"
USAGE = Usage()


async def test_what_waits_is_committed_together(house):
    writer = house.stores.core.writer
    before = writer.batches
    await asyncio.gather(*(house.stores.ledger.hold(house.request(units=0, base=0)) for _ in range(100)))
    assert writer.batches - before <= 3


async def test_a_lone_operation_does_not_wait_for_company(house):
    took = []
    for _ in range(20):
        began = time.perf_counter()
        await house.stores.ledger.hold(house.request(units=0))
        took.append(time.perf_counter() - began)
    assert min(took) < LINGER  # the others may have waited for a busy machine


async def test_what_waits_for_the_lock_is_written_to_the_journal_once(house, monkeypatch):
    """However often the lock is asked for meanwhile."""
    monkeypatch.setattr("gateway.sqlite.engine.writer._JOURNAL_AFTER", -1.0)
    writer, kept, tries = house.stores.core.writer, [], []
    monkeypatch.setattr(writer._journal, "keep", kept.append)

    def busy(_):
        tries.append(1)
        if len(tries) in (10, 20):
            writer._queue.append(VoidOperation("more", 0))
        if len(tries) < 50:
            error = sqlite3.OperationalError("locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

    batch = [VoidOperation("r", 0)]
    await asyncio.to_thread(writer._begin, SimpleNamespace(execute=busy), batch)
    assert len(batch) == 3
    assert [len(lines) for lines in kept] == [1, 1, 1]


async def test_one_refusal_does_not_spoil_the_others(house):
    ledger = house.stores.ledger
    requests = [house.request(f"r{i}", base=10_000 if i % 3 == 0 else 10) for i in range(9)]
    done = await asyncio.gather(*(ledger.hold(one) for one in requests), return_exceptions=True)
    assert [isinstance(one, Refusal) for one in done] == [i % 3 == 0 for i in range(9)]
    assert await house.balance() == (1000, 300)


@pytest.mark.parametrize("work", ["bug", "constraint"])
async def test_one_failure_does_not_spoil_the_others(house, work, caplog):
    def bad(connection):
        connection.execute("UPDATE accounts SET name = 'half done'")
        if work == "bug":
            raise ValueError("a bug")
        connection.execute("UPDATE accounts SET held = balance + 1")

    done = await asyncio.gather(
        house.stores.ledger.hold(house.request("before")),
        house.stores.write(bad),
        house.stores.ledger.hold(house.request("after")),
        return_exceptions=True,
    )
    assert isinstance(done[1], GatewayFault)
    assert done[1].status == 500
    assert [done[0].request_id, done[2].request_id] == ["before", "after"]
    assert (await house.stores.accounts.get_account(house.account.id)).name == "ada"
    assert "rolled back" in caplog.text


async def test_a_refusal_of_a_rare_operation_changes_nothing(house):
    def refusing(connection):
        connection.execute("UPDATE accounts SET name = 'half done'")
        raise Refusal("no")

    with pytest.raises(Refusal):
        await house.stores.write(refusing)
    assert (await house.stores.accounts.get_account(house.account.id)).name == "ada"


async def test_a_full_disk_fails_the_batch_and_the_writer_goes_on(house, caplog):
    def limit(connection, extra):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute("PRAGMA max_page_count = " + str(pages + extra))

    await house.stores.write(lambda connection: limit(connection, 0))
    notes = ["x" * 400] * 60
    grants = [house.stores.ledger.grant(house.account.id, 1, kind="grant", key=f"k{i}", note=n)
              for i, n in enumerate(notes)]  # fmt: skip
    done = await asyncio.gather(*grants, return_exceptions=True)
    assert {type(one) for one in done} == {GatewayFault}
    assert {(one.status, one.code) for one in done} == {(503, "database_unavailable")}
    assert await house.balance() == (1000, 0)
    await house.stores.write(lambda connection: limit(connection, 1000))
    assert await house.stores.ledger.grant(house.account.id, 1, kind="grant", key="k0") == 1001


async def test_a_lock_that_is_not_given_up_fails_the_batch(opening, tmp_path, caplog):
    stores = await opening(patience=0.05)
    blocking = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    with pytest.raises(GatewayFault) as failed:
        await stores.accounts.create_account("ada")
    assert failed.value.status == 503
    blocking.execute("ROLLBACK")
    blocking.close()
    assert await stores.accounts.create_account("ada")


async def test_what_nobody_waits_for_survives_a_failed_batch(opening, tmp_path, caplog):
    stores = await opening(patience=0.05)
    account = await stores.accounts.create_account("ada")
    blocking = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
    blocking.execute("BEGIN IMMEDIATE")
    row = UsageRow("r", account.id, "", "m", "", "/x", 200, Usage(prompt_tokens=3), "void", 0)
    stores.usage.record(row)
    with pytest.raises(GatewayFault):
        await stores.accounts.create_account("eve")
    blocking.execute("ROLLBACK")
    blocking.close()
    await stores.accounts.create_account("eve")
    assert [one.row for one in await stores.usage.recent()] == [row]


async def test_a_cancelled_caller_does_not_cancel_its_operation(house):
    await house.stores.ledger.hold(house.request("beside", base=0, units=0))
    task = asyncio.create_task(house.stores.ledger.hold(house.request("r")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await house.stores.ledger.void("s")
    assert await house.balance() == (1000, 50)
    await house.stores.ledger.void("r")


async def test_a_void_handed_over_after_a_cancelled_hold_comes_after_it(house):
    await house.stores.ledger.hold(house.request("beside", base=0, units=0))
    for i in range(50):
        task = asyncio.create_task(house.stores.ledger.hold(house.request(f"r{i}")))
        await asyncio.sleep(0)
        task.cancel()
        await house.stores.ledger.void(f"r{i}")
    assert await house.balance() == (1000, 0)


async def test_callers_beyond_the_limit_queue_for_a_place(opening):
    stores = await opening(queue=2)
    account = await stores.accounts.create_account("ada", grant=100)
    tasks = [asyncio.create_task(stores.ledger.grant(account.id, 1, kind="grant", key=f"k{i}")) for i in range(50)]
    await asyncio.sleep(0)
    assert len(stores.core.writer._queue) <= 2
    for task in tasks[10:20]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, int) for one in done) >= 40
    found = await stores.accounts.get_account(account.id)
    assert found.balance in range(100 + 40, 100 + 51)


async def test_a_place_given_to_a_cancelled_caller_is_passed_on(opening):
    stores = await opening(queue=1)
    account = await stores.accounts.create_account("ada")

    def grant(key):
        return asyncio.create_task(stores.ledger.grant(account.id, 1, kind="grant", key=key))

    first, second, third = grant("1"), grant("2"), grant("3")
    await first
    second.cancel()
    assert await asyncio.wait_for(third, 30) >= 1
    await asyncio.gather(second, return_exceptions=True)


async def test_close_commits_what_waits(opening, tmp_path):
    stores = await opening()
    account = await stores.accounts.create_account("ada", grant=10)
    stores.usage.record(UsageRow("r", account.id, "", "m", "", "/x", 200, USAGE, "void", 0))
    grants = [asyncio.create_task(stores.ledger.grant(account.id, 1, kind="grant", key=f"{i}")) for i in range(9)]
    await asyncio.sleep(0)
    await stores.close()
    await asyncio.gather(*grants)
    again = await opening()
    assert (await again.accounts.get_account(account.id)).balance == 19
    assert len(await again.usage.recent()) == 1
    with pytest.raises(GatewayFault, match="stopping"):
        await stores.accounts.create_account("late")
    with pytest.raises(GatewayFault, match="stopping"):
        await stores.accounts.get_account(account.id)
    await stores.close()


async def test_the_log_is_the_one_that_was_given(tmp_path, caplog):
    lines = []
    log = logging.Logger("own")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(handler)

    def bad(_):
        raise ValueError("a bug")

    async with await open_stores(tmp_path / "own.db", SECRET, log=log) as stores:
        with pytest.raises(GatewayFault):
            await stores.write(bad)
    assert any("rolled back" in line for line in lines)


async def test_that_a_request_went_out_costs_no_commit_of_its_own(house):
    ledger, writer = house.stores.ledger, house.stores.core.writer
    before = writer.batches
    await ledger.hold(house.request("r"))
    ledger.mark_dispatched("r")
    await ledger.settle("r", 3, "provider", USAGE, "m")
    assert writer.batches - before == 2


async def test_only_a_crowd_is_gathered(house, monkeypatch):
    slept = []
    monkeypatch.setattr("gateway.sqlite.engine.writer.GATHER", 60.0)
    monkeypatch.setattr(
        "gateway.sqlite.engine.writer.time",
        SimpleNamespace(monotonic=time.monotonic, perf_counter=time.perf_counter, sleep=slept.append),
    )
    for number in range(5):
        await house.stores.ledger.hold(house.request(f"lone-{number}", units=0))
    assert slept == []
    await asyncio.gather(*(house.stores.ledger.hold(house.request(units=0, base=0)) for _ in range(20)))
    await house.stores.ledger.hold(house.request("next", units=0))
    assert len(slept) == 1
    assert 0 < slept[0] <= 60.0


@pytest.fixture
async def statements(house, monkeypatch):
    """What the writer's connection is told from now on, and whether on the event loop. The disk counts as quick."""
    monkeypatch.setattr("gateway.sqlite.engine.writer._QUICK", PATIENCE)
    seen: list[tuple[str, bool]] = []
    loop = threading.get_ident()

    def note(text):
        seen.append((" ".join(text.split()), threading.get_ident() == loop))

    await house.stores.write(lambda connection: connection.set_trace_callback(note))
    seen.clear()
    return seen


async def call(house, name):
    await house.stores.ledger.hold(house.request(name))
    return await house.stores.ledger.settle(name, 3, "provider", USAGE, "m")


async def test_a_lone_call_is_committed_on_the_loop_and_several_by_the_thread(house, statements):
    assert await call(house, "lone") == 3
    assert all(on_loop for _, on_loop in statements)
    assert [text for text, _ in statements].count("COMMIT") == 2
    statements.clear()
    await house.stores.ledger.hold(house.request("first"))
    assert await call(house, "second") == 3
    assert [on_loop for text, on_loop in statements if text == "COMMIT"] == [True, False, False]
    statements.clear()
    assert await house.stores.ledger.settle("first", 3, "provider", USAGE, "m") == 3
    assert all(on_loop for _, on_loop in statements)
    assert await house.balance() == (1000 - 9, 0)
    assert await house.stores.check() == []


async def test_what_was_posted_goes_before_a_lone_operation(house, statements):
    row = UsageRow("r", house.account.id, "", "m", "", "/x", 200, Usage(prompt_tokens=3), "void", 0)
    house.stores.usage.record(row)
    house.stores.usage.record(replace(row, account_id="nobody"))
    await house.stores.ledger.hold(house.request("lone"))
    texts = [text for text, _ in statements]
    assert texts.count("COMMIT") == 1
    assert sum(text.startswith("INSERT INTO usage") for text in texts) == 1
    assert [one.row for one in await house.stores.usage.recent()] == [row]


async def test_the_loop_does_not_wait_for_a_slow_disk_or_for_others(house, statements, monkeypatch):
    monkeypatch.setattr("gateway.sqlite.engine.writer._QUICK", -1.0)  # whatever comes now was slow
    await call(house, "slow")
    assert [on_loop for text, on_loop in statements if text == "COMMIT"] == [True, False]
    monkeypatch.setattr("gateway.sqlite.engine.writer._QUICK", PATIENCE)
    statements.clear()
    await call(house, "quick again")
    assert [on_loop for text, on_loop in statements if text == "COMMIT"] == [False, True]
    stranger = sqlite3.connect(house.stores.core.path, isolation_level=None, check_same_thread=False)
    stranger.execute("BEGIN IMMEDIATE")
    statements.clear()
    waiting = asyncio.ensure_future(call(house, "beside a stranger"))
    await asyncio.sleep(0)  # the loop goes on
    stranger.execute("ROLLBACK")
    stranger.close()
    assert await waiting == 3
    assert [on_loop for text, on_loop in statements if text == "COMMIT"][:1] == [False]


async def test_a_lone_failure_is_told_as_any_other(house, statements, caplog):
    with pytest.raises(Refusal):
        await house.stores.ledger.hold(house.request("poor", base=10_000))
    await house.stores.write(lambda connection: connection.execute("PRAGMA max_page_count = 1"))

    async def fill():
        for number in range(400):
            await house.stores.ledger.hold(house.request(f"r{number}", units=0, base=0))
            await house.stores.ledger.void(f"r{number}")

    with pytest.raises(GatewayFault) as failed:
        await fill()
    assert (failed.value.status, failed.value.code) == (503, "database_unavailable")
    assert [on_loop for text, on_loop in statements if text == "BEGIN IMMEDIATE"][-2:] == [True, False]
    await house.stores.write(lambda connection: connection.execute("PRAGMA max_page_count = 4294967294"))
    assert await call(house, "later") == 3
    assert await house.stores.check() == []


async def test_only_what_is_due_waits_for_the_disk(house, statements):
    """A hold that is lost with the machine's power is one of a call that ended with it, and cost nothing."""

    def synced():
        found, last = [], "PRAGMA synchronous = FULL"
        for text, _ in statements:
            if text.startswith("PRAGMA synchronous = "):
                last = text
            elif text == "COMMIT":
                found.append(last.endswith("FULL"))
        statements.clear()
        return found

    await call(house, "lone")
    assert synced() == [False, True]
    await house.stores.ledger.hold(house.request("grown"))
    assert await house.stores.ledger.grow("grown", 5)
    house.stores.ledger.mark_dispatched("grown")
    await house.stores.ledger.hold(house.request("other"))
    assert synced() == [False, False, False]
    house.stores.ledger.note_usage("grown", 1, USAGE)
    await house.stores.ledger.hold(house.request("beside the note"))
    await house.stores.accounts.create_account("eve")
    assert synced() == [True, True]
    await asyncio.gather(house.stores.ledger.hold(house.request("many")), house.stores.ledger.void("other"))
    assert all(synced())
    await house.stores.write(lambda connection: connection.set_trace_callback(None))
    [mode] = await house.stores.write(lambda connection: connection.execute("PRAGMA synchronous").fetchone())
    assert mode == 2, "SQLite has heard of it"
