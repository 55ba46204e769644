"""The loop on chat completions, through the official SDK."""

from __future__ import annotations

import openai
import orjson
import pytest

from .conftest import Turn, call

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

CITED = "Ja, größer: [The moon](https://moon.example/a) goes round."
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
ASK = [{"role": "user", "content": "?"}]


async def chunks_of(bench, **request):
    stream = await bench.client.chat.completions.create(model="fake/model", messages=ASK, stream=True, **request)
    return [chunk async for chunk in stream]


class TestSearch:
    @pytest.mark.parametrize("request_", [{"web_search_options": {}}, {"tools": [{"type": "web_search"}]}])
    async def test_streamed(self, bench, request_):
        bench.model.script(Turn("Let me look. ", [call("web_search", {"query": "moon"})], reasoning="hm"), Turn(CITED))
        chunks = await chunks_of(bench, **request_)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text == "Let me look. " + CITED
        found = [a for chunk in chunks for a in chunk.choices[0].delta.model_dump().get("annotations") or ()]
        [citation] = [annotation["url_citation"] for annotation in found]
        assert text[citation["start_index"] : citation["end_index"]] == "[The moon](https://moon.example/a)"
        events = [e for chunk in chunks for e in chunk.choices[0].delta.model_dump().get("x_gateway") or ()]
        assert [event["item"]["status"] for event in events if event["event"] == "done"] == ["completed"]
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
        assert reasons == ["stop"]
        assert chunks[-1].usage.prompt_tokens == 20
        assert len({chunk.id for chunk in chunks}) == 1
        assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
        assert await bench.spent() == 40 + 10_000

    async def test_usage_chunk(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "moon"})]), Turn("ok"))
        chunks = await chunks_of(bench, web_search_options={}, stream_options={"include_usage": True})
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens == 10
        assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)

    async def test_whole(self, bench):
        bench.model.script(Turn("Look. ", [call("web_search", {"query": "moon"})]), Turn(CITED))
        made = await bench.client.chat.completions.create(model="fake/model", messages=ASK, web_search_options={})
        message = made.choices[0].message
        assert message.content == "Look. " + CITED
        [annotation] = message.annotations
        place = annotation.url_citation
        assert message.content[place.start_index : place.end_index] == "[The moon](https://moon.example/a)"
        assert made.choices[0].finish_reason == "stop"
        assert message.tool_calls is None
        assert made.usage.total_tokens == 30

    async def test_functions_of_the_caller_beside_it(self, bench):
        bench.model.script(
            Turn(calls=[call("web_search", {"query": "x"})]),
            Turn(calls=[call("get_weather", {"a": "b"}, "w1", 0), call("get_weather", {}, "w2", 1)]),
        )
        chunks = await chunks_of(bench, tools=[{"type": "web_search"}, WEATHER])
        calls: dict[int, list[str]] = {}
        for chunk in chunks:
            for made in chunk.choices[0].delta.tool_calls or ():
                calls.setdefault(made.index, []).append((made.id or "") + (made.function.arguments or ""))
        assert {index: "".join(parts) for index, parts in calls.items()} == {0: 'w1{"a":"b"}', 1: "w2{}"}
        assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["tool_calls"]

    async def test_the_sdks_own_accumulator(self, bench):
        bench.model.script(Turn("Look. ", [call("web_search", {"query": "moon"})]), Turn(CITED))
        async with bench.client.chat.completions.stream(
            model="fake/model", messages=ASK, extra_body={"web_search_options": {}}
        ) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.content == "Look. " + CITED

    async def test_mcp(self, bench):
        bench.model.script(Turn(calls=[call("fake__add", {"a": 1})]), Turn("One."))
        body = {"model": "fake/model", "messages": ASK, "tools": [{"type": "mcp", "server_label": "fake"}]}
        status, _, raw = await bench.gateway.post("/v1/chat/completions", body)
        made = orjson.loads(raw)
        assert status == 200, made
        assert made["choices"][0]["message"]["content"] == "One."
        assert bench.model.bodies[1]["messages"][-1] == {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": "add {'a': 1}",
        }

    async def test_what_the_model_says_of_ours_is_not_ours(self, bench):
        """A member of that name in an upstream's delta does not make items."""
        turn = Turn("hi")
        reply = turn.stream()
        body = [
            step.replace(b'"content":"hi"', b'"content":"hi","x_gateway":[{"event":"round"}]') for step in reply.body
        ]
        bench.model.script(type(reply)(body))
        chunks = await chunks_of(bench, web_search_options={})
        assert all("x_gateway" not in chunk.choices[0].delta.model_dump() for chunk in chunks)


class TestRefused:
    @pytest.mark.parametrize("settings", [{"search": {"backends": {}}}])
    async def test_without_a_service(self, bench):
        with pytest.raises(openai.BadRequestError, match=r"web_search_options: .*search\.backends"):
            await bench.client.chat.completions.create(model="fake/model", messages=ASK, web_search_options={})

    async def test_more_than_one_choice(self, bench):
        with pytest.raises(openai.BadRequestError, match="one choice"):
            await bench.client.chat.completions.create(model="fake/model", messages=ASK, n=2, web_search_options={})

    async def test_an_upstream_that_fails_in_the_second_round(self, bench):
        from gateway.testing import openai_error

        bench.model.script(Turn("Look.", [call("web_search", {"query": "x"})]), openai_error(400, "bad"))
        with pytest.raises(openai.APIError):
            await chunks_of(bench, web_search_options={})
        assert await bench.spent() == 20 + 10_000
