"""A whole answer of the Messages API as a chat completion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.api import (
    Activity,
    Call,
    ChatReader,
    Fault,
    StreamDecoder,
    UpstreamReply,
    dump,
    load_mended,
    nonsense,
    text_of,
    writable,
)

from .citations import Citations
from .details import Detail, detail_of
from .faults import fault_from_error, fault_from_reply, redact
from .reading import Reading, checked_json, ending
from .searches import Searches
from .stream import MessageDecoder, extras_of
from .usage import service_tier, translate_usage

_TAKEN = frozenset({
    "id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"
})  # fmt: skip


class MessageReader(ChatReader):
    """Reads answers of the Messages API, whole and streamed, as chat.

    reading: how, by the request. secrets: the operator's key, kept out of errors.
    """

    names_in_pieces = False

    def __init__(self, call: Call, reading: Reading, secrets: Sequence[str] = ()) -> None:
        super().__init__(call, secrets)
        self.reading = reading

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """See `ChatReader`. Raises UpstreamFault when it is no message of Anthropic's."""
        return completion_of(self.call, message_in(reply), self.reading)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return MessageDecoder(self.call, self.reading, self.clean)

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return redact(fault, self.secrets)


def message_in(reply: UpstreamReply) -> dict[str, Any]:
    """The message object of a 2xx body. Raises UpstreamFault when it is none of Anthropic's."""
    try:
        raw = load_mended(reply.body)
    except orjson.JSONDecodeError:
        raise nonsense("The provider's answer is not JSON.", reply.body) from None
    if not isinstance(raw, dict):
        raise nonsense("The provider's answer is not a JSON object.", reply.body)
    if raw.get("type") == "error":
        raise fault_from_error(raw, None, reply.headers)
    if isinstance(raw.get("content"), str):
        raw["content"] = [{"type": "text", "text": raw["content"]}]
    if not isinstance(raw.get("content"), list):
        raise nonsense("The provider's answer has no content.", reply.body)
    return raw


def completion_of(call: Call, raw: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """The chat completion for a message object that has a `content` list."""
    answer = _Answer(reading.json_tool)
    for block in raw["content"]:
        if isinstance(block, dict):
            answer.add(block)
    message = answer.message(reading.json_text)
    end, refusal = ending(raw, bool(answer.calls), answer.answered)
    if refusal is not None:
        message["refusal"] = refusal
        message["content"] = message["content"] or None
    completion: dict[str, Any] = {
        "id": text_of(raw.get("id")) or call.id,
        "object": "chat.completion",
        "created": call.created,
        "model": call.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, **end}],
    }
    usage = translate_usage(raw.get("usage"))
    if usage is not None:
        completion["usage"] = writable(usage)
    tier = service_tier(raw.get("usage"))
    if tier:
        completion["service_tier"] = tier
    rest = {key: value for key, value in raw.items() if key not in _TAKEN and key not in completion}
    completion.update({key: writable(value) for key, value in rest.items() if value is not None})
    return completion


class _Answer:
    """The blocks of one answer, sorted into the members of a chat message."""

    def __init__(self, json_tool: str) -> None:
        self.json_tool = json_tool
        self.calls: list[dict[str, Any]] = []
        self.answered = False
        self.texts: list[str] = []
        self.length = 0
        self.jsons: list[str] = []
        self.thinking: list[str] = []
        self.details: list[Detail] = []
        self.cited = Citations()
        self.searches = Searches()
        self.activity = Activity()

    def add(self, block: dict[str, Any]) -> None:
        kind = block.get("type")
        if kind == "text":
            start, text = self.length, text_of(block.get("text"))
            self.texts.append(text)
            self.length += len(text)
            found = block.get("citations")
            if isinstance(found, list):
                self.cited.add(writable(found), start, self.length)
        elif kind == "tool_use" and self.json_tool and block.get("name") == self.json_tool:
            self.answered = True
            self.jsons.append(dump(block.get("input") or {}))
        elif kind == "tool_use":
            self.calls.append(call_of(block))
        else:
            if kind == "thinking" and text_of(block.get("thinking")):
                self.thinking.append(block["thinking"])
            at = 0 if self.answered else self.length
            detail = detail_of(writable(block), len(self.details), after_text=at, after_calls=len(self.calls))
            self.details.append(detail)
            self.activity += self.searches.take(block) or ()

    def message(self, json_text: bool) -> dict[str, Any]:
        text = "".join(self.texts)
        content: str | None = checked_json(text) if json_text else text
        if self.answered:
            if text.strip():
                # The JSON alone is the answer; what was said beside it is kept among the opaque blocks.
                spoken = {"type": "text", "text": text}
                self.details.append(detail_of(spoken, len(self.details)))
            content = "".join(self.jsons)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.calls:
            message["content"] = content or None
            message["tool_calls"] = self.calls
        if self.thinking:
            message["reasoning_content"] = "".join(self.thinking)
        if self.details:
            message["reasoning_details"] = self.details
        if self.activity:
            message["x_gateway"] = self.activity
        if self.cited.annotations:
            message["annotations"] = self.cited.annotations
        if self.cited.citations:
            message["citations"] = self.cited.citations
        return message


def call_of(block: dict[str, Any]) -> dict[str, Any]:
    """A `tool_use` block as a tool call. Who called it is kept when it was not the model itself."""
    given = block.get("input") or {}
    arguments = given if isinstance(given, str) else dump(given)  # some servers send their text
    call: dict[str, Any] = {
        "id": text_of(block.get("id")),
        "type": "function",
        "function": {"name": text_of(block.get("name")), "arguments": arguments},
    }
    call.update(extras_of(block))
    return call
