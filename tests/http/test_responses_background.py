"""Responses that go on without their caller, streams that are taken up again, and conversations."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway.http.server.service import shutting_down
from gateway.runtime import Gateway
from gateway.testing import Cut, Hold, Reply, Stall, json_reply, openai_completion, openai_stream, usage

from .responses_kit import RESPONSES, check_stream, read_stream, schema, sdk, text_of

ANSWER = openai_stream("Hello", " world", reported=usage(10, 2))
COST = 14


async def until_ended(client: openai.AsyncOpenAI, response_id: str) -> Any:
    async with asyncio.timeout(30):
        while True:
            response = await client.responses.retrieve(response_id)
            if response.status not in ("queued", "in_progress"):
                return response
            await asyncio.sleep(0.005)


async def until_said(site: Any, response_id: str, text: str) -> None:
    live = site.running.gateway.running_responses.get(site.running.account.id, response_id)
    async with asyncio.timeout(30):
        while text.encode() not in live.recording.whole:
            await asyncio.sleep(0.005)


class TestBackground:
    async def test_it_is_queued_and_ends(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([*ANSWER[:2], Hold(go), *ANSWER[2:]]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            assert (queued.status, queued.output, queued.background) == ("queued", [], True)
            await until_said(site, queued.id, "Hello")
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(input="x", previous_response_id=queued.id)
            assert refused.value.code == "previous_response_in_progress"
            go.set()
            ended = await until_ended(client, queued.id)
        assert (ended.status, ended.output_text) == ("completed", "Hello world")
        schema("Response").validate(orjson.loads(ended.to_json()))
        refused_row, row = await site.rows()
        assert refused_row.row.status == 400
        assert (row.row.status, row.row.basis, row.credits) == (200, "provider", COST)
        assert await site.spent() == COST

    async def test_its_stream_survives_its_caller(self, site: Any) -> None:
        go = asyncio.Event()
        site.upstream.reply(Reply([*ANSWER[:2], Hold(go), *ANSWER[2:]]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": True, "background": True})
        await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
        await client.head()
        seen = b""
        async for part in client.chunks():
            seen += part
            if b"Hello" in seen:
                break
        client.abort()
        begun = read_stream(seen[: seen.rindex(b"\n\n") + 2])
        assert [event["type"] for event in begun[:3]] == [
            "response.created",
            "response.queued",
            "response.in_progress",
        ]
        response_id, last = begun[0]["response"]["id"], begun[-1]["sequence_number"]
        path = f"{RESPONSES}/{response_id}?stream=true&starting_after={last}"
        follower = asyncio.create_task(site.running.get(path))
        await asyncio.sleep(0.02)
        go.set()
        _, _, rest = await follower
        final = check_stream([*begun, *read_stream(rest)])
        assert (final["status"], text_of(final)) == ("completed", "Hello world")
        # Again, from the store.
        assert (await site.running.get(path))[2] == rest
        assert await site.spent() == COST

    async def test_cancel(self, site: Any) -> None:
        site.upstream.reply(Reply([*ANSWER[:3], Stall()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await until_said(site, queued.id, "world")
            cancelled = await client.responses.cancel(queued.id)
            assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hello world")
            assert await client.responses.cancel(queued.id) == cancelled
            assert await client.responses.retrieve(queued.id) == cancelled
            _, _, raw = await site.running.get(f"{RESPONSES}/{queued.id}?stream=true")
            events = read_stream(raw)
            assert events[-1]["type"] == "response.cancelled"
            check_stream(events)
            foreground = await _once(site, client)
            with pytest.raises(openai.BadRequestError):
                await client.responses.cancel(foreground.id)
        received = site.upstream.requests[0]
        await received.wait_closed()
        row = (await site.rows())[0]
        assert row.row.basis == "estimated"
        assert row.row.error == "cancelled"
        assert cancelled.usage.output_tokens == row.row.usage.completion_tokens > 0

    async def test_before_the_first_byte_it_costs_nothing(self, site: Any) -> None:
        site.upstream.reply(Reply([Stall()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await site.upstream.wait_for_requests(1)
            cancelled = await client.responses.cancel(queued.id)
            assert (cancelled.status, cancelled.output, cancelled.usage) == ("cancelled", [], None)
        assert await site.spent() == 0

    async def test_delete_stops_it(self, site: Any) -> None:
        site.upstream.reply(Reply([*ANSWER[:2], Stall()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await until_said(site, queued.id, "Hello")
            await client.responses.delete(queued.id)
            await site.upstream.requests[0].wait_closed()
            await site.rest()
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(queued.id)

    async def test_it_is_stopped_before_it_began(self, site: Any, monkeypatch: Any) -> None:
        """At every step of its beginning: nothing stays held, and nothing stays in progress."""
        site.upstream.reply(Reply([Stall()]))
        live = site.running.gateway.running_responses
        for steps in range(6):
            add = live.add

            def stop_soon(entry: Any, add: Any = add, steps: int = steps) -> None:
                add(entry)

                def stop(left: int) -> None:
                    if left:
                        asyncio.get_running_loop().call_soon(stop, left - 1)
                    else:
                        entry.stop(shutting_down())

                stop(steps)

            monkeypatch.setattr(live, "add", stop_soon)
            await site.running.post(RESPONSES, {"input": "Hello!", "background": True})
            monkeypatch.setattr(live, "add", add)
        await site.rest()
        rows = await site.running.gateway.stores.read("SELECT status, process FROM responses")
        assert all(row == ("failed", None) for row in rows)
        assert await site.spent() == 0

    async def test_a_failure_is_kept(self, site: Any) -> None:
        site.upstream.reply(Reply([*ANSWER[:2], Cut()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            failed = await until_ended(client, queued.id)
        assert (failed.status, failed.error.code, failed.output_text) == ("failed", "server_error", "Hello")
        _, _, raw = await site.running.get(f"{RESPONSES}/{queued.id}?stream=true")
        assert check_stream(read_stream(raw))["status"] == "failed"

    async def test_errors_that_can_be_known_at_once_are_http(self, site: Any) -> None:
        poor = await site.running.new_key(credits=1)
        async with sdk(site.running, poor) as client:
            with pytest.raises(openai.APIStatusError) as refused:
                await client.responses.create(input="Hello!", background=True)
        assert refused.value.status_code == 402
        assert site.running.gateway.running_responses.background == 0

    async def test_an_account_may_run_so_many(self, serve: Any) -> None:
        site = await serve(responses={"max_background": 1})
        go = asyncio.Event()
        site.upstream.reply(Reply([*ANSWER[:2], Hold(go), *ANSWER[2:]]))
        async with sdk(site.running) as client:
            first = await client.responses.create(input="Hello!", background=True)
            with pytest.raises(openai.RateLimitError):
                await client.responses.create(input="Hello!", background=True)
            go.set()
            await until_ended(client, first.id)

    async def test_a_drain_waits_and_then_ends_it(self, serve: Any) -> None:
        site = await serve(server={"drain": "150ms"})
        site.upstream.reply(Reply([*ANSWER[:2], Stall()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await until_said(site, queued.id, "Hello")
        started = asyncio.get_running_loop().time()
        await site.running.service.drain()
        assert 0.1 < asyncio.get_running_loop().time() - started < 2
        await site.rest()
        found = await site.running.gateway.stores.responses.get(site.running.account.id, queued.id)
        assert found.status == "failed"
        assert found.response["error"]["message"] == shutting_down().message
        assert text_of(found.response) == "Hello"
        assert (await site.row()).row.status == 503

    @pytest.mark.parametrize("resumed", [False, True])
    async def test_who_follows_it_is_told_when_the_process_ends_it(self, serve: Any, resumed: bool) -> None:
        site = await serve(server={"drain": "50ms"})
        site.upstream.reply(Reply([*ANSWER[:2], Stall()]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": not resumed, "background": True})
        await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
        if resumed:
            response_id = (await client.answer()).json["id"]
            await until_said(site, response_id, "Hello")
            await client.send(site.head_of(path=f"{RESPONSES}/{response_id}?stream=true", method="GET"))
        await client.head()
        chunks = client.chunks()
        seen = await anext(chunks)
        await site.running.service.drain()
        seen += b"".join([part async for part in chunks])
        final = check_stream(read_stream(seen))
        assert (final["status"], final["error"]["message"]) == ("failed", shutting_down().message)

    async def test_more_than_is_kept_of_a_stream(self, serve: Any) -> None:
        site = await serve(responses={"live_events": "8KiB"})
        go = asyncio.Event()
        texts = ["word "] * 60
        long = openai_stream(*texts)
        site.upstream.reply(Reply([*long[:4], Hold(go), *long[4:]]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await until_said(site, queued.id, "word")
            path = f"{RESPONSES}/{queued.id}?stream=true&starting_after=4"
            follower = asyncio.create_task(site.running.get(path))
            await asyncio.sleep(0.02)
            go.set()
            _, _, raw = await follower
        events = read_stream(raw)
        numbers = [event["sequence_number"] for event in events]
        assert numbers == list(range(5, 5 + len(events)))
        last = events[-1]
        assert last["type"] == "response.completed"
        assert text_of(last["response"]) == "".join(texts)

    async def test_another_process_is_asked_to_cancel(self, site: Any, monkeypatch: Any) -> None:
        monkeypatch.setattr("gateway.keeping.CANCELLATIONS", 0.02)
        site.upstream.reply(Reply([*ANSWER[:2], Stall()]))
        async with sdk(site.running) as client:
            queued = await client.responses.create(input="Hello!", background=True)
            await until_said(site, queued.id, "Hello")
            await asyncio.sleep(0.5)
            await site.running.gateway.stores.responses.ask_to_cancel(site.running.account.id, queued.id)
            assert (await until_ended(client, queued.id)).status == "cancelled"


async def _once(site: Any, client: openai.AsyncOpenAI) -> Any:
    site.upstream.reply(json_reply(openai_completion("x")))
    return await client.responses.create(input="x")


SERVE = """
import asyncio, sys
from pathlib import Path
from gateway.http.server.service import Service
from gateway.runtime import Gateway
from gateway.stores import KeySettings

