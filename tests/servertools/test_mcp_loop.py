"""MCP servers on `POST /responses`, through the official SDK, on an upstream that speaks chat."""

from __future__ import annotations

import asyncio

import openai
import orjson
import pytest

from gateway.testing import Reply, Stall

from .conftest import Turn, call
from .mcp.conftest import text
from .test_responses_loop import WEATHER, check, events_of

FAKE = {"type": "mcp", "server_label": "fake"}


class TestCalls:
    async def test_streamed(self, bench):
        bench.mcp.on_call = lambda name, arguments: text(f"the sum is {sum(arguments.values())}")
        bench.model.script(Turn("Adding.", [call("fake__add", {"a": 1, "b": 2})]), Turn("It is 3."))
        events = await events_of(bench, input="1 + 2?", tools=[FAKE, WEATHER])
        check(events)
        final = events[-1].response
        assert [item.type for item in final.output] == ["mcp_list_tools", "message", "mcp_call", "message"]
        listed, _, made, _ = final.output
        assert [tool.name for tool in listed.tools] == ["add", "zeta"]
        assert (made.server_label, made.name, made.output) == ("fake", "add", "the sum is 3")
        assert orjson.loads(made.arguments) == {"a": 1, "b": 2}
        assert made.error is None
        assert made.status == "completed"
        kinds = [event.type for event in events]
        for kind in (
            "mcp_list_tools.in_progress",
            "mcp_list_tools.completed",
            "mcp_call.in_progress",
            "mcp_call.completed",
        ):
            assert kinds.count(f"response.{kind}") == 1, kind
        deltas = [event.delta for event in events if event.type == "response.mcp_call_arguments.delta"]
        assert len(deltas) > 1
        assert "".join(deltas) == made.arguments
        names = [tool["function"]["name"] for tool in bench.model.bodies[0]["tools"]]
        assert names == ["get_weather", "fake__add", "fake__zeta"]
        assert await bench.spent() == 40 + 1_000

    async def test_whole_and_the_list_is_taken_from_the_conversation(self, bench):
        bench.model.script(Turn(calls=[call("fake__add", {"a": 1})]), Turn("One."), Turn("Two."))
        first = await bench.client.responses.create(model="fake/model", input="?", tools=[FAKE])
        assert [item.type for item in first.output] == ["mcp_list_tools", "mcp_call", "message"]
        second = await bench.client.responses.create(
            model="fake/model", input="and?", previous_response_id=first.id, tools=[FAKE]
        )
        assert [item.type for item in second.output] == ["message"]
        assert bench.mcp.methods().count("tools/list") == 1

    async def test_parallel_calls_run_side_by_side(self, bench):
        running = asyncio.Event()
        names = []

        def answer(name, arguments):
            names.append(name)
            if len(names) == 2:
                running.set()
            return text(name)

        bench.mcp.on_call = answer
        calls = [call("fake__add", {}, "a"), call("fake__zeta", {}, "b", 1)]
        bench.model.script(Turn(calls=calls), Turn("ok"))
        events = await events_of(bench, input="?", tools=[FAKE])
        check(events)
        assert running.is_set()
        made = [item for item in events[-1].response.output if item.type == "mcp_call"]
        assert {item.name: item.output for item in made} == {"add": "add", "zeta": "zeta"}

    async def test_a_failing_tool_is_an_item_with_an_error(self, bench):
        bench.mcp.on_call = lambda name, arguments: Reply(status=500, framing="length")
        bench.model.script(Turn(calls=[call("fake__add")]), Turn("Sorry."))
        events = await events_of(bench, input="?", tools=[FAKE])
        check(events)
        [made] = [item for item in events[-1].response.output if item.type == "mcp_call"]
        assert made.status == "failed"
        assert "'fake'" in made.error.content[0]["text"]
        assert "response.mcp_call.failed" in [event.type for event in events]
        assert bench.model.bodies[1]["messages"][-1]["content"].startswith("Error: ")

    @pytest.mark.parametrize("settings", [{"mcp_servers": {}, "tools": {"timeout": "300ms"}}])
    async def test_a_tool_that_hangs_costs_time_only(self, bench):
        bench.mcp.on_call = lambda name, arguments: Reply([Stall()])
        bench.model.script(Turn(calls=[call("fake__add")]), Turn("Sorry."))
        events = await events_of(bench, input="?", tools=[FAKE])
        check(events)
        [made] = [item for item in events[-1].response.output if item.type == "mcp_call"]
        assert "did not answer within 0.3 seconds" in made.error.content[0]["text"]

    async def test_images_are_shown_to_models_that_see(self, bench):
        image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
        bench.mcp.on_call = lambda name, arguments: {"content": [image]}
        bench.model.script(Turn(calls=[call("fake__add")]), Turn("ok"))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=[FAKE])
        assert made.output[1].output == "[image: image/png]"
        assert bench.model.bodies[1]["messages"][-1]["content"] == "[image: image/png]"  # this model does not see

    async def test_nonsense_arguments(self, bench):
        bench.model.script(Turn(calls=[call("fake__add", "{not json")]), Turn("ok"))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=[FAKE])
        assert made.output[1].status == "failed"
        assert "tools/call" not in bench.mcp.methods()


