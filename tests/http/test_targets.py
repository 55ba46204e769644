"""Providers that are dead, hang or flap: what a caller waits for, what is tried, and what the operator sees of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.testing import (
    FakeUpstream,
    Reply,
    Stall,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    refused_url,
)

FINE = json_reply(openai_completion("Hi"))
PRICE = {"input": 1, "output": 2}


def chain(*urls: str, **provider: Any) -> dict[str, Any]:
    """One model at each address, tried in order."""
    names = [f"p{number}" for number in range(len(urls))]
    return {
        "providers": {
            name: {"plugin": "openai", "base_url": url, "api_key": f"sk-{name}-key-0000", **provider}
            for name, url in zip(names, urls, strict=True)
        },
        "models": {f"{name}/m": {"upstream": "m", "price": PRICE, "max_output": 100} for name in names},
        "aliases": {"chain": [f"{name}/m" for name in names]},
        "default_model": "chain",
    }


def busy(retry_after: str = "") -> Reply:
    headers = {"retry-after": retry_after} if retry_after else {}
    return json_reply(openai_error("Slow down."), 429, headers=headers)


async def admin(site: Any, path: str) -> Any:
    answer = await site.get(f"/admin/api{path}", key=site.running.gateway.admin_secret())
    assert answer.status == 200
    return answer.json["data"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dead_provider_costs_few_tries_and_is_seen(
    serve: Any, quick: Any, fake_upstream: FakeUpstream, stream: bool
) -> None:
    fake_upstream.reply(Reply(openai_stream("Hi")) if stream else FINE)
    with refused_url() as dead:
        site = await serve(upstream=quick, **chain(dead, fake_upstream.url))
        for _ in range(5):
            assert (await site.ask(stream=stream)).status == 200
    lines = site.request_lines()
    assert [line["attempts"] for line in lines] == [4, 1, 1, 1, 1]
    assert [tried["outcome"] for tried in lines[0]["tries"]] == ["failed"] * 3 + ["ok"]
    assert "tries" not in lines[1], "one attempt is told by the rest of the line"
    warnings = [line for line in site.log if line["message"] == "attempt failed"]
    assert [(line["level"], line["provider"], line["error"]) for line in warnings] == [
        ("warning", "p0", "upstream_unreachable")
    ] * 3
    endpoint, *_ = await admin(site, "/targets")
    assert (endpoint["provider"], endpoint["model"], endpoint["state"]) == ("p0", None, "cooling")
    assert (endpoint["consecutive_failures"], endpoint["last_error"]) == (3, "upstream_unreachable")
    attempts = await admin(site, f"/attempts?request_id={lines[0]['request_id']}")
    assert [(found["target"], found["outcome"]) for found in attempts] == [("p1/m", "ok"), *[("p0/m", "failed")] * 3]
    assert len(await admin(site, "/attempts?outcome=failed&limit=2")) == 2
    assert len(await admin(site, "/attempts?target=p1/m")) == 5
    metrics = (await site.get("/metrics")).body.decode()
    series = 'gateway_upstream_attempts_total{endpoint="1",outcome="%s",provider="%s",target="%s"} %s'
    assert series % ("upstream_unreachable", "p0", "p0/m", "3.0") in metrics
    assert series % ("ok", "p1", "p1/m", "5.0") in metrics
    assert 'gateway_target_cooling{endpoint="1",model="",provider="p0"} 1.0' in metrics
    assert 'gateway_target_cooling{endpoint="1",model="m",provider="p1"} 0.0' in metrics


async def test_a_dead_provider_alone_is_still_asked_once(serve: Any, quick: Any) -> None:
    with refused_url() as dead:
        site = await serve(upstream=quick, **chain(dead))
        for _ in range(5):
            assert (await site.ask()).error["code"] == "upstream_unreachable"
    assert [line["attempts"] for line in site.request_lines()] == [3, 1, 1, 1, 1]


async def test_a_provider_that_hangs_costs_its_limit_and_then_nothing(serve: Any, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as hanging:
        hanging.reply(Reply([Stall()]))
        fake_upstream.reply(FINE)
        settings = chain(hanging.url, fake_upstream.url)
        settings["providers"]["p0"]["timeouts"] = {"first_byte": "20ms"}
        site = await serve(upstream={"cooldown": {"failures": 2}}, **settings)
        for _ in range(6):
            assert (await site.ask()).status == 200
        assert (len(hanging.requests), len(fake_upstream.requests)) == (2, 6)


async def test_the_model_s_own_limit_counts_before_its_provider_s(serve: Any, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(Reply([Stall()]))
    settings = chain(fake_upstream.url, timeouts={"first_byte": "1h", "total": "1h"})
    settings["models"]["p0/m"]["timeouts"] = {"total": "20ms"}
    site = await serve(**settings)
    answer = await site.ask()
    assert (answer.status, answer.error["code"]) == (504, "upstream_total_timeout")


async def test_after_its_time_one_request_tries_whether_it_is_well(
    serve: Any, quick: Any, fake_upstream: FakeUpstream
) -> None:
    async with FakeUpstream() as flapping:
        flapping.reply(json_reply(openai_error("x"), 500))
        fake_upstream.reply(FINE)
        site = await serve(upstream={**quick, "retries": 0}, **chain(flapping.url, fake_upstream.url))
        for _ in range(6):
            await site.ask()
        assert len(flapping.requests) == 3
        [circuit] = [found for found in site.running.gateway.health if found.name[:3] == ("p0", "1", "m")]
        circuit.until -= 1000  # its time is over
        await site.ask()
        await site.ask()
        assert len(flapping.requests) == 4, "one trial, and it failed"
        circuit.until -= 1000
        flapping.reply(FINE)
        for _ in range(3):
            await site.ask()
        assert len(flapping.requests) == 7, "it is well, and asked first again"


async def test_what_a_target_asks_for_counts_for_the_other_requests(
    serve: Any, quick: Any, fake_upstream: FakeUpstream
) -> None:
    async with FakeUpstream() as other:
        other.reply(FINE)
        fake_upstream.reply(busy("30"))
        site = await serve(upstream=quick, **chain(fake_upstream.url, other.url))
        for _ in range(4):
            assert (await site.ask()).status == 200
        assert (len(fake_upstream.requests), len(other.requests)) == (1, 4)


async def test_several_keys_share_the_work_and_stand_in_for_each_other(
    serve: Any, quick: Any, fake_upstream: FakeUpstream
) -> None:
    keys = [f"sk-rotating-key-{number}" for number in range(3)]

    def answer(received: Any) -> Reply:
        return busy("60") if received.headers["authorization"].endswith("0") else FINE

    fake_upstream.answer(answer)
    settings = chain(fake_upstream.url)
    del settings["providers"]["p0"]["api_key"]
    settings["providers"]["p0"]["keys"] = [*keys, "${NOT_SET:-}"]
    site = await serve(upstream=quick, **settings)
    for _ in range(30):
        assert (await site.ask()).status == 200
    used = Counter(received.headers["authorization"][-1] for received in fake_upstream.requests)
    assert used["0"] <= 1, "it was told to wait, and the others go on"
    assert used["1"] + used["2"] == 30
    assert min(used["1"], used["2"]) > 0
    health = await admin(site, "/targets")
    assert {found["endpoint"] for found in health} == {"1", "2", "3"}
    assert not any(key in str(health) for key in keys)


async def test_several_addresses_of_one_provider(serve: Any, quick: Any, fake_upstream: FakeUpstream) -> None:
    with refused_url() as dead:
        settings = chain(fake_upstream.url)
        settings["providers"]["p0"]["endpoints"] = [
            {"base_url": dead, "name": "west"},
            {"name": "east", "api_key": "sk-of-the-east-0"},
        ]
        fake_upstream.reply(FINE)
        site = await serve(upstream=quick, **settings)
        for _ in range(8):
            assert (await site.ask()).status == 200
    assert {received.headers["authorization"] for received in fake_upstream.requests} == {"Bearer sk-of-the-east-0"}
    health = {(found["endpoint"], found["model"]): found for found in await admin(site, "/targets")}
    assert health["east", "m"]["successes"] == 8
    assert health["west", None]["failures"] <= 3