async def main(folder):
    gateway = Gateway(folder / "config.yaml", {"GATEWAY_DATA": str(folder / "data")})
    await gateway.start()
    service = Service(gateway, host="127.0.0.1", port=0)
    await service.start()
    account = await gateway.stores.accounts.create_account("killed", grant=1_000_000)
    _, key = await gateway.stores.keys.create_key(account.id, KeySettings())
    print(service.address[1], account.id, key, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_process_that_is_killed_leaves_a_failed_response(site: Any, tmp_path: Path) -> None:
    site.upstream.reply(Reply([*ANSWER[:2], Stall()]))
    place = tmp_path / "killed"
    place.mkdir()
    config = await asyncio.to_thread(site.running.config_path.read_bytes)
    await asyncio.to_thread((place / "config.yaml").write_bytes, config)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(place), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    port, account_id, key = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().split()
    async with openai.AsyncOpenAI(api_key=key, base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as client:
        queued = await client.responses.create(input="Hello!", background=True)
        stream = await client.responses.retrieve(queued.id, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        # What is written later takes with it what was handed over before: that the call went out.
        await client.conversations.create()
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    gateway = Gateway(place / "config.yaml", {"GATEWAY_DATA": str(place / "data")})
    await gateway.start()
    try:
        found = await gateway.stores.responses.get(account_id, queued.id)
        assert found is not None
        assert (found.status, found.running) == ("failed", False)
        assert found.response["error"]["code"] == "server_error"
        schema("Response").validate(found.response)
        account = await gateway.stores.accounts.get_account(account_id)
        assert account is not None
        assert account.held == 0
        assert await gateway.stores.check() == []
        [row] = await gateway.stores.usage.recent(account_id)
        assert row.row.error == "gateway_crash"
    finally:
        await gateway.stop()


class TestConversations:
    async def test_they_grow_with_every_turn(self, site: Any) -> None:
        site.upstream.queue(json_reply(openai_completion("One.")), Reply(openai_stream("Two.")))
        async with sdk(site.running) as client:
            made = await client.conversations.create(
                metadata={"topic": "tests"}, items=[{"type": "message", "role": "system", "content": "Be short."}]
            )
            assert made.object == "conversation"
            first = await client.responses.create(input="Hello!", conversation=made.id)
            assert first.conversation.id == made.id
            stream = await client.responses.create(input="And?", conversation={"id": made.id}, stream=True)
            async for _ in stream:
                pass
            sent = [(m["role"], str(m["content"])) for m in site.upstream.requests[-1].json["messages"]]
            assert [role for role, _ in sent] == ["system", "user", "assistant", "user"]
            assert "Be short." in sent[0][1]
            assert "One." in sent[2][1]
            items = [item async for item in client.conversations.items.list(made.id, order="asc", limit=3)]
            assert [item.role for item in items] == ["system", "user", "assistant", "user", "assistant"]
            one = await client.conversations.items.retrieve(items[1].id, conversation_id=made.id)
            assert one == items[1]
            await client.conversations.items.delete(items[1].id, conversation_id=made.id)
            more = await client.conversations.items.create(
                made.id, items=[{"type": "message", "role": "user", "content": "Later."}]
            )
            assert [item.content[0].text for item in more.data] == ["Later."]
            assert len((await client.conversations.items.list(made.id)).data) == 5
            updated = await client.conversations.update(made.id, metadata={"topic": "more"})
            assert (await client.conversations.retrieve(made.id)).metadata == updated.metadata == {"topic": "more"}
            deleted = await client.conversations.delete(made.id)
            assert deleted.deleted
            with pytest.raises(openai.NotFoundError):
                await client.conversations.retrieve(made.id)
            with pytest.raises(openai.NotFoundError) as gone:
                await client.responses.create(input="x", conversation=made.id)
            assert gone.value.code == "conversation_not_found"

    async def test_they_belong_to_their_account(self, site: Any) -> None:
        other = await site.running.new_key(credits=10_000)
        async with sdk(site.running) as client, sdk(site.running, other) as stranger:
            empty = await client.conversations.create(items=[])
            assert (await client.conversations.items.list(empty.id)).data == []
            made = await client.conversations.create(items=[{"type": "message", "role": "user", "content": "Hi."}])
            [item] = (await client.conversations.items.list(made.id)).data
            attempts = [
                stranger.conversations.retrieve(made.id),
                stranger.conversations.update(made.id, metadata={}),
                stranger.conversations.items.create(made.id, items=[{"role": "user", "content": "x"}]),
                stranger.conversations.items.retrieve(item.id, conversation_id=made.id),
                stranger.conversations.items.delete(item.id, conversation_id=made.id),
                stranger.conversations.delete(made.id),
                stranger.responses.create(input="x", conversation=made.id),
            ]
            for attempt in attempts:
                with pytest.raises(openai.NotFoundError):
                    await attempt
            assert (await client.conversations.items.list(made.id)).data == [item]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"metadata": {"a": 5}}, "metadata.a"),
            ({"items": [{"role": "user"}]}, "items[0].content"),
            ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ],
    )
    async def test_the_field_is_named(self, site: Any, body: Any, param: str) -> None:
        status, _, raw = await site.running.post("/v1/conversations", body)
        assert (status, orjson.loads(raw)["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=maybe", "stream"),
        ("stream=true&starting_after=x", "starting_after"),
        ("starting_after=5", "starting_after"),
    ],
)
async def test_queries_are_checked(site: Any, query: str, param: str) -> None:
    status, _, raw = await site.running.get(f"{RESPONSES}/resp_x?{query}")
    assert (status, orjson.loads(raw)["error"]["param"]) == (400, param)


async def test_counting_the_input(site: Any) -> None:
    async with sdk(site.running) as client:
        few = await client.responses.input_tokens.count(input="Hello!", model="fake/model")
        many = await client.responses.input_tokens.count(input="Hello! " * 50, model="fake/model")
    assert (few.object, site.upstream.requests) == ("response.input_tokens", [])
    assert 0 < few.input_tokens < many.input_tokens
    assert await site.spent() == 0
