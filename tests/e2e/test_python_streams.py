"""The official Python SDK: streams, as people's loops read them."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from gateway.testing import (
    Cut,
    Hold,
    Pause,
    Received,
    Reply,
    Stall,
    chunk,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    slices,
    sse,
)

from .conftest import PATIENCE

pytestmark = pytest.mark.sdk

HELLO = [{"role": "user", "content": "Hello!"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]},
        },
    }
    for name, argument in (("get_weather", "city"), ("get_time", "zone"))
]
BOTH = [{"role": "user", "content": "What is the weather and the time in Lisbon?"}]
FAMILY = "👩‍👩‍👧‍👦 Grüße 世界 \U0001f1f5\U0001f1f9 e\u0301"


def naive(stream) -> str:
    """The loop that everybody writes: it indexes `choices[0]` of every chunk."""
    text = ""
    for piece in stream:
        text += piece.choices[0].delta.content or ""
    return text


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
@pytest.mark.parametrize("model", ["muh-chat", "echo/echo", "fake/model", "gpt-4o"])
def test_the_naive_loop(world, prefix, model):
    world.play(Reply(openai_stream("You said: ", "Hello!")))
    with world.client(prefix) as client:
        stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
        assert naive(stream).startswith(('You said: "Hello!"', "You said: Hello!"))


@pytest.mark.parametrize("model", ["muh-chat", "fake/model"])
def test_usage_rides_on_the_last_chunk(world, client, model):
    world.play(Reply(openai_stream("Hello", " world")))
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert all(len(piece.choices) == 1 for piece in chunks)
    assert {piece.model for piece in chunks} == {model}
    assert len({piece.id for piece in chunks}) == 1
    assert [bool(piece.usage) for piece in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-1].usage.cost > 0


@pytest.mark.parametrize("model", ["muh-chat", "fake/model"])
def test_usage_comes_extra_when_it_was_asked_for(world, client, model):
    world.play(Reply(openai_stream("Hello", " world")))
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    *pieces, last = chunks
    assert last.choices == []
    assert last.usage.total_tokens > 0
    assert all(piece.choices and piece.usage is None for piece in pieces)
    assert pieces[-1].choices[0].finish_reason == "stop"
    # `usage: null` stands in every other chunk, as OpenAI documents it.
    assert all("usage" in piece.model_fields_set for piece in pieces)


def test_an_upstream_that_reports_no_usage(world, client):
    """The caller still gets figures, and the bill says that they are an estimate."""
    world.play(Reply(openai_stream("Hello", " world", with_usage=False)))
    raw = client.chat.completions.with_raw_response.create(model="fake/model", messages=HELLO, stream=True)
    chunks = list(raw.parse())
    assert chunks[-1].usage.completion_tokens >= 2
    assert world.usage_row(raw.request_id).row.basis == "estimated"


def test_several_choices_in_one_stream(client):
    texts, ends, usages = {0: "", 1: ""}, [], 0
    for piece in client.chat.completions.create(model="muh-chat", messages=HELLO, stream=True, n=2):
        choice = piece.choices[0]
        texts[choice.index] += choice.delta.content or ""
        ends += [choice.index] * bool(choice.finish_reason)
        usages += piece.usage is not None
    assert sorted(ends) == [0, 1]
    assert usages == 1
    assert all(text.startswith('You said: "Hello!"') for text in texts.values())


def test_streamed_logprobs(client):
    stream = client.chat.completions.create(model="muh-chat", messages=HELLO, stream=True, logprobs=True)
    text = tokens = ""
    for piece in stream:
        text += piece.choices[0].delta.content or ""
        if piece.choices[0].logprobs:
            tokens += "".join(token.token for token in piece.choices[0].logprobs.content)
    assert tokens == text != ""


def test_functions_streamed_in_parallel(client):
    calls: dict[int, dict[str, str]] = {}
    reasons = []
    for piece in client.chat.completions.create(model="muh-chat", messages=BOTH, tools=TOOLS, stream=True):
        choice = piece.choices[0]
        reasons.append(choice.finish_reason)
        for part in choice.delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": "", "name": "", "arguments": ""})
            call["id"] += part.id or ""
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
    assert [call["name"] for call in calls.values()] == ["get_weather", "get_time"]
    assert calls[0]["arguments"] == '{"city":"Lisbon"}'
    assert len({call["id"] for call in calls.values()}) == 2
    assert [reason for reason in reasons if reason] == ["tool_calls"]


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_the_stream_helper(client, options):
    with client.chat.completions.stream(model="muh-chat", messages=HELLO, **options) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    kinds = [event.type for event in events]
    assert {"chunk", "content.delta", "content.done"} == set(kinds)
    done = events[kinds.index("content.done")]
    assert done.content == final.choices[0].message.content
    assert done.content == "".join(event.delta for event in events if event.type == "content.delta")
    assert final.choices[0].finish_reason == "stop"
    assert final.usage.total_tokens > 0
    assert final.model == "muh-chat"


def test_the_stream_helper_with_functions(client):
    tools = [{**tool, "function": {**tool["function"], "strict": True}} for tool in TOOLS]
    with client.chat.completions.stream(model="muh-chat", messages=BOTH, tools=tools) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert [(event.index, event.name) for event in done] == [(0, "get_weather"), (1, "get_time")]
    assert done[0].arguments == '{"city":"Lisbon"}'
    assert [call.function.name for call in final.choices[0].message.tool_calls] == ["get_weather", "get_time"]


class Person(BaseModel):
    """What the helper is asked to parse."""

    name: str
    age: int


async def test_the_async_helper_parses_structured_output(world):
    messages: Any = [{"role": "user", "content": "Ada, 36"}]
    async with world.async_client() as client:
        async with client.chat.completions.stream(
            model="muh-chat", messages=messages, response_format=Person
        ) as stream:
            snapshots = [event.parsed async for event in stream if event.type == "content.delta"]
            final = await stream.get_final_completion()
    assert snapshots
    assert isinstance(final.choices[0].message.parsed, Person)
    assert final.choices[0].message.parsed.age == 36


def test_a_streamed_refusal(client):
    with client.chat.completions.stream(
        model="muh-chat", messages=HELLO, extra_body={"echo": {"refusal": "I would rather not."}}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "refusal.done" in kinds
    assert final.choices[0].message.refusal == "I would rather not."


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_characters_that_are_cut_apart(world, client, size):
    data = b"".join(openai_stream(*FAMILY, FAMILY))
    world.play(Reply(slices(data, size)))
    stream = client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)
    assert naive(stream) == FAMILY * 2


def test_pieces_arrive_when_they_are_sent(world, client):
    go_on, release = world.event()
    first, second, *rest = openai_stream("Hello", " world")
    world.play(Reply([first, second, Hold(go_on), *rest]))
    stream = iter(client.chat.completions.create(model="fake/model", messages=HELLO, stream=True))
    assert next(stream).choices[0].delta.role == "assistant"
    assert next(stream).choices[0].delta.content == "Hello"
    release()
    assert naive(stream) == " world"


def test_comments_while_the_upstream_thinks_do_not_disturb(restless):
    """The gateway's keep-alive comes every 100 ms here; the SDK does not notice."""
    first, *rest = openai_stream("Hello")
    go_on, release = restless.event()
    waiting = Reply([b": OPENROUTER PROCESSING\n\n", first, Hold(go_on), *rest])
    restless.play(Reply([b": OPENROUTER PROCESSING\n\n", Pause(0.25), first, Pause(0.15), *rest]), waiting)
    lines: list[str] = []
    with restless.client() as client:
        assert naive(client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)) == "Hello"
        with client.chat.completions.with_streaming_response.create(
            model="fake/model", messages=HELLO, stream=True
        ) as response:
            for line in response.iter_lines():
                lines.append(line)
                if lines.count(": keep-alive") == 2:
                    release()
    assert lines.count(": keep-alive") >= 2
    assert lines[-2:] == ["data: [DONE]", ""]


