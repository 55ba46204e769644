"""The provider contract, and every recorded answer compared field by field with what came out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_anthropic import AnthropicProvider, Settings
from tollgate_anthropic.details import blocks_from_details

from gateway.api import Fault
from gateway.testing import ProviderContract, Transcript, load_transcripts, make_call, make_target, parsed

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "sk-ant-api03-very-secret"


def provider() -> AnthropicProvider:
    return AnthropicProvider("test", Settings(api_key=KEY))


class TestContract(ProviderContract):
    transcripts = TRANSCRIPTS
    secrets = (KEY,)

    def make_provider(self) -> AnthropicProvider:
        return provider()


ANSWERS = [transcript for transcript in load_transcripts(TRANSCRIPTS) if transcript.status == 200]


@pytest.mark.parametrize("transcript", ANSWERS, ids=lambda transcript: transcript.id)
def test_an_answer_says_what_the_provider_said(transcript: Transcript) -> None:
    """The message is put together here once more, in the plainest way, and compared."""
    said = _fold_events(transcript.body) if transcript.streamed else orjson.loads(transcript.body)
    choice, usage = _read(transcript)
    message = choice["message"]
    blocks = said["content"]
    assert (message.get("content") or "") == "".join(block["text"] for block in blocks if block["type"] == "text")
    assert [
        (call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", [])
    ] == [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    assert message.get("reasoning_content", "") == "".join(
        block["thinking"] for block in blocks if block["type"] == "thinking"
    )
    assert [placed.block for placed in blocks_from_details(message.get("reasoning_details"), "x")] == [
        block for block in blocks if block["type"] not in ("text", "tool_use")
    ]
    assert [
        (note["url_citation"]["url"], note["url_citation"]["start_index"], note["url_citation"]["end_index"])
        for note in message.get("annotations", [])
    ] == _citations(blocks)
    counts = said["usage"]
    assert usage["prompt_tokens"] == sum(
        counts.get(key) or 0 for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert usage["completion_tokens"] == counts["output_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == (counts.get("cache_read_input_tokens") or 0)
    assert usage["prompt_tokens_details"]["cache_write_tokens"] == (counts.get("cache_creation_input_tokens") or 0)
    assert usage.get("server_tool_use_details") == counts.get("server_tool_use")
    assert choice["native_finish_reason"] == said["stop_reason"]
    assert (
        choice["finish_reason"]
        == {
            "end_turn": "stop",
            "stop_sequence": "stop",
            "max_tokens": "length",
            "tool_use": "tool_calls",
            "refusal": "content_filter",
        }[said["stop_reason"]]
    )


@pytest.mark.parametrize("transcript", ANSWERS, ids=lambda transcript: transcript.id)
def test_a_later_turn_gives_the_blocks_back_in_their_order(transcript: Transcript) -> None:
    said = _fold_events(transcript.body) if transcript.streamed else orjson.loads(transcript.body)
    choice, _ = _read(transcript)
    message = {key: value for key, value in choice["message"].items() if value is not None}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in message.get("tool_calls", [])
    ] or [{"role": "user", "content": "more"}]
    call = make_call({"messages": [{"role": "user", "content": "x"}, message, *results]})
    sent = orjson.loads(provider().prepare(call, make_target("claude-sonnet-4-5")).request.body)
    if not message.get("content") and not message.get("tool_calls"):
        return  # nothing was said that could be given back
    assert _shape(sent["messages"][1]["content"]) == _shape(said["content"])


def _shape(blocks: list[dict[str, Any]]) -> list[Any]:
    """Blocks as they matter to their order: texts that touch are one, whatever they cite."""
    shape: list[Any] = []
    for block in blocks:
        if block["type"] != "text":
            direct = block.get("caller") == {"type": "direct"}  # says nothing, and is not given back
            shape.append({key: value for key, value in block.items() if key != "caller" or not direct})
        elif shape and isinstance(shape[-1], str):
            shape[-1] += block["text"]
        elif block["text"].strip():
            shape.append(block["text"])
    return [entry.rstrip() if isinstance(entry, str) else entry for entry in shape]


def test_the_recordings_reach_what_they_are_for() -> None:
    """Guards the test above against recordings that hold nothing of what it compares."""
    seen = b"".join(transcript.body for transcript in ANSWERS)
    for kind in (b"redacted_thinking", b"citations_delta", b"server_tool_use", b"mcp_tool_use", b"signature_delta"):
        assert kind in seen


def test_a_second_answer_inside_the_first_is_a_fault() -> None:
    (transcript,) = load_transcripts(TRANSCRIPTS / "broken")
    for size in (len(transcript.body), 1):
        decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
        items: list[Any] = []
        for place in range(0, len(transcript.body), size):
            items += decoder.feed(transcript.body[place : place + size])
        faults = [item for item in items if isinstance(item, Fault)]
        assert [fault.code for fault in faults] == ["upstream_invalid_response"]
        assert items[-1] is faults[0]
        assert not decoder.done
        assert decoder.finish() == []
        text = b"".join(orjson.dumps(item) for item in items[:-1])
        assert b"toolu_first" in text
        assert b"toolu_second" not in text


def _read(transcript: Transcript) -> tuple[dict[str, Any], dict[str, Any]]:
    if not transcript.streamed:
        completion = provider().prepare(make_call(), make_target()).reader.read_reply(transcript.reply).body
        return completion["choices"][0], completion["usage"]
    decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
    chunks = parsed(decoder.feed(transcript.body))
    message: dict[str, Any] = {}
    end: dict[str, Any] = {}
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        assert not end, "a chunk with a choice after the one with finish_reason"
        _lay(message, choice["delta"])
        if choice["finish_reason"]:
            end = choice
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    return {**end, "message": message}, chunks[-1]["usage"]


def _lay(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Accumulate as OpenAI's SDKs do: strings are joined, entries of lists find their place by `index`."""
    for key, value in delta.items():
        if isinstance(value, str) and isinstance(message.get(key), str) and key not in ("type", "role"):
            message[key] += value
        elif isinstance(value, list) and key in message:
            for entry in value:
                if entry["index"] < len(message[key]):
                    _lay(message[key][entry["index"]], {k: v for k, v in entry.items() if k != "index"})
                else:
                    assert entry["index"] == len(message[key]), "indexes must be contiguous"
                    message[key].append(entry)
        elif isinstance(value, dict) and isinstance(message.get(key), dict):
            _lay(message[key], value)
        else:
            message[key] = value


