"""The answers of a script in the words of each upstream dialect, streamed or whole, and each provider's own errors.

Sources: the API references of OpenAI (chat completions, Responses), Anthropic (Messages), Google (generateContent),
Mistral and Moonshot; the wording of the context-window errors is what the services answered in public reports.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.testing import DONE_EVENT, Pause, Reply, Stall, json_reply, sse

from .script import Answer, Failure, Use

DIALECTS = ("chat", "native", "only", "anthropic", "google", "mistral", "moonshot")
"""Chat Completions, Responses beside chat, Responses alone, and the four providers' own."""
BREATH = 0.05
"""Seconds between two pieces of an endless answer."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a request to the upstream offers and asks. tools: function names, as `(namespace, name)`; searches: a web
    search of the provider's own is offered too."""

    tools: tuple[tuple[str, str], ...]
    searches: bool
    streams: bool

    def find(self, name: str) -> tuple[str, str] | None:
        """The tool that the agent calls `name`, however it was renamed: exactly so, or as its end."""
        for tool in self.tools:
            if tool[1] == name:
                return tool
        for tool in self.tools:
            if tool[1].endswith(("_" + name, "-" + name, "." + name)):
                return tool
        return None


def read_offer(dialect: str, path: str, body: Mapping[str, Any]) -> Offer:
    """What a request in `dialect` offers."""
    tools: list[tuple[str, str]] = []
    searches = "web_search_options" in body
    for tool in body.get("tools") or ():
        kind = tool.get("type", "")
        if dialect == "google":
            tools += [
                ("", one["name"]) for one in tool.get("functionDeclarations", tool.get("function_declarations", ()))
            ]
            searches |= "googleSearch" in tool or "google_search" in tool
        elif kind == "namespace":
            tools += [(tool["name"], one["name"]) for one in tool.get("tools", ())]
        elif kind.startswith("web_search"):
            searches = True
        elif kind == "function" and "function" in tool:
            tools.append(("", tool["function"]["name"]))
        elif "name" in tool:
            tools.append(("", tool["name"]))
    streams = "stream" in path.lower() if dialect == "google" else bool(body.get("stream"))
    return Offer(tuple(tools), searches, streams)


def say(dialect: str, answer: Answer, offer: Offer) -> Reply:
    """The reply of a provider of `dialect`. Raises LookupError for a tool that was not offered."""
    if answer.failure:
        return _FAILURES[answer.failure](dialect)
    uses = []
    for number, use in enumerate(answer.uses):
        found = offer.find(use.name)
        if found is None:
            raise LookupError(f"the request does not offer the tool {use.name!r}")
        # Ids of calls differ over the answers of a run, as those of a provider do.
        prefix = "toolu" if dialect == "anthropic" else "call"
        mark = zlib.crc32(f"{use.name} {_arguments(use)} {answer.tokens_in}".encode())
        uses.append((f"{prefix}_{mark:08x}{number}", found, use))
    speak = {
        "native": _responses,
        "only": _responses,
        "anthropic": _messages,
        "google": _gemini,
    }.get(dialect, _chat)
    return speak(answer, uses, offer.streams)


_Uses = list[tuple[str, tuple[str, str], Use]]


def _breathe(piece: Callable[[str], bytes], text: str) -> list[Any]:
    """Pieces for a minute, each numbered: agents stop a model that repeats itself."""
    return [step for n in range(1200) for step in (piece(f"{text}{n} "), Pause(BREATH))] + [Stall()]


def _stream(events: list[Any]) -> Reply:
    return Reply(events)


def _arguments(use: Use) -> str:
    return orjson.dumps(dict(use.arguments)).decode()


