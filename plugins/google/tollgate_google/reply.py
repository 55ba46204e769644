"""A whole answer of generateContent as a chat completion: read as a stream of one response, then folded."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import Call, StreamItem, UpstreamReply, fold_stream, nonsense

from .stream import ChunkTranslator


def read_response(call: Call, reply: UpstreamReply) -> dict[str, Any]:
    """The chat completion for a 2xx body: one GenerateContentResponse, or a list of them, which is how
    streamGenerateContent answers without `alt=sse`. Raises UpstreamFault when it is neither."""
    try:
        raw = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise nonsense("The provider's answer is not JSON.", reply.body) from None
    responses = raw if isinstance(raw, list) else [raw]
    translator = ChunkTranslator(call)
    items: list[StreamItem] = []
    for response in responses:
        if not isinstance(response, dict):
            raise nonsense("The provider's answer is not a JSON object.", reply.body)
        translator.feed(response, items)
    if not translator.complete:
        raise nonsense("The provider's answer has no candidate that was finished.", reply.body)
    translator.end(items)
    completion = fold_stream([item for item in items if isinstance(item, dict)])
    for choice in completion["choices"]:
        message = choice["message"]
        if not message["content"] and any(message.get(key) for key in ("tool_calls", "refusal", "audio", "images")):
            message["content"] = None
    return completion
