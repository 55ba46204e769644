"""What translating costs, without sockets: streams of providers to Chat Completions, and a conversation to providers.

Run as a process with the gateway's own Python: `python -m benchkit.translation --seconds 2`. It prints one JSON object,
flat, in the form of the measures. The rest of the kit does not import the gateway, so neither does this module until
it runs.

Every stream says the same: 100 pieces of thought, 350 of text, and a tool call (in 50 pieces where the provider streams
them). Each event is fed alone, as it usually arrives, with the padding and the counts that the provider writes into
each: those make neighbours differ in more than their text. `_us` is microseconds per event, `_x` the ratio to the relay
of OpenAI's own chunks, `_ms` milliseconds for one conversation, from the parsed body to the bytes for the provider.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchkit import wire

RELAY, BRIDGE = "relay", "responses"
MODELS = {
    "openai": "gpt-4.1",
    "anthropic": "claude-sonnet-4-5",
    "google": "gemini-2.5-flash",
    "mistral": "mistral-large-latest",
    "moonshot": "kimi-k2.5",
}
"""Plugin -> the model whose requests are built."""
STREAMS = (RELAY, "anthropic", "google", "mistral", "moonshot", BRIDGE)
THOUGHTS = [f" thought {number}" for number in range(100)]
TEXTS = [f' piece "{number}"' if number % 25 == 0 else f" piece {number}" for number in range(350)]
ARGUMENTS = ['{"query": "', *[f"word {number} " for number in range(48)], '"}']
TOOL_NAME, TOOL_ID = "search_documents", "call_Bench0123456789abcdefgh"
MESSAGES, CONVERSATION_BYTES = 100, 200_000
USAGE = {"prompt_tokens": 100, "completion_tokens": 500, "total_tokens": 600}
Json = dict[str, Any]


# -- events as the providers send them -------------------------------------------------------------------------------


def _event(data: bytes, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + data + b"\n\n"


def _padding(text: str) -> str:
    """What a provider adds to an event so that its size does not tell its text."""
    return "abcdefghijklmnopqrstuvwxyz01234"[: len(text) * 7 % 31]


def _chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-Bench0123456789abcdefghijklm", "object": "chat.completion.chunk", "created": 1760000000}
    return _event(
        wire.compact({**head, "model": "gpt-4.1-2025-04-14", "system_fingerprint": "fp_1", "choices": [choice], **more})
    )


def _call_delta(arguments: str, **more: Any) -> Json:
    return {"tool_calls": [{"index": 0, **more, "function": {"arguments": arguments}}]}


def openai_events() -> list[bytes]:
    """OpenAI's chunks, with thoughts as `reasoning_content`, as compatible servers send them."""
    first = {"index": 0, "id": TOOL_ID, "type": "function", "function": {"name": TOOL_NAME, "arguments": ""}}
    return [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"reasoning_content": text}, obfuscation=_padding(text)) for text in THOUGHTS),
        *(_chunk({"content": text}, obfuscation=_padding(text)) for text in TEXTS),
        _chunk({"tool_calls": [first]}),
        *(_chunk(_call_delta(text), obfuscation=_padding(text)) for text in ARGUMENTS),
        _chunk({}, "tool_calls", usage=USAGE),
        b"data: [DONE]\n\n",
    ]


def anthropic_events() -> list[bytes]:
    """Events of the Messages API: https://docs.anthropic.com/en/api/messages-streaming."""
    usage = {"input_tokens": 100, "output_tokens": 1}
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    tool = {"type": "tool_use", "id": "toolu_bench", "name": TOOL_NAME, "input": {}}
    blocks: list[tuple[Json, str, str, list[str]]] = [
        ({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking", THOUGHTS),
        ({"type": "text", "text": ""}, "text_delta", "text", TEXTS),
        (tool, "input_json_delta", "partial_json", ARGUMENTS),
    ]
    events: list[Json] = [{"type": "message_start", "message": message}]
    for index, (block, kind, key, texts) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": {"type": kind, key: t}} for t in texts]
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 500}})
    events.append({"type": "message_stop"})
    spaced = (wire.compact(event)[:-1] + b" " * (at * 5 % 17) + b"}" for at, event in enumerate(events))
    return [_event(data, event["type"]) for data, event in zip(spaced, events, strict=True)]


