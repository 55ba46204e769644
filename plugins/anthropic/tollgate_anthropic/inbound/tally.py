"""What a stream in Anthropic's dialect comes to, for the bill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.api import (
    ChatTally,
    Fault,
    StreamItem,
    Surroundings,
    TextPattern,
    WrittenTokens,
    dict_of,
    dump,
    text_bytes,
    text_member,
    text_of,
)
from tollgate_anthropic.reading import finish_of
from tollgate_anthropic.usage import merge_usage, translate_usage

Json = dict[str, Any]

_TEXTS = ("text", "thinking", "partial_json")
_TEXT = text_member(*_TEXTS)
_OPENINGS = ("message_start", "ping")


class MessagesTally:
    """Implements `gateway.api.Tally` for events of the Messages API, as the JSON bytes of their data. An answer that
    came whole is told in chat chunks, which are counted as such."""

    def __init__(self) -> None:
        self._chat = ChatTally()
        self._counts: Json = {}
        self._told: Json | None = None
        self._known: Json | None = None
        self._reason = ""
        self._opening = True
        self._bytes = self._chunks = 0
        self._pattern = TextPattern(_TEXT, _text_only)
        self._tokens = WrittenTokens()

    @property
    def usage(self) -> Json | None:
        """See `Tally`: until the answer has ended, its input."""
        return self._told or self._known or self._chat.usage

    @property
    def finish_reason(self) -> str:
        """Why the answer ended, in the hub's words."""
        return self._reason or self._chat.finish_reason

    @property
    def text_bytes(self) -> int:
        """Bytes of text so far, as far as it is billed."""
        return self._bytes + self._chat.text_bytes

    @property
    def text_tokens(self) -> float:
        """The tokens that all text so far is expected to make."""
        return self._tokens.count + self._chat.text_tokens

    @property
    def chunks(self) -> int:
        """Events so far that carried something of the answer."""
        return self._chunks + self._chat.chunks

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self._told is not None or self._chat.complete

    @property
    def opening(self) -> bool:
        """Whether only the beginning of a message was told, so that another try may take its place."""
        return self._opening and self._chat.opening

    @property
    def around(self) -> Surroundings | None:
        """What all deltas of late have around their text, None while that is not known."""
        return self._pattern.around

    def hear(self, text: bytes) -> None:
        """Count a text that went to the caller without being shown to `add`."""
        self._tokens.add_bytes(text)
        self._write(len(text))

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what the decoder gave."""
        for item in items:
            if isinstance(item, bytes):
                size = self._pattern.match(item)
                if size > 0:
                    self._tokens.add_bytes(self._pattern.text)
                self._write(self._read(item) if size < 0 else size)
            elif isinstance(item, Fault):
                break
            else:
                self._chat.add([item])
        return items

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._reason = self.finish_reason or "length"

    def _write(self, size: int) -> None:
        if size:
            self._bytes += size
            self._chunks += 1

    def _read(self, item: bytes) -> int:
        try:
            event = dict_of(orjson.loads(item))
        except orjson.JSONDecodeError:
            return 0  # the relay says so
        kind = event.get("type")
        if self._opening:
            self._opening = kind in _OPENINGS
        if kind == "content_block_delta":
            self._pattern.learn(item)
            return _delta_size(event, self._tokens.add)
        if kind == "content_block_start":
            return _block_size(dict_of(event.get("content_block")), self._tokens.add)
        if kind == "message_start":
            merge_usage(self._counts, dict_of(event.get("message")).get("usage"))
            # The output that is told here is a placeholder.
            self._counts["output_tokens"] = 0
            self._known = translate_usage(self._counts)
        elif kind == "message_delta":
            merge_usage(self._counts, event.get("usage"))
            reason = text_of(dict_of(event.get("delta")).get("stop_reason"))
            if reason:
                self._reason = self._reason or finish_of(reason)
                self._told = translate_usage(self._counts) or {}
        return 0


def _delta_size(event: Json, measure: Callable[[str], int]) -> int:
    delta = dict_of(event.get("delta"))
    return sum(measure(text_of(delta.get(name))) for name in _TEXTS)


def _text_only(event: Json) -> int:
    """For `TextPattern`: a delta's size, -1 for other events."""
    if event.get("type") != "content_block_delta":
        return -1
    return _delta_size(event, text_bytes)


def _block_size(block: Json, measure: Callable[[str], int]) -> int:
    """What the beginning of a block tells already: the names of tools that are called, and what came whole."""
    size = measure(text_of(block.get("name"))) + sum(measure(text_of(block.get(name))) for name in _TEXTS[:2])
    given = block.get("input")
    return size + (measure(dump(given)) if isinstance(given, dict) and given else 0)
