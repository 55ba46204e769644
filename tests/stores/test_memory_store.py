"""Another store through the hook: it keeps the promises, and the gateway serves on it without the one it brings."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.api.stores import StoresSettings
from gateway.errors import ConfigFault
from gateway.testing import (
    DONE_EVENT,
    FakeUpstream,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    upstream_config,
    usage,
)
from gateway.testing.memory_stores import MemoryKind, World
from gateway.testing.stores_contract import Clock, StoresContract

PLUGIN = """
from gateway.api import hookimpl
from gateway.testing.memory_stores import MemoryKind

KIND = MemoryKind()

@hookimpl
def register_stores(register):
    register(KIND)
"""
HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 50}


class MemoryFactory:
    def __init__(self):
        self.clock = Clock()
        self.kind = MemoryKind()
        self.kind.worlds["memory://x"] = World(self.clock.time, self.clock.monotonic)

    async def open(self):
        return await self.kind.open("memory://x", StoresSettings("/nowhere", b"a secret of the tests"))

    async def crash(self, stores):
        stores.world.leases[stores.presence.lease.id] = False


class TestMemory(StoresContract):
    @pytest.fixture
    def stores_factory(self):
        return MemoryFactory()


@pytest.fixture
async def upstream():
    async with FakeUpstream() as upstream:
        yield upstream


def config(tmp_path, upstream, url="memory://test"):
    place = tmp_path / "plugins.d"
    place.mkdir()
    (place / "memory_store.py").write_text(PLUGIN)
    plugins = {"dir": str(place), "disable": ["sqlite"]}
    return upstream_config(upstream.url, database={"url": url}, plugins=plugins)


async def test_the_gateway_serves_on_it(tmp_path, upstream):
    async with running_gateway(tmp_path, config(tmp_path, upstream)) as site:
        assert site.gateway.stores.describe()["kind"] == "memory"
        upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
        status, headers, body = await site.post("/v1/chat/completions", HELLO)
        assert (status, orjson.loads(body)["choices"][0]["message"]["content"]) == (200, "Hi.")
        assert headers["x-gateway-cost"] == "20"
        upstream.reply(Reply(openai_stream("Hi.", reported=usage(10, 5))))
        status, _, body = await site.post("/v1/chat/completions", {**HELLO, "stream": True})
        assert status == 200
        assert body.endswith(DONE_EVENT)
        summary = orjson.loads((await site.get("/v1/usage"))[2])
        assert summary["totals"] == {"credits": 40, "tokens": 30, "requests": 2}
        poor = await site.new_key(credits=1)
        status, _, body = await site.post("/v1/chat/completions", HELLO, key=poor)
        assert (status, orjson.loads(body)["error"]["code"]) == (402, "insufficient_quota")
        assert (await site.get("/readyz"))[0] == 200
        assert await site.gateway.stores.check() == []
    assert not list((tmp_path / "data").glob("*.db*")), "nothing of the other store is there"


async def test_a_keyed_request_is_answered_once(tmp_path, upstream):
    async with running_gateway(tmp_path, config(tmp_path, upstream)) as site:
        upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
        keyed = [site.post("/v1/chat/completions", HELLO, headers={"Idempotency-Key": "one"}) for _ in range(5)]
        answers = await asyncio.gather(*keyed)
        assert {(status, body) for status, _, body in answers} == {(200, answers[0][2])}
        assert len(upstream.requests) == 1


async def test_an_unknown_scheme_names_the_line_and_the_known_ones(tmp_path, upstream):
    with pytest.raises(ConfigFault) as fault:
        async with running_gateway(tmp_path, config(tmp_path, upstream, "sqlite:///data/gateway.db")):
            pass
    assert "database.url: no plugin offers a store for sqlite://; the kinds that there are: memory://" in str(
        fault.value
    )
