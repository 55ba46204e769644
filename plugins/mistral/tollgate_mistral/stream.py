"""A streamed answer: chunks that are already what OpenAI sends pass as their bytes, the others are translated.

What needs a look is told by a pattern: lists of content chunks or tool calls, usage, a finish reason. Inside JSON
strings the quotes are escaped, so text that a model wrote never matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from gateway.api import Call, ChatStreamDecoder, Fault, StreamItem, check_depth, nonsense

from .calls import Calls
from .content import Content
from .reply import FINISH, failed
from .sources import Sources
from .usage import translate_usage

_NOTABLE = re.compile(rb'"(?:content|tool_calls)"\s*:\s*\[|"usage"\s*:\s*\{|"finish_reason"\s*:\s*"')


class MistralDecoder:
    """Implements `gateway.api.StreamDecoder`. clean: applied to every fault (redaction)."""

    def __init__(self, call: Call, clean: Callable[[Fault], Fault]) -> None:
        self.done = False
        self._chunks = ChatStreamDecoder(clean)
        self._clean = clean
        self._sources = Sources(call.body)
        self._choices: dict[int, _Choice] = {}
        # Every chunk is looked at when citations may have to tell their place in the text, and while a thought is
        # open, because what comes next may end it.
        self._look = self._sources.possible
        self._failed = False

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes."""
        return self._read(self._chunks.feed(data))

    def finish(self) -> list[StreamItem]:
        """The connection ended."""
        return self._read(self._chunks.finish())

    def _read(self, items: list[bytes | dict[str, Any] | Fault]) -> list[StreamItem]:
        out: list[StreamItem] = []
        for item in items if not self._failed else ():
            if isinstance(item, bytes) and (self._look or _NOTABLE.search(item)):
                try:
                    found = self._translate(item)
                except Fault as fault:
                    found = [self._clean(fault)]
                out += found
                if found and isinstance(found[-1], Fault):
                    self._failed = True
                    return out
            else:
                out.append(item)
        self.done = self._chunks.done
        return out

    def _translate(self, raw: bytes) -> list[StreamItem]:
        try:
            chunk = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise nonsense("The provider sent a stream event that is not a JSON object.", raw) from None
        check_depth(chunk, raw)
        if "usage" in chunk:
            chunk["usage"] = translate_usage(chunk["usage"])
        choices = chunk.get("choices")
        broken = False
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            index = index if type(index) is int else at
            state = self._choices.get(index)
            if state is None:
                state = self._choices[index] = _Choice(self._sources, index)
            broken = state.translate(choice, chunk.get("id")) or broken
        self._look = self._sources.possible or any(state.content.open for state in self._choices.values())
        return [chunk, self._clean(failed())] if broken else [chunk]


class _Choice:
    """What must be remembered of one choice."""

    __slots__ = ("_calls", "_index", "content")

    def __init__(self, sources: Sources, index: int) -> None:
        self.content = Content(sources)
        self._calls = Calls()
        self._index = index

    def translate(self, choice: dict[str, Any], identity: Any) -> bool:
        """Put one choice of a chunk into OpenAI's form, in place. True when it says that the answer failed."""
        delta = choice.get("delta")
        reason = choice.get("finish_reason")
        if not isinstance(delta, dict):
            if not isinstance(reason, str):
                return False
            delta = choice["delta"] = {}
        content = delta.get("content")
        if isinstance(content, list):
            del delta["content"]
            self.content.read(content, delta)
        elif isinstance(content, str):
            self.content.add_text(content, delta)
        if "tool_calls" in delta:
            self.content.close(delta)
            calls = self._calls.translate(delta.pop("tool_calls"), f"{identity}:{self._index}")
            if calls:
                delta["tool_calls"] = calls
        if not isinstance(reason, str):
            return False
        self.content.close(delta)
        choice["finish_reason"] = None if reason == "error" else FINISH.get(reason, reason)
        return reason == "error"
