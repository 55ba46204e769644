"""What the writer keeps in memory, and when it reads anew."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from gateway.call import Usage
from gateway.errors import Refusal

USAGE = Usage(prompt_tokens=1)


@pytest.fixture
async def statements(house):
    """The statements of the writer, from now on, by their first words."""
    seen: list[str] = []
    await house.stores.write(lambda connection: connection.set_trace_callback(seen.append))
    seen.clear()
    return seen


def reads(statements):
    found = [text.split() for text in statements]
    return [words[words.index("holds" if "holds" in words else "FROM") :][0] for words in found if words[0] == "SELECT"]


async def call(stores, house, name):
    await stores.ledger.hold(house.request(name))
    await stores.ledger.settle(name, 3, "provider", USAGE, "m")


async def test_who_writes_alone_reads_only_the_holds_that_are_new(house, statements):
    await call(house.stores, house, "first")
    assert len(reads(statements)) > 1
    statements.clear()
    for number in range(3):
        await call(house.stores, house, f"r{number}")
    assert reads(statements) == ["holds"] * 3
    assert await house.balance() == (1000 - 4 * 3, 0)
    assert await house.stores.check() == []


async def test_what_others_wrote_is_read_anew(house, opening, statements):
    await call(house.stores, house, "first")
    other = await opening()
    await call(other, house, "theirs")
    statements.clear()
    await call(house.stores, house, "mine")
    assert len(reads(statements)) > 1
    assert await house.balance() == (1000 - 3 * 3, 0)


async def test_an_open_hold_is_not_read_again_after_others_wrote(house, opening, statements):
    await house.stores.ledger.hold(house.request("open", base=5, units=0))
    await call(await opening(), house, "theirs")
    statements.clear()
    await house.stores.ledger.settle("open", 2, "provider", USAGE, "m")
    assert [text for text in statements if "FROM json_each" in text and "holds" in text]
    assert not [text for text in statements if "request_id = j.value" in text]
    assert await house.balance() == (1000 - 3 - 2, 0)


@pytest.mark.parametrize("dispatched", [True, False])
async def test_an_open_hold_that_others_ended_is_seen(house, opening, dispatched):
    """As after this process was taken for dead."""
    ledger, other = house.stores.ledger, await opening()
    await ledger.hold(house.request("open", base=50, units=0))
    if dispatched:
        ledger.note_usage("open", 7, USAGE)
    await call(house.stores, house, "mine")
    assert await other.ledger.fail_over(house.stores.presence.lease.id) == 1
    assert await house.balance() == (1000 - 3 - 7 * dispatched, 0)
    # What is held for another would cover a hold that is given back twice: the database alone would not notice.
    await other.ledger.hold(house.request("theirs", base=60, units=0))
    assert await ledger.settle("open", 9, "provider", USAGE, "m") == 9
    assert await house.balance() == (1000 - 3 - 9, 60)


async def test_tags_that_were_erased_meanwhile_are_not_written_again(house):
    await house.stores.ledger.hold(replace(house.request("open", base=5, units=0), tags=(("user", "ada"),)))
    stranger = sqlite3.connect(house.stores.core.path)
    with stranger:
        stranger.execute("UPDATE holds SET tags = NULL")
    stranger.close()
    await house.stores.ledger.settle("open", 2, "provider", USAGE, "m")
    assert await house.stores.usage.by_tag(house.account.id, "user", start=0, end=2**33) == []


async def test_what_a_stranger_wrote_counts_for_the_next_hold(house, tmp_path):
    await call(house.stores, house, "first")
    path = house.stores.core.path
    stranger = sqlite3.connect(path)
    with stranger:
        stranger.execute("UPDATE accounts SET disabled = 1")
    stranger.close()
    with pytest.raises(Refusal) as refused:
        await house.stores.ledger.hold(house.request("late"))
    assert refused.value.code == "account_disabled"


async def test_credit_operations_of_this_process_count_for_the_next_hold(house):
    await call(house.stores, house, "first")
    await house.stores.ledger.grant(house.account.id, -990, kind="correction", key="k")
    with pytest.raises(Refusal):
        await house.stores.ledger.hold(house.request("late", base=8))
    await house.stores.ledger.grant(house.account.id, 1, kind="topup", key="l")
    assert (await house.stores.ledger.hold(house.request("later", base=8, units=0))).amount == 8


async def test_nothing_of_a_rolled_back_batch_stays_in_memory(house, caplog):
    await call(house.stores, house, "first")

    def bad(connection):
        raise ValueError("a bug")

    await house.stores.ledger.hold(house.request("before", base=10, units=0))
    with pytest.raises(Exception, match="failed while booking"):
        await house.stores.write(bad)
    await house.stores.ledger.settle("before", 4, "provider", USAGE, "m")
    assert await house.balance() == (1000 - 3 - 4, 0)
    assert await house.stores.check() == []


async def test_memory_is_bounded(house, monkeypatch):
    await house.stores.ledger.hold(house.request("open", base=5, units=0))
    monkeypatch.setattr("gateway.sqlite.money.rows.MOST", 0)
    for number in range(3):
        await call(house.stores, house, f"r{number}")
    await house.stores.ledger.settle("open", 2, "provider", USAGE, "m")
    assert await house.balance() == (1000 - 3 * 3 - 2, 0)
