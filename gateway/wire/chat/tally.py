"""What a streamed chat completion comes to: usage, ends and size, each found once, between decoder and relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.repair import CHUNK, ChunkRepair
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.lenient import check_depth
from gateway.wire.mending import load_mended
from gateway.wire.text_pattern import TextPattern, text_member
from gateway.wire.text_tokens import WrittenTokens
from gateway.wire.tokens import text_bytes, written_bytes
from gateway.wire.usage import find_usage, in_chat_names

Json = dict[str, Any]

_TEXT = text_member("content", "reasoning_content", "arguments")
_CHOICE = frozenset({"index", "delta", "logprobs", "finish_reason"})
"""Members of a choice beside which there is nothing to look for."""

_NONE: frozenset[int] = frozenset()


class ChatTally:
    """Implements `gateway.provider.Tally` for chat chunks. choices: how many were asked for (`n`). identity, created,
    functions, tools: see `ChunkRepair`. pattern: of the chunks that hold nothing but text. tokens: of all text.

    Bytes that are passed on are chunks on one line in which nothing but text is of interest: no usage, no end, no
    error, at least one choice, and nothing to repair. All others come out parsed, and repaired.
    """

    __slots__ = (
        "_choices",
        "_ended",
        "_repair",
        "chunks",
        "finish_reason",
        "opening",
        "pattern",
        "text_bytes",
        "tokens",
        "usage",
    )

    def __init__(
        self,
        choices: int = 1,
        identity: str = "chatcmpl-0",
        created: int = 0,
        *,
        functions: bool = False,
        tools: Any = None,
    ) -> None:
        self.usage: Json | None = None
        self.finish_reason = ""
        self.text_bytes = 0
        self.chunks = 0
        self.opening = True
        self._choices = choices
        self._ended: frozenset[int] = _NONE
        self.pattern = TextPattern(_TEXT, _text_only)
        self._repair = ChunkRepair(identity, created, functions, tools)
        self.tokens = WrittenTokens()

    @property
    def text_tokens(self) -> float:
        """The tokens that all text so far is expected to make."""
        return self.tokens.count

    @property
    def complete(self) -> bool:
        """Every choice asked for has its finish_reason: the answer is whole, whatever else is missing."""
        return len(self._ended) >= self._choices

    def add(self, items: list[bytes | Json | Fault]) -> list[bytes | Json | Fault]:
        """Take what the decoder gave."""
        for place, item in enumerate(items):
            if isinstance(item, bytes):
                size = self.pattern.match(item)
                if size >= 0:
                    if size:
                        self.chunks += 1
                        self.text_bytes += size
                        self.tokens.add_bytes(self.pattern.text)
                    continue
                found = self._read(item)
                if found is not item:
                    items[place] = found
                    if isinstance(found, Fault):
                        return items[: place + 1]
            elif isinstance(item, Fault):
                self.usage = item.usage or self.usage
                return items[: place + 1]
            else:
                words = _words(item, self._repair.opened)
                if words:
                    self.opening = False
                    self.chunks += 1
                    self.text_bytes += self.tokens.add(words)
                    if item.get("usage"):
                        self.usage = {**item["usage"]}
                    continue
                self._repair.spoken = self.chunks > 0
                try:
                    self._repair.repair(item)
                except Fault as fault:
                    items[place] = self._failed(item, fault)
                    return items[: place + 1]
                self._heed_repair()
                self._count(item)
        return items

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self.finish_reason = self.finish_reason or "length"

    def _read(self, item: bytes) -> bytes | Json | Fault:
        """A chunk that has to be parsed: itself when it holds nothing but text, else what it says."""
        raw = item
        try:
            chunk = orjson.loads(item)
        except orjson.JSONDecodeError:
            try:
                chunk = load_mended(item)
            except orjson.JSONDecodeError:
                return _nonsense(item)
            item = b"\n"  # not to be passed on as it came
        if not isinstance(chunk, dict):
            return _nonsense(item)
        if chunk.get("error"):
            return fault_from_stream_event(chunk)
        try:
            check_depth(chunk, raw)
            self._repair.spoken = self.chunks > 0
            repaired = self._repair.repair(chunk)
        except Fault as fault:
            return self._failed(chunk, fault)
        self._heed_repair()
        size = self._count(chunk)
        if repaired or _is_notable(chunk) or b"\n" in item:
            return chunk
        if size and b'"role"' not in item:
            # A role is told once: who tells it in each chunk has each looked at.
            self.pattern.learn(item, self._repair.json)
        return item

    def _heed_repair(self) -> None:
        """Let no chunk follow the pattern that has to be looked at because of the one that was just repaired."""
        repair = self._repair
        if repair.moved:
            self.pattern.forget()
        elif repair.json is not None and not repair.json.is_calm:
            self.pattern.pause()

    def _failed(self, chunk: Json, fault: Fault) -> Fault:
        """A chunk that says that the answer failed: what it used is billed all the same."""
        usage = find_usage(chunk)
        if usage is not None:
            self.usage = usage
        return fault

    def _count(self, chunk: Json) -> int:
        """Note what a chunk says; the size of its texts."""
        usage = find_usage(chunk)
        if usage is not None:
            # A copy: one object stands for one set of counts, and a decoder may go on counting in its own.
            self.usage = {**in_chat_names(usage)}
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and (reason := choice.get("finish_reason")):
                index = choice.get("index", 0)
                self._ended |= {index if isinstance(index, int) else 0}
                self.finish_reason = self.finish_reason or str(reason)
        size = _written(choices, self.tokens.add)
        if size:
            self.chunks += 1
            self.text_bytes += size
        if self.opening:
            self.opening = not size and _only_opens(choices)
        return size


def _only_opens(choices: Any) -> bool:
    """Whether nothing but roles stands in the choices of a chunk."""
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            return False
        said = {key for key, value in choice.items() if value} - {"index", "delta"}
        delta = choice.get("delta")
        if said or (isinstance(delta, dict) and any(value for key, value in delta.items() if key != "role")):
            return False
    return True


def _written(choices: Any, measure: Callable[[str], int] = text_bytes) -> int:
    size = 0
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) and isinstance(choice, dict):
            delta = choice.get("message")  # some servers put a whole message into a stream
        if isinstance(delta, dict):
            size += written_bytes(delta, measure)
    return size


def _text_only(chunk: Json) -> int:
    """For `TextPattern`: the size of a chunk's texts, -1 when there is more in it."""
    return -1 if chunk.get("error") or _is_notable(chunk) else _written(chunk["choices"])