class TestAllowed:
    async def test_allowed_tools(self, bench):
        bench.model.script(Turn("ok"))
        for allowed in (["zeta"], {"tool_names": ["zeta"]}):
            made = await bench.client.responses.create(
                model="fake/model", input="?", tools=[{**FAKE, "allowed_tools": allowed}]
            )
            assert [tool.name for tool in made.output[0].tools] == ["zeta"]
            assert [tool["function"]["name"] for tool in bench.model.bodies[-1]["tools"]] == ["fake__zeta"]

    async def test_a_server_that_nobody_defined(self, bench):
        with pytest.raises(openai.BadRequestError, match="server_label"):
            await bench.client.responses.create(
                model="fake/model", input="?", tools=[{"type": "mcp", "server_label": "other"}]
            )

    @pytest.mark.parametrize(
        "settings", [{"mcp_servers": {"hidden": {"url": "http://127.0.0.1:9/", "accounts": ["x"]}}}]
    )
    async def test_a_server_for_others(self, bench):
        with pytest.raises(openai.BadRequestError, match="there is no server 'hidden'"):
            await bench.client.responses.create(
                model="fake/model", input="?", tools=[{"type": "mcp", "server_label": "hidden"}]
            )

    async def test_private_addresses_of_a_request(self, bench):
        tool = {"type": "mcp", "server_label": "x", "server_url": bench.mcp.url, "authorization": "geheim"}
        with pytest.raises(openai.APIStatusError) as refused:
            await bench.client.responses.create(model="fake/model", input="?", tools=[tool])
        assert refused.value.status_code == 424
        assert "was not reached" in refused.value.message
        events = await events_of(bench, input="?", tools=[tool])
        assert "response.mcp_list_tools.failed" in [event.type for event in events]
        assert events[-1].type == "response.failed"
        assert "geheim" not in repr(events)
        assert bench.mcp.upstream.requests == []

    @pytest.mark.parametrize("settings", [{"mcp_servers": {}, "fetch": {"allow_hosts": ["127.0.0.1"], "ports": [1]}}])
    async def test_credentials_are_not_echoed_kept_or_logged(self, bench):
        port = int(bench.mcp.upstream.url.rpartition(":")[2])
        config = bench.gateway.gateway.runtime.toolbox.config
        object.__setattr__(config, "fetch", config.fetch.model_copy(update={"ports": (port,)}))
        tool = {
            "type": "mcp",
            "server_label": "x",
            "server_url": bench.mcp.url,
            "authorization": "geheim-1",
            "headers": {"X-Key": "geheim-2"},
            "require_approval": "never",
        }
        bench.model.script(Turn(calls=[call("x__add")]), Turn("ok"))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=[tool])
        assert made.output_text == "ok"
        kept = await bench.client.responses.retrieve(made.id)
        shown = repr(made.model_dump()) + repr(kept.model_dump()) + bench.gateway.stream.getvalue()
        assert "geheim" not in shown + orjson.dumps(bench.model.bodies).decode()
        sent = [request.headers for request in bench.mcp.upstream.requests]
        assert {(headers["authorization"], headers["x-key"]) for headers in sent} == {("Bearer geheim-1", "geheim-2")}


ASKING = {**FAKE, "require_approval": "always"}