def _citations(blocks: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    found = []
    start = 0
    for block in blocks:
        if block["type"] == "text":
            end = start + len(block["text"])
            found += [(citation["url"], start, end) for citation in block.get("citations") or []]
            start = end
    return found


def _fold_events(body: bytes) -> dict[str, Any]:
    message: dict[str, Any] = {}
    pieces: dict[int, str] = {}
    for line in body.decode().splitlines():
        if not line.startswith("data:") or line == "data: [DONE]":
            continue
        event = orjson.loads(line[5:])
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"])
            pieces[event["index"]] = ""
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                pieces[event["index"]] += delta["partial_json"]
            elif delta["type"] == "citations_delta":
                block["citations"] = [*(block.get("citations") or []), delta["citation"]]
            else:
                key = delta["type"].removesuffix("_delta")
                block[key] = block.get(key, "") + delta[key]
        elif event["type"] == "content_block_stop" and pieces[event["index"]]:
            message["content"][event["index"]]["input"] = orjson.loads(pieces[event["index"]])
        elif event["type"] == "message_delta":
            message.update({key: value for key, value in event["delta"].items() if value is not None})
            message["usage"].update(event["usage"])
    return message


@pytest.mark.parametrize("name", ["web-search", "web-search-stream"])
def test_searches_are_told_as_items(name: str) -> None:
    (transcript,) = [transcript for transcript in ANSWERS if transcript.id == name]
    said = _fold_events(transcript.body) if transcript.streamed else orjson.loads(transcript.body)
    asked = [block["input"]["query"] for block in said["content"] if block["type"] == "server_tool_use"]
    found = [block["content"] for block in said["content"] if block["type"] == "web_search_tool_result"]
    activity: list[dict[str, Any]] = []
    if transcript.streamed:
        decoder = provider().prepare(make_call(), make_target()).reader.open_stream()
        for chunk in parsed(decoder.feed(transcript.body)):
            choices = chunk["choices"]
            activity += choices[0]["delta"].get("x_gateway", ()) if choices else ()
    else:
        activity = _read(transcript)[0]["message"]["x_gateway"]
    items = [event["item"] for event in activity if event["event"] == "done"]
    assert [item["action"]["query"] for item in items] == (asked or [""])  # one recording lacks the question
    assert [[source["url"] for source in item["action"]["sources"]] for item in items] == [
        [result["url"] for result in results] for results in found
    ]
    assert len({item["id"] for item in items}) == len(items) > 0
