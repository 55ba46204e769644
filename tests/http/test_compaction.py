"""`POST /responses/compact`: a summary by the model, sealed for the account, and read again as a message."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.testing import Reply, json_reply, openai_completion, openai_stream

from .responses_kit import RESPONSES, check_stream, read_stream, sdk

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

COMPACT = RESPONSES + "/compact"
HISTORY = [
    {"role": "user", "content": "Find the file."},
    {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
    {"role": "assistant", "content": "It is a.txt."},
    {"role": "user", "content": "Good."},
]
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}


async def compacted(site: Any, **body: Any) -> tuple[int, Any]:
    site.upstream.reply(json_reply(openai_completion("The file is a.txt.")))
    status, _, raw = await site.running.post(COMPACT, {"input": HISTORY, **body})
    return status, orjson.loads(raw)


async def test_a_conversation_is_summed_up_and_goes_on(serve: Any) -> None:
    site = await serve()
    tools = [LOOK, {"type": "web_search"}]
    more = {"stream": True, "text": {"verbosity": "low"}}
    status, made = await compacted(site, instructions="Be short.", tools=tools, **more)
    assert (status, made["object"]) == (200, "response.compaction")
    asked = orjson.loads(site.upstream.requests[-1].body)
    assert [message["role"] for message in asked["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ] + ["user"] * 2
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["look"]
    assert asked["tool_choice"] == "none"
    assert not asked.get("stream")
    *kept, item = made["output"]
    assert [message["content"][0]["text"] for message in kept] == ["Find the file.", "Good."]
    assert item["type"] == "compaction"
    row = (await site.row()).row
    assert (row.route, row.usage.completion_tokens) == (COMPACT, made["usage"]["output_tokens"])
    assert await site.spent() == made["usage"]["cost"] > 0
    site.upstream.reply(json_reply(openai_completion("Yes.")))
    status, _, raw = await site.running.post(RESPONSES, {"input": [*made["output"], {"role": "user", "content": "?"}]})
    assert status == 200
    told = orjson.loads(site.upstream.requests[-1].body)["messages"]
    assert [message["role"] for message in told] == ["user"] * 4
    assert told[2]["content"].endswith("The file is a.txt.")
    # What is stored is the caller's item, not what the model was told.
    site.upstream.reply(json_reply(openai_completion("Still.")))
    previous = orjson.loads(raw)["id"]
    await site.running.post(RESPONSES, {"input": "And?", "previous_response_id": previous})
    again = orjson.loads(site.upstream.requests[-1].body)["messages"]
    assert again[2] == told[2]
    _, _, raw = await site.running.get(f"{RESPONSES}/{previous}/input_items?order=asc")
    assert [entry["type"] for entry in orjson.loads(raw)["data"]] == ["message", "message", "compaction", "message"]


async def test_the_sdk_compacts_what_is_stored(serve: Any) -> None:
    site = await serve()
    site.upstream.reply(json_reply(openai_completion("Paris.")))
    async with sdk(site.running) as client:
        first = await client.responses.create(input="Capital of France?")
        site.upstream.reply(json_reply(openai_completion("They asked for France's capital: Paris.")))
        made = await client.responses.compact(model=first.model, previous_response_id=first.id)
        assert [item.type for item in made.output] == ["message", "compaction"]
        site.upstream.reply(json_reply(openai_completion("Berlin.")))
        given = [item.model_dump(exclude_unset=True, warnings=False) for item in made.output]
        await client.responses.create(input=[*given, {"role": "user", "content": "And of Germany?"}])
    told = orjson.loads(site.upstream.requests[-1].body)["messages"]
    assert told[1]["content"].endswith("Paris.")


async def test_only_the_latest_messages_stay_word_for_word(serve: Any) -> None:
    site = await serve()
    long = [{"role": "user", "content": letter * 30_000} for letter in "abcd"]
    _, made = await compacted(site, input=long)
    assert [item["content"][0]["text"][0] for item in made["output"][:-1]] == ["c", "d"]


async def test_what_cannot_be_compacted(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    assert (await compacted(site, input=None))[0] == 400
    assert (await compacted(site, messages=[]))[0] == 400
    _, made = await compacted(site)
    foreign = {**made["output"][-1], "encrypted_content": made["output"][-1]["encrypted_content"][:-4] + "AAAA"}
    status, _, raw = await site.running.post(RESPONSES, {"input": [foreign, {"role": "user", "content": "x"}]})
    assert (status, b"compact again" in raw) == (400, True)
    site.noisy = True
    site.upstream.reply(json_reply(openai_completion("")))
    assert (await site.running.post(COMPACT, {"input": "x"}))[0] == 502


@pytest.mark.parametrize("reply", [Reply([b"[]"], media_type="application/json"), json_reply({"object": "x"})])
async def test_what_is_no_answer_is_the_providers_fault(serve: Any, quick: Any, reply: Any) -> None:
    site = await serve(upstream=quick)
    site.upstream.reply(reply)
    assert (await site.running.post(COMPACT, {"input": "x"}))[0] == 502


TRIGGER = {"type": "compaction_trigger", "id": "ct_1"}


@pytest.mark.parametrize("stream", [True, False])
async def test_an_item_may_ask_for_it(serve: Any, stream: bool) -> None:
    """As newer Codex does: exactly one item, with what only this gateway opens, and nothing of it before its end."""
    site = await serve()
    summary = "The file is a.txt."
    streamed = Reply(openai_stream("The file ", "is a.txt."))
    site.upstream.reply(streamed if stream else json_reply(openai_completion(summary)))
    tools = {"type": "additional_tools", "role": "developer", "tools": [LOOK]}
    body = {"input": [tools, *HISTORY, TRIGGER], "stream": stream, "tool_choice": "auto", "text": {"verbosity": "low"}}
    status, _, raw = await site.running.post(RESPONSES, body)
    assert status == 200
    asked = orjson.loads(site.upstream.requests[-1].body)
    assert asked["messages"][-1]["content"].startswith("Stop here.")
    assert (asked["tools"][0]["function"]["name"], asked["tool_choice"]) == ("look", "none")
    if stream:
        events = read_stream(raw)
        assert [event["type"].removeprefix("response.") for event in events] == [
            "created", "in_progress", "output_item.added", "output_item.done", "completed",
        ]  # fmt: skip
    made = check_stream(events) if stream else orjson.loads(raw)
    [item] = made["output"]
    assert (item["type"], summary in str(made)) == ("compaction", False)
    assert await site.spent() == made["usage"]["cost"] > 0
    site.upstream.reply(json_reply(openai_completion("Yes.")))
    for more in (
        {"input": [item, {"role": "user", "content": "?"}]},
        {"input": "?", "previous_response_id": made["id"]},
    ):
        assert (await site.running.post(RESPONSES, more))[0] == 200
        assert orjson.loads(site.upstream.requests[-1].body)["messages"][-2]["content"].endswith(summary)


async def test_a_summary_that_was_not_written_is_a_failure(serve: Any, quick: Any) -> None:
    site = await serve(upstream=quick)
    site.noisy = True
    site.upstream.reply(Reply(openai_stream("")))
    _, _, raw = await site.running.post(RESPONSES, {"input": [*HISTORY, TRIGGER], "stream": True})
    assert check_stream(read_stream(raw))["status"] == "failed"
    site.upstream.reply(json_reply(openai_completion("")))
    assert (await site.running.post(RESPONSES, {"input": [*HISTORY, TRIGGER]}))[0] == 502
