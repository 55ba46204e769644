"""Streams end to end: what an OpenAI SDK sees, for every way an upstream may stream."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.testing import (
    DONE_EVENT,
    Cut,
    Hold,
    Reply,
    Stall,
    all_splits,
    chunk,
    huge_event,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    sse,
    usage,
)

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

REPORTED = usage(10, 2)
COST = 14  # 10 tokens at 1 credit and 2 at 2


def text_of(events: list[Any], index: int = 0) -> str:
    found = ""
    for event in events:
        for choice in event.get("choices", ()) if isinstance(event, dict) else ():
            if choice["index"] == index:
                found += choice["delta"].get("content") or ""
    return found


def check_without_usage_asked(events: list[Any]) -> dict[str, Any]:
    """The shape for loops that index `choices[0]` on every chunk; returns the last chunk."""
    *chunks, done = events
    assert done == "[DONE]"
    for event in chunks:
        assert event["choices"], event
        assert event["choices"][0]["delta"] is not None
        assert event["model"] == "fake/model"
        assert event["object"] == "chat.completion.chunk"
        assert not event.get("usage") or event is chunks[-1]
    assert chunks[-1]["choices"][0]["finish_reason"]
    return chunks[-1]


def check_with_usage_asked(events: list[Any]) -> dict[str, Any]:
    """OpenAI's own shape: `usage: null` everywhere, one more chunk with the usage; returns that."""
    *chunks, last, done = events
    assert done == "[DONE]"
    for event in chunks:
        assert event.get("usage") is None
        assert event["model"] == "fake/model"
    assert last["choices"] == []
    assert last["model"] == "fake/model"
    assert last["id"]
    assert last["created"]
    assert last["object"] == "chat.completion.chunk"
    return last


# How servers report usage: the events of an answer "Hello world", all but the first chunks.
ROLE = sse(chunk({"role": "assistant", "content": ""}))
HELLO, WORLD = sse(chunk({"content": "Hello"})), sse(chunk({"content": " world"}))
FINISH = sse(chunk({}, finish="stop"))
USAGE = sse({**chunk({}), "choices": [], "usage": REPORTED})


def choice_usage() -> bytes:
    event = chunk({}, finish="stop")
    event["choices"][0]["usage"] = REPORTED
    return sse(event)


SHAPES = {
    "openai": [ROLE, HELLO, WORLD, FINISH, USAGE, DONE_EVENT],
    "on the finish chunk": [ROLE, HELLO, WORLD, sse(chunk({}, finish="stop", usage=REPORTED)), DONE_EVENT],
    "in every chunk": [
        ROLE,
        sse(chunk({"content": "Hello"}, usage=usage(10, 1))),
        sse(chunk({"content": " world"}, usage=REPORTED)),
        sse(chunk({}, finish="stop", usage=REPORTED)),
        DONE_EVENT,
    ],
    "inside the choice": [ROLE, HELLO, WORLD, choice_usage(), DONE_EVENT],
    "inside the choice, then on top": [ROLE, HELLO, WORLD, choice_usage(), USAGE, DONE_EVENT],
    "without [DONE]": [ROLE, HELLO, WORLD, FINISH, USAGE],
    "usage null in every chunk": [
        *(sse(chunk({"content": text}, usage=None)) for text in ("", "Hello", " world")),
        sse(chunk({}, finish="stop", usage=None)),
        USAGE,
        DONE_EVENT,
    ],
    "first chunk without choices": [
        sse({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"a": 1}]}),
        ROLE,
        HELLO,
        WORLD,
        FINISH,
        USAGE,
        DONE_EVENT,
    ],
    "choices before the rest": [
        sse(dict(sorted(orjson.loads(event[6:]).items()))) if event != DONE_EVENT else event
        for event in (ROLE, HELLO, WORLD, FINISH, USAGE, DONE_EVENT)
    ],
    "white space in the JSON": [
        event.replace(b'":', b'" : ').replace(b",", b" ,  ") for event in (ROLE, HELLO, WORLD, FINISH, USAGE)
    ]
    + [b"data:[DONE]\r\n\r\n"],
    "JSON over several lines": [
        event.replace(b',"choices"', b'\ndata: ,"choices"') for event in (ROLE, HELLO, WORLD, FINISH)
    ]
    + [USAGE, DONE_EVENT],
    "created changes": [
        sse({**chunk({"content": text}), "created": 1_750_000_000 + number})
        for number, text in enumerate(("", "Hello", " world"))
    ]
    + [FINISH, USAGE, DONE_EVENT],
    "CRLF, comments, ids and event names": [
        b": hello\r\n\r\n",
        *(b"id: 7\r\nevent: message\r\n" + event.replace(b"\n", b"\r\n") for event in (ROLE, HELLO, WORLD, FINISH)),
        b": PROCESSING\r\n\r\n",
        USAGE,
        DONE_EVENT,
    ],
    "heartbeats without choices": [
        ROLE,
        HELLO,
        sse({key: value for key, value in chunk({}).items() if key != "choices"}),
        WORLD,
        sse({**chunk({}), "choices": None}),
        FINISH,
        USAGE,
        DONE_EVENT,
    ],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("asked", [False, True], ids=["usage not asked", "usage asked"])
