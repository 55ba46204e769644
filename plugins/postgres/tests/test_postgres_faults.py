"""The database or the way to it goes away in the middle: nothing is billed twice, and nothing is lost."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from decimal import Decimal
from pathlib import Path

import asyncpg
import orjson
import pytest
from tollgate_postgres.engine import ANSWER_WITHIN
from tollgate_postgres.opened import open_stores

from gateway.api import GatewayFault, Usage
from gateway.api.stores import HoldRequest, KeySettings, StoresSettings, UsageRow
from gateway.testing import (
    FakeUpstream,
    FaultyProxy,
    Hold,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    upstream_config,
    usage,
)

SECRET = b"a secret of the tests, not a real one"
SOCKET = ".s.PGSQL.5432"
HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 50}


def request(account, name, units=20):
    return HoldRequest(name, account.id, "", "2026-11", None, Decimal(10), Decimal(2), units, 1, "lab/model")


@pytest.fixture
async def way(postgres_server, database_url):
    """To the database; its `url` is what to connect to."""
    # The path of a Unix socket has little room.
    place = Path(tempfile.mkdtemp(prefix="way-"))
    async with FaultyProxy(str(postgres_server.place / SOCKET), str(place / SOCKET)) as way:
        way.url = database_url.replace(str(postgres_server.place), str(place))
        yield way
    shutil.rmtree(place)


@pytest.fixture
async def stores(way, tmp_path):
    stores = await open_stores(way.url, StoresSettings(str(tmp_path), SECRET))
    yield stores
    await stores.close()


@pytest.fixture
async def account(stores):
    return await stores.accounts.create_account("ada", grant=1000)


async def wait_for(condition):
    while not condition():
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("what", ["hold", "grow", "settle"])
async def test_a_lost_answer_is_asked_for_again_and_nothing_happens_twice(way, stores, account, what):
    ledger = stores.ledger
    await ledger.hold(request(account, "warm"))
    if what != "hold":
        await ledger.hold(request(account, "r"))
    way.swallow = f'"do":"{what}"'.encode()
    if what == "hold":
        assert (await ledger.hold(request(account, "r"))).amount == 50
    elif what == "grow":
        assert await ledger.grow("r", 10) == 10
    else:
        assert await ledger.settle("r", 30, "provider", Usage(), "lab/model") == 30
    assert way.swallowed == 1
    kinds = [entry.kind for entry in await ledger.entries(account.id) if entry.request_id == "r"]
    assert kinds == {"hold": ["hold"], "grow": ["hold", "hold_grow"], "settle": ["hold", "charge"]}[what]
    assert await stores.check() == []


async def test_while_it_is_away_admission_says_so_and_ends_are_kept_on_disk(way, stores, account, tmp_path):
    await stores.ledger.hold(request(account, "r"))
    await way.cut()
    settling = asyncio.ensure_future(stores.ledger.settle("r", 30, "provider", Usage(), "lab/model"))
    with pytest.raises(GatewayFault) as fault:
        await stores.ledger.hold(request(account, "new"))
    assert (fault.value.status, fault.value.code, fault.value.retry_after) == (503, "database_away", 1.0)
    with pytest.raises(GatewayFault):
        await stores.ping()
    await wait_for(lambda: list(tmp_path.glob("postgres-pending-*")))
    await way.open()
    assert await settling == 30
    assert (await stores.accounts.get_account(account.id)).balance == 970
    await wait_for(lambda: not list(tmp_path.glob("postgres-pending-*")))
    await stores.lanes.drain()
    assert (await stores.accounts.get_account(account.id)).held == 0, "the hold that was given up is not there"
    assert await stores.check() == []


async def die_away(way, stores, tmp_path):
    """The process ends while the database is away, with the end of call `r` on its disk; then the database is back."""
    settling = asyncio.ensure_future(stores.ledger.settle("r", 30, "provider", Usage(), "lab/model"))
    await wait_for(lambda: list(tmp_path.glob("postgres-pending-*")))
    settling.cancel()
    await stores.lanes.stop()
    await stores.database.close()
    stores.closed = True
    await way.open()


async def test_a_process_that_dies_while_it_is_away_leaves_its_ends_to_the_next(way, stores, account, tmp_path):
    """Bills and rows of the usage log; once, also where one is inherited twice, and where another is not understood."""
    await stores.ledger.hold(request(account, "r"))
    await way.cut()
    for name in ("r", "free"):
        row = UsageRow(
            name, account.id, "", "lab/model", "lab/model", "/x", 200, Usage(3, 4), "provider", 1_790_000_000
        )
        stores.usage.record(row)
    await die_away(way, stores, tmp_path)
    left = {path: path.read_bytes() for path in tmp_path.glob("postgres-pending-*")}
    for _ in range(2):
        for path, lines in left.items():
            path.write_bytes(b'{"do": "dance", "r": "r"}\n' + lines)
        heir = await open_stores(way.url, StoresSettings(str(tmp_path), SECRET))
        assert (await heir.accounts.get_account(account.id)).balance == 970
        found = {one.row.request_id: one for one in await heir.usage.recent(account.id)}
        assert {name: (one.credits, one.row.usage.total_tokens) for name, one in found.items()} == {
            "r": (30, 7), "free": (0, 7),
        }  # fmt: skip
        assert (await heir.usage.summary(account.id, start=0, end=2**40)).requests == 2
        assert not list(tmp_path.glob("postgres-pending-*"))
        assert await heir.check() == []
        await heir.close()


async def test_who_buries_a_process_of_this_machine_reads_what_it_left(way, stores, account, tmp_path):
    """A worker that is killed while the database is away is resolved by the one beside it, not by the next start."""
    heir = await open_stores(way.url, StoresSettings(str(tmp_path), SECRET))
    await stores.ledger.hold(request(account, "r"))
    await way.cut()
    await die_away(way, stores, tmp_path)
    await heir.ledger.fail_over(stores.presence.lease.id)
    assert (await heir.accounts.get_account(account.id)).balance == 970
    assert not list(tmp_path.glob("postgres-pending-*"))
    assert await heir.check() == []
    await heir.close()


async def test_every_connection_is_killed_again_and_again(way, stores, account, database_url):
    async def one(number):
        name = f"r{number}"
        await stores.ledger.hold(request(account, name, units=0))
        stores.ledger.mark_dispatched(name)
        return await stores.ledger.settle(name, 7, "provider", Usage(), "lab/model")

    killer = await asyncpg.connect(database_url)
    calls = [asyncio.ensure_future(one(number)) for number in range(90)]
    for _ in range(10):
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tollgate'"
        )
        await asyncio.sleep(0.05)
    done = await asyncio.gather(*calls, return_exceptions=True)
    await killer.close()
    charged = sum(one == 7 for one in done)
    assert all(one == 7 or isinstance(one, GatewayFault) for one in done), done
    await stores.lanes.drain()
    assert await stores.check() == []
    found = await stores.accounts.get_account(account.id)
    assert found.balance == 1000 - 7 * charged
    assert charged > 0


async def before_the_lane_gives_up(work):
    """Await a request, which must not wait as long as a batch of the ledger does."""
    later = asyncio.ensure_future(asyncio.sleep(ANSWER_WITHIN))
    asked = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({asked, later}, return_when=asyncio.FIRST_COMPLETED)
    later.cancel()
    assert asked in done
    return await asked


async def test_a_database_that_is_gone_without_a_word_is_away_within_the_time_of_a_request(
    way, stores, account, tmp_path
):
    """Nobody ends the connections: a cable is pulled."""
    _, plain = await stores.keys.create_key(account.id, KeySettings(name="k"))
    await stores.keys.authenticate(plain, "")
    await stores.counters.hit([("a", 100)], 60.0)
    await stores.ledger.hold(request(account, "r"))
    # Some connections of the pool are idle now, and each of them is dead.
    await asyncio.gather(*(stores.ping() for _ in range(4)))
    way.fall_silent()
    settling = asyncio.ensure_future(stores.ledger.settle("r", 30, "provider", Usage(), "lab/model"))

    async def in_a_transaction():
        await stores.database.transaction(lambda connection: connection.execute("SELECT pg_sleep(0)"))

    stores.keys._looked = float("-inf")
    asks = (
        stores.ping(), stores.counters.hit([("a", 100)], 60.0), stores.ledger.hold(request(account, "new")),
        in_a_transaction(), stores.keys.authenticate(plain, ""),
    )  # fmt: skip
    found = await before_the_lane_gives_up(asyncio.gather(*asks, return_exceptions=True))
    assert {(fault.status, fault.code, fault.retry_after) for fault in found} == {(503, "database_away", 1.0)}
    await wait_for(lambda: list(tmp_path.glob("postgres-pending-*")))
    way.speak()
    assert await settling == 30
    await before_the_lane_gives_up(stores.ping())
    assert (await stores.keys.authenticate(plain, "")).account_id == account.id
    assert (await stores.counters.hit([("a", 100)], 60.0))[0].allowed
    await wait_for(lambda: not list(tmp_path.glob("postgres-pending-*")))
    await stores.lanes.drain()
    assert (await stores.accounts.get_account(account.id)).held == 0
    assert await stores.check() == []


async def test_a_gateway_whose_database_says_nothing_refuses_in_time_and_lets_streams_end(way, tmp_path):
    """Streams go on and end well when their bill is written; meanwhile callers and balancers hear 503. No restart."""
    stream, go = openai_stream("Once upon", " a time", reported=usage(10, 5)), asyncio.Event()
    async with FakeUpstream() as upstream:
        upstream.reply(Reply([*stream[:2], Hold(go), *stream[2:]]))
        config = upstream_config(upstream.url, database={"url": way.url}, console={"enabled": False})
        async with running_gateway(tmp_path, config) as site:
            streams = [
                asyncio.ensure_future(site.post("/v1/chat/completions", {**HELLO, "stream": True})) for _ in range(5)
            ]
            await upstream.wait_for_requests(5)
            before = (await site.gateway.stores.accounts.get_account(site.account.id)).balance
            way.fall_silent()
            status, headers, body = await before_the_lane_gives_up(site.post("/v1/chat/completions", HELLO))
            assert (status, headers["retry-after"]) == (503, "1")
            assert orjson.loads(body)["error"]["code"] == "database_away"
            assert (await before_the_lane_gives_up(site.get("/readyz")))[0] == 503
            assert len(upstream.requests) == 5
            go.set()
            await wait_for(lambda: list(tmp_path.glob("**/postgres-pending-*")))
            _, _, figures = await site.get("/metrics")
            assert re.search(rb"^gateway_writer_queue [1-9]", figures, re.MULTILINE)
            assert not [one for one in streams if one.done()], "no bill, no end"
            way.speak()
            for status, _, body in await asyncio.gather(*streams):
                assert status == 200
                assert body.endswith(b"data: [DONE]\n\n")
            upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
            # It is looked at once a second.
            while (await site.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.05)
            # Other connections than the one that looked may still be found dead; who is refused is not billed.
            while (await site.post("/v1/chat/completions", HELLO))[0] != 200:
                await asyncio.sleep(0.05)
            await site.gateway.stores.lanes.drain()
            account = await site.gateway.stores.accounts.get_account(site.account.id)
            assert (account.balance, account.held) == (before - 6 * 20, 0)
            assert await site.gateway.stores.check() == []


@pytest.mark.parametrize("fault", [{"delay": 0.05}, {"pace": 300}])
async def test_a_slow_way_costs_time_and_no_money(way, stores, account, fault):
    for name, value in fault.items():
        setattr(way, name, value)

    async def one(name):
        await stores.ledger.hold(request(account, name, units=0))
        stores.ledger.mark_dispatched(name)
        return await stores.ledger.settle(name, 7, "provider", Usage(), "lab/model")

    done = await asyncio.gather(*(one(f"r{number}") for number in range(20)), return_exceptions=True)
    assert all(one == 7 or isinstance(one, GatewayFault) for one in done), done
    way.delay, way.pace = 0.0, None
    await stores.lanes.drain()
    assert await stores.check() == []
    assert (await stores.accounts.get_account(account.id)).balance == 1000 - 7 * done.count(7)


async def test_an_account_is_erased_with_the_rows_that_are_on_their_way(stores, account, monkeypatch):
    lane = stores.lanes.for_request("r")

    async def slowly(operations, ask=lane._ask):
        for _ in range(20):
            if (await stores.accounts.get_account(account.id)).disabled:
                break
        return await ask(operations)

    monkeypatch.setattr(lane, "_ask", slowly)
    stores.usage.record(
        UsageRow("r", account.id, "", "m", "", "/x", 500, Usage(), "void", 0, tags=(("user", "ada"),), tries="[]")
    )
    assert (await stores.accounts.erase_account(account.id)).disabled
    await stores.lanes.drain()
    [logged] = await stores.usage.recent()
    assert (logged.row.tags, logged.row.tries) == ((), "")


class Muddled:
    """A connection that broke while it was put in order."""

    def __init__(self, connection):
        self.terminate = connection.terminate

    def is_closed(self):
        return False

    async def fetchval(self, *_):
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")


async def test_a_connection_in_a_state_that_the_driver_does_not_know_is_as_good_as_broken(stores, account):
    await stores.ledger.hold(request(account, "r"))
    lane = stores.lanes.for_request("r")
    lane._connection = Muddled(lane._connection)
    assert await stores.ledger.settle("r", 30, "provider", Usage(), "lab/model") == 30
    assert not isinstance(lane._connection, Muddled)


async def test_a_line_of_a_journal_that_was_cut_short_is_left_out(way, stores, account, tmp_path):
    (tmp_path / "postgres-pending-lease_x-0.jsonl").write_bytes(b'{"do": "void", "r": "unknown"}\n{"do": "set')
    other = await open_stores(way.url, StoresSettings(str(tmp_path), SECRET))
    assert not list(tmp_path.glob("postgres-pending-*"))
    await other.close()


async def test_a_usage_row_of_nobody_is_dropped_with_a_word(stores, account, caplog):
    row = UsageRow("r", "acct_unknown", "", "m", "", "/x", 200, Usage(), "void", 0)
    stores.usage.record(row)
    await stores.lanes.drain()
    assert [record.detail for record in caplog.records if "unknown account" in record.message] == ["r"]
    assert await stores.usage.recent() == []
