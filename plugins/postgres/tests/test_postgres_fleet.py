"""Whole gateways, each a process, with everything that can be taken from them: themselves, and the database."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter

import asyncpg
import orjson
import pytest
import pytest_asyncio

from gateway.testing import (
    FakeUpstream,
    ForkServer,
    Hold,
    Reply,
    Stall,
    json_reply,
    openai_completion,
    openai_stream,
    upstream_config,
)
from gateway.testing import usage as used

from .fleet import running_fleet

# It starts processes and reads their logs. One server forks all gateways, so one loop hears of them.
pytestmark = [pytest.mark.slow, pytest.mark.blocking_allowed, pytest.mark.asyncio(loop_scope="module")]

CHARGES = """
    SELECT h.request_id, count(*) FILTER (WHERE e.kind = 5), -coalesce(sum(e.amount), 0)::bigint
    FROM holds AS h LEFT JOIN entries AS e ON e.hold = h.n GROUP BY h.request_id
"""
OPEN = "SELECT count(*) FROM holds WHERE state = 0"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def forks():
    async with ForkServer() as forks:
        yield forks


@pytest_asyncio.fixture(loop_scope="module")
async def upstream():
    async with FakeUpstream() as upstream:
        upstream.reply(json_reply(openai_completion("Hi.", reported=used(10, 5))))
        yield upstream


@pytest_asyncio.fixture(loop_scope="module")
async def connection(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def wait_for(condition):
    while not await condition():
        await asyncio.sleep(0.1)


def config_of(upstream, url, **sections):
    return upstream_config(upstream.url, database={"url": url}, console={"enabled": False}, **sections)


async def test_four_gateways_are_replaced_under_load_and_no_request_fails(
    tmp_path, forks, upstream, database_url, connection
):
    """As a balancer does it: it asks /readyz a few times a second, sends nothing to who says no, and asks another one
    when nobody takes the connection."""
    config = config_of(upstream, database_url, server={"drain_delay": "1s", "drain": "20s"})
    async with running_fleet(tmp_path, forks, config, 4) as fleet:
        ready, answers, stop = set(fleet.members), [], asyncio.Event()

        async def look():
            while not stop.is_set():
                for member in fleet.members:
                    (ready.add if await fleet.is_ready(member) else ready.discard)(member)
                await asyncio.sleep(0.1)

        async def call(number):
            while not stop.is_set():
                chosen = sorted(ready, key=lambda member: member.url)
                if chosen and (got := await fleet.ask(chosen[(number + len(answers)) % len(chosen)]))[0] != -1:
                    answers.append(got)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            for number in range(4):
                tasks.create_task(call(number))
            for member in fleet.members:
                member.send(signal.SIGTERM)
                assert await member.gone() == 0
                await member.start()
                await fleet.wait_until_ready(member)
            stop.set()
        assert Counter(status for status, _, _ in answers).keys() == {200}, [a for a in answers if a[0] != 200][:3]
        assert len(answers) > 50
    charges = {row[0]: (row[1], row[2]) for row in await connection.fetch(CHARGES)}
    assert charges == {request_id: (1, 20) for _, request_id, _ in answers}


async def test_the_database_is_killed_under_load_and_nothing_is_unbilled_or_billed_twice(
    tmp_path, forks, upstream, postgres_server, database_url
):
    answers, stop = [], asyncio.Event()
    async with running_fleet(tmp_path, forks, config_of(upstream, database_url), 2) as fleet:

        async def call(number):
            while not stop.is_set():
                answers.append(await fleet.ask(fleet.members[number % 2]))

        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(call(number))
            await wait_for(lambda: _reached(answers, 30))
            await asyncio.to_thread(postgres_server.kill)
            await wait_for(lambda: _failed(answers))
            await asyncio.to_thread(postgres_server.start)
            for member in fleet.members:
                await fleet.wait_until_ready(member)
            before = len(answers)
            await wait_for(lambda: _reached(answers, before + 30))
            stop.set()
        connection = await asyncpg.connect(database_url)
        await wait_for(lambda: _is_zero(connection, OPEN))
        found = {row[0]: (row[1], row[2]) for row in await connection.fetch(CHARGES)}
        await connection.close()
    good = [request_id for status, request_id, _ in answers if status == 200]
    assert len(good) > 30
    assert {found[request_id] for request_id in good} == {(1, 20)}, "each good answer is billed once"
    assert all(count <= 1 for count, _ in found.values())
    for status, _, body in answers:
        assert status in (200, 503), body
    assert not list(tmp_path.glob("*/data/postgres-pending-*"))


async def _reached(answers, count):
    return len(answers) >= count


async def _failed(answers):
    return answers[-1][0] == 503


async def _is_zero(connection, query):
    return await connection.fetchval(query) == 0


async def test_the_living_resolve_what_the_dead_and_those_taken_for_dead_left(
    tmp_path, forks, upstream, database_url, connection
):
    """One is killed while a background response runs, one is stopped in the middle of a stream; both leases run out,
    and the third puts all in order in its next round. The stopped one comes back and settles nothing as its own."""
    async with running_fleet(tmp_path, forks, config_of(upstream, database_url), 3) as fleet:
        killed, stopped, living = fleet.members
        stream = openai_stream("Once upon a time", reported=used(10, 5))
        go = asyncio.Event()
        upstream.reply(Reply([*stream[:2], Hold(go), *stream[2:]]))
        asking = asyncio.ensure_future(fleet.ask(stopped, stream=True))
        await upstream.wait_for_requests(1)
        lease = await connection.fetchval("SELECT lease FROM holds WHERE state = 0")
        upstream.reply(Reply([*stream[:2], Stall()]))
        asked = {"model": "fake/model", "input": "Tell.", "background": True, "stream": False}
        status, _, body = await fleet.ask(killed, "/v1/responses", body=asked)
        assert status == 200
        name = orjson.loads(body)["id"]
        await upstream.wait_for_requests(2)
        assert (await fleet.get(living, f"/v1/responses/{name}"))["status"] in ("queued", "in_progress")
        killed.send(signal.SIGKILL)
        await killed.gone()
        stopped.send(signal.SIGSTOP)
        other = await connection.fetchval("SELECT lease FROM responses WHERE id = $1", name)
        await connection.execute("UPDATE leases SET expires = 0 WHERE id = ANY ($1::text[])", [lease, other])

        async def is_over():
            return (await fleet.get(living, f"/v1/responses/{name}"))["status"] == "failed"

        await wait_for(is_over)
        assert (await fleet.get(living, f"/v1/responses/{name}"))["error"]["code"]
        await wait_for(lambda: _is_zero(connection, OPEN))
        stopped.send(signal.SIGCONT)
        go.set()
        status, request_id, _ = await asking
        assert status == 200
        charges = {row[0]: (row[1], row[2]) for row in await connection.fetch(CHARGES)}
        assert charges.pop(request_id) == (1, 20), "what the others charged counts, and the rest is charged late"
        [(ends, _)] = charges.values()
        assert ends <= 1
        upstream.reply(json_reply(openai_completion("Hi.", reported=used(10, 5))))

        async def serves_again():
            return (await fleet.ask(stopped))[0] == 200

        await wait_for(serves_again)
        assert await connection.fetchval("SELECT count(*) FROM leases WHERE id = $1", lease) == 0, "it is buried"
        assert await connection.fetchval("SELECT count(*) FROM leases WHERE NOT dead") == 2


async def test_a_database_goes_there_and_back_by_the_command(tmp_path, forks, database_url):
    """A gateway's data goes to PostgreSQL and back, and is the same wherever it is."""
    config, elsewhere = tmp_path / "config.yaml", tmp_path / "elsewhere.yaml"
    config.write_text("providers: {echo: {plugin: echo}}\nmodels: {echo/echo: {price: {input: 1, output: 2}}}\n")
    elsewhere.write_text(config.read_text() + f'database: {{url: "{database_url}"}}\n')
    env = {**os.environ, "GATEWAY_DATA": str(tmp_path / "data")}

    async def run(words, config=config):
        with open(tmp_path / "errors", "ab") as errors:
            command = await forks.start(*words.split(), "--config", str(config), env=env, stderr=errors.fileno())
        told = await command.stdout.read()
        assert await command.wait() == 0, (tmp_path / "errors").read_text()
        return told.decode()

    await run("demo-data --days 3")
    await run(f"db copy sqlite:///data/gateway.db {database_url}")
    await run(f"db copy {database_url} sqlite:///data/back.db")
    for words in ("usage --json", "ledger export"):
        assert await run(words, elsewhere) == await run(words) != ""
    assert "every sum is right" in await run("ledger check", elsewhere)
