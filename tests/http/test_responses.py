"""POST /responses over the bridge: whole and streamed, kept, continued, billed and refused like everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from pydantic import BaseModel

from gateway.testing import (
    Cut,
    Hold,
    Pause,
    Reply,
    Stall,
    chunk,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    running_gateway,
    sse,
    usage,
)

from .responses_kit import ECHO, RESPONSES, WEATHER, check_stream, native_stream, read_stream, schema, sdk, text_of

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

REPORTED = usage(10, 2)
COST = 14  # 10 tokens at 1 credit and 2 at 2


async def ask(site: Any, **body: Any) -> Any:
    status, headers, raw = await site.running.post(RESPONSES, {"input": "Hello!", **body})
    return status, {name.lower(): value for name, value in headers.items()}, raw


async def stored(site: Any, response_id: str) -> Any:
    status, _, raw = await site.running.get(f"{RESPONSES}/{response_id}")
    return orjson.loads(raw) if status == 200 else status


class TestOneTurn:
    async def test_whole(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Hello world", reported=REPORTED)))
        status, headers, raw = await ask(site, instructions="Be short.", max_output_tokens=50, metadata={"a": "b"})
        response = orjson.loads(raw)
        assert status == 200
        schema("Response").validate(response)
        assert text_of(response) == "Hello world"
        assert (response["status"], response["model"], response["store"]) == ("completed", "fake/model", True)
        assert response["metadata"] == {"a": "b"}
        assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (10, 2)
        assert response["usage"]["cost"] == COST
        assert headers["x-gateway-cost"] == str(COST)
        assert await site.spent() == COST
        sent = site.upstream.requests[0].json
        assert sent["messages"] == [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello!"}]
        assert sent["max_tokens"] == 50
        assert "store" not in sent
        assert "metadata" not in sent
        row = await site.row()
        assert (row.row.route, row.row.basis, row.credits) == ("/v1/responses", "provider", COST)
        assert await stored(site, response["id"]) == response

    async def test_streamed(self, site: Any) -> None:
        site.upstream.reply(Reply(openai_stream("Hello", " world", reported=REPORTED)))
        status, headers, raw = await ask(site, stream=True)
        assert status == 200
        assert headers["content-type"].startswith("text/event-stream")
        events = read_stream(raw)
        final = check_stream(events)
        assert [event["type"] for event in events[:4]] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
        ]
        assert events[-1]["type"] == "response.completed"
        assert text_of(final) == "Hello world"
        assert final["usage"]["cost"] == COST
        assert site.upstream.requests[0].json["stream_options"] == {"include_usage": True}
        assert await site.spent() == COST
        assert await stored(site, final["id"]) == final

    async def test_the_events_of_chunks_that_are_read_add_up_as_well(self, serve: Any) -> None:
        """A provider of another dialect yields chunks as dicts, and a plugin may watch them."""
        site = await serve()
        watched = chunk({"content": "a"})
        site.upstream.reply(Reply([sse(watched), sse(chunk({}, finish="length", usage=REPORTED))]))
        _, _, raw = await ask(site, stream=True)
        final = check_stream(read_stream(raw))
        assert final["status"] == "incomplete"
        assert final["incomplete_details"] == {"reason": "max_output_tokens"}
        assert (await site.row()).row.basis == "provider"

    async def test_an_answer_without_usage_is_estimated(self, site: Any) -> None:
        site.upstream.reply(Reply(openai_stream("Hello", " world", with_usage=False)))
        _, _, raw = await ask(site, stream=True)
        final = check_stream(read_stream(raw))
        row = await site.row()
        assert row.row.basis == "estimated"
        assert final["usage"]["output_tokens"] == row.row.usage.completion_tokens >= 2
        assert final["usage"]["cost"] == row.credits

    async def test_reasoning_and_calls(self, site: Any) -> None:
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        site.upstream.reply(
            Reply(
                [
                    sse(chunk({"role": "assistant", "reasoning_content": "Let me"})),
                    sse(chunk({"reasoning_content": " see."})),
                    sse(chunk({"tool_calls": [call]})),
                    sse(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"location":'}}]})),
                    sse(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]})),
                    sse(chunk({}, finish="tool_calls", usage=REPORTED)),
                ]
            )
        )
        _, _, raw = await ask(site, stream=True, tools=[WEATHER])
        final = check_stream(read_stream(raw))
        assert [item["type"] for item in final["output"]] == ["reasoning", "function_call"]
        assert final["output"][1]["arguments"] == '{"location":"Rome"}'
        assert (final["output"][1]["id"], final["output"][1]["call_id"]) == ("fc_call_1", "call_1")


class TestTheSdk:
    async def test_its_helpers(self, tmp_path: Path) -> None:
        class City(BaseModel):
            name: str
            people: int

        async with running_gateway(tmp_path, ECHO) as gateway, sdk(gateway) as client:
            response = await client.responses.create(input="Hello there")
            assert "Hello there" in response.output_text
            async with client.responses.stream(input="Hello again", model="echo/echo") as stream:
                deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
                final = await stream.get_final_response()
            assert "".join(deltas) == final.output_text
            assert await client.responses.retrieve(final.id) is not None
            parsed = await client.responses.parse(input="A city", model="echo/echo", text_format=City)
            assert isinstance(parsed.output_parsed, City)
            async with client.responses.stream(input="A city", model="echo/echo", text_format=City) as stream:
                async for _ in stream:
                    pass
                assert isinstance((await stream.get_final_response()).output_parsed, City)

    async def test_retrieve_list_delete(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("One.")))
        async with sdk(site.running) as client:
            first = await client.responses.create(input="Hello!")
            second = await client.responses.create(
                input=[
                    {"role": "user", "content": "And?"},
                    {"role": "user", "content": [{"type": "input_text", "text": "So?"}]},
                ],
                previous_response_id=first.id,
            )
            assert await client.responses.retrieve(second.id) == second
            items = [item async for item in client.responses.input_items.list(second.id, order="asc", limit=2)]
            assert [item.type for item in items] == ["message"] * 4
            assert [item.content[0].text for item in items] == ["Hello!", "One.", "And?", "So?"]
            assert len({item.id for item in items}) == 4
            newest = await client.responses.input_items.list(second.id, limit=1)
            assert newest.data[0].id == items[-1].id
            assert newest.has_more
            schema("ResponseItemList").validate(orjson.loads(newest.to_json()))
            again = await client.responses.create(input=[{"type": "item_reference", "id": items[0].id}])
            assert site.upstream.requests[-1].json["messages"][0]["role"] == "user"
            assert "Hello!" in str(site.upstream.requests[-1].json["messages"][0]["content"])
            assert again.status == "completed"
            await client.responses.delete(first.id)
            for gone in (client.responses.retrieve(first.id), client.responses.delete(first.id)):
                with pytest.raises(openai.NotFoundError):
                    await gone
            with pytest.raises(openai.NotFoundError) as lost:
                await client.responses.create(input="x", previous_response_id=second.id)
            assert lost.value.code == "previous_response_not_found"


class TestState:
    async def test_a_chain_carries_everything(self, site: Any) -> None:
        replies = ["One.", "Two.", "Three."]
        site.upstream.answer(lambda _: Reply(openai_stream(replies.pop(0))))
        previous = None
        for number in range(3):
            more = {"previous_response_id": previous} if previous else {}
            _, _, raw = await ask(site, input=f"Turn {number}", stream=True, instructions=f"Rule {number}", **more)
            final = check_stream(read_stream(raw))
            assert final["previous_response_id"] == previous
            previous = final["id"]
        sent = [(m["role"], m["content"]) for m in site.upstream.requests[-1].json["messages"]]
        assert sent == [
            ("system", "Rule 2"),  # those of earlier turns are not carried on
            ("user", "Turn 0"),
            ("assistant", "One."),
            ("user", "Turn 1"),
            ("assistant", "Two."),
            ("user", "Turn 2"),
        ]

    async def test_another_account_and_unknown_ids_get_404(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Mine.")))
        _, _, raw = await ask(site)
        mine = orjson.loads(raw)["id"]
        other = await site.running.new_key(credits=10_000)
        for method, path in [
            ("get", f"{RESPONSES}/{mine}"),
            ("get", f"{RESPONSES}/{mine}/input_items"),
            ("get", f"{RESPONSES}/{mine}?stream=true"),
            ("post", f"{RESPONSES}/{mine}/cancel"),
        ]:
            call = site.running.get(path, key=other) if method == "get" else site.running.post(path, {}, key=other)
            status, _, raw = await call
            assert (status, orjson.loads(raw)["error"]["code"]) == (404, "response_not_found"), path
        async with sdk(site.running, other) as client:
            with pytest.raises(openai.NotFoundError):
                await client.responses.delete(mine)
            with pytest.raises(openai.NotFoundError) as refused:
                await client.responses.create(input="x", previous_response_id=mine)
        assert refused.value.code == "previous_response_not_found"
        assert refused.value.param == "previous_response_id"
        assert (await stored(site, mine))["id"] == mine

    async def test_what_is_not_to_be_kept_is_not(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Once.")))
        _, _, raw = await ask(site, store=False)
        response = orjson.loads(raw)
        assert response["store"] is False
        assert await stored(site, response["id"]) == 404

    async def test_the_operator_may_keep_nothing(self, serve: Any) -> None:
        site = await serve(responses={"store": False})
        site.upstream.reply(json_reply(openai_completion("Once.")))
        _, _, raw = await ask(site, store=True)
        assert orjson.loads(raw)["store"] is False
        status, _, raw = await ask(site, background=True)
        assert (status, orjson.loads(raw)["error"]["param"]) == (400, "background")
        assert (await site.running.post("/v1/conversations", {}))[0] == 400

    async def test_a_conversation_begins_with_nothing(self, site: Any) -> None:
        running = site.running
        sent = {"Authorization": f"Bearer {running.key}"}
        async with running.session.post(running.url + "/v1/conversations", headers=sent) as answer:
            made = await answer.json()
        assert (answer.status, made["metadata"]) == (200, {})
        for items in ([], [{"role": "user", "content": "Hi"}]):
            status, _, raw = await running.post(f"/v1/conversations/{made['id']}/items", {"items": items})
            assert (status, len(orjson.loads(raw)["data"])) == (200, len(items)), raw

    async def test_what_is_too_large_is_not_kept_and_says_so(self, serve: Any) -> None:
        site = await serve(responses={"max_stored": "2KiB", "max_context": "3KiB"})
        site.upstream.reply(json_reply(openai_completion("x" * 4000)))
        _, _, raw = await ask(site)
        response = orjson.loads(raw)
        assert (response["store"], await stored(site, response["id"])) == (False, 404)
        site.upstream.reply(json_reply(openai_completion("x" * 200)))
        previous, status = None, 200
        for _ in range(5):
            more = {"previous_response_id": previous} if previous else {}
            status, _, raw = await ask(site, **more)
            if status != 200:
                break
            previous = orjson.loads(raw)["id"]
        assert (status, orjson.loads(raw)["error"]["code"]) == (400, "context_too_large")

    async def test_a_restart_between_turns(self, tmp_path: Path) -> None:
        key = ""
        previous = None
        for turn in range(3):
            async with running_gateway(tmp_path, ECHO) if turn == 0 else _again(tmp_path) as gateway:
                key = key or gateway.key
                async with sdk(gateway, key) as client:
                    more = {"previous_response_id": previous} if previous else {}
                    response = await client.responses.create(input=f"Turn {turn}", **more)
                    previous = response.id
                    count = len([item async for item in client.responses.input_items.list(response.id)])
        assert count == 5

    async def test_old_responses_are_dropped_but_not_what_is_continued(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("Old.")))
        _, _, raw = await ask(site)
        first = orjson.loads(raw)["id"]
        _, _, raw = await ask(site, previous_response_id=first)
        second = orjson.loads(raw)["id"]
        _, _, raw = await ask(site)
        third = orjson.loads(raw)["id"]
        store = site.running.gateway.stores
        await store.write(
            lambda connection: connection.execute("UPDATE responses SET expires = 5 WHERE id IN (?, ?)", (first, third))
        )
        assert await store.responses.prune(10) == 1
        assert await stored(site, first) == 404  # expired, and kept only for the one that continues it
        assert await stored(site, third) == 404
        status, _, _ = await ask(site, previous_response_id=second)
        assert status == 200
        await store.write(lambda connection: connection.execute("UPDATE responses SET expires = 5"))
        assert await store.responses.prune(10) == 3


def _again(folder: Path) -> Any:
    """A gateway on the same data; `running_gateway` wants to make an account of a new name."""
    from contextlib import asynccontextmanager

    from gateway.http.server.service import Service
    from gateway.runtime import Gateway

    @asynccontextmanager
    async def start() -> Any:
        gateway = Gateway(folder / "config.yaml", {"GATEWAY_DATA": str(folder / "data")})
        await gateway.start()
        service = Service(gateway, host="127.0.0.1", port=0)
        await service.start()
        try:
            host, port = service.address

            class Running:
                url = f"http://{host}:{port}"
                key = ""

            yield Running()
        finally:
            await service.close()
            await gateway.stop()

    return start()


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"input": 5}, "input"),
            ({"input": [{"role": "user"}]}, "input[0].content"),
            ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
            ({"n": 2}, "n"),
            ({"max_tokens": 5}, "max_tokens"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"stop": 5}, "stop"),
            ({"seed": "x"}, "seed"),
            ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "tools[0]"),
            ({"tools": [WEATHER, {"type": "mcp", "server_label": "x"}]}, "tools[1].server_label"),
            ({"previous_response_id": "a", "conversation": "b"}, "previous_response_id"),
            ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0].call_id"),
            ({"background": True, "store": False}, "background"),
            ({"input": [{"type": "item_reference", "id": "msg_none"}]}, "input[0].id"),
        ],
    )
    async def test_the_field_is_named(self, site: Any, body: dict[str, Any], param: str) -> None:
        status, _, raw = await ask(site, **body)
        error = orjson.loads(raw)["error"]
        assert status in (400, 404)
        assert error["param"] == param
        assert param in error["message"] or "." in param
        assert site.upstream.requests == []

    async def test_what_chat_knows_beside_travels_on(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("x")))
        assert (await ask(site, stop=["a"], seed=5, top_k=3))[0] == 200
        sent = site.upstream.requests[0].json
        assert (sent["stop"], sent["seed"], sent["top_k"]) == (["a"], 5, 3)

    async def test_what_cannot_be_carried_is_reported_or_refused(self, site: Any) -> None:
        site.upstream.reply(json_reply(openai_completion("x")))
        _, headers, _ = await ask(site, context_management=[{"type": "compaction"}])
        assert headers["x-gateway-dropped-params"] == "context_management"
        status, _, raw = await site.running.post(
            RESPONSES,
            {"input": "x", "context_management": [{"type": "compaction"}]},
            headers={"x-gateway-strict": "1"},
        )
        assert (status, orjson.loads(raw)["error"]["param"]) == (400, "context_management")

    async def test_money_and_allow_lists_count(self, site: Any) -> None:
        poor = await site.running.new_key(credits=1)
        status, _, raw = await site.running.post(RESPONSES, {"input": "Hello!"}, key=poor)
        assert (status, orjson.loads(raw)["error"]["type"]) == (402, "insufficient_quota")
        some = await site.running.new_key(credits=400)
        site.upstream.reply(json_reply(openai_completion("x")))
        status, headers, _ = await site.running.post(RESPONSES, {"input": "Hello!"}, key=some)
        assert status == 200
        limit = site.upstream.requests[-1].json["max_tokens"]
        assert headers["x-gateway-clamped"] == f"max_tokens={limit}; reason=credits"
        assert limit < 4096

    async def test_errors_before_the_stream_are_http(self, site: Any, quick: Any) -> None:
        site.upstream.reply(json_reply(openai_error("Too long.", code="context_length_exceeded"), 400))
        status, _, raw = await ask(site, stream=True)
        assert status == 400
        assert orjson.loads(raw)["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("mode", ["bridge", "native"])
async def test_a_stream_that_money_ends(serve: Any, mode: str) -> None:
    """The hold grows in steps; when the next step cannot be paid for, the gateway ends the answer in good order."""
    model = {"provider": "fake", "upstream": "m", "price": {"input": 0, "output": 10}, "max_output": 4096}
    site = await serve(
        models={"fake/model": {**model, "options": {"responses": mode}}}, credits={"hold_step": 16, "minimum_output": 4}
    )
    texts = ["word "] * 400
    pieces = openai_stream(*texts) if mode == "bridge" else native_stream(texts)
    go = asyncio.Event()
    rest = [
        step for number, piece in enumerate(pieces[8:]) for step in ((piece,) if number % 8 else (Pause(0.01), piece))
    ]
    site.upstream.reply(Reply([*pieces[:8], Hold(go), *rest]))
    key = await site.running.new_key(credits=20_000)
    asked = asyncio.create_task(site.running.post(RESPONSES, {"input": "Hello!", "stream": True}, key=key))
    await site.upstream.wait_for_requests(1)
    stores = site.running.gateway.stores
    account = (await stores.accounts.list_accounts(limit=500))[-1]
    await stores.ledger.grant(account.id, account.held + 500 - account.balance, kind="correction", key="spent")
    go.set()
    status, _, raw = await asked
    assert status == 200, raw
    events = read_stream(raw)
    final = check_stream(events, published=mode == "bridge")
    assert events[-1]["type"] == "response.incomplete"
    assert final["incomplete_details"] == {"reason": "max_output_tokens"}
    assert 10 < len(text_of(final).split()) <= 100
    assert final["usage"]["cost"] <= account.held + 500
    assert await stored_as(site, key, final["id"]) == final


async def stored_as(site: Any, key: str, response_id: str) -> Any:
    status, _, raw = await site.running.get(f"{RESPONSES}/{response_id}", key=key)
    assert status == 200
    return orjson.loads(raw)


class TestBrokenStreams:
    async def test_a_cut(self, serve: Any) -> None:
        site = await serve()
        site.upstream.reply(Reply([*openai_stream("Hello", " wor", done=False)[:3], Cut()]))
        status, _, raw = await ask(site, stream=True)
        assert status == 200
        events = read_stream(raw)
        final = check_stream(events)
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert events[-2]["code"] == "upstream_disconnected"
        assert final["error"]["code"] == "server_error"
        assert text_of(final) == "Hello wor"
        assert (await site.row()).row.basis == "estimated"
        assert await stored(site, final["id"]) == final

    async def test_a_failed_one_can_be_continued(self, site: Any) -> None:
        site.upstream.reply(Reply([*openai_stream("Hello", " wor", done=False)[:3], Cut()]))
        _, _, raw = await ask(site, stream=True)
        failed = check_stream(read_stream(raw))["id"]
        site.upstream.reply(json_reply(openai_completion("World.")))
        assert (await ask(site, input="Go on", previous_response_id=failed))[0] == 200
        assert [m["content"] for m in site.upstream.requests[-1].json["messages"]] == ["Hello!", "Hello wor", "Go on"]

    async def test_a_caller_who_leaves(self, site: Any) -> None:
        first = openai_stream("Hello", " world")[:3]
        site.upstream.reply(Reply([*first, Stall()]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": True})
        await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
        await client.head()
        seen = b""
        async for part in client.chunks():
            seen += part
            if b" world" in seen:
                break
        client.abort()
        row = await site.row()
        assert (row.row.status, row.row.basis) == (499, "estimated")
        response_id = orjson.loads(seen.split(b"\n\n")[0].partition(b"data: ")[2])["response"]["id"]
        left = await stored(site, response_id)
        assert left["status"] == "cancelled"
        assert text_of(left) == "Hello world"
        _, _, replayed = await site.running.get(f"{RESPONSES}/{response_id}?stream=true")
        events = read_stream(replayed)
        assert check_stream(events) == left
        assert replayed.startswith(seen.rpartition(b"\n\n")[0])
        _, _, rest = await site.running.get(f"{RESPONSES}/{response_id}?stream=true&starting_after=3")
        assert read_stream(rest) == events[4:]

    async def test_a_caller_who_leaves_where_the_policy_is_to_drain(self, serve: Any) -> None:
        site = await serve()
        config = site.running.config_path
        text = await asyncio.to_thread(config.read_text)
        text = text.replace('"plugin":', '"on_disconnect": "drain", "plugin":')
        await asyncio.to_thread(config.write_text, text)
        await site.running.gateway.reload()
        go = asyncio.Event()
        answer = openai_stream("Hello", " world")
        site.upstream.reply(Reply([*answer[:2], Hold(go), *answer[2:]]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": True})
        await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
        await client.head()
        seen = b""
        async for part in client.chunks():
            seen += part
            if b"Hello" in seen:
                break
        client.abort()
        await asyncio.sleep(0.02)
        go.set()
        row = await site.row()
        assert (row.row.status, row.row.basis) == (499, "provider")
        response_id = orjson.loads(seen.split(b"\n\n")[0].partition(b"data: ")[2])["response"]["id"]
        kept = await stored(site, response_id)
        assert (kept["status"], text_of(kept)) == ("completed", "Hello world")

    async def test_a_silent_upstream_is_kept_alive(self, serve: Any) -> None:
        site = await serve(server={"keep_alive": "20ms"})
        site.upstream.reply(Reply([Pause(0.1), *openai_stream("Hello")]))
        _, _, raw = await ask(site, stream=True)
        assert raw.startswith(b": keep-alive\n\n")
        assert text_of(check_stream(read_stream(raw))) == "Hello"
