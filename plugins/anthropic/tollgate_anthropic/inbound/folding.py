"""The events of a streamed message, added up to the message that they say.

Source: Anthropic's "Streaming messages": `message_start` has the frame, `content_block_start` a block without its text,
the deltas its pieces, `message_delta` why it ended and the usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.api import dict_of, load_exact, text_of
from tollgate_anthropic.usage import merge_usage

from .blocks import input_of

Json = dict[str, Any]

_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def fold_events(events: Iterable[Any]) -> Json:
    """The message. events: parsed, or as their JSON bytes; what is no event of a message is passed over."""
    message: Json = {}
    usage: Json = {}
    blocks: dict[int, _Block] = {}
    for item in events:
        event = dict_of(load_exact(item) if isinstance(item, bytes) else item)
        kind, index = event.get("type"), event.get("index")
        if kind == "message_start":
            message = {**dict_of(event.get("message"))}
            merge_usage(usage, message.get("usage"))
        elif kind == "content_block_start" and type(index) is int:
            blocks[index] = _Block(dict_of(event.get("content_block")))
        elif kind == "content_block_delta" and index in blocks:
            blocks[index].add(dict_of(event.get("delta")))
        elif kind == "message_delta":
            message.update(dict_of(event.get("delta")))
            merge_usage(usage, event.get("usage"))
    message["content"] = [blocks[index].whole() for index in sorted(blocks)]
    message["usage"] = usage
    return message


class _Block:
    """One block in the making."""

    def __init__(self, begun: Json) -> None:
        self._block = {**begun}
        self._input = ""

    def add(self, delta: Json) -> None:
        kind = text_of(delta.get("type"))
        if kind in _TEXTS:
            member = _TEXTS[kind]
            self._block[member] = text_of(self._block.get(member)) + text_of(delta.get(member))
        elif kind == "input_json_delta":
            self._input += text_of(delta.get("partial_json"))
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta.get("citation")]

    def whole(self) -> Json:
        if self._input:
            self._block["input"] = input_of(self._input)
        return self._block