def test_a_whole_answer_from_an_upstream_that_cannot_stream(world, client):
    world.play(json_reply(openai_completion("Hello world")))
    chunks = list(client.chat.completions.create(model="fake/model", messages=HELLO, stream=True))
    assert "".join(piece.choices[0].delta.content or "" for piece in chunks) == "Hello world"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 15


BROKEN = {
    "cut": ([Cut()], "upstream_disconnected"),
    "closed": ([Cut(reset=False)], "upstream_disconnected"),
    "error event": ([sse(openai_error("No more.", "server_error"))], "upstream_failed"),
    "flat error": ([sse({"type": "error", "code": "server_error", "message": "No more.", "param": None})], None),
    "garbage": ([b'data: {"id": \n\n'], "upstream_invalid_response"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_raises_after_the_text_so_far(world, client, name):
    steps, code = BROKEN[name]
    world.play(Reply([*openai_stream("Hello", " world")[:3], *steps]))
    raw = client.chat.completions.with_raw_response.create(model="fake/model", messages=HELLO, stream=True)
    texts: list[str] = []
    with pytest.raises(openai.APIError) as caught:
        texts.extend(piece.choices[0].delta.content or "" for piece in raw.parse())
    assert "".join(texts) == "Hello world"
    assert type(caught.value) is openai.APIError
    assert caught.value.body.keys() == {"message", "type", "param", "code"}
    assert code in (None, caught.value.code)
    row = world.usage_row(raw.request_id).row
    assert row.status >= 500
    assert row.usage.completion_tokens >= 2


def test_an_error_before_the_first_byte_is_an_http_error(world, client):
    """Though the upstream answered 200: nothing was relayed yet, so the status can still tell the truth."""
    world.play(Reply([sse(openai_error("The content was refused.", "invalid_request_error", "content_filter"))]))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)
    assert caught.value.code == "content_filter"


def test_missing_done_after_a_finish_reason_is_a_good_end(world, client):
    world.play(Reply(openai_stream("Hello", done=False, with_usage=False)))
    assert naive(client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)) == "Hello"