def _chat(answer: Answer, uses: _Uses, streams: bool) -> Reply:
    usage = {
        "prompt_tokens": answer.tokens_in,
        "completion_tokens": answer.tokens_out,
        "total_tokens": answer.tokens_in + answer.tokens_out,
    }
    head = {"id": "chatcmpl-1", "created": 1_750_000_000, "model": "scripted"}
    finish = "tool_calls" if uses else "stop"
    calls = [
        {"id": id, "type": "function", "function": {"name": found[1], "arguments": _arguments(use)}}
        for id, found, use in uses
    ]
    if not streams:
        message = {"role": "assistant", "content": answer.text or None, **({"tool_calls": calls} if calls else {})}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return json_reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return sse({**head, "object": "chat.completion.chunk", "choices": [choice]})

    events: list[Any] = [chunk({"role": "assistant", "content": ""})]
    if answer.endless:
        return _stream([*events, *_breathe(lambda text: chunk({"content": text}), answer.text)])
    events += [chunk({"content": word}) for word in _words(answer.text)]
    events += [chunk({"tool_calls": [{"index": index, **call}]}) for index, call in enumerate(calls)]
    events.append(chunk({}, finish))
    events.append(sse({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
    return _stream([*events, DONE_EVENT])


def _words(text: str) -> list[str]:
    """The text in pieces that add up to it."""
    return [text[start : start + 12] for start in range(0, len(text), 12)]


def _responses(answer: Answer, uses: _Uses, streams: bool) -> Reply:
    head = {"id": "resp_1", "object": "response", "created_at": 1_750_000_000, "model": "scripted", "error": None}
    usage = {
        "input_tokens": answer.tokens_in,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.tokens_in + answer.tokens_out,
    }
    items: list[dict[str, Any]] = []
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    for id, (space, name), use in uses:
        call = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "status": "completed"}
        items.append({**call, "arguments": _arguments(use), **({"namespace": space} if space else {})})
    final = {**head, "status": "completed", "output": items, "usage": usage}
    if not streams:
        return json_reply(final)
    events = list(_response_events(head, items, answer))
    if not answer.endless:
        events.append(("response.completed", {"response": final}))
    numbered = [
        sse({"type": name, "sequence_number": number, **data}, name) for number, (name, data) in enumerate(events)
    ]
    if answer.endless:
        name, data = events[-1]
        return _stream(
            [*numbered[:-1], *_breathe(lambda text: sse({"type": name, **data, "delta": text}, name), answer.text)]
        )
    return _stream(list(numbered))


def _response_events(
    head: Mapping[str, Any], items: list[dict[str, Any]], answer: Answer
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": {**head, "status": "in_progress", "output": [], "usage": None}}
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            yield (
                "response.output_item.added",
                {"output_index": index, "item": {**item, "content": [], "status": "in_progress"}},
            )
            part = {"type": "output_text", "text": "", "annotations": []}
            yield "response.content_part.added", {**place, "content_index": 0, "part": part}
            if answer.endless:
                yield "response.output_text.delta", {**place, "content_index": 0, "delta": answer.text}
                return
            for word in _words(answer.text):
                yield "response.output_text.delta", {**place, "content_index": 0, "delta": word}
            yield "response.output_text.done", {**place, "content_index": 0, "text": answer.text}
            yield "response.content_part.done", {**place, "content_index": 0, "part": item["content"][0]}
        else:
            yield "response.output_item.added", {"output_index": index, "item": {**item, "arguments": ""}}
            yield "response.function_call_arguments.delta", {**place, "delta": item["arguments"]}
            yield "response.function_call_arguments.done", {**place, "arguments": item["arguments"]}
        yield "response.output_item.done", {"output_index": index, "item": item}


def _messages(answer: Answer, uses: _Uses, streams: bool) -> Reply:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    blocks += [
        {"type": "tool_use", "id": id, "name": found[1], "input": dict(use.arguments)} for id, found, use in uses
    ]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "stop_sequence": None}
    usage = {"input_tokens": answer.tokens_in, "output_tokens": answer.tokens_out}
    stop = "tool_use" if uses else "end_turn"
    if not streams:
        return json_reply({**head, "content": blocks, "stop_reason": stop, "usage": usage})

    def event(kind: str, **data: Any) -> bytes:
        return sse({"type": kind, **data}, kind)

    start = {**head, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[Any] = [event("message_start", message=start)]
    for index, block in enumerate(blocks):
        bare = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        events.append(event("content_block_start", index=index, content_block=bare))
        if answer.endless:

            def piece(text: str) -> bytes:
                return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

            return _stream([*events, *_breathe(piece, answer.text)])
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": word} for word in _words(answer.text)]
        else:
            deltas = [{"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}]
        events += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(event("content_block_stop", index=index))
    delta = {"stop_reason": stop, "stop_sequence": None}
    events.append(event("message_delta", delta=delta, usage={"output_tokens": answer.tokens_out}))
    return _stream([*events, event("message_stop")])


def _gemini(answer: Answer, uses: _Uses, streams: bool) -> Reply:
    usage = {
        "promptTokenCount": answer.tokens_in,
        "candidatesTokenCount": answer.tokens_out,
        "totalTokenCount": answer.tokens_in + answer.tokens_out,
    }
    # A Gemini 3 signs the first call of a step, or the last part of a plain answer.
    signature = {"thoughtSignature": base64.b64encode(b"a scripted signature").decode()}
    parts: list[dict[str, Any]] = [{"text": answer.text, **({} if uses else signature)}] if answer.text else []
    for number, (_, found, use) in enumerate(uses):
        call = {"name": found[1], "args": dict(use.arguments)}
        parts.append({"functionCall": call, **({} if number else signature)})

    # Calls have no ids here: an answer's id is what tells them from those of other answers.
    head = {"modelVersion": "scripted", "responseId": f"r{zlib.crc32(orjson.dumps([parts, usage])):08x}"}

    def body(parts: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
        return {"candidates": [candidate], "usageMetadata": usage, **head}

    if not streams:
        return json_reply(body(parts, finishReason="STOP"))
    if answer.endless:
        return _stream(_breathe(lambda text: sse(body([{"text": text}])), answer.text))
    events = [sse(body([part])) for part in parts[:-1]]
    return _stream([*events, sse(body(parts[-1:], finishReason="STOP"))])


def _error(dialect: str, status: int, message: str, kind: str, code: str | None, **headers: str) -> Reply:
    """An error body in the provider's shape. kind: Anthropic's type, and Google's status in capitals."""
    body: dict[str, Any]
    if dialect == "anthropic":
        body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    elif dialect == "google":
        body = {"error": {"code": status, "message": message, "status": kind}}
    elif dialect == "mistral":
        body = {"object": "error", "message": message, "type": kind, "param": None, "code": code}
    else:
        body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return json_reply(body, status, headers=named)


def _overloaded(dialect: str) -> Reply:
    if dialect == "anthropic":
        return _error(dialect, 529, "Overloaded", "overloaded_error", None)
    if dialect == "google":
        return _error(dialect, 503, "The model is overloaded. Please try again later.", "UNAVAILABLE", None)
    if dialect == "moonshot":
        return _error(
            dialect, 429, "The engine is currently overloaded, please try again later", "engine_overloaded_error", None
        )
    return _error(
        dialect, 503, "The server is overloaded. Please try again later.", "server_error", "server_is_overloaded"
    )


def _busy(dialect: str) -> Reply:
    kind = {"anthropic": "api_error", "google": "UNAVAILABLE"}.get(dialect, "server_error")
    return _error(dialect, 503, "Service unavailable.", kind, None)


def _limited(dialect: str) -> Reply:
    kind = {"anthropic": "rate_limit_error", "google": "RESOURCE_EXHAUSTED"}.get(dialect, "rate_limit_reached_error")
    return _error(
        dialect, 429, "Rate limit reached, please try again in 1s.", kind, "rate_limit_exceeded", retry_after="1"
    )


def _context(dialect: str) -> Reply:
    words, kind, code = _TOO_LONG[dialect]
    return _error(dialect, 400, words, kind, code)


_INVALID = "invalid_request_error"
_RESPONSES_WORDS = "Your input exceeds the context window of this model. Please adjust your input and try again."
_TOO_LONG: Mapping[str, tuple[str, str, str | None]] = {
    "chat": (
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 200001 tokens. "
        "Please reduce the length of the messages.",
        _INVALID,
        "context_length_exceeded",
    ),
    "native": (_RESPONSES_WORDS, _INVALID, "context_length_exceeded"),
    "only": (_RESPONSES_WORDS, _INVALID, "context_length_exceeded"),
    "anthropic": ("prompt is too long: 200001 tokens > 200000 maximum", _INVALID, None),
    "google": (
        "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576).",
        "INVALID_ARGUMENT",
        None,
    ),
    "mistral": (
        "Prompt contains 270001 tokens and 0 draft tokens, too large for model with 262144 maximum context length",
        _INVALID,
        "3051",
    ),
    "moonshot": (
        "Invalid request: Your request exceeded model token limit: 262144 (requested: 270001)",
        _INVALID,
        None,
    ),
}
_FAILURES: Mapping[Failure, Callable[[str], Reply]] = {
    "overloaded": _overloaded,
    "busy": _busy,
    "limited": _limited,
    "context": _context,
}