async def test_every_way_to_report_usage(site: Any, shape: str, asked: bool) -> None:
    site.upstream.reply(Reply(SHAPES[shape]))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = await site.ask(stream=True, **options)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"].startswith("req_")
    events = answer.events
    assert text_of(events) == "Hello world"
    last = check_with_usage_asked(events) if asked else check_without_usage_asked(events)
    assert last["usage"] == {**REPORTED, "cost": COST}
    assert [e["choices"][0]["finish_reason"] for e in events[:-1] if e["choices"]][-1] == "stop"
    assert await site.spent() == COST
    row = await site.row()
    assert (row.row.basis, row.row.status, row.row.target) == ("provider", 200, "fake/model")
    assert (row.row.usage.prompt_tokens, row.row.usage.completion_tokens) == (10, 2)


@pytest.mark.parametrize("shape", ["openai", "white space in the JSON", "CRLF, comments, ids and event names"])
async def test_every_split_gives_the_same_stream(site: Any, shape: str) -> None:
    data = b"".join(SHAPES[shape])
    seen = []
    for _, pieces in all_splits(data, seeds=range(3)):
        site.upstream.reply(Reply(pieces))
        answer = await site.ask(stream=True)
        check_without_usage_asked(answer.events)
        seen.append(answer.body)
    assert len(set(seen)) == 1
    assert len(seen) == 5


@pytest.mark.parametrize("asked", [False, True], ids=["usage not asked", "usage asked"])
async def test_without_any_usage_the_bill_is_our_own_count_and_says_so(site: Any, asked: bool) -> None:
    site.upstream.reply(Reply(openai_stream("Hello", " world", with_usage=False)))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    answer = await site.ask(stream=True, **options)
    last = (check_with_usage_asked if asked else check_without_usage_asked)(answer.events)
    assert last["usage"]["completion_tokens"] >= 2
    assert last["usage"]["prompt_tokens"] >= 1
    assert last["usage"]["cost"] == await site.spent() > 0
    assert (await site.row()).row.basis == "estimated"


@pytest.mark.parametrize("nonsense", [{"prompt_tokens": -5, "completion_tokens": 1e30}, {"a": 1}, [], "7", True])
async def test_nonsense_for_usage_is_not_billed(site: Any, nonsense: Any) -> None:
    site.upstream.reply(Reply([ROLE, HELLO, sse(chunk({}, finish="stop", usage=nonsense)), DONE_EVENT]))
    last = check_without_usage_asked((await site.ask(stream=True)).events)
    assert 0 < last["usage"]["cost"] < 1000
    assert (await site.row()).row.basis == "estimated"


async def test_a_missing_done_after_the_finish_reason_is_a_clean_end(site: Any) -> None:
    for framing in ("chunked", "close"):
        site.upstream.reply(Reply(openai_stream("Hi", done=False), framing=framing))
        check_without_usage_asked((await site.ask(stream=True)).events)


