"""Upstreams that speak the Responses API: natively for its callers, and bridged back for callers of chat."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.api import EventReader
from gateway.testing import Cut, Reply, Stall, all_splits, json_reply, openai_completion, openai_stream, sse, usage

from .responses_kit import RESPONSES, SCHEMAS, WEATHER, check_stream, read_stream, schema, text_of

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

FIXTURES = SCHEMAS.parent
TEXT = (FIXTURES / "text.sse").read_bytes()
REASONING = (FIXTURES / "reasoning-and-call.sse").read_bytes()


def native(serve: Any, mode: str = "native", **sections: Any) -> Any:
    return _native(serve, mode, sections)


async def _native(serve: Any, mode: str, sections: dict[str, Any]) -> Any:
    model = {
        "provider": "fake",
        "upstream": "upstream-model",
        "price": {"input": 1, "output": 2, "per_web_search": 10_000},
        "context": 128_000,
        "max_output": 4096,
        "options": {"responses": mode},
    }
    return await serve(models={"fake/model": model}, **sections)


async def ask(site: Any, **body: Any) -> Any:
    status, headers, raw = await site.running.post(RESPONSES, {"input": "Hello!", **body})
    return status, {name.lower(): value for name, value in headers.items()}, raw


def final_of(recorded: bytes) -> Any:
    events = [orjson.loads(part.partition(b"data: ")[2]) for part in recorded.split(b"\n\n") if part.strip()]
    return events[-1]["response"]


@pytest.mark.parametrize("recorded", ["text", "reasoning-and-call", "parallel-calls", "refusal", "incomplete"])
async def test_recorded_streams(serve: Any, recorded: str) -> None:
    site = await native(serve)
    raw = (FIXTURES / f"{recorded}.sse").read_bytes()
    site.upstream.reply(Reply([raw]))
    status, _headers, sent = await ask(site, stream=True, instructions="Be short.")
    assert status == 200
    assert site.upstream.requests[0].path == "/v1/responses"
    theirs = final_of(raw)
    ours = check_stream(read_stream(sent))
    assert ours["id"] != theirs["id"]
    assert ours["model"] == "fake/model"
    assert ours["usage"]["output_tokens"] == theirs["usage"]["output_tokens"]
    assert [item["type"] for item in ours["output"]] == [item["type"] for item in theirs["output"]]
    assert text_of(ours) == text_of(theirs)
    row = await site.row()
    assert row.row.basis == "provider"
    assert row.credits == ours["usage"]["cost"] == await site.spent()
    stored = orjson.loads((await site.running.get(f"{RESPONSES}/{ours['id']}"))[2])
    assert stored == ours


_KEPT = frozenset({"object", "status", "output", "error", "usage", "id", "incomplete_details"})
_PARTS = frozenset({"type", "text", "refusal", "encrypted_content", "call_id", "name", "arguments"})


def sparse(raw: bytes) -> bytes:
    """A recorded stream as servers send it that leave out what they think nobody needs."""
    out = []
    for data in EventReader().feed_data(raw):
        event = orjson.loads(data)
        for key in ("sequence_number", "item_id", "content_index", "summary_index", "logprobs", "output_index"):
            event.pop(key, None)
        for response in [event["response"]] if "response" in event else []:
            for key in response.keys() - _KEPT:
                del response[key]
            for key in ("input_tokens_details", "output_tokens_details", "total_tokens"):
                (response["usage"] or {}).pop(key, None)
            response["output"] = [sparse_item(item) for item in response["output"]]
        if "item" in event:
            event["item"] = sparse_item(event["item"])
        if "part" in event:
            event["part"] = {key: value for key, value in event["part"].items() if key in _PARTS}
        out.append(b"data: " + orjson.dumps(event) + b"\n\n")
    return b"".join(out)


def sparse_item(item: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in item.items() if key in _PARTS}
    if item.get("content"):
        kept["content"] = [{key: part[key] for key in part if key in _PARTS} for part in item["content"]]
    return kept


@pytest.mark.parametrize("recorded", ["text", "refusal", "incomplete"])
@pytest.mark.parametrize("stream", [True, False])
async def test_what_the_upstream_leaves_out_is_filled_in(serve: Any, recorded: str, stream: bool) -> None:
    site = await native(serve)
    raw = sparse((FIXTURES / f"{recorded}.sse").read_bytes())
    theirs = final_of(raw)
    if stream:
        site.upstream.reply(Reply([raw]))
    else:
        site.upstream.reply(json_reply(theirs))
    status, _headers, sent = await ask(site, stream=stream)
    assert status == 200
    ours = check_stream(read_stream(sent)) if stream else orjson.loads(sent)
    schema("Response").validate(ours)
    assert text_of(ours) == text_of(theirs)
    assert ours["usage"]["output_tokens"] == theirs["usage"]["output_tokens"]


async def test_at_every_split(serve: Any) -> None:
    site = await native(serve)
    wholes = set()
    for _, pieces in list(all_splits(REASONING, seeds=range(2))):
        site.upstream.reply(Reply(pieces if len(pieces) < 3000 else [REASONING[:1], REASONING[1:]]))
        _, _, raw = await ask(site, stream=True)
        final = check_stream(read_stream(raw))
        wholes.add(orjson.dumps([final["output"], final["usage"]]))
    assert len(wholes) == 1


async def test_the_request_goes_out_as_it_is(serve: Any) -> None:
    site = await native(serve)
    site.upstream.reply(json_reply({**final_of(TEXT), "unheard_of": [1]}))
    status, headers, raw = await ask(
        site,
        tools=[{"type": "web_search"}, WEATHER],
        max_output_tokens=100,
        new_parameter={"a": 1},
        prompt_cache_key="k",
        store=True,
    )
    response = orjson.loads(raw)
    assert status == 200, raw
    assert response["unheard_of"] == [1]
    sent = site.upstream.requests[0].json
    assert sent["model"] == "upstream-model"
    assert sent["input"] == "Hello!"
    assert sent["tools"][0] == {"type": "web_search"}
    assert (sent["new_parameter"], sent["prompt_cache_key"], sent["max_output_tokens"]) == ({"a": 1}, "k", 100)
    assert sent["store"] is False
    assert "stream" not in sent
    assert response["store"] is True
    assert "x-gateway-dropped-params" not in headers


@pytest.mark.unpublished  # OpenAI leaves the action out of a search that begins
async def test_web_searches_are_billed(serve: Any) -> None:
    site = await native(serve)
    raw = (FIXTURES / "web-search.sse").read_bytes()
    searches = sum(1 for item in final_of(raw)["output"] if item["type"] == "web_search_call")
    assert searches
    site.upstream.reply(Reply([raw]))
    _, _, sent = await ask(site, stream=True, tools=[{"type": "web_search"}])
    check_stream(read_stream(sent), published=False)
    assert (await site.row()).row.usage.web_searches == searches
    assert await site.spent() > 10_000 * searches


async def test_a_chain_keeps_encrypted_reasoning(serve: Any) -> None:
    site = await native(serve)
    site.upstream.reply(Reply([REASONING]))
    _, _, raw = await ask(site, stream=True, tools=[WEATHER])
    first = check_stream(read_stream(raw))
    [reasoning] = [item for item in first["output"] if item["type"] == "reasoning"]
    [call] = [item for item in first["output"] if item["type"] == "function_call"]
    site.upstream.reply(Reply([TEXT]))
    # In the documents' spelling: the item's id where the call's belongs.
    output = {"type": "function_call_output", "id": call["id"], "callId": call["id"], "output": "15 C"}
    status, _, raw = await ask(site, stream=True, input=[output], previous_response_id=first["id"])
    assert status == 200, raw
    check_stream(read_stream(raw))
    sent = site.upstream.requests[-1].json["input"]
    assert [item["type"] for item in sent] == ["message", "reasoning", "function_call", "function_call_output"]
    assert sent[1]["encrypted_content"] == reasoning["encrypted_content"]
    assert sent[2]["call_id"] == sent[3]["call_id"] == call["call_id"]
    assert all("id" not in item for item in sent)
    assert "previous_response_id" not in site.upstream.requests[-1].json


class TestFailures:
    async def test_before_the_stream(self, serve: Any) -> None:
        site = await native(serve)
        error = {"message": "No such tool. sk-fake-upstream-key", "type": "invalid_request_error", "param": "tools"}
        site.upstream.reply(json_reply({"error": {**error, "code": "bad"}}, 400))
        status, _, raw = await ask(site, stream=True)
        assert status == 400
        assert b"sk-fake-upstream-key" not in raw
        assert await site.spent() == 0

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("told", [False, True])
    async def test_an_answer_that_failed_at_once_is_billed_by_its_usage(
        self, serve: Any, quick: Any, stream: bool, told: bool
    ) -> None:
        site = await native(serve, upstream=quick)
        failed = {**final_of(TEXT), "status": "failed", "error": {"code": "server_error", "message": "Sorry."}}
        if not told:
            failed["usage"] = None
        event = {"type": "response.failed", "response": failed, "sequence_number": 0}
        site.upstream.reply(Reply([sse(event, "response.failed")]) if stream else json_reply(failed))
        status, _, _raw = await ask(site, stream=stream)
        assert status >= 500
        row = (await site.row()).row
        usage = final_of(TEXT)["usage"]
        # It was tried again; what the last try had used is due.
        used = (usage["input_tokens"], usage["output_tokens"], "provider") if told else (0, 0, "void")
        assert (row.usage.prompt_tokens, row.usage.completion_tokens, row.basis) == used

    @pytest.mark.parametrize("end", [Cut(), b""], ids=["cut", "end without a terminal event"])
    async def test_a_cut(self, serve: Any, end: Any) -> None:
        site = await native(serve)
        part = TEXT[: TEXT.index(b"event: response.output_text.done")]
        site.upstream.reply(Reply([part, end] if end else [part]))
        _, _, raw = await ask(site, stream=True)
        events = read_stream(raw)
        final = check_stream(events)
        assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
        assert text_of(final) == text_of(final_of(TEXT))
        assert final["output"][0]["status"] == "incomplete"
        assert (await site.row()).row.basis == "estimated"

    async def test_an_error_in_the_stream(self, serve: Any) -> None:
        site = await native(serve)
        part = TEXT[: TEXT.index(b"event: response.output_text.done")]
        error = {"type": "error", "code": "server_error", "message": "Broken. sk-fake-upstream-key", "param": None}
        site.upstream.reply(Reply([part, sse({**error, "sequence_number": 99}, "error")]))
        _, _, raw = await ask(site, stream=True)
        events = read_stream(raw)
        check_stream(events)
        assert b"sk-fake-upstream-key" not in raw
        assert events[-1]["type"] == "response.failed"

    async def test_nonsense(self, serve: Any, quick: Any) -> None:
        site = await native(serve, upstream=quick)
        for body in ([], {"object": "response"}, {"choices": []}, 5):
            site.upstream.reply(json_reply(body))
            status, _, raw = await ask(site)
            assert (status, orjson.loads(raw)["error"]["code"]) == (502, "upstream_invalid_response")
        site.upstream.reply(Reply([b"data: {nonsense\n\n"]))
        assert (await ask(site, stream=True))[0] == 502

    async def test_a_caller_who_leaves(self, serve: Any) -> None:
        site = await native(serve)
        part = TEXT[: TEXT.index(b"event: response.output_text.done")]
        site.upstream.reply(Reply([part, Stall()]))
        client = await site.connect()
        raw = orjson.dumps({"input": "Hello!", "stream": True})
        await client.send(site.head_of(len(raw), path=RESPONSES) + raw)
        await client.head()
        seen = b""
        async for piece in client.chunks():
            seen += piece
            if b"output_text.delta" in seen:
                break
        client.abort()
        assert (await site.row()).row.status == 499
        begun = orjson.loads(seen.split(b"\n\n")[0].partition(b"data: ")[2])["response"]["id"]
        left = orjson.loads((await site.running.get(f"{RESPONSES}/{begun}"))[2])
        assert (left["status"], left["error"]) == ("cancelled", None)
        schema("Response").validate(left)
        _, _, replayed = await site.running.get(f"{RESPONSES}/{begun}?stream=true")
        assert check_stream(read_stream(replayed)) == left


async def test_a_whole_answer_to_a_request_for_a_stream(serve: Any) -> None:
    site = await native(serve)
    site.upstream.reply(json_reply(final_of(REASONING)))
    _, _, raw = await ask(site, stream=True)
    final = check_stream(read_stream(raw))
    assert [item["type"] for item in final["output"]] == ["reasoning", "function_call"]


async def test_an_answer_without_usage_is_estimated(serve: Any) -> None:
    site = await native(serve)
    site.upstream.reply(json_reply({**final_of(TEXT), "usage": None}))
    _, _, raw = await ask(site)
    response = orjson.loads(raw)
    schema("Response").validate(response)
    row = await site.row()
    assert row.row.basis == "estimated"
    assert response["usage"]["output_tokens"] == row.row.usage.completion_tokens > 0


async def test_in_the_background_and_cancelled(serve: Any) -> None:
    site = await native(serve)
    site.upstream.reply(Reply([TEXT]))
    status, _, raw = await ask(site, background=True, stream=True)
    final = check_stream(read_stream(raw))
    assert (status, final["status"], final["background"]) == (200, "completed", True)
    assert "background" not in site.upstream.requests[0].json


async def test_models_can_change_in_the_middle_of_a_chain(serve: Any) -> None:
    """Native, then over the bridge, then native again: each sees what it can."""
    shared = {"provider": "fake", "upstream": "m", "free": True}
    models = {
        "fake/model": {**shared, "options": {"responses": "native"}},
        "fake/chat": {**shared, "options": {"responses": "bridge"}},
    }
    site = await serve(models=models)
    site.upstream.queue(Reply([REASONING]), Reply(openai_stream("Warm.")), Reply([TEXT]))
    _, _, raw = await ask(site, stream=True)
    first = check_stream(read_stream(raw))
    call = first["output"][-1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "15 C"}
    more = {"input": [output], "previous_response_id": first["id"], "model": "fake/chat", "stream": True}
    status, _, raw = await ask(site, **more)
    assert status == 200, raw
    second = check_stream(read_stream(raw))
    chat = site.upstream.requests[1]
    assert chat.path == "/v1/chat/completions"
    assert [message["role"] for message in chat.json["messages"]] == ["user", "assistant", "tool"]
    status, _headers, raw = await ask(site, previous_response_id=second["id"], stream=True)
    assert status == 200, raw
    kinds = [item["type"] for item in site.upstream.requests[2].json["input"]]
    assert kinds == ["message", "reasoning", "function_call", "function_call_output", "message", "message"]


class TestBridgedBack:
    """`responses: only`: chat completions on an upstream that has no such route."""

    async def test_whole(self, serve: Any) -> None:
        site = await native(serve, "only")
        site.upstream.reply(json_reply(final_of(REASONING)))
        answer = await site.ask(max_tokens=100, seed=3)
        assert answer.status == 200, answer.body
        message = answer.json["choices"][0]["message"]
        assert message["tool_calls"][0]["function"]["name"]
        assert answer.json["choices"][0]["finish_reason"] == "tool_calls"
        assert answer.json["model"] == "fake/model"
        assert answer.headers["x-gateway-dropped-params"] == "seed"
        sent = site.upstream.requests[0]
        assert sent.path == "/v1/responses"
        assert (sent.json["max_output_tokens"], sent.json["store"], sent.json["model"]) == (
            100,
            False,
            "upstream-model",
        )
        assert (await site.row()).row.basis == "provider"

    async def test_streamed(self, serve: Any) -> None:
        site = await native(serve, "only")
        site.upstream.reply(Reply([TEXT]))
        answer = await site.ask(stream=True)
        *chunks, done = answer.events
        assert done == "[DONE]"
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in chunks)
        assert text == text_of(final_of(TEXT))
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"]["completion_tokens"] == final_of(TEXT)["usage"]["output_tokens"]
        assert (await site.row()).row.basis == "provider"

    async def test_a_cut_and_strictness(self, serve: Any, quick: Any) -> None:
        site = await native(serve, "only", upstream=quick)
        part = TEXT[: TEXT.index(b"event: response.output_text.done")]
        site.upstream.reply(Reply([part, Cut()]))
        answer = await site.ask(stream=True)
        assert answer.events[-1]["error"]["code"] == "upstream_disconnected"
        refused = await site.ask(seed=3, headers={"x-gateway-strict": "1"})
        assert (refused.status, refused.error["param"]) == (400, "seed")

    async def test_callers_of_responses_get_it_natively(self, serve: Any) -> None:
        site = await native(serve, "only")
        site.upstream.reply(Reply([TEXT]))
        _, _, raw = await ask(site, stream=True)
        assert text_of(check_stream(read_stream(raw))) == text_of(final_of(TEXT))


async def test_the_gateways_own_word_counts_over_the_bridge(serve: Any) -> None:
    """`bridge`: nothing of the request's state reaches the upstream."""
    site = await native(serve, "bridge")
    site.upstream.reply(json_reply(openai_completion("x", reported=usage(3, 1))))
    assert (await ask(site, metadata={"a": "b"}, truncation="auto", include=["reasoning.encrypted_content"]))[0] == 200
    sent = site.upstream.requests[0]
    assert sent.path == "/v1/chat/completions"
    assert set(sent.json) == {"model", "messages"}