def test_an_early_close_reaches_the_upstream_and_the_bill(world, client):
    requests = world.play(Reply([*openai_stream("Hello", " world")[:3], Stall()]))
    raw = client.chat.completions.with_raw_response.create(model="fake/model", messages=HELLO, stream=True)
    stream = raw.parse()
    for piece in stream:
        if piece.choices[0].delta.content == " world":
            break
    stream.close()
    world.run(requests[0].wait_closed(PATIENCE))
    row = world.usage_row(raw.request_id).row
    assert (row.status, row.error, row.basis) == (499, "client_disconnected", "estimated")
    assert 2 <= row.usage.completion_tokens <= 4
    assert world.usage_row(raw.request_id).credits == row.usage.prompt_tokens + 2 * row.usage.completion_tokens


async def test_a_client_that_leaves_before_the_first_byte(world):
    requests = world.play(Reply([Stall()]))
    async with world.async_client() as client, asyncio.timeout(PATIENCE):
        call = asyncio.create_task(client.chat.completions.create(model="fake/model", messages=HELLO))
        while not requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    world.run(requests[0].wait_closed(PATIENCE))
    request_id = world.run(last_request_of(world, 499))
    row = world.usage_row(request_id).row
    assert (row.status, row.basis, row.usage.completion_tokens) == (499, "estimated", 0)
    assert row.usage.prompt_tokens > 0, "the provider had read it"


async def last_request_of(world, status: int) -> str:
    async with asyncio.timeout(PATIENCE):
        while not (lines := world.log_lines(status=status, model="fake/model", stream=False)):
            await asyncio.sleep(0.01)
    return lines[-1]["request_id"]


def test_the_sdks_own_time_limit_inside_a_stream(world, client):
    requests = world.play(Reply([*openai_stream("Hello")[:2], Stall()]))
    stream = client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)
    # The limit between two pieces, which holds from the first one on: the answer has begun, however long that took.
    stream.response.request.extensions["timeout"]["read"] = 0.15
    with pytest.raises(openai.APITimeoutError):
        naive(stream)
    world.run(requests[0].wait_closed(PATIENCE))


async def test_fifty_streams_at_once(world):
    """All of them are open before the first one goes on."""
    go_on, release = world.event()

    def answer(received: Received) -> Reply:
        first, *rest = openai_stream(received.json["messages"][0]["content"])
        return Reply([first, Hold(go_on), *rest])

    requests = world.play(Reply())
    world.upstream.answer(answer)

    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        messages: Any = [{"role": "user", "content": f"caller {number}"}]
        stream = await client.chat.completions.create(model="fake/model", messages=messages, stream=True)
        return "".join([piece.choices[0].delta.content or "" async for piece in stream])

    async with world.async_client() as client, asyncio.timeout(PATIENCE):
        asking = asyncio.gather(*(ask(client, number) for number in range(50)))
        while len(requests) < 50:
            await asyncio.sleep(0.01)
        release()
        assert await asking == [f"caller {number}" for number in range(50)]


def test_a_long_line_in_a_stream(world, client):
    """A picture inside one event: far above the usual limits of line readers."""
    picture = "x" * (4 * 1024 * 1024)
    first, *rest = openai_stream("done")
    world.play(Reply([first, sse(chunk({"content": picture})), *rest]))
    stream = client.chat.completions.create(model="fake/model", messages=HELLO, stream=True)
    assert naive(stream) == picture + "done"
