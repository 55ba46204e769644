"""Retries, fallback, time limits and the operator's own troubles, as a caller sees them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.testing import (
    Cut,
    FakeUpstream,
    Hold,
    Pause,
    Reply,
    Stall,
    chunk,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    refused_url,
    sse,
)
from gateway.testing.upstream import PATIENCE

FINE = json_reply(openai_completion("Hi"))
STREAM = Reply(openai_stream("Hi"))


def failing(status: int, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_reply(openai_error("No."), status, headers=sent)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "reply",
    [
        failing(429),
        failing(500),
        failing(502),
        failing(503),
        failing(529),
        Reply([Cut()]),
        Reply([Cut()], framing="raw"),
    ],
    ids=["429", "500", "502", "503", "529", "cut after the head", "cut before the head"],
)
async def test_a_failure_before_the_first_byte_is_tried_again(
    serve: Any, quick: Any, reply: Reply, stream: bool
) -> None:
    site = await serve(upstream=quick)
    site.upstream.queue(reply, reply, STREAM if stream else FINE)
    answer = await site.ask(stream=stream)
    assert answer.status == 200
    assert len(site.upstream.requests) == 3
    assert site.request_lines()[-1]["attempts"] == 3
    assert (await site.row()).row.status == 200


ROLE = sse(chunk({"role": "assistant", "content": "", "refusal": None}))
BROKEN = sse({"error": {"message": "Overloaded", "code": 503}})
FAILED = sse(chunk({}, finish="error"))


@pytest.mark.parametrize("road", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize(
    "opening",
    [
        [ROLE, Cut()],
        [ROLE + BROKEN],
        [ROLE, BROKEN],
        [ROLE, ROLE, FAILED],
        [sse(openai_completion("") | {"choices": []}), Cut()],
    ],
    ids=["cut", "error at once", "error", "finish_reason error", "no choice"],
)
async def test_an_answer_that_only_opened_is_tried_again(serve: Any, quick: Any, opening: Any, road: str) -> None:
    site = await serve(upstream=quick)
    site.upstream.queue(Reply(opening), STREAM)
    asked = {"messages": [{"role": "user", "content": "Hi"}]} if road.endswith("completions") else {"input": "Hi"}
    status, _, body = await site.running.post(road, {**asked, "stream": True})
    assert (status, len(site.upstream.requests)) == (200, 2)
    assert b"error" not in body.replace(b'"error":null', b"")
    assert body.count(b'"role":"assistant","content":""') + body.count(b'"response.created"') < 3, body
    assert (await site.row()).row.status == 200


async def test_an_opening_waits_for_the_first_word_but_not_for_ever(serve: Any) -> None:
    site = await serve(server={"keep_alive": "20ms"})
    go = asyncio.Event()
    site.upstream.reply(Reply([ROLE, Hold(go), *openai_stream("Hi")[1:]]))
    client = await site.begin(stream=True)
    await client.head()
    async with asyncio.timeout(PATIENCE):
        # The upstream says no more before this has come.
        assert (await anext(client.chunks())).startswith(b"data: ")
        go.set()
        assert b"data: [DONE]" in b"".join([part async for part in client.chunks()])


async def test_tries_end(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(failing(500))
    answer = await site.ask()
    assert (answer.status, answer.error["type"]) == (502, "upstream_error")
    assert len(site.upstream.requests) == 3
    row = await site.row()
    assert (row.row.status, row.row.basis, row.credits) == (502, "void", 0)


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_the_callers_mistake_is_not_tried_again(serve: Any, quick: Any, status: int) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(json_reply({"error": {"message": "max_tokens is too large", "param": "max_tokens"}}, status))
    for stream in (False, True):
        answer = await site.ask(stream=stream)
        assert answer.status in (400, 404, 503)
    assert len(site.upstream.requests) == 2


async def test_a_mistake_that_the_upstream_found_is_told(site: Any) -> None:
    fault = {"error": {"message": "Bad value for seed.", "type": "invalid_request_error", "param": "seed", "code": "x"}}
    site.upstream.reply(json_reply(fault, 400))
    answer = await site.ask()
    assert answer.status == 400
    assert answer.error["param"] == "seed"
    assert "seed" in answer.error["message"]


async def test_a_refused_connection(serve: Any, quick: Any) -> None:
    with refused_url() as url:
        site = await serve(
            upstream=quick, providers={"fake": {"plugin": "openai", "base_url": url, "api_key": "sk-fake-key-000"}}
        )
        for stream in (False, True):
            answer = await site.ask(stream=stream)
            assert (answer.status, answer.error["code"]) == (502, "upstream_unreachable")
            assert url.rpartition(":")[2] not in answer.body.decode(), "an operator's address is nobody's business"
    assert [line["attempts"] for line in site.request_lines()] == [3, 1], "it cools, and one try shows it still does"
    assert await site.spent() == 0


async def test_a_short_retry_after_is_honoured(serve: Any) -> None:
    site = await serve(upstream={"backoff": "1ms", "max_backoff": "500ms", "retries": 1})
    site.upstream.queue(failing(429, retry_after_ms="80"), FINE)
    assert (await site.ask()).status == 200
    first, second = site.upstream.requests
    assert second.at - first.at >= 0.08


async def test_a_long_retry_after_is_the_callers_to_wait(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(failing(429, retry_after="17"))
    answer = await site.ask()
    assert answer.status in (429, 503)
    assert answer.headers["retry-after"] == "17"
    assert len(site.upstream.requests) == 1


async def test_a_date_to_retry_after_counts_without_the_date_of_the_answer(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(failing(429, retry_after="Fri, 31 Dec 2199 23:59:59 GMT"))
    answer = await site.ask()
    assert answer.status in (429, 503)
    assert answer.headers["retry-after"] == "86400"


def two_providers(first: str, second: str, **alias: Any) -> dict[str, Any]:
    price = {"input": 1, "output": 2}
    return {
        "providers": {
            name: {"plugin": "openai", "base_url": url, "api_key": f"sk-{name}-key-0000"}
            for name, url in (("a", first), ("b", second))
        },
        "models": {
            name: {"provider": name[0], "upstream": name[2:], "price": price, "max_output": 100}
            for name in ("a/one", "b/two")
        },
        "aliases": {"both": ["a/one", "b/two"], **alias},
        "default_model": "both",
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_ordered_fallback(serve: Any, quick: Any, stream: bool, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as other:
        site = await serve(upstream=quick, **two_providers(fake_upstream.url, other.url))
        fake_upstream.reply(failing(503))
        other.reply(STREAM if stream else FINE)
        answer = await site.ask(stream=stream)
        assert answer.status == 200
        assert answer.headers["x-gateway-model"] == "b/two"
        model = answer.events[0]["model"] if stream else answer.json["model"]
        assert model == "both", "the id that the caller may use again"
        assert len(fake_upstream.requests) == 3
        assert [received.json["model"] for received in other.requests] == ["two"]
        assert other.requests[0].headers["authorization"] == "Bearer sk-b-key-0000"
        row = await site.row()
        assert (row.row.target, row.row.model) == ("b/two", "both")


async def test_a_long_wait_moves_on_to_the_next_target(serve: Any, quick: Any, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as other:
        site = await serve(upstream=quick, **two_providers(fake_upstream.url, other.url))
        fake_upstream.reply(failing(429, retry_after="30"))
        other.reply(FINE)
        assert (await site.ask()).status == 200
        assert len(fake_upstream.requests) == 1


async def test_bad_credentials_are_the_operators_secret(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    secret = "sk-fake-upstream-key"
    site.upstream.reply(
        json_reply(
            openai_error(f"Incorrect API key provided: {secret}. Find it at example.com.", "auth", "invalid_api_key"),
            401,
        )
    )
    for stream in (False, True):
        answer = await site.ask(stream=stream)
        assert answer.status in (502, 503)
        assert answer.error["type"] == "upstream_error"
        assert answer.error["code"] != "invalid_api_key", "the caller's own key is fine"
        assert secret not in answer.body.decode()
    assert secret not in site.running.stream.getvalue()


async def test_weights(serve: Any, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as other:
        shares = [{"model": "a/one", "weight": 3}, {"model": "b/two", "weight": 1}]
        site = await serve(**two_providers(fake_upstream.url, other.url, shared=shares))
        fake_upstream.reply(FINE)
        other.reply(FINE)
        for _ in range(80):
            await site.ask(model="shared")
        # Binomial(80, 3/4): 60 expected, and 40 or 76 are more than four standard deviations away.
        assert 42 < len(fake_upstream.requests) < 76
        assert len(fake_upstream.requests) + len(other.requests) == 80


async def test_members_of_a_group_stand_in_for_each_other(serve: Any, quick: Any, fake_upstream: FakeUpstream) -> None:
    async with FakeUpstream() as other:
        shares = [{"model": "a/one", "weight": 1000}, {"model": "b/two", "weight": 0.001}]
        site = await serve(
            upstream={**quick, "retries": 0}, **two_providers(fake_upstream.url, other.url, shared=shares)
        )
        fake_upstream.reply(failing(500))
        other.reply(FINE)
        found = Counter([(await site.ask(model="shared")).status for _ in range(5)])
        assert found == {200: 5}


@pytest.mark.parametrize("stream", [False, True])
async def test_first_byte_limit(serve: Any, stream: bool) -> None:
    site = await serve(upstream={"first_byte": "40ms", "retries": 1, "backoff": "1ms"})
    site.upstream.reply(Reply([Stall()]))
    answer = await site.ask(stream=stream)
    assert (answer.status, answer.error["code"]) == (504, "upstream_first_byte_timeout")
    assert answer.error["type"] == "upstream_error"
    assert "upstream.first_byte" in answer.error["message"]
    assert len(site.upstream.requests) == 1, "the same again would take its time again"
    await site.upstream.requests[0].wait_closed()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_late_first_byte_is_asked_for_elsewhere(serve: Any, fake_upstream: FakeUpstream, stream: bool) -> None:
    async with FakeUpstream() as other:
        chain = two_providers(fake_upstream.url, other.url, chain=["a/one", "b/two"])
        site = await serve(upstream={"first_byte": "500ms", "retries": 2, "backoff": "1ms"}, **chain)
        fake_upstream.reply(Reply([Stall()]))
        other.reply(STREAM if stream else FINE)
        assert (await site.ask(model="chain", stream=stream)).status == 200
        assert (len(fake_upstream.requests), len(other.requests)) == (1, 1)


async def test_idle_limit_in_a_whole_answer(serve: Any) -> None:
    site = await serve(upstream={"idle": "40ms"})
    site.upstream.reply(Reply([b'{"choices":', Stall()], media_type="application/json"))
    answer = await site.ask()
    assert (answer.status, answer.error["code"]) == (504, "upstream_idle_timeout")
    assert len(site.upstream.requests) == 1
    await site.upstream.requests[0].wait_closed()


async def test_idle_limit_in_a_stream(serve: Any) -> None:
    site = await serve(upstream={"idle": "40ms"})
    site.upstream.reply(Reply([sse(chunk({"content": "Hi"})), Stall()]))
    answer = await site.ask(stream=True)
    assert answer.events[-1]["error"]["code"] == "upstream_idle_timeout"
    await site.upstream.requests[0].wait_closed()
    row = await site.row()
    assert (row.row.status, row.row.error) == (504, "upstream_idle_timeout")
    assert row.credits > 0, "what was received is billed"


@pytest.mark.parametrize("stream", [False, True])
async def test_total_limit_bounds_an_answer_that_never_ends(serve: Any, stream: bool) -> None:
    site = await serve(upstream={"total": "1s", "idle": "500ms"})
    drip = [sse(chunk({"content": "x"})) if stream else b" ", Pause(0.02)] * 2000
    site.upstream.reply(Reply(drip, media_type="text/event-stream" if stream else "application/json"))
    answer = await site.ask(stream=stream)
    error = answer.events[-1]["error"] if stream else answer.error
    assert error["code"] == "upstream_total_timeout"
    assert answer.status == (200 if stream else 504)
    await site.upstream.requests[0].wait_closed()


async def test_total_limit_bounds_all_tries_together(serve: Any) -> None:
    site = await serve(upstream={"total": "1s", "retries": 10, "backoff": "1ms", "cooldown": {"failures": 0}})
    site.upstream.queue(failing(500), failing(500))
    site.upstream.reply(Reply([Stall()]))
    answer = await site.ask()
    assert (answer.status, answer.error["code"]) == (504, "upstream_total_timeout")
    assert len(site.upstream.requests) == 3


async def test_connect_limit(serve: Any, quick: Any) -> None:
    """A listening socket whose queue of connections is full does not answer any more."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(0)
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(taken.getsockname())
        await asyncio.sleep(0.02)
        try:
            site = await serve(
                upstream={**quick, "connect": "50ms", "retries": 0},
                providers={"fake": {"plugin": "openai", "base_url": url, "api_key": "sk-fake-key-000"}},
            )
            answer = await site.ask()
        finally:
            for filler in fillers:
                filler.close()
    assert (answer.status, answer.error["code"]) == (504, "upstream_connect_timeout")


async def test_the_order_of_retry_then_relay_is_kept(serve: Any, quick: Any) -> None:
    """Once a byte of an answer was relayed nothing is tried again, whatever happens."""
    site = await serve(upstream=quick)
    site.upstream.queue(failing(500), Reply([sse(chunk({"content": "Hi"})), Cut()]), STREAM)
    answer = await site.ask(stream=True)
    assert "error" in answer.events[-1]
    assert len(site.upstream.requests) == 2
