"""`Idempotency-Key`: a request that is sent again gets the answer of the first, byte for byte, and is charged once."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from gateway.http.calls import idempotency
from gateway.http.server.service import Service
from gateway.runtime import Gateway
from gateway.stores import KeySettings
from gateway.testing import (
    Cut,
    Hold,
    Reply,
    chunk,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    sse,
    usage,
)

REPORTED = usage(10, 2)
COST = 14
REPLAY = "x-gateway-idempotent-replay"
FIRST = sse(chunk({"content": "Hello"}))
REST = openai_stream(" world", reported=REPORTED)


def keyed(key: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": key}


async def ask_raw(site: Any, key: str = "k-1", **body: Any) -> Any:
    """A request on a connection of its own; returns the client."""
    client = await site.connect()
    await client.send(site.request(more=f"idempotency-key: {key}\r\n", **body))
    return client


class TestStored:
    async def test_a_whole_answer(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        first = await site.ask(headers=keyed(), temperature=0.5, top_p=1)
        second = await site.ask(headers=keyed(), top_p=1, temperature=0.5)
        third = await site.ask(headers=keyed(), path="/api/v1/chat/completions", temperature=0.5, top_p=1)
        assert first.status == second.status == third.status == 200
        assert first.body == second.body == third.body
        assert REPLAY not in first.headers
        assert second.headers[REPLAY] == third.headers[REPLAY] == "true"
        for name in ("content-type", "x-gateway-cost", "x-gateway-model"):
            assert first.headers[name] == second.headers[name]
        assert "x-ratelimit-limit-requests" in first.headers
        assert len({answer.headers["x-request-id"] for answer in (first, second, third)}) == 3
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST
        assert len(await site.rows()) == 1

    @pytest.mark.parametrize("asked", [True, False])
    async def test_a_stream(self, site: Any, asked: bool) -> None:
        site.upstream.reply(Reply([FIRST, *REST]))
        body = {"stream": True, "stream_options": {"include_usage": asked}}
        first = await site.ask(headers=keyed(), **body)
        second = await site.ask(headers=keyed(), **body)
        assert first.body == second.body
        assert first.events[-1] == "[DONE]"
        assert first.events[-2]["usage"]["cost"] == COST
        assert first.headers["content-type"] == second.headers["content-type"]
        assert (REPLAY in first.headers, second.headers[REPLAY]) == (False, "true")
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST

    async def test_embeddings(self, site: Any) -> None:
        vector = {"object": "embedding", "index": 0, "embedding": [0.5]}
        answer = {"object": "list", "data": [vector], "model": "m", "usage": {"prompt_tokens": 3, "total_tokens": 3}}
        site.upstream.reply(json_reply(answer))
        sent = orjson.dumps({"input": "a text"})
        answers = [await site.running.post("/v1/embeddings", sent, headers=keyed()) for _ in range(2)]
        assert answers[0][2] == answers[1][2]
        assert answers[1][1][REPLAY] == "true"
        assert len(site.upstream.requests) == 1

    async def test_the_log_tells_the_bill_once(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        for _ in range(2):
            await site.ask(headers=keyed())
        await site.rest()
        first, second = site.request_lines()
        assert (first["credits"], first["target"], second.get("credits")) == (COST, "fake/model", None)

    async def test_another_route_account_or_key_is_another_request(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        other = await site.running.new_key(credits=1_000)
        same_account = await site.running.new_key()
        for key in (None, other, same_account):
            assert (await site.ask(headers=keyed(), key=key)).status == 200
        assert len(site.upstream.requests) == 2, "two keys of one account share what they asked for"
        await site.ask(headers=keyed("k-2"))
        assert len(site.upstream.requests) == 3

    async def test_a_key_that_may_not_use_the_model_does_not_get_the_answer(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("secret", reported=REPORTED)))
        limited = await site.running.new_key(KeySettings(models=("other/*",)))
        await site.ask(headers=keyed())
        refused = await site.ask(headers=keyed(), key=limited)
        assert (refused.status, refused.error["code"]) == (403, "model_not_allowed")

    async def test_it_is_forgotten_in_time(self, serve: Any) -> None:
        site = await serve(idempotency={"keep": "1s"})
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        await site.ask(headers=keyed())
        stores = site.running.gateway.stores
        assert await stores.idempotency.prune(int(stores.core.clock()) - 5) == 0
        assert await stores.idempotency.prune(int(stores.core.clock()) + 5) == 1
        assert REPLAY not in (await site.ask(headers=keyed())).headers

    async def test_off(self, serve: Any) -> None:
        site = await serve(idempotency={"keep": "0s"})
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        for _ in range(2):
            assert REPLAY not in (await site.ask(headers=keyed())).headers
        assert len(site.upstream.requests) == 2

    async def test_repeats_are_counted(self, site: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr(idempotency, "REPEATS_PER_MINUTE", 2)
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        statuses = [(await site.ask(headers=keyed())).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


class TestConflicts:
    async def test_another_body(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        await site.ask(headers=keyed())
        other = await site.ask(headers=keyed(), seed=1)
        assert other.status == 409
        assert (other.error["code"], other.error["type"]) == ("idempotency_conflict", "invalid_request_error")
        assert len(site.upstream.requests) == 1

    async def test_another_body_while_it_runs(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        client = await ask_raw(site, stream=True)
        await client.head()
        assert (await site.ask(headers=keyed(), stream=True, seed=1)).status == 409
        go.set()
        assert (await client.reader.readuntil(b"[DONE]")).endswith(b"[DONE]")

    @pytest.mark.parametrize("key", ["", "x" * 256, "two words", "caf\xe9"])
    async def test_a_bad_key(self, site: Any, key: str) -> None:
        client = await site.connect()
        head = site.request(more="idempotency-key: %s\r\n").replace(b"%s", key.encode("latin-1"))
        await client.send(head)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (400, "invalid_idempotency_key")

    async def test_two_keys(self, site: Any) -> None:
        client = await site.connect()
        await client.send(site.request(more="idempotency-key: a\r\nidempotency-key: b\r\n"))
        assert (await client.answer()).status == 400

    async def test_the_longest_key(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        for _ in range(2):
            assert (await site.ask(headers=keyed("~" * 255))).status == 200
        assert len(site.upstream.requests) == 1


class TestFailures:
    async def test_what_failed_before_its_answer_began_may_run_again(self, serve: Any) -> None:
        site = await serve(upstream={"retries": 0})
        site.upstream.queue(
            json_reply(openai_error("no"), 500),
            json_reply(openai_error("no"), 400),
            json_reply(openai_completion("Hi", reported=REPORTED)),
        )
        statuses = [(await site.ask(headers=keyed())).status for _ in range(4)]
        assert statuses == [502, 400, 200, 200]
        assert await site.spent() == COST

    async def test_a_refusal_is_not_stored(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        poor = await site.running.new_key(credits=1)
        assert (await site.ask(headers=keyed(), key=poor)).status == 402
        stores = site.running.gateway.stores
        (account,) = [found for found in await stores.accounts.list_accounts() if found.balance == 1]
        await stores.ledger.grant(account.id, 1_000_000, kind="grant", key="more")
        assert (await site.ask(headers=keyed(), key=poor)).status == 200
        assert (await site.ask(headers=keyed(), key=poor, max_tokens=5)).status == 409

    async def test_after_a_failure_the_key_takes_another_body(self, site: Any) -> None:
        site.upstream.queue(json_reply(openai_error("no"), 400), json_reply(openai_completion("Hi")))
        assert (await site.ask(headers=keyed(), seed=1)).status == 400
        assert (await site.ask(headers=keyed(), seed=2)).status == 200

    async def test_a_bad_request_takes_no_key(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi")))
        assert (await site.ask(headers=keyed(), temperature="hot")).status == 400
        assert (await site.ask(headers=keyed())).status == 200
        assert (await site.ask(headers=keyed(), key="mghp_wrong")).status == 401

    async def test_all_who_wait_hear_of_the_failure(self, serve: Any) -> None:
        site = await serve(upstream={"retries": 0})
        go = asyncio.Event()
        site.upstream.queue(Reply([Hold(go), Cut()]))
        asked = [asyncio.create_task(site.ask(headers=keyed())) for _ in range(3)]
        await site.upstream.wait_for_requests(1)
        await asyncio.sleep(0.02)
        go.set()
        assert [(await task).status for task in asked] == [502, 502, 502]
        assert len(site.upstream.requests) == 1

    async def test_a_stream_that_broke_is_given_again_as_it_was(self, site: Any) -> None:
        site.upstream.reply(Reply([FIRST, Cut()]))
        first = await site.ask(headers=keyed(), stream=True)
        second = await site.ask(headers=keyed(), stream=True)
        assert first.body == second.body
        assert first.events[-1]["error"]["type"] == "upstream_error"
        assert len(site.upstream.requests) == 1
        rows = await site.rows()
        assert [row.row.basis for row in rows] == ["estimated"]

    async def test_what_we_broke_off_runs_again_for_one_charge(self, serve: Any) -> None:
        site = await serve(server={"drain": "50ms"})
        go = asyncio.Event()
        site.upstream.queue(Reply([FIRST, Hold(go)]), Reply([FIRST, *REST]))
        client = await ask_raw(site, stream=True)
        await client.head()
        await client.reader.readuntil(b"Hello")
        await site.running.service.drain()
        told = await client.reader.readuntil(b"0\r\n\r\n")
        assert b"draining" in told
        assert b"[DONE]" not in told
        await site.rest()
        site.running.gateway.draining = False
        again = await site.ask(headers=keyed(), stream=True)
        assert again.events[-1] == "[DONE]"
        assert await site.spent() == COST, "what the first attempt was charged was given back"
        kinds = [entry.kind for entry in await site.running.gateway.stores.ledger.entries()]
        assert kinds.count("refund") == 1
        assert (await site.ask(headers=keyed(), stream=True)).body == again.body

    async def test_the_store_fails_the_answer_is_given(self, site: Any, monkeypatch: Any) -> None:
        site.noisy = True
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        answers = site.running.gateway.stores.idempotency

        async def broken(*_: Any, **__: Any) -> None:
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(answers, "finish", broken)
            assert (await site.ask(headers=keyed())).status == 200
        assert (await site.ask(headers=keyed())).status == 200
        assert len(site.upstream.requests) == 2
        assert await site.spent() == COST


class TestRunning:
    async def test_joining_a_running_stream(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        one = await ask_raw(site, stream=True)
        await one.head()
        sent = await one.reader.readuntil(b"Hello")
        two = await ask_raw(site, stream=True)
        _, headers = await two.head()
        assert headers[REPLAY] == "true"
        assert await two.reader.readexactly(len(sent)) == sent, "what was sent so far comes first"
        go.set()
        await site.rest()
        assert await one.reader.readuntil(b"0\r\n\r\n") == await two.reader.readuntil(b"0\r\n\r\n")
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST
        assert len(await site.rows()) == 1

    async def test_joining_a_whole_answer(self, site: Any) -> None:
        go = asyncio.Event()
        body = orjson.dumps(openai_completion("Hi", reported=REPORTED))
        site.upstream.reply(Reply([Hold(go), body], media_type="application/json"))
        asked = [asyncio.create_task(site.ask(headers=keyed())) for _ in range(5)]
        await site.upstream.wait_for_requests(1)
        await asyncio.sleep(0.02)
        go.set()
        answers = [await task for task in asked]
        assert len({answer.body for answer in answers}) == 1
        assert sorted(answer.headers.get(REPLAY, "") for answer in answers) == ["", *["true"] * 4]
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST

    @pytest.mark.parametrize("stream", [True, False])
    async def test_the_call_goes_on_without_its_caller(self, site: Any, stream: bool) -> None:
        go = asyncio.Event()
        whole = [orjson.dumps(openai_completion("Hello world", reported=REPORTED))]
        kind = "text/event-stream" if stream else "application/json"
        site.upstream.reply(Reply([FIRST, Hold(go), *REST] if stream else [Hold(go), *whole], media_type=kind))
        client = await ask_raw(site, stream=stream)
        await site.upstream.wait_for_requests(1)
        if stream:
            await client.head()
        client.abort()
        await asyncio.sleep(0.05)
        assert site.running.service.app.busy == 1, "a stop waits for it"
        again = asyncio.create_task(site.ask(headers=keyed(), stream=stream))
        await asyncio.sleep(0.02)
        go.set()
        answer = await again
        assert answer.status == 200
        assert (b"[DONE]" in answer.body) == stream
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST
        row = await site.row()
        assert (row.row.status, row.row.basis) == (200, "provider")

    async def test_the_answer_of_a_caller_who_never_came_back_is_kept(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        client = await ask_raw(site, stream=True)
        await client.head()
        client.abort()
        go.set()
        await site.rest()
        again = await site.ask(headers=keyed(), stream=True)
        assert again.events[-1] == "[DONE]"
        assert again.headers[REPLAY] == "true"
        assert await site.spent() == COST

    async def test_a_slow_reader_does_not_hold_up_the_others(self, site: Any) -> None:
        text = "x" * 60_000
        site.upstream.reply(Reply(openai_stream(*[text] * 60, reported=REPORTED)))
        slow = await ask_raw(site, stream=True)
        await slow.head()
        fast = await site.ask(headers=keyed(), stream=True)
        assert fast.events[-1] == "[DONE]"
        data = b"".join([part async for part in slow.chunks()])
        assert data == fast.body

    async def test_a_caller_who_leaves_while_a_call_is_admitted(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hi", reported=REPORTED)))
        for delay in (0.0, 0.0005, 0.001, 0.002, 0.004):
            client = await ask_raw(site, key=f"k{delay}")
            await asyncio.sleep(delay)
            client.abort()
        await site.rest()
        again = [await site.ask(headers=keyed(f"k{delay}")) for delay in (0.0, 0.0005, 0.001, 0.002, 0.004)]
        assert {answer.status for answer in again} == {200}
        assert len(site.upstream.requests) == 5
        assert await site.spent() == 5 * COST


class TestTooLarge:
    async def test_a_whole_answer(self, serve: Any) -> None:
        site = await serve(idempotency={"max_answer": 1000})
        site.upstream.reply(json_reply(openai_completion("x" * 2000, reported=REPORTED)))
        assert (await site.ask(headers=keyed())).status == 200
        again = await site.ask(headers=keyed())
        assert (again.status, again.error["code"]) == (409, "idempotency_answer_too_large")
        assert await site.spent() == COST

    async def test_a_stream_is_bounded_in_memory_and_paced_by_its_reader(self, serve: Any) -> None:
        site = await serve(idempotency={"max_answer": 100_000})
        text = "x" * 60_000
        site.upstream.reply(Reply(openai_stream(*[text] * 400, reported=REPORTED)))
        client = await ask_raw(site, stream=True)
        await client.head()
        await asyncio.sleep(0.3)
        assert not site.upstream.requests[0].complete, "the upstream waits for a caller who does not read"
        (entry,) = site.running.service.app._keyed._keyed.values()
        assert sum(map(len, entry.recording._parts)) < 4_000_000
        joined = await site.ask(headers=keyed(), stream=True)
        assert joined.status == 409
        data = b"".join([part async for part in client.chunks()])
        assert data.count(b"xxx") > 100
        assert data.endswith(b"data: [DONE]\n\n")
        assert await site.spent() == COST

    async def test_nobody_reads_it(self, serve: Any) -> None:
        site = await serve(idempotency={"max_answer": 1_000})
        go = asyncio.Event()
        site.upstream.reply(Reply([sse(chunk({"content": "x" * 4000})), Hold(go)]))
        client = await ask_raw(site, stream=True)
        await client.head()
        client.abort()
        await site.upstream.requests[0].wait_closed()
        await site.rest()
        assert (await site.ask(headers=keyed(), stream=True)).status == 409
        row = await site.row()
        assert (row.row.status, row.row.basis) == (499, "estimated")


@asynccontextmanager
async def second_process(site: Any) -> AsyncIterator[tuple[Gateway, Service]]:
    """Another gateway on the same database, as a worker of its own."""
    environment = {"GATEWAY_DATA": str(site.running.gateway.runtime.config.data)}
    gateway = Gateway(site.running.config_path, environment, log_stream=io.StringIO())
    await gateway.start()
    service = Service(gateway, host="127.0.0.1", port=0)
    await service.start()
    try:
        yield gateway, service
    finally:
        await service.close()
        await gateway.stop()


class TestTwoProcesses:
    async def ask(self, site: Any, service: Service, **body: Any) -> Any:
        host, port = service.address
        reader, writer = await asyncio.open_connection(host, port)
        client = type(await site.connect())(reader, writer)
        await client.send(site.request(more="idempotency-key: k-1\r\n", **body))
        return client

    @pytest.mark.parametrize("stream", [True, False])
    async def test_the_other_waits(self, site: Any, stream: bool) -> None:
        go = asyncio.Event()
        whole = [orjson.dumps(openai_completion("Hello world", reported=REPORTED))]
        kind = "text/event-stream" if stream else "application/json"
        site.upstream.reply(Reply([FIRST, Hold(go), *REST] if stream else [Hold(go), *whole], media_type=kind))
        async with second_process(site) as (_, service):
            first = asyncio.create_task(site.ask(headers=keyed(), stream=stream))
            await site.upstream.wait_for_requests(1)
            other = await self.ask(site, service, stream=stream)
            await asyncio.sleep(0.1)
            go.set()
            answer = await other.answer()
            assert answer.body == (await first).body
            assert answer.headers[REPLAY] == "true"
            other.abort()
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST

    async def test_a_stream_is_kept_alive_meanwhile(self, serve: Any) -> None:
        site = await serve(server={"keep_alive": "50ms"})
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        async with second_process(site) as (_, service):
            first = asyncio.create_task(site.ask(headers=keyed(), stream=True))
            await site.upstream.wait_for_requests(1)
            other = await self.ask(site, service, stream=True)
            await other.head()
            assert b": keep-alive" in await other.reader.readuntil(b": keep-alive\n\n")
            go.set()
            assert (await first).status == 200
            await other.reader.readuntil(b"[DONE]")
            other.abort()
        assert await site.spent() == COST

    async def test_the_other_takes_over_what_failed(self, serve: Any) -> None:
        site = await serve(upstream={"retries": 0})
        go = asyncio.Event()
        site.upstream.queue(Reply([Hold(go), Cut()]), json_reply(openai_completion("Hi", reported=REPORTED)))
        async with second_process(site) as (_, service):
            first = asyncio.create_task(site.ask(headers=keyed()))
            await site.upstream.wait_for_requests(1)
            other = await self.ask(site, service)
            await asyncio.sleep(0.1)
            go.set()
            assert (await first).status == 502
            answer = await other.answer()
            assert answer.status == 200
            other.abort()
        assert await site.spent() == COST

    async def test_a_caller_who_does_not_wait_for_the_other(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        async with second_process(site) as (gateway, service):
            first = asyncio.create_task(site.ask(headers=keyed(), stream=True))
            await site.upstream.wait_for_requests(1)
            other = await self.ask(site, service, stream=True)
            await asyncio.sleep(0.05)
            other.abort()
            async with asyncio.timeout(30):
                while gateway._tasks or service.app.busy:
                    await asyncio.sleep(0.01)
            go.set()
            assert (await first).status == 200
        assert len(site.upstream.requests) == 1


class TestResponses:
    """The Responses API takes part without knowing of it."""

    async def ask(self, site: Any, **body: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, raw = await site.running.post("/v1/responses", {"input": "Hello!", **body}, headers=keyed())
        return status, {name.lower(): value for name, value in headers.items()}, raw

    @pytest.mark.parametrize("stream", [True, False])
    async def test_the_same_response(self, site: Any, stream: bool) -> None:
        whole = json_reply(openai_completion("Hello world", reported=REPORTED))
        site.upstream.reply(Reply([FIRST, *REST]) if stream else whole)
        first = await self.ask(site, stream=stream)
        second = await self.ask(site, stream=stream)
        assert first[0] == second[0] == 200
        assert first[2] == second[2]
        assert second[1][REPLAY] == "true"
        assert (b"response.completed" in first[2]) == stream
        assert len(site.upstream.requests) == 1
        assert await site.spent() == COST

    async def test_the_caller_leaves_and_comes_back(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([FIRST, Hold(go), *REST]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": True})
        await client.send(site.head_of(len(raw), path="/v1/responses", more="idempotency-key: k-1\r\n") + raw)
        await client.head()
        client.abort()
        await asyncio.sleep(0.02)
        again = asyncio.create_task(self.ask(site, stream=True))
        await asyncio.sleep(0.02)
        go.set()
        status, headers, body = await again
        assert (status, headers[REPLAY]) == (200, "true")
        assert b"response.completed" in body
        response = orjson.loads(body.rpartition(b"data: ")[2])["response"]
        status, _, raw = await site.running.get(f"/v1/responses/{response['id']}")
        assert (status, orjson.loads(raw)) == (200, response)
        assert await site.spent() == COST

    async def test_one_background_response(self, site: Any) -> None:
        site.upstream.reply(Reply([FIRST, *REST]))
        first = await self.ask(site, background=True)
        second = await self.ask(site, background=True)
        assert first[0] == 200
        assert first[2] == second[2]
        await site.rest()
        assert len(site.upstream.requests) == 1
