"""Answers whose text a plugin changes (`filter_answer`), before anybody sees, keeps or relays it.

The filters stand right behind the reader, so what is streamed, stored, replayed, fed back to tools or written in
another dialect is all of it filtered. They see chat: a call with filters is spoken in chat to every target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import Fault
from gateway.profile import Dialect
from gateway.provider import Answer, Reader, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.text_filter import MakeFilter, TextFilter
from gateway.wire.lenient import dict_of, dicts_of

Json = dict[str, Any]

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
"""Members of a message or delta that hold text of the model."""

_COPIES = ("reasoning_details", "audio")
"""Members that may repeat it in another form, signed or encoded: they cannot be filtered, and are left out."""


class FilteredReader:
    """A reader whose answers pass the filters; implements `gateway.provider.Reader`. reader: gives out chat."""

    dialect: Dialect = "chat"

    def __init__(self, reader: Reader, makers: Sequence[MakeFilter]) -> None:
        self._reader = reader
        self._makers = makers

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """A whole answer, filtered."""
        answer = self._reader.read_reply(reply)
        for choice in dicts_of(answer.body.get("choices")):
            choice["logprobs"] = None
            message = dict_of(choice.get("message"))
            for name in _COPIES:
                message.pop(name, None)
            for name in _TEXTS:
                if isinstance(message.get(name), str):
                    chain = _Chain(self._makers)
                    message[name] = chain.feed(message[name]) + chain.finish()
        return answer

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """The reader's own."""
        return self._reader.is_stream(headers)

    def open_stream(self) -> StreamDecoder:
        """A decoder whose chunks are filtered."""
        return _FilteredDecoder(self._reader.open_stream(), self._makers)

    def open_tally(self, choices: int) -> Tally:
        """The reader's own."""
        return self._reader.open_tally(choices)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """The reader's own."""
        return self._reader.read_fault(reply)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The chunks of a whole answer that came although a stream was asked for, filtered."""
        filtered = _Chunks(self._makers)
        items = filtered.pass_on(self._reader.unfold(reply))
        return items + filtered.rest()


class _Chain:
    """The filters of one text, each fed with what the one before it lets out."""

    def __init__(self, makers: Sequence[MakeFilter]) -> None:
        self._filters: list[TextFilter] = [make() for make in makers]

    def feed(self, text: str) -> str:
        for one in self._filters:
            text = one.feed(text)
        return text

    def finish(self) -> str:
        held = ""
        for one in self._filters:
            held = (one.feed(held) if held else "") + one.finish()
        return held


class _Chunks:
    """The chunks of one stream on their way through the filters."""

    def __init__(self, makers: Sequence[MakeFilter]) -> None:
        self._makers = makers
        self._chains: dict[tuple[int, str], _Chain] = {}
        self._last: Json = {}

    def pass_on(self, items: Sequence[StreamItem]) -> list[StreamItem]:
        """The same items, with what the filters let out in the place of their text."""
        return [item if isinstance(item, Fault) else self._chunk(item) for item in items]

    def rest(self) -> list[StreamItem]:
        """What is still held back, of a stream that ended without saying so for each choice."""
        held = {index for index, _ in self._chains}
        choices = [{"index": index, "delta": delta} for index in sorted(held) if (delta := self._let_out(index))]
        return [{**self._last, "choices": choices}] if choices else []

    def _chunk(self, item: bytes | Json) -> StreamItem:
        chunk: Any = item
        if isinstance(item, bytes):
            try:
                chunk = orjson.loads(item)
            except orjson.JSONDecodeError:
                return item  # the tally tells what is wrong with it
        if not isinstance(chunk, dict):
            return item
        self._last = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        for choice in dicts_of(chunk.get("choices")):
            self._choice(choice)
        return chunk

    def _choice(self, choice: Json) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if choice.get("logprobs") is not None:
            choice["logprobs"] = None
        delta = dict_of(choice.get("delta"))
        for name in _COPIES:
            delta.pop(name, None)
        for name in _TEXTS:
            if isinstance(delta.get(name), str):
                chain = self._chains.get((index, name))
                if chain is None:
                    chain = self._chains[index, name] = _Chain(self._makers)
                delta[name] = chain.feed(delta[name])
        if choice.get("finish_reason") is not None or delta.get("tool_calls"):
            # Text that stands before a tool call stays before it.
            for name, text in self._let_out(index).items():
                delta[name] = (delta.get(name) or "") + text
            choice["delta"] = delta

    def _let_out(self, index: int) -> dict[str, str]:
        found = {}
        for key in [key for key in self._chains if key[0] == index]:
            if text := self._chains.pop(key).finish():
                found[key[1]] = text
        return found


class _FilteredDecoder:
    """The chunks of a decoder, filtered; implements `gateway.provider.StreamDecoder`."""

    def __init__(self, decoder: StreamDecoder, makers: Sequence[MakeFilter]) -> None:
        self._decoder = decoder
        self._chunks = _Chunks(makers)

    @property
    def done(self) -> bool:
        return self._decoder.done

    @done.setter
    def done(self, value: bool) -> None:
        self._decoder.done = value

    def feed(self, data: bytes) -> list[StreamItem]:
        return self._chunks.pass_on(self._decoder.feed(data))

    def finish(self) -> list[StreamItem]:
        return self._chunks.pass_on(self._decoder.finish()) + self._chunks.rest()
