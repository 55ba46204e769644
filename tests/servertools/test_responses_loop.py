"""The loop on `POST /responses`, through the official SDK, on an upstream that speaks chat."""

from __future__ import annotations

import openai
import orjson
import pytest

from gateway.testing import json_reply

from .conftest import Turn, call

SEARCH = [{"type": "web_search"}]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
CITED = "Ja, größer: [The moon](https://moon.example/a) goes round."


async def events_of(bench, **request):
    return [event async for event in await bench.client.responses.create(model="fake/model", stream=True, **request)]


def check(events) -> None:
    """What holds of every stream."""
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert [event.type for event in events].count("response.created") == 1
    terminal = {"response.completed", "response.failed", "response.incomplete"}
    assert [event.type for event in events if event.type in terminal] == [events[-1].type]
    items = [event for event in events if event.type == "response.output_item.done"]
    assert [event.item.model_dump() for event in sorted(items, key=lambda event: event.output_index)] == [
        item.model_dump() for item in events[-1].response.output
    ]
    opened = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert opened == list(range(len(opened)))
    assert len({item.id for item in events[-1].response.output if item.id}) == len(opened)


class TestSearch:
    async def test_streamed(self, bench):
        bench.model.script(Turn("Let me look.", [call("web_search", {"query": "moon"})], reasoning="hm"), Turn(CITED))
        events = await events_of(bench, input="Does it?", tools=SEARCH, include=["web_search_call.action.sources"])
        check(events)
        kinds = [event.type for event in events]
        for kind in ("in_progress", "searching", "completed"):
            assert kinds.count(f"response.web_search_call.{kind}") == 1
        final = events[-1].response
        assert [item.type for item in final.output] == ["reasoning", "message", "web_search_call", "message"]
        search = final.output[2]
        assert search.action.query == "moon"
        assert [source.url for source in search.action.sources] == ["https://moon.example/a", "https://sun.example/b"]
        part = final.output[3].content[0]
        assert part.text == CITED
        [citation] = part.annotations
        assert CITED[citation.start_index : citation.end_index] == "[The moon](https://moon.example/a)"
        assert citation.title == "The moon"
        assert kinds.count("response.output_text.annotation.added") == 1
        assert (final.usage.input_tokens, final.usage.output_tokens) == (20, 10)
        second = bench.model.bodies[1]["messages"]
        assert second[-2]["tool_calls"][0]["function"]["name"] == "web_search"
        assert second[-1]["role"] == "tool"
        assert "It goes round." in second[-1]["content"]
        # 2 rounds of 10 * 1 + 5 * 2, and one search for 0.01 USD
        assert await bench.spent() == 40 + 10_000

    async def test_whole(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "moon"})]), Turn(CITED))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=SEARCH)
        assert [item.type for item in made.output] == ["web_search_call", "message"]
        assert made.output_text == CITED
        [citation] = made.output[1].content[0].annotations
        assert CITED[citation.start_index : citation.end_index] == "[The moon](https://moon.example/a)"
        assert made.usage.input_tokens == 20
        assert await bench.spent() == 40 + 10_000

    async def test_the_text_of_the_first_round_comes_before_the_search(self, bench):
        """No round is held back until the last."""
        seen: list[str] = []
        bench.model.script(Turn("First.", [call("web_search", {"query": "x"})]), Turn("Second."))
        bench.model.before = lambda number: seen.append(f"round {number}")
        stream = await bench.client.responses.create(model="fake/model", input="?", tools=SEARCH, stream=True)
        async for event in stream:
            if event.type == "response.output_text.done":
                seen.append(event.text)
        assert seen.index("First.") > seen.index("round 0")
        assert seen[-1] == "Second."

    async def test_parallel_searches_and_pages(self, bench):
        calls = [call("web_search", {"query": q}, f"c{i}", i) for i, q in enumerate(("a", "b"))]
        calls.append(call("open_page", {"url": "http://127.0.0.1/secret"}, "c9", 2))
        bench.model.script(Turn(calls=calls), Turn("done"))
        events = await events_of(bench, input="?", tools=SEARCH)
        check(events)
        items = [item for item in events[-1].response.output if item.type == "web_search_call"]
        assert sorted(item.action.type for item in items) == ["open_page", "search", "search"]
        told = {m["tool_call_id"]: m["content"] for m in bench.model.bodies[1]["messages"] if m["role"] == "tool"}
        assert list(told) == ["c0", "c1", "c9"]
        assert told["c9"].startswith("Error: The page was not fetched")

    async def test_functions_of_the_caller_beside_it(self, bench):
        bench.model.script(
            Turn(calls=[call("web_search", {"query": "x"})]),
            Turn(calls=[call("get_weather", {}, "call_w")]),
            Turn("Sunny."),
        )
        events = await events_of(bench, input="?", tools=[*SEARCH, WEATHER])
        check(events)
        final = events[-1].response
        assert [item.type for item in final.output] == ["web_search_call", "function_call"]
        answer = {"type": "function_call_output", "call_id": final.output[1].call_id, "output": "sun"}
        more = await bench.client.responses.create(
            model="fake/model", previous_response_id=final.id, input=[answer], tools=[*SEARCH, WEATHER]
        )
        assert more.output_text == "Sunny."
        names = [tool["function"]["name"] for tool in bench.model.bodies[0]["tools"]]
        assert names == ["get_weather", "web_search", "open_page"]

    async def test_a_function_of_the_same_name_is_the_callers(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]))
        own = {**WEATHER, "name": "web_search"}
        made = await bench.client.responses.create(model="fake/model", input="?", tools=[*SEARCH, own])
        assert [item.type for item in made.output] == ["function_call"]
        assert [t["function"]["name"] for t in bench.model.bodies[0]["tools"]] == [
            "web_search",
            "web_search_2",
            "open_page",
        ]
        assert bench.search.requests == []

    async def test_both_kinds_of_calls_in_one_round(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"}, "a"), call("get_weather", {}, "b", 1)]))
        events = await events_of(bench, input="?", tools=[*SEARCH, WEATHER])
        check(events)
        assert sorted(item.type for item in events[-1].response.output) == ["function_call", "web_search_call"]
        assert len(bench.model.bodies) == 1

    async def test_demanded_once(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]), Turn("ok"))
        await bench.client.responses.create(
            model="fake/model", input="?", tools=SEARCH, tool_choice={"type": "web_search_preview"}
        )
        assert bench.model.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "web_search"}}
        assert bench.model.bodies[1]["tool_choice"] == "auto"

    @pytest.mark.parametrize("settings", [{"tools": {"max_rounds": 3}}])
    async def test_a_model_that_searches_for_ever(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]))
        events = await events_of(bench, input="?", tools=SEARCH)
        check(events)
        assert len(bench.model.bodies) == 3
        assert bench.model.bodies[2]["tool_choice"] == "none"

    async def test_max_tool_calls(self, bench):
        calls = [call("web_search", {"query": str(n)}, f"c{n}", n) for n in range(3)]
        bench.model.script(Turn(calls=calls), Turn("ok"))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=SEARCH, max_tool_calls=2)
        assert len(bench.search.requests) == 2
        assert [item.type for item in made.output].count("web_search_call") == 2
        assert bench.model.bodies[1]["tool_choice"] == "none"

    async def test_filters_and_size(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]), Turn("ok"))
        tool = {
            "type": "web_search",
            "filters": {"allowed_domains": ["sun.example"]},
            "search_context_size": "low",
            "user_location": {"type": "approximate", "country": "DE"},
        }
        made = await bench.client.responses.create(
            model="fake/model", input="?", tools=[tool], include=["web_search_call.action.sources"]
        )
        assert [source.url for source in made.output[0].action.sources] == ["https://sun.example/b"]

    async def test_the_service_is_down(self, bench):
        bench.search.answer(lambda request: json_reply({}, 500))
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]), Turn("Sorry."))
        events = await events_of(bench, input="?", tools=SEARCH)
        check(events)
        assert events[-1].response.output[0].status == "failed"
        assert events[-1].response.output_text == "Sorry."