def _words(chunk: Json, opened: set[int]) -> str:
    """The text of a chunk that is one piece of text or thought, sound in all its members, perhaps with a usage, as
    translators make most of them; "" for every other, which is repaired and counted member by member. opened: the
    choices that have begun."""
    choices, identity, usage = chunk.get("choices"), chunk.get("id"), chunk.get("usage")
    if type(choices) is not list or len(choices) != 1 or type(identity) is not str or not identity:
        return ""
    choice = choices[0]
    if (
        type(choice) is not dict
        or not choice.keys() <= _CHOICE
        or choice.get("finish_reason") is not None
        or chunk.get("object") != CHUNK
        or type(chunk.get("created")) is not int
        or not (usage is None or type(usage) is dict)
    ):
        return ""
    index, delta = choice.get("index"), choice.get("delta")
    if type(index) is not int or index not in opened or type(delta) is not dict or len(delta) != 1:
        return ""
    text = delta.get("content")
    if text is None:
        text = delta.get("reasoning_content")
    return text if type(text) is str else ""


def _is_notable(chunk: Json) -> bool:
    """Whether there is more in a chunk than text."""
    choices = chunk.get("choices")
    if chunk.get("usage") or not isinstance(choices, list) or not choices:
        return True
    for choice in choices:  # noqa: SIM110  # `any` takes a generator, which takes twice as long
        if type(choice) is not dict or choice.get("finish_reason") or choice.get("usage"):
            return True
    return False


def _nonsense(item: bytes) -> UpstreamFault:
    return UpstreamFault(
        "The provider sent a stream event that is not a JSON object.",
        code="upstream_invalid_response",
        detail=item[:500].decode("utf-8", "replace"),
    )
