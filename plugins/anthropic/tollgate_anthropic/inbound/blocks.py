"""Content blocks in order, out of chat deltas that come in any.

Blocks of a message follow each other, and none opens again; chat deltas may speak of several tool calls in turn, or
of text between them. So only the first unfinished block is told as it grows, the others wait. A tool call is finished
when something follows it and its arguments are whole JSON: nothing but white space can still be missing then.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import orjson

from gateway.api import UpstreamFault, load_mended, seal, writable

Json = dict[str, Any]


class Writer(Protocol):
    """Takes blocks in their order."""

    def start(self, block: Json) -> None: ...

    def text(self, text: str) -> None:
        """More of the text block that is open."""

    def delta(self, delta: Json) -> None: ...

    def stop(self) -> None: ...


class _Block:
    """A block that is not finished. start: as it begins. waiting: deltas that cannot be told yet.
    ready: it may begin (a tool call without its name may not). arguments: of a tool call, so far.
    details, signature: what a thinking block must carry."""

    __slots__ = ("arguments", "details", "kind", "ready", "signature", "start", "told", "waiting", "whole")

    def __init__(self, kind: str, start: Json, *, whole: bool = False, ready: bool = True) -> None:
        self.kind = kind
        self.start = start
        self.whole = whole
        self.ready = ready
        self.told = False
        self.waiting: list[Json] = []
        self.arguments: list[str] = []
        self.details: list[Json] = []
        self.signature = ""


class Blocks:
    """Puts one answer's blocks in order. calls: how many tool calls there are; fallback: begins the ids of calls that
    came without one."""

    def __init__(self, writer: Writer, fallback: str) -> None:
        self.calls = 0
        self._writer = writer
        self._fallback = fallback
        self._queue: deque[_Block] = deque()
        self._by_index: dict[int, _Block] = {}
        self._last_index = -1
        self._kept: list[Json] = []
        self._text_last = False

    def text(self, text: str) -> None:
        """More of the answer's text."""
        queue = self._queue
        self._text_last = True
        if self._kept and not (queue and queue[-1].kind == "text"):
            self._release()
        if len(queue) == 1 and queue[0].kind == "text" and queue[0].told:
            self._writer.text(text)
            return
        self._put(self._tail("text", {"type": "text", "text": ""}), {"type": "text_delta", "text": text})
        self._advance()

    def cite(self, citation: Json) -> None:
        """A citation of the text that was told last."""
        block = self._tail("text", {"type": "text", "text": ""})
        self._put(block, {"type": "citations_delta", "citation": writable(citation)})
        self._advance()

    def think(self, text: str) -> None:
        """More of the thoughts."""
        block = self._tail("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        block.details += self._kept
        self._kept, self._text_last = [], False
        self._put(block, {"type": "thinking_delta", "thinking": text})
        self._advance()

    def sign(self, signature: str) -> None:
        """Anthropic's own signature of the thoughts, which ends them."""
        block = self._tail("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        block.signature = signature
        block.whole = True
        self._advance()

    def keep(self, detail: Json) -> None:
        """What only its maker reads: carried by the thoughts, or by a block of its own before what follows.

        Nothing follows the last text: agents take the last block for the answer, and no message of Anthropic's ends
        with thoughts. What comes with the end of the text is only there to be carried along where it can be. What has a
        `start` and no `end` is about the text to come, which then is a block of its own.
        """
        writable(detail)
        tail = self._queue[-1] if self._queue else None
        if tail is not None and tail.kind == "thinking" and not tail.whole:
            tail.details.append(detail)
        else:
            self._kept.append(detail)
            if tail is not None and tail.kind == "text" and "start" in detail and "end" not in detail:
                tail.whole = True
                self._advance()

    def _release(self) -> None:
        """A block of its own for what is kept."""
        kept, self._kept = self._kept, []
        for detail in kept:
            self._queue.append(_Block("other", {"type": "redacted_thinking", "data": seal([detail])}, whole=True))

    def add(self, block: Json) -> None:
        """A block that came whole."""
        self._release()
        self._text_last = False
        self._queue.append(_Block("other", writable(block), whole=True))
        self._advance()

    def call(self, index: Any, identity: str, name: str, arguments: str, extras: Json) -> None:
        """A piece of a tool call. index: which one; identity, name: "" when this piece does not say.

        Raises UpstreamFault for arguments that go on after their end.
        """
        block = self._find(index, identity, name)
        if block is None:
            self._release()
            self._text_last = False
            start = {"type": "tool_use", "id": identity or f"{self._fallback}_{self.calls}", "name": name, "input": {}}
            block = _Block("tool_use", {**start, **writable(extras)}, ready=bool(name))
            self._index(index, block)
            self.calls += 1
            self._queue.append(block)
        elif name and not block.ready:
            block.start["name"] = name
            block.ready = True
        if arguments:
            if block not in self._queue:
                if arguments.strip():
                    raise UpstreamFault(
                        "The provider's tool calls cannot be told apart; try again.", code="upstream_invalid_response"
                    )
                return
            block.arguments.append(arguments)
            self._put(block, {"type": "input_json_delta", "partial_json": arguments})
        self._advance()

    def nameless(self) -> bool:
        """Whether a tool call still has no name."""
        return any(not block.ready for block in self._queue)

    def close(self) -> None:
        """The answer is over: tell what waits, and finish every block."""
        if not self._text_last:
            self._release()
        self._queue = deque(block for block in self._queue if block.ready)
        for block in self._queue:
            block.whole = True
        self._advance()

    def _find(self, index: Any, identity: str, name: str) -> _Block | None:
        at = index if type(index) is int else self._last_index
        found = self._by_index.get(at)
        if found is None or not identity or not name:
            return found
        # Some servers number every call 0: a second id with a name of its own is a second call.
        same = found.start["id"] == identity or not found.ready
        return found if same else None

    def _index(self, index: Any, block: _Block) -> None:
        self._last_index = index if type(index) is int else self._last_index + 1
        self._by_index[self._last_index] = block

    def _tail(self, kind: str, start: Json) -> _Block:
        """The last block if it is of this kind and goes on, else a new one."""
        tail = self._queue[-1] if self._queue else None
        if tail is None or tail.kind != kind or tail.whole:
            tail = _Block(kind, start)
            self._queue.append(tail)
        return tail

    def _put(self, block: _Block, delta: Json) -> None:
        if block.told:
            self._writer.delta(delta)
        else:
            block.waiting.append(delta)

    def _advance(self) -> None:
        """Tell all that can be told now."""
        queue, writer = self._queue, self._writer
        while queue:
            head = queue[0]
            if not head.told:
                if not head.ready:
                    return
                head.told = True
                writer.start(head.start)
                for delta in head.waiting:
                    writer.delta(delta)
                head.waiting = []
            if not head.whole and (len(queue) == 1 or (head.kind == "tool_use" and not _is_json(head.arguments))):
                return
            if head.kind == "thinking":
                writer.delta({"type": "signature_delta", "signature": head.signature or seal(head.details)})
            writer.stop()
            queue.popleft()


def _is_json(pieces: list[str]) -> bool:
    try:
        orjson.loads("".join(pieces))
    except orjson.JSONDecodeError:
        return False
    return True


class ContentWriter:
    """Collects the `content` of a message; a block is whole once it was stopped."""

    def __init__(self) -> None:
        self.content: list[Json] = []
        # Texts of the open block by member: joined once, however many pieces there are.
        self._pieces: dict[str, list[str]] = {}

    def start(self, block: Json) -> None:
        self.content.append(dict(block))
        self._pieces = {}

    def text(self, text: str) -> None:
        self._pieces.setdefault("text", []).append(text)

    def delta(self, delta: Json) -> None:
        kind, block = delta["type"], self.content[-1]
        if kind == "text_delta":
            self.text(delta["text"])
        elif kind == "thinking_delta":
            self._pieces.setdefault("thinking", []).append(delta["thinking"])
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            if not block.get("citations"):
                block["citations"] = []
            block["citations"].append(delta["citation"])
        else:
            self._pieces.setdefault("input", []).append(delta["partial_json"])

    def stop(self) -> None:
        block = self.content[-1]
        for member, pieces in self._pieces.items():
            text = "".join(pieces)
            block[member] = input_of(text) if member == "input" else block[member] + text
        self._pieces = {}


def input_of(arguments: str) -> Json:
    """The `input` of a tool call. What the model did not write as a JSON object is wrapped into one, under the name
    that Anthropic's page on fine-grained tool streaming uses for it."""
    try:
        parsed = load_mended(arguments.encode("utf-8", "replace"))
        writable(parsed)
    except (orjson.JSONDecodeError, UpstreamFault):
        parsed = arguments
    if parsed is None or not arguments.strip():
        return {}
    return parsed if isinstance(parsed, dict) else {"INVALID_JSON": arguments}