class TestRefused:
    @pytest.mark.parametrize("settings", [{"search": {"backends": {}}}])
    async def test_without_a_service(self, bench):
        with pytest.raises(openai.BadRequestError, match=r"search\.backends") as refused:
            await bench.client.responses.create(model="fake/model", input="?", tools=SEARCH)
        assert refused.value.code == "unsupported_tool"
        bench.model.script(Turn("ok"))
        raw = await bench.client.responses.with_raw_response.create(
            model="fake/model", input="?", tools=[*SEARCH, WEATHER]
        )
        assert raw.headers["x-gateway-dropped-params"] == "tools[0]"
        assert await bench.spent() == 20

    async def test_unknown_tools(self, bench):
        with pytest.raises(openai.BadRequestError, match="code_interpreter"):
            await bench.client.responses.create(
                model="fake/model", input="?", tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]
            )


class TestMoney:
    async def test_a_small_balance_ends_the_loop_and_never_goes_below_zero(self, bench):
        key = await bench.gateway.new_key(credits=10_500)
        bench.model.script(Turn("a", [call("web_search", {"query": "x"})]))
        client = await bench.client_of(key)
        events = [
            event
            async for event in await client.responses.create(
                model="fake/model", input="?", tools=SEARCH, stream=True, max_output_tokens=50
            )
        ]
        assert events[-1].type == "response.failed"
        assert events[-1].response.error.code
        accounts = await bench.gateway.gateway.stores.accounts.list_accounts(limit=10)
        [account] = [account for account in accounts if account.id != bench.gateway.account.id]
        assert 0 <= account.balance <= 500
        assert len(bench.search.requests) == 1

    async def test_usage_with_its_cost(self, bench):
        bench.model.script(Turn(calls=[call("web_search", {"query": "x"})]), Turn("ok"))
        status, _, body = await bench.gateway.post(
            "/v1/responses", {"model": "fake/model", "input": "?", "tools": SEARCH}
        )
        assert status == 200
        assert orjson.loads(body)["usage"]["cost"] == 10_040