class TestApproval:
    async def ask(self, bench):
        bench.model.script(Turn(calls=[call("fake__add", {"a": 1})]), Turn("Done."))
        events = await events_of(bench, input="add", tools=[ASKING])
        check(events)
        final = events[-1].response
        assert final.status == "completed"
        assert [item.type for item in final.output] == ["mcp_list_tools", "mcp_approval_request"]
        assert "tools/call" not in bench.mcp.methods()
        return final

    @pytest.mark.parametrize("stream", [False, True])
    async def test_allowed(self, bench, stream):
        final = await self.ask(bench)
        answer = {"type": "mcp_approval_response", "approval_request_id": final.output[1].id, "approve": True}
        request = {"previous_response_id": final.id, "input": [answer], "tools": [ASKING]}
        if stream:
            events = await events_of(bench, **request)
            check(events)
            more = events[-1].response
        else:
            more = await bench.client.responses.create(model="fake/model", **request)
        assert [item.type for item in more.output] == ["mcp_call", "message"]
        assert more.output[0].approval_request_id == final.output[1].id
        assert more.output[0].output == "add {'a': 1}"
        assert bench.model.bodies[1]["messages"][-1]["content"] == "add {'a': 1}"

    async def test_denied_with_the_items_sent_again(self, bench):
        final = await self.ask(bench)
        answer = {
            "type": "mcp_approval_response",
            "approval_request_id": final.output[1].id,
            "approve": False,
            "reason": "too dear",
        }
        history = [{"role": "user", "content": "add"}, *(item.model_dump(exclude_none=True) for item in final.output)]
        more = await bench.client.responses.create(model="fake/model", input=[*history, answer], tools=[ASKING])
        assert [item.type for item in more.output] == ["message"]
        assert "did not allow" in bench.model.bodies[1]["messages"][-1]["content"]
        assert "too dear" in bench.model.bodies[1]["messages"][-1]["content"]
        assert "tools/call" not in bench.mcp.methods()

    async def test_a_response_to_nothing(self, bench):
        answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_none", "approve": True}
        with pytest.raises(openai.BadRequestError, match="mcp_approval_response"):
            await bench.client.responses.create(model="fake/model", input=[answer], tools=[ASKING])

    async def test_per_tool(self, bench):
        tool = {**FAKE, "require_approval": {"never": {"tool_names": ["add"]}}}
        bench.model.script(Turn(calls=[call("fake__add", {}, "a"), call("fake__zeta", {}, "b", 1)]))
        made = await bench.client.responses.create(model="fake/model", input="?", tools=[tool])
        assert [item.type for item in made.output] == ["mcp_list_tools", "mcp_call", "mcp_approval_request"]
        assert made.output[2].name == "zeta"


class TestMapped:
    @pytest.mark.parametrize("settings", [{"mcp_servers": {}}])
    async def test_a_builtin_type_is_a_tool_of_a_server(self, bench):
        config = bench.gateway.gateway.runtime.toolbox
        config.provided["file_search"] = ("fake", "add")
        bench.model.script(Turn(calls=[call("fake__add", {"q": "x"})]), Turn("ok"))
        made = await bench.client.responses.create(
            model="fake/model", input="?", tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]
        )
        assert [item.type for item in made.output] == ["mcp_list_tools", "mcp_call", "message"]


class TestLeaving:
    async def test_a_disconnect_stops_the_tool_and_bills_what_was_caused(self, bench):
        bench.mcp.on_call = lambda name, arguments: Reply([Stall()])
        bench.model.script(Turn("Adding.", calls=[call("fake__add")]), Turn("never"))
        stream = await bench.client.responses.create(model="fake/model", input="?", tools=[FAKE], stream=True)
        async for event in stream:
            if event.type == "response.mcp_call_arguments.done":
                break
        while "tools/call" not in bench.mcp.methods():
            await asyncio.sleep(0)
        await stream.close()
        [stalled] = [r for r in bench.mcp.upstream.requests if b"tools/call" in r.body]
        await asyncio.wait_for(stalled.closed.wait(), 10)
        while (spent := await bench.spent()) == 0:
            await asyncio.sleep(0.01)
        assert spent == 20 + 1_000
        assert len(bench.model.bodies) == 1
