"""Two gateways on one database: what begins at one goes on at the other."""

from __future__ import annotations

import asyncio
import shutil

import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Reply,
    json_reply,
    openai_completion,
    openai_stream,
    running_gateway,
    upstream_config,
    usage,
)

HELLO = {"model": "fake/model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 50}


@pytest.fixture
async def upstream():
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def sites(tmp_path, upstream, database_url):
    config = upstream_config(upstream.url, database={"url": database_url})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with running_gateway(tmp_path / "one", config) as one:
        (tmp_path / "two" / "data").mkdir(mode=0o700)
        shutil.copy(tmp_path / "one/data/secret", tmp_path / "two/data/secret")
        async with running_gateway(tmp_path / "two", config, account_name="another") as two:
            yield one, two


def states(site):
    """Provider's model -> state, of the circuits that a gateway knows."""
    now = asyncio.get_running_loop().time()
    return {circuit.name.model: circuit.state(now) for circuit in site.gateway.health}


async def test_what_one_learns_of_a_provider_spares_the_other(sites, upstream):
    one, two = sites
    upstream.reply(json_reply({"error": {"message": "slow down"}}, 429, headers={"retry-after": "600"}))
    assert (await one.post("/v1/chat/completions", HELLO))[0] == 429
    told = next(name for name, state in states(one).items() if state == "cooling")
    assert states(two).get(told) is None
    while states(two).get(told) != "cooling":
        await asyncio.sleep(0.05)
    [circuit] = [circuit for circuit in two.gateway.health if circuit.name.model == told]
    assert 0 < circuit.until - asyncio.get_running_loop().time() <= 600
    assert len(upstream.requests) == 1
    # It is well again, as a caller of the first one finds.
    now = asyncio.get_running_loop().time()
    [own] = [circuit for circuit in one.gateway.health if circuit.name.model == told]
    own.answered(now, 0.1)
    while states(two)[told] == "cooling":
        await asyncio.sleep(0.05)


async def test_housekeeping_goes_on_where_windows_are_counted_elsewhere(sites):
    stores = sites[0].gateway.stores
    own, stores.counters = stores.counters, object()
    await own.hit([("a", 5)], 60.0)
    assert await stores.prune(0, usage_before=0) == {}


async def test_a_busy_process_asks_for_many_windows_at_once(sites):
    one, two = (site.gateway.stores for site in sites)
    asked = []
    run = one.database.run

    async def counted(work, **more):
        asked.append(work)
        return await run(work, **more)

    one.database.run = counted
    both = [*(one.counters.hit([("busy", 60)], 60.0) for _ in range(50)),
            *(two.counters.hit([("busy", 60)], 60.0) for _ in range(50))]  # fmt: skip
    found = [window for [window] in await asyncio.gather(*both)]
    assert sum(window.allowed for window in found) == 60, "exact over both"
    assert len(asked) <= 3


async def test_words_of_an_endpoint_with_another_key_or_of_a_newer_gateway_are_passed_over(sites):
    one, two = sites
    word = {"name": ["fake", "1", "", "another"], "seconds": 60, "asked": False, "fault": "x"}
    await one.gateway.stores.notices.post("a", {"cooling": word}, 60)
    await one.gateway.stores.notices.post("b", {"weather": "fine"}, 60)
    await one.gateway.stores.notices.post("c", {"cooling": {"name": []}}, 60)
    while not [line for line in two.log if line["message"] == "hearing other gateways failed"]:
        await asyncio.sleep(0.05)
    assert states(two) == {}


async def test_what_begins_at_one_goes_on_at_the_other(sites, upstream):
    one, two = sites
    upstream.reply(json_reply(openai_completion("Hi.", reported=usage(10, 5))))
    keyed = {"Idempotency-Key": "k"}
    status, _, first = await one.post("/v1/chat/completions", HELLO, headers=keyed)
    assert status == 200
    status, _, again = await two.post("/v1/chat/completions", HELLO, key=one.key, headers=keyed)
    assert (status, again) == (200, first)
    assert len(upstream.requests) == 1
    upstream.reply(Reply(openai_stream("Paris.", reported=usage(10, 5))))
    status, _, body = await one.post(
        "/v1/responses", {"model": "fake/model", "input": "Capital of France?", "stream": True}
    )
    assert status == 200
    made = next(
        orjson.loads(line[6:])["response"]["id"]
        for line in body.splitlines()
        if line.startswith(b'data: {"type":"resp')
    )
    _, _, found = await two.get(f"/v1/responses/{made}", key=one.key)
    assert orjson.loads(found)["output"][0]["content"][0]["text"] == "Paris."
    upstream.reply(json_reply(openai_completion("About two million.", reported=usage(30, 5))))
    turn = {"model": "fake/model", "input": "How many live there?", "previous_response_id": made}
    assert (await two.post("/v1/responses", turn, key=one.key))[0] == 200
    sent = orjson.loads(upstream.requests[-1].body)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    revoked = await one.gateway.stores.keys.list_keys(one.account.id)
    await one.gateway.stores.keys.revoke_key(revoked[0].id)
    await asyncio.sleep(1.0)
    assert (await two.post("/v1/chat/completions", HELLO, key=one.key))[0] == 401
    assert await two.gateway.stores.check() == []
