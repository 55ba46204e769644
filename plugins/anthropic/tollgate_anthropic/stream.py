"""A streamed answer of the Messages API as chat chunks: bytes in, chunks out, at any split.

Source: Anthropic's page "Streaming Messages". One stream is message_start, then for every content block
content_block_start, content_block_delta ..., content_block_stop, then message_delta and message_stop; `ping` and
unknown events come anywhere; an `error` event ends it.

Chunks come out in OpenAI's order: the role, the deltas, a chunk with finish_reason, and a chunk with `choices: []`
that carries the usage. Opaque blocks (thinking with its signature, server-side tools) come as entries of
`delta.reasoning_details` when they are complete, annotations when their text block is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.api import (
    Call,
    Fault,
    JsonEventDecoder,
    Retelling,
    StreamItem,
    Unfence,
    UpstreamFault,
    dump,
    load_exact,
    text_bytes,
    text_member,
    text_of,
    writable,
)

from .citations import Citations
from .details import detail_of
from .faults import fault_from_error
from .reading import Reading, ending
from .searches import Searches
from .usage import merge_usage, service_tier, translate_usage

INPUT = b'"input"'
"""In the events that hold arguments, whose numbers must keep their digits."""

_TEXT = text_member("text", "thinking", "partial_json")
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""The deltas that are a text, and the member it is in."""

_TAKEN_FROM_END = frozenset({"type", "delta", "usage"})
_DELTA = frozenset({"type", "index", "delta"})
_STOP_KEYS = frozenset({"stop_reason", "stop_sequence", "stop_details"})