@pytest.mark.parametrize(
    "ending",
    [[], [Cut(reset=True)], [Cut(reset=False)]],
    ids=["orderly end", "reset", "closed in the middle of the body"],
)
async def test_a_cut_is_never_a_clean_end(site: Any, ending: list[Any]) -> None:
    site.upstream.reply(Reply([ROLE, HELLO, *ending]))
    answer = await site.ask(stream=True)
    *chunks, last = answer.events
    assert text_of(chunks) == "Hello"
    assert set(last) == {"error"}
    assert last["error"]["type"] == "upstream_error"
    assert last["error"]["code"] == "upstream_disconnected"
    assert b"[DONE]" not in answer.body
    row = await site.row()
    assert (row.row.status, row.row.error, row.row.basis) == (502, "upstream_disconnected", "estimated")
    assert row.credits == await site.spent() > 0
    assert len(site.upstream.requests) == 1, "never a second try once a byte was relayed"


async def test_a_close_delimited_stream_that_ends_early_is_a_cut(site: Any) -> None:
    site.upstream.reply(Reply([ROLE, HELLO], framing="close"))
    answer = await site.ask(stream=True)
    assert answer.events[-1]["error"]["code"] == "upstream_disconnected"


async def test_several_choices_interleaved(site: Any) -> None:
    def of(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        event = chunk(delta, finish=finish)
        event["choices"][0]["index"] = index
        return sse(event)

    site.upstream.reply(
        Reply(
            [
                of(0, {"content": "a"}),
                of(1, {"content": "x"}),
                of(0, {}, "stop"),
                of(1, {"content": "y"}),
                of(1, {}, "length"),
            ]
        )
    )
    events = (await site.ask(stream=True, n=2)).events
    assert (text_of(events, 0), text_of(events, 1)) == ("a", "xy")
    assert [(e["choices"][0]["index"], e["choices"][0]["finish_reason"]) for e in events[:-1]] == [
        (0, None),
        (1, None),
        (0, "stop"),
        (1, None),
        (1, "length"),
    ]
    assert check_without_usage_asked(events)["usage"]


async def test_one_of_two_choices_ended_is_a_cut(site: Any) -> None:
    site.upstream.reply(Reply([ROLE, HELLO, FINISH]))
    assert "error" in (await site.ask(stream=True, n=2)).events[-1]


async def test_chunks_after_the_finish_chunk_are_passed_on(site: Any) -> None:
    site.upstream.reply(Reply([ROLE, HELLO, FINISH, sse(chunk({"content": "!"})), USAGE, DONE_EVENT]))
    events = (await site.ask(stream=True)).events
    assert text_of(events) == "Hello!"
    assert events[-1] == "[DONE]"
    assert [e["choices"][0]["finish_reason"] for e in events[:-1]].count("stop") >= 1
    assert events[-2]["usage"]["cost"]
    assert all(e["choices"] for e in events[:-1])


async def test_tool_calls_and_unknown_members_are_untouched(site: Any) -> None:
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    calls = [
        {"role": "assistant", "tool_calls": [first]},
        {"tool_calls": [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"q": "\\"usage\\": {}, \\"model\\":\\"x\\" é'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}, "extra_content": {"sig": "AAA="}}]},
        {"reasoning_content": "hm", "x_new": [1, None, {"finish_reason": None}]},
    ]
    raw = [orjson.dumps(chunk(delta, x_top={"deep": 1.0})) for delta in calls]
    site.upstream.reply(Reply([*(sse(event) for event in raw), sse(chunk({}, finish="tool_calls")), DONE_EVENT]))
    answer = await site.ask(stream=True)
    sent = [line[6:] for line in answer.body.split(b"\n\n") if line][: len(raw)]
    assert sent == [event.replace(b'"model":"fake-model"', b'"model":"fake/model"') for event in raw]


async def test_an_event_of_16_mib(site: Any) -> None:
    event = huge_event()
    whole = [event[start : start + 2**20] for start in range(0, len(event), 2**20)]
    site.upstream.reply(Reply([ROLE, *whole, FINISH, USAGE, DONE_EVENT]))
    events = (await site.ask(stream=True)).events
    assert len(text_of(events)) == 16 * 2**20
    check_without_usage_asked(events)


async def test_an_event_beyond_max_event_ends_the_stream(serve: Any) -> None:
    site = await serve(upstream={"max_event": "1MiB", "retries": 0})
    site.upstream.reply(Reply([ROLE, HELLO, huge_event(3 * 2**20), FINISH, DONE_EVENT]))
    events = (await site.ask(stream=True)).events
    assert events[-1]["error"]["code"] == "upstream_event_too_large"
    await site.upstream.requests[0].wait_closed()


@pytest.mark.parametrize("garbage", [b"data: {broken\n\n", b"data: 7\n\n", b"data: <html>\n\n"])
async def test_garbage_in_a_stream_ends_it_with_an_error(site: Any, garbage: bytes) -> None:
    site.upstream.reply(Reply([ROLE, HELLO, garbage, WORLD, FINISH, DONE_EVENT]))
    events = (await site.ask(stream=True)).events
    assert text_of(events[:-1]) == "Hello"
    assert events[-1]["error"]["code"] == "upstream_invalid_response"


@pytest.mark.parametrize(
    "event",
    [
        openai_error("The server is overloaded.", "server_error", "overloaded"),
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        {**chunk({"content": ""}, finish="error"), "error": {"code": 502, "message": "Provider disconnected"}},
    ],
)
async def test_an_error_event(site: Any, quick: Any, event: dict[str, Any]) -> None:
    # After output: an error event in the stream.
    site.upstream.queue(Reply([ROLE, HELLO, sse(event), DONE_EVENT]))
    answer = await site.ask(stream=True)
    assert answer.events[-1]["error"]["message"]
    assert b"[DONE]" not in answer.body
    # Before any output: tried again, and the caller never knows.
    site.upstream.queue(Reply([sse(event)]), Reply(openai_stream("Hello")))
    answer = await site.ask(stream=True)
    assert answer.status == 200
    assert text_of(answer.events) == "Hello"
    # Before any output, every time: a plain HTTP error.
    site.upstream.reply(Reply([sse(event)]))
    answer = await site.ask(stream=True)
    assert answer.status in (502, 503)
    assert answer.error["type"] in ("upstream_error", "overloaded")


@pytest.mark.parametrize("asked", [False, True], ids=["usage not asked", "usage asked"])
async def test_a_whole_answer_to_a_stream_request_is_streamed(site: Any, asked: bool) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    site.upstream.reply(json_reply(openai_completion("Hello world", reported=REPORTED, tool_calls=calls)))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    events = (await site.ask(stream=True, **options)).events
    assert text_of(events) == "Hello world"
    last = (check_with_usage_asked if asked else check_without_usage_asked)(events)
    assert last["usage"]["cost"] == COST
    found = [c["delta"]["tool_calls"] for e in events[:-1] for c in e["choices"] if c["delta"].get("tool_calls")]
    assert found[0][0]["index"] == 0
    assert found[0][0]["function"]["name"] == "f"


@pytest.mark.parametrize("body", [[], [DONE_EVENT], [b": nothing\n\n"]])
async def test_an_empty_stream_is_tried_again_and_never_an_empty_success(site: Any, body: list[bytes]) -> None:
    site.upstream.queue(Reply(body), Reply(openai_stream("Hello")))
    assert text_of((await site.ask(stream=True)).events) == "Hello"
    site.upstream.reply(Reply(body))
    answer = await site.ask(stream=True)
    assert answer.status == 502
    assert answer.error["type"] == "upstream_error"
    assert await site.spent() == (await site.rows())[0].credits


async def test_comments_keep_the_connection_open_while_the_upstream_thinks(serve: Any) -> None:
    site = await serve(server={"keep_alive": "20ms"})
    go, on = asyncio.Event(), asyncio.Event()
    site.upstream.reply(Reply([Hold(go), ROLE, HELLO, Hold(on), WORLD, FINISH, USAGE, DONE_EVENT]))
    client = await site.begin(stream=True)
    status, headers = await client.head(1)
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    received = b""
    async with asyncio.timeout(30):
        async for part in client.chunks():
            received += part
            if received.count(b": keep-alive\n\n") >= 2:
                go.set()
            if b": keep-alive" in received.rpartition(b"data: ")[2] and b"data: " in received:
                on.set()  # also during a silence in the middle, for which the rest waits
    events = read_events_of(received)
    check_without_usage_asked([event for event in events if event != ": keep-alive"])


def read_events_of(body: bytes) -> list[Any]:
    found: list[Any] = []
    for block in body.decode().split("\n\n")[:-1]:
        if block.startswith(":") or block == "data: [DONE]":
            found.append(block.removeprefix("data: "))
        else:
            found.append(orjson.loads(block.removeprefix("data: ")))
    return found


async def test_after_a_comment_a_failure_is_an_event_and_a_retry_still_works(serve: Any, quick: Any) -> None:
    site = await serve(server={"keep_alive": "20ms"}, upstream=quick)
    slow_fault = json_reply(openai_error("no"), 500, delay=0.05)
    site.upstream.queue(slow_fault, Reply(openai_stream("Hello")))
    answer = await site.ask(stream=True)
    assert ": keep-alive" in answer.events
    assert text_of(answer.events) == "Hello"
    assert answer.events[-1] == "[DONE]"

    site.upstream.reply(slow_fault)
    answer = await site.ask(stream=True)
    assert answer.status == 200
    assert answer.events[0] == ": keep-alive"
    assert answer.events[-1]["error"]["type"] == "upstream_error"
    assert b"[DONE]" not in answer.body
    rows = await site.rows()
    assert [(row.row.status, row.row.basis) for row in rows] == [(200, "provider"), (502, "void")]
    assert rows[1].credits == 0


async def test_no_comments_while_a_whole_answer_is_awaited(serve: Any) -> None:
    site = await serve(server={"keep_alive": "10ms"})
    site.upstream.reply(json_reply(openai_completion("Hi"), delay=0.05))
    answer = await site.ask()
    assert answer.json["choices"][0]["message"]["content"] == "Hi"


async def test_whole_answers(site: Any) -> None:
    site.upstream.reply(json_reply({**openai_completion("Hi", reported=REPORTED), "x_new": {"kept": True}}))
    answer = await site.ask()
    assert answer.json["model"] == "fake/model"
    assert answer.json["usage"] == {**REPORTED, "cost": COST}
    assert answer.json["x_new"] == {"kept": True}
    assert answer.headers["x-gateway-cost"] == str(COST)
    assert answer.headers["x-gateway-model"] == "fake/model"
    assert site.upstream.requests[0].json["model"] == "upstream-model"
    assert "stream" not in site.upstream.requests[0].json
    assert await site.spent() == COST


@pytest.mark.parametrize(
    "reply",
    [
        Reply([b"<html>"], framing="length", media_type="text/html"),
        Reply([b"{"], framing="length", media_type="application/json"),
        json_reply([]),
        json_reply({"choices": []}),
        json_reply({"choices": [7]}),
        json_reply({"choices": [{"index": 0}]}),
        json_reply(openai_error("odd")),
        json_reply(b"\xff\xfe"),
        Reply([b"{}"], status=302, framing="length", headers={"location": "http://127.0.0.1:1/"}),
        Reply([b'{"choices": ['], framing="length", length=1000, media_type="application/json"),
    ],
)
async def test_nonsense_for_a_whole_answer_is_a_502(serve: Any, quick: Any, reply: Reply) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(reply)
    for stream in (False, True):
        answer = await site.ask(stream=stream)
        assert answer.status in (502, 503), answer.body
        assert answer.error["type"] in ("upstream_error", "overloaded")
    assert await site.spent() == 0


async def test_a_reply_beyond_max_reply(serve: Any, quick: Any) -> None:
    site = await serve(upstream={**quick, "max_reply": "64KiB"})
    site.upstream.reply(Reply([b" " * 70_000, Stall()], media_type="application/json"))
    answer = await site.ask()
    assert (answer.status, answer.error["code"]) == (502, "upstream_reply_too_large")
    await site.upstream.requests[0].wait_closed()