def google_events() -> list[bytes]:
    """Events of streamGenerateContent with `alt=sse`; usage rides on each, calls come whole, and lines end in CRLF."""
    counts = itertools.count(1)

    def event(part: Json, reason: str | None = None) -> bytes:
        candidate: Json = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if reason:
            candidate["finishReason"] = reason
        written = next(counts)
        usage: Json = {"promptTokenCount": 100, "candidatesTokenCount": written, "totalTokenCount": 100 + written}
        usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": 100}]
        more = {"usageMetadata": usage, "modelVersion": "gemini-2.5-flash", "responseId": "g6RgaZHQOv-_qtsP9sujiAw"}
        return b"data: " + json.dumps({"candidates": [candidate], **more}).encode() + b"\r\n\r\n"

    call = {"functionCall": {"name": TOOL_NAME, "args": json.loads("".join(ARGUMENTS))}}
    return [
        *(event({"text": text, "thought": True}) for text in THOUGHTS),
        *(event({"text": text}) for text in TEXTS),
        event(call, "STOP"),
    ]


def mistral_events() -> list[bytes]:
    """Mistral's chunks: thoughts as content of type `thinking`, calls whole."""
    call = {"id": "Bench0123", "index": 0, "function": {"name": TOOL_NAME, "arguments": "".join(ARGUMENTS)}}
    return [
        _chunk({"role": "assistant", "content": ""}),
        *(_chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": t}]}]}) for t in THOUGHTS),
        *(_chunk({"content": text}, p=_padding(text)) for text in TEXTS),
        _chunk({"tool_calls": [call]}, "tool_calls", usage=USAGE),
        b"data: [DONE]\n\n",
    ]


EVENTS: dict[str, Callable[[], list[bytes]]] = {
    RELAY: openai_events,
    BRIDGE: openai_events,
    "moonshot": openai_events,
    "anthropic": anthropic_events,
    "google": google_events,
    "mistral": mistral_events,
}


def conversation() -> Json:
    """A chat body of 100 messages and 200 KB: questions, answers, tool calls and their results."""
    text = ("A sentence of a usual length, as people and documents write them. " * 40)[:2560]
    messages: list[Json] = [{"role": "system", "content": text}]
    while len(messages) < MESSAGES - 3:
        call_id = f"call_{len(messages):09}"
        function = {"name": TOOL_NAME, "arguments": wire.compact({"query": text[:120]}).decode()}
        calls = [{"id": call_id, "type": "function", "function": function}]
        messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        messages.append({"role": "assistant", "content": text})
    messages += [{"role": "user", "content": text}] * (MESSAGES - len(messages))
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    described = {"description": "Search the documents.", "parameters": schema}
    tools = [{"type": "function", "function": {"name": f"{TOOL_NAME}{n or ''}", **described}} for n in range(10)]
    return {"model": "bench/model", "messages": messages, "tools": tools, "max_tokens": 1000}


# -- measuring -------------------------------------------------------------------------------------------------------


def _call(body: Json, stream: bool) -> Any:
    from gateway.api import Call

    return Call(
        id="req_bench", route="/chat/completions", dialect="chat", body=body, model="bench/model", stream=stream,
        headers={}, authorization="", remote="127.0.0.1", started=0.0, created=1_760_000_000,
    )  # fmt: skip


def _provider(plugin: str) -> Any:
    """An instance of the plugin's provider. Raises ImportError when the plugin is not installed."""
    kinds: list[Any] = []
    importlib.import_module(f"tollgate_{plugin}").register_providers(kinds.append)
    return kinds[0].create("bench", kinds[0].settings_model(api_key="bench-key"))


def _relay(name: str) -> Any:
    if name == BRIDGE:
        from gateway.responses.relays import BridgeRelay
        from gateway.wire.bridge.stream import BridgeStream

        stream = BridgeStream({"input": "x"}, response_id="resp_bench", model="bench/model", now=1)
        return BridgeRelay(stream, None, lambda: 1, None)
    from gateway.wire.chat.encoder import ChatRelay

    return ChatRelay("bench/model", True)


def stream_once(name: str, provider: Any, events: Sequence[bytes]) -> tuple[float, bytes]:
    """One stream, event by event: (seconds of CPU, bytes for the caller). Raises the fault that ended it."""
    from gateway.api import Target

    target = Target(model="bench/model", provider="bench", upstream=MODELS.get(name, MODELS["openai"]), free=True)
    body = {"model": "bench/model", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    reader = provider.prepare(_call(body, True), target).reader
    decoder, tally = reader.open_stream(), reader.open_tally(1)
    relay = _relay(name)
    out: list[bytes] = []
    began = time.process_time()
    for event in events:
        data, fault = relay.feed(tally.add(decoder.feed(event)))
        if fault is not None:
            raise fault
        out.append(data)
    took = time.process_time() - began
    data, fault = relay.feed(tally.add(decoder.finish()))
    if fault is not None:
        raise fault
    if not (decoder.done and tally.complete):
        raise RuntimeError(f"{name}: the stream did not end")
    return took, b"".join([*out, data, relay.finish(tally.usage or {})])


def request_once(provider: Any, model: str, body: Json) -> float:
    """Translate the conversation once: seconds of CPU."""
    from gateway.api import Target

    target = Target(model="bench/model", provider="bench", upstream=model, free=True)
    call = _call(body, False)
    began = time.process_time()
    request = provider.prepare(call, target).request
    took = time.process_time() - began
    if len(request.body) < CONVERSATION_BYTES * 0.9:
        raise RuntimeError(f"{model}: only {len(request.body)} bytes of the conversation were sent")
    return took


def measure(seconds: float) -> Json:
    """All numbers; the best of the rounds that fit into `seconds`, everything in turn in each of them. A plugin that
    is not installed leaves its numbers None."""
    providers = {}
    for plugin in MODELS:
        try:
            providers[plugin] = _provider(plugin)
        except ImportError:
            continue
    openai = providers["openai"]
    streams = {name: EVENTS[name]() for name in STREAMS if name in (RELAY, BRIDGE) or name in providers}
    body = conversation()
    best: dict[str, float] = {}
    until, rounds = time.monotonic() + seconds, 0
    while rounds < 3 or time.monotonic() < until:
        rounds += 1
        for name, events in streams.items():
            took, _ = stream_once(name, providers.get(name, openai), events)
            best[f"{name}_us"] = min(best.get(f"{name}_us", took * 1e6), took * 1e6 / len(events))
        for name, provider in providers.items():
            took = request_once(provider, MODELS[name], body)
            best[f"{name}_ms"] = min(best.get(f"{name}_ms", took * 1e3), took * 1e3)
    result: Json = {f"{name}_us": None for name in STREAMS} | {f"{name}_ms": None for name in MODELS}
    result |= {key: round(value, 4) for key, value in best.items()}
    base = best[f"{RELAY}_us"]
    for name in STREAMS[1:]:
        result[f"{name}_x"] = round(best[f"{name}_us"] / base, 4) if name in streams else None
    return {**result, "rounds": rounds, "conversation_bytes": len(wire.compact(body))}


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="benchkit.translation")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cores", default="", help="cores to run on, separated by commas")
    parsed = parser.parse_args()
    if parsed.cores:
        os.sched_setaffinity(0, {int(core) for core in parsed.cores.split(",")})
    print(json.dumps(measure(parsed.seconds)))


if __name__ == "__main__":
    main()
