"""What a streamed response comes to: usage, its end and its size, each found once, between decoder and relay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from gateway.errors import Fault
from gateway.wire.lenient import dicts_of
from gateway.wire.mending import load_mended
from gateway.wire.responses.events import TERMINAL
from gateway.wire.responses.objects import usage_of_response
from gateway.wire.text_tokens import WrittenTokens
from gateway.wire.tokens import text_bytes

Json = dict[str, Any]

_TEXTS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
    }
)
"""Events whose `delta` is text that the model wrote."""

_WHOLE: Mapping[str, str] = MappingProxyType(
    {
        "response.output_text.done": "text",
        "response.refusal.done": "refusal",
        "response.reasoning_text.done": "text",
        "response.reasoning_summary_text.done": "text",
        "response.function_call_arguments.done": "arguments",
        "response.custom_tool_call_input.done": "input",
        "response.mcp_call_arguments.done": "arguments",
        "response.code_interpreter_call_code.done": "code",
    }
)
"""Events that tell such a text once more, whole, and the member it is in. Some servers send no deltas before it."""

_OPENINGS = frozenset({"response.created", "response.queued", "response.in_progress", "keepalive"})
"""Events that say that a response begins, or still runs."""

_ITEM_DONE = "response.output_item.done"


def finish_reason_of(response: Mapping[str, Any]) -> str:
    """How a response ended, in the words of chat."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        return "content_filter" if reason == "content_filter" else "length"
    output = response.get("output")
    kinds = {item.get("type") for item in output if isinstance(item, dict)} if isinstance(output, list) else set()
    return "tool_calls" if kinds & {"function_call", "custom_tool_call"} else "stop"


def item_bytes(item: Mapping[str, Any], measure: Callable[[str], int] = text_bytes) -> int:
    """Bytes in UTF-8 of what the model wrote in a whole output item: texts, refusals, thoughts, names and arguments.
    measure: is given each text, and says its bytes."""
    total = sum(_size(item.get(name), measure) for name in ("name", "arguments", "input", "code"))
    for name in ("content", "summary"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                total += _size(part.get("text"), measure) + _size(part.get("refusal"), measure)
    return total


class ResponsesTally:
    """Implements `gateway.provider.Tally` for the events of a response, as the JSON bytes of their data."""

    def __init__(self) -> None:
        self.usage: Json | None = None
        self.finish_reason = ""
        self.text_bytes = 0
        self.chunks = 0
        self.complete = False
        self.opening = True
        # Output index -> bytes counted so far, and those told whole: what an item's end tells is not counted again.
        self._told: dict[int, int] = {}
        self._whole: dict[int, int] = {}
        self._tokens = WrittenTokens()

    @property
    def text_tokens(self) -> float:
        """The tokens that all text so far is expected to make."""
        return self._tokens.count

    def add(self, items: list[bytes | Json | Fault]) -> list[bytes | Json | Fault]:
        """Take what the decoder gave."""
        for place, item in enumerate(items):
            if isinstance(item, Fault):
                self.usage = item.usage or self.usage
                break
            self._count(self._parsed(items, place, item) if isinstance(item, bytes) else item)
        return items

    def _parsed(self, items: list[bytes | Json | Fault], place: int, item: bytes) -> Json:
        """The event at this place; one that is no JSON by the letter is mended there, and {} is for what is none at
        all, which the relay will say."""
        try:
            event = orjson.loads(item)
        except orjson.JSONDecodeError:
            try:
                event = load_mended(item)
                items[place] = orjson.dumps(event)
            except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                return {}
        return event if isinstance(event, dict) else {}

    def cut(self) -> None:
        """The gateway ends the answer here."""
        if not self.complete:
            self.finish_reason = "length"

    def _count(self, event: Json) -> None:
        kind = event.get("type")
        size = 0
        if self.opening:
            self.opening = kind in _OPENINGS
        if kind in _TEXTS:
            size = _size(event.get("delta"), self._tokens.add)
            place = event.get("output_index")
            if type(place) is int:
                self._told[place] = self._told.get(place, 0) + size
        elif kind == _ITEM_DONE:
            size = self._end_item(event.get("item"), event.get("output_index"))
        elif kind in TERMINAL:
            response = event.get("response")
            if isinstance(response, dict):
                self.complete = True
                self.usage = usage_of_response(response)
                self.finish_reason = finish_reason_of(response)
                size = self._untold(dicts_of(response.get("output")), self.text_bytes)
        elif type(kind) is str and kind in _WHOLE:
            size = self._end_text(event.get(_WHOLE[kind]), event.get("output_index"))
        if size:
            self.chunks += 1
            self.text_bytes += size

    def _end_text(self, text: Any, place: Any) -> int:
        if type(place) is not int or not isinstance(text, str):
            return 0
        told = self._told.get(place, 0)
        whole = self._whole[place] = self._whole.get(place, 0) + text_bytes(text)
        if whole <= told:
            return 0
        self._told[place] = whole
        if not told:
            self._tokens.add(text)
        return whole - told

    def _end_item(self, item: Any, place: Any) -> int:
        told = self._told.pop(place, 0) if type(place) is int else 0
        if type(place) is int:
            self._whole.pop(place, None)
        return self._untold([item], told) if isinstance(item, dict) else 0

    def _untold(self, items: list[Json], told: int) -> int:
        """Bytes that whole items tell beyond those that were told of them before."""
        measure = text_bytes if told else self._tokens.add
        return max(sum(item_bytes(item, measure) for item in items) - told, 0)


def _size(text: Any, measure: Callable[[str], int]) -> int:
    return measure(text) if isinstance(text, str) else 0
