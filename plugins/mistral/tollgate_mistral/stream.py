"""A streamed answer: chunks that are already what OpenAI sends pass as their bytes, the others are translated.

What needs a look is told by a pattern: lists of content chunks or tool calls, usage, a finish reason. Inside JSON
strings the quotes are escaped, so text that a model wrote never matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway.api import Call, ChatChunkEditor, Fault, StreamItem

from .calls import Calls
from .content import Content
from .reply import FINISH, failed
from .sources import Sources
from .usage import translate_usage

_NOTABLE = re.compile(rb'"(?:content|tool_calls)"\s*:\s*\[|"usage"\s*:\s*\{|"finish_reason"\s*:\s*"')


class MistralDecoder(ChatChunkEditor):
    """Reads one streamed answer. clean: applied to every fault (redaction)."""

    notable = _NOTABLE

    def __init__(self, call: Call, clean: Callable[[Fault], Fault]) -> None:
        super().__init__(clean)
        self._sources = Sources(call.body)
        self._choices: dict[int, _Choice] = {}
        # Every chunk is looked at when citations may have to tell their place in the text, and while a thought is
        # open, because what comes next may end it.
        self.look_at_all = self._sources.possible

    def edit(self, chunk: dict[str, Any], out: list[StreamItem]) -> None:
        """Put one chunk into OpenAI's form. Raises the fault of an answer that failed, once its last words are out."""
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
        self.look_at_all = self._sources.possible or any(state.content.open for state in self._choices.values())
        out.append(chunk)
        if broken:
            raise failed()


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
            # A whole message in a stream, as some servers of this dialect send it: whether it says anything new is
            # judged where all chunks are put right.
            whole = choice.get("message")
            delta = whole if isinstance(whole, dict) else choice.setdefault("delta", {})
            if not isinstance(delta, dict):
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
        if reason == "error":
            choice.pop("error", None)
        return reason == "error"