class MessageDecoder(JsonEventDecoder):
    """Reads one streamed answer. clean: applied to every fault."""

    exact = INPUT

    def __init__(self, call: Call, reading: Reading, clean: Callable[[Fault], Fault] | None = None) -> None:
        super().__init__(clean)
        self._translate = EventTranslator(call, reading)
        self.retelling = Retelling(_TEXT, size_of_text, self._translate.hearer)

    def take(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        """Translate one event."""
        self._translate.feed(event, out)
        self.done = self._translate.stopped

    def end(self, out: list[StreamItem]) -> None:
        """The usage, if the answer itself was complete."""
        out += self._translate.cut()


class EventTranslator:
    """The same, one level up: parsed events in, chat chunks out. `stopped`: message_stop was seen."""

    def __init__(self, call: Call, reading: Reading) -> None:
        self.stopped = False
        self._envelope: dict[str, Any] = {
            "id": call.id,
            "object": "chat.completion.chunk",
            "created": call.created,
            "model": call.model,
        }
        self._json_tool = reading.json_tool
        self._unfence = Unfence() if reading.json_text else None
        self._message_id: str | None = None
        self._usage: dict[str, Any] = {}
        self._usage_due = False
        self._blocks: dict[Any, _Block] = {}
        self._length = 0
        self._searches = Searches()
        self._calls = 0
        self._answered = False
        self._details = 0
        self._cited = Citations()
        self._handlers: dict[str, Callable[[dict[str, Any], list[StreamItem]], None]] = {
            "content_block_delta": self._delta,
            "content_block_start": self._block_start,
            "content_block_stop": self._block_stop,
            "message_start": self._message_start,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": self._error,
        }

    def feed(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        """Take one event; append the chunks it makes. Raises UpstreamFault for an error event, and for nonsense."""
        kind = event.get("type")
        handler = self._handlers.get(kind) if type(kind) is str else None
        if handler is not None:
            handler(event, out)

    def hearer(self, event: dict[str, Any]) -> Callable[[str], None] | None:
        """For `Retelling`: who takes note of the texts of deltas like this one."""
        if size_of_text(event) <= 0:
            return None
        block = self._blocks[_place(event)]
        if event["delta"]["type"] == "text_delta":
            return None if self._unfence is not None else self._heard
        return block.parts.append

    def _heard(self, text: str) -> None:
        self._length += len(text)

    def cut(self) -> list[StreamItem]:
        """The connection ended before message_stop: the usage, if the answer itself was complete by then."""
        out: list[StreamItem] = []
        self._put_usage(out)
        return out

    def _put(self, out: list[StreamItem], delta: dict[str, Any]) -> None:
        out.append(
            {**self._envelope, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
        )

    def _message_start(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        message = event.get("message")
        message = message if isinstance(message, dict) else {}
        identity = text_of(message.get("id"))
        if self._message_id is not None:
            if identity == self._message_id:
                return
            # What was sent of the first answer cannot be taken back, and a half tool call must not be run.
            raise UpstreamFault(
                "The model's provider began a second answer inside the first; try again.",
                code="upstream_invalid_response",
                detail=f"message_start {identity[:100]!r} while {self._message_id[:100]!r} was open",
            )
        self._message_id = identity
        if identity:
            self._envelope["id"] = identity
        merge_usage(self._usage, message.get("usage"))
        self._put(out, {"role": "assistant", "content": ""})
        # What the input came to is told here already: it counts should the answer never come to its end. How much was
        # written is not known yet; what stands there is a placeholder.
        self._usage["output_tokens"] = 0
        known = translate_usage(self._usage)
        if known is not None:
            out[-1]["usage"] = writable(known)  # type: ignore[index]  # the chunk that `_put` has just made
        # Some servers put an answer's beginning here instead of into events of its own.
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else ()):
            self._block_start({"index": at, "content_block": block}, out)

    def _block_start(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        if self._message_id is None:
            self._message_start({}, out)
        content = event.get("content_block")
        block = _Block(content if isinstance(content, dict) else {})
        block.start, block.calls = self._length, self._calls
        self._blocks[_place(event)] = block
        if block.kind == "text":
            self._add_text(text_of(block.content.get("text")), out)
            found = block.content.get("citations")
            if isinstance(found, list):
                block.citations = list(writable(found))
        elif block.kind == "thinking":
            block.parts = [text_of(block.content.get("thinking"))]
            if block.parts[0]:
                self._put(out, {"reasoning_content": block.parts[0]})
        elif block.kind == "tool_use":
            if self._json_tool and block.content.get("name") == self._json_tool:
                self._answered = block.answers = True
                return
            block.call = self._calls
            self._calls += 1
            function = {"name": text_of(block.content.get("name")), "arguments": ""}
            entry = {"index": block.call, "id": text_of(block.content.get("id")), "type": "function"}
            self._put(out, {"tool_calls": [{**entry, "function": function, **extras_of(block.content)}]})

    def _delta(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        delta = event.get("delta")
        block = self._blocks.get(_place(event))
        if type(delta) is not dict:
            return
        if block is None:
            block = self._missing_block(event, delta, out)
        kind = delta.get("type")
        if kind == "text_delta":
            self._add_text(text_of(delta.get("text")), out)
        elif kind == "input_json_delta":
            self._add_input(block, text_of(delta.get("partial_json")), out)
        elif kind == "thinking_delta":
            text = text_of(delta.get("thinking"))
            if text:
                block.parts.append(text)
                self._put(out, {"reasoning_content": text})
        elif kind == "signature_delta":
            block.content["signature"] = text_of(block.content.get("signature")) + text_of(delta.get("signature"))
        elif kind == "citations_delta":
            block.citations.append(writable(delta.get("citation")))
        else:
            # A delta of a kind yet unknown stays with its block, so that nothing is lost on the way.
            block.others.append(writable(delta))

    def _missing_block(self, event: dict[str, Any], delta: dict[str, Any], out: list[StreamItem]) -> _Block:
        """A delta without content_block_start: what kind of block it belongs to follows from the delta."""
        kinds = {"text_delta": "text", "citations_delta": "text", "thinking_delta": "thinking"}
        kind = kinds.get(text_of(delta.get("type")), "unknown")
        self._block_start({"index": event.get("index"), "content_block": {"type": kind}}, out)
        return self._blocks[_place(event)]

    def _add_text(self, text: str, out: list[StreamItem]) -> None:
        if self._unfence is not None:
            text = self._unfence.push(text)
        if text:
            self._length += len(text)
            self._put(out, {"content": text})

    def _add_input(self, block: _Block, piece: str, out: list[StreamItem]) -> None:
        if not piece:
            return
        block.parts.append(piece)
        if block.answers:
            self._put(out, {"content": piece})
        elif block.call is not None:
            self._put(out, {"tool_calls": [{"index": block.call, "function": {"arguments": piece}}]})

    def _block_stop(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        block = self._blocks.pop(_place(event), None)
        if block is not None:
            self._close(block, out)

    def _close(self, block: _Block, out: list[StreamItem]) -> None:
        if block.answers or block.call is not None:
            if not block.parts:
                # No piece came: the input stands in content_block_start, or there are no arguments.
                self._add_input(block, dump(block.content.get("input") or {}), out)
        elif block.kind == "text":
            self._cite(block, out)
        else:
            self._put_detail(block, out)

    def _cite(self, block: _Block, out: list[StreamItem]) -> None:
        before = len(self._cited.annotations)
        self._cited.add(block.citations, block.start, self._length)
        if len(self._cited.annotations) > before:
            self._put(out, {"annotations": self._cited.annotations[before:]})

    def _put_detail(self, block: _Block, out: list[StreamItem]) -> None:
        content = block.content
        if block.kind == "thinking":
            content["thinking"] = "".join(block.parts)
        elif block.parts:
            content["input"] = _parsed("".join(block.parts))
        if block.others:
            content["deltas"] = block.others
        # What follows an answer in JSON, which is a call to Anthropic, has no place in its text.
        at = 0 if self._answered else block.start
        detail = detail_of(writable(content), self._details, after_text=at, after_calls=block.calls)
        self._put(out, {"reasoning_details": [detail]})
        self._details += 1
        activity = self._searches.take(content)
        if activity is not None:
            self._put(out, {"x_gateway": activity})

    def _message_delta(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        merge_usage(self._usage, event.get("usage"))
        stop = event.get("delta")
        stop = stop if isinstance(stop, dict) else {}
        if not stop.get("stop_reason") or self._usage_due:
            return
        for block in self._blocks.values():
            self._close(block, out)
        self._blocks.clear()
        delta: dict[str, Any] = {}
        if self._unfence is not None:
            text = self._unfence.end()
            if text:
                delta["content"] = text
        if self._cited.citations:
            delta["citations"] = self._cited.citations
        end, refusal = ending(stop, self._calls > 0, self._answered)
        if refusal is not None:
            delta["refusal"] = refusal
        rest = {key: value for key, value in stop.items() if key not in _STOP_KEYS}
        rest.update({key: value for key, value in event.items() if key not in _TAKEN_FROM_END})
        extra = {key: writable(value) for key, value in rest.items() if value is not None}
        choice = {"index": 0, "delta": delta, "logprobs": None, **end}
        out.append({**extra, **self._envelope, "choices": [choice]})
        self._usage_due = True

    def _message_stop(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        self._put_usage(out)
        self.stopped = True

    def _put_usage(self, out: list[StreamItem]) -> None:
        if not self._usage_due:
            return
        self._usage_due = False
        usage = translate_usage(self._usage)
        if usage is None:
            return
        chunk: dict[str, Any] = {**self._envelope, "choices": [], "usage": writable(usage)}
        tier = service_tier(self._usage)
        if tier:
            chunk["service_tier"] = tier
        out.append(chunk)

    def _error(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        raise fault_from_error(event, None)


class _Block:
    """A content block in the making. parts: pieces of its input or its thinking. call: index of the tool call.
    answers: its input is the answer's content. start: where it begins in the content; calls: how many stand before it.
    others: deltas of unknown kinds."""

    __slots__ = ("answers", "call", "calls", "citations", "content", "kind", "others", "parts", "start")

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = writable(content)
        self.kind = text_of(content.get("type"))
        self.parts: list[str] = []
        self.citations: list[Any] = []
        self.others: list[Any] = []
        self.call: int | None = None
        self.answers = False
        self.start = 0
        self.calls = 0


def size_of_text(event: dict[str, Any]) -> int:
    """Bytes of the text that a delta is; -1 for all other events."""
    delta = event.get("delta")
    if type(delta) is not dict or len(delta) != 2 or event.keys() != _DELTA or event["type"] != "content_block_delta":
        return -1
    text = delta.get(_TEXTS.get(text_of(delta.get("type")), ""))
    return text_bytes(text) if type(text) is str else -1


def _place(event: dict[str, Any]) -> Any:
    """The block an event belongs to; anything that is not a number is one and the same block."""
    index = event.get("index")
    return index if type(index) is int else -1


def _parsed(text: str) -> Any:
    """A server-side tool's input; text that is not JSON stays text."""
    try:
        return load_exact(text)
    except orjson.JSONDecodeError:
        return text


def extras_of(block: dict[str, Any]) -> dict[str, Any]:
    """Members of a `tool_use` block that a later turn must give back (programmatic calls, toolsets)."""
    extras = {key: block[key] for key in ("caller", "toolset_name") if block.get(key) is not None}
    if extras.get("caller") == {"type": "direct"}:
        del extras["caller"]
    return dict(writable(extras))
