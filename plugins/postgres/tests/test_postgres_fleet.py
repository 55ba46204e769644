"""Whole gateways, each a process, with everything that can be taken from them: themselves, and the database."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg
import orjson
import psutil
import pytest

from gateway.testing import (
    FakeUpstream,
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

pytestmark = [pytest.mark.slow, pytest.mark.blocking_allowed]  # it starts processes and reads their logs

CHARGES = """
    SELECT h.request_id, count(*) FILTER (WHERE e.kind = 5), -coalesce(sum(e.amount), 0)::bigint
    FROM holds AS h LEFT JOIN entries AS e ON e.hold = h.n GROUP BY h.request_id
"""
OPEN = "SELECT count(*) FROM holds WHERE state = 0"


@pytest.fixture
async def upstream():
    async with FakeUpstream() as upstream:
        upstream.reply(json_reply(openai_completion("Hi.", reported=used(10, 5))))
        yield upstream


@pytest.fixture
async def connection(database_url):
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def wait_for(condition):
    while not await condition():
        await asyncio.sleep(0.1)


def config_of(upstream, url, **sections):
    return upstream_config(upstream.url, database={"url": url}, console={"enabled": False}, **sections)


async def test_four_gateways_are_replaced_under_load_and_no_request_fails(tmp_path, upstream, database_url, connection):
    """As a balancer does it: it asks /readyz a few times a second, and sends nothing to who says no."""
    config = config_of(upstream, database_url, server={"drain_delay": "1s", "drain": "20s"})
    async with running_fleet(tmp_path, config, 4) as fleet:
        ready, answers, stop = set(fleet.members), [], asyncio.Event()

        async def look():
            while not stop.is_set():
                for member in fleet.members:
                    (ready.add if await fleet.is_ready(member) else ready.discard)(member)
                await asyncio.sleep(0.1)

        async def call(number):
            while not stop.is_set():
                chosen = sorted(ready, key=lambda member: member.url)
                if chosen:
                    answers.append(await fleet.ask(chosen[(number + len(answers)) % len(chosen)]))

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


async def test_the_database_is_killed_under_load_and_nothing_is_unbilled_or_billed_twice(tmp_path, upstream):
    pgserver = pytest.importorskip("pgserver", reason="the wheel pgserver is not there for this platform")
    place = Path(tempfile.mkdtemp(prefix="tollgate-postgres-"))
    server = pgserver.get_server(place, cleanup_mode="stop")
    try:
        url = server.get_uri()
        async with running_fleet(tmp_path, config_of(upstream, url), 2) as fleet:
            answers, stop = [], asyncio.Event()

            async def call(number):
                while not stop.is_set():
                    answers.append(await fleet.ask(fleet.members[number % 2]))

            async with asyncio.TaskGroup() as tasks:
                for number in range(8):
                    tasks.create_task(call(number))
                for _ in range(2):
                    before = len(answers)
                    await wait_for(lambda before=before: _reached(answers, before + 30))
                    await asyncio.to_thread(_kill, server)
                    await wait_for(lambda: _failed(answers))
                    await asyncio.to_thread(server.ensure_postgres_running)
                    for member in fleet.members:
                        await fleet.wait_until_ready(member)
                stop.set()
            connection = await asyncpg.connect(url)
            await wait_for(lambda: _is_zero(connection, OPEN))
            found = {row[0]: (row[1], row[2]) for row in await connection.fetch(CHARGES)}
            await connection.close()
        good = [request_id for status, request_id, _ in answers if status == 200]
        assert len(good) > 60
        assert {found[request_id] for request_id in good} == {(1, 20)}, "each good answer is billed once"
        assert all(count <= 1 for count, _ in found.values())
        for status, _, body in answers:
            assert status in (200, 503), body
        assert not list(tmp_path.glob("*/data/postgres-pending-*"))
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)


async def _reached(answers, count):
    return len(answers) >= count


async def _failed(answers):
    return answers[-1][0] == 503


async def _is_zero(connection, query):
    return await connection.fetchval(query) == 0


def _kill(server):
    """The server at once; its other processes notice and end, as they do after a crash."""
    server_process = psutil.Process(server.get_pid())
    others = server_process.children()
    server_process.kill()
    # Where nobody reaps, the dead stay in the table as zombies.
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in (server_process, *others)):
        time.sleep(0.02)
    # To pg_ctl a zombie lives.
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (server.pgdata / name).unlink(missing_ok=True)


@pytest.fixture
async def pair(tmp_path, upstream, database_url):
    async with running_fleet(tmp_path, config_of(upstream, database_url), 2) as fleet:
        yield fleet


async def test_the_background_response_of_a_killed_gateway_ends_failed_and_is_billed(pair, upstream, connection):
    one, two = pair.members
    upstream.reply(Reply([*openai_stream("Once upon a time")[:2], Stall()]))
    asked = {"model": "fake/model", "input": "Tell.", "background": True, "stream": False}
    status, _, body = await pair.ask(one, "/v1/responses", body=asked)
    assert status == 200
    name = orjson.loads(body)["id"]
    await upstream.wait_for_requests(1)
    assert (await pair.get(two, f"/v1/responses/{name}"))["status"] in ("queued", "in_progress")
    one.send(signal.SIGKILL)
    await one.gone()
    # Its lease runs out.
    await connection.execute(
        "UPDATE leases SET expires = 0 WHERE id = (SELECT lease FROM responses WHERE id = $1)", name
    )

    async def is_over():
        return (await pair.get(two, f"/v1/responses/{name}"))["status"] == "failed"

    await wait_for(is_over)
    found = await pair.get(two, f"/v1/responses/{name}")
    assert found["error"]["code"]
    assert await connection.fetchval(OPEN) == 0
    [(_, ends, _)] = await connection.fetch(CHARGES)
    assert ends <= 1
    upstream.reply(Reply(openai_stream("Hi.", reported=used(10, 5))))
    status, _, _ = await pair.ask(two, stream=True)
    assert status == 200


async def test_a_gateway_that_was_taken_for_dead_settles_nothing_as_its_own(pair, upstream, connection):
    one, _ = pair.members
    go = asyncio.Event()
    stream = openai_stream("Once upon a time", reported=used(10, 5))
    upstream.reply(Reply([*stream[:2], Hold(go), *stream[2:]]))
    asking = asyncio.ensure_future(pair.ask(one, stream=True))
    await upstream.wait_for_requests(1)
    lease = await connection.fetchval("SELECT lease FROM holds WHERE state = 0")
    one.send(signal.SIGSTOP)
    await connection.execute("UPDATE leases SET expires = 0 WHERE id = $1", lease)
    await wait_for(lambda: _is_zero(connection, OPEN))
    one.send(signal.SIGCONT)
    go.set()
    status, request_id, _ = await asking
    assert status == 200
    [row] = await connection.fetch(CHARGES)
    assert tuple(row) == (request_id, 1, 20), "what the others charged counts, and the rest is charged late"
    upstream.reply(json_reply(openai_completion("Hi.", reported=used(10, 5))))

    async def serves_again():
        return (await pair.ask(one))[0] == 200

    await wait_for(serves_again)
    assert await connection.fetchval("SELECT count(*) FROM leases WHERE id = $1", lease) == 0, "the old one is buried"
    assert await connection.fetchval("SELECT count(*) FROM leases WHERE NOT dead") == 2
